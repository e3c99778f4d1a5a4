"""The environment that WSL gives to a Linux program.

microsoft/WSL, src/linux/init/config.cpp (ConfigCreateEnvironmentBlock) and init.cpp (CreateProcessCommon);
WSLENV: "Share environment vars between WSL and Windows" in Microsoft's command line blog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vengeance.twin.distro.accounts import LinuxUser
from vengeance.twin.distro.looks import WSL_LIBRARIES
from vengeance.twin.distro.wsl_conf import WslConf

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games"


def linux_environment(
    *,
    distro: str,
    hostname: str,
    user: LinuxUser,
    conf: WslConf,
    systemd: bool,
    windows: Mapping[str, str],
    to_linux: Callable[[str], str | None],
) -> dict[str, str]:
    """The variables of a program that wsl.exe starts.

    windows: the variables of wsl.exe itself; to_linux: turns a Windows path into a Linux one, None if it cannot
    """
    named = {name.upper(): value for name, value in windows.items()}
    path = [_PATH]
    if conf.append_gpu_library_path:
        path.append(WSL_LIBRARIES)
    if conf.append_windows_path:
        path += [place for part in named.get("PATH", "").split(";") if part and (place := to_linux(part))]
    environment = {
        "HOSTTYPE": "x86_64",
        "LANG": "C.UTF-8",
        "PATH": ":".join(path),
        "TERM": "xterm-256color",
        "NAME": hostname,
        "WSL_DISTRO_NAME": distro,
        "HOME": user.home,
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": user.shell,
        "WSLENV": named.get("WSLENV", ""),
    }
    if systemd:
        environment["XDG_RUNTIME_DIR"] = f"/run/user/{user.uid}"
        environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path=/run/user/{user.uid}/bus"
    environment.update(shared_variables(named, to_linux))
    return environment


def shared_variables(named: Mapping[str, str], to_linux: Callable[[str], str | None]) -> dict[str, str]:
    """The Windows variables that WSLENV names for Linux.

    named: Windows variables with their names in upper case. Flags: /u only to Linux, /w only to Windows, /p a
    path, /l a list of paths.
    """
    shared: dict[str, str] = {}
    for item in named.get("WSLENV", "").split(":"):
        name, _, flags = item.partition("/")
        value = named.get(name.upper())
        if not name or value is None or ("w" in flags and "u" not in flags):
            continue
        if "l" in flags:
            value = ":".join(place for part in value.split(";") if (place := to_linux(part)))
        elif "p" in flags:
            value = to_linux(value) or value
        shared[name] = value
    return shared
