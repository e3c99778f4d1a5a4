"""The network of the twin's Windows: real sockets on loopback addresses that belong to this twin alone.

Each address of the box is one of 127.64.0.0/10 here, so that a program of this machine can connect to "the box's
tailnet address" and the firewall can tell by the source address who it is meant to be:

    127.A.B.1    127.0.0.1        the box's own loopback
    127.A.B.2    192.168.1.20     its address on the LAN
    127.A.B.3    100.98.226.75    its address in the tailnet, while Tailscale is connected
    127.A.B.101  192.168.1.50     bind a client here to be another machine of the LAN,
    127.A.B.102  100.101.102.103  one of the tailnet,
    127.A.B.103  203.0.113.77     or a stranger

A client that is bound to no address counts as the box itself at .1, as the LAN machine at .2, as the tailnet's at .3.
Another address of this machine can lead to one of the box's by ``attach``, for clients in a network of their own.
Whom the firewall does not let in is reset at once; a real Windows says nothing, and the client waits for its timeout.
IPv4 TCP only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

ANY = "0.0.0.0"  # noqa: S104
LOOPBACK = "127.0.0.1"
LAN = "192.168.1.20"
TAILNET = "100.98.226.75"
LAN_PEER = "192.168.1.50"
TAILNET_PEER = "100.101.102.103"
STRANGER = "203.0.113.77"

# WinSock: https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
ACCESS_DENIED = 10013
IN_USE = 10048
NOT_AVAILABLE = 10049
TIMED_OUT = 10060
REFUSED = 10061

_TEXTS = {
    ACCESS_DENIED: "An attempt was made to access a socket in a way forbidden by its access permissions.",
    IN_USE: "Only one usage of each socket address (protocol/network address/port) is normally permitted.",
    NOT_AVAILABLE: "The requested address is not valid in its context.",
    TIMED_OUT: (
        "A connection attempt failed because the connected party did not properly respond after a period of time, or "
        "established connection failed because connected host has failed to respond."
    ),
    REFUSED: "No connection could be made because the target machine actively refused it.",
}

_OWN = {LOOPBACK: 1, LAN: 2, TAILNET: 3}
_PEERS = {LAN_PEER: 101, TAILNET_PEER: 102, STRANGER: 103}
# Who an unbound client is taken for, by the address it connects to.
_UNBOUND = {LOOPBACK: LOOPBACK, LAN: LAN_PEER, TAILNET: TAILNET_PEER}
# Who has a way to each address at all; a stranger comes through a port that the home's router forwards.
_REACH = {LOOPBACK: (), LAN: (LAN_PEER, STRANGER), TAILNET: (TAILNET_PEER,)}
# Never connected to: whoever holds it owns the twin's block of addresses.
_CLAIM = (254, 64254)
# The twin's Linux side takes addresses in 127.83.0.0/16.
_TAKEN_BLOCK = 83
_TRIES = 64

Serve: TypeAlias = Callable[[socket.socket, str], None]


class NetworkError(OSError):
    """A socket call failed; ``code`` is WinSock's number, ``text`` its sentence."""

    def __init__(self, code: int, text: str = "") -> None:
        self.code = code
        self.text = text or _TEXTS.get(code, f"WinSock error {code}")
        super().__init__(code, self.text)


class Arrival(NamedTuple):
    """One connection that asks to be let in: the port and address it came to, from whom, and who listens there."""

    address: str
    port: int
    peer: str
    image: str


class Gate(Protocol):
    """What decides who gets in: the firewall."""

    def admits(self, arrival: Arrival) -> bool:
        """Whether a connection from another machine reaches the program."""


class PortRules(Protocol):
    """What decides which ports a program may take: WinNAT's reservations."""

    def is_taken(self, port: int) -> bool:
        """Whether the port lies in a range that somebody has reserved."""


class Listener:
    """A program that listens; ``close`` ends it, and so does the end of its process."""

    def __init__(
        self,
        network: Network,
        pid: int,
        image: str,
        address: str,
        port: int,
        serve: Serve,
        exclusive: bool,
        intercept: bool,
    ) -> None:
        self.pid = pid
        self.image = image
        self.address = address
        self.port = port
        self.serve = serve
        self.exclusive = exclusive
        self.intercept = intercept
        self._network = network

    def close(self) -> None:
        """Listen no longer; connections that run go on. A second call does nothing."""
        self._network.forget(self)


class _Door:
    """A real listening socket: one address of the box and one port."""

    def __init__(
        self, address: str, real: str, port: int, arrived: Callable[[_Door, socket.socket, str], None]
    ) -> None:
        self.address = address
        self.real = real
        self.port = port
        self._arrived = arrived
        self._socket = socket.create_server((real, port), backlog=128)
        threading.Thread(target=self._accept, name=f"door {address}:{port}", daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, (peer, _) = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._arrived, args=(self, connection, peer), daemon=True).start()


class Network:
    """The addresses of one Windows and who listens on them; every method may be called from any thread."""

    def __init__(self, windows: Windows) -> None:
        self.gate: Gate | None = None
        self.port_rules: PortRules | None = None
        self.at_listen: list[Callable[[Listener], None]] = []
        self.before_connect: list[Callable[[], None]] = []
        self.beyond: Callable[[int], socket.socket] | None = None
        self._windows = windows
        self._lock = threading.RLock()
        self._addresses = {LOOPBACK, LAN}
        self._listeners: list[Listener] = []
        self._doors: dict[tuple[str, int], _Door] = {}
        self._attached: dict[str, tuple[str, str]] = {}
        windows.at_process_end.append(self._process_ended)
        windows.at_shutdown.append(self.close)

    # --- addresses ---

    @property
    def addresses(self) -> set[str]:
        """The box's addresses now; 127.0.0.1 among them."""
        with self._lock:
            return set(self._addresses)

    def real(self, address: str) -> str:
        """The address on this machine that stands for an address of the box or of a peer; KeyError when none does."""
        number = {**_OWN, **_PEERS}[address]
        return f"{_block(self._windows.state.folder)}.{number}"

    def add_address(self, address: str) -> None:
        """An adapter comes up: who listens on every address listens here too from now on."""
        with self._lock:
            self._addresses.add(address)
            self._set_all_doors()

    def remove_address(self, address: str) -> None:
        """An adapter goes down; whoever listens on it hears nothing until it is back."""
        with self._lock:
            self._addresses.discard(address)
            self._set_all_doors()

    def attach(self, real: str, address: str, peer: str) -> None:
        """Let whoever connects to an address of this machine reach the box, as one peer of it.

        real: the address of this machine, whose ports nobody else listens on
        address: that of the box it stands for; peer: the one that comes over it
        """
        with self._lock:
            self._attached[real] = (address, peer)
            self._set_all_doors()

    def detach(self, real: str) -> None:
        """Let nobody come over that address any more."""
        with self._lock:
            self._attached.pop(real, None)
            self._set_all_doors()

    # --- listening ---

    @property
    def listeners(self) -> list[Listener]:
        """Who listens now."""
        with self._lock:
            return list(self._listeners)

    def listen(
        self,
        *,
        pid: int,
        image: str,
        address: str,
        port: int,
        serve: Serve,
        exclusive: bool = False,
        intercept: bool = False,
    ) -> Listener:
        """Listen as a program of the box does.

        pid: of the process, whose end closes it; image: its full path, which firewall rules name
        address: ``0.0.0.0``, ``127.0.0.1`` or another address of the box
        serve: called in a thread of its own with each connection and the peer's address as the box sees it; the
        connection is closed when it returns
        exclusive: SO_EXCLUSIVEADDRUSE: nobody else may listen on a more specific address either
        intercept: connections are taken before Windows sees them, as Tailscale does: neither who listens nor the
        firewall is in the way

        Raises NetworkError: 10013 when WinNAT has reserved the port, 10048 when it is taken, 10049 when the box does
        not have the address now.
        """
        with self._lock:
            if address != ANY and address not in self._addresses:
                raise NetworkError(NOT_AVAILABLE)
            if not intercept and self.port_rules is not None and self.port_rules.is_taken(port):
                raise NetworkError(ACCESS_DENIED)
            for other in [] if intercept else self._listeners:
                if (
                    other.port == port
                    and not other.intercept
                    and _collide(other.address, address, exclusive or other.exclusive)
                ):
                    raise NetworkError(IN_USE)
            listener = Listener(self, pid, image, address, port, serve, exclusive, intercept)
            self._listeners.append(listener)
            try:
                self._set_doors(port)
            except OSError as error:
                self.forget(listener)
                if error.errno == errno.EADDRINUSE:
                    text = f"Port {port} is taken by a program of the machine that the twin runs on."
                    raise NetworkError(IN_USE, text) from None
                raise
        for deed in list(self.at_listen):
            deed(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Take a listener away; nothing when it is gone already."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
                self._set_doors(listener.port)

    def close(self) -> None:
        """Everything that listens is gone, as after the end of Windows."""
        with self._lock:
            self._listeners.clear()
            for port in {port for _, port in self._doors}:
                self._set_doors(port)

    def _process_ended(self, pid: int) -> None:
        for listener in self.listeners:
            if listener.pid == pid:
                self.forget(listener)

    def _set_all_doors(self) -> None:
        for port in {listener.port for listener in self._listeners}:
            self._set_doors(port)

    def _set_doors(self, port: int) -> None:
        bound = {listener.address for listener in self._listeners if listener.port == port}
        open_to = self._addresses if ANY in bound else bound & self._addresses
        wanted = {self.real(address): address for address in open_to}
        wanted |= {real: address for real, (address, _) in self._attached.items() if address in open_to}
        for real in [place for place, number in self._doors if number == port]:
            if real not in wanted:
                self._doors.pop((real, port)).close()
        for real, address in wanted.items():
            if (real, port) not in self._doors:
                self._doors[real, port] = _Door(address, real, port, self._arrived)

    def _listener(self, address: str, port: int) -> Listener | None:
        """Who gets a connection: who intercepts it, then who named the address, then who took all."""
        with self._lock:
            here = [one for one in self._listeners if one.port == port and one.address in (address, ANY)]
        return max(here, key=lambda one: (one.intercept, one.address == address), default=None)

    def _arrived(self, door: _Door, connection: socket.socket, real_peer: str) -> None:
        with connection:
            attached = self._attached.get(door.real)
            peer = self._peer(door.address, real_peer) if attached is None else attached[1]
            listener = self._listener(door.address, door.port)
            if listener is None or not self._admits(door.address, listener, peer):
                _reset(connection)
                return
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.serve(connection, peer)

    def _peer(self, address: str, real_peer: str) -> str:
        for known in (*_OWN, *_PEERS):
            if self.real(known) == real_peer:
                # What the box sends to an address of its own comes from that address.
                return address if known in _OWN else known
        return _UNBOUND[address]

    def _admits(self, address: str, listener: Listener, peer: str) -> bool:
        if peer in _OWN:
            return True
        if peer not in _REACH[address]:
            return False
        if listener.intercept or self.gate is None:
            return True
        return self.gate.admits(Arrival(address, listener.port, peer, listener.image))

    # --- connecting ---

    def connect(self, address: str, port: int, source: str = LOOPBACK, timeout: float | None = 20.0) -> socket.socket:
        """Connect to a port of the box, as one of its programs or as another machine does.

        source: an address of the box is a program on it; ``192.168.1.50``, ``100.101.102.103`` and ``203.0.113.77`` are
        a machine of the LAN, of the tailnet, and a stranger
        timeout: seconds that the socket waits afterwards, None for ever

        Raises NetworkError: 10061 when nobody listens, 10060 when the address is not there or the firewall drops it.
        """
        for deed in list(self.before_connect):
            deed()
        address = LOOPBACK if address == "localhost" else address
        outside = source not in _OWN
        if address == LOOPBACK and outside:
            raise NetworkError(REFUSED, f"{source} has reached its own loopback, where nobody listens.")
        if address not in self.addresses:
            raise NetworkError(TIMED_OUT)
        listener = self._listener(address, port)
        if outside and (listener is None or not self._admits(address, listener, source)):
            raise NetworkError(TIMED_OUT)
        if listener is None:
            return self._go_beyond(address, port)
        try:
            return socket.create_connection(
                (self.real(address), port), timeout, (self.real(source if outside else address), 0)
            )
        except ConnectionRefusedError:
            raise NetworkError(REFUSED) from None

    def _go_beyond(self, address: str, port: int) -> socket.socket:
        """Nobody of the box listens on its loopback: perhaps a distro that shares this machine's network."""
        if address != LOOPBACK or self.beyond is None:
            raise NetworkError(REFUSED)
        try:
            return self.beyond(port)
        except OSError:
            raise NetworkError(REFUSED) from None

    def status(self) -> dict[str, str]:
        """Address of the box or of a peer -> the address on this machine."""
        return {address: self.real(address) for address in (*_OWN, *_PEERS)}


def _collide(one: str, other: str, exclusive: bool) -> bool:
    # Windows lets a second program take one address of a port whose first owner took all, unless the first forbade it:
    # https://learn.microsoft.com/windows/win32/winsock/using-so-reuseaddr-and-so-exclusiveaddruse
    return one == other or (exclusive and ANY in (one, other))


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_claims: dict[Path, tuple[str, socket.socket]] = {}
_claiming = threading.Lock()


def _block(folder: Path) -> str:
    """The first three numbers of a twin's addresses, held by this process as long as it lives."""
    folder = folder.resolve()
    with _claiming:
        known = _claims.get(folder)
        if known is not None:
            return known[0]
        digest = hashlib.sha256(os.fsencode(folder)).digest()
        first = int.from_bytes(digest[:4], "big")
        for step in range(_TRIES):
            number = (first + step) % (63 * 256)
            second = 64 + number // 256
            block = f"127.{second if second < _TAKEN_BLOCK else second + 1}.{number % 256}"
            claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                claim.bind((f"{block}.{_CLAIM[0]}", _CLAIM[1]))
            except OSError:
                claim.close()
                continue
            _claims[folder] = (block, claim)
            return block
    raise NetworkError(NOT_AVAILABLE, "The machine that the twin runs on has no free loopback addresses for it.")
