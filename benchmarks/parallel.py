"""Commands on one twin and then on several at once, in greenlets, as pyinfra runs its hosts. Started by wire.py.

Reads {"endpoints": [...], "commands": N} from stdin and prints {"alone": seconds, "together": seconds}.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

from wire import our_windows_commands  # noqa: E402

TRIES = 3


def measure(endpoints: list[dict[str, object]], commands: int) -> tuple[float, float]:
    """Seconds for the commands on the first twin alone, and on all of them at the same time."""
    run = our_windows_commands(commands, "agent", True)
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
    measured = [measure(asked["endpoints"], asked["commands"]) for _ in range(TRIES)]
    alone, together = min(measured, key=lambda pair: pair[1] / pair[0])
    print(json.dumps({"alone": alone, "together": together}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
