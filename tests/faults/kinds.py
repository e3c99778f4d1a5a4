"""What can happen to one request on its way, as the twin is told to do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# 0x803381A6: more operations at once, or in one shell, than the box allows.
OPERATIONS_QUOTA = 2150859174


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    + name: for options and results; title: for the table
    + rule: the twin's fault rule without the request's number
    + data: what a run is told beside it, as pyinfra's ``--data``
    """

    name: str
    title: str
    rule: Mapping[str, Any]
    data: tuple[str, ...] = field(default=())


KINDS = {
    kind.name: kind
    for kind in (
        Kind("cut_before", "cut before it is handled", {"kind": "cut_before"}),
        Kind("cut_after", "cut after it was handled", {"kind": "cut_after"}),
        Kind("bad_request", "HTTP 400", {"kind": "bad_request"}),
        # The client gives up ten seconds after the time that it grants the box: eleven seconds a fault, not thirty.
        Kind("no_answer", "handled, no answer", {"kind": "no_answer"}, ("winrm_operation_timeout=1",)),
        Kind("timed_out", "fault: the time is up", {"kind": "timed_out"}),
        Kind("quota", "fault: the quota is used up", {"kind": "fault", "code": OPERATIONS_QUOTA}),
    )
}
