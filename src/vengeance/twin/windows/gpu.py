"""The card of the twin's box: what it is, how much of its memory is taken and by whom, and nvidia-smi.exe.

This is the one model of it: Ollama's runners and games take memory by calling it, programs in a distro over the socket
of ``twin/distro/card.py``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vengeance.box.pins import pinned
from vengeance.twin.windows.program import SYSTEM32, Run

NVIDIA_SMI = f"{SYSTEM32}\\nvidia-smi.exe"
_BAD_USAGE = 2
_NO_DRIVER = 9


@dataclass(frozen=True)
class Holder:
    """Who has memory of the card; ``pid`` is that of Windows, 0 for what runs in a distro; ``label``: what for."""

    pid: int
    image: str
    mib: int
    label: str = ""


# Windows driver, at least -> the CUDA version that it brings. https://docs.nvidia.com/cuda/cuda-toolkit-release-notes
# (table "CUDA Toolkit and Corresponding Driver Versions")
_CUDA_OF_DRIVER = (
    ("590", "13.1"),
    ("580", "13.0"),
    ("575", "12.9"),
    ("570", "12.8"),
    ("565", "12.7"),
    ("560", "12.6"),
    ("555", "12.5"),
    ("550", "12.4"),
    ("545", "12.3"),
    ("535", "12.2"),
    ("530", "12.1"),
    ("527", "12.0"),
    ("520", "11.8"),
)
# What Windows' own desktop takes while nothing else runs, in MiB: who the counters of Windows would name for it. The
# rest is the driver's, which they name nobody for.
_DESKTOP = (("dwm.exe", 760), ("explorer.exe", 240), ("msedgewebview2.exe", 180), ("csrss.exe", 60))
_IDLE_MIB = 1900
_FIRST_DESKTOP_PID = 400
_MACHINE_PID = 380
# As Task Manager names the virtual machine of WSL on Windows 11 (microsoft/WSL#6881); it has no file.
MACHINE = "vmmemWSL"


class Gpu:
    """An RTX 4090 with the desktop on it.

    present: False is a box without card or driver
    changed: called after each change of the memory that is taken
    """

    def __init__(self) -> None:
        self.present = True
        self.name = "NVIDIA GeForce RTX 4090"
        self.driver = pinned("driver")
        # WDDM, or TCC on cards that can be without a display.
        self.driver_model = "WDDM"
        self.uuid = "GPU-7c1e4090-0000-4b1d-8e57-76656e676561"
        self.total_mib = 24564
        self.idle_mib = _IDLE_MIB
        # Whether Windows has the performance counters of GPU memory; broken ones are made anew by lodctr /R.
        self.counted = True
        self.changed: list[Callable[[], None]] = []
        self._holders: dict[str, Holder] = {}
        self._lock = threading.RLock()

    @property
    def cuda(self) -> str:
        """The CUDA version that the driver brings."""
        number = float(self.driver)
        return next((cuda for driver, cuda in _CUDA_OF_DRIVER if number >= float(driver)), "11.0")

    @property
    def used_mib(self) -> int:
        """MiB that are taken, those of the desktop among them."""
        with self._lock:
            return self.idle_mib + sum(holder.mib for holder in self._holders.values())

    @property
    def free_mib(self) -> int:
        """MiB that are left."""
        return self.total_mib - self.used_mib

    @property
    def holders(self) -> list[Holder]:
        """Who has memory, in the order it was taken."""
        with self._lock:
            return list(self._holders.values())

    @property
    def seen_by_windows(self) -> list[Holder]:
        """Who has memory, as the performance counters of Windows name it: what is in a distro is the machine's."""
        with self._lock:
            holders = self.holders
            desktop = [Holder(_FIRST_DESKTOP_PID + 4 * at, *one) for at, one in enumerate(_DESKTOP)]
            inside = sum(holder.mib for holder in holders if not holder.pid)
        machine = [Holder(_MACHINE_PID, MACHINE, inside)] if inside else []
        return [*desktop, *(holder for holder in holders if holder.pid), *machine]

    def set(self, *, present: bool | None = None, driver: str | None = None) -> None:
        """Take the card or its driver away or bring it back, or put another driver in; None leaves it as it is.

        Raises ValueError for what is no version of a driver.
        """
        if driver is not None and not re.fullmatch(r"\d{3}\.\d{2}", driver):
            raise ValueError(f"{driver!r} is no version of an NVIDIA driver: write it as 591.86.")
        with self._lock:
            self.present = self.present if present is None else present
            self.driver = driver or self.driver
            if not self.present:
                self._holders.clear()
        self._tell()

    def take(self, owner: str, mib: int, image: str, pid: int = 0, label: str = "") -> bool:
        """Take memory under a name of the owner's own; False when there is not so much left.

        owner: whoever it is given back by; what he had before is given back first
        image: as nvidia-smi names the process; label: what for, as it is shown to whoever asks the twin
        """
        with self._lock:
            before = self._holders.pop(owner, None)
            fits = self.present and mib <= self.free_mib
            if fits:
                self._holders[owner] = Holder(pid, image, mib, label)
            elif before is not None:
                self._holders[owner] = before
        if fits:
            self._tell()
        return fits

    def give_back(self, owner: str) -> None:
        """Free what an owner has; nothing when he has none."""
        with self._lock:
            had = self._holders.pop(owner, None)
        if had is not None:
            self._tell()

    def clear(self) -> None:
        """Free everything, as a restart does."""
        with self._lock:
            self._holders.clear()
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            for deed in list(self.changed):
                deed()


def _values(gpu: Gpu) -> dict[str, tuple[str, str]]:
    """Field of --query-gpu -> value and unit."""
    values = {
        "index": ("0", ""),
        "count": ("1", ""),
        "name": (gpu.name, ""),
        "uuid": (gpu.uuid, ""),
        "driver_version": (gpu.driver, ""),
        "pci.bus_id": ("00000000:01:00.0", ""),
        "compute_cap": ("8.9", ""),
        "pstate": ("P8", ""),
        "driver_model.current": (gpu.driver_model, ""),
        "display_active": ("Enabled", ""),
        "memory.total": (str(gpu.total_mib), "MiB"),
        "memory.used": (str(gpu.used_mib), "MiB"),
        "memory.free": (str(gpu.free_mib), "MiB"),
        "memory.reserved": ("0", "MiB"),
        "utilization.gpu": ("0", "%"),
        "utilization.memory": ("0", "%"),
        "temperature.gpu": ("38", ""),
        "power.draw": ("21.50", "W"),
        "power.limit": ("450.00", "W"),
    }
    return {**values, "gpu_name": values["name"], "gpu_uuid": values["uuid"], "gpu_bus_id": values["pci.bus_id"]}


def _process_values(gpu: Gpu, holder: Holder) -> dict[str, tuple[str, str]]:
    # Under WDDM the driver does not know how much a process has; the desktop's own driver model decides.
    return {
        "pid": (str(holder.pid), ""),
        "process_name": (holder.image, ""),
        "name": (holder.image, ""),
        "used_memory": ("[N/A]", "MiB"),
        "used_gpu_memory": ("[N/A]", "MiB"),
        "gpu_uuid": (gpu.uuid, ""),
        "gpu_name": (gpu.name, ""),
    }


def nvidia_smi(run: Run) -> int:
    """nvidia-smi.exe: the table, -L, --version, --query-gpu and --query-compute-apps as csv."""
    gpu = run.windows.gpu
    if not gpu.present:
        run.print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
        return _NO_DRIVER
    options: dict[str, str] = {}
    words = run.argv
    index = 0
    while index < len(words):
        name, equals, value = words[index].partition("=")
        if name in ("-i", "--id", "--query-gpu", "--query-compute-apps", "--format") and not equals:
            index += 1
            value = words[index] if index < len(words) else ""
        elif name not in ("-L", "--list-gpus", "--version", "--id", "--query-gpu", "--query-compute-apps", "--format"):
            run.print("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\r\n")
            return _BAD_USAGE
        options[name] = value
        index += 1
    if "-L" in options or "--list-gpus" in options:
        run.print(f"GPU 0: {gpu.name} (UUID: {gpu.uuid})")
        return 0
    if "--version" in options:
        run.print(f"NVIDIA-SMI version  : {gpu.driver}\r\nDRIVER version      : {gpu.driver}")
        run.print(f"CUDA Version        : {gpu.cuda}")
        return 0
    if "--query-gpu" in options:
        return _query(run, options["--query-gpu"], options.get("--format", ""), _values(gpu), [_values(gpu)])
    if "--query-compute-apps" in options:
        shown = [holder for holder in gpu.holders if holder.pid]
        known = _process_values(gpu, Holder(0, "", 0))
        rows = [_process_values(gpu, holder) for holder in shown]
        return _query(run, options["--query-compute-apps"], options.get("--format", ""), known, rows)
    _table(run, gpu)
    return 0


def _query(
    run: Run, fields: str, form: str, known: dict[str, tuple[str, str]], rows: list[dict[str, tuple[str, str]]]
) -> int:
    forms = [word.strip() for word in form.split(",")]
    if "csv" not in forms:
        run.print("Error: --format=csv is required")
        return _BAD_USAGE
    names = [name.strip() for name in fields.split(",")]
    for name in names:
        if name not in known:
            run.print(f'Field "{name}" is not a valid field to query.\r\n')
            return _BAD_USAGE
    if "noheader" not in forms:
        run.print(", ".join(name + (f" [{known[name][1]}]" if known[name][1] else "") for name in names))
    for row in rows:
        cells = []
        for name in names:
            value, unit = row[name]
            bare = "nounits" in forms or not unit or value.startswith("[")
            cells.append(value if bare else f"{value} {unit}")
        run.print(", ".join(cells))
    return 0


def _table(run: Run, gpu: Gpu) -> None:
    line = "+-----------------------------------------------------------------------------------------+"
    head = f"NVIDIA-SMI {gpu.driver:<22} Driver Version: {gpu.driver:<14} CUDA Version: {gpu.cuda:<9}"
    run.print(f"{run.windows.clock.now():%a %b %d %H:%M:%S %Y}")
    run.print(f"{line}\r\n| {head} |\r\n{line}")
    run.print(f"|   0  {gpu.name:<28} {gpu.driver_model:<4}  |   00000000:01:00.0  On |                  Off |")
    used = f"{gpu.used_mib:>7}MiB / {gpu.total_mib:>6}MiB"
    run.print(f"|  0%   38C    P8              22W /  450W | {used} |      0%      Default |")
    run.print(f"{line}\r\n| Processes:                                                                              |")
    for holder in gpu.holders:
        run.print(f"|    0   N/A  N/A {holder.pid:>10}      C   {holder.image[-45:]:<45} N/A      |")
    run.print(line)
