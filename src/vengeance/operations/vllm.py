"""Operations for the vLLM server in a distro: its Python environment, and its systemd unit."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Generator, Mapping
from io import StringIO

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, state

from vengeance.box import python_packages, systemd_unit, vllm_flags
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm import ENVIRONMENT_FILE, FOLDER, STARTED_WITH_FILE, Environment, Health, Server, ServerState
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.templates import rendered
from vengeance.secret import Secret

_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
USER = re.compile(r"[a-z_][a-z0-9_-]*")
_POLL_SECONDS = 2.0
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*\.service")
CHECKED_FOLDER = f"{FOLDER}/to-check"
"""Where a new unit lies until systemd has found no fault in it; it must have its own name there."""


# A value that systemd does not understand is a warning to it, and the line is passed over; here it is an error. What it
# says about other units is not ours. (--recursive-errors would do that from systemd 250 on; Ubuntu 22.04 has 249.)
_VERIFY = """\
said=$(systemd-analyze verify "$1" 2>&1) && case $said in *"${1##*/}"*) false ;; esac && exit 0
printf '%s\\n' "$said" >&2
exit 1
"""


def _check(pattern: re.Pattern[str], what: str, value: str) -> None:
    if not pattern.fullmatch(value):
        raise OperationValueError(f"{value!r} is no {what}.")


@operation()
def environment(
    path: str, user: str, package: str, python: str = "python3", pip_arguments: list[str] | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Make a Python environment (venv) and install a package into it.

    + path: folder of the environment
    + user: who owns it; everything is done as this user
    + package: what to install, with its version: ``vllm==0.15.1``
    + python: the Python it is made from, such as ``python3`` or ``python3.12``
    + pip_arguments: further arguments of ``pip install``, such as an index; they must hold no secret

    A package that is there in another version is replaced. An environment without pip is made anew.

    **Example:**

    .. code:: python

        vllm.environment(
            name="Install vLLM",
            path="/home/steam/vllm-env",
            user="steam",
            package="vllm==0.15.1",
        )
    """
    _check(_PATH, "absolute path of a Python environment, as in /home/steam/vllm-env", path)
    _check(USER, "name of a Linux user", user)
    requirement = checked(lambda: python_packages.parse_requirement(package))
    found = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    own_python = QuoteString(f"{path}/bin/python")
    foreign = found is not None and found["owner"] != user
    if foreign:
        yield StringCommand("chown -R -h", QuoteString(user), QuoteString(path))
    if found is not None and python_packages.is_met(requirement, found["packages"]):
        if not foreign:
            host.noop(f"{path} has {package}")
        return
    has = python_packages.version_of(requirement, found["packages"]) if found is not None else None
    host.log(f"{path}: {requirement.name} {has or '(not installed)'} -> {requirement.specifier or 'the newest'}")
    # Without pip it is one whose making was cut short.
    if found is None or "pip" not in found["packages"]:
        yield StringCommand(
            QuoteString(python), "-m venv --clear", QuoteString(path), _su_user=user, _su_shell="/bin/sh"
        )
    arguments = [QuoteString(text) for text in [*(pip_arguments or []), str(requirement)]]
    install = "-m pip install --no-input --disable-pip-version-check"
    yield LongCommand(own_python, install, *arguments, _su_user=user, _su_shell="/bin/sh")


def revealed(secrets: Mapping[str, Secret] | None) -> dict[str, str]:
    """Return the secrets themselves; ValueError with a sentence for one that is none, or cannot be read."""
    for name, value in (secrets or {}).items():
        if not isinstance(value, Secret):
            raise ValueError(f"{name} is a secret: give it as Secret.from_environment, from_file or from_keyring.")
    return {name: value.reveal() for name, value in (secrets or {}).items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(unit: str, variables: str, packages: Mapping[str, str]) -> str:
    """Return one hash of all that a server is started with: unit, environment file and Python packages."""
    versions = "\n".join(f"{name} {version}" for name, version in sorted(packages.items()))
    return _sha256("\0".join((unit, variables, versions)))


def _place_of(sha256: str | None) -> str:
    return "(not there)" if sha256 is None else "as it was"


def _put_variables(text: str, found: ServerState) -> Generator[PyinfraCommand, None, None]:
    right = found["environment"] == _sha256(text)
    if right and found["environment_mode"] == "600" and found["environment_owner"] == "root:root":
        return
    host.log(f"{ENVIRONMENT_FILE}: {_place_of(found['environment'])} -> as declared, its secrets not shown")
    # The folder comes first and is closed, so that the file is never open to others, whatever it is made with.
    yield StringCommand("install -d -o root -g root -m 700", FOLDER)
    if not right:
        yield FileUploadCommand(StringIO(text), ENVIRONMENT_FILE)
    yield StringCommand("chown root:root", ENVIRONMENT_FILE)
    yield StringCommand("chmod 600", ENVIRONMENT_FILE)


def _put_unit(text: str, unit: str, found: ServerState, reload: bool) -> Generator[PyinfraCommand, None, None]:
    if found["unit"] == _sha256(text):
        return
    host.log(f"unit {unit}: {_place_of(found['unit'])} -> as declared")
    unchecked, place = QuoteString(f"{CHECKED_FOLDER}/{unit}"), QuoteString(f"/etc/systemd/system/{unit}")
    yield StringCommand("install -d -o root -g root -m 700", FOLDER, CHECKED_FOLDER)
    yield FileUploadCommand(StringIO(text), f"{CHECKED_FOLDER}/{unit}")
    yield StringCommand("sh -c", QuoteString(_VERIFY), "sh", unchecked)
    yield StringCommand("install -o root -g root -m 644", unchecked, place)
    yield StringCommand("rm -r --", CHECKED_FOLDER)
    if reload:
        yield StringCommand("systemctl daemon-reload")


@operation()
def server(
    path: str,
    user: str,
    flags: dict[str, vllm_flags.Value | None],
    version: str | None = None,
    variables: dict[str, str] | None = None,
    secrets: dict[str, Secret] | None = None,
    unit: str = "vllm.service",
    running: bool = True,
    enabled: bool = True,
    start_timeout: int = 900,
    template: str = "templates/vllm.service.j2",
    variables_template: str = "templates/vllm.env.j2",
) -> Generator[PyinfraCommand, None, None]:
    """
    Keep a vLLM server as a systemd unit: installed, enabled, running, and started with what stands there now.

    + path: folder of the Python environment that has vLLM
    + user: who runs it
    + flags: vLLM's flags without dashes -> value; names, types and ranges are checked. ``port`` must be there
    + version: vLLM's version, for the check of the flags
    + variables: environment variables of the server
    + secrets: the same for secrets, such as ``HF_TOKEN`` and ``VLLM_API_KEY``
    + unit: name of the unit
    + running: whether it should run; False leaves a running one alone, for a distro without systemd
    + enabled: whether it should start with the distro
    + start_timeout: seconds until the server must answer /health, loading and downloading the model included
    + template, variables_template: Jinja templates, relative to the folder that pyinfra runs in

    Variables and secrets go to a file that only root can read. A new unit is verified on the box before it replaces
    the old one. The server is restarted when its unit, its variables or its packages differ from those that it was
    started with.

    **Example:**

    .. code:: python

        vllm.server(
            name="Serve the model",
            path="/home/steam/vllm-env",
            user="steam",
            flags={"model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "port": 8080},
        )
    """
    _check(_PATH, "absolute path of a Python environment, as in /home/steam/vllm-env", path)
    _check(USER, "name of a Linux user", user)
    _check(_UNIT, "name of a unit, as in vllm.service", unit)
    if flags.get("port") is None:
        raise OperationValueError("The flags of the server name no port, and its health is asked for there: add port.")
    words = checked(lambda: vllm_flags.arguments(flags, version))
    quoted = checked(lambda: systemd_unit.variables({**(variables or {}), **revealed(secrets)}))
    program = [f"{path}/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    command = checked(lambda: systemd_unit.lines([*program, *words]))
    environment_text = rendered(variables_template, {"variables": quoted})
    data = {"path": path, "user": user, "command": command, "port": flags["port"]}
    unit_text = rendered(template, {**data, "environment_file": ENVIRONMENT_FILE})

    found = host.get_fact(Server, unit=unit)
    pending = [
        *_put_variables(environment_text, found),
        *_put_unit(unit_text, unit, found, reload=running),
    ]
    yield from pending
    if enabled and not found["enabled"]:
        host.log(f"unit {unit}: does not start with the distro -> starts with it")
        pending.append(StringCommand("systemctl enable", QuoteString(unit)))
        yield pending[-1]
    installed = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    wanted = fingerprint(unit_text, environment_text, installed["packages"] if installed else {})
    if running and not (found["active"] and found["started_with"] == wanted):
        was = "runs with what stood there before" if found["active"] else "does not run"
        host.log(f"unit {unit}: {was} -> started, and answers on port {flags['port']} within {start_timeout} s")
        yield _restart(unit, int(str(flags["port"])), start_timeout)
        yield StringCommand("install -m 600 /dev/null", STARTED_WITH_FILE, "&& echo", wanted, ">", STARTED_WITH_FILE)
    elif not pending:
        host.noop(f"{unit} is as it should be")


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


def _restart(unit: str, port: int, timeout: int) -> StringCommand:
    return LongCommand("sh -c", QuoteString(_RESTART), "sh", QuoteString(unit), str(port), str(timeout))


@operation()
def healthy(port: int, unit: str = "vllm.service", timeout: int = 0) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the server on a port does not answer ``/health``; nothing is changed.

    + port: TCP port of the server in the distro
    + unit: name of its unit
    + timeout: seconds to wait for an answer as long as the unit is active, for a server that still loads its model

    Asked only when the deploy runs: in a plan the server may not be there yet.

    **Example:**

    .. code:: python

        vllm.healthy(name="The server answers", port=8080, timeout=900)
    """
    if state.current_stage != StateStage.Execute:
        host.noop(f"port {port} is asked when the deploy runs")
        return
    deadline = time.monotonic() + timeout
    told = False
    while not host.get_fact(Health, port=port):
        if time.monotonic() >= deadline or not host.get_fact(Server, unit=unit)["active"]:
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
