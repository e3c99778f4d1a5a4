"""`@wsl/NAME[/DISTRO]`: a distro in WSL on a Windows machine that `@winrm/NAME` reaches, for pyinfra."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from io import IOBase
from typing import IO, TYPE_CHECKING, Any, cast

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, InventoryError, NoHostError
from pyinfra.api.output import echo
from pyinfra.api.state import StateStage
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector, DataMeta, host_to_connector_data
from pyinfra.connectors.util import (
    CommandOutput,
    extract_control_arguments,
    make_unix_command_for_host,
    remove_any_sudo_askpass_file,
)
from typing_extensions import Unpack, override

from vengeance.connectors import pool
from vengeance.connectors.errors import fails_its_host_only
from vengeance.connectors.fact_loading import asked_for_a_fact
from vengeance.connectors.long_command import LastLine, LongCommand, told
from vengeance.connectors.output import LivePrinter, command_output, succeeded
from vengeance.connectors.settings import WinRMData, settings_from_data, winrm_data_meta
from vengeance.connectors.winrm import as_bytes, receive_file, refuse_broken, stdin_text
from vengeance.powershell import Script
from vengeance.winrm.settings import WinRMSettings

if TYPE_CHECKING:
    from pyinfra.api.arguments import ConnectorArguments

    from vengeance.winrm.client import WinRMClient

DEFAULT_DISTRO = "Ubuntu-24.04"


class WSLData(WinRMData, total=False):
    """Connector data of `@wsl`; the ``winrm_`` keys count only when its Windows host is not in the inventory."""

    wsl_host: str
    wsl_distro: str
    wsl_user: str


wsl_data_meta: dict[str, DataMeta] = {
    **winrm_data_meta,
    "wsl_host": DataMeta("Name of the Windows host, as after @winrm/; the name after @wsl/ by default"),
    "wsl_distro": DataMeta("Name of the distro; the last part of @wsl/NAME/DISTRO by default", DEFAULT_DISTRO),
    "wsl_user": DataMeta("Linux user that commands run as", "root"),
}


def why_missing(complaint: str) -> str:
    """Return in few words why nothing runs in a distro: it is not there yet, or it is and does not start.

    + complaint: with what wsl.exe said; its error codes are the same in every language
    """
    code = re.search(r"Wsl/[\w/]+", complaint)
    if code is None or "DISTRO_NOT_FOUND" in code[0]:
        return "is not there yet"
    return f"does not start ({code[0]})"


class WSLConnector(BaseConnector):
    """A distro inside WSL as a plain Linux host: all of pyinfra's facts and operations work in it unchanged.

    Its Windows side comes from the host ``@winrm/NAME`` of the same inventory, and shares that host's connection. A
    distro that does not exist yet is no error while pyinfra plans: facts give their defaults, and everything shows
    as to be done. Once operations run it is one.

    **Usage**::

        windows = [("@winrm/vengeance", {"winrm_user": "Steam", "winrm_password_env": "VENGEANCE_PASSWORD"})]
        wsl = ["@wsl/vengeance/Ubuntu-24.04"]
    """

    handles_execution = True
    data_cls = WSLData
    data_meta: dict[str, DataMeta] = wsl_data_meta
    client: WinRMClient | None = None
    missing: str | None = None
    lost: str | None = None

    @override
    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        if not name:
            raise InventoryError("@wsl needs the name of a Windows machine: @wsl/NAME or @wsl/NAME/DISTRO")
        host, _, distro = name.partition("/")
        data = {"wsl_host": host}
        if distro:
            data["wsl_distro"] = distro
        yield f"@wsl/{name}", data, ["@wsl"]

    @property
    def distro(self) -> str:
        """The distro's name."""
        return str(self.data["wsl_distro"])

    @override
    def connect(self) -> None:
        if self.client is not None:
            return
        try:
            self.client = pool.acquire(self.state, self.data["wsl_host"], self._windows_settings())
            self._look_for_distro()
        except (OSError, ValueError) as error:
            self.disconnect()
            raise ConnectError(str(error)) from error

    def _windows_settings(self) -> WinRMSettings:
        name = self.data["wsl_host"]
        try:
            windows = self.state.inventory.get_host(f"@winrm/{name}")
        except NoHostError:
            return settings_from_data(self.data, self.host.data.dict(), name)  # type: ignore[no-untyped-call]
        data = host_to_connector_data(WinRMData, winrm_data_meta, windows.data)
        return settings_from_data(data, windows.data.dict(), name)  # type: ignore[no-untyped-call]

    def _look_for_distro(self) -> None:
        from vengeance.winrm.client import DistroMissing

        try:
            self._connected().sh(self.distro, self.data["wsl_user"], ":", read_only=True)
            self.missing = None
        except DistroMissing as error:
            self.missing = str(error)
            logger.warning(
                "%sthe distro %s %s: the plan shows everything in it as to be done",
                self.host.print_prefix,
                self.distro,
                why_missing(self.missing),
            )

    @override
    def disconnect(self) -> None:
        if self.client is None:
            return
        # pyinfra does this after the connection is closed, when it can only fail.
        if self.missing is None:
            remove_any_sudo_askpass_file(self.host)
        client, self.client = self.client, None
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
        if isinstance(command, Script) or arguments.get("_shell_executable") in ("ps", "powershell", "cmd"):
            raise OSError(
                f"{self.host.name} is a Linux distro, and this is for Windows: run it on "
                f"@winrm/{self.data['wsl_host']} (--limit windows)"
            )
        if self._nothing_there_yet():
            return True, CommandOutput([])
        control = extract_control_arguments(arguments)
        if not isinstance(command, StringCommand):
            command = StringCommand(command)
        unix = make_unix_command_for_host(self.state, self.host, command, **arguments)
        refuse_broken(self.host.name, "the command", unix.get_raw_value())
        if print_input:
            echo(f"{self.host.print_prefix}>>> {unix}", err=True)
        printer = LivePrinter(self.host.print_prefix) if print_output else None
        last = LastLine() if printer is None and isinstance(command, LongCommand) else None
        on_live = printer.take if printer is not None else last.take if last is not None else None
        with told(self.host.log, last) if last is not None else nullcontext():
            result = self._connected().sh(
                self.distro,
                self.data["wsl_user"],
                unix.get_raw_value(),
                stdin=stdin_text(control.get("_stdin")),
                timeout=control.get("_timeout"),
                read_only=self.state.current_stage == StateStage.Prepare or asked_for_a_fact(),
                on_live=on_live,
            )
        output = command_output(result)
        if printer is not None:
            printer.finish(output)
        if result.timed_out:
            raise TimeoutError(f"{self.host.name}: the command was stopped after {control.get('_timeout')} s")
        return succeeded(result.code, control.get("_success_exit_codes")), output

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
        refuse_broken(self.host.name, "the file's name", remote_filename)
        if self._nothing_there_yet():
            return True
        with get_file_io(cast("str | IO[Any]", filename_or_io)) as source:
            self._connected().upload_to_distro(
                self.distro,
                self._file_user(arguments),
                as_bytes(source),
                remote_filename,
                timeout=arguments.get("_timeout"),
            )
        if print_output:
            echo(f"{self.host.print_prefix}file uploaded: {remote_filename}", err=True)
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
        refuse_broken(self.host.name, "the file's name", remote_filename)
        if self._nothing_there_yet():
            return False
        client, user = self._connected(), self._file_user(arguments)
        receive_file(
            filename_or_io,
            lambda target: client.download_from_distro(
                self.distro, user, remote_filename, target, timeout=arguments.get("_timeout")
            ),
        )
        if print_output:
            echo(f"{self.host.print_prefix}file downloaded: {remote_filename}", err=True)
        return True

    def _file_user(self, arguments: ConnectorArguments) -> str:
        """The user who writes a file: wsl.exe takes any, so no copy through a temporary file and no sudo is needed."""
        for name in ("_su_user", "_sudo_user", "_doas_user", "_dzdo_user"):
            if arguments.get(name):
                return str(arguments.get(name))
        if any(arguments.get(name) for name in ("_sudo", "_doas", "_dzdo")):
            return "root"
        return str(self.data["wsl_user"])

    def _nothing_there_yet(self) -> bool:
        if self.missing is None:
            return False
        if self.state.current_stage == StateStage.Prepare:
            return True
        self._look_for_distro()
        if self.missing is not None:
            raise OSError(
                f"{self.host.name}: {self.missing}. The stage 'wsl' makes the distro: run deploys/wsl.py, or the whole "
                "deploys/vengeance.py"
            )
        return False

    def _connected(self) -> WinRMClient:
        if self.client is None:
            raise OSError(f"{self.host.name} is not connected")
        return self.client
