"""The files of a server's unit: written, verified, and enabled."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from io import StringIO
from pathlib import Path

from pyinfra.api.command import FileUploadCommand, PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host, state

from vengeance.box import vllm_profiles
from vengeance.facts.vllm import CARD_CHECK, FOLDER, ServerState

CHECKED_FOLDER = f"{FOLDER}/to-check"
"""Where a new unit lies until systemd has found no fault in it; it must have its own name there."""


# A value that systemd does not understand is a warning to it, and the line is passed over; here it is an error. What it
# says about other units is not ours. (--recursive-errors would do that from systemd 250 on; Ubuntu 22.04 has 249.)
_VERIFY = """\
said=$(systemd-analyze verify "$1" 2>&1) && case $said in *"${1##*/}"*) false ;; esac && exit 0
printf '%s\\n' "$said" >&2
exit 1
"""


def sha256(text: str) -> str:
    """Return the hash of a text, as hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(found: ServerState, packages: Mapping[str, str]) -> str:
    """Return one hash of all that a server is started with: unit, environment file, generated key, Python packages.

    + found: what is installed of it, or will be
    + packages: name -> version
    """
    versions = "\n".join(f"{name} {version}" for name, version in sorted(packages.items()))
    key = found["api_key"] if found["keyed"] else None
    return sha256("\0".join((found["unit"] or "", found["environment"] or "", key or "", versions)))


def _place_of(sha256: str | None) -> str:
    return "(not there)" if sha256 is None else "as it was"


def put_variables(text: str, file: str, found: ServerState) -> Generator[PyinfraCommand, None, None]:
    """Give the commands that write the variables of a server to a file that only root can read, if they differ."""
    right = found["environment"] == sha256(text)
    if right and found["environment_mode"] == "600" and found["environment_owner"] == "root:root":
        return
    host.log(f"{file}: {_place_of(found['environment'])} -> as declared, its secrets not shown")
    # The folder comes first and is closed, so that the file is never open to others, whatever it is made with.
    yield StringCommand("install -d -o root -g root -m 700", FOLDER)
    if not right:
        yield FileUploadCommand(StringIO(text), file)
    yield StringCommand("chown root:root", QuoteString(file))
    yield StringCommand("chmod 600", QuoteString(file))


def put_unit(text: str, unit: str, found: ServerState, reload: bool) -> Generator[PyinfraCommand, None, None]:
    """Give the commands that verify a unit and then put it into its place, if it differs."""
    if found["unit"] == sha256(text):
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


def put_card_check(src: str, found: ServerState) -> Generator[PyinfraCommand, None, None]:
    """Give the commands that put the program there which looks at the card before a start, if it differs.

    + src: relative to the folder that pyinfra runs in

    Raises OperationValueError when it is not there.
    """
    source = Path(state.cwd or "") / src
    if not source.is_file():
        raise OperationValueError(f"The program {src} is not there: {source} does not exist.")
    text = source.read_text(encoding="utf-8")
    if found["card_check"] == sha256(text):
        return
    host.log(f"{CARD_CHECK}: {_place_of(found['card_check'])} -> as declared")
    new = f"{CARD_CHECK}.new"
    yield StringCommand("install -d -o root -g root -m 755", CARD_CHECK.rsplit("/", 1)[0])
    yield FileUploadCommand(StringIO(text), new)
    # Everybody may run it, and it is never there half: a start may come at any time.
    yield StringCommand("chown root:root", new, "&& chmod 755", new, "&& mv --", new, CARD_CHECK)


def enable(profile: vllm_profiles.Profile, found: ServerState) -> Generator[PyinfraCommand, None, None]:
    """Give the command that lets a unit start with the distro, or no longer."""
    if profile.enabled == found["enabled"]:
        return
    words = {True: "starts with the distro", False: "does not start with the distro"}
    host.log(f"unit {profile.unit}: {words[found['enabled']]} -> {words[profile.enabled]}")
    yield StringCommand("systemctl", "enable" if profile.enabled else "disable", QuoteString(profile.unit))
