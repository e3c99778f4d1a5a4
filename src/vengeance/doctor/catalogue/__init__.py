"""Everything that the doctor can find, as data, in the order of the chain."""

from __future__ import annotations

import re

from vengeance.box import vllm_faults
from vengeance.doctor.catalogue import linux, services, windows, wire
from vengeance.doctor.catalogue.sources import UNIT, WSL_SETTINGS
from vengeance.doctor.findings import Finding, Kind, filled
from vengeance.doctor.links import NAMES


def of_a_journal(fault: str) -> str:
    """Return the name of the finding for a fault that ``box.vllm_faults`` knows."""
    return "vllm-" + re.sub(r"[^a-z0-9]+", "-", fault.lower().replace("'", "").replace("./", " ")).strip("-")


_JOURNAL = tuple(
    Kind(
        of_a_journal(fault),
        "unit",
        "broken",
        f"A server ended, and its journal says why: {fault}.",
        "here",
        "{command}",
        (WSL_SETTINGS, UNIT, "src/vengeance/box/vllm_faults.py"),
    )
    for fault in vllm_faults.NAMES
)

KINDS: tuple[Kind, ...] = tuple(
    sorted(
        (*wire.KINDS, *windows.KINDS, *linux.KINDS, *_JOURNAL, *services.KINDS), key=lambda kind: NAMES.index(kind.link)
    )
)
CATALOGUE: dict[str, Kind] = {kind.name: kind for kind in KINDS}


def finding(name: str, evidence: str, mend: str | None = None, **fields: object) -> Finding:
    """Return a finding of a kind.

    + name: of the kind
    + evidence: what was seen
    + mend: in place of the kind's own
    + fields: what stands in braces in the mend; ``{inventory}`` is filled in by whoever shows it
    """
    kind = CATALOGUE[name]
    return Finding(kind, evidence, filled(mend or kind.mend, {key: str(value) for key, value in fields.items()}))
