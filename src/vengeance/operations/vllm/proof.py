"""The proof that an installation came to its end: what was installed can be imported, and the environment says so."""

from __future__ import annotations

import json
import shlex

from packaging.requirements import Requirement
from pyinfra.api.command import QuoteString
from pyinfra.api.host import Host
from pyinfra.api.state import State

from vengeance.box import passthrough
from vengeance.box import vllm_environment as box
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm.environment import EnvironmentFaults
from vengeance.operations.refusal import failed, in_a_sentence

_MODULE = "vllm"
_PROOF = """\
import importlib.metadata, sys
import {module}
print("proved " + importlib.metadata.version(sys.argv[1]))
"""
# What an import says -> what mends it, where a deploy that is run again does not.
_IMPORT_FAILURES = (
    ("libcuda.so.1", "the driver of Windows is not to be seen in the distro: run deploys/cuda.py, which says why"),
    ("marshal data", "bytecode was damaged just now: run the deploy again, which removes it"),
    ("No space left on device", "the distro's disk is full: make room"),
)


@in_a_sentence
def prove(state: State, host: Host, path: str, user: str, requirement: str) -> bool:
    """Import the package in its environment, and compare the version that it says it has; say why not."""
    wanted = Requirement(requirement)
    # systemd starts the server with the driver's libraries named, too.
    words = [
        "env",
        f"LD_LIBRARY_PATH={passthrough.FOLDER}",
        f"{path}/bin/python",
        "-I",
        "-c",
        _PROOF.format(module=_MODULE),
    ]
    command = LongCommand(*(QuoteString(word) for word in (*words, wanted.name)))
    good, output = host.run_shell_command(command, _su_user=user, _su_shell="/bin/sh")
    said = next((line for line in reversed(output.stdout_lines) if line.startswith("proved ")), "")
    version = said.removeprefix("proved ")
    if good and version and wanted.specifier.contains(version, prereleases=True):
        return True
    if good and version:
        return failed(host, f"{path} of {host.name} says that it has {wanted.name} {version}, and not {wanted}.")
    last = " / ".join(output.stderr.strip().splitlines()[-2:]) or "it says nothing"
    mend = next((mend for text, mend in _IMPORT_FAILURES if text in output.stderr), "look at the lines above")
    return failed(host, f"import {_MODULE} fails in {path} of {host.name}: {last}. What mends it: {mend}.")


@in_a_sentence
def mark(state: State, host: Host, path: str, user: str, asked: str) -> bool:
    """Have everything on the disk, then write into the environment what it was asked to be."""
    host.run_shell_command(LongCommand("sync"))
    faults = host.get_fact(EnvironmentFaults, path=path, _su_user=user, _su_shell="/bin/sh")
    if faults is None:
        return failed(host, f"{path} of {host.name} has no Python any more.")
    text = json.dumps({"asked": asked, "accepted": sorted(faults["broken"])})
    place = f"{path}/{box.MARKER}"
    write = f"printf %s {shlex.quote(text)} > {place}.new && mv {place}.new {place} && sync {place}"
    good, output = host.run_shell_command(write, _su_user=user, _su_shell="/bin/sh")
    return good or failed(host, f"{place} of {host.name} cannot be written: {output.stderr}")
