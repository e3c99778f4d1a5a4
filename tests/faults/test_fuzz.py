"""What is sent through the connectors arrives as it was sent, or is refused in a sentence before anything is changed.

What arrived is looked at by another way than it went: the folder that is the twin's drive, the registry in its state,
and the distro entered from outside.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import StateStage

from tests.faults.fuzzing import examples, odd_text
from tests.twin_deploys import ROOT, TWIN
from tests.unit.operation_runs import run_operation
from vengeance.operations import windows
from vengeance.powershell import Script
from vengeance.twin.client import Twin
from vengeance.verify import inventory

pytestmark = pytest.mark.timeout(900)
NAME = "fuzz"


@dataclass
class Sides:
    """Both hosts, connected, and the twin that they are."""

    windows: Host
    linux: Host
    twin: Twin

    @property
    def folder(self) -> Path:
        """C:\\fuzz, from this machine."""
        return self.twin.drive_c / "fuzz"

    def files(self) -> dict[str, bytes]:
        """What lies in C:\\fuzz: Windows path below it -> content."""
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)).replace("/", "\\"): path.read_bytes() for path in found}

    def inside(self, script: str) -> bytes:
        """What a shell prints that enters the distro from outside."""
        return self.twin.distro_exec(["/bin/sh", "-c", script]).stdout

    def linux_files(self) -> dict[str, bytes]:
        """What lies in /tmp/fuzz: name -> content."""
        names = self.inside("cd /tmp/fuzz && find . -type f -printf '%P\\0'").split(b"\0")[:-1]
        return {os.fsdecode(name): self._read(name) for name in names}

    def _read(self, name: bytes) -> bytes:
        return self.twin.distro_exec(["cat", "--", b"/tmp/fuzz/" + name]).stdout  # type: ignore[list-item]

    def registry(self, key: str) -> dict[str, Any]:
        """A key of the registry, from the twin's state on the disk."""
        keys: dict[str, dict[str, Any]] = self.twin.windows_state()["registry"]
        return next((values for path, values in keys.items() if path.lower() == key.lower()), {})


@pytest.fixture(scope="module")
def sides(twin_home: Path) -> Iterator[Sides]:
    """A twin of its own."""
    twin = Twin(NAME)
    status = twin.up()
    before = os.environ.get("VENGEANCE_TWIN")
    os.environ["VENGEANCE_TWIN"] = NAME
    try:
        if status["distro"]["rung"] == "none":
            pytest.skip(" ".join(status["distro"]["missing"]))
        state = inventory.connect(inventory.load(TWIN, ROOT / "group_data"))
        state.current_stage = StateStage.Execute
        (box,), (distro,) = (state.inventory.get_group(group) for group in ("windows", "wsl"))
        yield Sides(box, distro, twin)
        for host in state.inventory:
            host.disconnect()
    finally:
        if before is None:
            del os.environ["VENGEANCE_TWIN"]
        else:
            os.environ["VENGEANCE_TWIN"] = before
        twin.down()


@pytest.fixture
def clean(sides: Sides) -> Sides:
    """The same, with nothing in its folders."""
    empty(sides)
    return sides


def empty(sides: Sides) -> None:
    sides.folder.mkdir(exist_ok=True)
    for path in sides.folder.iterdir():
        path.unlink()
    sides.inside("rm -rf /tmp/fuzz && mkdir /tmp/fuzz")


def refused(error: Exception) -> None:
    """It was refused in a sentence."""
    said = str(error)
    assert said.strip(), repr(error)
    assert "Traceback" not in said


class Asked(Mapping[Any, Any]):
    """The facts of a host, for an operation that is run without pyinfra around it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getitem__(self, cls: Any) -> Any:
        return lambda **arguments: self._host.get_fact(cls, **arguments)

    def __contains__(self, cls: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


def declare(host: Host, operation: Any, **arguments: Any) -> bool:
    """Run an operation; False when it, or Windows, has refused it in a sentence."""
    try:
        done = run_operation(operation, Asked(host), **arguments)
        for command in done.commands:
            assert isinstance(command, Script)
            succeeded, output = host.run_shell_command(command)
            if not succeeded:
                assert output.stderr.strip()
                return False
    except (PyinfraError, OSError) as error:
        refused(error)
        return False
    return True


# --- Windows ---


@examples(40, 300)
@given(name=odd_text, content=st.binary(max_size=40))
@example(name="a.", content=b"1")
@example(name="a ", content=b"1")
@example(name="a.txt:stream", content=b"1")
@example(name="nul", content=b"1")
@example(name="COM1.txt", content=b"1")
@example(name="COM²", content=b"1")
@example(name="conout$", content=b"1")
@example(name="a\0b", content=b"1")
@example(name="..\\fuzz\\a", content=b"1")
@example(name="日本.txt", content=b"1")
def test_a_file_of_windows_arrives_as_it_was_sent_or_not_at_all(clean: Sides, name: str, content: bytes) -> None:
    empty(clean)
    path = f"C:\\fuzz\\{name}"
    try:
        clean.windows.put_file(BytesIO(content), path)
    except OSError as error:
        refused(error)
        assert clean.files() == {}
        return
    assert clean.files() == {name.replace("/", "\\"): content}
    back = BytesIO()
    clean.windows.get_file(path, back)
    assert back.getvalue() == content


NO_PATHS = [
    "a", "fuzz\\a", "\\a", "C:a", "CON", "C:\\fuzz\\", "\\\\.\\PhysicalDrive0", "\\\\?\\C:\\fuzz\\a",
    "\\\\.\\C:\\fuzz\\a", "//./C:/fuzz/a", "\\\\server\\share\\a.", "\\\\server\\share\\", "\\\\server\\share\\nul",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS)
def test_what_is_no_path_of_a_file_is_refused_both_ways(clean: Sides, path: str) -> None:
    with pytest.raises(OSError, match=r"\S+ \S+ \S+"):
        clean.windows.put_file(BytesIO(b"1"), path)
    with pytest.raises(OSError, match=r"\S+ \S+ \S+"):
        clean.windows.get_file(path, BytesIO())
    assert clean.files() == {}


@examples(25, 300)
@given(name=st.sampled_from(["FUZZ_A"]) | odd_text, value=odd_text.filter(bool))
@example(name="FUZZ_A", value="a\0b")
@example(name="FUZZ_A", value="a\ud800b")
@example(name="FUZZ_A", value='%PATH% ^& "quoted"')
@example(name="FUZZ=A", value="b")
@example(name="", value="b")
def test_an_environment_variable_of_a_command_arrives_as_it_was_sent(clean: Sides, name: str, value: str) -> None:
    empty(clean)
    command = "set FUZZ_> C:\\fuzz\\out.txt"
    try:
        done = clean.windows.run_shell_command(command, _shell_executable="cmd", _env={name: value})
    except OSError as error:
        refused(error)
        assert clean.files() == {}
        return
    assert "out.txt" in clean.files(), done
    written = clean.files()["out.txt"].decode("utf-8")
    assert written == (f"{name}={value}\r\n" if name.upper().startswith("FUZZ_") else "")


KEY = "HKLM\\SOFTWARE\\fuzz"
data_of = {
    "String": odd_text,
    "ExpandString": odd_text,
    "DWord": st.integers(-1, 2**32),
    "QWord": st.integers(-1, 2**63),
    "MultiString": st.lists(odd_text, max_size=3),
}


@examples(40, 300)
@given(
    name=odd_text,
    value=st.sampled_from(sorted(data_of)).flatmap(lambda kind: st.tuples(st.just(kind), data_of[kind])),
)
@example(name="", value=("String", ""))
@example(name="a\ud800", value=("String", "b"))
@example(name="a", value=("String", "b\ud800"))
@example(name="a", value=("QWord", 2**63 - 1))
def test_a_value_of_the_registry_arrives_as_it_was_declared(clean: Sides, name: str, value: tuple[str, Any]) -> None:
    kind, data = value
    declare(clean.windows, windows.registry_value, key=KEY, value_name=name, present=False)
    before = clean.registry(KEY)
    if not declare(clean.windows, windows.registry_value, key=KEY, value_name=name, kind=kind, data=data):
        assert clean.registry(KEY) == before
        return
    assert clean.registry(KEY) == {**before, name: {"kind": kind, "value": data}}
    assert declare(clean.windows, windows.registry_value, key=KEY, value_name=name, present=False)


ENVIRONMENT = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment"


@examples(30, 300)
@given(name=odd_text.map(lambda text: "FUZZ" + text), value=odd_text)
@example(name="FUZZ\u0130", value="a")
@example(name="FUZZ", value="%PATH%")
def test_a_variable_of_the_machine_arrives_as_it_was_declared(clean: Sides, name: str, value: str) -> None:
    before = clean.registry(ENVIRONMENT)
    if not declare(clean.windows, windows.environment, variables={name: value}):
        assert clean.registry(ENVIRONMENT) == before
        return
    after = clean.registry(ENVIRONMENT)
    assert {each: after[each]["value"] for each in after.keys() - before.keys()} == {name: value}
    assert declare(clean.windows, windows.environment, variables={name: value}, present=False)
    assert clean.registry(ENVIRONMENT) == before


RULES = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules"


@examples(20, 300)
@given(name=odd_text.map(lambda text: "f" + text), port=st.integers(-1, 65536))
@example(name="fuzz a-b.c_d", port=8080)
@example(name="f*", port=1)
def test_a_rule_of_the_firewall_arrives_as_it_was_declared(clean: Sides, name: str, port: int) -> None:
    before = clean.registry(RULES)
    wanted = {"rule": name, "port": port, "remote_addresses": ["100.64.0.0/10"]}
    if not declare(clean.windows, windows.firewall_rule, **wanted):
        assert clean.registry(RULES) == before
        return
    after = clean.registry(RULES)
    (new,) = [after[each]["value"] for each in after.keys() - before.keys()]
    assert {f"Name={name}", f"LPort={port}", "RA4=100.64.0.0/255.192.0.0"} <= {*re.split(r"\|", new)}
    assert declare(clean.windows, windows.firewall_rule, **wanted, present=False)
    assert clean.registry(RULES) == before


@examples(20, 300)
@given(name=odd_text.map(lambda text: "t" + text), arguments=odd_text)
@example(name="t a", arguments='"quoted" %PATH% & <x>')
@example(name="t", arguments="a\u2028b")
def test_a_task_arrives_as_it_was_declared(clean: Sides, name: str, arguments: str) -> None:
    def tasks() -> dict[str, Any]:
        return dict(clean.twin.windows_state()["sections"].get("tasks", {}))

    before = tasks()
    program = "C:\\Windows\\System32\\cmd.exe"
    wanted = {"task": name, "command": program, "arguments": arguments, "logon": "s4u", "trigger": "none"}
    if not declare(clean.windows, windows.scheduled_task, **wanted):
        assert tasks() == before
        return
    (new,) = [each for each in tasks().values() if each["name"] == name]
    assert (new["definition"]["command"], new["definition"]["arguments"]) == (program, arguments)
    assert declare(clean.windows, windows.scheduled_task, task=name, present=False)
    assert tasks() == before


# --- the distro ---


@examples(25, 300)
@given(name=odd_text.filter(lambda text: "/" not in text), content=st.binary(max_size=40))
@example(name="a\nb\n", content=b"1")
@example(name="a\0b", content=b"1")
@example(name="-rf", content=b"1")
@example(name="..", content=b"1")
@example(name="\n", content=b"")
def test_a_file_of_the_distro_arrives_as_it_was_sent_or_not_at_all(clean: Sides, name: str, content: bytes) -> None:
    empty(clean)
    try:
        clean.linux.put_file(BytesIO(content), f"/tmp/fuzz/{name}")
    except OSError as error:
        refused(error)
        assert clean.linux_files() == {}
        return
    assert clean.linux_files() == {name: content}
    back = BytesIO()
    clean.linux.get_file(f"/tmp/fuzz/{name}", back)
    assert back.getvalue() == content


SHOW = """
printf %s "$FUZZ" >/tmp/fuzz/variable; printf %s "$1" >/tmp/fuzz/word; pwd >/tmp/fuzz/place; cat >/tmp/fuzz/input
"""


@examples(25, 300)
@given(variable=odd_text, folder=odd_text.filter(lambda text: "/" not in text), stdin=odd_text, word=odd_text)
@example(variable="a\0b", folder="f", stdin="s", word="w")
@example(variable="v", folder="f\0g", stdin="s", word="w")
@example(variable="v", folder="f", stdin="s", word="w\0x")
@example(variable="a'b\"c\\ $(id) `id`\n", folder="f \n'", stdin="\n\n", word="\n")
def test_what_a_command_is_given_in_the_distro_arrives_as_it_was_sent(
    clean: Sides, variable: str, folder: str, stdin: str, word: str
) -> None:
    empty(clean)
    place = f"/tmp/fuzz/in/{folder}"
    made = False
    if "\0" not in place and place.isprintable():
        clean.twin.distro_exec(["mkdir", "-p", "--", place])
        made = True
    command = StringCommand("sh -c", QuoteString(SHOW), "sh", QuoteString(word))
    try:
        succeeded, output = clean.linux.run_shell_command(
            command, _env={"FUZZ": variable}, _chdir=place if made else None, _stdin=stdin
        )
    except OSError as error:
        refused(error)
        assert clean.linux_files() == {}
        return
    assert succeeded, output.stderr
    found = clean.linux_files()
    assert found["variable"] == variable.encode()
    assert found["word"] == word.encode()
    assert found["input"] == (stdin if stdin.endswith("\n") else stdin + "\n").encode()
    if made:
        there = clean.twin.distro_exec(["realpath", "--", place]).stdout
        assert found["place"] == there
