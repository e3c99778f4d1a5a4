"""What a person starts on the box that takes the card for itself: games, ComfyUI, and whatever else."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from vengeance.twin.windows.program import Run
from vengeance.twin.windows.sessions import SERVICES
from vengeance.twin.windows.state import USER

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

_COMFYUI = "C:\\ComfyUI_windows_portable"
_COMFYUI_IMAGE = "python.exe"
_PATIENCE_SECONDS = 20.0


class Games:
    """Programs that hold memory of the card until somebody ends them: each is a process of Windows like any other."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._lock = threading.Lock()

    def hold(self, image: str | None, mib: int, comfyui: bool = False) -> int:
        """Start a program that takes so much of the card; returns its process id.

        image: name of its file, None only for ComfyUI, which is a Python then
        Raises ValueError with a sentence when it is no name of a program, or there is not so much left.
        """
        name = image or (_COMFYUI_IMAGE if comfyui else "")
        if not re.fullmatch(r"[\w .+-]+\.exe", name, re.IGNORECASE):
            raise ValueError(f"{name!r} is no program: give a name such as Cyberpunk2077.exe.")
        gpu = self._windows.gpu
        if mib < 1:
            raise ValueError(f"A program holds 1 MiB or more, not {mib}.")
        with self._lock:
            if not gpu.present or mib > gpu.free_mib:
                raise ValueError(f"{mib} MiB cannot be had: {gpu.free_mib if gpu.present else 0} MiB are free.")
            path = f"{_COMFYUI}\\python_embeded\\{name}" if comfyui else f"C:\\Games\\{name[:-4]}\\{name}"
            line = f'"{path}"' + (" -s ComfyUI\\main.py --windows-standalone-build" if comfyui else "")
            begun = threading.Event()
            pids: list[int] = []

            def program(run: Run) -> int:
                owner, ended = f"program {run.pid}", threading.Event()
                if not gpu.take(owner, mib, run.image, run.pid):
                    begun.set()
                    return 1

                def stop() -> None:
                    gpu.give_back(owner)
                    ended.set()

                run.job.on_stop(stop)
                pids.append(run.pid)
                begun.set()
                ended.wait()
                return 0

            self._windows.add_program(path, program)
            self._windows.place_program(path)
            session = self._windows.sessions.session_of(USER)
            self._windows.launch(line, user=USER, session=SERVICES if session is None else session)
            begun.wait(_PATIENCE_SECONDS)
        if not pids:
            raise ValueError(f"{name} did not get {mib} MiB: somebody was quicker.")
        return pids[0]

    def end(self, image: str) -> list[int]:
        """End every program of this name that has memory of the card; returns their process ids.

        Raises ValueError when there is none.
        """
        holders = [holder for holder in self._windows.gpu.holders if holder.pid]
        pids = [one.pid for one in holders if one.image.rpartition("\\")[2].lower() == image.lower()]
        if not pids:
            names = sorted({one.image.rpartition("\\")[2] for one in holders})
            raise ValueError(
                f"No {image} has memory of the card; of the programs of Windows, {', '.join(names) or 'none'} has."
            )
        for pid in pids:
            self._windows.kill_tree(pid)
        return pids
