"""The PowerShell that is shipped: checked against 5.1 as text, and run for real where there is a pwsh."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typeguard import check_type

from vengeance.powershell import load
from vengeance.powershell.contract import OUTPUT
from vengeance.winrm.client import encoded_command
from vengeance.winrm.frames import End, FrameAssembler, encode_field, request_line

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "src" / "vengeance" / "powershell"
CHECKER = ROOT.parent / "shared" / "tools" / "ps51" / "check.py"
# What the scripts are written for, where there is one.
PWSH = (shutil.which("powershell") if sys.platform == "win32" else None) or shutil.which("pwsh")
# cmd.exe takes 8,191 characters: https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation
LONGEST_LINE = 8191

runs_pwsh = pytest.mark.skipif(PWSH is None, reason="pwsh is not installed: the scripts cannot be run here")
needs_windows = pytest.mark.skipif(sys.platform != "win32", reason="it reads the registry, which only Windows has")

# What stands in for commands that only Windows has, put behind the first line of the script itself.
STUBS = {
    "Get-Boot": "function Get-CimInstance { [pscustomobject] @{ LastBootUpTime = [DateTime]::Now.AddHours(-1) } }",
    "Get-WsmanQuota": "function Import-Module { }\nfunction Get-Item { [pscustomobject] @{ Value = '2147483648' } }",
}
ON_WINDOWS_ONLY = ("Get-Environment", "Get-Os", "Get-PendingReboot", "Get-WslInstallation")


def run(script: str, parameters: dict[str, Any] | None = None, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a script as process mode does, with process.ps1 and a pwsh instead of powershell.exe."""
    given = json.dumps({"parameters": None if parameters is None else json.dumps(parameters), **options})
    request = b"".join(base64.b64encode(text.encode()) + b"\n" for text in (script, given))
    loader = base64.b64encode(load("agent/process").encode("utf-16-le")).decode()
    line = [str(PWSH), "-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", loader]
    return subprocess.run(line, input=request, capture_output=True, timeout=120, check=False)


def answer(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run a shipped script and return its one JSON object, whose shape is checked."""
    first = "$ErrorActionPreference = 'Stop'\n"
    script = load(name)
    if name in STUBS and sys.platform != "win32":
        script = script.replace(first, f"{first}{STUBS[name]}\n", 1)
    done = run(script, parameters)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    said: dict[str, Any] = json.loads(done.stdout.decode("utf-8-sig"))
    if name in OUTPUT:
        check_type(said, OUTPUT[name])
    return said


@pytest.mark.skipif(not CHECKER.exists(), reason="the checker of Windows PowerShell 5.1 is not beside this checkout")
def test_windows_powershell_5_1_knows_all_that_the_scripts_use() -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKER), str(SCRIPTS), str(ROOT / "bootstrap")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("part", "options"), [("agent/loader", "-InputFormat None "), ("agent/process", "")])
def test_a_command_line_fits_into_cmd(part: str, options: str) -> None:
    line = "C:\\Windows\\system32\\cmd.exe /c " + encoded_command(load(part), options)
    assert len(line) <= LONGEST_LINE


def test_an_upload_piece_fits_into_what_convertfrom_json_surely_takes() -> None:
    from vengeance.winrm.process_transfer import CHUNK_BYTES

    assert len(base64.b64encode(bytes(CHUNK_BYTES))) + 10_000 < 2_097_152


@runs_pwsh
@pytest.mark.parametrize("name", STUBS)
def test_a_reading_script(name: str) -> None:
    answer(name, {})


@runs_pwsh
@needs_windows
@pytest.mark.parametrize("name", ON_WINDOWS_ONLY)
def test_a_script_that_reads_the_registry(name: str) -> None:
    answer(name, {"names": None})


@runs_pwsh
@needs_windows
def test_an_environment_variable_comes_and_goes() -> None:
    name = "VENGEANCE_TEST_OF_SCRIPTS"
    for value, before in (("a b", None), ("a b", "a b"), ("c", "a b"), (None, "c")):
        said = answer("Set-Environment", {"level": "user", "variables": {name: value}})
        assert said == {
            "changed": value != before,
            "before": {name: before},
            "after": {name: value},
            "reboot_required": False,
        }
        known = answer("Get-Environment", {"names": [name]})["user"]
        assert known == ({} if value is None else {name: {"value": value, "kind": "String"}})


@runs_pwsh
def test_a_file_is_seen_hashed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "a [1] file"
    given = {"path": str(path)}
    assert answer("Get-File", given)["exists"] is False
    assert answer("Get-Sha256", given) == {"sha256": None}
    path.write_bytes(b"abc")
    said = answer("Get-File", given)
    assert (said["exists"], said["type"], said["size"]) == (True, "file", 3)
    assert answer("Get-File", {"path": str(tmp_path)})["type"] == "directory"
    assert answer("Get-Sha256", given) == {"sha256": hashlib.sha256(b"abc").hexdigest()}
    assert answer("Remove-File", given)["changed"] is True
    assert not path.exists()
    assert answer("Remove-File", given)["changed"] is False


@runs_pwsh
def test_pieces_make_a_file_and_a_file_makes_pieces(tmp_path: Path) -> None:
    path = tmp_path / "target"
    content = bytes(range(256)) * 4
    common = {
        "path": str(path),
        "temp": f"{path}.tmp",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }

    def piece(offset: int, end: int) -> dict[str, Any]:
        data = base64.b64encode(content[offset:end]).decode()
        return {**common, "offset": offset, "data": data, "last": end == len(content)}

    assert answer("agent/write-chunk", piece(0, 1000)) == {"state": "more"}
    assert answer("agent/write-chunk", piece(1000, 1024)) == {"state": "done"}
    assert path.read_bytes() == content
    assert answer("agent/write-chunk", piece(0, 1000)) == {"state": "equal"}
    path.write_bytes(b"old")
    assert answer("agent/write-chunk", piece(0, 1024)) == {"state": "done"}
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
    wanted = {"path": str(path), "offset": 1000, "count": 500}
    said = answer("agent/read-chunk", wanted)
    assert said == {"size": 1024, "sha256": None, "data": base64.b64encode(content[1000:]).decode()}
    assert answer("agent/read-chunk", {**wanted, "offset": 0})["sha256"] == common["sha256"]


@runs_pwsh
def test_a_program_gives_back_its_bytes_and_its_code() -> None:
    code = "import os,sys; b = sys.stdin.buffer.read(); os.write(1, b[::-1]); os.write(2, b'\\xff'); sys.exit(7)"
    given: dict[str, Any] = {
        "file": sys.executable,
        "arguments": f'-c "{code}"',
        "stdin": "a\nb",
        "cwd": None,
        "env": {},
        "timeout": 60,
    }
    said = answer("Invoke-Program", given)
    assert (said["rc"], said["timed_out"]) == (7, False)
    assert base64.b64decode(said["stdout"]) == b"b\na"
    assert base64.b64decode(said["stderr"]) == b"\xff"


@runs_pwsh
def test_process_mode_keeps_streams_lines_and_codes_apart(tmp_path: Path) -> None:
    done = run("@($input) -join '|'; Get-Location | ForEach-Object Path", stdin="a\nb\n", cwd=str(tmp_path))
    assert done.stdout.decode("utf-8-sig").split() == ["a|b", str(tmp_path)]
    done = run("'out'; [pscustomobject] @{ a = 1 } | Format-Table; [Console]::Error.WriteLine('err'); exit 3")
    assert done.returncode == 3
    assert done.stdout.decode("utf-8-sig").split() == ["out", "a", "-", "1"]
    assert done.stderr.split() == [b"err"]
    failed = run("throw 'no'")
    assert (failed.returncode, failed.stderr.split()) == (1, [b"no"])
    assert run("'x'", cwd=str(tmp_path / "absent")).returncode == 1


def agent_answers(requests: list[tuple[str, ...]], raw: bytes = b"") -> dict[int, End]:
    """Give an agent all requests at once, numbered from 0, and return its answers by number."""
    nonce = "0123456789abcdef" * 2
    text = load("agent/agent")
    if sys.platform != "win32":
        imported = text[text.index("        [DllImport") : text.index("IntPtr handle);") + len("IntPtr handle);")]
        text = text.replace(
            imported, "        public static bool SetStdHandle(int which, IntPtr handle) { return true; }"
        ).replace("$env:SystemRoot\\System32\\findstr.exe", "/bin/true")
    lines = [request_line(nonce, number, *words) for number, words in enumerate(requests)]
    stdin = base64.b64encode(text.encode()) + b"\n" + nonce.encode() + b"\n" + b"".join(lines[:-1]) + raw + lines[-1]
    loader = base64.b64encode(load("agent/loader").encode("utf-16-le")).decode()
    line = [str(PWSH), "-NoLogo", "-NoProfile", "-NonInteractive", "-InputFormat", "None", "-EncodedCommand", loader]
    done = subprocess.run(line, input=stdin, capture_output=True, timeout=120, check=False)
    frames = FrameAssembler(nonce).feed(done.stdout)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return {frame.request_id: frame for frame in frames if isinstance(frame, End)}


def run_request(script: str, parameters: str = "", **options: Any) -> tuple[str, ...]:
    return "run", encode_field(script), encode_field(parameters), encode_field(json.dumps(options))


@runs_pwsh
def test_the_agent_proves_itself_and_runs_scripts(tmp_path: Path) -> None:
    folder = tmp_path / "a [1]"
    folder.mkdir()
    answers = agent_answers(
        [
            ("prove", encode_field(bytes(range(256)))),
            run_request("param([string] $InputJson) (ConvertFrom-Json -InputObject $InputJson).a", '{"a": "b"}'),
            run_request("Write-Host 'one'; 'two'; Write-Warning 'three'; [pscustomobject] @{ a = 1 } | Format-Table"),
            run_request("exit 3"),
            run_request("throw 'no'"),
            run_request("@($input) -join '|'; (Get-Location).Path", stdin="x\ny\n", cwd=str(folder)),
            run_request("$env:VENGEANCE_A", env={"VENGEANCE_A": "set"}),
            run_request("[string]::IsNullOrEmpty($env:VENGEANCE_A)"),
            run_request("Start-Sleep -Seconds 60", timeout=0.5),
            ("bye",),
        ]
    )
    proof = json.loads(answers[0].stdout)
    assert proof["bytes"] == hashlib.sha256(bytes(range(256))).hexdigest()
    assert proof["language_mode"] == "FullLanguage"
    words = {number: (end.code, end.stdout.decode().split()) for number, end in answers.items() if number}
    assert words == {
        1: (0, ["b"]),
        2: (0, ["one", "two", "a", "-", "1"]),
        3: (3, []),
        4: (1, []),
        5: (0, ["x|y", *str(folder).split()]),
        6: (0, ["set"]),
        7: (0, ["True"]),
        8: (1, []),
    }
    assert answers[2].stderr.split() == [b"WARNING:", b"three"]
    assert answers[4].stderr.split() == [b"no"]
    assert answers[8].timed_out


@runs_pwsh
def test_the_agent_takes_and_gives_files(tmp_path: Path) -> None:
    path = tmp_path / "target"
    content = bytes(range(256)) * 300
    sha256 = hashlib.sha256(content).hexdigest()
    opening = ("open", encode_field(str(path)), encode_field(sha256), encode_field(str(len(content))), "-")
    piece = request_line("0123456789abcdef" * 2, 0, "piece", "0", str(len(content))) + content
    assert agent_answers([opening, ("close",)], piece)[1].stdout == sha256.encode()
    assert path.read_bytes() == content
    reading = ("read", encode_field(str(path)), encode_field("0"), encode_field("1000000"))
    answers = agent_answers([opening, reading, ("bye",)])
    assert answers[0].stdout == b"equal"
    assert answers[1].stdout.decode() == f"{len(content)} {sha256}"
    assert list(tmp_path.iterdir()) == [path]
