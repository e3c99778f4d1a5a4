"""One long-lived process on the box that runs request after request, each exactly once however often the wire is cut.

A request carries a number. It is sent again whenever something was lost; the agent runs a number once and repeats
its last answer when it is asked again. Pieces of an upload carry their offset for the same reason.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vengeance.winrm.connection import REFUSALS, Connection, Rejected, Unreachable
from vengeance.winrm.errors import (
    AgentUnavailable,
    CommandTimeout,
    ConnectionLost,
    Fault,
    InputClosed,
    NothingYet,
    OutcomeUnknown,
    ShellLost,
    WireError,
)
from vengeance.winrm.frames import Data, End, Frame, FrameAssembler, Live, encode_field, request_line
from vengeance.winrm.shell import RECONNECT_SECONDS, Command, Shell, backoff_pauses

ALL_BYTES = bytes(range(256))
START_SECONDS = 90.0
# The agent itself stops a command whose time is up; after this many more seconds it is taken for stuck.
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class AgentKind:
    """What makes one agent: the command line that starts it and the text that it is given first.

    + name: for messages
    + line: Windows command line, nothing in it that a user chose but names that were checked
    + text: stage 2, sent as the first line of stdin
    """

    name: str
    line: str
    text: str


class AgentGone(ShellLost):
    """The agent is gone and this request surely did not run: it may be given to a new agent."""


class AgentEnded(WireError):
    """The agent's process has ended.

    + exit_code: its exit code, unsigned
    + output: the last of what it printed, without the protocol
    """

    def __init__(self, message: str, exit_code: int, output: bytes) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.output = output


class Agent:
    """A running agent; one request at a time.

    + shell: where it runs
    + kind: what it is
    + place: how errors name the box
    + reader: a connection of its own to wait for answers on, so that nobody else waits for them too
    + duplex: requests go over the shell's own connection while the reader waits, else over the reader too
    """

    def __init__(self, shell: Shell, kind: AgentKind, place: str, reader: Connection, duplex: bool) -> None:
        self._shell = shell
        self._kind = kind
        self._place = place
        self._reader = reader
        self._duplex = duplex
        self._nonce = secrets.token_hex(16)
        self._frames = FrameAssembler(self._nonce)
        self._next_id = 0
        self._command: Command | None = None
        self._stderr = b""
        self._heard = 0
        self._ended_before = False
        self.busy = False
        self.alive = False
        self.proof: dict[str, object] = {}

    @property
    def is_there(self) -> bool:
        """Whether its process is not known to have ended, by itself or with its shell."""
        return self.alive and self._command is not None and self._shell.has(self._command)

    def start(self) -> None:
        """Start the process and have it prove itself: bytes arrive unchanged, children find an empty stdin.

        Raises AgentUnavailable when it does not, AgentEnded when its process ended at once, ConnectionLost when
        another start may be tried. The process is ended then.
        """
        loaded = base64.b64encode(self._kind.text.encode()) + b"\n" + self._nonce.encode() + b"\n"
        try:
            self._command = self._shell.start(self._kind.line)
            self.alive = True
            self._prove(loaded)
        except BaseException:
            self.close()
            raise

    def _prove(self, loaded: bytes) -> None:
        try:
            end = self._exchange(
                "prove", (encode_field(ALL_BYTES),), prefix=loaded, timeout=START_SECONDS - GRACE_SECONDS
            )
            self.proof = json.loads(end.stdout)
        except OutcomeUnknown as error:
            # Nothing of the user's was under way: a new one can be started.
            raise ConnectionLost(
                f"the connection to {self._place} was cut while an agent started, and does not come back: see that the "
                "box is on, and run this again"
            ) from error
        except (CommandTimeout, ValueError) as error:
            raise AgentUnavailable(f"the {self._kind.name} agent on {self._place} did not start: {error}") from error
        complaint = self._complaint()
        if complaint:
            raise AgentUnavailable(f"the {self._kind.name} agent on {self._place} failed its own test: {complaint}")

    def _complaint(self) -> str | None:
        proof = self.proof
        if proof.get("bytes") != hashlib.sha256(ALL_BYTES).hexdigest():
            return "bytes sent to it arrive changed"
        if proof.get("child_stdin") != "closed":
            return "programs that it starts could read its input"
        if proof.get("language_mode") != "FullLanguage":
            return f"PowerShell runs in {proof.get('language_mode')} here (AppLocker or WDAC)"
        return None

    def request(
        self,
        verb: str,
        *words: str,
        timeout: float | None = None,
        read_only: bool = False,
        on_live: Callable[[Live], None] | None = None,
        on_data: Callable[[Data], None] | None = None,
    ) -> End:
        """Have the agent do one thing, once, and return its answer.

        + words: encoded fields
        + timeout: seconds that the request may take; the agent itself is told in ``words``
        + read_only: it does no harm to do it twice
        + on_live, on_data: called with what arrives before the answer

        Raises AgentGone when it surely did not run, OutcomeUnknown when nobody can tell, CommandTimeout.
        """
        try:
            return self._exchange(verb, words, timeout=timeout, on_live=on_live, on_data=on_data)
        except OutcomeUnknown:
            if read_only:
                raise AgentGone(f"the agent on {self._place} was lost") from None
            raise
        except AgentEnded as error:
            if read_only or self._ended_before:
                raise AgentGone(f"the agent on {self._place} ended") from None
            raise OutcomeUnknown(
                f"the {self._kind.name} agent on {self._place} ended (exit code {error.exit_code}) while it ran a "
                "command: whether the command was finished is not known. Look at the box, then run again"
            ) from error

    def piece(self, transfer: int, offset: int, data: bytes) -> None:
        """Send one piece of an upload: one Send, which arrives whole or not at all; the agent drops a repeat."""
        line = request_line(self._nonce, transfer, "piece", str(offset), str(len(data)))
        self._send_until_through(line + data, started=False)

    def _exchange(
        self,
        verb: str,
        words: tuple[str, ...],
        *,
        prefix: bytes = b"",
        timeout: float | None = None,
        on_live: Callable[[Live], None] | None = None,
        on_data: Callable[[Data], None] | None = None,
    ) -> End:
        if not self.alive:
            raise AgentGone(f"the agent on {self._place} is gone")
        request_id = self._next_id
        self._next_id += 1
        line = request_line(self._nonce, request_id, verb, *words)
        deadline = None if timeout is None else time.monotonic() + timeout + GRACE_SECONDS
        self.busy = True
        finished = False
        try:
            end = self._send_and_wait(prefix, line, request_id, deadline, on_live, on_data)
            finished = True
            return end
        except AgentGone:
            finished = True
            raise
        finally:
            self.busy = not finished
            if not finished:
                # Something was cut in the middle, by a fault, a timeout or the user: this agent may still be at
                # it, so it is not used again. close() ends what it runs.
                self.alive = False

    def _send_and_wait(
        self,
        prefix: bytes,
        line: bytes,
        request_id: int,
        deadline: float | None,
        on_live: Callable[[Live], None] | None,
        on_data: Callable[[Data], None] | None,
    ) -> End:
        started = False
        again = False
        pause = None
        while True:
            heard = self._heard
            waiting = _Waiting(lambda: self._receive_answer(request_id, deadline, on_live, on_data))
            if self._duplex:
                waiting.start()
            # The loader reads its two lines only once, so only what follows them may be sent again.
            try:
                self._send_until_through(line if again else prefix + line, started, plain=not again and bool(prefix))
            except ConnectionLost:
                if prefix and not again:
                    raise OutcomeUnknown(f"the connection to {self._place} was cut while the agent started") from None
                raise
            started = True
            try:
                return waiting.result()
            except (ConnectionLost, Unreachable) as error:
                self._frames.forget_partial_line()
                again = True
                # Only losses in a row count: a command may take hours, with a cut now and then.
                if pause is None or self._heard != heard:
                    pause = backoff_pauses(RECONNECT_SECONDS)
                if not pause():
                    raise OutcomeUnknown(
                        f"the connection to {self._place} was lost ({error}) after a command had been sent: whether "
                        "it was finished is not known. Look at the box, then run again"
                    ) from error
            except Fault as error:
                raise OutcomeUnknown(
                    f"whether a command on {self._place} was finished is not known, for no more is told of it: {error}"
                ) from error
            except ShellLost as error:
                raise OutcomeUnknown(
                    f"the shell on {self._place} was lost while it ran a command (a reboot, or WinRM was restarted): "
                    "whether the command was finished is not known. Look at the box, then run again"
                ) from error

    def _send_until_through(self, data: bytes, started: bool, plain: bool = False) -> None:
        """Send until it is certain that it arrived; ``plain`` data, which the agent could not tell twice, only once."""
        pause = backoff_pauses(RECONNECT_SECONDS)
        while True:
            try:
                self._shell.send(self._running(), data, connection=None if self._duplex else self._reader)
                return
            except InputClosed:
                # Its last words are still to be received.
                self._ended_before = not started
                return
            except (Rejected, Unreachable) as error:
                if not pause():
                    raise self._given_up(started, error) from error
            except (ConnectionLost, NothingYet) as error:
                # Not read in time counts as lost: what arrives twice is dropped by the agent.
                if plain and isinstance(error, ConnectionLost):
                    raise
                if plain:
                    return
                started = True
                if not pause():
                    raise self._given_up(started, error) from error
            except Fault as error:
                raise self._given_up(started or error.code not in REFUSALS, error) from error
            except ShellLost as error:
                self.alive = False
                raise self._given_up(started, error) from error

    def _given_up(self, started: bool, error: WireError) -> WireError:
        if not started:
            return AgentGone(str(error))
        return OutcomeUnknown(
            f"the connection to {self._place} was lost ({error}) while a command was being sent: whether it ran is "
            "not known. Look at the box, then run again"
        )

    def _receive_answer(
        self,
        request_id: int,
        deadline: float | None,
        on_live: Callable[[Live], None] | None,
        on_data: Callable[[Data], None] | None,
    ) -> End:
        while self.alive:
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeout(
                    f"a command on {self._place} did not end in time and would not stop; its process was ended"
                )
            try:
                received = self._shell.receive(self._running(), self._reader)
            except NothingYet:
                self._heard += 1
                continue
            self._stderr = (self._stderr + received.stderr)[-4096:]
            for frame in self._frames.feed(received.stdout):
                if frame.request_id != request_id:
                    continue
                end = self._handle(frame, on_live, on_data)
                if end is not None:
                    return end
                self._heard += 1
            if received.exit_code is not None:
                self.alive = False
                raise AgentEnded(
                    f"the {self._kind.name} agent on {self._place} ended with exit code {received.exit_code}",
                    received.exit_code,
                    self._frames.stray + self._stderr,
                )
        raise ShellLost(f"the agent on {self._place} is not waited for any more")

    def _running(self) -> Command:
        if self._command is None:
            raise ShellLost(f"the agent on {self._place} was not started")
        return self._command

    @staticmethod
    def _handle(
        frame: Frame, on_live: Callable[[Live], None] | None, on_data: Callable[[Data], None] | None
    ) -> End | None:
        if isinstance(frame, End):
            return frame
        if isinstance(frame, Live) and on_live is not None:
            on_live(frame)
        if isinstance(frame, Data) and on_data is not None:
            on_data(frame)
        return None

    def close(self) -> None:
        """End the process; one that is idle goes by itself with its shell, one that is busy is killed."""
        self.alive = False
        if self._command is not None:
            self._shell.terminate(self._command)
        self._reader.close()

    def leave(self) -> None:
        """Let the process end with its shell, which is about to be deleted."""
        self.alive = False
        self._reader.close()


class _Waiting:
    """Waits for an answer, in a thread of its own when ``start`` was called, else within ``result``."""

    def __init__(self, wait: Callable[[], End]) -> None:
        self._wait = wait
        self._thread: threading.Thread | None = None
        self._end: End | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="vengeance-receive", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._end = self._wait()
        except BaseException as error:
            self._error = error

    def result(self) -> End:
        if self._thread is None:
            self._run()
        else:
            self._thread.join()
        if self._end is not None:
            return self._end
        if self._error is not None:
            raise self._error
        raise WireError("no answer")
