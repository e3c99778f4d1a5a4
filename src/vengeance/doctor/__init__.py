"""The doctor: looks at a box from the wire to a token, changes nothing, and says what is wrong and what mends it.

findings    what a finding is
links       the links of the chain, and which hangs on which
catalogue   everything that can be found, as data
checks      what is looked at, link by link, through the facts
walk        the way along the chain
report      what was found, for a person and for a program
traps       what is known to go wrong, and which finding that is
page        docs/doctor.md
"""

from __future__ import annotations

from vengeance.doctor.page import page

__all__ = ["page"]
