"""Installers on the twin's Windows: msiexec.exe, and programs that were downloaded from the twin's vendors.

What a package is, its last lines say (``vendors.packages``); what it does, ``INSTALLERS`` says. A real installer that
is not told to be silent asks something in a window: in a session without a desktop it waits there for ever, and so
does this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from vengeance.twin.process import ProcessOutput
from vengeance.twin.vendors import packages
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.program import SYSTEM32, Program, Run
from vengeance.twin.windows.works import WORKS, Work, WorkFailed

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

MSIEXEC = f"{SYSTEM32}\\msiexec.exe"
UNINSTALL = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
REBOOT_REQUIRED = r"HKLM\SOFTWARE\vengeance\RebootRequired"
_TAIL = 8192
# Nobody downloads to there, so what lies there is not looked into.
_INSTALLED = ("c:\\windows\\", "c:\\program files")

# https://learn.microsoft.com/windows/win32/msi/error-codes
FAILURE = 1603
UNKNOWN_PRODUCT = 1605
BUSY = 1618
CANNOT_OPEN = 1619
NOT_A_PACKAGE = 1620
NOT_ELEVATED = 1925
WRONG_LINE = 1639
REBOOT_INITIATED = 1641
REBOOT_NEEDED = 3010

Effect: TypeAlias = "Callable[[Windows, Run, Mapping[str, str]], int]"

INSTALLERS: dict[str, Effect] = {}
"""Product -> what its installer does; gets what the package says of itself, and its properties or switches."""

REMOVALS: dict[str, Callable[[Windows, str], bool]] = {}
"""Product -> what its uninstaller takes away; gets the product code, and says whether that is its own."""


class Installers:
    """What is about to go wrong with the next installers of one Windows.

    codes: what the next ones end with, the first first: 1603 and the like install nothing, 1641 and 3010 do
    busy: how many more times Windows Installer says that another installation runs
    """

    def __init__(self, windows: Windows) -> None:
        self.codes: list[int] = []
        self.busy = 0
        windows.add_program(MSIEXEC, msiexec_exe)
        windows.place_program(MSIEXEC)

    def fault(self, code: int, times: int = 1) -> None:
        """Have the next ``times`` installers end with a code; 1618 is what a busy Windows Installer says.

        ValueError for what cannot be one.
        """
        if not isinstance(code, int) or not 0 < code <= 0xFFFFFFFF or not isinstance(times, int) or times < 1:
            raise ValueError(f"An installer ends with a code above 0, at least once, not {code!r} and {times!r} times.")
        if code == BUSY:
            self.busy += times
        else:
            self.codes += [code] * times

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.codes.clear()
        self.busy = 0

    def faults(self) -> list[dict[str, Any]]:
        """What is still to go wrong, as JSON objects."""
        codes: list[dict[str, Any]] = [{"kind": "installer", "code": code, "times": 1} for code in self.codes]
        return codes + ([{"kind": "installer", "code": BUSY, "times": self.busy}] if self.busy else [])

    def next_code(self) -> int:
        """What the installer that runs now is to end with, 0 if nothing else was asked for."""
        return self.codes.pop(0) if self.codes else 0


def about(windows: Windows, path: str, cwd: str = "C:\\") -> dict[str, str] | None:
    """What the package at a path says of itself, None when it is none or not there."""
    try:
        with windows.drive.open_to_read(path, cwd) as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return packages.about(file.read())
    except Win32Error:
        return None


def program_of(windows: Windows, image: str) -> Program | None:
    """What runs when a downloaded installer is started, None when the file is none."""
    if image.lower().startswith(_INSTALLED):
        return None
    said = about(windows, image)
    if said is None or said["product"] not in INSTALLERS or "product_code" in said:
        return None
    return setup_exe


def register(windows: Windows, key: str, values: Mapping[str, str]) -> None:
    """Write a product's entry among the installed programs.

    key: with its hive: ``HKLM\\...\\Uninstall\\{...}``
    """
    for name, data in values.items():
        windows.registry.set(key, name, data)


def _parse(run: Run) -> tuple[dict[str, str], dict[str, str]]:
    """Switches of msiexec in lower case with their values, and properties."""
    switches: dict[str, str] = {}
    properties: dict[str, str] = {}
    words = list(run.argv)
    while words:
        word = words.pop(0)
        if word[:1] in "/-":
            name = word[1:].lower()
            name = "l" if re.fullmatch(r"l[iwearucmopvx+!*]*", name) else name
            takes = name in ("i", "package", "x", "uninstall", "l", "log")
            switches[name] = words.pop(0) if takes and words else ""
        elif "=" in word:
            name, _, value = word.partition("=")
            properties[name] = value.strip('"')
        else:
            switches["?"] = word
    return switches, properties


def msiexec_exe(run: Run) -> int:
    """msiexec.exe /i and /x, silent or not."""
    windows = run.windows
    switches, properties = _parse(run)
    path = switches.get("i") or switches.get("package")
    log = switches.get("l") or switches.get("log")
    if switches.get("x") or switches.get("uninstall"):
        return _uninstall(run, switches.get("x") or switches["uninstall"], switches, log)
    if not path or "?" in switches:
        return WRONG_LINE
    if not any(name in ("qn", "quiet", "passive", "qb") or name.startswith("qn") for name in switches):
        _wait_for_a_click(run)
    if not windows.drive.is_file(path, run.cwd):
        return CANNOT_OPEN
    said = about(windows, path, run.cwd)
    if said is None or "product_code" not in said:
        return NOT_A_PACKAGE
    if windows.installers.busy > 0:
        windows.installers.busy -= 1
        return BUSY
    windows.deeds.add(f"installer of {said['product']}")
    code = _install(run, {**said, **properties}) if run.elevated else NOT_ELEVATED
    if code == REBOOT_INITIATED and "norestart" in switches:
        code = REBOOT_NEEDED
    if log:
        words = f"MSI (s) Product: {said.get('name', said['product'])} -- Installation ended with {code}.\r\n"
        try:
            windows.drive.write(log, words.encode("utf-16"), run.cwd)
        except Win32Error:
            return 1622
    if code == REBOOT_INITIATED:
        windows.schedule_shutdown(0, again=True)
    return code


def _install(run: Run, said: Mapping[str, str]) -> int:
    windows = run.windows
    wanted = windows.installers.next_code()
    if wanted not in (0, REBOOT_INITIATED, REBOOT_NEEDED):
        return wanted
    try:
        code = INSTALLERS[said["product"]](windows, run, said)
    except Win32Error:
        return FAILURE
    if code == 0 and "product_code" in said:
        register(
            windows,
            f"HKLM\\{UNINSTALL}\\{said['product_code']}",
            {
                "DisplayName": said.get("name", said["product"]),
                "DisplayVersion": said["version"],
                "Publisher": said.get("publisher", ""),
                "UninstallString": f"MsiExec.exe /X{said['product_code']}",
            },
        )
    return code or wanted


def _uninstall(run: Run, product_code: str, switches: Mapping[str, str], log: str | None) -> int:
    windows = run.windows
    key = f"HKLM\\{UNINSTALL}\\{product_code}"
    if not any(name in ("qn", "quiet", "passive", "qb") for name in switches):
        _wait_for_a_click(run)
    if not windows.registry.exists(key):
        return UNKNOWN_PRODUCT
    if windows.installers.busy > 0:
        windows.installers.busy -= 1
        return BUSY
    wanted = windows.installers.next_code() if run.elevated else NOT_ELEVATED
    if wanted in (0, REBOOT_INITIATED, REBOOT_NEEDED):
        for removed in REMOVALS.values():
            if removed(windows, product_code):
                break
        windows.registry.delete_key(key)
    if log:
        words = f"MSI (s) Product: {product_code} -- Removal ended with {wanted}.\r\n"
        try:
            windows.drive.write(log, words.encode("utf-16"), run.cwd)
        except Win32Error:
            return 1622
    return REBOOT_NEEDED if wanted == REBOOT_INITIATED else wanted


def setup_exe(run: Run) -> int:
    """An installer made with Inno Setup, told to be silent or not."""
    windows = run.windows
    said = about(windows, run.image)
    if said is None:
        return 1
    switches = {word.partition("=")[0].lstrip("/-").lower(): word.partition("=")[2] for word in run.argv}
    if "verysilent" not in switches and "silent" not in switches:
        _wait_for_a_click(run)
    windows.deeds.add(f"installer of {said['product']}")
    return _install(run, {**said, **switches})


def _wait_for_a_click(run: Run) -> None:
    while True:
        run.job.sleep(0.05)


def _ollama(windows: Windows, run: Run, said: Mapping[str, str]) -> int:
    from vengeance.twin.ollama.setup import install

    return install(windows, run, said["version"], said.get("dir"))


INSTALLERS["ollama"] = _ollama


class _Unheard(ProcessOutput):
    """Nobody reads what an installer prints."""

    def write_stdout(self, data: bytes) -> None:
        """Drop it."""

    def write_stderr(self, data: bytes) -> None:
        """Drop it."""


def invoke_installer(work: Work) -> dict[str, Any]:
    """Invoke-Installer."""
    from vengeance.twin.windows.model import CannotStart
    from vengeance.twin.windows.pipes import InputPipe

    windows, given = work.run.windows, work.input
    began = windows.clock.seconds()
    waited = 0.0
    while True:
        output = _Unheard()
        try:
            image = windows.drive.shown(str(given["file"]))
            if not windows.drive.is_file(image):
                raise CannotStart("The system cannot find the file specified")
            windows.program(image)
            child = windows.spawn(
                work.run,
                output,
                image=image,
                arguments=f" {given['arguments']}" if given["arguments"] else "",
                stdin=InputPipe(),
            )
        except CannotStart as error:
            raise WorkFailed(str(error)) from error
        child.close_stdin()
        limit = windows.clock.seconds() + float(given["timeout_seconds"])
        timed_out = False
        while not child.wait(0.02):
            work.check()
            work.progress({"phase": "installing", "seconds": int(windows.clock.seconds() - began)})
            if windows.clock.seconds() >= limit:
                timed_out = True
                child.terminate()
                child.wait(10)
        code = 1 if timed_out else output.exit_code or 0
        if code != BUSY or waited >= float(given["busy_seconds"]):
            break
        work.progress({"phase": "waiting", "seconds": int(waited)})
        work.sleep(float(given["pause_seconds"]))
        waited += float(given["pause_seconds"])
    if code in (REBOOT_INITIATED, REBOOT_NEEDED):
        # A volatile key, which the boot takes away.
        windows.registry.set(REBOOT_REQUIRED, image.rpartition("\\")[2], str(given["arguments"]))
    seconds = int(windows.clock.seconds() - began)
    return {"rc": code, "timed_out": timed_out, "seconds": seconds, "waited": int(waited)}


WORKS["Invoke-Installer"] = invoke_installer
