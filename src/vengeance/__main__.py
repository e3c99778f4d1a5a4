"""``python -m vengeance``."""

import sys

from vengeance.cli import main

sys.exit(main())
