"""A distro that boots without root, in a user namespace and in a cgroup folder that somebody gave to the user."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.cgroups import delegated_cgroup
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.instance import BASE_PATH, PID1_WITHOUT_SYSTEMD, BootedInstance

_MARK = "run/host/vengeance-twin"
# Started by unshare as PID 1 of the new namespaces, with the machine's own tools; systemd-nspawn would need root.
# Device nodes cannot be made in a user namespace, only mounted from outside, and /sys belongs to whoever owns the
# network. What is refused where a folder should be read-only (its flags are locked) stays writable.
_BOOT = r"""
set -eu
root=$1 hostname=$2 mark=$3 dxg=$4; shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc sys dev run tmp
mount -t proc proc proc -o nosuid,nodev,noexec
mount -t sysfs sysfs sys -o nosuid,nodev,noexec,ro 2>/dev/null || mount --rbind /sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup -o nosuid,nodev,noexec
mount -t tmpfs tmpfs dev -o nosuid,mode=755,size=4m
for name in null zero full random urandom tty; do
  touch "dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec
mount -t tmpfs tmpfs dev/shm -o nosuid,nodev,mode=1777
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
touch dev/console
[ "$dxg" = False ] || { touch dev/dxg; chmod 666 dev/dxg; }
mount -t tmpfs tmpfs run -o nosuid,nodev,mode=755
mount -t tmpfs tmpfs tmp -o nosuid,nodev,mode=1777
while [ "$1" != -- ]; do
  mount --bind "$1" ".$2"
  [ "$3" = rw ] || mount -o remount,bind,ro ".$2" || mount -o remount,bind,ro,nosuid,nodev ".$2" || :
  shift 3
done
shift
mkdir -p run/host
echo twin > run/host/container-manager
echo "$mark" > run/host/vengeance-twin
hostname "$hostname"
mkdir -p .oldroot
pivot_root . .oldroot
umount -l /.oldroot
rmdir /.oldroot
mount --make-rshared /
exec env -i container=wsl PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
"""
_JOIN = 'mkdir -p "$1" && echo $$ > "$1/cgroup.procs" || exit 1; shift; exec "$@"'


@dataclass
class DelegatedInstance(BootedInstance):
    """A distro in namespaces of its own that were made by hand; the network is the machine's."""

    @property
    def trees(self) -> list[Path]:
        """One folder in the cgroup that was given to the user."""
        ours = delegated_cgroup()
        if ours is None:
            raise DistroError(f"{self.name} does not start: the twin is in no cgroup that belongs to this user.")
        return [ours / f"vengeance-{self.identity}"]

    def _command(self) -> list[str]:
        binds = [
            word
            for source, target, writable in self._binds()
            for word in (str(source), target, "rw" if writable else "ro")
        ]
        first = ["/sbin/init", "--log-target=journal"] if self.systemd else PID1_WITHOUT_SYSTEMD
        return [
            *("sh", "-c", _JOIN, "sh", str(self.trees[0] / "payload")),
            *("unshare", "--mount", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", _BOOT, "sh", str(self.root), self.conf.hostname or self.around.hostname, self.identity),
            str(self.dxg),
            *(*binds, "--", *first),
        ]

    def _find_leader(self) -> int | None:
        """PID 1, once it has changed over to the distro's files."""
        if self._process is not None:
            with suppress(OSError):
                children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
                for pid in children.read_text(encoding="ascii").split():
                    mark = Path(f"/proc/{pid}/root") / _MARK
                    if mark.read_text(encoding="ascii").strip() == self.identity:
                        return int(pid)
        return None

    def outside_prefix(self, user: str) -> list[str]:
        """``nsenter`` into the namespaces of PID 1 but the user's: who is not in that yet needs ``into`` too."""
        if self.leader is None:
            raise DistroError(f"{self.name} does not run, so it cannot be entered.")
        # The PATH of somebody who is not root lacks the folders of root's programs.
        path = ["/usr/bin/env", f"PATH={BASE_PATH}"]
        prefix = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-p", "-C", "--", *path]
        return prefix + ([] if user == "root" else ["runuser", "-u", user, "--"])
