"""The service IP Helper of the twin's Windows, which forwards ports as ``netsh interface portproxy`` says.

It reads its entries when it starts and when it is told, and listens then. An address that is not there at that moment,
as Tailscale's early after a boot, it passes over: whether the real one looks again by itself is not known.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from vengeance.twin.forwarding import carry
from vengeance.twin.windows.network import LOOPBACK, Listener, NetworkError
from vengeance.twin.windows.program import SYSTEM32

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

ENTRIES = r"HKLM\SYSTEM\CurrentControlSet\Services\PortProxy\v4tov4\tcp"
SERVICE = "iphlpsvc"
_PID = 3120


class PortProxies:
    """What one Windows forwards."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._listeners: dict[tuple[str, int], Listener] = {}
        windows.services.started.setdefault(SERVICE, []).append(self.read)
        windows.services.stopped.setdefault(SERVICE, []).append(self.stop)
        windows.at_boot.append(self.read)
        windows.at_shutdown.append(self.stop)

    @property
    def running(self) -> bool:
        """Whether the service runs."""
        service = self._windows.services.get(SERVICE)
        return service is not None and service.running

    def stop(self) -> None:
        """The service has stopped, and what it forwards with it."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    @property
    def entries(self) -> dict[tuple[str, int], tuple[str, int]]:
        """Where the registry says that each address and port leads."""
        found: dict[tuple[str, int], tuple[str, int]] = {}
        for value in self._windows.registry.values(ENTRIES):
            address, _, port = value.name.partition("/")
            target, _, target_port = str(value.data).partition("/")
            found[address, int(port)] = (target, int(target_port))
        return found

    def read(self) -> None:
        """Read the entries again: what SERVICE_CONTROL_PARAMCHANGE asks for."""
        if not self.running:
            return
        entries = self.entries
        for place in [place for place in self._listeners if place not in entries]:
            self._listeners.pop(place).close()
        for address, port in entries:
            known = self._listeners.get((address, port))
            if known is not None and known in self._windows.network.listeners:
                continue
            try:
                self._listeners[address, port] = self._windows.network.listen(
                    pid=_PID,
                    image=f"{SYSTEM32}\\svchost.exe",
                    address=address,
                    port=port,
                    serve=lambda connection, peer, place=(address, port): self._forward(connection, place),  # type: ignore[misc]
                    exclusive=True,
                )
            except NetworkError as error:
                self._windows.log(f"portproxy {address}:{port}: {error.text}")

    def is_listening(self, address: str, port: int) -> bool:
        """Whether somebody listens on that address and port."""
        network = self._windows.network
        return address in network.addresses and any(
            (one.address, one.port) == (address, port) for one in network.listeners
        )

    def _forward(self, connection: socket.socket, place: tuple[str, int]) -> None:
        target = self.entries.get(place)
        if target is None:
            return
        try:
            other = self._windows.network.connect(*target, source=LOOPBACK)
        except (NetworkError, OSError):
            return
        with other:
            carry(connection, other)
