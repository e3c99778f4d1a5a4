"""What the doctor finds: the kinds of it as data, and one of them as it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["broken", "degraded", "note"]
"""``broken``: something declared does not work. ``degraded``: it works, and not as declared, or not for long. ``note``:
nothing is wrong, and it explains what a person may wonder about."""

SEVERITIES: tuple[Severity, ...] = ("broken", "degraded", "note")

Place = Literal["here", "box", "distro", "screen"]
"""Where a mend is typed or done: on this machine in the project's folder, in an administrator's PowerShell of the box,
as root in the distro; ``screen``: with mouse and eyes, at the box or in a browser."""


@dataclass(frozen=True)
class Kind:
    """One thing that can be found.

    + name: stable, for programs and for looking it up
    + link: of ``doctor.links``, where it is seen
    + says: what it means, in a sentence
    + place: where the mend is done
    + mend: a command to copy, or what to do; names in braces, ``{inventory}`` among them, stand for what was seen
    + docs: where it is documented: files of this project, or URLs
    """

    name: str
    link: str
    severity: Severity
    says: str
    place: Place
    mend: str
    docs: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """A kind as it was found; ``evidence`` is what was seen, ``mend`` has everything in it."""

    kind: Kind
    evidence: str
    mend: str

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    @property
    def severity(self) -> Severity:
        """The severity of its kind."""
        return self.kind.severity


def filled(text: str, fields: dict[str, str]) -> str:
    """Return a mend with its names in braces replaced; other braces stay, as PowerShell has them too."""
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    return text
