"""A vLLM server that runs: its start, and whether it answers."""

from __future__ import annotations

import time
from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, state

from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm import Health, Server
from vengeance.operations.refusal import refuse

_POLL_SECONDS = 2.0

# A start counts against StartLimitBurst whoever asked for it, so the sixth change within an hour would not start.
# "activating" is what systemd says of a server that died and waits for its restart: that is no start either.
_RESTART = """\
systemctl reset-failed -- "$1" 2>/dev/null
if systemctl restart -- "$1"; then
  left=$3
  while systemctl is-active --quiet -- "$1"; do
    if curl -fs --noproxy '*' --max-time 10 -o /dev/null "http://127.0.0.1:$2/health"; then exit 0; fi
    if [ "$left" -le 0 ]; then echo "$1 runs and does not answer on port $2 after $3 s" >&2; break; fi
    left=$((left - 1))
    if [ $((left % 5)) = 0 ]; then journalctl --no-pager --quiet --lines 1 --output cat --unit "$1"; fi
    sleep 1
  done
fi
journalctl --no-pager --lines 40 --unit "$1" >&2
exit 1
"""


def restart(unit: str, port: int, timeout: int, file: str, fingerprint: str) -> Generator[StringCommand, None, None]:
    """Give the commands that start a server anew, wait until it answers, and note what it was started with.

    + unit: name of its unit
    + port: TCP port of the server in the distro
    + timeout: seconds until it must answer /health
    + file: where the note is kept
    + fingerprint: hash of what it is started with
    """
    yield LongCommand("sh -c", QuoteString(_RESTART), "sh", QuoteString(unit), str(port), str(timeout))
    yield StringCommand("install -m 600 /dev/null", QuoteString(file), "&& echo", fingerprint, ">", QuoteString(file))


@operation()
def healthy(port: int, profile: str, running: bool = True, timeout: int = 0) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the server on a port does not answer ``/health``; nothing is changed.

    + port: TCP port of the server in the distro
    + profile: name of its profile
    + running: whether it has to run; False passes over one that does not
    + timeout: seconds to wait for an answer as long as the unit is active, for a server that still loads its model

    Asked only when the deploy runs: in a plan the server may not be there yet.

    **Example:**

    .. code:: python

        vllm.healthy(name="The server answers", port=8080, profile="qwen2.5-coder-32b", timeout=900)
    """
    unit = f"vllm-{profile}.service"
    if state.current_stage != StateStage.Execute:
        host.noop(f"port {port} is asked when the deploy runs")
        return
    if not running and not host.get_fact(Server, profile=profile)["active"]:
        host.noop(f"{unit} does not run, and need not")
        return
    deadline = time.monotonic() + timeout
    told = False
    while not host.get_fact(Health, port=port):
        if time.monotonic() >= deadline or not host.get_fact(Server, profile=profile)["active"]:
            yield refuse(
                f"The server on port {port} of {host.name} does not answer /health. See why in the distro: "
                f"journalctl -u {unit} -n 100"
            )
            return
        if not told:
            host.log(f"{unit} runs and does not answer on port {port} yet; waiting for it, {timeout} s at most")
            told = True
        time.sleep(_POLL_SECONDS)
    host.noop(f"the server on port {port} is healthy")
