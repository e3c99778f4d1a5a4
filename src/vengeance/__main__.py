"""``python -m vengeance``."""

import os
import sys

from vengeance.cli import main

try:
    code = main()
    sys.stdout.flush()
except BrokenPipeError:
    # The reader ("| head") has seen enough.
    os._exit(0)
sys.exit(code)
