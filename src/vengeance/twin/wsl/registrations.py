"""Which distros are registered for which Windows user: ``HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Lxss``."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

# LXSS_DISTRO_FLAGS_ENABLE_INTEROP | APPEND_NT_PATH | ENABLE_DRIVE_MOUNTING | VM_MODE (wsl's lxsscommon headers).
DEFAULT_FLAGS = 15


@dataclass(frozen=True)
class Registration:
    """One distro in a user's registry.

    guid: with braces, the name of its key; name: DistributionName; default_uid: DefaultUid
    base_path: BasePath, the Windows folder of its disk; version: 2; flags: Flags; state: State (1 is installed)
    """

    guid: str
    name: str
    base_path: str
    default_uid: int = 0
    version: int = 2
    flags: int = DEFAULT_FLAGS
    state: int = 1


class Registrations(Protocol):
    """The registry as WSL's service uses it; every method may be called from any thread."""

    def registered(self, sid: str) -> list[Registration]:
        """The distros of the user with this SID, in the order of their registration."""

    def add(self, sid: str, registration: Registration) -> None:
        """Register one; the first of a user becomes the default."""

    def update(self, sid: str, registration: Registration) -> None:
        """Replace the values of the one with the same guid."""

    def remove(self, sid: str, guid: str) -> None:
        """Take one out; if it was the default, the first of the others becomes it."""

    def default(self, sid: str) -> str | None:
        """The guid of the user's default distro."""

    def set_default(self, sid: str, guid: str) -> None:
        """Make this one the default."""


def new_guid() -> str:
    """A new key name, as WSL makes them: a random GUID in braces."""
    return "{" + str(uuid.uuid4()) + "}"


class FileRegistrations:
    """Registrations kept in one JSON file: ``{sid: {"default": guid, "distributions": [...]}}``."""

    def __init__(self, file: Path) -> None:
        """``file`` need not exist; its folder must."""
        self._file = file
        self._lock = threading.Lock()

    def _read(self) -> dict[str, _User]:
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {
            sid: _User(user["default"], [Registration(**values) for values in user["distributions"]])
            for sid, user in data.items()
        }

    def _write(self, users: dict[str, _User]) -> None:
        data = {
            sid: {"default": user.default, "distributions": [asdict(one) for one in user.distributions]}
            for sid, user in users.items()
        }
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.write_text(json.dumps(data, indent=2), encoding="utf-8")
        fresh.replace(self._file)

    def registered(self, sid: str) -> list[Registration]:
        """The distros of this user."""
        with self._lock:
            return list(self._read().get(sid, _User(None, [])).distributions)

    def add(self, sid: str, registration: Registration) -> None:
        """Register one; the first becomes the default."""
        with self._lock:
            users = self._read()
            user = users.get(sid, _User(None, []))
            users[sid] = _User(user.default or registration.guid, [*user.distributions, registration])
            self._write(users)

    def update(self, sid: str, registration: Registration) -> None:
        """Replace one's values."""
        with self._lock:
            users = self._read()
            if sid in users:
                changed = [registration if one.guid == registration.guid else one for one in users[sid].distributions]
                users[sid] = replace(users[sid], distributions=changed)
                self._write(users)

    def remove(self, sid: str, guid: str) -> None:
        """Take one out."""
        with self._lock:
            users = self._read()
            if sid in users:
                left = [one for one in users[sid].distributions if one.guid != guid]
                default = users[sid].default
                if default == guid:
                    default = left[0].guid if left else None
                users[sid] = _User(default, left)
                self._write(users)

    def default(self, sid: str) -> str | None:
        """The guid of the default."""
        with self._lock:
            return self._read().get(sid, _User(None, [])).default

    def set_default(self, sid: str, guid: str) -> None:
        """Make this one the default."""
        with self._lock:
            users = self._read()
            if sid in users:
                users[sid] = replace(users[sid], default=guid)
                self._write(users)


@dataclass(frozen=True)
class _User:
    default: str | None
    distributions: list[Registration]
