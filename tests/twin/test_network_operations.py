"""Firewall, reserved and forwarded ports and Tailscale, from the operation to a connection that gets through or not.

Who gets through is tried with real sockets and read from what the server says; settings are read from the registry.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.twin.linux_side import until
from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.twin.wsl_box import WslBox, wsl_box
from vengeance.facts import tailscale as tailscale_facts
from vengeance.facts.windows import Listeners, NetworkProfiles
from vengeance.operations import tailscale, windows
from vengeance.twin.__main__ import parse_faults
from vengeance.twin.windows import network as net
from vengeance.twin.windows.firewall import GROUP_POLICY_RULES, POLICY, RULES
from vengeance.twin.windows.localhost_relay import LocalhostRelay
from vengeance.twin.windows.network import NetworkError
from vengeance.twin.windows.port_proxy import ENTRIES
from vengeance.twin.windows.state import RunningProcess, State

PORT = 11434
FOLDER = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama"
OLLAMA = f"{FOLDER}\\ollama.exe"
TAILNET = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]
DECLARED: dict[str, Any] = {
    "rule": "vengeance-ollama",
    "port": PORT,
    "remote_addresses": TAILNET,
    "listener": "ollama.exe",
    "remove_blocks": True,
}
EVERYBODY = {net.LOOPBACK: True, net.LAN_PEER: False, net.TAILNET_PEER: False, net.STRANGER: False}
# Where each of them comes in.
TO = {net.LOOPBACK: net.LOOPBACK, net.LAN_PEER: net.LAN, net.TAILNET_PEER: net.TAILNET, net.STRANGER: net.LAN}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    box.windows.boot()
    yield box
    box.windows.stop_all()
    assert box.faults == []


def hello(connection: socket.socket, peer: str) -> None:
    connection.sendall(f"hello {peer}".encode())


def listen(box: Box, address: str = net.ANY, port: int = PORT, session: int = 0) -> net.Listener:
    """A server of the box; ``session`` above 0 is on somebody's desktop."""
    box.windows.state.process_started(RunningProcess(4242, 4, OLLAMA, OLLAMA, "Steam", "", {}, session))
    box.windows.at_shutdown.append(lambda: box.windows.state.process_ended(4242))
    return box.windows.network.listen(pid=4242, image=OLLAMA, address=address, port=port, serve=hello)


def gets_in(box: Box, source: str, port: int = PORT) -> bool:
    """Whether a plain socket of this machine, bound to be that one, is answered."""
    real = box.windows.network.real
    bound = None if source == net.LOOPBACK else (real(source), 0)
    to = (real(TO[source]), port)
    with suppress(ConnectionError), socket.create_connection(to, 10, bound) as connection:
        return connection.recv(100).startswith(b"hello")
    return False


def who_gets_in(box: Box, port: int = PORT) -> dict[str, bool]:
    return {source: gets_in(box, source, port) for source in EVERYBODY}


def rule(box: Box, name: str = "vengeance-ollama") -> str:
    return box.windows.registry.text(RULES, name)


def changed(box: Box, operation: Any, **arguments: Any) -> list[str]:
    """The scripts that change something, in the order in which an operation ran them; all must succeed."""
    host = WorksHost(box)
    good, _ = host.run(operation, **arguments)
    assert good, host.said
    return [name for name in host.scripts if not name.startswith("Get-")]


# --- firewall ------------------------------------------------------------------------------------------------------


def test_nobody_but_the_box_gets_in_without_a_rule(box: Box) -> None:
    listen(box)
    assert who_gets_in(box) == EVERYBODY


def test_the_tailnet_gets_in_and_a_stranger_does_not(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    box.windows.firewall.remove("Tailscale-In")
    listen(box)
    assert who_gets_in(box) == EVERYBODY
    assert changed(box, windows.firewall_rule, **DECLARED) == ["Set-FirewallRule"]
    assert "|RA4=100.64.0.0/255.192.0.0|" in rule(box)
    assert who_gets_in(box) == {**EVERYBODY, net.TAILNET_PEER: True}
    assert changed(box, windows.firewall_rule, **DECLARED) == []
    assert changed(box, windows.firewall_rule, **{**DECLARED, "remote_addresses": ["LocalSubnet"]}) == [
        "Set-FirewallRule"
    ]
    assert who_gets_in(box) == {**EVERYBODY, net.LAN_PEER: True}
    assert changed(box, windows.firewall_rule, rule="vengeance-ollama", port=PORT, present=False) == [
        "Remove-FirewallRule"
    ]
    assert rule(box) == ""
    assert who_gets_in(box) == EVERYBODY


def test_a_rule_that_was_widened_by_hand_is_narrowed_again(box: Box) -> None:
    changed(box, windows.firewall_rule, **DECLARED)
    text = rule(box)
    box.windows.registry.set(RULES, "vengeance-ollama", text.replace("RA4=100.64.0.0/255.192.0.0|", ""))
    host = WorksHost(box)
    host.run(windows.firewall_rule, **DECLARED)
    assert "remote addresses fd7a:115c:a1e0::/48 -> 100.64.0.0/10, fd7a:115c:a1e0::/48" in " ".join(host.said)
    assert rule(box) == text


def test_a_dismissed_question_leaves_block_rules_that_beat_the_allow_rule_and_are_found_named_and_removed(
    box: Box,
) -> None:
    box.windows.sessions.logon("Steam")
    listen(box, session=1)
    assert box.windows.firewall.questions == [OLLAMA]
    box.windows.firewall.answer(allow=False)
    declared = {**DECLARED, "remote_addresses": ["LocalSubnet"], "remove_blocks": False}
    host = WorksHost(box)
    host.run(windows.firewall_rule, **declared)
    (warning,) = [text for text in host.said if "block rule" in text]
    assert "'ollama.exe'" in warning
    assert "Remove-NetFirewallRule -Name 'TCP Query User{" in warning
    assert who_gets_in(box) == EVERYBODY
    assert changed(box, windows.firewall_rule, **{**declared, "remove_blocks": True}) == ["Remove-FirewallRule"]
    assert who_gets_in(box) == {**EVERYBODY, net.LAN_PEER: True}
    assert changed(box, windows.firewall_rule, **{**declared, "remove_blocks": True}) == []


def test_windows_asks_nobody_in_session_0_nor_where_a_rule_opens_the_port(box: Box) -> None:
    listen(box).close()
    changed(box, windows.firewall_rule, **DECLARED)
    listen(box, session=1).close()
    listen(box, net.LOOPBACK, 1234, session=1)
    assert box.windows.firewall.questions == []


def test_a_question_that_was_answered_with_yes_lets_everybody_in_and_that_is_said(box: Box) -> None:
    listen(box, session=1)
    box.windows.firewall.answer(allow=True)
    host = WorksHost(box)
    host.run(windows.firewall_rule, **DECLARED)
    assert any(
        "allow rule 'ollama.exe' (TCP Query User{" in text and "lets in any at port" in text for text in host.said
    )
    assert gets_in(box, net.STRANGER)


def test_a_block_rule_that_somebody_made_on_purpose_is_named_and_kept(box: Box) -> None:
    text = "v2.33|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=11434|RA4=100.101.102.103|Name=Not this one|"
    box.windows.registry.set(RULES, "{B10C}", text)
    host = WorksHost(box)
    host.run(windows.firewall_rule, **DECLARED)
    assert any("'Not this one' ({B10C}) keeps 100.101.102.103/32 from port 11434" in text for text in host.said)
    assert rule(box, "{B10C}") == text


def test_tailscales_own_rule_opens_every_port_and_only_a_block_rule_closes_one(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    listen(box)
    assert gets_in(box, net.TAILNET_PEER)
    narrow = {**DECLARED, "remote_addresses": ["100.64.0.7"]}
    host = WorksHost(box)
    host.run(windows.firewall_rule, **narrow)
    assert any("allow rule Tailscale-In lets in" in text for text in host.said)
    assert gets_in(box, net.TAILNET_PEER)
    changed(box, windows.firewall_rule, rule="keep-out", port=PORT, remote_addresses=TAILNET, action="block")
    assert not gets_in(box, net.TAILNET_PEER)


def test_a_group_policys_rule_counts_too(box: Box) -> None:
    changed(box, windows.firewall_rule, **{**DECLARED, "remote_addresses": ["Any"]})
    listen(box)
    assert gets_in(box, net.STRANGER)
    text = "v2.33|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=11434|Name=Policy|"
    box.windows.registry.set(GROUP_POLICY_RULES, "{GPO}", text)
    assert not gets_in(box, net.STRANGER)


def test_a_rule_for_private_networks_does_not_count_in_a_public_one(box: Box) -> None:
    listen(box)
    declared = {**DECLARED, "remote_addresses": ["LocalSubnet"], "profiles": ["private"]}
    changed(box, windows.firewall_rule, **declared)
    assert not gets_in(box, net.LAN_PEER)
    box.windows.firewall.set_category("Ethernet", "private")
    assert gets_in(box, net.LAN_PEER)
    assert WorksHost(box).fact(NetworkProfiles) == [
        {"interface": "Ethernet", "network": "Network", "profile": "private"}
    ]


def test_a_firewall_that_is_off_lets_everybody_in_and_that_is_said(box: Box) -> None:
    box.windows.registry.set(f"{POLICY}\\PublicProfile", "EnableFirewall", 0, "DWord")
    listen(box)
    assert gets_in(box, net.STRANGER)
    host = WorksHost(box)
    host.run(windows.firewall_rule, **DECLARED)
    assert any("the firewall is off in public networks" in text for text in host.said)


def test_who_listens_is_told_with_its_program(box: Box) -> None:
    listen(box)
    assert WorksHost(box).fact(Listeners, port=PORT) == [
        {"address": net.ANY, "port": PORT, "pid": 4242, "process": "ollama.exe", "path": OLLAMA}
    ]
    assert WorksHost(box).fact(Listeners, port=1) == []


# --- ports that Windows takes ----------------------------------------------------------------------------------------


def test_a_port_that_nat_has_is_forbidden_and_set_aside_for_good(box: Box) -> None:
    box.windows.port_ranges.unlucky = PORT
    box.restart()
    with pytest.raises(NetworkError) as forbidden:
        listen(box)
    assert forbidden.value.code == net.ACCESS_DENIED
    host = WorksHost(box)
    good, _ = host.run(windows.reserved_port, port=PORT)
    assert good
    warning, done = host.said
    assert done == "port 11434: free for all -> set aside"
    assert "WinNAT holds 11400-11499" in warning
    assert "wsl --shutdown" in warning
    listen(box).close()
    assert changed(box, windows.reserved_port, port=PORT) == []
    box.restart()
    listen(box)


def test_a_port_is_set_aside_before_nat_takes_it(box: Box) -> None:
    assert changed(box, windows.reserved_port, port=PORT) == ["Set-ReservedPort"]
    box.windows.port_ranges.unlucky = PORT
    box.restart()
    listen(box).close()
    assert changed(box, windows.reserved_port, port=PORT, present=False) == ["Set-ReservedPort"]
    box.restart()
    with pytest.raises(NetworkError):
        listen(box)


def test_without_leave_to_stop_nat_a_taken_port_is_refused_with_the_mend(box: Box) -> None:
    box.windows.port_ranges.unlucky = PORT
    box.restart()
    host = WorksHost(box)
    good, _ = host.run(windows.reserved_port, port=PORT, stop_winnat=False)
    assert not good
    assert "WinNAT holds 11400-11499 now. Reboot and run this again" in host.said[-1]
    assert box.windows.port_ranges.persistent == []


def test_a_port_that_a_program_uses_is_not_set_aside_and_that_is_said_without_harm(box: Box) -> None:
    listener = listen(box)
    host = WorksHost(box)
    good, _ = host.run(windows.reserved_port, port=PORT)
    assert good
    assert f"{OLLAMA} listens on port {PORT} now" in host.said[0]
    assert box.windows.port_ranges.persistent == []
    listener.close()
    assert changed(box, windows.reserved_port, port=PORT) == ["Set-ReservedPort"]
    assert box.windows.port_ranges.persistent == [(PORT, PORT)]


def test_a_range_that_somebody_else_set_aside_is_not_given_back(box: Box) -> None:
    host = WorksHost(box)
    good, _ = host.run(windows.reserved_port, port=50010, present=False)
    assert not good
    assert "delete excludedportrange tcp 50000 60" in host.said[-1]


# --- Tailscale -----------------------------------------------------------------------------------------------------


def test_without_unattended_tailscale_goes_with_a_logoff_and_does_not_come_with_a_boot(box: Box) -> None:
    windows_, clock = box.windows, box.windows.clock
    clock.advance(60)
    assert net.TAILNET not in windows_.network.addresses
    windows_.sessions.logon("Steam")
    clock.advance(60)
    assert net.TAILNET in windows_.network.addresses
    windows_.sessions.logoff("Steam")
    assert net.TAILNET not in windows_.network.addresses
    box.restart()
    clock.advance(60)
    assert net.TAILNET not in windows_.network.addresses


def test_with_unattended_tailscale_stays_over_a_logoff_and_comes_some_seconds_after_a_boot(box: Box) -> None:
    windows_, clock = box.windows, box.windows.clock
    assert changed(box, tailscale.settings, unattended=True) == ["Set-Tailscale"]
    assert State(box.folder).section("tailscale")["unattended"] is True
    assert net.TAILNET in windows_.network.addresses
    assert changed(box, tailscale.settings, unattended=True) == []
    windows_.sessions.logon("Steam")
    windows_.sessions.logoff("Steam")
    assert net.TAILNET in windows_.network.addresses
    box.restart()
    assert net.TAILNET not in windows_.network.addresses
    with pytest.raises(NetworkError) as early:
        listen(box, net.TAILNET)
    assert early.value.code == net.NOT_AVAILABLE
    clock.advance(60)
    listen(box, net.TAILNET)
    assert gets_in(box, net.TAILNET_PEER)


def test_serve_reaches_what_listens_on_loopback_alone_without_a_firewall_rule(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    box.windows.firewall.remove("Tailscale-In")
    listen(box, net.LOOPBACK, 8080)
    assert not gets_in(box, net.TAILNET_PEER, 8080)
    assert changed(box, tailscale.serve, port=8080) == ["Set-TailscaleServe"]
    assert who_gets_in(box, 8080) == {**EVERYBODY, net.TAILNET_PEER: True}
    assert changed(box, tailscale.serve, port=8080) == []
    box.restart()
    listen(box, net.LOOPBACK, 8080)
    box.windows.clock.advance(60)
    assert gets_in(box, net.TAILNET_PEER, 8080)
    assert changed(box, tailscale.serve, port=8080, present=False) == ["Set-TailscaleServe"]
    assert not gets_in(box, net.TAILNET_PEER, 8080)


def test_tailscale_exe_prints_the_json_that_the_facts_are_made_of(box: Box) -> None:
    folder = "C:\\Program Files\\Tailscale"
    assert box.run(".\\tailscale.exe serve --bg --tcp=8080 tcp://127.0.0.1:8080", cwd=folder).code == 0
    assert '"TCPForward": "127.0.0.1:8080"' in box.run(".\\tailscale.exe serve status --json", cwd=folder).out
    assert box.run(".\\tailscale.exe set --unattended", cwd=folder).code == 0
    assert '"ForceDaemon": true' in box.run(".\\tailscale.exe debug prefs", cwd=folder).out
    assert '"BackendState": "Running"' in box.run(".\\tailscale.exe status --json", cwd=folder).out


def test_a_box_without_tailscale_is_told_what_to_install(box: Box) -> None:
    box.windows.tailscale.installed = False
    host = WorksHost(box)
    good, _ = host.run(tailscale.settings)
    assert not good
    assert "https://tailscale.com/download/windows" in host.said[-1]
    assert changed(box, tailscale.serve, port=8080, present=False) == []


def test_a_tailscale_whose_service_is_stopped_is_said_with_the_mend(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    box.windows.services.stop("Tailscale")
    assert net.TAILNET not in box.windows.network.addresses
    host = WorksHost(box)
    good, _ = host.run(tailscale.settings)
    assert not good
    assert "Start-Service Tailscale" in host.said[-1]
    box.windows.services.start("Tailscale")
    box.windows.clock.advance(60)
    assert changed(box, tailscale.settings) == []


def test_a_tailscale_that_is_anothers_is_named_with_its_owner_and_nothing_is_tried(box: Box) -> None:
    box.windows.state.add_user("Andi")
    box.windows.tailscale.sign_in("Andi")
    box.windows.tailscale.set_unattended(True)
    host = WorksHost(box)
    said = host.fact(tailscale_facts.Status)
    assert (said["state"], said["account"], said["owner"]) == (
        "InUseOtherUser",
        "VENGEANCE\\Steam",
        "VENGEANCE\\Andi",
    )
    for operation, arguments in ((tailscale.settings, {}), (tailscale.serve, {"port": 8080})):
        good, _ = host.run(operation, **arguments)
        assert not good
        assert "sign in to Tailscale on the box as VENGEANCE\\Steam" in host.said[-1]
        assert "or use VENGEANCE\\Andi for the deploy" in host.said[-1]
    assert [name for name in host.scripts if not name.startswith("Get-")] == []
    box.windows.tailscale.sign_in("Steam")
    assert changed(box, tailscale.serve, port=8080) == ["Set-TailscaleServe"]


def test_tailscale_exe_refuses_others_as_the_real_one_does(box: Box) -> None:
    folder = "C:\\Program Files\\Tailscale"
    box.windows.state.add_user("Andi")
    box.windows.tailscale.sign_in("Andi")
    # Nobody has it just now: each account finds itself in a state of its own.
    assert '"BackendState": "NeedsLogin"' in box.run(".\\tailscale.exe status --json", cwd=folder).out
    box.windows.sessions.logon("Andi")
    at_the_screen = box.run(".\\tailscale.exe status --json", cwd=folder)
    assert "401 Unauthorized: Tailscale already in use by VENGEANCE\\Andi, pid " in at_the_screen.err
    box.windows.tailscale.set_unattended(True)
    box.windows.sessions.logoff("Andi")
    unattended = box.run(".\\tailscale.exe debug prefs", cwd=folder)
    assert unattended.code == 1
    assert unattended.err.endswith(
        '401 Unauthorized: Tailscale running in server mode ("VENGEANCE\\\\Andi"); connection from '
        '"VENGEANCE\\\\Steam" not allowed\n'
    )


def test_a_tailscale_that_nobody_is_signed_in_to_is_said_with_the_mend(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    box.windows.tailscale.sign_out()
    assert net.TAILNET not in box.windows.network.addresses
    host = WorksHost(box)
    good, _ = host.run(tailscale.settings)
    assert not good
    assert "VENGEANCE\\Steam, the Windows account that the deploy uses, is not signed in" in host.said[-1]


def test_a_key_that_ends_takes_the_box_out_of_the_tailnet_and_is_said_with_the_mend(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    assert net.TAILNET in box.windows.network.addresses
    box.windows.clock.advance(181 * 86_400)
    assert net.TAILNET not in box.windows.network.addresses
    host = WorksHost(box)
    assert host.fact(tailscale_facts.Status)["state"] == "KeyExpired"
    good, _ = host.run(tailscale.serve, port=8080)
    assert not good
    assert "The Tailscale key of somewhere has ended on 20" in host.said[-1]
    box.windows.tailscale.key_expiry = None
    assert net.TAILNET in box.windows.network.addresses
    assert changed(box, tailscale.settings) == []


# --- portproxy -----------------------------------------------------------------------------------------------------

FORWARDED: dict[str, Any] = {"listen_address": "tailscale", "listen_port": 8080}


def test_a_forwarded_port_leads_to_loopback_for_those_whom_the_firewall_lets_in(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    listen(box, net.LOOPBACK, 8080)
    assert changed(box, windows.port_proxy, **FORWARDED) == ["Set-PortProxy"]
    assert box.windows.registry.text(ENTRIES, f"{net.TAILNET}/8080") == "127.0.0.1/8080"
    assert gets_in(box, net.TAILNET_PEER, 8080)
    assert not gets_in(box, net.STRANGER, 8080)
    assert changed(box, windows.port_proxy, **FORWARDED) == []
    box.windows.firewall.remove("Tailscale-In")
    assert not gets_in(box, net.TAILNET_PEER, 8080)
    assert changed(box, windows.port_proxy, **FORWARDED, present=False) == ["Set-PortProxy"]
    assert box.windows.registry.values(ENTRIES) == []
    assert changed(box, windows.port_proxy, **FORWARDED, present=False) == []


def test_a_forwarding_that_missed_its_address_at_boot_is_found_and_told_again(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    changed(box, windows.port_proxy, **FORWARDED)
    box.restart()
    box.faults.clear()
    listen(box, net.LOOPBACK, 8080)
    box.windows.clock.advance(60)
    assert not gets_in(box, net.TAILNET_PEER, 8080)
    host = WorksHost(box)
    host.run(windows.port_proxy, **FORWARDED)
    assert any("nobody listens: IP Helper is told again" in text for text in host.said)
    assert gets_in(box, net.TAILNET_PEER, 8080)
    assert changed(box, windows.port_proxy, **FORWARDED) == []


def test_a_stopped_ip_helper_is_started_for_it(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    listen(box, net.LOOPBACK, 8080)
    changed(box, windows.port_proxy, **FORWARDED)
    box.windows.services.stop("iphlpsvc")
    assert not gets_in(box, net.TAILNET_PEER, 8080)
    assert changed(box, windows.port_proxy, **FORWARDED) == ["Set-PortProxy"]
    assert gets_in(box, net.TAILNET_PEER, 8080)


def test_a_forwarding_of_every_address_takes_the_port_that_wsls_own_needs(box: Box) -> None:
    """Why it is refused."""
    box.windows.registry.set(ENTRIES, "0.0.0.0/8080", "127.0.0.1/8080")
    box.windows.port_proxies.read()
    with pytest.raises(NetworkError) as taken:
        listen(box, net.LOOPBACK, 8080)
    assert taken.value.code == net.IN_USE


def test_without_a_tailnet_address_a_forwarding_from_it_is_refused(box: Box) -> None:
    host = WorksHost(box)
    good, _ = host.run(windows.port_proxy, **FORWARDED)
    assert not good
    assert "has no tailnet address now" in host.said[-1]


# --- what listens in the distro ----------------------------------------------------------------------------------

SERVER = (
    "import socket\n"
    "server = socket.create_server(('127.0.0.1', 8080))\n"
    "while True:\n"
    "    one, _ = server.accept()\n"
    "    one.sendall(b'hello from the distro'); one.close()\n"
)


def start_server(box: WslBox) -> Any:
    (box.drive_c / "server.py").write_text(SERVER)
    line = '"C:\\Program Files\\WSL\\wsl.exe" -d Ubuntu-24.04 -u root --cd / --exec /usr/bin/python3 /mnt/c/server.py'
    child = box.windows.launch(line, user="Steam")
    box.until_runs()
    return child


def heard(box: WslBox) -> bool:
    """Whether the server in the distro answers, asked again while it starts."""
    return until(lambda: gets_in(box, net.LOOPBACK, 8080), 60)


def test_a_forwarding_to_loopback_and_serve_reach_the_distro_also_when_it_comes_back_with_another_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with wsl_box() as box:
        if not box.host.abilities.network:
            pytest.skip("the distro shares this machine's network here")
        box.windows.tailscale.set_unattended(True)
        box.windows.firewall.set_category("Ethernet", "private")
        changed(box, windows.port_proxy, listen_address=net.LAN, listen_port=8080)
        changed(box, windows.firewall_rule, rule="vllm", port=8080, remote_addresses=["LocalSubnet"])
        changed(box, tailscale.serve, port=8080)
        addresses = set()
        for blocks in ("10.213.0.0/16", "10.214.0.0/16"):
            monkeypatch.setattr("vengeance.twin.distro.network._BLOCKS", ipaddress.ip_network(blocks))
            child = start_server(box)
            assert heard(box)
            addresses.add(box.inside("hostname", "-I").strip())
            assert gets_in(box, net.LAN_PEER, 8080)
            assert gets_in(box, net.TAILNET_PEER, 8080)
            assert not gets_in(box, net.STRANGER, 8080)
            child.terminate()
            box.wsl("--shutdown")
            box.windows.localhost_relay.look()
            assert not gets_in(box, net.LOOPBACK, 8080)
        assert len(addresses) == 2


class SharedGuests:
    """Distros on this machine's own network, with one server on a port of its loopback."""

    shares_network = True

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]

    def listening(self) -> set[int]:
        return set()

    def reach(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 10)


def test_serve_reaches_a_distro_that_shares_this_machines_network(box: Box) -> None:
    guests = SharedGuests()
    LocalhostRelay(box.windows, guests)
    box.windows.tailscale.set_unattended(True)
    changed(box, tailscale.serve, port=8080, target_port=guests.port)
    real = box.windows.network.real
    with guests.server, socket.create_connection((real(net.TAILNET), 8080), 10) as client:
        connection, _ = guests.server.accept()
        with connection:
            hello(connection, "there")
        assert client.recv(100) == b"hello there"


# --- the command line of the twin --------------------------------------------------------------------------------


def test_bad_luck_with_ports_is_asked_for_by_name() -> None:
    assert parse_faults(["nat-port", "11434"], None, None) == [{"kind": "nat_port", "port": 11434}]
    assert parse_faults(["nat-port", "off"], None, None) == [{"kind": "nat_port", "port": None}]
    assert parse_faults(["port-taken", "8080", "port-taken", "off"], None, None) == [
        {"kind": "port_taken", "port": 8080},
        {"kind": "port_taken", "port": None},
    ]
    with pytest.raises(ValueError, match="nat-port needs a TCP port"):
        parse_faults(["nat-port"], None, None)
