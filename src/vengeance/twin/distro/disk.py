"""The file system of one registered distro: what WSL keeps in an ext4.vhdx.

An overlay over the shared root filesystem where the machine can do that (a reset takes 10 ms), else a full copy.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.programs import run, runs
from vengeance.twin.distro.user_namespace import overlay_options


@dataclass(frozen=True)
class Disk:
    """The folder of one distro's files.

    folder: holds ``disk.json`` and either ``upper`` + ``work`` + ``root`` (overlay) or only ``root`` (copy)
    """

    folder: Path

    @property
    def root(self) -> Path:
        """Where the distro's files are seen while the disk is attached."""
        return self.folder / "root"

    @staticmethod
    def over(folder: Path, base: Path, overlay: bool) -> Disk:
        """A new disk that starts as ``base``, which must never change afterwards when ``overlay`` is true."""
        disk = Disk(folder)
        (folder / "root").mkdir(parents=True)
        disk._write("overlay" if overlay else "copy", base)
        if overlay:
            (folder / "upper").mkdir(mode=0o755)
            (folder / "work").mkdir()
        else:
            run(
                ["cp", "-a", "--reflink=auto", f"{base}/.", disk.root],
                what="copy the root filesystem",
                timeout=600,
            )
        return disk

    @staticmethod
    def from_tar(folder: Path, tarball: Path) -> Disk:
        """A new disk from a root filesystem tarball, in any compression that tar knows.

        Raises DistroError when it is no tarball.
        """
        disk = Disk(folder)
        disk.root.mkdir(parents=True)
        disk._write("copy", None)
        try:
            run(
                [
                    *("tar", "-C", str(disk.root), "--numeric-owner", "--xattrs", "-xf", str(tarball)),
                    *("--exclude=./dev/*", "--exclude=dev/*"),
                ],
                what="unpack the distribution",
                timeout=1800,
            )
        except DistroError:
            disk.delete()
            raise
        return disk

    def _write(self, kind: str, base: Path | None) -> None:
        text = json.dumps({"kind": kind, "base": None if base is None else str(base)})
        (self.folder / "disk.json").write_text(text, encoding="utf-8")

    def _description(self) -> tuple[str, str | None]:
        try:
            data = json.loads((self.folder / "disk.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DistroError(
                f"The files of a distro are not in {self.folder}. Start the twin afresh with `reset`."
            ) from None
        return data["kind"], data["base"]

    def attach(self) -> Path:
        """Make the distro's files visible in ``root``; nothing happens if they are."""
        kind, base = self._description()
        if kind == "copy" or self.root.is_mount():
            return self.root
        if base is None or not Path(base).is_dir():
            raise DistroError(
                f"The root filesystem {base}, on which this distro is laid, is gone. "
                "Start the twin afresh with `reset`."
            )
        layers = overlay_options(Path(base), self.folder / "upper", self.folder / "work")
        run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], what="mount the distro's file system")
        return self.root

    def detach(self) -> None:
        """Undo ``attach``, with everything that is mounted below it."""
        for point in reversed(_mounts_below(self.root)):
            if not runs(["umount", point]):
                runs(["umount", "--lazy", point])

    def delete(self) -> None:
        """Remove the distro's files for good."""
        self.detach()
        if _mounts_below(self.folder):
            raise DistroError(f"{self.folder} is still mounted, so the distro's files are not removed.")
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            run(["rm", "-rf", "--one-file-system", self.folder], what="remove the distro's files")


def _mounts_below(folder: Path) -> list[str]:
    """The mount points at or below this folder, outermost first."""
    prefix = str(folder.resolve())
    found: list[str] = []
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[1])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(point)
    return found
