"""Print which vLLM ``make demo`` gives its twin: a real one, if nothing is in the way."""

from __future__ import annotations

import os
import sys

from vengeance.twin import vllm_cpu
from vengeance.twin.client import Twin
from vengeance.twin.folders import DEFAULT_NAME


def main() -> int:
    """Print ``real`` or ``stand-in``, and on stderr why not a real one."""
    twin = Twin(os.environ.get("VENGEANCE_TWIN") or DEFAULT_NAME)
    has_one = vllm_cpu.choice(twin.folder, {}) == vllm_cpu.REAL
    why = None if has_one else vllm_cpu.hindrance(twin.status()["distro"], twin.folder)
    if why is not None:
        print(f"vengeance: {why} The stand-in is taken.", file=sys.stderr)
    print(vllm_cpu.REAL if why is None else vllm_cpu.STAND_IN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
