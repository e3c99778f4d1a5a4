"""The twin's network: real sockets, and who gets through to them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.twin.windows_box import Box
from vengeance.twin.windows import network as net
from vengeance.twin.windows.network import Listener, NetworkError
from vengeance.twin.windows.pipes import Killed
from vengeance.twin.windows.program import Run

OLLAMA = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama\\ollama.exe"
PORT = 11434


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.windows.stop_all()


def hello(connection: socket.socket, peer: str) -> None:
    connection.sendall(f"hello {peer}".encode())


def listen(box: Box, address: str = net.ANY, port: int = PORT, image: str = OLLAMA) -> Listener:
    return box.windows.network.listen(pid=4242, image=image, address=address, port=port, serve=hello)


def heard(box: Box, address: str, source: str = net.LOOPBACK, port: int = PORT) -> str:
    """What a program on the box, or a peer, is told."""
    with box.windows.network.connect(address, port, source) as connection:
        return connection.recv(100).decode()


def heard_outside(box: Box, address: str, source: str | None = None, port: int = PORT) -> str:
    """The same with a plain socket of this machine; "" when it is reset."""
    real = box.windows.network.real
    bound = None if source is None else (real(source), 0)
    with suppress(ConnectionResetError), socket.create_connection((real(address), port), 10, bound) as connection:
        return connection.recv(100).decode()
    return ""


def test_a_program_that_listens_is_reached_by_programs_of_the_box(box: Box) -> None:
    listen(box)
    assert heard(box, "localhost") == "hello 127.0.0.1"
    assert heard(box, net.LAN) == f"hello {net.LAN}"


def test_a_port_of_loopback_is_for_the_box_alone(box: Box) -> None:
    listen(box, net.LOOPBACK)
    assert heard(box, net.LOOPBACK) == "hello 127.0.0.1"
    assert heard_outside(box, net.LOOPBACK) == "hello 127.0.0.1"
    assert heard_outside(box, net.LOOPBACK, net.LAN_PEER) == ""
    with pytest.raises(NetworkError) as refused:
        heard(box, net.LAN)
    assert refused.value.code == net.REFUSED


def test_two_programs_cannot_have_one_address_and_port(box: Box) -> None:
    first = listen(box)
    with pytest.raises(NetworkError) as taken:
        listen(box)
    assert taken.value.code == net.IN_USE
    first.close()
    listen(box).close()


def test_who_names_the_address_gets_the_connection_before_who_took_all(box: Box) -> None:
    network = box.windows.network
    listen(box)
    specific = network.listen(
        pid=1, image="wslrelay.exe", address=net.LOOPBACK, port=PORT, serve=lambda s, p: s.sendall(b"specific")
    )
    assert heard(box, net.LOOPBACK) == "specific"
    assert heard(box, net.LAN).startswith("hello")
    specific.close()
    assert heard(box, net.LOOPBACK).startswith("hello")


def test_an_exclusive_owner_of_all_addresses_leaves_none_for_others(box: Box) -> None:
    network = box.windows.network
    network.listen(pid=1, image="a.exe", address=net.ANY, port=PORT, serve=hello, exclusive=True)
    with pytest.raises(NetworkError) as taken:
        listen(box, net.LOOPBACK)
    assert taken.value.code == net.IN_USE


def test_an_address_that_is_not_there_cannot_be_listened_on(box: Box) -> None:
    """Fact 10 of Ollama: it does not try again."""
    with pytest.raises(NetworkError) as failed:
        listen(box, net.TAILNET)
    assert failed.value.code == net.NOT_AVAILABLE
    listen(box)
    box.windows.network.add_address(net.TAILNET)
    assert heard(box, net.TAILNET).startswith("hello")
    box.windows.network.remove_address(net.TAILNET)
    with pytest.raises(NetworkError):
        heard(box, net.TAILNET)


def test_a_killed_process_listens_no_longer(box: Box) -> None:
    listening = threading.Event()

    def server(run: Run) -> int:
        run.windows.network.listen(pid=run.pid, image=run.image, address=net.ANY, port=PORT, serve=hello)
        listening.set()
        while True:
            run.job.sleep(60)
            if run.job.stopped:
                raise Killed

    box.windows.add_program("C:\\Windows\\System32\\server.exe", server)
    box.windows.place_program("C:\\Windows\\System32\\server.exe")
    box.windows.launch("server.exe", user="Steam")
    assert listening.wait(20)
    assert heard(box, net.LOOPBACK).startswith("hello")
    (process,) = [one for one in box.windows.state.processes.values() if one.image.endswith("server.exe")]
    box.windows.kill(process.pid)
    with pytest.raises(NetworkError) as refused:
        heard(box, net.LOOPBACK)
    assert refused.value.code == net.REFUSED


def test_two_twins_have_addresses_of_their_own(tmp_path: Path) -> None:
    one, other = Box(tmp_path / "one"), Box(tmp_path / "other")
    listen(one)
    listen(other)
    assert heard(one, net.LOOPBACK) == heard(other, net.LOOPBACK)
    assert one.windows.network.real(net.LOOPBACK) != other.windows.network.real(net.LOOPBACK)
    for box in (one, other):
        box.windows.stop_all()
