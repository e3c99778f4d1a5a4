"""`@winrm/NAME`: Windows over WinRM, for pyinfra."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import BytesIO, IOBase, TextIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, InventoryError
from pyinfra.api.hiddenvalue import HiddenValue
from pyinfra.api.output import echo
from pyinfra.api.state import StateStage
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector, DataMeta
from pyinfra.connectors.util import CommandOutput
from typing_extensions import Unpack, override

from vengeance.box import characters, windows_paths
from vengeance.connectors import pool
from vengeance.connectors.errors import fails_its_host_only
from vengeance.connectors.fact_loading import asked_for_a_fact
from vengeance.connectors.output import LivePrinter, command_output, succeeded
from vengeance.connectors.settings import WinRMData, settings_from_data, winrm_data_meta
from vengeance.powershell import Script, load

if TYPE_CHECKING:
    from pyinfra.api.arguments import ConnectorArguments

    from vengeance.winrm.client import WinRMClient
    from vengeance.winrm.result import Result

# What these would do has no meaning on Windows, and to run without it would be another command than was asked for.
NOT_ON_WINDOWS = (
    "_sudo",
    "_sudo_user",
    "_use_sudo_login",
    "_sudo_password",
    "_preserve_sudo_env",
    "_su_user",
    "_use_su_login",
    "_preserve_su_env",
    "_su_shell",
    "_su_password",
    "_doas",
    "_doas_user",
    "_dzdo",
    "_dzdo_user",
    "_get_pty",
)
# pyinfra says "sh" wherever nobody chose.
POWERSHELL_NAMES = (None, "sh", "ps", "powershell")
CMD_EXE = "C:\\Windows\\System32\\cmd.exe"
# https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation
CMD_CHARACTERS = 8191
# Of a box that is being restarted, which is asked again and again.
AFRESH_CONNECT_SECONDS = 5.0
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")


class WinRMConnector(BaseConnector):
    """Runs PowerShell and cmd on Windows over WinRM, and carries files.

    Commands are PowerShell unless ``_shell_executable="cmd"``. `_timeout`, `_env`, `_chdir`, `_stdin` and
    `_success_exit_codes` work as pyinfra documents them; `_sudo` and its like are refused. A command's exit code is
    what it gave to ``exit``, else 1 after an error, else that of the last program it ran.

    **Usage**::

        windows = [("@winrm/vengeance", {"winrm_user": "Steam", "winrm_password_env": "VENGEANCE_PASSWORD"})]
    """

    handles_execution = True
    data_cls = WinRMData
    data_meta: dict[str, DataMeta] = winrm_data_meta
    client: WinRMClient | None = None
    lost: str | None = None

    @override
    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        if not name:
            raise InventoryError("@winrm needs the name of a Windows machine: @winrm/NAME")
        yield f"@winrm/{name}", {}, ["@winrm"]

    @property
    def short_name(self) -> str:
        """The name after ``@winrm/``."""
        return self.host.name.removeprefix("@winrm/")

    @override
    def connect(self) -> None:
        if self.client is not None:
            return
        try:
            settings = settings_from_data(self.data, self.host.data.dict(), self.short_name)  # type: ignore[no-untyped-call]
            self.client = pool.acquire(self.state, self.short_name, settings)
        except (OSError, ValueError) as error:
            raise ConnectError(str(error)) from error

    @override
    def disconnect(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            pool.release(self.state, client)

    @override
    @fails_its_host_only
    def run_shell_command(
        self,
        command: StringCommand | str,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> tuple[bool, CommandOutput]:
        refuse_unix_arguments(self.host.name, arguments)
        if print_input:
            echo(f"{self.host.print_prefix}>>> {command}", err=True)
        printer = LivePrinter(self.host.print_prefix) if print_output else None
        result = self._run(command, printer, arguments)
        output = command_output(result)
        if printer is not None:
            printer.finish(output)
        if result.timed_out:
            raise TimeoutError(f"{self.host.name}: the command was stopped after {arguments.get('_timeout')} s")
        return succeeded(result.code, arguments.get("_success_exit_codes")), output

    def _run(self, command: StringCommand | str, printer: LivePrinter | None, arguments: ConnectorArguments) -> Result:
        client = self._connected()
        shell = arguments.get("_shell_executable")
        text = command.get_raw_value() if isinstance(command, StringCommand) else str(command)
        settings: dict[str, Any] = {
            "stdin": stdin_text(arguments.get("_stdin")),
            "cwd": arguments.get("_chdir"),
            "env": variables_of(self.host.name, arguments.get("_env")),
            "timeout": arguments.get("_timeout"),
        }
        read_only = self.state.current_stage == StateStage.Prepare or asked_for_a_fact()
        on_live = printer.take if printer is not None else None
        if isinstance(command, Script):
            read_only = read_only or command.script.startswith("Get-")
            return client.powershell(
                load(command.script), command.parameters, secret=command.secret, read_only=read_only, **settings
            )
        if shell == "cmd":
            return self._run_cmd(client, text, settings, read_only, printer)
        if shell not in POWERSHELL_NAMES:
            raise OSError(f"{self.host.name}: _shell_executable is {shell!r}: on Windows use 'ps' or 'cmd'")
        return client.powershell(text, read_only=read_only, on_live=on_live, **settings)

    def _run_cmd(
        self, client: WinRMClient, text: str, settings: dict[str, Any], read_only: bool, printer: LivePrinter | None
    ) -> Result:
        refuse_broken(self.host.name, "the command", text)
        if len(text) > CMD_CHARACTERS:
            raise OSError(
                f"{self.host.name}: the command has {len(text):,} characters and cmd.exe takes {CMD_CHARACTERS:,}: use "
                "_shell_executable='ps', or put it into a .cmd file"
            )
        plain_line = not (settings["stdin"] or settings["cwd"] or settings["env"])
        if plain_line and (client.settings.mode == "process" or printer is not None):
            on_live = printer.take if printer is not None else None
            return client.cmd(text, stdin=b"", timeout=settings["timeout"], read_only=read_only, on_live=on_live)
        parameters = {"file": CMD_EXE, "arguments": f'/d /s /c "{text}"', **settings}
        # Invoke-Program stops the program itself; its own limit is only for when that fails.
        limit = None if settings["timeout"] is None else settings["timeout"] + 10
        answer = client.powershell(load("Invoke-Program"), json.dumps(parameters), timeout=limit, read_only=read_only)
        return program_result(answer)

    @override
    @fails_its_host_only
    def put_file(
        self,
        filename_or_io: str | IOBase,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        refuse_unix_arguments(self.host.name, arguments)
        path = windows_path(self.host.name, remote_filename)
        with get_file_io(cast("str | IO[Any]", filename_or_io)) as source:
            self._connected().upload(as_bytes(source), path, timeout=arguments.get("_timeout"))
        if print_output:
            echo(f"{self.host.print_prefix}file uploaded: {path}", err=True)
        return True

    @override
    @fails_its_host_only
    def get_file(
        self,
        remote_filename: str,
        filename_or_io: str | IOBase,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        refuse_unix_arguments(self.host.name, arguments)
        path = windows_path(self.host.name, remote_filename)
        client = self._connected()
        receive_file(filename_or_io, lambda target: client.download(path, target, timeout=arguments.get("_timeout")))
        if print_output:
            echo(f"{self.host.print_prefix}file downloaded: {path}", err=True)
        return True

    def run_afresh(self, script: Script, *, read_only: bool, timeout: float) -> Result:
        """Run a shipped script over a connection of its own, made now and closed afterwards.

        + read_only: it does no harm to do it twice
        + timeout: seconds

        For while the box restarts: what the usual connection holds on to may be gone. Raises OSError, TimeoutError.
        """
        from vengeance.winrm.client import WinRMClient

        settings = replace(
            self._connected().settings, connect_timeout=AFRESH_CONNECT_SECONDS, operation_timeout=10, mode="process"
        )
        client = WinRMClient(settings, pool.agent_texts())
        try:
            client.connect()
            return client.powershell(
                load(script.script), script.parameters, secret=script.secret, read_only=read_only, timeout=timeout
            )
        finally:
            client.close()

    def reconnect(self) -> None:
        """Connect anew after a restart of the box; the distros' connections come back with their next command.

        Raises OSError.
        """
        from vengeance.winrm.shell import persistently

        client = self._connected()
        pool.forget(self.state, self.short_name)
        persistently(client.connect)

    def _connected(self) -> WinRMClient:
        if self.client is None:
            raise OSError(f"{self.host.name} is not connected")
        return self.client


def refuse_unix_arguments(host: str, arguments: ConnectorArguments) -> None:
    """Raise OSError for a global argument that has no meaning on Windows."""
    for name in NOT_ON_WINDOWS:
        if arguments.get(name):
            raise OSError(
                f"{host}: {name} does not exist on Windows, where a command runs as the account that signed in: sign "
                "in as another one (winrm_user), or leave it out"
            )


def windows_path(host: str, path: str) -> str:
    """Return the path of a file with backslashes.

    Raises OSError unless it is absolute and Windows would keep it as it is: it drops a dot or a blank at the end of a
    name, and takes some names for devices or hidden streams.
    """
    if not _ABSOLUTE.match(path):
        raise OSError(f"{host}: {path!r} is no absolute Windows path: write it as C:\\folder\\file")
    refuse_broken(host, "the file's name", path)
    try:
        windows_paths.check_any_file(path)
    except ValueError as error:
        raise OSError(f"{host}: {error}") from None
    return path.replace("/", "\\")


def variables_of(host: str, env: Mapping[str, object] | None) -> dict[str, str]:
    """Return the environment variables of a command as text.

    Raises OSError for a name or value that Windows cannot keep. An empty value means there that it is not set.
    """
    variables = {name: plain(value) for name, value in (env or {}).items()}
    for name, value in variables.items():
        if not name or "=" in name:
            raise OSError(f"{host}: {name!r} is no name of an environment variable: it is empty or holds '='")
        refuse_broken(host, f"the environment variable {name!r}", name + value)
    return variables


def refuse_broken(host: str, what: str, text: str) -> None:
    """Raise OSError for a text that would be another one when it has arrived."""
    try:
        characters.check(what, text)
    except ValueError as error:
        raise OSError(f"{host}: {error}") from None


def plain(value: object) -> str:
    """Return an environment value as the text to send."""
    return str(value.unmask()) if isinstance(value, HiddenValue) else str(value)


def stdin_text(stdin: object) -> str | None:
    """Return what pyinfra's ``_stdin`` stands for: a text, lines, or a file, every line ended."""
    if stdin is None:
        return None
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = list(stdin) if isinstance(stdin, list | tuple) else [stdin]
    texts = [line.decode() if isinstance(line, bytes) else plain(line) for line in lines]
    return "".join(text if text.endswith("\n") else text + "\n" for text in texts)


def program_result(answer: Result) -> Result:
    """Return what Invoke-Program says of the program it ran; its own failure stays as it is."""
    from vengeance.winrm.result import Result

    if answer.code != 0 or answer.timed_out:
        return answer
    said = json.loads(answer.stdout)
    return Result(
        int(said["rc"]) & 0xFFFFFFFF,
        base64.b64decode(said["stdout"]),
        base64.b64decode(said["stderr"]),
        bool(said["timed_out"]),
    )


def as_bytes(source: IO[Any]) -> IO[bytes]:
    """Return a file of bytes for a file that may be one of text."""
    if isinstance(source.read(0), str):
        return BytesIO(source.read().encode())
    return source


def receive_file(filename_or_io: str | IOBase, download: Callable[[IO[bytes]], object]) -> None:
    """Have ``download(target)`` write a file: beside its place, and moved there when it is whole."""
    if not isinstance(filename_or_io, str):
        if isinstance(filename_or_io, TextIOBase) or hasattr(filename_or_io, "encoding"):
            buffer = BytesIO()
            download(buffer)
            filename_or_io.write(buffer.getvalue().decode())
        else:
            download(cast("IO[bytes]", filename_or_io))
        return
    place = Path(filename_or_io)
    number, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    temporary = Path(name)
    try:
        with open(number, "w+b") as target:
            download(target)
        temporary.replace(place)
    except BaseException:
        # Closed by now: Windows removes no file that is open.
        temporary.unlink(missing_ok=True)
        raise
