"""The twin: a stand-in for the box on this machine, started here when it does not run.

    pyinfra inventory/twin.py deploys/vengeance.py --yes

The same two hosts as in home.py. What differs from the real box is the data below and nothing else: the deploys do not
know about the twin. VENGEANCE_TWIN names another twin than the one that `python -m vengeance.twin` means.
VENGEANCE_TWIN_VLLM=real installs a real vLLM that computes on the processor and serves a model of one sentence: two
minutes and 3 GB of disk. The twin stays with it until it is told VENGEANCE_TWIN_VLLM=stand-in: one that has the flags
and answers of vLLM and computes nothing, with which every twin begins.
"""

import os
import sys

from pyinfra.api.exceptions import InventoryError

from vengeance.secret import Secret
from vengeance.twin import vllm_cpu
from vengeance.twin.client import Twin, TwinError
from vengeance.twin.folders import DEFAULT_NAME
from vengeance.twin.vendors import hub


def _say(sentence: str) -> None:
    print(f"--> Twin: {sentence}", file=sys.stderr)


try:
    _twin = Twin(os.environ.get("VENGEANCE_TWIN") or DEFAULT_NAME)
    _status = _twin.up(on_progress=_say)
    _vllm = vllm_cpu.choice(_twin.folder)
except (TwinError, ValueError, OSError) as _error:
    # pyinfra prints its own errors as a sentence, and a traceback of all others.
    raise InventoryError(str(_error)) from None
_winrm, _distro = _status["winrm"], _status["distro"]

# The twin's own servers answer at the vendors' addresses, with stand-ins of a few MB, so the hashes are others.
_endings = {"ollama_sha256": "/OllamaSetup.exe", "wsl_sha256": ".msi", "distro_sha256": ".wsl"}
_hashes = {
    setting: sha256
    for setting, ending in _endings.items()
    for url, sha256 in _status.get("vendor", {}).items()
    if url.endswith(ending)
}

_stand_in = {
    # No compiler: nothing on the twin needs one, and it is 150 MB.
    "vllm_system_packages": ["ca-certificates", "curl", "python3-venv"],
    # The stand-in lies in a folder that the twin's pip knows. Nothing is downloaded, and its hash is not that of vLLM.
    "vllm_pip_arguments": ["--no-index"],
    "vllm_python": "python3",
    "vllm_lock": None,
    "vllm_size_gb": {"download": 0.01, "installed": 0.1},
    "vllm_start_timeout": 120,
}

windows = [
    (
        "@winrm/vengeance",
        {
            "winrm_host": _winrm["host"],
            "winrm_port": _winrm["https_port"],
            "winrm_user": _winrm["user"],
            "winrm_password": Secret.of(_winrm["password"]),
            "winrm_certificate_sha256": _winrm["certificate_sha256"],
            # The box's address in the tailnet, as this machine reaches it.
            "box_address": _status["network"]["100.98.226.75"],
            **_hashes,
        },
    ),
]

wsl = [
    (
        f"@wsl/vengeance/{_distro['name']}",
        {
            # Where the twin's distro cannot boot systemd, units are verified and enabled, not started.
            "systemd": _distro["systemd"],
            # Without root the twin may not answer at the address of NVIDIA's packages.
            "cuda_toolkit": _distro["vendor_repository"],
            # No real secrets, so that the tests can look for them where they must not be.
            "vllm_api_key": Secret.of("the-twins-api-key"),
            "vllm_hf_token": Secret.of(hub.TOKEN),
            # Nor at the address of the models, which are small ones with no real weights.
            "vllm_download": _distro["vendor_repository"],
            **(vllm_cpu.group_data() if _vllm == vllm_cpu.REAL else _stand_in),
        },
    ),
]

for _sentence in _distro["missing"]:
    _say(_sentence)
if _distro["rung"] == "none":
    wsl = []
