"""The shell service of WS-Management: Create, Command, Send, Receive, Signal, Delete, Get."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from vengeance.twin.process import Launcher, ShellEnvironments
from vengeance.twin.wsman import errors
from vengeance.twin.wsman.accounts import Account
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.shells import Received, Shell, Shells
from vengeance.twin.wsman.soap import (
    ACTIONS,
    CMD_URI,
    CONFIG_URI,
    RSP,
    SHELL_URI,
    TRANSFER_URI,
    SoapRequest,
    envelope,
    new_id,
    parse_duration,
)
from vengeance.twin.wsman.waiting import Waiter

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_STATE = f"{SHELL_URI}/CommandState"
# A request may not ask for answers smaller than this (MS-WSMV, MaxEnvelopeSize)
_SMALLEST_ENVELOPE = 8192
# OperationTimeout when a request has none (DSP0226 leaves it to the service; Windows takes MaxTimeoutms)
_NO_TIMEOUT = float("inf")


@dataclass(frozen=True)
class Caller:
    """Who asks: the signed-in account, its address, the address it called, and how to wait for it."""

    account: Account
    ip: str
    address: str
    waiter: Waiter


class ShellService:
    """Answers requests of signed-in callers."""

    def __init__(self, launcher: Launcher, limits: Limits, shells: Shells, config: Callable[[], str]) -> None:
        self._launcher = launcher
        self._limits = limits
        self._shells = shells
        self._config = config
        self._verbs: dict[str, Callable[[SoapRequest, Caller], tuple[str, str]]] = {
            "Create": self._create,
            "Command": self._command,
            "Send": self._send,
            "Receive": self._receive,
            "Signal": self._signal,
            "Delete": self._delete,
            "Get": self._get,
        }

    def answer(self, request: SoapRequest, caller: Caller) -> bytes:
        """The answer's envelope; WsmanFault for what is refused, ClientGone when nobody waits for it."""
        verb = self._verbs.get(ACTIONS.get(request.action, ""))
        if verb is None:
            raise errors.invalid_action(request.action)
        if request.max_envelope_size is not None and request.max_envelope_size < _SMALLEST_ENVELOPE:
            raise errors.envelope_too_small()
        action, body = verb(request, caller)
        return envelope(action, request.message_id, body)

    def _create(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        if request.resource_uri != CMD_URI:
            raise errors.invalid_resource(request.resource_uri)
        wanted = request.body.find(f"{RSP}Shell")
        if wanted is None:
            wanted = ElementTree.Element(f"{RSP}Shell")
        environment = {
            variable.get("Name", ""): variable.text or ""
            for variable in wanted.iterfind(f"{RSP}Environment/{RSP}Variable")
        }
        asked_id = wanted.get("ShellId", "")
        idle = parse_duration(wanted.findtext(f"{RSP}IdleTimeOut") or "") or self._limits.shell_idle_seconds
        codepage = request.options.get("WINRS_CODEPAGE", "").strip()
        shell = Shell(
            id=asked_id.upper() if _GUID.fullmatch(asked_id) else new_id(),
            owner=caller.account,
            client_ip=caller.ip,
            environment=environment,
            block=(
                self._launcher.shell_environment(caller.account.name, environment)
                if isinstance(self._launcher, ShellEnvironments)
                else None
            ),
            working_directory=wanted.findtext(f"{RSP}WorkingDirectory") or f"C:\\Users\\{caller.account.name}",
            codepage=int(codepage) if codepage.isdigit() else 437,
            idle_seconds=idle,
            input_streams=wanted.findtext(f"{RSP}InputStreams") or "stdin",
            output_streams=wanted.findtext(f"{RSP}OutputStreams") or "stdout stderr",
        )
        self._shells.add(shell)
        body = (
            f"<x:ResourceCreated><a:Address>{escape(caller.address)}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{CMD_URI}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{shell.id}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
            f"</x:ResourceCreated>{_shell_xml(shell, wanted.findtext(f'{RSP}WorkingDirectory'))}"
        )
        return f"{TRANSFER_URI}/CreateResponse", body

    def _command(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        shell = self._shells.find(request.shell_id, caller.account)
        line = request.body.find(f"{RSP}CommandLine")
        if line is None:
            raise errors.invalid_parameter()
        words = [line.findtext(f"{RSP}Command") or ""]
        words += [argument.text or "" for argument in line.iterfind(f"{RSP}Arguments")]
        console = request.options.get("WINRS_CONSOLEMODE_STDIN", "TRUE").strip().upper() != "FALSE"
        asked_id = line.get("CommandId", "")
        command = shell.run(
            " ".join(words),
            console,
            self._launcher,
            self._limits,
            asked_id if _GUID.fullmatch(asked_id) else None,
        )
        body = f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"
        return f"{SHELL_URI}/CommandResponse", body

    def _send(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        shell = self._shells.find(request.shell_id, caller.account)
        for stream in request.body.iterfind(f"{RSP}Send/{RSP}Stream"):
            command = shell.command(stream.get("CommandId"))
            try:
                data = base64.b64decode(stream.text or "", validate=False)
            except binascii.Error as error:
                raise errors.invalid_parameter() from error
            command.send(data, (stream.get("End") or "").lower() == "true", self._timeout(request))
        return f"{SHELL_URI}/SendResponse", "<rsp:SendResponse/>"

    def _receive(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        shell = self._shells.find(request.shell_id, caller.account)
        wanted = request.body.find(f"{RSP}Receive/{RSP}DesiredStream")
        if wanted is None:
            raise errors.invalid_parameter()
        command = shell.command(wanted.get("CommandId"))
        size = min(request.max_envelope_size or self._limits.max_envelope_size, self._limits.max_envelope_size)
        received = command.receive(size, self._timeout(request), caller.waiter)
        return f"{SHELL_URI}/ReceiveResponse", _received_xml(received, command.id)

    def _signal(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        shell = self._shells.find(request.shell_id, caller.account)
        signal = request.body.find(f"{RSP}Signal")
        if signal is None:
            raise errors.invalid_parameter()
        command = shell.command(signal.get("CommandId"))
        code = (signal.findtext(f"{RSP}Code") or "").strip().lower()
        if code.endswith("/signal/terminate"):
            shell.forget(command)
        elif code.endswith(("/signal/ctrl_c", "/signal/ctrl_break")):
            command.interrupt()
        else:
            raise errors.invalid_parameter()
        return f"{SHELL_URI}/SignalResponse", "<rsp:SignalResponse/>"

    def _delete(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        self._shells.remove(self._shells.find(request.shell_id, caller.account))
        return f"{TRANSFER_URI}/DeleteResponse", ""

    def _get(self, request: SoapRequest, caller: Caller) -> tuple[str, str]:
        if request.resource_uri == CONFIG_URI:
            return f"{TRANSFER_URI}/GetResponse", self._config()
        if request.resource_uri in (SHELL_URI, CMD_URI):
            return f"{TRANSFER_URI}/GetResponse", _shell_xml(
                self._shells.find(request.shell_id, caller.account), None, state="Connected"
            )
        raise errors.invalid_resource(request.resource_uri)

    def _timeout(self, request: SoapRequest) -> float:
        asked = _NO_TIMEOUT if request.timeout is None else request.timeout
        return min(asked, self._limits.max_timeout_ms / 1000)


def _shell_xml(shell: Shell, working_directory: str | None, state: str | None = None) -> str:
    environment = "".join(
        f"<rsp:Variable Name={quoteattr(name)}>{escape(value)}</rsp:Variable>"
        for name, value in shell.environment.items()
    )
    now = time.monotonic()
    return (
        f'<rsp:Shell xmlns:rsp="{SHELL_URI}"><rsp:ShellId>{shell.id}</rsp:ShellId>'
        f"<rsp:ResourceUri>{CMD_URI}</rsp:ResourceUri><rsp:Owner>{escape(shell.owner.name)}</rsp:Owner>"
        f"<rsp:ClientIP>{shell.client_ip}</rsp:ClientIP>"
        + (f"<rsp:Environment>{environment}</rsp:Environment>" if environment else "")
        + (f"<rsp:WorkingDirectory>{escape(working_directory)}</rsp:WorkingDirectory>" if working_directory else "")
        + f"<rsp:IdleTimeOut>PT{shell.idle_seconds:.3f}S</rsp:IdleTimeOut>"
        f"<rsp:InputStreams>{escape(shell.input_streams)}</rsp:InputStreams>"
        f"<rsp:OutputStreams>{escape(shell.output_streams)}</rsp:OutputStreams>"
        f"<rsp:ShellRunTime>{_duration(now - shell.created)}</rsp:ShellRunTime>"
        f"<rsp:ShellInactivity>{_duration(now - shell.touched)}</rsp:ShellInactivity>"
        + (f"<rsp:State>{state}</rsp:State>" if state else "")
        + "</rsp:Shell>"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"P{days}DT{hours}H{minutes}M{rest}S"


def _received_xml(received: Received, command_id: str) -> str:
    parts = ["<rsp:ReceiveResponse>"]
    for stream, data in received.pieces:
        text = base64.b64encode(data).decode("ascii")
        parts.append(f'<rsp:Stream Name="{stream}" CommandId="{command_id}">{text}</rsp:Stream>')
    if received.exit_code is None:
        parts.append(f'<rsp:CommandState CommandId="{command_id}" State="{_STATE}/Running"></rsp:CommandState>')
    else:
        for stream in ("stdout", "stderr"):
            parts.append(f'<rsp:Stream Name="{stream}" CommandId="{command_id}" End="true"></rsp:Stream>')
        parts.append(
            f'<rsp:CommandState CommandId="{command_id}" State="{_STATE}/Done">'
            f"<rsp:ExitCode>{received.exit_code}</rsp:ExitCode></rsp:CommandState>"
        )
    parts.append("</rsp:ReceiveResponse>")
    return "".join(parts)
