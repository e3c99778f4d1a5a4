"""Times as programs write them, RFC 3339 with any number of digits for a part of a second."""

from __future__ import annotations

import re
from datetime import datetime


def moment(text: str) -> datetime:
    """Return the time. Raises ValueError."""
    # Python 3.10 knows neither Z nor other than three or six digits.
    return datetime.fromisoformat(
        re.sub(r"\.(\d+)", lambda match: f".{match[1][:6]:0<6}", text.strip()).replace("Z", "+00:00")
    )
