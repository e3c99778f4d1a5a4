"""Other machines around the box as network namespaces: who reaches what listens there, over a real link."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.windows_box import Box
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.ladder import survey
from vengeance.twin.neighbours import PLACES, Neighbours
from vengeance.twin.windows import network as net
from vengeance.twin.windows.firewall import rule_text

PORT = 11434
OLLAMA = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama\\ollama.exe"
# Prints what the box says, or the name of the error.
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
        print(connection.recv(100).decode())
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    box.windows.network.add_address(net.TAILNET)
    yield box
    box.windows.stop_all()


@pytest.fixture
def neighbours(box: Box, tmp_path: Path) -> Iterator[Neighbours]:
    if not survey(tmp_path).network:
        pytest.skip("network namespaces need root, ip and nft")
    neighbours = Neighbours("testnbrs", box.windows.network, able=True)
    yield neighbours
    neighbours.close()


def hello(connection: object, peer: str) -> None:
    connection.sendall(f"hello {peer}".encode())  # type: ignore[attr-defined]


def listen(box: Box, address: str = net.ANY) -> None:
    box.windows.network.listen(pid=4242, image=OLLAMA, address=address, port=PORT, serve=hello)


def heard(neighbours: Neighbours, place: str, address: str | None = None) -> str:
    command = [*neighbours.prefix(place), sys.executable, "-c", ASK, address or PLACES[place].box, str(PORT)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def allow(box: Box, remote: str) -> None:
    rule = rule_text(action="allow", protocol="tcp", port=PORT, title="Ollama", remote=[remote])
    box.windows.firewall.put("ollama", rule)


def test_a_machine_of_the_tailnet_is_let_in_by_its_rule_and_one_of_the_lan_and_a_stranger_are_not(
    box: Box, neighbours: Neighbours
) -> None:
    listen(box)
    allow(box, "100.64.0.0/10")
    assert heard(neighbours, "tailnet") == f"hello {net.TAILNET_PEER}"
    assert heard(neighbours, "lan").startswith("ConnectionResetError")
    assert heard(neighbours, "stranger").startswith("ConnectionResetError")


def test_a_rule_for_the_local_network_lets_its_machines_in_and_no_stranger(box: Box, neighbours: Neighbours) -> None:
    listen(box)
    allow(box, "192.168.1.0/24")
    assert heard(neighbours, "lan") == f"hello {net.LAN_PEER}"
    assert heard(neighbours, "stranger").startswith("ConnectionResetError")


def test_what_listens_at_the_tailnets_address_alone_is_not_there_for_the_lan(box: Box, neighbours: Neighbours) -> None:
    listen(box, net.TAILNET)
    allow(box, "0.0.0.0/0")
    assert heard(neighbours, "tailnet") == f"hello {net.TAILNET_PEER}"
    assert heard(neighbours, "lan").startswith("ConnectionRefusedError")
    # It has no way into the tailnet at all.
    assert heard(neighbours, "lan", net.TAILNET) == "OSError 101"


def test_a_machine_that_was_there_first_reaches_what_listens_later_and_nothing_after_its_end(
    box: Box, neighbours: Neighbours
) -> None:
    assert heard(neighbours, "tailnet").startswith("ConnectionRefusedError")
    allow(box, "100.64.0.0/10")
    listen(box)
    assert heard(neighbours, "tailnet") == f"hello {net.TAILNET_PEER}"
    box.windows.network.close()
    assert heard(neighbours, "tailnet").startswith("ConnectionRefusedError")


def test_their_namespaces_are_gone_afterwards(box: Box, neighbours: Neighbours) -> None:
    name = neighbours.prefix("lan")[-1]
    assert (Path("/run/netns") / name).exists()
    neighbours.close()
    assert not (Path("/run/netns") / name).exists()


def test_a_place_that_there_is_not_and_a_user_who_may_not_are_told_in_a_sentence(box: Box) -> None:
    with pytest.raises(DistroError, match="no machine at 'moon': there are tailnet, lan, stranger"):
        Neighbours("testnbrs", box.windows.network, able=True).prefix("moon")
    with pytest.raises(DistroError, match="need root"):
        Neighbours("testnbrs", box.windows.network, able=False).prefix("lan")
