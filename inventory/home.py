"""The real box. Edit this file; then: pyinfra inventory/home.py deploys/vengeance.py

The box is one machine and two hosts: Windows, and the distro in WSL on it, which takes its connection from the first.
What the box should be stands in group_data/; here stands how to reach it. Host data here wins over group data.
"""

windows = [
    (
        "@winrm/vengeance",
        {
            # Address: a name that resolves here, or the box's Tailscale address (`tailscale ip -4` on the box).
            "winrm_host": "100.98.226.75",
            # The Windows account, a local administrator with a password (a PIN cannot sign in over the network).
            # It must be the account that the distro belongs to and that Ollama runs as.
            "winrm_user": "Steam",
            # Where the password comes from, one of:
            #   "winrm_password_env": "NAME"    an environment variable of this machine
            #   "winrm_password_file": "~/.config/vengeance/password"    a file with mode 600, its first line
            #   "winrm_password": Secret.from_keyring("vengeance", "Steam") or Secret.from_prompt("Password of Steam")
            #                                   (from vengeance.secret import Secret)
            "winrm_password_env": "VENGEANCE_PASSWORD",
            # SHA-256 of the box's certificate, 64 hex digits. In an elevated PowerShell on the box:
            #   $https = Get-ChildItem WSMan:\localhost\Listener | Where-Object { $_.Keys -contains 'Transport=HTTPS' }
            #   $thumbprint = (Get-Item "WSMan:\localhost\Listener\$($https.Name)\CertificateThumbprint").Value
            #   $bytes = (Get-Item "Cert:\LocalMachine\My\$thumbprint").RawData
            #   $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($bytes)
            #   [BitConverter]::ToString($hash).Replace('-', '')
            # Without it the certificate must be one that this machine trusts (winrm_ca_file).
            # "winrm_certificate_sha256": "…",
        },
    ),
]

wsl = ["@wsl/vengeance/Ubuntu-24.04"]
