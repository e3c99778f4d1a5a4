"""The card of Windows in the distro, then the CUDA toolkit from NVIDIA's packages for WSL; no driver is installed."""

from pyinfra import host

from vengeance.operations import cuda, run_lock, settings, stage

settings.check_host()
run_lock.take()

if "wsl" in host.groups:
    sides = stage.on_this_box("windows")

    cuda.passthrough(
        name="The card of Windows reaches the distro",
        driver=sides[0].data.driver_lowest if sides else "0",
        card=sides[0].data.gpu_name if sides else "",
    )

    if host.data.cuda_toolkit:
        cuda.keyring(name="NVIDIA's package source")

        cuda.toolkit(name="CUDA toolkit", version=host.data.cuda_toolkit_version)
