"""Where findings are documented, in short."""

from __future__ import annotations

BOOTSTRAP = "bootstrap/README.md"
README = "README.md"
UNIT = "docs/vllm-unit.md"
WINDOWS_SETTINGS = "group_data/windows.py"
WSL_SETTINGS = "group_data/wsl.py"
INVENTORY = "inventory/home.py"
WSL_CONFIG = "https://learn.microsoft.com/windows/wsl/wsl-config"
CUDA_ON_WSL = "https://docs.nvidia.com/cuda/wsl-user-guide/"
OLLAMA_FAQ = "https://github.com/ollama/ollama/blob/main/docs/faq.mdx"
OLLAMA_WINDOWS = "https://github.com/ollama/ollama/blob/main/docs/windows.mdx"
VLLM_MEMORY = "https://docs.vllm.ai/en/latest/configuration/conserving_memory/"
WINRM_SETUP = (
    "https://learn.microsoft.com/windows/win32/winrm/installation-and-configuration-for-windows-remote-management"
)
TAILSCALE_ADMIN = "https://login.tailscale.com/admin/machines"
TASK_SETTINGS = "https://learn.microsoft.com/powershell/module/scheduledtasks/new-scheduledtasksettingsset"
FIREWALL = (
    "https://learn.microsoft.com/windows/security/operating-system-security/network-security/windows-firewall/rules"
)


def wsl(issue: int) -> str:
    """The address of an issue of microsoft/WSL."""
    return f"https://github.com/microsoft/WSL/issues/{issue}"


def ollama(issue: int) -> str:
    """The address of an issue of ollama/ollama."""
    return f"https://github.com/ollama/ollama/issues/{issue}"


def vllm(issue: int) -> str:
    """The address of an issue of vllm-project/vllm."""
    return f"https://github.com/vllm-project/vllm/issues/{issue}"


def deploy(stage: str) -> str:
    """The command that runs one stage."""
    return f"pyinfra {{inventory}} deploys/{stage}.py"
