"""The twin's powershell.exe: the agent's protocol spoken by hand, process mode, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.windows_box import Box
from tests.waiting import until
from vengeance.powershell import load, names
from vengeance.twin.process import ProcessOutput
from vengeance.twin.windows.powershell import to_json
from vengeance.twin.windows.scripts import MODELS

NONCE = "0123456789abcdef0123456789abcdef"
POWERSHELL = "powershell.exe -NoLogo -NoProfile -NonInteractive"


def encoded(script: str, options: str = "") -> str:
    text = base64.b64encode(script.encode("utf-16-le")).decode()
    return f"{POWERSHELL} {options}-ExecutionPolicy Bypass -EncodedCommand {text}"


def b64(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(raw) if raw else b"-"


class Agent:
    """Speaks to the agent as the protocol says, with its own few lines of code."""

    def __init__(self, box: Box) -> None:
        self.process, self.output = box.start(encoded(load("agent/loader"), "-InputFormat None "))
        self.process.write(b64(load("agent/agent")) + b"\n" + NONCE.encode() + b"\n")
        self.next = 0
        self.buffer = b""
        self.frames: list[list[bytes]] = []

    def send(self, raw: bytes) -> None:
        self.process.write(raw)

    def request(self, verb: str, *fields: str | bytes, number: int | None = None) -> int:
        if number is None:
            number, self.next = self.next, self.next + 1
        words = [NONCE.encode(), str(number).encode(), verb.encode(), *(b64(f) for f in fields)]
        self.send(b"\n" + b" ".join(words) + b"\n")
        return number

    def frame(self, timeout: float = 10) -> list[bytes]:
        while b"\n\x1e" not in self.buffer or b"\n" not in self.buffer.split(b"\n\x1e", 1)[1]:
            pieces, code = self.output.take(1 << 24, timeout)
            if not pieces:
                raise TimeoutError(f"no frame; exit code {code}, {self.buffer!r}")
            self.buffer += b"".join(data for stream, data in pieces if stream == "stdout")
        line, self.buffer = self.buffer.split(b"\n\x1e", 1)[1].split(b"\n", 1)
        words = line.split(b" ")
        assert words[0] == NONCE.encode()
        self.frames.append(words)
        return words[1:]

    def end(self, timeout: float = 10) -> tuple[int, int, str, str]:
        while True:
            number, kind, *rest = self.frame(timeout)
            if kind == b"end":
                code, _timed_out, out_length, out, err_length, err = rest
                texts = [base64.b64decode(field) if field != b"-" else b"" for field in (out, err)]
                assert [int(out_length), int(err_length)] == [len(text) for text in texts]
                return int(number), int(code), texts[0].decode(), texts[1].decode()

    def ask(self, verb: str, *fields: str | bytes) -> tuple[int, str, str]:
        number = self.request(verb, *fields)
        answered, code, out, err = self.end()
        assert answered == number
        return code, out, err

    def script(self, name: str, **parameters: Any) -> Any:
        code, out, err = self.ask("run", load(name), json.dumps(parameters), "{}")
        assert (code, err) == (0, "")
        return json.loads(out)

    def upload(self, path: str, data: bytes, piece: int = 100_000) -> tuple[int, str, str]:
        opened = self.next
        code, out, err = self.ask("open", path, hashlib.sha256(data).hexdigest(), str(len(data)), "")
        if code or out == "equal":
            return code, out, err
        for offset in range(0, len(data), piece):
            self.piece(opened, offset, data[offset : offset + piece])
        return self.ask("close")

    def piece(self, number: int, offset: int, data: bytes) -> None:
        self.send(f"\n{NONCE} {number} piece {offset} {len(data)}\n".encode() + data)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def agent(box: Box) -> Iterator[Agent]:
    one = Agent(box)
    yield one
    one.process.terminate()
    assert box.faults == []


def test_the_agent_proves_itself(agent: Agent) -> None:
    raw = bytes(range(256))
    code, out, _ = agent.ask("prove", raw)
    proof = json.loads(out)
    assert code == 0
    assert proof["bytes"] == hashlib.sha256(raw).hexdigest()
    assert proof["child_stdin"] == "closed"
    assert proof["language_mode"] == "FullLanguage"
    assert proof["version"].startswith("5.1.")
    assert isinstance(proof["pid"], int)


def test_the_last_answer_is_repeated_and_nothing_runs_twice(agent: Agent, box: Box) -> None:
    line = "/c echo x>> C:\\counter.txt"
    program = json.dumps({"file": "cmd.exe", "arguments": line})
    number = agent.request("run", load("Invoke-Program"), program, "{}")
    first = agent.end()
    for _ in range(3):
        agent.request("run", load("Invoke-Program"), program, "{}", number=number)
        assert agent.end() == first
    assert (box.drive_c / "counter.txt").read_text().splitlines() == ["x"]


def test_an_older_id_is_ignored(agent: Agent) -> None:
    agent.ask("prove", b"a")
    agent.ask("prove", b"b")
    agent.request("prove", b"c", number=0)
    number = agent.request("prove", b"d")
    assert agent.end()[0] == number


def test_junk_between_requests_is_ignored(agent: Agent) -> None:
    agent.send(b"\xff\x00 half a li")
    agent.send(b"\nnot the nonce 5 run x\n\n\n" + NONCE.encode() + b" 1\n")
    assert agent.ask("prove", b"a")[0] == 0


def test_a_verb_that_it_has_not(agent: Agent) -> None:
    assert agent.ask("dance") == (1, "", "the agent has no verb dance\n")


def test_bye_ends_it(agent: Agent) -> None:
    agent.request("bye")
    assert agent.output.wait(5) == 0


def test_it_ends_with_its_input(agent: Agent) -> None:
    agent.ask("prove", b"a")
    agent.process.close_stdin()
    assert agent.output.wait(5) == 0


def test_unknown_powershell_is_refused_with_a_sentence(agent: Agent) -> None:
    code, out, err = agent.ask("run", "\nGet-Process | Select-Object Name\n", "", "{}")
    assert (code, out) == (1, "")
    assert err.startswith("the twin does not interpret PowerShell: 'Get-Process | Select-Object Name'. It knows")
    assert "src/vengeance/powershell" in err


def test_a_shipped_script_is_known_with_either_line_end(agent: Agent) -> None:
    code, out, _ = agent.ask("run", load("Get-Boot").replace("\n", "\r\n"), "{}", "{}")
    assert (code, sorted(json.loads(out))) == (0, ["boot_file_time", "boot_time", "uptime_seconds"])


def test_a_changed_script_is_not_known(agent: Agent) -> None:
    code, _, err = agent.ask("run", load("Get-Boot") + "# changed", "{}", "{}")
    assert code == 1
    assert "does not interpret PowerShell" in err


def test_one_plain_program_and_exit_are_understood(agent: Agent) -> None:
    assert agent.ask("run", "hostname", "", "{}") == (0, "VENGEANCE\n", "")
    assert agent.ask("run", "cmd /c exit 9", "", "{}") == (9, "", "")
    assert agent.ask("run", "exit 67", "", "{}") == (67, "", "")
    assert agent.ask("run", "cmd /c 'echo a  b'", "", "{}") == (0, "a  b\n", "")


@pytest.mark.parametrize("script", ["echo hi", "hostname; whoami", "hostname | more", "hostname $x", "nosuch", "dir"])
def test_what_only_powershell_understands_is_refused(agent: Agent, script: str) -> None:
    code, _, err = agent.ask("run", script, "", "{}")
    assert code == 1
    assert "does not interpret PowerShell" in err


def test_a_timeout_stops_the_program_and_the_agent_goes_on(agent: Agent, box: Box) -> None:
    started = time.monotonic()
    number = agent.request("run", "ping -t 127.0.0.1", "", '{"timeout": 0.3}')
    while (frame := agent.frame())[1] != b"end":
        pass
    assert frame[:4] == [str(number).encode(), b"end", b"1", b"1"]
    assert time.monotonic() - started < 4
    assert agent.ask("prove", b"a")[0] == 0
    assert until(lambda: not any(p.image.endswith("ping.exe") for p in list(box.windows.state.processes.values())))


def test_output_is_streamed_when_it_is_asked_for(agent: Agent) -> None:
    agent.request("run", "ping -n 2 127.0.0.1", "", '{"stream": true}')
    live = b""
    while (frame := agent.frame())[1] != b"end":
        assert frame[1] == b"out"
        live += base64.b64decode(frame[2])
    whole = base64.b64decode(frame[5])
    assert live.count(b"Reply from") >= 1
    assert whole.startswith(live)
    assert whole.count(b"Reply from") == 2


def test_environment_and_directory_hold_for_one_request(agent: Agent) -> None:
    options = json.dumps({"env": {"ONE": "1 % ^ & | é"}, "cwd": "C:\\Windows"})
    program = json.dumps({"file": "cmd.exe", "arguments": "/c set ONE & cd"})
    code, out, _ = agent.ask("run", load("Invoke-Program"), program, options)
    assert base64.b64decode(json.loads(out)["stdout"]).decode() == "ONE=1 % ^ & | é\r\nC:\\Windows\r\n"
    code, out, _ = agent.ask("run", load("Invoke-Program"), program, "{}")
    assert base64.b64decode(json.loads(out)["stdout"]).decode() == "C:\\Users\\Steam\r\n"
    code, _, err = agent.ask("run", load("Invoke-Program"), program, '{"cwd": "C:\\\\nosuch"}')
    assert (code, err) == (1, "Cannot find path 'C:\\nosuch' because it does not exist.\n")


# --- files ---


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 1_000_000])
def test_an_upload_arrives(agent: Agent, box: Box, size: int) -> None:
    data = bytes(i * 7 % 256 for i in range(size))
    code, out, err = agent.upload("C:\\Windows\\Temp\\up [1].bin", data)
    assert (code, out, err) == (0, hashlib.sha256(data).hexdigest(), "")
    assert (box.drive_c / "Windows/Temp/up [1].bin").read_bytes() == data
    assert agent.upload("c:\\windows\\temp\\UP [1].BIN", data) == (0, "equal", "")


def test_a_piece_that_comes_twice_is_dropped(agent: Agent, box: Box) -> None:
    data = b"abcdef"
    opened = agent.next
    agent.ask("open", "C:\\x", hashlib.sha256(data).hexdigest(), "6", "")
    agent.piece(opened, 0, b"abc")
    agent.piece(opened, 0, b"abc")
    agent.piece(opened, 3, b"def")
    agent.piece(99, 6, b"\nzzz")
    assert agent.ask("close")[0] == 0
    assert (box.drive_c / "x").read_bytes() == data


def test_a_wrong_hash_leaves_the_old_file(agent: Agent, box: Box) -> None:
    (box.drive_c / "x").write_bytes(b"old")
    opened = agent.next
    agent.ask("open", "C:\\x", "0" * 64, "3", "")
    agent.piece(opened, 0, b"new")
    code, out, err = agent.ask("close")
    assert (code, out) == (1, "")
    assert err.startswith("what arrived differs from what was sent: 3 bytes, SHA-256 ")
    assert (box.drive_c / "x").read_bytes() == b"old"
    assert sorted(p.name for p in box.drive_c.iterdir() if "tmp" in p.name) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("C:\\Windows", "C:\\Windows is a directory\n"),
        ("C:\\nosuch\\x", f"Could not find a part of the path 'C:\\nosuch\\x.{NONCE}.tmp'.\n"),
        ("C:\\a|b", "Illegal characters in path.\n"),
        (
            "C:\\System Volume Information\\x",
            f"Access to the path 'C:\\System Volume Information\\x.{NONCE}.tmp' is denied.\n",
        ),
    ],
)
def test_an_upload_that_cannot_begin(agent: Agent, path: str, message: str) -> None:
    assert agent.upload(path, b"x") == (1, "", message)


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(agent: Agent, box: Box) -> None:
    (box.drive_c / "x").write_bytes(b"old")
    box.windows.state.set_free_bytes(150_000)
    code, _, err = agent.upload("C:\\x", b"n" * 300_000)
    assert (code, err.strip()) == (1, "There is not enough space on the disk.")
    assert (box.drive_c / "x").read_bytes() == b"old"
    assert [p.name for p in box.drive_c.iterdir() if "tmp" in p.name] == []
    assert box.windows.drive.free_bytes == 150_000


def test_a_file_is_read_in_frames(agent: Agent, box: Box) -> None:
    data = bytes(range(256)) * 4000
    (box.drive_c / "big.bin").write_bytes(data)
    agent.request("read", "C:\\BIG.bin", "0", str(1 << 30))
    got = b""
    while (frame := agent.frame())[1] == b"data":
        assert int(frame[2]) == len(got)
        piece = base64.b64decode(frame[3])
        assert len(piece) <= 261_120
        got += piece
    assert got == data
    assert base64.b64decode(frame[5]).decode() == f"{len(data)} {hashlib.sha256(data).hexdigest()}"
    agent.request("read", "C:\\big.bin", str(len(data) - 3), "2")
    assert base64.b64decode(agent.frame()[3]) == data[-3:-1]
    assert agent.end()[2] == f"{len(data)} -"


def test_reading_what_is_not_there(agent: Agent) -> None:
    assert agent.ask("read", "C:\\nosuch", "0", "1") == (1, "", "Could not find file 'C:\\nosuch'.\n")
    assert agent.ask("read", "C:\\Windows", "0", "1") == (1, "", "C:\\Windows is a directory\n")


# --- scripts ---


def test_every_shipped_script_has_a_model() -> None:
    assert set(names()) - set(MODELS) == set()


def test_environment_is_set_once_and_stands_in_the_registry(agent: Agent, box: Box) -> None:
    wanted = {"OLLAMA_HOST": "0.0.0.0:11434", "GONE": None}
    first = agent.script("Set-Environment", level="machine", variables=wanted)
    assert first == {
        "changed": True,
        "before": {"OLLAMA_HOST": None, "GONE": None},
        "after": wanted,
        "reboot_required": False,
    }
    assert agent.script("Set-Environment", level="machine", variables=wanted)["changed"] is False
    shown = box.run(
        'reg query "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment" /v ollama_host'
    ).out
    assert "    OLLAMA_HOST    REG_SZ    0.0.0.0:11434\n" in shown
    got = agent.script("Get-Environment", names=["ollama_host", "path"])
    assert got["machine"]["OLLAMA_HOST"] == {"value": "0.0.0.0:11434", "kind": "String"}
    assert got["machine"]["Path"]["kind"] == "ExpandString"
    assert set(got["user"]) == {"Path"}


def test_a_variable_that_expands_still_does_after_a_change(agent: Agent) -> None:
    agent.script("Set-Environment", level="user", variables={"TEMP": "%USERPROFILE%\\t"})
    assert agent.script("Get-Environment", names=["TEMP"])["user"] == {
        "TEMP": {"value": "%USERPROFILE%\\t", "kind": "ExpandString"}
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"A": ""}, "Windows cannot hold A with an empty value: give null to remove it.\n"),
        ({"A=B": "x"}, "Environment variable name cannot contain equal character."),
        ({"A" * 255: "x"}, "Environment variable name or value is too long."),
    ],
)
def test_variables_that_windows_refuses(agent: Agent, variables: dict[str, str], message: str) -> None:
    parameters = json.dumps({"level": "user", "variables": variables})
    code, out, err = agent.ask("run", load("Set-Environment"), parameters, "{}")
    assert (code, out) == (1, "")
    assert message in err


def test_files_are_described_hashed_and_removed(agent: Agent, box: Box) -> None:
    (box.drive_c / "f.txt").write_bytes(b"hello")
    file = agent.script("Get-File", path="C:\\F.TXT")
    assert (file["exists"], file["type"], file["size"], file["attributes"]) == (True, "file", 5, ["Archive"])
    assert agent.script("Get-File", path="C:\\Windows")["type"] == "directory"
    assert agent.script("Get-File", path="C:\\no\\such")["exists"] is False
    assert agent.script("Get-Sha256", path="C:\\f.txt") == {"sha256": hashlib.sha256(b"hello").hexdigest()}
    assert agent.script("Get-Sha256", path="C:\\g.txt") == {"sha256": None}
    assert agent.script("Remove-File", path="C:\\f.txt")["changed"] is True
    assert agent.script("Remove-File", path="C:\\f.txt")["changed"] is False
    assert not (box.drive_c / "f.txt").exists()
    code, _, err = agent.ask("run", load("Get-File"), '{"path": "f.txt"}', "{}")
    assert (code, err) == (1, "'f.txt' is not a full path: begin with a drive, as in C:\\Users.\n")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (
            "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending",
            None,
            "component_based_servicing",
        ),
        (
            "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired",
            None,
            "windows_update",
        ),
        (
            "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager",
            ("PendingFileRenameOperations", "REG_MULTI_SZ", "\\??\\C:\\x"),
            "file_rename",
        ),
        (
            "HKLM\\SYSTEM\\CurrentControlSet\\Control\\ComputerName\\ComputerName",
            ("ComputerName", "REG_SZ", "OTHER"),
            "computer_name",
        ),
    ],
)
def test_a_pending_reboot_is_seen_for_each_reason(
    agent: Agent, box: Box, key: str, value: tuple[str, str, str] | None, reason: str
) -> None:
    assert agent.script("Get-PendingReboot") == {"pending": False, "reasons": []}
    line = f'reg add "{key}" /f'
    if value is not None:
        line = f'reg add "{key}" /v {value[0]} /t {value[1]} /d "{value[2]}" /f'
    assert box.run(line).code == 0
    assert agent.script("Get-PendingReboot") == {"pending": True, "reasons": [reason]}


def test_a_program_gets_its_input_and_gives_back_bytes(agent: Agent, box: Box) -> None:
    raw = bytes(range(256))
    (box.drive_c / "raw.bin").write_bytes(raw)
    answer = agent.script("Invoke-Program", file="cmd.exe", arguments="/c type C:\\raw.bin & exit 300")
    assert base64.b64decode(answer["stdout"]) == raw
    assert answer["rc"] == 300
    answer = agent.script("Invoke-Program", file="more.com", arguments="", stdin="é\nb")
    assert base64.b64decode(answer["stdout"]).decode() == "é\r\nb\r\n"
    answer = agent.script("Invoke-Program", file="cmd", arguments='/d /s /c "set /p X= & echo end"')
    assert base64.b64decode(answer["stdout"]) == b"end\r\n"


def test_a_program_that_takes_too_long_or_is_not_there(agent: Agent) -> None:
    started = time.monotonic()
    answer = agent.script("Invoke-Program", file="ping", arguments="-t 127.0.0.1", timeout=0.2)
    assert (answer["timed_out"], answer["rc"]) == (True, 1)
    assert b"Reply from" in base64.b64decode(answer["stdout"])
    assert time.monotonic() - started < 3
    for given, message in (
        ({"file": "nosuch.exe", "arguments": ""}, "The system cannot find the file specified"),
        ({"file": "C:\\Windows\\System32\\wsl.exe", "arguments": ""}, "The file cannot be accessed by the system"),
        ({"file": "cmd.exe", "arguments": "", "cwd": "C:\\nosuch"}, "The directory name is invalid"),
    ):
        code, _, err = agent.ask("run", load("Invoke-Program"), json.dumps(given), "{}")
        assert (code, err) == (1, f'Exception calling "Start" with "1" argument(s): "{message}"\n')


def test_a_program_that_leaves_a_child_behind_is_not_waited_for_long(agent: Agent, box: Box) -> None:
    started = time.monotonic()
    answer = agent.script("Invoke-Program", file="cmd.exe", arguments="/c start /b ping -t localhost & echo then")
    assert b"then\r\n" in base64.b64decode(answer["stdout"])
    assert 1.5 < time.monotonic() - started < 4
    box.windows.stop_all()


def test_json_is_written_as_powershell_5_writes_it() -> None:
    assert to_json({"a": "<b> & 'c' é"}) == '{"a":"\\u003cb\\u003e \\u0026 \\u0027c\\u0027 é"}'


# --- one process a command ---


def in_process(box: Box, script: str, **options: object) -> tuple[int, str, str]:
    done = box.run(encoded(load("agent/process")), b64(script) + b"\n" + b64(json.dumps(options)) + b"\n")
    return done.code, done.out, done.err


def test_process_mode_gives_the_raw_result(box: Box) -> None:
    code, out, err = in_process(box, load("Get-Os"), parameters="{}")
    assert (code, err) == (0, "")
    assert json.loads(out)["build"] == 26100
    assert in_process(box, "cmd /c exit 7") == (7, "", "")
    assert in_process(box, "hostname", env={"A": "b"}, cwd="C:\\") == (0, "VENGEANCE\n", "")
    code, _, err = in_process(box, "Get-Date")
    assert code == 1
    assert "does not interpret PowerShell" in err
    code, _, err = in_process(box, load("Get-File"), parameters='{"path": "x"}')
    assert (code, err) == (1, "'x' is not a full path: begin with a drive, as in C:\\Users.\n")


@pytest.mark.parametrize(
    ("line", "code", "out"),
    [
        ("powershell hostname", 0, "VENGEANCE\n"),
        ("powershell -NoProfile -Command hostname", 0, "VENGEANCE\n"),
        ("powershell -nop -c exit 5", 5, ""),
        ("powershell -Command cmd /c exit 5", 1, ""),
        (encoded("whoami"), 0, "vengeance\\steam\n"),
    ],
)
def test_powershell_typed_by_hand(box: Box, line: str, code: int, out: str) -> None:
    done = box.run(line)
    assert (done.code, done.out) == (code, out)


@pytest.mark.parametrize(
    "line",
    [
        'powershell -Command "Get-Process | Sort CPU"',
        "powershell",
        "powershell -enc not-base64",
        "powershell -File C:\\x.ps1",
    ],
)
def test_powershell_that_is_not_known_says_so(box: Box, line: str) -> None:
    done = box.run(line)
    assert done.code != 0
    assert done.out == ""
    assert done.err.strip()


def test_a_loader_that_is_fed_something_else_refuses_it(box: Box) -> None:
    done = box.run(encoded(load("agent/loader"), "-InputFormat None "), b64("Remove-Item C:\\") + b"\n")
    assert done.code == 1
    assert "does not interpret PowerShell" in done.err
    assert box.run(encoded(load("agent/loader"), "-InputFormat None "), b"").code == 1


def test_killing_the_agent_ends_what_it_runs(box: Box) -> None:
    agent = Agent(box)
    agent.request("run", "ping -t 127.0.0.1", "", "{}")
    output: ProcessOutput = agent.output
    deadline = time.monotonic() + 5
    while not any(p.image.endswith("ping.exe") for p in list(box.windows.state.processes.values())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    agent.process.terminate()
    assert output.wait(5) == 1
    while box.windows.state.processes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
