"""What the acceptance list's modules read of a Windows, set by the model itself and read by programs of cmd.exe."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend, CommandResult

from tests.twin.windows_box import Box
from vengeance.twin.windows.firewall import rule_text
from vengeance.twin.windows.network import LOOPBACK
from vengeance.twin.windows.port_proxy import ENTRIES
from vengeance.twin.windows.services import Service
from vengeance.twin.windows.task_scheduler import DEFAULTS
from vengeance.verify.backends import WindowsBackend, WindowsHost

HTTP_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


class Backend(BaseBackend):  # type: ignore[misc]
    """cmd.exe of a Windows model, with nothing between."""

    NAME = "model"

    def __init__(self, box: Box) -> None:
        self.box = box
        super().__init__("model")

    def run(self, command: str, *args: str, stdin: str | None = None, **kwargs: object) -> CommandResult:
        """Run a command line, with what our own backend makes of its arguments."""
        text = WindowsBackend.quote(command, *args)
        done = self.box.run(text, (stdin or "").encode())
        return self.result(done.code, self.encode(text), done.stdout, done.stderr)

    def get_encoding(self) -> str:
        """As in the shells of our connections."""
        return "utf-8"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.windows.stop_all()


@pytest.fixture
def windows(box: Box) -> Any:
    return WindowsHost(Backend(box))


def register(box: Box, **changed: object) -> None:
    """A task of the model: Task Scheduler's defaults, but for what is given."""
    box.windows.tasks.register("it", {**DEFAULTS, "user": "VENGEANCE\\Steam", **changed})  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("changed", "name", "default", "found"),
    [
        ({"logon": "s4u"}, "survives_logoff", False, True),
        ({"triggers": ["boot", "every 900"]}, "starts_at_boot", False, True),
        ({"triggers": ["boot"], "enabled": False}, "starts_at_boot", False, False),
        ({"highest": True}, "runs_elevated", False, True),
        ({"on_battery": True}, "runs_on_battery", False, True),
        ({"conditions": ["network"]}, "waits_for_nothing", True, False),
        ({"time_limit": 0}, "time_limit", 72 * 3600, 0),
        ({"priority": 5}, "priority", 7, 5),
        ({"enabled": False}, "is_enabled", True, False),
        ({"command": "C:\\A & B\\x.exe"}, "command", "", "C:\\A & B\\x.exe"),
        ({"arguments": '-a "b c" <d>'}, "arguments", "", '-a "b c" <d>'),
    ],
)
def test_a_property_of_a_task_is_what_the_scheduler_has(
    box: Box, windows: Any, changed: dict[str, object], name: str, default: object, found: object
) -> None:
    register(box)
    assert getattr(windows.scheduled_task("it"), name) == default
    register(box, **changed)
    assert getattr(windows.scheduled_task("it"), name) == found


def test_a_task_that_is_not_there_and_one_that_cannot_start_are_told_apart(box: Box, windows: Any) -> None:
    assert not windows.scheduled_task("it").exists
    register(box, command="C:\\no.exe", logon="s4u")
    box.windows.tasks.start("it")
    assert windows.scheduled_task("it").exists
    assert windows.scheduled_task("it").last_result == 0x80070002
    assert not windows.scheduled_task("it").is_running


def test_a_service_runs_and_is_enabled_or_not(box: Box, windows: Any) -> None:
    assert (windows.service("W32Time").is_running, windows.service("W32Time").is_enabled) == (False, False)
    box.windows.services.add(Service("Late", "Late", "delayed", "LocalSystem", "late.exe", running=True))
    assert (windows.service("late").is_running, windows.service("late").is_enabled) == (True, True)
    assert not windows.service("nobody").exists


def listen(box: Box, address: str, port: int, serve: Callable[[socket.socket, str], None] = lambda *_: None) -> None:
    """Have a program of the model listen."""
    box.windows.network.listen(pid=4711, image="C:\\x.exe", address=address, port=port, serve=serve)


def test_who_listens_is_found_on_the_addresses_that_he_listens_on(box: Box, windows: Any) -> None:
    listen(box, LOOPBACK, 18080)
    listen(box, "0.0.0.0", 18081)
    assert windows.socket("tcp://127.0.0.1:18080").is_listening
    assert not windows.socket("tcp://192.168.1.20:18080").is_listening
    assert windows.socket("tcp://192.168.1.20:18081").is_listening
    assert not windows.socket("tcp://18082").is_listening
    assert [one.pid for one in windows.socket("tcp://18080").listeners] == [4711]


@pytest.mark.parametrize("spec", ["udp://53", "unix:///run/x"])
def test_what_cannot_be_known_of_a_socket_is_refused(windows: Any, spec: str) -> None:
    with pytest.raises(NotImplementedError, match="only tcp://"):
        windows.socket(spec)


def test_what_testinfra_asks_of_linux_is_refused_on_windows(windows: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"host\.package knows no Windows; there are boot, "):
        _ = windows.package


def test_a_rule_of_the_firewall_is_read_with_its_networks(box: Box, windows: Any) -> None:
    remote = ["100.64.0.0/10", "192.168.1.7/32", "fd7a:115c:a1e0::/48"]
    box.windows.firewall.put("ours", rule_text(action="block", protocol="tcp", port=8080, title="Ours", remote=remote))
    rule = windows.firewall_rule("ours")
    assert (rule.action, rule.direction, rule.protocol, rule.ports) == ("block", "in", "tcp", ["8080"])
    assert rule.is_enabled
    assert rule.remote_addresses == {"100.64.0.0/10", "192.168.1.7/32", "fd7a:115c:a1e0::/48"}
    assert not windows.firewall_rule("theirs").exists


def test_what_is_forwarded_is_told_by_port(box: Box, windows: Any) -> None:
    box.windows.registry.set(ENTRIES, "100.98.226.75/8080", "127.0.0.1/8081")
    assert windows.port_proxy(8080).targets == {"100.98.226.75": "127.0.0.1:8081"}
    assert not windows.port_proxy(8081).exists


def test_a_restart_is_seen_by_its_time(box: Box, windows: Any) -> None:
    before = windows.boot.time
    box.windows.state.boot_time = box.windows.state.boot_time + timedelta(hours=1)
    assert windows.boot.time - before == timedelta(hours=1)


def test_a_variable_is_read_where_it_stands(box: Box, windows: Any) -> None:
    box.run("setx BOTH machine /M")
    box.run("setx BOTH user")
    found = windows.windows_environment("both")
    assert (found.machine, found.user, found.of_a_new_program) == ("machine", "user", "user")
    absent = windows.windows_environment("NOBODYS")
    assert (absent.machine, absent.user, absent.of_a_new_program) == (None, None, None)
    with pytest.raises(ValueError, match="no name of an environment variable"):
        windows.windows_environment("A & B")


def test_values_of_the_registry_keep_their_kinds(box: Box, windows: Any) -> None:
    registry = box.windows.registry
    registry.set("HKLM\\SOFTWARE\\A", "a text", "x  y", "String")
    registry.set("HKLM\\SOFTWARE\\A", "number", 1800, "DWord")
    registry.set("HKLM\\SOFTWARE\\A", "empty", "", "String")
    registry.create("HKLM\\SOFTWARE\\A\\B")
    found = windows.registry("HKLM\\SOFTWARE\\A")
    assert {name: value.data for name, value in found.values.items()} == {
        "a text": "x  y",
        "number": "0x708",
        "empty": "",
    }
    assert found["NUMBER"].number == 1800
    assert found.subkeys == ["HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B"]
    assert found.get("nobody") is None
    assert not windows.registry("HKLM\\SOFTWARE\\Z").exists
    with pytest.raises(KeyError, match="has no value nobody"):
        _ = found["nobody"]


def test_the_cards_memory_is_counted(box: Box, windows: Any) -> None:
    before = windows.gpu.free_mib
    box.windows.gpu.take("a game", 3000, "game.exe", pid=5)
    assert windows.gpu.free_mib == before - 3000
    assert windows.gpu.used_mib + windows.gpu.free_mib == windows.gpu.total_mib
    box.windows.gpu.set(present=False)
    assert not windows.gpu.is_there


def test_processes_are_found_with_their_session(box: Box, windows: Any) -> None:
    box.windows.sessions.logon("Steam")
    child = box.windows.launch("ping -t 127.0.0.1", user="Steam", session=1)
    try:
        (found,) = windows.process.filter(image="PING.EXE")
    finally:
        child.terminate()
    assert (found.pid, found.session) == (child.run.pid, 1)
    assert windows.process.filter(pid=found.pid + 10_000) == []


def test_the_tailnet_is_told(box: Box, windows: Any) -> None:
    tailscale = box.windows.tailscale
    tailscale.key_expiry = None
    assert (windows.tailscale.is_connected, windows.tailscale.stays_without_logon) == (False, False)
    assert windows.tailscale.forwarded == {}
    tailscale.set_unattended(True)
    tailscale.set_serve(8080, 8081)
    assert (windows.tailscale.is_connected, windows.tailscale.stays_without_logon) == (True, True)
    assert windows.tailscale.addresses[0] == "100.98.226.75"
    assert windows.tailscale.forwarded == {8080: "127.0.0.1:8081"}
    assert windows.tailscale.key_expires_at is None


def test_what_is_sent_arrives_and_no_key_stands_in_a_command_line(box: Box, windows: Any) -> None:
    asked: list[bytes] = []
    command_lines: list[str] = []

    def serve(connection: socket.socket, peer: str) -> None:
        command_lines.extend(process.command_line for process in box.windows.state.processes.values())
        request = b""
        while not request.endswith(b"}"):
            request += connection.recv(4096)
        asked.append(request)
        connection.sendall(HTTP_ANSWER)

    listen(box, LOOPBACK, 18090, serve)
    answer = windows.http.post("http://127.0.0.1:18090/v1", {"a": 'b "c"'}, {"Authorization": "Bearer hidden"})
    assert (answer.status, answer.json) == (200, {"ok": True})
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /v1 HTTP/1.1"
    assert b"Authorization: Bearer hidden" in head.split(b"\r\n")
    assert body == b'{"a": "b \\"c\\""}'
    assert any("curl.exe" in line for line in command_lines)
    assert not any("hidden" in line for line in command_lines)


def test_nobody_at_a_port_is_no_answer(windows: Any) -> None:
    answer = windows.http.get("http://127.0.0.1:18099/")
    assert answer.status == 0
    assert "Could not connect to server" in answer.error
    assert not windows.ollama.is_answering
