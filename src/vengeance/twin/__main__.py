"""``python -m vengeance.twin``: start, stop, look at and break a stand-in for the box."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vengeance.twin.client import Twin, TwinError, all_twins
from vengeance.twin.folders import DEFAULT_NAME

STOPPED = 3
PLACES = ("tailnet", "lan", "stranger")
ACTIONS = ("Create", "Command", "Send", "Receive", "Signal", "Delete", "Get")
_FAULTS = """\
faults, one or more at a time (numbers of requests count from when the rule is set, over WS-Management messages):
  cut-before N       close the connection before request N is handled: nothing of it is done
  cut-after N        handle request N, then close the connection without an answer
  delay MS           hold up every HTTP request by so many milliseconds
  code N X           answer request N with the WSMan fault code X, for example 2150858843
  no-answer N        handle request N, then say nothing until the client has had enough
  timed-out N        answer request N with the fault of an operation whose time is up: a Receive took nothing then,
                     anything else was done all the same
  bad-request N      answer request N with HTTP 400
  refuse S           let no connection in for S seconds
  add-type           Add-Type fails, as where AppLocker blocks the compiler: the agent cannot start
  disk-full BYTES    only so many bytes more can be written to C:; 'off' takes that away
  nat-port PORT      Windows' own NAT takes that TCP port at each of its starts, now for the first time; 'off' ends it
  port-taken PORT    a program on Windows listens on that TCP port of 127.0.0.1; 'off' ends it
  firewall-question  a closed question of the firewall: what it asks about on a desktop gets block rules
  web-cut BYTES      --times downloads from the vendors are cut after so many bytes
  web-stall BYTES    the same, and the server says nothing more instead
  web-slow BYTES     --times downloads come with so many bytes a second
  web-status N       --times downloads are answered with that HTTP status
  installer CODE     --times installers end with that exit code: 1603, 1618 (busy), 1641, 3010, ...
  ollama-pull HOW    pulls of Ollama go wrong, --times of them: fail-at PERCENT, stall, cut, offline or corrupt
  ollama-busy        --times requests to Ollama find its queue full
  ollama-app         --times starts of Ollama's tray app start no server
  clear              end all of them
"""
_CARD = """\
deeds:
  show               who has how much of it
  hold               a program starts on Windows and holds --mib of it until it is ended, as a game does
  free IMAGE         end the programs of that name that hold memory of it
  driver VERSION     Windows gets another driver, for example 537.58
  off, on            Windows has no card, or no driver for it; and has it again
  dxg off, on        /dev/dxg is missing in the distros, now and whenever one starts; and is there again
  counters off, on   Windows does not count who has the card's memory, as where lodctr /R is needed; and does again
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    made = argparse.ArgumentParser(
        prog="python -m vengeance.twin",
        description="A stand-in for the box on this machine: WinRM, a model of Windows, and a real Linux distro.",
        epilog="Exit codes: 0 done, 1 not done (a sentence says why), 2 wrong usage, 3 the twin is not running.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_text: str, **options: Any) -> argparse.ArgumentParser:  # noqa: ANN401
        one: argparse.ArgumentParser = commands.add_parser(
            name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", **options
        )
        one.add_argument("--json", action="store_true", help="print one JSON object")
        return one

    def named(name: str, help_text: str, **options: Any) -> argparse.ArgumentParser:  # noqa: ANN401
        one = command(name, help_text, **options)
        one.add_argument(
            "--name",
            default=os.environ.get("VENGEANCE_TWIN") or DEFAULT_NAME,
            help=f"which twin (default: $VENGEANCE_TWIN, else {DEFAULT_NAME})",
        )
        return one

    up = named("up", "start the twin unless it runs, and print where it listens")
    up.add_argument("--no-distro", action="store_true", help="leave the Linux side out")
    up.add_argument("--bare", action="store_true", help="a new twin begins as a Windows right after its set-up")
    named("down", "stop the twin; its state stays")
    named("status", "say whether the twin runs, and where it listens")
    reset = named("reset", "bring Windows and the distro back to new; ports and password stay")
    reset.add_argument("--bare", action="store_true", help="to a Windows right after its set-up: no WSL, no distro")
    for name, what in (("logon", "sign a person in at the screen"), ("logoff", "sign the person at the screen out")):
        named(name, what).add_argument("user", nargs="?", help="the account (default: the one of the box)")
    tailscale = named("tailscale", "sign a Windows account in to Tailscale, which is that account's alone then")
    tailscale.add_argument("user", nargs="?", help="the account (default: the one of the box)")
    tailscale.add_argument("--out", action="store_true", help="sign whoever it is out")
    clock = named("clock", "put the twin's clock forward; everything that falls due on the way happens")
    clock.add_argument("duration", type=parse_duration, help="for example 72h, 5m or 90s")
    reboot = named("reboot", "restart the twin's Windows, as a power button would")
    reboot.add_argument("--seconds", type=float, default=2.0, help="how long nobody answers (default: %(default)s)")
    ollama = named("ollama", "do to Ollama what its publishers and the person at the screen do; print what it has")
    ollama.add_argument("--update", metavar="VERSION", help="publish a newer version, which the tray app finds")
    ollama.add_argument("--move-tag", metavar="MODEL", help="publish other bytes under a model's name")
    ollama.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="change a setting in the tray app's window"
    )
    hub = named("hub", "print the models of the twin's huggingface.co, and what was asked of it")
    hub.add_argument("--reset", action="store_true", help="forget the requests afterwards")
    card = named(
        "card",
        "print who has the card's memory, or change what there is of the card",
        epilog=_CARD,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    card.add_argument("deed", nargs="*", metavar="DEED", help="see below (default: show)")
    card.add_argument("--image", help="with hold: the program's name, such as Cyberpunk2077.exe")
    card.add_argument("--mib", type=int, help="with hold: how much it takes")
    card.add_argument("--comfyui", action="store_true", help="with hold: it is a Python that runs ComfyUI")
    log = named("log", "print the counters of requests, bytes and program starts")
    log.add_argument("--reset", action="store_true", help="set them to nothing afterwards")
    fault = named(
        "fault",
        "make requests fail, or the disk full",
        epilog=_FAULTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fault.add_argument("fault", nargs="+", metavar="FAULT", help="see below")
    fault.add_argument("--action", choices=ACTIONS, help="count only requests of this action")
    fault.add_argument("--times", type=int, default=None, help="hit so many requests in a row (default: 1)")
    limits = named("limits", "print or change limits of the WinRM service")
    limits.add_argument("values", nargs="*", metavar="NAME=VALUE", help="for example allow_basic=false")
    account = named("account", "add another local administrator and print the password")
    account.add_argument("user")
    password = named("password", "change the password of an account and print the new one")
    password.add_argument("user", nargs="?", help="the account (default: the one of the box)")
    execute = named("exec", "run a program in the distro, past WinRM and wsl.exe")
    execute.add_argument("--user", default="root", help="Linux user (default: %(default)s)")
    execute.add_argument("argv", nargs="+", metavar="PROGRAM", help="program and arguments, after --")
    elsewhere = named(
        "from", "run a program of this machine as if on another one, to which the box has its own address"
    )
    elsewhere.add_argument("place", choices=PLACES, help="where that machine is")
    elsewhere.add_argument("argv", nargs="+", metavar="PROGRAM", help="program and arguments, after --")
    command("list", "list all twins of this user")
    return made


def parse_faults(words: Sequence[str], action: str | None, times: int | None) -> list[dict[str, Any]]:
    """Rules from words such as ``cut-before 3 delay 20``; ValueError with a sentence."""
    rules: list[dict[str, Any]] = []
    left = list(words)

    def number(what: str, least: float = 1, whole: bool = True) -> float:
        if not left:
            raise ValueError(f"{kind} needs {what}: see 'python -m vengeance.twin fault --help'.")
        text = left.pop(0)
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{kind} needs {what}, and {text!r} is no number.") from None
        if not math.isfinite(value) or (whole and not value.is_integer()):
            raise ValueError(f"{kind} needs {what}, and {text} is no {'whole' if whole else 'finite'} number.")
        if value < least:
            raise ValueError(f"{kind} needs {what} of at least {least:g}, and {text} is less.")
        return int(value) if value.is_integer() else value

    while left:
        kind = left.pop(0)
        rule: dict[str, Any]
        if kind in ("cut-before", "cut-after", "no-answer", "timed-out", "bad-request"):
            rule = {"kind": kind.replace("-", "_"), "request": number("the number of a request")}
        elif kind == "code":
            rule = {"kind": "fault", "request": number("the number of a request"), "code": number("a fault code")}
        elif kind == "delay":
            rule = {"kind": "delay", "milliseconds": number("milliseconds", 0, whole=False)}
        elif kind == "refuse":
            rule = {"kind": "refuse", "seconds": number("seconds", 0, whole=False)}
        elif kind == "disk-full":
            if left[:1] == ["off"]:
                left.pop(0)
                rule = {"kind": "disk_full", "bytes": None}
            else:
                rule = {"kind": "disk_full", "bytes": number("a number of bytes, or 'off'", 0)}
        elif kind in ("nat-port", "port-taken"):
            off = left[:1] == ["off"]
            rule = {"kind": kind.replace("-", "_"), "port": None if off else number("a TCP port, or 'off'")}
            del left[:off]
        elif kind == "ollama-pull":
            how = left.pop(0).replace("-", "_") if left else ""
            rule = {"kind": "ollama", "how": how}
            if how == "fail_at":
                rule["percent"] = number("a percentage", 0, whole=False)
            elif how not in ("stall", "cut", "offline", "corrupt"):
                raise ValueError(f"A pull goes wrong by fail-at PERCENT, stall, cut, offline or corrupt, not {how!r}.")
        elif kind in ("web-cut", "web-stall", "web-slow", "web-status"):
            what = "an HTTP status" if kind == "web-status" else "a number of bytes"
            rule = {"kind": "web", "how": kind.removeprefix("web-"), "value": number(what, 0)}
        elif kind == "installer":
            rule = {"kind": "installer", "code": number("an exit code")}
        elif kind in ("ollama-busy", "ollama-app"):
            rule = {"kind": "ollama", "how": "busy" if kind == "ollama-busy" else "no_server"}
        elif kind in ("clear", "add-type", "firewall-question"):
            rule = {"kind": kind.replace("-", "_")}
        else:
            raise ValueError(f"There is no fault {kind!r}.\n{_FAULTS}")
        if rule["kind"] in ("cut_before", "cut_after", "bad_request", "fault"):
            if action is not None:
                rule["action"] = action
            if times is not None:
                rule["times"] = times
        if rule["kind"] in ("ollama", "web", "installer") and times is not None:
            rule["times"] = times
        rules.append(rule)
    return rules


def parse_duration(text: str) -> float:
    """Seconds of a text such as ``72h``; argparse.ArgumentTypeError with a sentence."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 72h, 5m or 90s")
    return float(match[1]) * {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def parse_limits(words: Sequence[str]) -> dict[str, float]:
    """Values from words such as ``allow_basic=false``; ValueError with a sentence."""
    values: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is no limit: write NAME=VALUE, for example allow_basic=false.")
        if text.lower() in ("true", "false"):
            values[name] = text.lower() == "true"
            continue
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{name} needs a number, true or false, not {text!r}.") from None
        if not math.isfinite(number) or number <= 0:
            raise ValueError(f"{name} needs a number above 0, not {text}.")
        values[name] = int(number) if number.is_integer() else number
    return values


def parse_settings(words: Sequence[str]) -> dict[str, object]:
    """Columns of the tray app's settings from words such as ``expose=true``; ValueError with a sentence."""
    values: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is no setting: write SETTING=VALUE, for example expose=true.")
        number = {"true": 1, "false": 0}.get(text.lower())
        values[name] = number if number is not None else int(text) if text.isdecimal() else text
    return values


def _status_text(status: Mapping[str, Any]) -> str:
    if status["state"] != "running":
        return f"The twin {status['name']} is not running."
    winrm, distro = status["winrm"], status["distro"]
    lines = [
        f"The twin {status['name']} runs (process {status['pid']}).",
        f"  WinRM     {winrm['http']}",
        f"            {winrm['https']}",
        f"            certificate sha256 {winrm['certificate_sha256']}",
        f"  account   {winrm['user']}   password {winrm['password']}",
        f"  distro    {', '.join(distro['registered']) or 'none'} ({distro['rung']})",
        *(f"            {sentence}" for sentence in distro["missing"]),
        f"  booted    {status['boot_time']}",
        f"  C: drive  {status['folder']}/drive_c",
        f"  log       {status['log']}",
    ]
    for fault in status["faults"]:
        lines.append(f"  fault     {json.dumps(fault)}")
    if status["disk_free_bytes"] is not None:
        lines.append(f"  disk      {status['disk_free_bytes']:,} bytes may still be written")
    return "\n".join(lines)


def parse_card(deed: Sequence[str], image: str | None, mib: int | None, comfyui: bool) -> dict[str, Any]:
    """What the twin is asked for, from words such as ``dxg off``; ValueError with a sentence."""
    words = list(deed) or ["show"]
    if words[0] != "hold" and (image is not None or mib is not None or comfyui):
        raise ValueError("--image, --mib and --comfyui are for 'card hold' alone.")
    switch = {"off": False, "on": True}
    match words:
        case ["show"]:
            return {}
        case ["hold"]:
            if mib is None or (image is None and not comfyui):
                raise ValueError("hold needs --mib and --image, for example: card hold --image Game.exe --mib 12000.")
            return {"hold": {"image": image, "mib": mib, "comfyui": comfyui}}
        case ["free", name]:
            return {"end": name}
        case ["driver", version]:
            return {"driver": version}
        case [("off" | "on") as now]:
            return {"present": switch[now]}
        case ["dxg" | "counters" as what, ("off" | "on") as now]:
            return {what: switch[now]}
    raise ValueError(f"There is no deed {' '.join(words)!r}.\n{_CARD}")


def _card_text(card: Mapping[str, Any]) -> str:
    if not card["present"]:
        return "Windows has no card: 'card on' brings it back."
    lines = [
        f"{card['name']}, driver {card['driver']} (CUDA {card['cuda']}): {card['used_mib']:,} of "
        f"{card['total_mib']:,} MiB are taken, {card['free_mib']:,} are free",
        f"  {card['desktop_mib']:>7,} MiB  the desktop",
    ]
    for one in card["holders"]:
        where = f"({one['pid']})" if one["pid"] else "in a distro"
        what = f": {one['label']}" if one["label"] else ""
        lines.append(f"  {one['mib']:>7,} MiB  {one['image']} {where}{what}")
    if not card["dxg"]:
        lines.append("  /dev/dxg is missing in the distros: 'card dxg on' brings it back.")
    if not card["counters"]:
        lines.append("  Windows does not count who has it: 'card counters on' ends that.")
    return "\n".join(lines)


def _hub_text(hub: Mapping[str, Any]) -> str:
    lines = []
    for name, model in hub["models"].items():
        lines.append(f"{name}  {model['commits'][0]}" + (f"  (licence {model['licence']})" if model["licence"] else ""))
    for one in hub["requests"]:
        lines.append(f"  {one['status']} {one['method']} {one['url']}" + (f"  {one['range']}" if one["range"] else ""))
    return "\n".join(lines)


def _log_text(counters: Mapping[str, Any]) -> str:
    lines = [
        f"{counters['requests']} requests ({counters['messages']} messages) on {counters['connections']} connections, "
        f"{counters['bytes_in']:,} bytes in, {counters['bytes_out']:,} bytes out"
    ]
    for title, name in (("requests", "by_action"), ("programs", "process_starts"), ("refused", "failed_logons")):
        if counters[name]:
            lines.append(f"  {title}: " + ", ".join(f"{key} {count}" for key, count in sorted(counters[name].items())))
    return "\n".join(lines)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    try:
        return _run(arguments)
    except BrokenPipeError:
        raise
    except (TwinError, ValueError, OSError) as error:
        if arguments.json:
            print(json.dumps({"error": str(error)}))
        else:
            print(f"vengeance: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    def show(result: Mapping[str, Any], text: str) -> None:
        print(json.dumps(result, indent=1) if arguments.json else text)

    if arguments.command == "list":
        found = [twin.status() for twin in all_twins()]
        brief = [{"name": one["name"], "state": one["state"], "folder": one["folder"]} for one in found]
        text = "\n".join(f"{one['name']:<20} {one['state']:<8} {one['folder']}" for one in brief)
        show({"twins": brief}, text or "There is no twin.")
        return 0
    twin = Twin(arguments.name)
    if arguments.command == "up":
        status = twin.up(distro=not arguments.no_distro, bare=arguments.bare, on_progress=_progress)
        show(status, _status_text(status))
    elif arguments.command == "down":
        was = twin.down()
        text = f"The twin {twin.name} is stopped." if was else f"The twin {twin.name} was not running."
        show({"name": twin.name, "stopped": was}, text)
    elif arguments.command == "status":
        status = twin.status()
        show(status, _status_text(status))
        return 0 if status["state"] == "running" else STOPPED
    elif arguments.command == "reset":
        if not twin.folder.is_dir():
            raise ValueError(f"There is no twin {twin.name}: 'python -m vengeance.twin list' names those there are.")
        status = twin.reset(arguments.bare)
        show(status, f"The twin {twin.name} is as new.\n{_status_text(status)}")
    elif arguments.command == "logon":
        session = twin.logon(arguments.user)
        show({"name": twin.name, "session": session}, f"Somebody is logged on, in session {session}.")
    elif arguments.command == "logoff":
        twin.logoff(arguments.user)
        show({"name": twin.name}, "Nobody sits at the screen any more.")
    elif arguments.command == "tailscale":
        owner = twin.tailscale(arguments.user, signed_in=not arguments.out)
        text = f"Tailscale is {owner}'s." if not arguments.out else f"{owner} is signed out of Tailscale."
        show({"name": twin.name, "owner": owner, "signed_in": not arguments.out}, text)
    elif arguments.command == "password":
        changed = twin.change_password(arguments.user)
        show({"name": twin.name, "password": changed}, changed)
    elif arguments.command == "ollama":
        if arguments.update:
            twin.ollama_update(arguments.update)
        if arguments.move_tag:
            twin.ollama_move_tag(arguments.move_tag)
        if arguments.set:
            twin.ollama_settings(None, **parse_settings(arguments.set))
        has = dict(twin.status().get("ollama") or {})
        show(has, json.dumps(has, indent=1))
    elif arguments.command == "hub":
        hub = twin.hub(arguments.reset)
        show(hub, _hub_text(hub))
    elif arguments.command == "card":
        asked = parse_card(arguments.deed, arguments.image, arguments.mib, arguments.comfyui)
        state_of_card = twin.ask_card(asked)
        show(state_of_card, _card_text(state_of_card))
    elif arguments.command == "clock":
        now = twin.advance(arguments.duration)
        show({"name": twin.name, "now": now}, f"It is {now} in the twin {twin.name}.")
    elif arguments.command == "reboot":
        if not (math.isfinite(arguments.seconds) and arguments.seconds >= 0):
            raise ValueError(f"A restart takes 0 seconds or more, not {arguments.seconds:g}.")
        boot_time = twin.reboot(arguments.seconds)
        show({"name": twin.name, "boot_time": boot_time}, f"The twin {twin.name} booted at {boot_time}.")
    elif arguments.command == "log":
        counters = twin.log_reset() if arguments.reset else twin.log_snapshot()
        show(counters, _log_text(counters))
    elif arguments.command == "fault":
        state: dict[str, Any] = {}
        for rule in parse_faults(arguments.fault, arguments.action, arguments.times):
            kind = rule.pop("kind")
            state = twin.fault(kind, **rule)
        lines = [json.dumps(rule) for rule in state["faults"]]
        if state["disk_free_bytes"] is not None:
            lines.append(f"{state['disk_free_bytes']:,} bytes may still be written to C:")
        show(state, "\n".join(lines) or "No fault is set.")
    elif arguments.command == "limits":
        limits = twin.limits(**parse_limits(arguments.values))
        show(limits, "\n".join(f"{name}={json.dumps(value)}" for name, value in limits.items()))
    elif arguments.command == "account":
        password = twin.add_account(arguments.user)
        show(
            {"user": arguments.user, "password": password},
            f"The account {arguments.user} has the password {password}",
        )
    else:
        inherited: dict[str, Any] = {"stdin": None, "stdout": None, "stderr": None}
        if arguments.command == "from":
            done = twin.run_elsewhere(arguments.place, arguments.argv, **inherited)
        else:
            done = twin.distro_exec(arguments.argv, arguments.user, **inherited)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        # The reader ("| head") has seen enough.
        os._exit(0)
