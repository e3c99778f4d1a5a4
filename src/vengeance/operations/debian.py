"""Operations for Debian and Ubuntu packages, beside pyinfra's own."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages
from pyinfra.operations import apt

from vengeance.box import before as names
from vengeance.connectors.long_command import LongCommand, long_commands
from vengeance.operations.before import kept_inside

# Who installs packages now, such as Ubuntu's own updates, holds one of these files; apt waits for two of them, and for
# the others it gives up at once. /proc/locks names the holders by inode: proc_locks(5).
_WAIT = """\
holder() {
  for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    inode=$(stat -c %i "$file" 2>/dev/null) || continue
    awk -v inode="$inode" '{ n = split($6, place, ":"); if (place[n] == inode) print $5 }' /proc/locks
  done | head -n 1
}
waited=0
while pid=$(holder); [ -n "$pid" ]; do
  name=$(cat "/proc/$pid/comm" 2>/dev/null)
  if [ "$waited" -ge {seconds} ]; then
    echo "Process $pid ($name) in the distro installs packages and has not ended after {seconds} s. Look at it with" \
      "'ps -fp $pid', wait until it has ended or end it, then run this again." >&2
    exit 1
  fi
  [ "$waited" -gt 0 ] || echo "process $pid ($name) in the distro installs packages, and is waited for"
  sleep 1
  waited=$((waited + 1))
done
"""
# Apt tells of a full disk as of a server that gave no file.
_ROOM = """\
free=$(df -Pk /var/cache/apt/archives | awk 'NR == 2 { print int($4 / 1024) }')
if [ "$free" -lt 100 ]; then
  echo "The distro has $free MB free in /var/cache/apt/archives, and packages need more: make room (df -h shows where" \
    "there is some, apt-get clean removes what was downloaded), then run this again." >&2
  exit 1
fi
"""
_WAIT_SECONDS = 600
# What apt looks for before it says "dpkg was interrupted": files with numbers for names (apt-pkg, debsystem.cc).
_FINISH = """\
if ls /var/lib/dpkg/updates/ | grep -q '^[0-9][0-9]*$'; then
  DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a
fi
"""


def finish_interrupted(seconds: int = _WAIT_SECONDS) -> StringCommand:
    """Return a command that brings to its end what a restart or a cut connection interrupted in dpkg.

    + seconds: for which it waits, before that, until nobody else installs packages

    Until both is so, apt refuses everything. It fails with a sentence where packages have no room.
    """
    return LongCommand("sh -c", QuoteString(_WAIT.replace("{seconds}", str(seconds)) + _ROOM + _FINISH))


@operation()
def packages(packages: list[str]) -> Generator[PyinfraCommand, None, None]:
    """
    Install packages that are missing, after a fresh look at what there is to install.

    + packages: names of packages, without versions

    ``apt.packages`` of pyinfra refreshes its lists always or by their age, and both count as a change.

    **Example:**

    .. code:: python

        debian.packages(name="Install what vLLM needs", packages=["gcc", "python3-venv"])
    """
    present = host.get_fact(DebPackages)
    missing = [package for package in packages if package not in present]
    if not missing:
        host.noop(f"packages {', '.join(packages)} are installed")
        return
    for package in missing:
        host.log(f"package {package}: (not installed) -> installed")
    yield from kept_inside({names.package(package): None for package in missing})
    yield finish_interrupted()
    yield from long_commands(apt.packages._inner(packages=missing, update=True, no_recommends=True))
