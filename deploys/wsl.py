"""WSL from its package, the distro, its user and settings, and what keeps it up with nobody logged on."""

from pyinfra import host

from vengeance.operations import run_lock, settings, stage, windows, wsl

settings.check_host()
run_lock.take()

distros = [each.data.wsl_distro for each in stage.on_this_box("wsl")]

stage.begins(name="WSL and the distro, on Windows")

if "windows" in host.groups:
    for distro in distros:
        wsl.installed(
            name="WSL from its package",
            version=host.data.wsl_version,
            url=host.data.wsl_url,
            sha256=host.data.wsl_sha256,
            product_code=host.data.wsl_product_code,
            folder=rf"{host.data.work_folder}\downloads",
            proxy=host.data.download_proxy,
        )

        windows.reboot(name="Restart, if WSL's package waits for one", wait=host.data.reboot_timeout)

        wsl.config(name="Settings of WSL's virtual machine", settings=host.data.wslconfig, distro=distro)

        wsl.distro(
            name=f"The distro {distro}",
            distro=distro,
            image_url=host.data.distro_url,
            image_sha256=host.data.distro_sha256,
            path=host.data.distro_path.format(name=distro),
            folder=rf"{host.data.work_folder}\downloads",
            proxy=host.data.download_proxy,
        )

stage.begins(name="User and settings, in the distro")

if "wsl" in host.groups:
    wsl.user(name="The user of the server", user=host.data.linux_user)

    written = wsl.conf(name="Settings of the distro", settings=host.data.wsl_conf)

    if host.data.systemd:
        wsl.instance(name="The distro runs with these settings", systemd=True, conf=written)

stage.begins(name="The distro stays up, by Windows")

if "windows" in host.groups:
    for distro in distros:
        wsl.machine(name="The virtual machine has what its settings say", settings=host.data.wslconfig, distro=distro)

        wsl.keepalive(
            name=f"{distro} stays up with nobody logged on",
            distro=distro,
            logon=host.data.task_logon,
            password=host.data.task_password,
        )

stage.begins(name="The distro is up")
