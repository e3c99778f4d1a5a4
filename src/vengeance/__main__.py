"""``python -m vengeance``."""

import os
import sys

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
