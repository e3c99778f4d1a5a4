"""Run pip of the Python that runs this, and print lines that tell a person how far it is.

Arguments: the number of packages that are expected, 0 if not known, then those of pip. With ``--progress-bar raw`` pip
prints "Progress BYTES of BYTES" (pip 24.1, cli/progress_bars.py). While it installs it prints nothing, so what has come
is counted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import threading
import time

EVERY = 2.0
LONGEST = 110
expected = int(sys.argv[1])
installing, over = threading.Event(), threading.Event()


def say(text: str) -> None:
    """One line for a person."""
    print(text if len(text) <= LONGEST else text[:LONGEST] + "...", flush=True)


def count() -> int:
    """How many packages are there whole."""
    site = sysconfig.get_path("purelib")
    records = (os.path.join(site, each, "RECORD") for each in os.listdir(site) if each.endswith(".dist-info"))
    return sum(os.path.exists(record) for record in records)


def tell() -> None:
    """While pip installs, say how far it is."""
    while not over.wait(EVERY):
        if installing.is_set():
            say(f"installing: {count()}" + (f" of {expected}" if expected else "") + " packages are there")


process = subprocess.Popen(
    [sys.executable, "-I", "-m", "pip", *sys.argv[2:]], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
)
threading.Thread(target=tell, daemon=True).start()
told, name, files = 0.0, "", 0
for raw in process.stdout or ():
    line = raw.decode(errors="replace").rstrip()
    progress = re.fullmatch(r"\s*Progress (\d+) of (\d+)", line)
    if progress:
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            done, whole = (int(each) / 1e6 for each in progress.groups())
            which = f", package {files}" + (f" of {expected}" if expected else "")
            say(f"{name}: {done:.0f} of {whole:.0f} MB{which}")
        continue
    begun = re.match(r"\s*(?:Downloading|Using cached) (\S+)", line)
    # With the metadata of a package comes no package.
    if begun and not begun[1].endswith(".metadata"):
        name, files = begun[1].rsplit("/", 1)[-1], files + 1
    if line.lstrip().startswith("Installing collected packages"):
        installing.set()
    if line.strip():
        say(line)
over.set()
sys.exit(process.wait())
