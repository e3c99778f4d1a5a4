"""The settings of the twin's Linux side."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vengeance.twin.distro.errors import DistroError

DEFAULT_SUITE = "bookworm"
RUNGS = ("namespaces", "delegated", "chroot", "none")
"""How much of a distro there is: see ``ladder``."""


def cache_folder() -> Path:
    """Where things are kept that every twin can share: ``$XDG_CACHE_HOME/vengeance`` or ``~/.cache/vengeance``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vengeance"


@dataclass(frozen=True)
class DistroSettings:
    """What the Linux side of one twin is made of.

    suite: Debian suite of the root filesystem. bookworm, because its Python 3.11 is what the CPU build of
        torch is made for; trixie works too
    mirror: address of the package mirror; None takes the host's own (only on a Debian host), else
        mmdebstrap's default
    security_mirror: the same for the security suite; None is the host's own, else none
    components: sections of the archive
    user: the Linux user, uid 1000
    hostname: the name of the Windows computer, which WSL gives to the distro
    rung: None to climb as high as the machine allows, or "namespaces", "delegated" or "chroot" for
        that one at best
    own_network: False to share the host's network even where a network of its own is possible
    boot_timeout: seconds that systemd may take to boot (WSL's ``initTimeout`` is 10 s; a busy test machine
        is slower than a 4090's host)
    cache: folder shared by all twins
    """

    suite: str = DEFAULT_SUITE
    mirror: str | None = None
    security_mirror: str | None = None
    components: tuple[str, ...] = ("main",)
    user: str = "steam"
    hostname: str = "VENGEANCE"
    rung: str | None = None
    own_network: bool = True
    boot_timeout: float = 60.0
    cache: Path = field(default_factory=cache_folder)

    @staticmethod
    def from_environment() -> DistroSettings:
        """The settings with what VENGEANCE_TWIN_SUITE, _MIRROR, _SECURITY_MIRROR and _RUNG say.

        Raises DistroError for a rung that there is not.
        """
        rung = os.environ.get("VENGEANCE_TWIN_RUNG") or None
        if rung not in (None, *RUNGS):
            raise DistroError(f"VENGEANCE_TWIN_RUNG is {rung!r}: use one of {', '.join(RUNGS)}, or unset it.")
        return DistroSettings(
            suite=os.environ.get("VENGEANCE_TWIN_SUITE") or DEFAULT_SUITE,
            mirror=os.environ.get("VENGEANCE_TWIN_MIRROR") or None,
            security_mirror=os.environ.get("VENGEANCE_TWIN_SECURITY_MIRROR") or None,
            rung=rung,
        )
