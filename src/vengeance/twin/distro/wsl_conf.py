"""``/etc/wsl.conf``: what a distro says about how WSL is to start it.

Keys and defaults: Microsoft's "Advanced settings configuration in WSL", section wsl.conf. As in WSL, a line that
is not understood is skipped, and section and key names ignore case.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WslConf:
    """The keys that the twin honours, with WSL's defaults."""

    systemd: bool = False
    boot_command: str | None = None
    default_user: str | None = None
    hostname: str | None = None
    generate_hosts: bool = True
    generate_resolv_conf: bool = True
    automount: bool = True
    append_windows_path: bool = True
    append_gpu_library_path: bool = True


def parse_wsl_conf(text: str) -> WslConf:
    """Read the text of a wsl.conf."""
    values = parse_ini(text)

    def flag(section: str, key: str, default: bool) -> bool:
        value = values.get((section, key), "").lower()
        return {"true": True, "1": True, "false": False, "0": False}.get(value, default)

    return WslConf(
        systemd=flag("boot", "systemd", False),
        boot_command=values.get(("boot", "command")) or None,
        default_user=values.get(("user", "default")) or None,
        hostname=values.get(("network", "hostname")) or None,
        generate_hosts=flag("network", "generatehosts", True),
        generate_resolv_conf=flag("network", "generateresolvconf", True),
        automount=flag("automount", "enabled", True),
        append_windows_path=flag("interop", "appendwindowspath", True) and flag("interop", "enabled", True),
        append_gpu_library_path=flag("gpu", "appendlibpath", True) and flag("gpu", "enabled", True),
    )


def parse_ini(text: str) -> dict[tuple[str, str], str]:
    """The (section, key) pairs of an ini text as WSL reads it: names in lower case, quotes taken off, comments out."""
    values: dict[tuple[str, str], str] = {}
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and "]" in line:
            section = line[1 : line.index("]")].strip().lower()
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip() or line.startswith(("#", ";")):
            continue
        value = value.strip()
        quoted = value.startswith('"')
        value = value[1:].partition('"')[0] if quoted else value.partition("#")[0].strip()
        values[section, key.strip().lower()] = value
    return values
