"""testinfra on the hosts of a pyinfra inventory, over the connections of our connectors.

>>> state = connect(load(Path("inventory/twin.py"), Path("group_data")))         # doctest: +SKIP
>>> linux = for_testinfra(state.inventory.get_host("@wsl/vengeance/Ubuntu-24.04"))  # doctest: +SKIP
>>> linux.file("/etc/wsl.conf").contains("systemd=true")                         # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from pyinfra.api.host import Host as PyinfraHost
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from vengeance.connectors.winrm import WinRMConnector
from vengeance.connectors.wsl import WSLConnector
from vengeance.verify import modules


class DistroBackend(BaseBackend):  # type: ignore[misc]
    """Commands in a distro, as its ``wsl_user``, by the sh agent."""

    NAME = "vengeance-wsl"

    def __init__(self, host: PyinfraHost, connector: WSLConnector) -> None:
        self.connector = connector
        super().__init__(host.name)

    def run(
        self, command: str, *args: str, stdin: str | None = None, timeout: float | None = None, **kwargs: object
    ) -> CommandResult:
        """Run a shell command; ``%s`` in it stand for quoted arguments."""
        text = self.get_command(command, *args)
        client = self.connector.client
        if client is None:
            raise RuntimeError(f"{self.hostname} is not connected.")
        data = self.connector.data
        result = client.sh(self.connector.distro, data["wsl_user"], text, stdin=stdin, timeout=timeout)
        return self.result(result.code, self.encode(text), result.stdout, result.stderr)

    def get_encoding(self) -> str:
        """A distro's programs write UTF-8."""
        return "utf-8"


class WindowsBackend(BaseBackend):  # type: ignore[misc]
    """Commands of cmd.exe on Windows, each a process of its own in a WinRS shell: not the agent that deploys use.

    The name is not testinfra's ``winrm``, which knows neither our settings nor pinned certificates.
    """

    NAME = "vengeance-winrm"

    def __init__(self, host: PyinfraHost, connector: WinRMConnector) -> None:
        self.connector = connector
        super().__init__(host.name)

    def run(
        self, command: str, *args: str, stdin: str | None = None, timeout: float | None = None, **kwargs: object
    ) -> CommandResult:
        """Run a command line of cmd.exe; ``%s`` in it stand for arguments in double quotes."""
        text = self.quote(command, *args)
        client = self.connector.client
        if client is None:
            raise RuntimeError(f"{self.hostname} is not connected.")
        given = None if stdin is None else stdin.encode()
        result = client.cmd(text, stdin=given, timeout=timeout)
        return self.result(result.code, self.encode(text), result.stdout, result.stderr)

    @staticmethod
    def quote(command: str, *args: str) -> str:
        """Put arguments into a command line; cmd.exe has no way to write some characters inside quotes.

        Raises ValueError for an argument with ``"``, ``%`` or a line break.
        """
        for argument in args:
            if any(character in argument for character in '"%\r\n'):
                raise ValueError(f"{argument!r} cannot be written as an argument on a command line of cmd.exe.")
        return command % tuple(f'"{argument}"' for argument in args) if args else command

    def get_encoding(self) -> str:
        """The shells that our connections open have code page 65001."""
        return "utf-8"


class DistroHost(Host):  # type: ignore[misc]
    """testinfra's host, with what is ours in a distro."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 as testinfra's
        made = modules.DISTRO.get(name)
        return super().__getattr__(name) if made is None else made.get_module(self)


class WindowsHost(Host):  # type: ignore[misc]
    """testinfra's host, with what can be asked of Windows: ``vengeance.verify.modules``."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 as testinfra's
        if name.startswith("_"):
            raise AttributeError(name)
        return modules.of_windows(self, name)


def for_testinfra(host: PyinfraHost) -> Host:
    """Return testinfra's host for a connected host of an inventory.

    Raises ValueError for a host of another connector.
    """
    connector = host.connector
    backend: BaseBackend
    if isinstance(connector, WSLConnector):
        backend = DistroBackend(host, connector)
        made = DistroHost(backend)
    elif isinstance(connector, WinRMConnector):
        backend = WindowsBackend(host, connector)
        made = WindowsHost(backend)
    else:
        raise ValueError(f"{host.name} is neither a @winrm nor a @wsl host.")
    backend.set_host(made)
    return made
