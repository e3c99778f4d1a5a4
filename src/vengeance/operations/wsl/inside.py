"""What is inside a distro: its user, /etc/wsl.conf, and an instance that was started with that."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State
from pyinfra.context import host, state
from pyinfra.facts.files import FileContents
from pyinfra.facts.server import Users
from pyinfra.operations import files, server

from vengeance.box import before as names
from vengeance.box import wsl_conf, wslconfig
from vengeance.connectors import holding
from vengeance.facts.wsl import Instance, parse_program, wsl_exe
from vengeance.operations.before import kept_inside
from vengeance.operations.refusal import checked, failed, in_a_sentence
from vengeance.operations.wsl.checks import check_distro, check_user
from vengeance.operations.wsl.program import ended_badly

FILE = "/etc/wsl.conf"


@operation()
def user(user: str, shell: str = "/bin/bash", groups: list[str] | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Have a Linux user in a distro, with a home folder.

    + user: name
    + shell: full path of the login shell
    + groups: further groups; None leaves them alone

    No first-run questions and no cloud-init: those need a person, or programs of Windows from inside the distro. That
    programs run as this user when none is named is ``[user] default`` of ``wsl.conf``.

    **Example:**

    .. code:: python

        wsl.user(name="The user of the server", user="steam")
        wsl.conf(name="Settings of the distro", settings={"user": {"default": "steam"}})
    """
    check_user(user)
    commands = list(server.user._inner(user=user, shell=shell, groups=groups, ensure_home=True))
    if commands and host not in state.failed_hosts:
        before = "there, in another shape" if user in host.get_fact(Users) else "(not there)"
        host.log(f"Linux user {user}: {before} -> with a home and {shell}")
        if user not in host.get_fact(Users):
            yield from kept_inside({names.user(user): None})
    yield from commands


@operation()
def conf(
    settings: dict[str, dict[str, wsl_conf.Value]], template: str = "templates/wsl.conf.j2"
) -> Generator[PyinfraCommand, None, None]:
    """
    Write /etc/wsl.conf of a distro, whole.

    + settings: section -> key -> value; names and types are checked
    + template: Jinja template, relative to the folder that pyinfra runs in

    The file is the declared state: what others wrote there goes, so every setting stands in the group data. It takes
    effect when the distro starts the next time: see ``wsl.instance``.

    **Example:**

    .. code:: python

        wsl.conf(
            name="Run systemd in the distro",
            settings={"boot": {"systemd": True}, "user": {"default": "steam"}},
        )
    """
    checked(lambda: wsl_conf.check(settings))
    texts = {section: _texts(values) for section, values in settings.items()}
    commands = list(
        files.template._inner(
            src=template,
            dest=FILE,
            user="root",
            group="root",
            mode="644",
            jinja_env_kwargs={"trim_blocks": True, "lstrip_blocks": True},
            settings=texts,
        )
    )
    if commands and host not in state.failed_hosts:
        there = host.get_fact(FileContents, path=FILE)
        for line in wslconfig.differences(FILE, "\n".join(there) if there else None, texts):
            host.log(line)
        yield from kept_inside({names.WSL_CONF: there})
    yield from commands


def _texts(values: Mapping[str, wsl_conf.Value]) -> dict[str, str]:
    return {key: wsl_conf.text_of(value) for key, value in values.items()}


def changes(meta: OperationMeta | None) -> bool:
    """Tell whether an operation changed something, or would in a plan."""
    if meta is None:
        return False
    return meta.did_change() if meta.is_complete() else meta.will_change


@operation()
def instance(systemd: bool = True, conf: OperationMeta | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Make the running distro one that was started with the settings that /etc/wsl.conf has now.

    + systemd: whether systemd should be process 1
    + conf: what ``wsl.conf`` returned; if it changed the file, the distro is stopped and started again

    Everything that runs in the distro is stopped by this. The file is read when the instance starts:
    https://learn.microsoft.com/windows/wsl/wsl-config#the-8-second-rule-for-configuration-changes

    **Example:**

    .. code:: python

        written = wsl.conf(name="Run systemd in the distro", settings={"boot": {"systemd": True}})
        wsl.instance(name="Start the distro with these settings", systemd=True, conf=written)
    """
    found = host.get_fact(Instance)
    # A deploy that was cut after it wrote the file leaves an instance that does not have it yet.
    right = found is not None and found["systemd"] == systemd and not found["outdated"]
    if right and not changes(conf):
        host.noop("the distro runs with the settings of /etc/wsl.conf")
        return
    host.log(f"{host.name}: stopped and started again with {FILE}, with all that runs in it")
    yield FunctionCommand(terminate, [], {})
    yield FunctionCommand(check_systemd, [systemd], {})


@in_a_sentence
def terminate(state: State, host: Host) -> bool:
    """Stop the distro of a @wsl host with ``wsl.exe --terminate``, run on its Windows."""
    distro = str(host.data.wsl_distro)
    check_distro(distro)
    arguments = f"--terminate {distro}"
    # Over the distro's own connection: with --limit wsl the Windows host takes no part in the run.
    code, text = parse_program(holding.run(host.connector, wsl_exe(arguments)))
    if code != 0:
        return failed(host, ended_badly(host, arguments, code, text))
    # What carried our commands into the distro ended with it, which the connection learns from the next command.
    with suppress(OSError):
        host.run_shell_command("true")
    return True


def check_systemd(state: State, host: Host, systemd: bool) -> bool:
    """Start the distro by reading its process 1, and compare that with what it should be."""
    found = host.get_fact(Instance)
    if found is None:
        return False  # it could not be read: pyinfra has said so
    if found["systemd"] == systemd:
        return True
    return failed(
        host,
        f"{host.name} was started again and its process 1 is {found['init']}, not what "
        f"[boot] systemd={str(systemd).lower()} in /etc/wsl.conf asks for. "
        "Look at the start with: wsl.exe -d DISTRO --exec journalctl -b",
    )
