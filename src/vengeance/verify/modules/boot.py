"""When Windows started, by its event log: event 12 of Kernel-General, "The operating system started"."""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree

from testinfra.modules.base import InstanceModule

from vengeance.verify.modules.moments import moment

_QUERY = "*[System[Provider[@Name='Microsoft-Windows-Kernel-General'] and (EventID=12)]]"
_TIME = "{http://schemas.microsoft.com/win/2004/08/events/event}TimeCreated"


class Boot(InstanceModule):  # type: ignore[misc]
    """The last start: ``host.boot.time``. A start out of Fast Startup is none; the deploy switches that off."""

    @property
    def time(self) -> datetime:
        """When it was, UTC. Raises NotImplementedError where the log is so full that it has dropped it."""
        text = str(self.check_output("wevtutil qe System %s /c:1 /rd:true /f:xml", f"/q:{_QUERY}"))
        # S314: it comes from the box itself.
        found = next(ElementTree.fromstring(text).iter(_TIME), None) if text.strip() else None  # noqa: S314
        if found is None:
            raise NotImplementedError(f"the event log of Windows has no start any more: {text!r}")
        return moment(found.attrib["SystemTime"])

    def __repr__(self) -> str:
        return "<boot>"
