"""Windows itself: its features, no sleep, what must hold over a restart, and the restart that makes it count."""

from pyinfra import host

from vengeance.operations import run_lock, settings, tailscale, windows

settings.check_host()
run_lock.take()

if "windows" in host.groups:
    windows.private_directory(name="Nobody else can put anything where the deploys work", path=host.data.work_folder)

    switched = [windows.feature(name=f"Feature {each}", feature=each) for each in host.data.windows_features]

    if not host.data.windows_sleep:
        windows.power(name="Windows stays awake", sleep=False, hibernate=False, fast_startup=False)

    # Before the restart: without it a box that is reached through its tailnet would not come back.
    if host.data.tailscale_wanted:
        tailscale.settings(
            name="Tailscale stays with nobody logged on",
            unattended=True,
            required=host.data.expose != "none",
        )

    for port in [host.data.ollama_port, *host.data.exposed_ports]:
        windows.reserved_port(name=f"Windows' own NAT leaves port {port} alone", port=port)

    windows.reboot(name="Restart, if Windows waits for one", needed=switched, wait=host.data.reboot_timeout)
