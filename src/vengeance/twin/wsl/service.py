"""WSL's service: which distros run, who uses them, and when they are stopped because nobody does."""

from __future__ import annotations

import ntpath
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from vengeance.twin.clock import Alarm, Clock
from vengeance.twin.deeds import Deeds
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import DistroHost
from vengeance.twin.distro.instance import Instance
from vengeance.twin.wsl import messages
from vengeance.twin.wsl.registrations import Registration, Registrations, new_guid
from vengeance.twin.wsl.windows_paths import on_drive
from vengeance.twin.wsl.wslconfig import Box, IdleTimers, VmSettings, read_settings

LOCAL_SYSTEM = "S-1-5-18"
SERVICES = 0
"""The Windows session without a desktop; what it has started, no logoff ends."""
_GRAPHICS_CRASH_SECONDS = 104.0


class WslError(Exception):
    """wsl.exe fails with -1 and prints this on its standard output.

    code: what stands behind "Error code: ", None where wsl.exe prints none
    """

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.text = message if code is None else messages.with_code(message, code)


class Platform(Protocol):
    """What Windows gives: the optional feature VirtualMachinePlatform, and room for disks."""

    def has_room(self, size: int) -> bool:
        """Whether a disk can take up so many bytes."""

    def is_on(self) -> bool:
        """Whether virtual machines can be started now."""

    def switch_on(self) -> None:
        """Have it on after the next restart, as ``dism /enable-feature`` does."""


class _AlwaysOn:
    def has_room(self, size: int) -> bool:
        return True

    def is_on(self) -> bool:
        return True

    def switch_on(self) -> None:
        return


@dataclass
class _Session:
    """What the service keeps per Windows user: WSL's LxssUserSession.

    windows_session: that of the first caller since the service was started. Its logoff ends the virtual machine,
    unless it is 0 (LxssUserSessionFactory.cpp, ServiceMain.cpp); ``--shutdown`` leaves the stamp as it is
    """

    windows_session: int
    vm: VmSettings
    clients: dict[str, int]
    alarms: dict[str, Alarm]
    machine_alarm: Alarm | None = None
    machine_since: float | None = None
    elevated: bool | None = None
    mixed: bool = False


class WslService:
    """The service, with one session per Windows user; every method may be called from any thread.

    clock: the time that the idle timers run on; platform: the feature of Windows without which no distro starts
    deeds: what is done to distros, counted
    """

    def __init__(
        self,
        host: DistroHost,
        registrations: Registrations,
        *,
        profile_of: Callable[[str], str] = lambda sid: "C:\\Users\\Steam",
        timers: IdleTimers | None = None,
        time_scale: float = 1.0,
        clock: Clock | None = None,
        box: Box | None = None,
    ) -> None:
        """Nothing is started.

        profile_of: Windows path of the profile folder of the user with a SID; his ``.wslconfig`` lies there
        timers: what counts where .wslconfig says nothing; None is WSL's 15 and 60 seconds
        time_scale: every timer is multiplied by this, so that tests need not wait
        clock: None is one of its own; box: what the virtual machine can get of it
        """
        self.host = host
        self.registrations = registrations
        self._profile_of = profile_of
        self._default_timers = timers or IdleTimers()
        self._scale = time_scale
        self.clock = clock or Clock()
        self.platform: Platform = _AlwaysOn()
        self.deeds = Deeds()
        self._machine_starts = 0
        self.box: Callable[[], Box] = lambda: box or Box()
        self._lock = threading.RLock()
        self._sessions: dict[str, _Session] = {}

    def enter(self, sid: str) -> None:
        """What every call into the service begins with: LocalSystem is refused (LxssUserSessionFactory.cpp)."""
        if sid == LOCAL_SYSTEM:
            raise WslError(messages.LOCAL_SYSTEM, "Wsl/Service/WSL_E_LOCAL_SYSTEM_NOT_SUPPORTED")

    def registered(self, sid: str) -> list[Registration]:
        """The user's distros, the default first (ListDistributionsHelper sorts so)."""
        self.enter(sid)
        default = self.registrations.default(sid)
        return sorted(self.registrations.registered(sid), key=lambda one: one.guid != default)

    def named(self, sid: str, name: str) -> Registration:
        """The user's distro of this name; letters' case is ignored."""
        for one in self.registered(sid):
            if one.name.lower() == name.lower():
                return one
        raise WslError(messages.DISTRO_NOT_FOUND, "Wsl/Service/WSL_E_DISTRO_NOT_FOUND")

    def numbered(self, sid: str, guid: str) -> Registration:
        """The user's distro with this guid."""
        for one in self.registered(sid):
            if one.guid.strip("{}").lower() == guid.strip("{}").lower():
                return one
        raise WslError(messages.DISTRO_NOT_FOUND, "Wsl/Service/WSL_E_DISTRO_NOT_FOUND")

    def default(self, sid: str) -> Registration:
        """The user's default distro."""
        self.enter(sid)
        guid = self.registrations.default(sid)
        if guid is None:
            raise WslError(messages.NO_DEFAULT_DISTRO, None)
        return self.numbered(sid, guid)

    def is_running(self, one: Registration) -> bool:
        """Whether the distro has an instance."""
        return self.host.running(one.guid) is not None

    def _session(self, sid: str) -> _Session:
        if sid not in self._sessions:
            self._sessions[sid] = _Session(SERVICES, read_settings(None, self._default_timers, self.box()), {}, {})
        return self._sessions[sid]

    def called(self, sid: str, windows_session: int, elevated: bool) -> None:
        """A program of a user calls the service; the first to do so puts its Windows session on his object."""
        if sid == LOCAL_SYSTEM:
            return  # it is refused, and gets none
        with self._lock:
            known = sid in self._sessions
            session = self._session(sid)
            if not known:
                session.windows_session = windows_session
            if session.elevated is None:
                session.elevated = elevated
            session.mixed = session.mixed or session.elevated != elevated

    def logged_off(self, windows_session: int) -> None:
        """A person has logged off: the virtual machines of whoever has that session's stamp are ended at once."""
        with self._lock:
            stamped = [sid for sid, one in self._sessions.items() if one.windows_session == windows_session]
            for sid in stamped if windows_session != SERVICES else []:
                self._end(sid, force=True)
                del self._sessions[sid]

    def state(self, sid: str) -> dict[str, Any]:
        """What can be seen of a user's session from outside.

        machine_starts: how often a virtual machine was started, of any user
        graphics_restarts: how often WSLg has crashed and come back, every 104 s, as it does in session 0
        mixed_elevation: elevated and other programs use the same distros, in two mount namespaces
        """
        with self._lock:
            session = self._sessions.get(sid)
            since = session.machine_since if session is not None and self.host.machine_runs else None
            crashes = 0
            if (
                session is not None
                and since is not None
                and session.windows_session == SERVICES
                and session.vm.graphics
            ):
                crashes = int((self.clock.seconds() - since) / _GRAPHICS_CRASH_SECONDS)
            return {
                "windows_session": None if session is None else session.windows_session,
                "machine_runs": self.host.machine_runs,
                "machine_starts": self._machine_starts,
                "running": [one.name for one in self.registrations.registered(sid) if self.is_running(one)],
                "graphics_restarts": crashes,
                "mixed_elevation": session is not None and session.mixed,
            }

    def _start_machine(self, sid: str, session: _Session, doing: str) -> list[str]:
        """Start the virtual machine unless it runs; what wsl.exe has to say about .wslconfig."""
        if self.host.machine_runs:
            return []
        if not self.platform.is_on():
            raise WslError(messages.NO_VIRTUAL_MACHINES, f"Wsl/Service/{doing}/CreateVm/HCS/HCS_E_HYPERV_NOT_INSTALLED")
        # WSL reads the file when it starts the virtual machine, and not again.
        shown = self._profile_of(sid) + "\\.wslconfig"
        session.vm = read_settings(on_drive(self.host.drive_c, shown), self._default_timers, self.box(), shown)
        self.host.start_machine(session.vm.machine)
        session.machine_since = self.clock.seconds()
        self._machine_starts += 1
        return session.vm.warnings

    def attach(self, sid: str, one: Registration, warn: Callable[[str], None] = lambda text: None) -> Instance:
        """Start the distro if it does not run, and count one more client; ``detach`` must follow.

        warn: told what is wrong with .wslconfig, when the virtual machine is started by this
        """
        with self._lock:
            session = self._session(sid)
            try:
                for text in self._start_machine(sid, session, "CreateInstance"):
                    warn(text)
            except DistroError as problem:
                raise WslError(str(problem), "Wsl/Service/CreateInstance/CreateVm/E_FAIL") from None
            self._quiet(session, one.guid)
            session.clients[one.guid] = session.clients.get(one.guid, 0) + 1
            try:
                return self.host.start(one.guid, one.name)
            except DistroError as problem:
                self.detach(sid, one)
                raise WslError(str(problem), "Wsl/Service/CreateInstance/E_FAIL") from None

    def detach(self, sid: str, one: Registration) -> None:
        """One client less; with the last one the distro's idle timer starts."""
        with self._lock:
            session = self._session(sid)
            left = session.clients.get(one.guid, 0) - 1
            session.clients[one.guid] = max(left, 0)
            if left <= 0:
                self._arm(sid, session, one.guid)

    def _arm(self, sid: str, session: _Session, guid: str) -> None:
        self._quiet(session, guid)
        if session.vm.timers.instance is not None and self.host.running(guid) is not None:
            session.alarms[guid] = self._later(session.vm.timers.instance, lambda: self._idle(sid, guid))

    def _later(self, seconds: float, deed: Callable[[], None]) -> Alarm:
        return self.clock.later(seconds * self._scale, deed)

    def _quiet(self, session: _Session, guid: str) -> None:
        alarm = session.alarms.pop(guid, None)
        if alarm is not None:
            alarm.cancel()
        if session.machine_alarm is not None:
            session.machine_alarm.cancel()
            session.machine_alarm = None

    def _idle(self, sid: str, guid: str) -> None:
        with self._lock:
            session = self._session(sid)
            if session.clients.get(guid, 0) == 0 and session.alarms.pop(guid, None) is not None:
                self.host.stop(guid)
                self._arm_machine(session)

    def _arm_machine(self, session: _Session) -> None:
        if session.machine_alarm is not None:
            session.machine_alarm.cancel()
            session.machine_alarm = None
        if session.vm.timers.machine is not None:
            session.machine_alarm = self._later(session.vm.timers.machine, self.host.stop_machine)

    def terminate(self, sid: str, one: Registration) -> None:
        """Stop one distro; its programs end, its clients fail."""
        with self._lock:
            session = self._session(sid)
            self._quiet(session, one.guid)
            self.host.stop(one.guid)
            self.deeds.add(f"distro {one.name} terminated")
            self._arm_machine(session)

    def shutdown(self, sid: str, force: bool = False) -> None:
        """Stop all distros of the user and the virtual machine."""
        self.enter(sid)
        with self._lock:
            self._end(sid, force)
            self.deeds.add("wsl --shutdown")

    def _end(self, sid: str, force: bool) -> None:
        session = self._session(sid)
        for one in self.registrations.registered(sid):
            self._quiet(session, one.guid)
            self.host.stop(one.guid, force)
        self.host.stop_machine()

    def power_cut(self) -> None:
        """End everything of every user at once, as a restart of Windows (microsoft/WSL#6872) or an update of WSL does.

        Every session object goes with it: who calls next puts another stamp on it.
        """
        with self._lock:
            for session in self._sessions.values():
                for guid in list(session.alarms):
                    self._quiet(session, guid)
                self._quiet(session, "")
            self._sessions.clear()
            self.host.stop_all(force=True)

    def register(self, sid: str, name: str, base_path: str, default_uid: int = 0) -> Registration:
        """Register a new distro whose files are a fresh root filesystem; for the twin's set-up."""
        with self._lock:
            one = Registration(new_guid(), name, base_path, default_uid)
            self.host.create(one.guid)
            self._describe(one)
            self.registrations.add(sid, one)
            return one

    def import_tar(
        self,
        sid: str,
        name: str,
        base_path: str,
        tarball: Path,
        warn: Callable[[str], None] = lambda text: None,
    ) -> Registration:
        """Register a new distro from a tarball; its default user is root, as with ``--import``.

        base_path: absolute Windows path of a folder that exists; warn: as in ``attach``, for the virtual machine is
        started to write the disk
        """
        self.enter(sid)
        with self._lock:
            for other in self.registrations.registered(sid):
                if other.name.lower() == name.lower():
                    raise WslError(messages.NAME_EXISTS, "Wsl/Service/RegisterDistro/ERROR_ALREADY_EXISTS")
                if ntpath.normcase(other.base_path) == ntpath.normcase(base_path):
                    raise WslError(messages.LOCATION_IN_USE, "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS")
            folder = on_drive(self.host.drive_c, base_path)
            if folder is not None and (folder / "ext4.vhdx").exists():
                raise WslError(messages.LOCATION_IN_USE, "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS")
            session = self._session(sid)
            one = Registration(new_guid(), name, base_path)
            try:
                for text in self._start_machine(sid, session, "RegisterDistro"):
                    warn(text)
                if not self.platform.has_room(tarball.stat().st_size):
                    raise DistroError(f"{base_path} has no room for the disk.")
                self.host.create_from_tar(one.guid, tarball)
            except DistroError:
                raise WslError(messages.IMPORT_FAILED, "Wsl/Service/RegisterDistro/WSL_E_IMPORT_FAILED") from None
            finally:
                if self.host.machine_runs and not any(map(self.is_running, self.registrations.registered(sid))):
                    self._arm_machine(session)
            self._describe(one)
            self.registrations.add(sid, one)
            self.deeds.add(f"distro {name} imported")
            return one

    def _describe(self, one: Registration) -> None:
        """Put something where the disk would be; the distro's files lie in the twin's own folder."""
        folder = on_drive(self.host.drive_c, one.base_path)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            text = "This is the twin: the files of the distro are not in a disk image. See its state folder.\r\n"
            (folder / "ext4.vhdx").write_text(text, encoding="ascii")

    def unregister(self, sid: str, one: Registration) -> None:
        """Stop a distro, remove its files and its registration."""
        with self._lock:
            self._quiet(self._session(sid), one.guid)
            self.host.delete(one.guid)
            self.deeds.add(f"distro {one.name} unregistered")
            self.registrations.remove(sid, one.guid)
            folder = on_drive(self.host.drive_c, one.base_path)
            if folder is not None:
                (folder / "ext4.vhdx").unlink(missing_ok=True)

    def set_default_uid(self, sid: str, one: Registration, uid: int) -> None:
        """Change the registration's default user."""
        self.registrations.update(sid, replace(one, default_uid=uid))
