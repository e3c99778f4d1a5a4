"""The PowerShell agent (loader.ps1, then agent.ps1) as the twin plays it: the same protocol, step by step."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from vengeance.twin.windows import errors
from vengeance.twin.windows.drive import DriveFile
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.pipes import Job, Killed
from vengeance.twin.windows.powershell import (
    VERSION,
    Executed,
    execute_script,
    is_part,
    refusal,
    run_with_options,
    to_json,
)
from vengeance.twin.windows.program import Run

# As in agent.ps1: how long a look at a running script takes, how long a stopped one may take to end, both seconds,
# the exit code when it does not, and the raw bytes of one data frame.
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 5.0
_STUCK = 70
_FRAME_BYTES = 261_120


class AgentError(Exception):
    """A request failed; the text is the base exception's message."""


@dataclass
class _Upload:
    id: int
    path: str
    temp: str
    file: DriveFile
    size: int
    sha256: str
    written: int = 0
    error: str | None = None


class _Leave(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run_agent(run: Run) -> int:
    """loader.ps1: read the agent's text from stdin and run it."""
    run.console.hold_nothing()
    line = run.stdin.read_line()
    try:
        text = base64.b64decode(line.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not text:
        run.error(
            'Exception calling "FromBase64String" with "1" argument(s): "The input is not a valid Base-64 string"'
        )
        return 1
    if not is_part(text, "agent/agent"):
        run.error(refusal(text))
        return 1
    run.windows.events.script_block(run.pid, text)
    if run.windows.add_type_blocked:
        run.error(
            "Add-Type : This program is blocked by group policy. For more information, contact your administrator."
        )
        return 1
    return _Agent(run).serve()


class _Agent:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.drive = run.windows.drive
        self.nonce = ""
        self.last = -1
        self.last_answer = ""
        self.upload: _Upload | None = None

    def serve(self) -> int:
        self.nonce = self.run.stdin.read_line().decode("latin-1").rstrip("\r\n")
        try:
            while line := self.run.stdin.read_line():
                self._handle(line.decode("latin-1").rstrip("\r\n").split(" "))
        except _Leave as leave:
            return leave.code
        finally:
            if self.upload is not None:
                self.upload.file.close()
        return 0

    def _handle(self, words: list[str]) -> None:
        if len(words) < 3 or words[0] != self.nonce:
            return
        try:
            number = int(words[1])
        except ValueError:
            # [long] throws outside of the try block there, which ends the agent.
            self.run.error(f'Cannot convert value "{words[1]}" to type "System.Int64".')
            raise _Leave(1) from None
        verb = words[2]
        if verb == "piece":
            self._piece(number, int(words[3]), int(words[4]))
            return
        if number == self.last:
            self._send(self.last_answer)
            return
        if number < self.last:
            return
        if verb == "bye":
            raise _Leave(0)
        try:
            if verb == "prove":
                self._prove(number, words[3])
            elif verb == "run":
                options = _field(words[5])
                self.run.windows.events.parameter_given(self.run.pid, "ConvertFrom-Json", "InputObject", options)
                secret = _field(words[6]) if len(words) > 6 else ""
                self._run(number, _field(words[3]), _field(words[4]), json.loads(options or "{}"), secret)
            elif verb == "open":
                self._open(number, _field(words[3]), _field(words[4]), int(_field(words[5])))
            elif verb == "close":
                self._close(number)
            elif verb == "read":
                self._read(number, _field(words[3]), int(_field(words[4])), int(_field(words[5])))
            else:
                raise AgentError(f"the agent has no verb {verb}")
        except Win32Error as error:
            self._end(number, 1, "", error.dotnet + "\n")
        except (AgentError, ValueError, IndexError) as error:
            self._end(number, 1, "", f"{error}\n")

    # --- frames ---

    def _send(self, text: str) -> None:
        self.run.stdout(f"\n\x1e{self.nonce} {text}\n".encode())

    def _end(self, number: int, code: int, out: str, err: str, timed_out: bool = False) -> None:
        self.last = number
        self.last_answer = (
            f"{number} end {code & 0xFFFFFFFF} {int(timed_out)} {_length_and_field(out)} {_length_and_field(err)}"
        )
        self._send(self.last_answer)

    # --- verbs ---

    def _prove(self, number: int, field: str) -> None:
        raw = base64.b64decode(field, validate=True)
        proof = {
            "bytes": hashlib.sha256(raw).hexdigest(),
            "child_stdin": "closed",
            "language_mode": "FullLanguage",
            "pid": self.run.pid,
            "version": VERSION,
        }
        self._end(number, 0, to_json(proof), "")

    def _run(self, number: int, script: str, parameters: str, options: dict[str, Any], secret: str) -> None:
        prepared = run_with_options(self.run, options)
        if prepared is None:
            raise AgentError(f"Cannot find path '{options['cwd']}' because it does not exist.")
        job = Job()
        release = self.run.job.on_stop(job.stop)
        pipeline = _Pipeline(replace(prepared, job=job), script, parameters, secret)
        timeout = options.get("timeout")
        stream = bool(options.get("stream"))
        try:
            timed_out = stuck = False
            waited = 0.0
            while not pipeline.wait(
                _LOOK_SECONDS if timeout is None else min(_LOOK_SECONDS, max(0.0, timeout - waited))
            ):
                waited = pipeline.seconds
                if stream:
                    self._live(number, pipeline)
                if timeout is not None and waited >= timeout:
                    timed_out = True
                    job.stop()
                    stuck = not pipeline.wait(_STOP_SECONDS)
                    break
        finally:
            release()
        self.run.job.check()
        out, err = pipeline.text("out"), pipeline.text("err")
        result = pipeline.result
        code = 1 if result is None or result.failed or timed_out else result.code
        self._end(number, code, out, err, timed_out)
        if stuck:
            raise _Leave(_STUCK)

    def _live(self, number: int, pipeline: _Pipeline) -> None:
        for stream in ("out", "err"):
            text = pipeline.fresh(stream)
            if text:
                self._send(f"{number} {stream} {base64.b64encode(text.encode()).decode('ascii')}")

    def _open(self, number: int, path: str, sha256: str, size: int) -> None:
        if self.upload is not None:
            self._drop_upload()
        run = self.run
        if self.drive.is_directory(path, run.cwd):
            raise AgentError(f"{path} is a directory")
        if self.drive.is_file(path, run.cwd):
            with self.drive.open_to_read(path, run.cwd) as old:
                if old.seek(0, 2) == size and _sha256(old) == sha256:
                    self._end(number, 0, "equal", "")
                    return
        temp = f"{path}.{self.nonce}.tmp"
        file = self.drive.open_to_write(temp, run.cwd)
        self.upload = _Upload(number, path, temp, file, size, sha256)
        self._end(number, 0, "ready", "")

    def _piece(self, number: int, offset: int, length: int) -> None:
        data = self.run.stdin.read_exactly(length)
        upload = self.upload
        if upload is None or upload.id != number or upload.error or len(data) != length:
            return
        if upload.written != offset:
            return
        try:
            upload.file.write(data)
            upload.written += length
        except Win32Error as error:
            upload.error = error.dotnet

    def _drop_upload(self) -> None:
        upload, self.upload = self.upload, None
        if upload is not None:
            upload.file.close()
            try:
                self.drive.remove_file(upload.temp, self.run.cwd)
            except Win32Error as error:
                if error.code != errors.FILE_NOT_FOUND:
                    raise

    def _close(self, number: int) -> None:
        upload = self.upload
        if upload is None:
            raise AgentError("no upload is open")
        try:
            if upload.error:
                raise AgentError(upload.error)
            file = upload.file.host_file
            written = file.seek(0, 2)
            digest = _sha256(file)
            if written != upload.size or digest != upload.sha256:
                raise AgentError(f"what arrived differs from what was sent: {written} bytes, SHA-256 {digest}")
            upload.file.close()
            self.drive.move(
                upload.temp, upload.path, self.run.cwd, replace=self.drive.is_file(upload.path, self.run.cwd)
            )
            self.upload = None
        except (AgentError, Win32Error):
            self._drop_upload()
            raise
        self._end(number, 0, digest, "")

    def _read(self, number: int, path: str, offset: int, count: int) -> None:
        if self.drive.is_directory(path, self.run.cwd):
            raise AgentError(f"{path} is a directory")
        with self.drive.open_to_read(path, self.run.cwd) as file:
            digest = _sha256(file) if offset == 0 else "-"
            size = file.seek(0, 2)
            file.seek(offset)
            while count > 0:
                data = file.read(min(count, _FRAME_BYTES))
                if not data:
                    break
                self._send(f"{number} data {offset} {base64.b64encode(data).decode('ascii')}")
                offset += len(data)
                count -= len(data)
        self._end(number, 0, f"{size} {digest}", "")


class _Pipeline:
    """One script, running in a thread of its own as a PowerShell pipeline does."""

    def __init__(self, run: Run, script: str, parameters: str, secret: str) -> None:
        self.result: Executed | None = None
        self._run = run
        self._text: dict[str, list[str]] = {"out": [], "err": []}
        self._shown = {"out": 0, "err": 0}
        self._done = threading.Event()
        self._crash: BaseException | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._body, args=(script, parameters, secret), daemon=True)
        self._thread.start()

    def _body(self, script: str, parameters: str, secret: str) -> None:
        try:
            self.result = execute_script(
                self._run, script, parameters or None, self._text["out"].append, self._text["err"].append, secret
            )
        except Killed:
            pass
        except BaseException as error:
            self._crash = error
        finally:
            self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for its end; whether it has ended."""
        ended = self._done.wait(seconds)
        self.seconds += seconds
        if self._crash is not None:
            raise self._crash
        return ended

    def fresh(self, stream: str) -> str:
        """What it printed since the last look."""
        pieces = self._text[stream]
        upto = len(pieces)
        text = "".join(pieces[self._shown[stream] : upto])
        self._shown[stream] = upto
        return text

    def text(self, stream: str) -> str:
        """All that it printed."""
        return "".join(list(self._text[stream]))


def _field(field: str) -> str:
    return "" if field == "-" else base64.b64decode(field, validate=True).decode()


def _length_and_field(text: str) -> str:
    if not text:
        return "0 -"
    raw = text.encode("utf-8", "replace")
    return f"{len(raw)} {base64.b64encode(raw).decode('ascii')}"


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()
