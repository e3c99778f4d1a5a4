"""A vLLM server that runs: its start, its end, and whether it answers."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyinfra.api.command import FunctionCommand, PyinfraCommand, QuoteString
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

from vengeance.box import gpu_tenants, vllm_faults, vllm_profiles
from vengeance.box.vllm_profiles import Profile
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm import Alive, Environment, Health, Journal, Server, States, Units, started_with_file
from vengeance.facts.vllm.journal import MASKING
from vengeance.facts.windows import Gpu, GpuProcesses
from vengeance.operations import stage
from vengeance.operations.refusal import checked, failed, in_a_sentence, refuse
from vengeance.operations.vllm.environment import check_place
from vengeance.operations.vllm.unit import fingerprint

_POLL_SECONDS = 2.0
# A server that died and waits for its next start is "activating".
_UNDER_WAY = ("active", "activating", "reloading")
_SHOWN_LINES = 20
_SHOWN_LINES_BESIDE_A_FAULT = 5

# The note is written between the end of the old server and the start of the new one: whenever this is cut off, it says
# of a server that runs what that one was started with, and one that loads its model is not started again.
# A start counts against StartLimitBurst whoever asked for it, so the sixth change within an hour would not start.
# "activating" is what systemd says of a server that died and waits for its restart: that is no start either, and
# nobody would notice what comes of it; so a server that does not come to answer is stopped.
# Whoever else has the port might answer /health too, so it must be free before the start: curl ends with 7 then. The
# other servers of ours are stopped before that, as the start would do.
# A run that was cut off leaves this waiting in the distro. The next run says that it has taken over, so that the server
# is not stopped under it.
_START = """\
unit=$1 port=$2 left=$3 note=$4 fingerprint=$5 mask=$6; shift 6
tell() { journalctl --no-pager --quiet --lines 1 --output cat --unit "$unit" | sed -E "$mask"; }
mine=/run/vengeance-starts-vllm
token=$$-$(cat /proc/sys/kernel/random/uuid)
echo "$token" > "$mine"
give_up() {
  if [ "$(cat "$mine")" != "$token" ]; then echo "taken over"; exit 6; fi
  systemctl stop -- "$unit"
  exit "$1"
}
if [ "$(cat -- "$note" 2>/dev/null)" != "$fingerprint" ] || ! systemctl is-active --quiet -- "$unit"; then
  systemctl stop -- "$unit" "$@" || { echo "not started"; exit 1; }
  systemctl reset-failed -- "$unit" 2>/dev/null
  install -m 600 /dev/null "$note.new" && echo "$fingerprint" > "$note.new" && mv -- "$note.new" "$note" ||
    { echo "not started"; exit 1; }
  curl -s --noproxy '*' --max-time 5 -o /dev/null "http://127.0.0.1:$port/"
  if [ "$?" != 7 ]; then
    echo "OSError: [Errno 98] Address already in use: port $port, by another program than a server of ours" >&2
    if command -v ss >/dev/null; then ss -Hltnp "sport = :$port" >&2; fi
    echo "not started"
    exit 2
  fi
  journalctl --quiet --no-pager --lines 0 --show-cursor
  systemctl start -- "$unit" || give_up 3
fi
said=0
while systemctl is-active --quiet -- "$unit"; do
  if curl -fs --noproxy '*' --max-time 10 -o /dev/null "http://127.0.0.1:$port/health"; then exit 0; fi
  if [ "$left" -le 0 ]; then give_up 5; fi
  left=$((left - 1)) said=$((said + 1))
  if [ $((said % 5)) = 0 ]; then tell; fi
  sleep 1
done
give_up 4
"""

# systemd takes a unit for stopped although something of it that does not end is left, and says so in the journal only.
_STOP = """\
left=$1; shift
systemctl stop -- "$@"
for unit; do
  procs=/sys/fs/cgroup/system.slice/$unit/cgroup.procs
  while grep -q . "$procs" 2>/dev/null; do
    while read -r pid; do kill -KILL "$pid" 2>/dev/null; done < "$procs"
    if [ "$left" -le 0 ]; then
      echo "$unit is stopped, and processes of it are left:" $(cat "$procs") >&2
      exit 1
    fi
    left=$((left - 1))
    sleep 1
  done
done
systemctl is-active -- "$@" | grep -qx active && exit 1
systemctl reset-failed -- "$@" 2>/dev/null
exit 0
"""


def start(profile: Profile, fingerprint: str, timeout: int, known: vllm_faults.Settings) -> FunctionCommand:
    """Return a command that starts a server anew, or waits for one that was started so, and says why it does not run.

    + fingerprint: hash of what it is started with, kept beside its variables
    + timeout: seconds until it must answer /health
    + known: what the mends of a fault depend on
    """
    return FunctionCommand(start_server, [profile, fingerprint, timeout, known], {})


@in_a_sentence
def start_server(
    state: State, host: Host, profile: Profile, fingerprint: str, timeout: int, known: vllm_faults.Settings
) -> bool:
    """Start a server and wait until it answers; one that does not is stopped, and its log is explained."""
    others = [unit for unit in host.get_fact(Units) if unit != profile.unit]
    note = started_with_file(profile.name)
    words = [profile.unit, str(profile.port), str(timeout), note, fingerprint, MASKING, *others]
    succeeded, output = host.run_shell_command(
        LongCommand("sh -c", QuoteString(_START), "sh", *(QuoteString(word) for word in words))
    )
    if succeeded:
        return True
    if "taken over" in output.stdout_lines:
        return failed(host, f"{profile.unit} on {host.name}: another run starts a server there meanwhile. Wait for it.")
    log = _log(host, profile.unit, output.stdout_lines)
    faults = vllm_faults.explain("\n".join([*log, *output.stderr_lines]), known)
    busy = any(fault.name == vllm_faults.BUSY for fault in faults)
    return failed(host, *not_running(host.name, profile, log, faults, timeout, _holders(host) if busy else None))


def _holders(host: Host) -> str | None:
    """Who has the card, by name: Windows alone knows, where that side of the box takes part in the run."""
    windows = stage.windows_side(host)
    if windows is None:
        return None
    card, counters = windows.get_fact(Gpu), windows.get_fact(GpuProcesses)
    return None if card is None or counters is None else _who(gpu_tenants.held(card, counters))


def _log(host: Host, unit: str, said: Sequence[str]) -> list[str]:
    """What was written since the start that failed; nothing where it did not come to a start."""
    if "not started" in said:
        return []
    cursor = next((line for line in said if line.startswith("-- cursor: ")), None)
    after = None if cursor is None else cursor.removeprefix("-- cursor: ").strip()
    log: list[str] = host.get_fact(Journal, unit=unit, after=after)
    return log


def _who(held: gpu_tenants.Held) -> str | None:
    whose = {"ollama": "Ollama's ", "comfyui": "ComfyUI's "}
    large = [each for each in held.holders if each.mib >= gpu_tenants.SMALL_MIB]
    named = [f"{whose.get(each.tenant, '')}{each.image} (process {each.pid}, {each.mib} MiB)" for each in large]
    return f"Windows counts {', '.join(named)}." if named else " ".join(held.complaints) or None


def not_running(
    name: str,
    profile: Profile,
    log: Sequence[str],
    faults: Sequence[vllm_faults.Fault],
    timeout: int,
    holders: str | None = None,
) -> list[str]:
    """Return what a person is told of a server that does not run, a line each.

    + name: of the host
    + log: what it wrote
    + faults: what ``vllm_faults`` makes of that
    + timeout: seconds that it had
    + holders: who has the card, as a sentence
    """
    shown = _SHOWN_LINES_BESIDE_A_FAULT if faults else _SHOWN_LINES
    told = [f"{profile.unit} on {name} did not answer on port {profile.port} (at most {timeout} s), and is stopped."]
    for fault in faults:
        told += [f"{fault.name}: {fault.evidence}", f"  -> {fault.mend}"]
        if holders is not None and fault.name == vllm_faults.BUSY:
            told.insert(-1, f"  {holders}")
    if not faults:
        told.append("Its log names no fault that is known here.")
    if not log:
        return told
    told += [f"The end of its log (all of it, in the distro: journalctl -u {profile.unit}):"]
    return [*told, *(f"  {line}" for line in log[-shown:])]


@operation()
def running(
    profile: str,
    settings: Mapping[str, Any],
    path: str,
    user: str,
    version: str | None = None,
    start_timeout: int = 900,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have the server of a profile run, with what stands there now, and answer ``/health``.

    + profile: name of the profile
    + settings: its fields, those of ``vengeance.box.vllm_profiles.Profile``
    + path: folder of the Python environment that has vLLM
    + user: who runs it
    + version: vLLM's version
    + start_timeout: seconds until a started server must answer, loading the model included

    ``vllm.server`` has put the unit there before; its start stops the servers of other profiles. One that does not
    come to answer is stopped, the end of its log is shown, and what it says is translated into what mends it.

    **Example:**

    .. code:: python

        vllm.running(
            name="The server runs",
            profile="qwen2.5-coder-32b",
            settings=host.data.vllm_profiles["qwen2.5-coder-32b"],
            path="/home/steam/vllm-env",
            user="steam",
        )
    """
    check_place(path, user)
    declared = checked(lambda: vllm_profiles.parse(profile, settings, version))
    found = host.get_fact(Server, profile=profile)
    if found["unit"] is None and state.current_stage == StateStage.Execute:
        yield refuse(
            f"{host.name} has no unit {declared.unit}: deploys/vllm.py puts it there, for the profiles that "
            "vllm_profiles names."
        )
        return
    installed = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    now = fingerprint(found, installed["packages"] if installed else {})
    right = found["active"] and found["started_with"] == now
    if right and host.get_fact(Health, port=declared.port):
        host.noop(f"{declared.unit} runs and answers on port {declared.port}")
        return
    was = "runs and does not answer yet" if right else "runs with what stood there before"
    host.log(
        f"unit {declared.unit}: {was if found['active'] else 'does not run'} -> answers on port {declared.port} within "
        f"{start_timeout} s"
    )
    yield start(declared, now, start_timeout, vllm_faults.Settings.of(declared, version, path, user))


@operation()
def stopped(profiles: Sequence[str] = (), timeout: int = 30) -> Generator[PyinfraCommand, None, None]:
    """
    Have no server of ours run, and nothing of one be left that could hold memory of the card.

    + profiles: names of profiles whose servers are stopped, beside those of every unit that a deploy has written
    + timeout: seconds for what is left after a unit is stopped

    A killed server leaves its EngineCore behind, which keeps the memory; whatever is still in the unit's cgroup is
    ended too, and waited for.

    **Example:**

    .. code:: python

        vllm.stopped(name="No vLLM server runs", profiles=list(host.data.vllm_profiles))
    """
    units = list(dict.fromkeys([*vllm_profiles.units(profiles), *host.get_fact(Units)]))
    alive = host.get_fact(Alive, units=units) if units else []
    if not alive:
        host.noop("no vLLM server of ours runs")
        return
    for unit in alive:
        host.log(f"unit {unit}: runs -> stopped")
    words = (QuoteString(word) for word in (_STOP, "sh", str(int(timeout)), *alive))
    yield LongCommand("sh -c", *words)


@operation()
def healthy(port: int, profile: str, running: bool = True, timeout: int = 0) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the server on a port does not answer ``/health``; nothing is changed.

    + port: TCP port of the server in the distro
    + profile: name of its profile
    + running: whether it has to run; False passes over one that does not
    + timeout: seconds to wait for an answer as long as the unit runs or waits for its next start, for a server that
      still loads its model

    Asked only when the deploy runs: in a plan the server may not be there yet.

    **Example:**

    .. code:: python

        vllm.healthy(name="The server answers", port=8080, profile="qwen2.5-coder-32b", timeout=900)
    """
    unit = vllm_profiles.unit_of(profile)
    if state.current_stage != StateStage.Execute:
        host.noop(f"port {port} is asked when the deploy runs")
        return
    if not running and host.get_fact(States).get(profile) not in _UNDER_WAY:
        host.noop(f"{unit} does not run, and need not")
        return
    deadline = time.monotonic() + timeout
    told = False
    while not host.get_fact(Health, port=port):
        if time.monotonic() >= deadline or host.get_fact(States).get(profile) not in _UNDER_WAY:
            log: list[str] = host.get_fact(Journal, unit=unit)
            faults = vllm_faults.explain("\n".join(log), vllm_faults.Settings(profile=profile, port=port))
            said = "".join(f" {fault.name}: {fault.evidence} -> {fault.mend}" for fault in faults)
            yield refuse(
                f"The server on port {port} of {host.name} does not answer /health. See why in the distro: "
                f"journalctl -u {unit} -n 100{said and '.'}{said}"
            )
            return
        if not told:
            host.log(f"{unit} runs and does not answer on port {port} yet; waiting for it, {timeout} s at most")
            told = True
        time.sleep(_POLL_SECONDS)
    host.noop(f"the server on port {port} is healthy")
