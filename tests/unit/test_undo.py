"""What was there before is kept ahead of a change, and had back by it alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.facts.deb import DebPackages
from pyinfra.facts.files import Directory, File, FileContents

from tests.unit.operation_runs import Run, no_connection, run_operation
from tests.unit.test_system import FRESH_POWER
from vengeance.box import before, undo
from vengeance.facts import before as kept
from vengeance.facts import ollama as ollama_facts
from vengeance.facts import tailscale as tailscale_facts
from vengeance.facts import windows as facts
from vengeance.facts import wsl as wsl_facts
from vengeance.operations import undo as operations
from vengeance.operations import windows
from vengeance.operations.before import forgotten_inside, kept_inside
from vengeance.operations.refusal import refuse
from vengeance.operations.undo import asking
from vengeance.powershell import Script

ALL = undo.parse(None, None)
AND_THE_DISTRO = undo.parse(None, "distro")
AND_MODELS = undo.parse(None, ["models"])
DISTRO = "Ubuntu-24.04"
TAILSCALE: dict[str, Any] = {
    "installed": True,
    "state": "Running",
    "unattended": True,
    "account": r"VENGEANCE\Steam",
    "owner": None,
    "key_expiry": None,
    "serve": [],
}
OLLAMA = {"version": "0.34.1", "folder": r"C:\Ollama", "complete": True}


def scripts(run: Run) -> list[tuple[str, Any]]:
    """The scripts that a run would start, with what each gets."""
    return [(each.script, json.loads(each.parameters)) for each in run.commands if isinstance(each, Script)]


def forgets(*names: str) -> tuple[str, Any]:
    return ("Set-Before", {"keep": {}, "forget": [*names]})


def installation(version: str | None = "2.7.11.0", *distros: str) -> dict[str, Any]:
    listed = [{"name": each, "state": 1, "guid": "{1}", "base_path": rf"C:\WSL\{each}"} for each in distros]
    return {"version": version, "path": None, "default": None, "distributions": listed}


def variables(machine: dict[str, str] | None = None, user: dict[str, str] | None = None) -> dict[str, Any]:
    def level(values: dict[str, str] | None) -> dict[str, Any]:
        return {name: {"value": value, "kind": "String"} for name, value in (values or {}).items()}

    return {"machine": level(machine), "user": level(user)}


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_without_a_word_all_stages_are_taken_back_and_nothing_is_deleted() -> None:
    assert undo.Undo(("expose", "vllm", "cuda", "wsl", "ollama", "windows"), frozenset()) == ALL


def test_stages_are_taken_back_in_their_own_order() -> None:
    assert undo.parse("windows, expose,vllm", None).stages == ("expose", "vllm", "windows")


@pytest.mark.parametrize(
    ("stages", "delete", "sentence"),
    [
        ("olama", None, "did you mean ollama?"),
        ("verify", None, "verify only reads, so there is nothing to take back"),
        ("", None, "stages names no stage"),
        (3, None, "names with commas between them"),
        (None, "all", "each is named in full"),
        (None, "model", "did you mean models?"),
        (None, "m", "there are models, distro."),
        ("expose", "distro", "delete=distro goes with the stage wsl, and stages is expose."),
    ],
)
def test_a_word_that_is_none_is_refused_with_the_right_one(stages: object, delete: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        undo.parse(stages, delete)


def test_a_wrong_word_ends_the_run_before_anything_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "host", SimpleNamespace(data={"delete": "model"}))
    with pytest.raises(OperationValueError, match=r"did you mean models\? Nothing is changed\."):
        operations.asked()


def test_a_path_that_nobody_else_has_changed_is_as_it_was() -> None:
    assert undo.path_back(r"C:\bin;C:\Ollama", r"C:\bin;", "C:\\Ollama\\") == r"C:\bin;"
    assert undo.path_back(r"C:\bin;C:\Ollama;C:\new", r"C:\bin;", r"C:\Ollama") == r"C:\bin;C:\new"


# --- kept ahead of the change ---------------------------------------------------------------------------------------


def test_what_was_there_is_kept_before_it_is_changed() -> None:
    run = run_operation(windows.feature, {facts.Feature: "Disabled"}, side="windows", feature="Telnet")
    assert [name for name, _ in scripts(run)] == ["Set-Before", "Set-Feature"]
    assert scripts(run)[0][1] == {"keep": {"feature Telnet": '"Disabled"'}, "forget": []}


def test_what_is_right_already_is_not_kept() -> None:
    assert run_operation(windows.feature, {facts.Feature: "Enabled"}, side="windows", feature="Telnet").commands == []


def test_on_the_hosts_of_another_project_nothing_is_kept() -> None:
    run = run_operation(windows.feature, {facts.Feature: "Disabled"}, feature="Telnet")
    assert [name for name, _ in scripts(run)] == ["Set-Feature"]


def test_each_variable_is_kept_with_its_level_and_a_missing_one_as_missing() -> None:
    found = {facts.Environment: variables(machine={"OLLAMA_DEBUG": "1"})}
    given = {"OLLAMA_DEBUG": "0", "OLLAMA_HOST": "0.0.0.0:11434"}
    run = run_operation(windows.environment, found, side="windows", variables=given)
    keep = scripts(run)[0][1]["keep"]
    assert keep == {"variable machine OLLAMA_DEBUG": '"1"', "variable machine OLLAMA_HOST": "null"}


# --- and had back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "arguments", "others"),
    [
        (operations.features, {"asked": ALL}, {wsl_facts.Installation: installation()}),
        (operations.power, {}, {facts.Power: FRESH_POWER}),
        (operations.served_ports, {}, {}),
        (operations.forwarded_ports, {}, {facts.PortProxies: {"proxies": [], "service_running": True}}),
        (operations.reserved_ports, {}, {facts.ReservedPorts: {"active": [], "persistent": []}}),
        (operations.variables, {}, {facts.Environment: variables()}),
        (operations.ollama_app, {}, {}),
        (operations.wslconfig, {}, {wsl_facts.Configuration: {"path": "", "text": "[wsl2]\n"}}),
        (operations.wsl_uninstalled, {"asked": ALL, "log": r"C:\log"}, {}),
        (operations.tailscale, {"reached_at": "192.168.1.20"}, {}),
    ],
)
def test_where_nothing_is_kept_nothing_is_taken_back(operation: Any, arguments: Any, others: Any) -> None:
    found = {kept.OnWindows: {}, wsl_facts.Installation: installation(), tailscale_facts.Status: TAILSCALE, **others}
    run = run_operation(operation, found, **arguments)
    assert (run.commands, len(run.noops)) == ([], 1)


def test_sleep_comes_back_with_each_of_its_times() -> None:
    now = {**FRESH_POWER, "sleep_ac_seconds": 0, "sleep_dc_seconds": 0, "hibernate": False, "fast_startup": False}
    found = {kept.OnWindows: {before.POWER: FRESH_POWER}, facts.Power: now}
    (name, given), forgotten = scripts(run_operation(operations.power, found))
    assert (name, given["sleep_ac_minutes"], given["sleep_dc_minutes"]) == ("Set-Power", 30, 15)
    assert (given["hibernate"], given["fast_startup"]) == (True, True)
    assert forgotten == forgets(before.POWER)
    again = run_operation(operations.power, {**found, facts.Power: FRESH_POWER})
    assert scripts(again) == [forgets(before.POWER)]


def test_variables_have_the_values_that_they_had_at_each_level() -> None:
    entries = {
        before.variable("machine", "OLLAMA_HOST"): None,
        before.variable("machine", "OLLAMA_KEEP_ALIVE"): "24h",
        before.variable("user", "OLLAMA_HOST"): "127.0.0.1",
    }
    now = variables(machine={"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "5m", "OTHER": "1"})
    run = run_operation(operations.variables, {kept.OnWindows: entries, facts.Environment: now})
    assert scripts(run) == [
        (
            "Set-Environment",
            {"level": "machine", "variables": {"OLLAMA_HOST": None, "OLLAMA_KEEP_ALIVE": "24h"}},
        ),
        ("Set-Environment", {"level": "user", "variables": {"OLLAMA_HOST": "127.0.0.1"}}),
        forgets(*entries),
    ]


def test_a_block_rule_that_was_removed_is_put_back_under_its_own_name() -> None:
    name, text = r"TCP Query User{7E9D}C:\Ollama\ollama.exe", r"v2.33|Action=Block|Active=TRUE|Dir=In|Protocol=6|"
    text += r"Profile=Public|App=C:\Ollama\ollama.exe|Name=ollama.exe|Defer=User|"
    ours = {"rule": "vengeance-ollama", "text": "v2.33|Action=Allow|Active=TRUE|Dir=In|", "policy": False}
    found = {kept.OnWindows: {before.rule(name): text}, facts.FirewallRules: {"rules": [ours], "enabled": {}}}
    run = run_operation(operations.firewall_rules, found, rules=["vengeance-ollama"])
    removed, added, forgotten = scripts(run)
    assert removed == ("Remove-FirewallRule", {"rules": ["vengeance-ollama"]})
    assert added[1] == {
        "rule": name,
        "title": "ollama.exe",
        "action": "block",
        "protocol": "tcp",
        "port": None,
        "remote_addresses": [],
        "program": r"C:\Ollama\ollama.exe",
        "profiles": ["public"],
    }
    assert forgotten == forgets(before.rule(name))


@pytest.mark.parametrize(("was", "target"), [(None, None), ("127.0.0.1:9000", 9000), ("localhost:9000", 9000)])
def test_tailscale_forwards_a_port_where_it_did(was: str | None, target: int | None) -> None:
    status = {**TAILSCALE, "serve": [{"port": 8080, "kind": "tcp", "target": "127.0.0.1:8080"}]}
    found = {kept.OnWindows: {before.served(8080): was}, tailscale_facts.Status: status}
    run = run_operation(operations.served_ports, found)
    assert scripts(run) == [
        ("Set-TailscaleServe", {"port": 8080, "target_port": target}),
        forgets(before.served(8080)),
    ]


def test_windows_forwards_a_port_where_it_did() -> None:
    proxy = {"listen_address": "100.98.226.75", "listen_port": 8080, "connect_address": "127.0.0.1"}
    proxies = [{**proxy, "connect_port": 8080, "listening": True, "address_there": True}]
    name = before.proxied("100.98.226.75", 8080)
    found = {
        kept.OnWindows: {name: "10.0.0.5:80"},
        facts.PortProxies: {"proxies": proxies, "service_running": True},
    }
    put, forgotten = scripts(run_operation(operations.forwarded_ports, found))
    assert put[1] == {
        "listen_address": "100.98.226.75",
        "listen_port": 8080,
        "connect_address": "10.0.0.5",
        "connect_port": 80,
    }
    assert forgotten == forgets(name)


@pytest.mark.parametrize("address", ["100.98.226.75", "fd7a:115c:a1e0::1", "vengeance", "vengeance.tail1.ts.net"])
def test_a_run_through_the_tailnet_does_not_cut_itself_off(address: str) -> None:
    found = {
        kept.OnWindows: {before.TAILSCALE: False},
        tailscale_facts.Status: TAILSCALE,
    }
    run = run_operation(operations.tailscale, found, reached_at=address)
    assert run.commands == []
    assert "tailscale set --unattended=false" in run.logged[0]
    at_home = run_operation(operations.tailscale, found, reached_at="192.168.1.20")
    assert scripts(at_home) == [("Set-Tailscale", {"unattended": False}), forgets(before.TAILSCALE)]


def test_a_tailscale_that_cannot_be_asked_is_not_taken_for_right() -> None:
    status = {**TAILSCALE, "state": "InUseOtherUser", "unattended": False, "owner": r"VENGEANCE\Other"}
    found = {kept.OnWindows: {before.TAILSCALE: False}, tailscale_facts.Status: status}
    run = run_operation(operations.tailscale, found, reached_at="192.168.1.20")
    assert run.commands == []
    assert r"belongs to VENGEANCE\Other" in run.logged[0]


@pytest.mark.parametrize(
    ("entries", "stages", "goes"),
    [
        ({}, None, True),
        ({"folder D:\\work": False}, None, True),
        ({"folder D:\\work": True}, None, False),
        ({"folder D:\\work": False}, "windows", False),
    ],
)
def test_the_folder_of_the_deploys_goes_unless_somebody_needs_it(
    entries: dict[str, Any], stages: str | None, goes: bool
) -> None:
    path = r"D:\work" if entries else r"C:\ProgramData\vengeance"
    found = {
        kept.OnWindows: entries,
        facts.File: {"exists": True, "type": "directory"},
        facts.ScheduledTask: {"task": {"state": "running"}, "account": None},
    }
    run = run_operation(operations.folder, found, path=path, asked=undo.parse(stages, None))
    assert ("Set-Directory" in [name for name, _ in scripts(run)]) == goes


# --- what stays, and what goes only by a word -----------------------------------------------------------------------


def test_a_distro_that_stays_keeps_wsl_and_its_feature() -> None:
    entries = {before.WSL: None, before.distro(DISTRO): None, before.feature("VirtualMachinePlatform"): "Disabled"}
    found = {kept.OnWindows: entries, wsl_facts.Installation: installation("2.7.11.0", DISTRO)}
    calls: list[tuple[Any, dict[str, Any]]] = [
        (operations.distribution, {"distro": DISTRO, "path": rf"C:\WSL\{DISTRO}"}),
        (operations.wsl_uninstalled, {"log": r"C:\log"}),
        (operations.features, {}),
    ]
    for operation, arguments in calls:
        assert run_operation(operation, found, asked=ALL, **arguments).commands == []


def test_wsl_goes_only_when_no_distro_of_anybody_is_left() -> None:
    entries = {before.WSL: None, before.distro(DISTRO): None}
    assert undo.wsl_goes(entries, [DISTRO], AND_THE_DISTRO)
    assert not undo.wsl_goes(entries, [DISTRO, "Debian"], AND_THE_DISTRO)
    assert not undo.wsl_goes({**entries, before.WSL: "2.6.1.0"}, [], AND_THE_DISTRO)
    assert not undo.wsl_goes({}, [], AND_THE_DISTRO)


def test_a_distro_that_no_deploy_has_made_is_refused_before_anything_is_changed() -> None:
    found = {kept.OnWindows: {}, wsl_facts.Installation: installation("2.7.11.0", DISTRO)}
    (command,) = run_operation(operations.possible, found, asked=AND_THE_DISTRO, distros=[DISTRO]).commands
    assert isinstance(command, FunctionCommand)
    assert command.function is refuse("").function
    assert "wsl.exe --unregister Ubuntu-24.04" in command.args[0]
    arguments: dict[str, Any] = {"asked": AND_THE_DISTRO, "distro": DISTRO, "path": rf"C:\WSL\{DISTRO}"}
    assert run_operation(operations.distribution, found, **arguments).commands == []


def models_found(**entries: Any) -> dict[Any, Any]:
    there = {"exists": True, "type": "directory"}
    storage = {"folder": r"D:\models", "free_bytes": 0, "partial_bytes": 0}
    return {
        kept.OnWindows: entries,
        facts.Environment: variables(machine={"OLLAMA_MODELS": r"D:\models"}),
        ollama_facts.Storage: lambda folder: {**storage, "folder": folder or r"C:\Users\Steam\.ollama\models"},
        facts.File: there,
        facts.ScheduledTask: {"task": None, "account": None},
    }


def test_models_go_by_their_word_alone_and_nothing_beside_them() -> None:
    found = models_found(**{before.OLLAMA: None})
    assert run_operation(operations.ollama_models, found, asked=ALL).commands == []
    gone = scripts(run_operation(operations.ollama_models, found, asked=AND_MODELS))
    assert [given["path"] for name, given in gone if name == "Set-Directory"] == [
        r"D:\models\blobs",
        r"D:\models\manifests",
    ]


@pytest.mark.parametrize("entries", [{}, {before.OLLAMA: "0.13.5"}])
def test_models_of_an_ollama_that_was_there_are_never_deleted(entries: dict[str, Any]) -> None:
    assert run_operation(operations.ollama_models, models_found(**entries), asked=AND_MODELS).commands == []


def test_an_ollama_that_was_there_stays_and_starts_as_it_did() -> None:
    entries = {before.OLLAMA: "0.13.5", before.OLLAMA_AT_LOGON: True, before.OLLAMA_UPDATES: True}
    found = {
        **models_found(**entries),
        ollama_facts.Installation: {"setup": OLLAMA, "archive": None},
        ollama_facts.Settings: {
            "settings": {"auto_update_enabled": False},
            "unreadable": None,
            "starts_at_logon": False,
            "app_runs": False,
        },
    }
    names = [name for name, _ in scripts(run_operation(operations.ollama_app, found))]
    assert names == ["Set-OllamaStartup", "Stop-Ollama", "Set-OllamaSettings", "Set-Before"]
    stays = run_operation(operations.ollama_uninstalled, found)
    assert scripts(stays) == [forgets(before.OLLAMA)]
    assert "Ollama 0.13.5 was there before the first deploy" in stays.logged[0]


def test_an_installed_ollama_without_its_uninstaller_is_refused() -> None:
    found = {
        **models_found(**{before.OLLAMA: None}),
        ollama_facts.Installation: {"setup": OLLAMA, "archive": None},
        facts.File: {"exists": False, "type": None},
    }
    run = run_operation(operations.ollama_uninstalled, found)
    sentences = [each.args[0] for each in run.commands if isinstance(each, FunctionCommand)]
    assert any("run the deploy once more, which mends the installation" in str(sentence) for sentence in sentences)


# --- in the distro --------------------------------------------------------------------------------------------------


def test_an_environment_that_was_there_stays() -> None:
    path = "/home/steam/vllm-env"
    found = {kept.InDistro: {before.environment(path): True}, Directory: {"mode": 755}}
    run = run_operation(operations.environment, found, path=path, user="steam")
    assert len(run.commands) == 1
    assert "rm -f" in run.texts[0]  # what is forgotten
    ours = run_operation(
        operations.environment, {**found, kept.InDistro: {before.environment(path): False}}, path=path, user="steam"
    )
    assert any(path in text and "rm -rf" in text for text in ours.texts)


def test_packages_that_were_there_are_not_purged() -> None:
    installed = {"gcc": {"1"}, "curl": {"8"}, "cuda-keyring": {"1.1-1"}}
    found = {kept.InDistro: {before.package("gcc"): None, before.package("cuda-keyring"): None}, DebPackages: installed}
    vllm, cuda = (" ".join(run_operation(operations.packages, found, cuda=each).texts) for each in (False, True))
    assert "gcc" in vllm
    assert "curl" not in vllm
    assert "cuda-keyring" not in vllm
    assert "cuda-keyring" in cuda
    assert "gcc" not in cuda
    assert "purge" in cuda


def test_wsl_conf_has_the_lines_that_it_had() -> None:
    lines = ["[boot]", "systemd=true", "# it's mine"]
    found = {kept.InDistro: {before.WSL_CONF: lines}, FileContents: ["[user]"]}
    run = run_operation(operations.wsl_conf, found, users=[])
    assert "".join(f"{line}\n" for line in lines).replace("'", "'\"'\"'") in run.texts[0]
    nothing = run_operation(operations.wsl_conf, {**found, FileContents: lines}, users=[])
    assert len(nothing.commands) == 1


def test_an_entry_that_cannot_be_read_is_told_by_its_name() -> None:
    with pytest.raises(Exception, match=r"'wsl\.conf' is 'half'"):
        kept.InDistro().process(["wsl.conf half"])
    assert kept.InDistro().process(["package%20gcc null", 'wsl.conf ["[boot]"]']) == {
        "package gcc": None,
        "wsl.conf": ["[boot]"],
    }


def test_a_product_code_that_is_none_is_refused() -> None:
    with pytest.raises(OperationValueError, match="is no product code"):
        run_operation(windows.uninstalled, {}, product_code="None", log=r"C:\log")


def shell(folder: Path, *commands: Any) -> None:
    """Run what an operation yields on this machine, with a folder of our own in place of the distro's."""
    for command in commands:
        text = command.get_raw_value().replace(kept.FOLDER, str(folder))
        subprocess.run(["sh", "-ec", text], check=True)


def test_in_a_distro_the_first_value_is_kept_for_root_alone_and_goes_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "vengeance" / "before"
    with no_connection({}, Run(), side="wsl"):
        shell(folder, *kept_inside({"package gcc": None, before.WSL_CONF: ["# it's mine"]}))
        shell(folder, *kept_inside({before.WSL_CONF: []}))
    (folder / "wsl.conf.new").write_text('["cut o')
    read = subprocess.run(
        ["sh", "-c", kept.InDistro().command().get_raw_value().replace(kept.FOLDER, str(folder))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert kept.InDistro().process(read.stdout.splitlines()) == {"package gcc": None, "wsl.conf": ["# it's mine"]}
    assert {(folder / name).stat().st_mode & 0o777 for name in ("package%20gcc", "wsl.conf")} == {0o600}
    shell(folder, *forgotten_inside(["package gcc"]))
    assert sorted(path.name for path in folder.iterdir()) == ["wsl.conf", "wsl.conf.new"]
    shell(folder, *forgotten_inside([before.WSL_CONF]))
    assert not folder.parent.exists()


@pytest.mark.parametrize(("mine", "left"), [(True, False), (False, True)])
def test_the_declared_token_goes_and_another_one_stays(tmp_path: Path, mine: bool, left: bool) -> None:
    (tmp_path / "vengeance").mkdir()
    (tmp_path / "token").write_text("hf_secret\n")
    token = "hf_secret" if mine else "hf_another"
    (tmp_path / "vengeance" / "token.sha256").write_text(hashlib.sha256(token.encode()).hexdigest() + "\n")
    run = run_operation(operations.token, {FileContents: ["..."]}, hf_home=str(tmp_path))
    shell(tmp_path, *run.commands)
    assert (tmp_path / "token").exists() == left
    assert not (tmp_path / "vengeance" / "token.sha256").exists()


def test_a_token_that_a_cut_left_on_its_way_goes_too(tmp_path: Path) -> None:
    (tmp_path / "vengeance").mkdir()
    (tmp_path / "token").write_text("somebody's own\n")
    (tmp_path / "vengeance" / "token.new").write_text("hf_secret\n")
    run = run_operation(operations.token, {FileContents: None, File: {"mode": 600}}, hf_home=str(tmp_path))
    shell(tmp_path, *run.commands)
    assert (tmp_path / "token").exists()
    assert not (tmp_path / "vengeance" / "token.new").exists()
    assert run_operation(operations.token, {FileContents: None, File: None}, hf_home=str(tmp_path)).commands == []
