"""powershell.exe, as far as this project uses it: it knows the shipped scripts by their exact text.

It interprets no PowerShell. Beside the shipped scripts it takes two things that mean the same in every shell:
one plain program with plain arguments (Ansible's ``raw`` sends such), and ``exit N``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from vengeance.powershell import load, names
from vengeance.twin.process import ProcessOutput
from vengeance.twin.windows import scripts, works
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.pipes import InputPipe
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts import ScriptFailed, Stays

VERSION = "5.1.26100.4652"
# A script that stays until its process is ended is looked after so often.
_LOOK_SECONDS = 60.0
# Options of powershell.exe that take a value (about_PowerShell_exe); any unambiguous beginning will do.
_WITH_VALUE = (
    "psconsolefile",
    "version",
    "inputformat",
    "outputformat",
    "windowstyle",
    "configurationname",
    "executionpolicy",
)
_ALONE = ("nologo", "noexit", "sta", "mta", "noprofile", "noninteractive", "help")
_SHORT = {
    "ep": "executionpolicy",
    "ex": "executionpolicy",
    "nop": "noprofile",
    "noni": "noninteractive",
    "w": "windowstyle",
}
_ENCODED = ("e", "ec", "en", "enc", "encodedcommand")
# Nothing that PowerShell would look at: no variables, pipes, braces, commas, subexpressions.
_PLAIN_WORD = re.compile(r"""[A-Za-z0-9_.:\\/=+~^%-]+|"[^"$`\r\n]*"|'[^'\r\n]*'""")
# Names that mean a cmdlet before any program of the same name (Get-Alias of 5.1).
_ALIASES = frozenset(
    """
    cat cd chdir clear cls compare copy cp curl cut del diff dir echo epcsv erase exit fc fl for
    foreach ft gc gci gi gp gps group gsv h help history icm if iwr kill kp ls man md measure mkdir
    more mount move mv ni nsn oh popd prompt ps pushd pwd r rd ren return rm rmdir rni rp rv sal
    sasv sc select set sl sleep sort sp start tee throw trap try type wget where while write
    """.split()  # noqa: SIM905
)


def normal(script: str) -> str:
    """A script's text with LF line ends and nothing around it, for comparing."""
    return script.replace("\r\n", "\n").strip("\n \t\ufeff")


@cache
def _known() -> dict[str, str]:
    return {normal(load(name)): name for name in {*names(), *scripts.MODELS}}


@cache
def _part(name: str) -> str:
    return normal(load(name))


def is_part(script: str, name: str) -> bool:
    """Whether a text is that part of the agent: ``agent/loader``, ``agent/agent`` or ``agent/process``."""
    return normal(script) == _part(name)


def refusal(script: str) -> str:
    """What the twin says to PowerShell that it does not know."""
    first = next((line.strip() for line in script.splitlines() if line.strip()), "")
    if len(first) > 120:
        first = first[:120] + "..."
    return (
        f"the twin does not interpret PowerShell: {first!r}. It knows the scripts of this project, one program with "
        "plain arguments, and exit N. Put what you need into a script of src/vengeance/powershell and "
        "its model into src/vengeance/twin/windows/scripts/, or try it on the real box"
    )


class Executed:
    """What became of a script: text of its streams, and the code it ended with; ``exited`` when it was ``exit N``."""

    def __init__(self, code: int, failed: bool = False, exited: bool = False) -> None:
        self.code = code
        self.failed = failed
        self.exited = exited


def execute_script(
    run: Run,
    script: str,
    parameters: str | None,
    out: Callable[[str], None],
    err: Callable[[str], None],
    secret: str = "",
) -> Executed:
    """Do what a script does.

    run: in whose job, directory and environment
    parameters: JSON text for -InputJson, None for none; secret: text for -Secret
    out, err: called with text, one or more whole lines ended by LF
    """
    run.windows.events.script_block(run.pid, script)
    name = _known().get(normal(script))
    if name is not None:
        return _execute_known(run, name, parameters, secret, out, err)
    leave = re.fullmatch(r"exit\s+(-?\d{1,10})", script.strip())
    if leave:
        return Executed(int(leave[1]) & 0xFFFFFFFF, exited=True)
    line = _plain_program(run, script)
    if line is None:
        err(refusal(script) + "\n")
        return Executed(1, failed=True)
    return _execute_program(run, line, out, err)


def _execute_known(
    run: Run,
    name: str,
    parameters: str | None,
    secret: str,
    out: Callable[[str], None],
    err: Callable[[str], None],
) -> Executed:
    model = scripts.MODELS.get(name)
    if model is None:
        err(f"the twin has no model of the script {name}: it belongs into src/vengeance/twin/windows/scripts/\n")
        return Executed(1, failed=True)
    try:
        given: Any = json.loads(parameters) if parameters else None
        if not isinstance(given, dict):
            raise ScriptFailed("Cannot bind argument to parameter 'InputObject' because it is an empty string.")
        run.windows.events.parameter_given(run.pid, "ConvertFrom-Json", "InputObject", parameters or "")
        if secret and "[string] $Secret" not in load(name):
            raise ScriptFailed("A parameter cannot be found that matches parameter name 'Secret'.")
        answer = model(run, {**given, "secret": secret} if secret else given)
        run.windows.deeds.scripted(name, given, answer)
    except json.JSONDecodeError:
        err("Invalid JSON primitive: the twin was given parameters that are no JSON object.\n")
        return Executed(1, failed=True)
    except ScriptFailed as error:
        err(f"{error}\n")
        return Executed(1, failed=True)
    out(to_json(answer.answer if isinstance(answer, Stays) else answer) + "\n")
    while isinstance(answer, Stays):
        run.job.sleep(_LOOK_SECONDS)
    return Executed(0)


def to_json(value: object) -> str:
    """JSON as ConvertTo-Json -Compress of Windows PowerShell 5.1 writes it: < > & ' as \\uNNNN."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&']", lambda match: f"\\u{ord(match[0]):04x}", text)


def _plain_program(run: Run, script: str) -> tuple[str, str] | None:
    """Image and raw arguments when a script is one program with plain words behind it."""
    text = script.strip()
    words = _PLAIN_WORD.findall(text)
    if not words or "\n" in text or "".join(text.split()) != "".join("".join(words).split()):
        return None
    if words[0][0] in "\"'" or words[0].lower() in _ALIASES:
        return None
    image = run.windows.find_program(words[0], run.cwd, run.environment)
    if image is None:
        return None
    parts = []
    for word in words[1:]:
        bare = word[1:-1] if word[0] in "\"'" else word
        # PowerShell 5.1 puts quotes around an argument with blanks and takes them off any other.
        parts.append(f'"{bare}"' if not bare or " " in bare or "\t" in bare else bare)
    return image, "".join(" " + part for part in parts)


def _execute_program(
    run: Run, line: tuple[str, str], out: Callable[[str], None], err: Callable[[str], None]
) -> Executed:
    stdin = InputPipe()
    stdin.close()
    sinks = {"out": _Lines(out, run.console.codec), "err": _Lines(err, run.console.codec)}
    output = _Sink(sinks["out"].feed, sinks["err"].feed)
    try:
        run.windows.program(line[0])
        child = run.windows.spawn(run, output, image=line[0], arguments=line[1], stdin=stdin)
    except CannotStart as error:
        err(f"Program '{line[0]}' failed to run: {error}\n")
        return Executed(1, failed=True)
    code = child.output.wait()
    for sink in sinks.values():
        sink.finish()
    return Executed(code or 0)


class _Sink(ProcessOutput):
    def __init__(self, stdout: Callable[[bytes], None], stderr: Callable[[bytes], None]) -> None:
        super().__init__()
        self._out = stdout
        self._err = stderr

    def write_stdout(self, data: bytes) -> None:
        self._out(data)

    def write_stderr(self, data: bytes) -> None:
        self._err(data)


class _Lines:
    """Makes whole lines of text out of what a program prints, as PowerShell does with a native program's output."""

    def __init__(self, take: Callable[[str], None], codec: str) -> None:
        self._take = take
        self._codec = codec
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)

    def finish(self) -> None:
        if self._rest:
            self._emit(self._rest)
        self._rest = b""

    def _emit(self, line: bytes) -> None:
        self._take(line.rstrip(b"\r").decode(self._codec, "replace") + "\n")


def powershell_exe(run: Run) -> int:
    """powershell.exe: -EncodedCommand, -Command and -File with the options before them."""
    from vengeance.twin.windows.agent import run_agent

    words = run.argv
    script: str | None = None
    index = 0
    while index < len(words):
        word = words[index]
        name = word[1:].lower() if word[:1] in "-/" and len(word) > 1 else None
        if name is None:
            script = " ".join(words[index:])
            break
        if name in _ENCODED or (len(name) > 1 and "encodedcommand".startswith(name)):
            try:
                raw = base64.b64decode(words[index + 1] if index + 1 < len(words) else "", validate=True)
                script = raw.decode("utf-16-le")
            except (binascii.Error, UnicodeDecodeError):
                run.error(
                    "Cannot process the command because the value given with -EncodedCommand is not properly encoded."
                )
                return 1
            break
        if "command".startswith(name):
            script = " ".join(words[index + 1 :])
            if script == "-":
                script = run.stdin.read_all().decode(run.console.codec, "replace")
            break
        if "file".startswith(name):
            return _file(run, words[index + 1 :])
        if name in _SHORT:
            name = _SHORT[name]
        if any(option.startswith(name) for option in _ALONE):
            index += 1
        elif any(option.startswith(name) for option in _WITH_VALUE):
            index += 2
        else:
            script = " ".join(words[index:])
            break
    if script is None:
        run.error(refusal("(an interactive session)"))
        return 1
    if is_part(script, "agent/loader"):
        run.windows.events.script_block(run.pid, script)
        return run_agent(run)
    if is_part(script, "agent/process"):
        run.windows.events.script_block(run.pid, script)
        return _process_mode(run)
    result = execute_script(run, script, None, _crlf(run, run.stdout), _crlf(run, run.stderr))
    # powershell.exe says 1 when the last command failed, whatever a program's own code was.
    return result.code if result.exited else int(result.code != 0)


def _crlf(run: Run, write: Callable[[bytes], None]) -> Callable[[str], None]:
    return lambda text: write(text.replace("\n", "\r\n").encode(run.console.codec, "replace"))


def _file(run: Run, words: list[str]) -> int:
    if not words:
        run.error("The -File parameter requires a file name.")
        return 1
    try:
        script = run.windows.drive.read(words[0], run.cwd).decode("utf-8-sig", "replace")
    except Win32Error:
        run.error(
            f"The argument '{words[0]}' to the -File parameter does not exist. Provide the path to an existing '.ps1' "
            "file as an argument to the -File parameter."
        )
        return 0xFFFD0000
    if is_part(script, "work/runner"):
        run.windows.events.script_block(run.pid, script)
        return works.runner(run, words[0].split("\\")[-2])
    parameters = words[2] if len(words) == 3 and words[1].lower() == "-inputjson" else None
    return execute_script(run, script, parameters, _crlf(run, run.stdout), _crlf(run, run.stderr)).code


def _process_mode(run: Run) -> int:
    """process.ps1: lines of base64 on stdin, script, options and perhaps a secret."""
    lines = run.stdin.read_all().splitlines()
    out, err = _crlf(run, run.stdout), _crlf(run, run.stderr)
    try:
        script = base64.b64decode(lines[0], validate=True).decode()
        given = base64.b64decode(lines[1], validate=True).decode()
        options: dict[str, Any] = json.loads(given)
        secret = base64.b64decode(lines[2], validate=True).decode() if len(lines) > 2 else ""
    except (IndexError, ValueError) as error:
        err(f"process.ps1 was given no two lines of base64: {error}\n")
        return 1
    run.windows.events.parameter_given(run.pid, "ConvertFrom-Json", "InputObject", given)
    inner = run_with_options(run, options)
    if inner is None:
        err(f"Cannot find path '{options['cwd']}' because it does not exist.\n")
        return 1
    result = execute_script(inner, script, options.get("parameters"), out, err, secret)
    return 1 if result.failed else result.code


def run_with_options(run: Run, options: dict[str, Any]) -> Run | None:
    """A run with the environment and directory that a request asks for; None when there is no such directory."""
    from dataclasses import replace

    environment = run.environment.copy()
    for name, value in (options.get("env") or {}).items():
        if value is None or value == "":
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    cwd = run.cwd
    if options.get("cwd"):
        wanted = str(options["cwd"])
        if not run.windows.drive.is_directory(wanted, cwd):
            return None
        cwd = run.windows.drive.shown(wanted, cwd)
    return replace(run, environment=Environment(environment), cwd=cwd)
