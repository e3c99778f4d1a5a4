"""Windows itself: the features it needs, no sleep, and the restart that makes them count."""

from pyinfra import host

from vengeance.operations import settings, windows

settings.check_host()

if "windows" in host.groups:
    switched = [windows.feature(name=f"Feature {each}", feature=each) for each in host.data.windows_features]

    if not host.data.windows_sleep:
        windows.power(name="Windows stays awake", sleep=False, hibernate=False, fast_startup=False)

    windows.reboot(name="Restart, if Windows waits for one", needed=switched, wait=host.data.reboot_timeout)
