"""Commands on one twin and then on several at once, in greenlets, as pyinfra runs its hosts. Started by wire.py.

Reads {"endpoints": [...], "commands": N} from stdin and prints {"facts": [alone, together], "programs": [...]}, in
seconds: a fact is one PowerShell script, a program is a cmd.exe that it starts and that the twin has to play as well.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

from wire import our_windows_commands, our_windows_facts  # noqa: E402

TRIES = 3


def measure(endpoints: list[dict[str, Any]], run: Callable[[dict[str, Any]], None]) -> tuple[float, float]:
    """Seconds for the commands on the first twin alone, and on all of them at the same time."""
    began = time.perf_counter()
    run(endpoints[0])
    alone = time.perf_counter() - began
    threads = [threading.Thread(target=run, args=(endpoint,)) for endpoint in endpoints]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return alone, time.perf_counter() - began


def main() -> int:
    asked = json.load(sys.stdin)
    runs = {
        "facts": our_windows_facts(asked["commands"]),
        "programs": our_windows_commands(asked["commands"], "agent", True),
    }
    best = {}
    for name, run in runs.items():
        measured = [measure(asked["endpoints"], run) for _ in range(TRIES)]
        best[name] = min(measured, key=lambda pair: pair[1] / pair[0])
    print(json.dumps(best))
    return 0


if __name__ == "__main__":
    sys.exit(main())
