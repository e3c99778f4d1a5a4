"""What can only be seen while a run goes on: command lines, environments and temporary files."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from tests.faults.secret_search import Found, Search

_EVERY = 0.02
_SMALL = 1 << 20


class Watch:
    """Looks at every process of this machine, those in distros included, and at files that come and go.

    search: for which secrets; folders: where such files are
    """

    def __init__(self, search: Search, folders: Iterable[Path]) -> None:
        self._search = search
        self._folders = list(folders)
        self._lines: dict[str, bytes] = {}
        self._files: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.found: dict[tuple[str, str, str], Found] = {}
        self.processes = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    self._process(pid)
            for folder in self._folders:
                self._look(folder)

    def _process(self, pid: str) -> None:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if self._lines.get(pid) == line:
            return
        self._lines[pid] = line
        self.processes += 1
        said = line.replace(b"\0", b" ").decode("utf-8", "backslashreplace").strip()
        self._note(self._search.text(f"the command line of {said}", line))
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        # The last word of the control group is the unit that it belongs to.
        unit = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").strip().rpartition("/")[2]
        self._note(self._search.text(f"the environment of {said} in {unit}", environment))

    def _look(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            for one in os.scandir(folder):
                with contextlib.suppress(OSError):
                    about = one.stat(follow_symlinks=False)
                    if one.is_dir(follow_symlinks=False):
                        self._look(Path(one.path))
                    elif one.is_file(follow_symlinks=False) and about.st_size < _SMALL:
                        seen = (about.st_mtime_ns, about.st_size)
                        if self._files.get(one.path) != seen:
                            self._files[one.path] = seen
                            self._note(self._search.text(one.path, Path(one.path).read_bytes()))

    def _note(self, found: list[Found]) -> None:
        for one in found:
            self.found[one.name, one.form, one.place] = one
