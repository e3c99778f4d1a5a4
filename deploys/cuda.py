"""NVIDIA's package source for WSL and the CUDA toolkit; the driver is the one of Windows."""

from pyinfra import host

from vengeance.operations import cuda, settings

settings.check_host()

if "wsl" in host.groups and host.data.cuda_toolkit:
    cuda.keyring(name="NVIDIA's package source")

    cuda.toolkit(name="CUDA toolkit", version=host.data.cuda_toolkit_version)
