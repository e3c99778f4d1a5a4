"""The real box. Edit this file; then: pyinfra inventory/home.py deploys/vengeance.py

The box is one machine and two hosts: Windows, and the distro in WSL on it, which takes its connection from the first.
What the box should be stands in group_data/; here stands how to reach it. Host data here wins over group data.
"""

windows = [
    (
        "@winrm/vengeance",
        {
            # These three lines are what bootstrap/enable-winrm.ps1 prints on the box (bootstrap/README.md; `python -m
            # vengeance bootstrap` prints the script with what stands here filled in).
            # Address: the box's in the tailnet, or a name that resolves here.
            "winrm_host": "100.98.226.75",
            # The Windows account, a local administrator with a password (a PIN cannot sign in over the network).
            # Ollama, the distro and the scheduled tasks are all its own.
            "winrm_user": "Steam",
            # SHA-256 of the box's certificate, 64 hex digits. Without it the certificate must be one that this machine
            # trusts (winrm_ca_file).
            # "winrm_certificate_sha256": "...",
            # Where the password comes from, one of:
            #   "winrm_password_env": "NAME"    an environment variable of this machine
            #   "winrm_password_file": "~/.config/vengeance/password"    a file with mode 600, its first line
            #   "winrm_password": Secret.from_keyring("vengeance", "Steam") or Secret.from_prompt("Password of Steam")
            #                                   (from vengeance.secret import Secret)
            "winrm_password_env": "VENGEANCE_PASSWORD",
        },
    ),
]

wsl = ["@wsl/vengeance/Ubuntu-24.04"]
