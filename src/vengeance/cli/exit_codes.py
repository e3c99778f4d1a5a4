"""What ``python -m vengeance`` ends with; every command keeps to these.

cloud-init has a code of its own for what is up but not right (https://cloudinit.readthedocs.io/en/latest/explanation/
return_codes.html), and so has ``verify``. Wrong usage is EX_USAGE of sysexits(3), and not argparse's 2, so that 2 means
one thing.
"""

RIGHT = 0
FAILED = 1
DEGRADED = 2
WRONG_USAGE = 64
INTERRUPTED = 130
