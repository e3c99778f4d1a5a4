"""Services of Windows, by sc.exe: the constants behind its numbers are the same in every language."""

from __future__ import annotations

import re

from testinfra.modules.base import Module

_NO_SUCH_SERVICE = 1060


class Service(Module):  # type: ignore[misc]
    """A service by its short name: ``host.service("WinRM").is_running``."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def exists(self) -> bool:
        """Whether there is such a service."""
        return bool(self.run("sc query %s", self.name).rc != _NO_SUCH_SERVICE)

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self._word("query", r"(STOPPED|(?:START|STOP|CONTINUE|PAUSE)_PENDING|RUNNING|PAUSED)") == "RUNNING"

    @property
    def is_enabled(self) -> bool:
        """Whether Windows starts it by itself."""
        return self._word("qc", r"((?:BOOT|SYSTEM|AUTO|DEMAND)_START|DISABLED)").startswith(("AUTO", "BOOT", "SYSTEM"))

    def _word(self, verb: str, words: str) -> str:
        text = str(self.check_output(f"sc {verb} %s", self.name))
        found = re.search(rf":\s+\d+\s+{words}\b", text)
        if found is None:
            raise NotImplementedError(f"sc {verb} {self.name} printed none of the known states: {text!r}")
        return found[1]

    def __repr__(self) -> str:
        return f"<service {self.name}>"
