"""The distro as it was: vLLM's servers and environment, packages, /etc/wsl.conf. The user and his home stay."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages
from pyinfra.facts.files import Directory, File, FileContents
from pyinfra.operations import apt, files

from vengeance.box import before, model_store, undo
from vengeance.connectors.long_command import long_commands
from vengeance.connectors.wsl import why_missing
from vengeance.facts.before import InDistro
from vengeance.facts.vllm import CARD_CHECK, FOLDER
from vengeance.operations import debian, vllm
from vengeance.operations.before import forgotten_inside
from vengeance.operations.refusal import checked
from vengeance.operations.vllm.environment import check_place
from vengeance.operations.wsl.inside import FILE

# What a unit of ours makes, and what lies beside it; all of it is the servers' own.
_FOLDERS = (FOLDER, "/var/lib/vllm", "/var/cache/vllm", CARD_CHECK.rsplit("/", 1)[0])
_WITHOUT_OURS = """\
cd -- "$1" || exit 1
ours=$(cat vengeance/token.sha256 2> /dev/null)
[ -f token ] && [ "$(printf %s "$(cat token)" | sha256sum | cut -d ' ' -f 1)" = "$ours" ] && rm -f -- token
rm -f -- vengeance/token.sha256 vengeance/token.new
"""
# An empty file has no lines, and a heredoc would add one.
_WRITE = 'umask 022; printf %s "$2" > "$1.new" && chown root:root "$1.new" && mv -- "$1.new" "$1"'


def is_there(distro: Host) -> bool:
    """Tell whether a distro can be looked into: one that is deleted, or does not start, cannot.

    + distro: a host in the group ``wsl``
    """
    complaint = getattr(distro.connector, "missing", None)
    if complaint is not None:
        distro.log(f"{distro.name} {why_missing(complaint)}, so nothing is taken back inside", logger.warning)
    return complaint is None


@operation()
def servers(systemd: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Have no unit of a vLLM server, none of its files, and no API key that the box has made.

    + systemd: whether units can be stopped

    **Example:**

    .. code:: python

        undo.servers(name="No vLLM server")
    """
    commands = list(vllm.no_other_servers._inner(profiles=[], systemd=systemd))
    for folder in _FOLDERS:
        if host.get_fact(Directory, path=folder):
            host.log(f"{folder}: (there) -> (removed, with all in it)")
            commands += files.directory._inner(path=folder, present=False)
    if not commands:
        host.noop("there is no vLLM server")
    yield from commands


@operation()
def environment(path: str, user: str) -> Generator[PyinfraCommand, None, None]:
    """
    Remove a Python environment that a deploy has made, with what was downloaded for it.

    + path: folder of the environment; one that was there before the first deploy stays
    + user: who owns it

    **Example:**

    .. code:: python

        undo.environment(name="vLLM is gone", path="/home/steam/vllm-env", user="steam")
    """
    check_place(path, user)
    entries = host.get_fact(InDistro)
    name = before.environment(path)
    if entries.get(name, True):
        host.noop(f"no deploy has made {path}")
    else:
        there = [folder for folder in (path, f"{path}.cache") if host.get_fact(Directory, path=folder)]
        for folder in there:
            host.log(f"{folder}: (there) -> (removed)")
        for folder in there:
            yield from files.directory._inner(path=folder, present=False)
    yield from forgotten_inside([name] if name in entries else [])


@operation()
def token(hf_home: str) -> Generator[PyinfraCommand, None, None]:
    """
    Remove the token of Hugging Face that a deploy has put there; another one stays.

    + hf_home: folder that models are kept in (HF_HOME)

    **Example:**

    .. code:: python

        undo.token(name="No token", hf_home="/home/steam/.cache/huggingface")
    """
    noted = host.get_fact(FileContents, path=f"{hf_home}/vengeance/token.sha256")
    # One that a cut left on its way; it is not read, as facts are printed.
    if noted is None and not host.get_fact(File, path=f"{hf_home}/vengeance/token.new"):
        host.noop("no deploy has put a token there")
        return
    host.log(f"{hf_home}/token: the declared one -> (removed)")
    yield StringCommand("sh -c", QuoteString(_WITHOUT_OURS), "sh", QuoteString(hf_home))


@operation()
def vllm_models(
    asked: undo.Undo, profiles: Mapping[str, Mapping[str, Any]], hf_home: str
) -> Generator[PyinfraCommand, None, None]:
    """
    Delete the models of the declared profiles; only when they are named in what is asked for.

    + asked: what is to be taken back
    + profiles: name -> fields, as in ``vllm_profiles``
    + hf_home: folder that models are kept in (HF_HOME)

    **Example:**

    .. code:: python

        undo.vllm_models(name="vLLM's models", asked=asked, profiles={}, hf_home="/home/steam/.cache/huggingface")
    """
    named = sorted({str(fields["model"]) for fields in profiles.values()})
    for model in named:
        checked(lambda model=model: model_store.check(model, None, hf_home))  # type: ignore[misc]
    folders = [f"models--{model.replace('/', '--')}" for model in named if not model_store.is_local(model)]
    places = [f"{hf_home}/{above}/{each}" for each in folders for above in ("hub", "hub/.locks", "vengeance")]
    there = [place for place in places if host.get_fact(Directory, path=place)]
    if not there:
        host.noop(f"there is no model in {hf_home}")
    elif not asked.deletes("models", "vllm"):
        host.log(f'the models in {hf_home} stay; --data "delete=models" deletes them')
        host.noop("vLLM's models stay")
    else:
        for place in there:
            host.log(f"{place}: (there) -> (deleted)")
        locks = [f"{hf_home}/vengeance/{each}.lock" for each in folders]
        yield StringCommand("rm -rf --", *(QuoteString(place) for place in (*there, *locks)))


@operation()
def packages(cuda: bool) -> Generator[PyinfraCommand, None, None]:
    """
    Purge the packages that a deploy has installed, with those that came for their sake alone.

    + cuda: whether those of NVIDIA are meant, or all the others

    **Example:**

    .. code:: python

        undo.packages(name="The CUDA toolkit is gone", cuda=True)
    """
    kept = host.get_fact(InDistro)
    entries = before.of_kind(kept, "package")
    ours = [package for package in entries if package.startswith("cuda-") == cuda]
    # The toolkit before the keyring, which is what it is known by.
    ours.sort(key=lambda package: (package == "cuda-keyring", package))
    present = host.get_fact(DebPackages)
    installed = [package for package in ours if package in present]
    if not ours:
        host.noop("no deploy has installed a package of these")
        return
    if installed:
        for package in installed:
            host.log(f"package {package}: {', '.join(sorted(present[package]))} -> (not installed)")
        yield debian.finish_interrupted()
        yield from long_commands(
            apt.packages._inner(packages=installed, present=False, purge=True, extra_uninstall_args="--auto-remove")
        )
    yield from forgotten_inside(before.package(each) for each in ours)


@operation()
def wsl_conf(users: Iterable[str] = ()) -> Generator[PyinfraCommand, None, None]:
    """
    Have the /etc/wsl.conf that was there before the first deploy, or none; it counts at the distro's next start.

    + users: Linux users that a deploy has made; they stay, and that is said

    **Example:**

    .. code:: python

        undo.wsl_conf(name="Settings of the distro are as they were", users=["steam"])
    """
    entries = host.get_fact(InDistro)
    made = [user for user in users if before.user(user) in entries]
    for user in made:
        host.log(
            f"the user {user} stays, with his home: userdel -r {user}, in the distro, deletes both", logger.warning
        )
    if before.WSL_CONF not in entries:
        host.noop(f"{FILE} has not been written by a deploy")
    else:
        was: Sequence[str] | None = entries[before.WSL_CONF]
        if host.get_fact(FileContents, path=FILE) != was:
            host.log(f"{FILE}: as deployed -> {'(not there)' if was is None else 'as it was'}")
            if was is None:
                yield StringCommand("rm -f --", FILE)
            else:
                text = "".join(f"{line}\n" for line in was)
                yield StringCommand("sh -c", QuoteString(_WRITE), "sh", FILE, QuoteString(text))
        yield from forgotten_inside([before.WSL_CONF])
