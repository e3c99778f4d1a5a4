"""``python -m vengeance``, and the program ``vengeance``."""

import os
import sys


def run() -> None:
    """Run the command line, and end with its exit code."""
    try:
        from vengeance.cli import main

        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr, flush=True)
        # Connections are not waited for; what runs on the box is as before.
        os._exit(130)
    except BrokenPipeError:
        # The reader ("| head") has seen enough.
        os._exit(0)
    sys.exit(code)


if __name__ == "__main__":
    run()
