"""Firewall rules, ports and tailnet addresses as plain text and numbers; and what the operations refuse beforehand."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError

from tests.unit.operation_runs import run_operation
from vengeance.box import firewall, ports, tailnet
from vengeance.box.firewall import Rule
from vengeance.facts import tailscale as tailscale_facts
from vengeance.facts import windows as facts
from vengeance.operations import tailscale, windows

TAILNET = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]
OLLAMA = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama\\ollama.exe"
OURS = (
    "v2.33|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=11434|RA4=100.64.0.0/255.192.0.0|"
    "RA6=fd7a:115c:a1e0::/48|Name=vengeance-ollama|"
)
LEFT_BY_THE_QUESTION = (
    f"v2.33|Action=Block|Active=TRUE|Dir=In|Protocol=6|Profile=Public|App={OLLAMA}|Name=ollama.exe|"
    "Desc=ollama.exe|Defer=User|"
)
TAILSCALE_IN = (
    "v2.33|Action=Allow|Active=TRUE|Dir=In|Profile=Domain|Profile=Private|LA4=100.98.226.75|"
    "LA6=fd7a:115c:a1e0::7a01:e24b|Name=Tailscale-In|"
)


def wanted(remote: list[str] | None = None, **changes: Any) -> Rule:
    return Rule(
        rule="vengeance-ollama",
        title="vengeance-ollama",
        protocol=6,
        ports=((11434, 11434),),
        remote=firewall.scope(remote or TAILNET),
        **changes,
    )


# --- the grammar --------------------------------------------------------------------------------------------------


def test_a_rule_reads_as_it_was_declared_although_windows_writes_masks() -> None:
    assert firewall.differences(wanted(), firewall.parse("vengeance-ollama", OURS)) == []


def test_a_single_machine_has_no_mask_and_the_home_network_is_a_word() -> None:
    text = OURS.replace("RA4=100.64.0.0/255.192.0.0|", "RA4=192.168.1.5|RA4=LocalSubnet|RA6=LocalSubnet|")
    found = firewall.parse("vengeance-ollama", text)
    assert found.remote == firewall.scope(["192.168.1.5", "LocalSubnet", "fd7a:115c:a1e0::/48"])


def test_ranges_of_ports_and_words_for_ports_are_understood() -> None:
    text = OURS.replace("LPort=11434|", "LPort=80|LPort2_10=11400-11500|")
    assert firewall.parse("a", text).concerns(6, 11434)
    assert not firewall.parse("a", text).concerns(6, 443)
    assert not firewall.parse("a", OURS.replace("LPort=11434", "LPort=RPC")).concerns(6, 11434)


def test_a_condition_that_is_not_known_is_a_difference() -> None:
    found = firewall.parse("vengeance-ollama", OURS + "IFType=Wireless|")
    assert firewall.differences(wanted(), found) == ["further conditions True -> False"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("RA4=100.64.0.0/255.192.0.0|", "", "remote addresses fd7a:115c:a1e0::/48 -> 100.64.0.0/10, fd7a:115c"),
        ("LPort=11434", "LPort=11435", "ports 11435 -> 11434"),
        ("Active=TRUE", "Active=FALSE", "active False -> True"),
        ("Action=Allow", "Action=Block", "action block -> allow"),
        ("Protocol=6|", "Protocol=6|Profile=Private|", "profiles private -> domain, private, public"),
        ("Protocol=6|", f"Protocol=6|App={OLLAMA}|", f"program {OLLAMA.lower()} -> "),
    ],
)
def test_each_difference_is_said_with_before_and_after(old: str, new: str, said: str) -> None:
    (difference,) = firewall.differences(wanted(), firewall.parse("vengeance-ollama", OURS.replace(old, new)))
    assert difference.startswith(said)


# --- which rule beats which -----------------------------------------------------------------------------------------


def test_the_block_rule_of_a_dismissed_question_beats_the_allow_rule() -> None:
    block = firewall.parse("TCP Query User{1}", LEFT_BY_THE_QUESTION)
    assert firewall.that_beat(wanted(), 11434, [block], ["ollama.exe"]) == [block]
    assert firewall.that_beat(wanted(), 11434, [block], [OLLAMA.upper()]) == [block]
    assert firewall.that_beat(wanted(), 11434, [block], ["other.exe"]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Protocol=6", "Protocol=17"),
        ("Active=TRUE", "Active=FALSE"),
        ("Dir=In", "Dir=Out"),
        ("Profile=Public", "Profile=Public|LPort=80"),
        ("Profile=Public", "Profile=Public|RA4=192.168.1.0/255.255.255.0"),
        ("Action=Block", "Action=Allow"),
    ],
)
def test_a_block_rule_for_something_else_beats_nothing(old: str, new: str) -> None:
    block = firewall.parse("x", LEFT_BY_THE_QUESTION.replace(old, new))
    assert firewall.that_beat(wanted(), 11434, [block], ["ollama.exe"]) == []


def test_tailscales_own_rule_lets_more_in_only_where_less_than_the_tailnet_is_declared() -> None:
    theirs = firewall.parse("Tailscale-In", TAILSCALE_IN)
    assert firewall.that_let_more_in(wanted(), 11434, [theirs], []) == []
    assert firewall.that_let_more_in(wanted(["100.101.102.103"]), 11434, [theirs], []) == [theirs]


def test_an_allow_rule_for_everybody_is_found_beside_a_narrow_one() -> None:
    wide = firewall.parse("Ollama", "v2.33|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=11434|Name=Ollama|")
    assert firewall.that_let_more_in(wanted(), 11434, [wide], []) == [wide]


# --- what is refused ------------------------------------------------------------------------------------------------

RULE: dict[str, Any] = {"rule": "r", "port": 80, "remote_addresses": TAILNET}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"port": 0}, "The port of a firewall rule is a whole number from 1 to 65535, not 0."),
        ({"port": True}, "not True"),
        ({"port": "80"}, "not '80'"),
        ({"rule": ""}, "cannot be the name of a firewall rule"),
        ({"rule": "a*"}, "cannot be the name of a firewall rule"),
        ({"protocol": "sctp"}, "tcp or udp, not 'sctp'"),
        ({"action": "deny"}, "allow or block, not 'deny'"),
        ({"profiles": "home"}, "domain, private, public, or 'any' for all, not 'home'"),
        ({"profiles": []}, "without a profile never counts"),
        ({"program": "ollama.exe"}, "is not the full path of a program"),
        ({"remote_addresses": None}, "Who may reach port 80?"),
        ({"remote_addresses": []}, "name who may come"),
        ({"remote_addresses": "100.64.0.0/10"}, "write ['100.64.0.0/10']"),
        ({"remote_addresses": ["100.64.0.1/10"]}, "the network is 100.64.0.0/10, the single machine 100.64.0.1"),
        ({"remote_addresses": ["tailnet"]}, "'tailnet' is no remote address"),
        ({"remote_addresses": ["Any", "10.0.0.0/8"]}, "'Any' stands alone"),
    ],
)
def test_a_firewall_rule_that_cannot_be_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError) as refused:
        run_operation(windows.firewall_rule, {}, **{**RULE, **arguments})
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"listen_address": "0.0.0.0", "listen_port": 8080},
            "takes the port of 127.0.0.1 that WSL's own",
        ),
        ({"listen_address": "127.0.0.1", "listen_port": 8080}, "takes the port of 127.0.0.1"),
        ({"listen_address": "box", "listen_port": 8080}, "is an IPv4 address such as 100.98.226.75, not 'box'"),
        ({"listen_address": "fd7a::1", "listen_port": 8080}, "is an IPv4 address"),
        ({"listen_address": "tailscale", "listen_port": 70000}, "not 70000"),
        ({"listen_address": "tailscale", "listen_port": 80, "connect_address": "localhost"}, "not 'localhost'"),
    ],
)
def test_a_forwarding_that_cannot_be_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError) as refused:
        run_operation(windows.port_proxy, {}, **arguments)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("port", [0, 65536, "11434", 1.5])
def test_a_port_that_is_none_is_refused_everywhere(port: Any) -> None:
    for operation in (windows.reserved_port, tailscale.serve):
        with pytest.raises(OperationValueError, match="is a whole number from 1 to 65535"):
            run_operation(operation, {}, port=port)


def test_unattended_is_true_or_false() -> None:
    with pytest.raises(OperationValueError, match="True or False, not 'yes'"):
        run_operation(tailscale.settings, {}, unattended="yes")


# --- what a fact that could not be read leads to, and states that stop one host -------------------------------------


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (windows.firewall_rule, RULE),
        (windows.reserved_port, {"port": 80}),
        (windows.port_proxy, {"listen_address": "tailscale", "listen_port": 80}),
        (tailscale.settings, {}),
        (tailscale.serve, {"port": 80}),
    ],
)
def test_nothing_is_done_when_the_box_could_not_be_read(operation: Any, arguments: dict[str, Any]) -> None:
    done = run_operation(operation, {}, **arguments)
    assert (done.commands, done.noops) == ([], [])


def status(**changes: Any) -> dict[Any, Any]:
    known = {
        "installed": True,
        "version": "1.86.2",
        "account": "BOX\\Steam",
        "owner": None,
        "state": "Running",
        "online": True,
        "addresses": ["100.98.226.75"],
        "dns_name": "vengeance.tail1a2b3.ts.net",
        "tags": [],
        "key_expiry": None,
        "unattended": True,
        "serve": [],
    }
    return {tailscale_facts.Status: {**known, **changes}}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"installed": False}, "install it from https://tailscale.com/download/windows"),
        ({"state": "NoService"}, "Start-Service Tailscale"),
        (
            {"state": "NeedsLogin"},
            "BOX\\Steam, the Windows account that the deploy uses, is not signed in to Tailscale",
        ),
        ({"state": "NeedsMachineAuth"}, "approve the machine at https://login.tailscale.com/admin/machines"),
        ({"state": "KeyExpired", "key_expiry": "2026-01-02T03:04:05Z"}, "somewhere has ended on 2026-01-02, or"),
        ({"state": "KeyExpired", "key_expiry": None}, "somewhere has ended, or the machine was removed"),
        (
            {"state": "InUseOtherUser", "owner": "BOX\\Andi"},
            "Tailscale on somewhere belongs to BOX\\Andi, and refuses BOX\\Steam: sign in to Tailscale on the box as "
            "BOX\\Steam (before that, as BOX\\Andi: tailscale logout, and sign out of Windows), or use BOX\\Andi for "
            "the deploy (winrm_user).",
        ),
        ({"state": "InUseOtherUser", "owner": None}, "belongs to another Windows account, and refuses BOX\\Steam"),
        ({"state": "InUseOtherUser", "owner": "S-1-5-21-1-2-3-1005"}, "account that is gone (S-1-5-21-1-2-3-1005)"),
    ],
)
def test_tailscale_that_cannot_be_used_is_said_with_the_mend(state: Any, sentence: str) -> None:
    for done in (
        run_operation(tailscale.settings, status(**state)),
        run_operation(tailscale.serve, status(**state), port=8080),
    ):
        (command,) = done.commands
        assert isinstance(command, FunctionCommand)
        assert sentence in str(command.args[0])


def test_a_tailscale_that_is_not_required_is_only_warned_of() -> None:
    done = run_operation(tailscale.settings, status(installed=False), required=False)
    assert done.commands == []
    assert "install it from https://tailscale.com/download/windows" in done.logged[0]


def test_a_port_that_tailscale_serves_otherwise_is_left_alone() -> None:
    served = status(serve=[{"port": 443, "kind": "https", "target": None}])
    (command,) = run_operation(tailscale.serve, served, port=443).commands
    assert isinstance(command, FunctionCommand)
    assert "tailscale serve --https=443 off" in str(command.args)
    assert run_operation(tailscale.serve, served, port=443, present=False).commands == []


@pytest.mark.parametrize(
    ("expiry", "said"), [("2001-01-01T00:00:00Z", "has ended"), ("2999-01-01T00:00:00Z", "ends in")]
)
def test_a_key_that_ends_is_warned_of_with_the_mend(expiry: str, said: str) -> None:
    done = run_operation(tailscale.settings, status(key_expiry=expiry))
    assert len(done.noops) == 1
    (warning,) = done.logged
    assert said in warning
    assert "Disable key expiry" in warning


def test_a_group_policys_block_rule_is_named_and_left() -> None:
    rules = [
        {"rule": "vengeance-ollama", "text": OURS, "policy": False},
        {"rule": "{GPO}", "text": LEFT_BY_THE_QUESTION, "policy": True},
    ]
    known = {
        facts.FirewallRules: {"rules": rules, "enabled": {"domain": True, "private": True, "public": False}},
        facts.Listeners: [],
    }
    done = run_operation(
        windows.firewall_rule,
        known,
        rule="vengeance-ollama",
        port=11434,
        remote_addresses=TAILNET,
        listener="ollama.exe",
        remove_blocks=True,
    )
    assert done.commands == []
    assert "only there it can be changed" in done.logged[0]
    assert "the firewall is off in public networks" in done.logged[1]


# --- small things ---------------------------------------------------------------------------------------------------


def test_days_of_a_key_are_counted_to_the_moment() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert tailnet.days_left("2026-01-31T00:00:00Z", now) == 30
    assert tailnet.days_left("2025-12-31T00:00:00Z", now) == -1


def test_the_tailnet_address_is_the_one_of_ipv4() -> None:
    assert tailnet.address4(["fd7a:115c:a1e0::1", "100.98.226.75"]) == "100.98.226.75"
    assert tailnet.address4([]) is None


def test_a_range_is_found_by_its_edges() -> None:
    ranges = [(50000, 50059), (11400, 11499)]
    assert [ports.holding(ranges, port) for port in (11399, 11400, 11499, 11500)] == [
        None,
        (11400, 11499),
        (11400, 11499),
        None,
    ]
