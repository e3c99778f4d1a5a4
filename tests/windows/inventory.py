"""The Windows that the environment names, and the distro that test_wsl.py makes there."""

import os

# Another image than the pinned one: that of the twin, which stands under the vendor's address.
_image = os.environ.get("VENGEANCE_WINDOWS_IMAGE_SHA256")

windows = [
    (
        "@winrm/tests",
        {
            "winrm_host": os.environ.get("VENGEANCE_WINDOWS_HOST", "127.0.0.1"),
            "winrm_port": int(os.environ.get("VENGEANCE_WINDOWS_PORT", "5986")),
            "winrm_user": os.environ["VENGEANCE_WINDOWS_USER"],
            "winrm_certificate_sha256": os.environ["VENGEANCE_WINDOWS_SHA256"],
            "winrm_password_env": "VENGEANCE_WINDOWS_PASSWORD",
            **({"distro_sha256": _image} if _image else {}),
        },
    ),
]

wsl = ["@wsl/tests/vengeance-tests"]
