"""The root filesystem that every twin's distro starts from: built once with mmdebstrap, then shared read-only.

Measured with the bookworm suite on two cores: 45 s to build, 250 MB, and a 73 MB tarball beside it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host_packages import apt_options, host_certificates, host_mirrors
from vengeance.twin.distro.programs import found, run
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.distro.user_namespace import inside, unpacking

# What a fresh Ubuntu for WSL has of these, and what this project's deploys and pyinfra's facts use.
PACKAGES = (
    *("systemd", "systemd-sysv", "libpam-systemd", "dbus", "dbus-user-session", "sudo", "passwd", "adduser"),
    *("procps", "kmod", "iproute2", "iputils-ping", "curl", "wget", "gnupg", "ca-certificates"),
    *("openssh-client", "lsb-release", "less", "python3", "python3-venv", "python3-pip"),
)

_OPTIONS = (
    "--quiet",
    "--mode=root",
    "--variant=apt",
    "--include=" + ",".join(PACKAGES),
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=DPkg::Lock::Timeout "60"',
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)

# Run by mmdebstrap on the host with the new root as $1; what it needs lies beside it.
_CUSTOMISE = """#!/bin/sh
set -eu
root=$1 here=$(dirname "$0")
cp "$here/90host" "$root/etc/apt/apt.conf.d/90host"
mkdir -p "$root/usr/local/share/ca-certificates"
for file in "$here"/certificates/*.crt; do
  [ -e "$file" ] && install -m 644 "$file" "$root/usr/local/share/ca-certificates/"
done
chroot "$root" update-ca-certificates >/dev/null 2>&1
printf '%s\\n' "$TWIN_HOSTNAME" > "$root/etc/hostname"
: > "$root/etc/machine-id"
rm -f "$root/etc/resolv.conf"
: > "$root/etc/resolv.conf"
# Ubuntu keeps its journal over restarts, Debian's minimal system does not.
mkdir -p "$root/var/log/journal"
chroot "$root" systemctl mask --quiet systemd-modules-load.service sys-kernel-debug.mount \\
  sys-kernel-tracing.mount apt-daily.timer apt-daily-upgrade.timer systemd-networkd.service \\
  systemd-networkd-wait-online.service systemd-resolved.service console-getty.service
"""

# Run on the unpacked tree ($1) when the tarball is written: a vendor's image has no user ($2) yet.
_FIRST_USER = """set -eu
chroot "$1" useradd --create-home --shell /bin/bash --uid 1000 --groups sudo "$2"
printf '%s ALL=(ALL) NOPASSWD:ALL\\n' "$2" > "$1/etc/sudoers.d/90-$2"
chmod 440 "$1/etc/sudoers.d/90-$2"
"""


@dataclass(frozen=True)
class Rootfs:
    """A built root filesystem.

    tree: with its first user, never written to; tarball: as a vendor gives it out, without one, for ``wsl --import``
    """

    tree: Path
    tarball: Path
    key: str


def rootfs(settings: DistroSettings, authority: bytes, say: Callable[[str], None] = lambda text: None) -> Rootfs:
    """The root filesystem for these settings, built if it is not in the cache.

    authority: PEM text of the certificate authority that signs for the vendor's host name
    say: told in a sentence what takes long
    Raises DistroError with mmdebstrap's last lines.
    """
    mirrors = host_mirrors()
    main = settings.mirror or mirrors.main
    security = settings.security_mirror or (mirrors.security if settings.mirror is None else None)
    options = apt_options()
    certificates = {**host_certificates(), "vengeance-twin-vendor.crt": authority}
    sources = _sources(settings, main, security)
    key = settings.suite + "-" + key_of(
        _CUSTOMISE,
        _FIRST_USER,
        *_OPTIONS,
        settings.user,
        settings.hostname,
        *sources,
        options,
        *(name.encode() + data for name, data in certificates.items()),
    )  # fmt: skip

    def build(folder: Path) -> None:
        say(f"Building the distro's root filesystem ({settings.suite}); this is done once and takes about a minute")
        _build(folder, settings, sources, options, certificates)

    folder = built_once(settings.cache / "rootfs", key, build)
    return Rootfs(folder / "tree", folder / "rootfs.tar.zst", key)


def _sources(settings: DistroSettings, main: str | None, security: str | None) -> list[str]:
    if main is None:
        return []  # mmdebstrap knows the archive of the suite itself
    components = " ".join(settings.components)
    sources = [f"deb {main} {settings.suite} {components}"]
    if settings.suite not in ("sid", "unstable"):
        sources.append(f"deb {main} {settings.suite}-updates {components}")
        if security is not None:
            sources.append(f"deb {security} {settings.suite}-security {components}")
    return sources


def _build(
    folder: Path,
    settings: DistroSettings,
    sources: list[str],
    options: str,
    certificates: dict[str, bytes],
) -> None:
    if inside():
        raise DistroError(f"The distro's root filesystem {folder.stem} is not in the cache; start the twin again.")
    rootless = os.geteuid() != 0
    for program, package in (("mmdebstrap", "mmdebstrap"), ("zstd", "zstd"), ("tar", "tar")):
        if not found(program):
            raise DistroError(f"Building the distro needs {program}. Run: apt-get install -y {package}")
    free = shutil.disk_usage(folder).free
    if free < 1_500_000_000:
        raise DistroError(
            f"Building the distro needs 1.5 GB in {folder.parent}, and {free / 1e9:.1f} GB are free. "
            "Free some space, or set XDG_CACHE_HOME to a folder on another disk."
        )
    with tempfile.TemporaryDirectory(prefix="vg-rootfs-") as temporary:
        work = Path(temporary)
        if rootless:
            # mmdebstrap runs the hook under one of the user's subordinate ids, which is a stranger to this folder.
            work.chmod(0o755)
        (work / "90host").write_text(options, encoding="utf-8")
        (work / "certificates").mkdir()
        for name, data in certificates.items():
            (work / "certificates" / name).write_bytes(data)
        hook = work / "customise"
        hook.write_text(
            _CUSTOMISE.replace("$TWIN_HOSTNAME", settings.hostname),
            encoding="utf-8",
        )
        hook.chmod(0o755)
        tarball = folder / "rootfs.tar"
        run(
            [
                "mmdebstrap",
                *_OPTIONS,
                *(["--mode=unshare"] if rootless else []),
                *(f"--aptopt={line.rstrip(';')}" for line in options.splitlines()),
                f'--customize-hook={hook} "$1"',
                settings.suite,
                tarball,
                *sources,
            ],
            what=f"build the {settings.suite} root filesystem",
            timeout=1800,
        )
        tree = folder / "tree"
        tree.mkdir(mode=0o755)
        run(
            unpacking(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-xf", tarball, "--exclude=./dev/*"]),
            what="unpack the root filesystem",
            timeout=600,
        )
        run(
            unpacking(["/bin/sh", "-c", _FIRST_USER, "sh", tree, settings.user]),
            what="make the first user of the root filesystem",
        )
        run(["zstd", "-q", "-3", "-T0", "--rm", tarball], what="pack the root filesystem", timeout=600)
