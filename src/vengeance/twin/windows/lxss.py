"""WSL's registrations in the registry of the twin: HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Lxss."""

from __future__ import annotations

from vengeance.twin.windows.registry import LXSS, Registry
from vengeance.twin.wsl.registrations import Registration


class RegistryRegistrations:
    """What wsl.exe keeps per user, where Get-WslInstallation and ``reg query`` look for it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @staticmethod
    def _key(sid: str) -> str:
        return f"HKU\\{sid}\\{LXSS}"

    def registered(self, sid: str) -> list[Registration]:
        """The distros of this user, the oldest first."""
        registry = self._registry
        found = []
        with registry.lock:
            for guid in registry.subkeys(self._key(sid), in_order_of_age=True):
                key = f"{self._key(sid)}\\{guid}"
                name = registry.text(key, "DistributionName")
                if name:
                    found.append(
                        Registration(
                            guid=guid,
                            name=name,
                            base_path=registry.text(key, "BasePath"),
                            default_uid=registry.number(key, "DefaultUid"),
                            version=registry.number(key, "Version"),
                            flags=registry.number(key, "Flags"),
                            state=registry.number(key, "State"),
                        )
                    )
        return found

    def add(self, sid: str, registration: Registration) -> None:
        """Register one; the first of a user becomes the default."""
        with self._registry.lock:
            self.update(sid, registration)
            if self.default(sid) is None:
                self.set_default(sid, registration.guid)

    def update(self, sid: str, registration: Registration) -> None:
        """Write the values of one."""
        registry = self._registry
        key = f"{self._key(sid)}\\{registration.guid}"
        with registry.lock:
            registry.set(key, "State", registration.state, "DWord")
            registry.set(key, "DistributionName", registration.name)
            registry.set(key, "Version", registration.version, "DWord")
            registry.set(key, "BasePath", registration.base_path)
            registry.set(key, "Flags", registration.flags, "DWord")
            registry.set(key, "DefaultUid", registration.default_uid, "DWord")

    def remove(self, sid: str, guid: str) -> None:
        """Take one out; if it was the default, the oldest of the others becomes it."""
        registry = self._registry
        with registry.lock:
            registry.delete_key(f"{self._key(sid)}\\{guid}")
            if self.default(sid) == guid:
                left = self.registered(sid)
                if left:
                    self.set_default(sid, left[0].guid)
                else:
                    registry.delete(self._key(sid), "DefaultDistribution")

    def default(self, sid: str) -> str | None:
        """The guid of the default distro."""
        return self._registry.text(self._key(sid), "DefaultDistribution") or None

    def set_default(self, sid: str, guid: str) -> None:
        """Make this one the default."""
        self._registry.set(self._key(sid), "DefaultDistribution", guid)
