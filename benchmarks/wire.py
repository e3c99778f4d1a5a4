"""The figures of the wire, measured against a twin, beside pywinrm's and Ansible's where those are installed.

    python benchmarks/wire.py [--json] [--only WORD]... [--megabytes N] [--commands N]

Requests and bytes are counted by the twin: every HTTP request, handshakes included, and the bytes of the
bodies. The twin starts no PowerShell (a stand-in answers at once), so on a real box each start that is counted
here costs some hundred milliseconds more. Exit code 0 also where a figure is missed: the table says so.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from vengeance.powershell import load
from vengeance.twin.client import Twin, TwinError
from vengeance.twin.folders import DEFAULT_NAME
from vengeance.winrm.client import AgentTexts, WinRMClient
from vengeance.winrm.result import Result
from vengeance.winrm.settings import WinRMSettings

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
DELAY_MS = 20


# --- what is measured --------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the table; a None was not measured."""

    case: str
    requests: int | None = None
    megabytes_up: float | None = None
    megabytes_down: float | None = None
    starts: int | None = None
    seconds: float | None = None
    seconds_delayed: float | None = None
    note: str = ""


@dataclass
class Figure:
    """One figure of the project, and whether it was met."""

    sentence: str
    limit: str
    measured: str
    met: bool


@dataclass
class Report:
    """Everything that one run of the benchmark found."""

    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def judge(self, sentence: str, measured: float | None, limit: float, unit: str = "", digits: int = 2) -> None:
        """Add a figure that must be at most ``limit``; one that was not measured is missed."""
        text = "not measured" if measured is None else f"{measured:.{digits}f}{unit}"
        met = measured is not None and measured <= limit
        self.figures.append(Figure(sentence, f"<= {limit:g}{unit}", text, met))


@dataclass(frozen=True)
class Counts:
    """What the twin counted between two moments."""

    requests: int
    bytes_in: int
    bytes_out: int
    starts: int
    seconds: float


# --- the twin ----------------------------------------------------------------------------------------------


class Bench:
    """A twin and what its counters say."""

    def __init__(self, name: str) -> None:
        self.twin = Twin(name)
        self.endpoint: dict[str, Any] = {}
        self.has_distro = False

    def up(self, distro: bool = True) -> None:
        """Start the twin."""
        status = self.twin.up(distro=distro)
        self.endpoint = dict(status["winrm"])
        self.has_distro = distro and status["distro"]["rung"] != "none"

    def down(self) -> None:
        """Stop the twin."""
        self.twin.down()

    @property
    def pid(self) -> int:
        """The number of its process."""
        pid = self.twin.pid
        if pid is None:
            raise RuntimeError(f"the twin {self.twin.name} does not run")
        return pid

    def delay(self, milliseconds: int) -> None:
        """Make every request take so much longer; 0 ends that."""
        self.twin.fault("clear")
        if milliseconds:
            self.twin.fault("delay", milliseconds=milliseconds, times=None)

    def _now(self) -> tuple[int, int, int, int]:
        seen = self.twin.log_snapshot()
        starts: Mapping[str, int] = seen["process_starts"]
        powershell = sum(count for name, count in starts.items() if name.lower().startswith("powershell"))
        return int(seen["requests"]), int(seen["bytes_in"]), int(seen["bytes_out"]), powershell

    @contextmanager
    def counting(self) -> Iterator[list[Counts]]:
        """Count what happens inside; the list has one entry afterwards."""
        result: list[Counts] = []
        before, began = self._now(), time.perf_counter()
        yield result
        seconds = time.perf_counter() - began
        after = self._now()
        requests, up, down, starts = (b - a for a, b in zip(before, after, strict=True))
        result.append(Counts(requests, up, down, starts, seconds))


def measure(bench: Bench, case: str, run: Callable[[dict[str, Any]], None], note: str = "") -> Row:
    """Run a case once as it is and once with the delay, and make its row."""
    with bench.counting() as plain:
        run(bench.endpoint)
    bench.delay(DELAY_MS)
    try:
        with bench.counting() as delayed:
            run(bench.endpoint)
    finally:
        bench.delay(0)
    seen = plain[0]
    return Row(
        case,
        seen.requests,
        seen.bytes_in / 1e6,
        seen.bytes_out / 1e6,
        seen.starts,
        seen.seconds,
        delayed[0].seconds,
        note,
    )


# --- clients that others wrote -----------------------------------------------------------------------------


def pywinrm_commands(count: int) -> Callable[[dict[str, Any]], None]:
    """``Session.run_cmd``, the way that pywinrm's documentation shows: a shell for each command."""

    def run(endpoint: dict[str, Any]) -> None:
        import winrm

        session = winrm.Session(
            endpoint["http"], auth=(endpoint["user"], endpoint["password"]), transport="ntlm", proxy=None
        )
        for _ in range(count):
            answer = session.run_cmd("echo hello")
            if answer.std_out.strip() != b"hello":
                raise RuntimeError(f"pywinrm got {answer.std_out!r} and {answer.std_err!r} instead of 'hello'")

    return run


def pywinrm_powershell(count: int) -> Callable[[dict[str, Any]], None]:
    """``Session.run_ps``: a PowerShell for each command; the twin refuses the script, after the same requests."""

    def run(endpoint: dict[str, Any]) -> None:
        import winrm

        session = winrm.Session(
            endpoint["http"], auth=(endpoint["user"], endpoint["password"]), transport="ntlm", proxy=None
        )
        for _ in range(count):
            session.run_ps("'hello'")

    return run


def ansible_raw(count: int) -> Callable[[dict[str, Any]], None]:
    """A playbook of ``count`` tasks ``raw: hostname``; Ansible wraps each in PowerShell."""

    def run(endpoint: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="vengeance-bench-") as folder:
            inventory, playbook = Path(folder, "inventory.json"), Path(folder, "play.json")
            host = {
                "ansible_connection": "winrm",
                "ansible_host": endpoint["host"],
                "ansible_port": endpoint["http_port"],
                "ansible_user": endpoint["user"],
                "ansible_password": endpoint["password"],
                "ansible_winrm_scheme": "http",
                "ansible_winrm_transport": "ntlm",
                "ansible_shell_type": "cmd",
            }
            inventory.touch(mode=0o600)
            inventory.write_text(json.dumps({"all": {"hosts": {"box": host}}}), encoding="utf-8")
            tasks = [{"raw": "hostname"} for _ in range(count)]
            play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
            playbook.write_text(json.dumps(play), encoding="utf-8")
            done = subprocess.run(
                [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, playbook],
                env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "0", "HOME": folder, "LC_ALL": "C.UTF-8"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0 or f"ok={count}" not in done.stdout:
                raise RuntimeError(f"Ansible ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}")

    return run


# --- ours --------------------------------------------------------------------------------------------------


DISTRO = "Ubuntu-24.04"
LINUX_USER = "steam"
TEXTS = AgentTexts(
    loader=load("agent/loader"),
    agent=load("agent/agent"),
    process=load("agent/process"),
    write_chunk=load("agent/write-chunk"),
    read_chunk=load("agent/read-chunk"),
)


def our_client(endpoint: dict[str, Any], mode: str = "agent", duplex: bool = True) -> WinRMClient:
    """A client of ours on the twin, over http with sealed NTLM."""
    password = str(endpoint["password"])
    settings = WinRMSettings(
        host=endpoint["host"],
        port=endpoint["http_port"],
        user=endpoint["user"],
        password=lambda: password,
        scheme="http",
        mode=mode,
        duplex=duplex,
    )
    return WinRMClient(settings, TEXTS)


def expect_hello(result: Result) -> None:
    """Raise RuntimeError unless a command printed hello."""
    if result.code != 0 or result.stdout.strip() != b"hello":
        raise RuntimeError(f"the command ended with {result.code}: {result.stdout!r} {result.stderr!r}")


ECHO = json.dumps(
    {"file": "cmd.exe", "arguments": "/c echo hello", "stdin": None, "cwd": None, "env": {}, "timeout": None}
)


def our_windows_commands(count: int, mode: str, duplex: bool) -> Callable[[dict[str, Any]], None]:
    """Commands on Windows, one after the other over one client, connecting and leaving included."""
    script = load("Invoke-Program")

    def run(endpoint: dict[str, Any]) -> None:
        client = our_client(endpoint, mode, duplex)
        try:
            for _ in range(count):
                if mode == "process":
                    expect_hello(client.cmd("echo hello"))
                    continue
                answer = client.powershell(script, ECHO)
                if answer.code != 0:
                    raise RuntimeError(f"Invoke-Program ended with {answer.code}: {answer.stderr!r}")
                inner = json.loads(answer.stdout)
                expect_hello(Result(inner["rc"], base64.b64decode(inner["stdout"]), base64.b64decode(inner["stderr"])))
        finally:
            client.close()

    return run


def our_windows_facts(count: int) -> Callable[[dict[str, Any]], None]:
    """A fact of Windows again and again over one client, connecting and leaving included."""
    script = load("Get-Boot")

    def run(endpoint: dict[str, Any]) -> None:
        client = our_client(endpoint)
        try:
            for _ in range(count):
                answer = client.powershell(script, "{}")
                if answer.code != 0:
                    raise RuntimeError(f"Get-Boot ended with {answer.code}: {answer.stderr!r}")
        finally:
            client.close()

    return run


def our_linux_commands(count: int, duplex: bool = True) -> Callable[[dict[str, Any]], None]:
    """Commands in the distro, one after the other."""

    def run(endpoint: dict[str, Any]) -> None:
        client = our_client(endpoint, duplex=duplex)
        try:
            for _ in range(count):
                expect_hello(client.sh(DISTRO, LINUX_USER, "echo hello"))
        finally:
            client.close()

    return run


# --- transfers ---------------------------------------------------------------------------------------------


class Pattern(io.RawIOBase):
    """A file of ``size`` bytes that is never in memory: numbered blocks, so that no two are equal."""

    BLOCK = 64 * 1024

    def __init__(self, size: int, seed: str) -> None:
        self._size, self._at = size, 0
        self._filler = hashlib.sha256(seed.encode()).digest() * (self.BLOCK // 32)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  (typeshed's WriteableBuffer has no public name)
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self._size:
            number, inside = divmod(self._at, self.BLOCK)
            block = number.to_bytes(8, "big") + self._filler[8:]
            piece = block[inside : inside + min(len(view) - done, self._size - self._at)]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done


class Sink(io.RawIOBase):
    """Where a download goes: only its size and SHA-256 are kept."""

    def __init__(self) -> None:
        self.digest, self.size = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset != self.size or whence != os.SEEK_SET:
            raise OSError("the download was begun anew, which this benchmark does not follow")
        return offset

    def truncate(self, size: int | None = None) -> int:
        return self.size

    def write(self, data: Any) -> int:  # noqa: ANN401
        view = bytes(data)
        self.digest.update(view)
        self.size += len(view)
        return len(view)


def status_kb(pid: int | str, name: str) -> int:
    """A field of /proc/PID/status, in kB (``VmHWM``, ``VmRSS``)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status has no {name}")
    return int(found[1])


def forget_peak(pid: int | str) -> None:
    """Make the peak of a process's memory start again from what it holds now (see proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


@contextmanager
def peak_of(pid: int | str) -> Iterator[list[float]]:
    """How many MiB the memory of a process grew at most inside; the list has one entry afterwards."""
    result: list[float] = []
    forget_peak(pid)
    before = status_kb(pid, "VmRSS")
    yield result
    result.append((status_kb(pid, "VmHWM") - before) / 1024)


@dataclass(frozen=True)
class Transfer:
    """What one transfer cost; growths in MiB."""

    row: Row
    ours_mib: float
    twin_mib: float


def transfer(bench: Bench, case: str, size: int, target: str, direction: str) -> Transfer:
    """Carry a file to or from Windows (a path with a drive letter) or the distro."""
    path, windows = target, ":" in target[:2]
    client = our_client(bench.endpoint)
    source, sink = Pattern(size, target), Sink()
    try:
        # What is needed once for any command is not the transfer's: the sign-in and the agent's start.
        if windows:
            client.powershell(load("Get-Sha256"), json.dumps({"path": path}))
        else:
            client.sh(DISTRO, LINUX_USER, ":")
        with (
            peak_of("self") as ours,
            peak_of(bench.pid) as twins,
            bench.counting() as counts,
        ):
            if direction == "up":
                stream = io.BufferedReader(source)
                if windows:
                    client.upload(stream, path)
                else:
                    client.upload_to_distro(DISTRO, LINUX_USER, stream, path)
            elif windows:
                client.download(path, cast(IO[bytes], sink))
            else:
                client.download_from_distro(DISTRO, LINUX_USER, path, cast(IO[bytes], sink))
        if direction == "down":
            wanted = hashlib.sha256()
            for block in iter(lambda: source.read(MIB) or b"", b""):
                wanted.update(block)
            if sink.digest.digest() != wanted.digest():
                raise RuntimeError(f"{path} came back with another content ({sink.size} of {size} bytes)")
    finally:
        client.close()
    seen = counts[0]
    note = f"memory: ours +{ours[0]:.1f} MiB, twin +{twins[0]:.1f} MiB"
    row = Row(case, seen.requests, seen.bytes_in / 1e6, seen.bytes_out / 1e6, seen.starts, seen.seconds, None, note)
    return Transfer(row, ours[0], twins[0])


# --- the whole deploy --------------------------------------------------------------------------------------


def run_deploy() -> str:
    """Run the deploy on the twin of its inventory; return what pyinfra printed."""
    done = subprocess.run(
        [Path(sys.executable).parent / "pyinfra", "inventory/twin.py", "deploys/vengeance.py", "--yes"],
        cwd=ROOT,
        env={**os.environ, "VENGEANCE_TWIN": DEFAULT_NAME},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the deploy ended with {done.returncode}: {done.stdout[-1500:]}")
    return done.stdout


def changed_operations(output: str) -> int:
    """How many operations of a run changed something, from the totals in pyinfra's table of results."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    totals = [line.split() for line in plain.splitlines() if line.split()[:2] == ["Grand", "total"]]
    if not totals:
        raise RuntimeError(f"pyinfra printed no table of results: {plain[-600:]}")
    # Grand total, operations on hosts, success, error, no change; a dash is none.
    success = totals[-1][3]
    return 0 if success == "-" else int(success)


# --- ten at once -------------------------------------------------------------------------------------------


def in_parallel(benches: list[Bench], commands: int) -> dict[str, tuple[float, float]]:
    """Seconds for ``commands`` facts and programs on the first twin alone, and on all at once; the best of three tries.

    In a process of its own: pyinfra's greenlets need Python's threads replaced before anything else is loaded.
    """
    for bench in benches:
        bench.delay(DELAY_MS)
    try:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("parallel.py"))],
            input=json.dumps({"endpoints": [bench.endpoint for bench in benches], "commands": commands}),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for bench in benches:
            bench.delay(0)
    if done.returncode != 0:
        raise RuntimeError(f"benchmarks/parallel.py ended with {done.returncode}: {done.stderr[-2000:]}")
    measured: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return measured


# --- all of it ---------------------------------------------------------------------------------------------


def commands_part(report: Report, bench: Bench, count: int) -> None:
    """100 commands on one host, by every client."""
    duplex = measure(bench, f"ours, agent, waiting Receive x{count}", our_windows_commands(count, "agent", True))
    half = measure(bench, f"ours, agent, half duplex x{count}", our_windows_commands(count, "agent", False))
    report.rows += [duplex, half]
    report.rows.append(
        measure(bench, f"ours, process mode, cmd x{count}", our_windows_commands(count, "process", False))
    )
    if bench.has_distro:
        report.rows.append(measure(bench, f"ours, sh agent in WSL x{count}", our_linux_commands(count)))
    else:
        report.skipped.append("the sh agent in WSL: the twin has no distro on this machine")
    report.rows.append(measure(bench, f"pywinrm Session.run_cmd x{count}", pywinrm_commands(count)))
    report.rows.append(
        measure(bench, f"pywinrm Session.run_ps x{count}", pywinrm_powershell(count), "the twin refuses the script")
    )
    if importlib.util.find_spec("ansible") and (Path(sys.executable).parent / "ansible-playbook").exists():
        report.rows.append(measure(bench, f"Ansible raw, playbook of {count}", ansible_raw(count)))
    else:
        report.skipped.append("Ansible: not installed here")
    scale = count / 100
    report.judge(f"{count} commands: requests", duplex.requests, 210 * scale, digits=0)
    report.judge(f"{count} commands, half duplex: requests", half.requests, 210 * scale, digits=0)
    report.judge(f"{count} commands: PowerShell starts", duplex.starts, 1, digits=0)
    report.judge(f"{count} commands at 20 ms, waiting Receive", duplex.seconds_delayed, 3.5 * scale, " s")
    report.judge(f"{count} commands at 20 ms, half duplex", half.seconds_delayed, 5.5 * scale, " s")


def transfers_part(report: Report, bench: Bench, megabytes: int) -> None:
    """1 MiB and a large file, both ways, to Windows and to the distro."""
    sides = [("Windows", "C:\\Users\\Public\\bench-{}.bin")]
    if bench.has_distro:
        sides.append(("distro", "/home/steam/bench-{}.bin"))
    for side, pattern in sides:
        one = transfer(bench, f"ours, upload 1 MiB to {side}", MIB, pattern.format(1), "up")
        back = transfer(bench, f"ours, download 1 MiB from {side}", MIB, pattern.format(1), "down")
        large = transfer(
            bench, f"ours, upload {megabytes} MiB to {side}", megabytes * MIB, pattern.format("large"), "up"
        )
        large_back = transfer(
            bench, f"ours, download {megabytes} MiB from {side}", megabytes * MIB, pattern.format("large"), "down"
        )
        report.rows += [one.row, back.row, large.row, large_back.row]
        wire = (one.row.megabytes_up or 0) + (one.row.megabytes_down or 0)
        report.judge(f"upload 1 MiB to {side}: requests", one.row.requests, 12, digits=0)
        report.judge(f"upload 1 MiB to {side}: on the wire", wire, 1.45, " MB")
        for what, moved in (("upload", large), ("download", large_back)):
            report.judge(f"{what} {megabytes} MiB, {side}: our memory grows", moved.ours_mib, 30, " MiB", 1)
            report.judge(f"{what} {megabytes} MiB, {side}: the twin's memory grows", moved.twin_mib, 30, " MiB", 1)
        ratio = (large_back.row.requests or 0) / max(1, large.row.requests or 0)
        report.judge(f"download against upload, {side}: requests per MB", ratio, 1.5, " times")


def deploy_part(report: Report) -> None:
    """The deploy twice: the second run changes nothing."""
    bench = Bench(DEFAULT_NAME)
    bench.up()
    try:
        run_deploy()
        with bench.counting() as counts:
            output = run_deploy()
    finally:
        bench.down()
    seen = counts[0]
    changed = changed_operations(output)
    report.rows.append(
        Row(
            "the deploy, second run",
            seen.requests,
            seen.bytes_in / 1e6,
            seen.bytes_out / 1e6,
            seen.starts,
            seen.seconds,
            None,
            f"{changed} operations changed something",
        )
    )
    report.judge("second run of the deploy: changes", changed, 0, digits=0)


def parallel_part(report: Report, hosts: int, commands: int) -> None:
    """Ten twins at once against one."""
    benches = [Bench(f"bench-{number}") for number in range(hosts)]
    try:
        for bench in benches:
            bench.up(distro=False)
        measured = in_parallel(benches, commands)
    finally:
        for bench in benches:
            bench.down()
    for kind, (alone, together) in measured.items():
        report.rows.append(Row(f"ours, 1 twin, {commands} {kind}", seconds_delayed=alone))
        note = f"{together / alone:.2f} times one" + (", with ten cmd.exe played here" if kind == "programs" else "")
        report.rows.append(Row(f"ours, {hosts} twins, {commands} {kind} each", seconds_delayed=together, note=note))
    alone, together = measured["facts"]
    report.judge(f"{hosts} twins in parallel at 20 ms against one, facts, best of 3", together / alone, 1.3, " times")


PARTS = ("commands", "transfers", "deploy", "parallel")


def measure_all(parts: Sequence[str], commands: int, megabytes: int, hosts: int) -> Report:
    """Run the chosen parts; one that breaks is reported as such, and the others still run."""
    report = Report()
    bench = Bench("bench")

    def attempt(part: str, work: Callable[[], None]) -> None:
        if part not in parts:
            return
        print(f"measuring: {part} ...", file=sys.stderr, flush=True)
        try:
            work()
        except (OSError, RuntimeError, TwinError, subprocess.SubprocessError) as error:
            report.skipped.append(f"{part} broke: {error}")
            report.judge(part, None, 0)

    if {"commands", "transfers"} & set(parts):
        bench.up()
    try:
        attempt("commands", lambda: commands_part(report, bench, commands))
        attempt("transfers", lambda: transfers_part(report, bench, megabytes))
    finally:
        bench.down()
    attempt("deploy", lambda: deploy_part(report))
    attempt("parallel", lambda: parallel_part(report, hosts, commands))
    return report


def show(value: float | None, digits: int) -> str:
    """A number for the table."""
    return "" if value is None else f"{value:,.{digits}f}"


def print_report(report: Report) -> None:
    """Print the tables."""
    heads = ("case", "requests", "MB up", "MB down", "PS starts", "s", f"s at {DELAY_MS} ms", "")
    table = [heads] + [
        (
            row.case,
            show(row.requests, 0),
            show(row.megabytes_up, 2),
            show(row.megabytes_down, 2),
            show(row.starts, 0),
            show(row.seconds, 2),
            show(row.seconds_delayed, 2),
            row.note,
        )
        for row in report.rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    for line in table:
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:7], widths[1:7], strict=True)), line[7]]
        print("  ".join(cells).rstrip())
    print()
    width = max((len(f.sentence) for f in report.figures), default=0)
    for figure in report.figures:
        mark = "met   " if figure.met else "MISSED"
        print(f"{mark}  {figure.sentence.ljust(width)}  {figure.measured} ({figure.limit})")
    for sentence in report.skipped:
        print(f"not measured: {sentence}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure only this part; may be repeated")
    parser.add_argument("--commands", type=int, default=100, help="commands on one host (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the large file (default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=10, help="twins in parallel (default: %(default)s)")
    arguments = parser.parse_args()
    # Twins of its own, so that neither the user's own nor their counters are touched.
    home = tempfile.mkdtemp(prefix="vb-")
    os.environ["VENGEANCE_TWIN_HOME"] = home
    try:
        report = measure_all(arguments.only or PARTS, arguments.commands, arguments.megabytes, arguments.hosts)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if arguments.json:
        print(json.dumps(asdict(report), indent=1))
    else:
        print_report(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
