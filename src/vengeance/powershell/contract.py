"""The JSON that each shipped script takes and gives, of all domains."""

from __future__ import annotations

from vengeance.powershell import windows

INPUT: dict[str, type] = {
    **windows.INPUT,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    **windows.OUTPUT,
}
"""Script name -> type of its output."""
