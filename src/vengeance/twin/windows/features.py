"""Optional features of the twin's Windows: what is switched on counts after the next restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vengeance.twin.windows.state import State

PLATFORM = "VirtualMachinePlatform"
SERVICING = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing"
# What a new Windows 11 Pro has; in a twin that is not bare the first one is on.
_FRESH = {
    PLATFORM: "Disabled",
    "HypervisorPlatform": "Disabled",
    "Microsoft-Hyper-V-All": "Disabled",
    "Microsoft-Windows-Subsystem-Linux": "Disabled",
    "NetFx3": "DisabledWithPayloadRemoved",
    "SearchEngine-Client-Package": "Enabled",
    "SMB1Protocol": "Disabled",
    "TelnetClient": "Disabled",
}
# Those that work at once.
_WITHOUT_RESTART = ("TelnetClient", "NetFx3", "SearchEngine-Client-Package")


class Features:
    """The features; every method may be called from any thread.

    state: where they are remembered
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._states: dict[str, str] = state.section("features")
        if not self._states:
            self._states.update(_FRESH)
            if not state.bare:
                self._states[PLATFORM] = "Enabled"
            state.save()

    def name(self, feature: str) -> str | None:
        """The feature's name as DISM writes it, None when there is none such; case does not count."""
        return next((known for known in self._states if known.lower() == feature.lower()), None)

    def state(self, feature: str) -> str | None:
        """DISM's word for its state, None when there is no such feature."""
        name = self.name(feature)
        return None if name is None else self._states[name]

    def is_on(self, feature: str) -> bool:
        """Whether it works now, which one that waits for a restart does not."""
        return self.state(feature) == "Enabled"

    def set(self, feature: str, on: bool) -> bool:
        """Switch it on or off; whether a restart is needed. KeyError when there is no such feature."""
        name = self.name(feature)
        if name is None:
            raise KeyError(feature)
        settled, pending, taken_back = (
            ("Enabled", "EnablePending", "DisablePending") if on else ("Disabled", "DisablePending", "EnablePending")
        )
        now = self._states[name]
        if now in (settled, pending) or (not on and now == "DisabledWithPayloadRemoved"):
            return now == pending
        if name in _WITHOUT_RESTART or now == taken_back:
            self._states[name] = settled
            self._state.save()
            return False
        self._states[name] = pending
        # Writes the state too.
        self._state.registry.create(f"{SERVICING}\\RebootPending")
        return True


def finish_pending(states: dict[str, str]) -> None:
    """Windows starts: what waited for it is on or off now."""
    for name, state in states.items():
        states[name] = {"EnablePending": "Enabled", "DisablePending": "Disabled"}.get(state, state)
