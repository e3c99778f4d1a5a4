"""Run pip or uv of the Python that runs this, print lines that tell a person how far it is, and name known failures.

Arguments: the number of packages that are expected, 0 if not known, then ``pip`` or ``uv``, then theirs. With
``--progress-bar raw`` pip prints "Progress BYTES of BYTES" (pip 24.1, cli/progress_bars.py). While it installs it
prints nothing, so what has come is counted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time

EVERY = 2.0
LONGEST = 110
# What either of them says -> what it means and what mends it. What has come completely is in the cache.
FAILURES = (
    (
        r"No space left on device|os error 28",
        "The disk is full: {free:.1f} GB are free on that of {prefix}. Make room in the distro and run this again; "
        "vllm_size_gb is what is reckoned with.",
    ),
    (
        r"DO NOT MATCH THE HASHES|Hash mismatch",
        "The index has another file than the lock names. If it was changed on purpose: make lock-vllm.",
    ),
    (
        r"(?i)name resolution|failed to resolve|dns error|newconnectionerror|error sending request|is unreachable",
        "The package index is not reached from the distro. Does it resolve names (getent hosts example.com)? Another "
        "index is named in vllm_pip_arguments.",
    ),
    (
        r"No matching distribution found|No solution found|because there (is|are) no version",
        "The index has no wheel of it for this Python. Is vllm_python the one that the lock is for?",
    ),
)
expected = int(sys.argv[1])
installing, over = threading.Event(), threading.Event()
complaints: list[str] = []


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


def listen() -> None:
    """Pass on what is said on stderr, and keep it."""
    for raw in process.stderr or ():
        line = raw.decode(errors="replace")
        complaints.append(line)
        sys.stderr.write(line)
        sys.stderr.flush()


def report(line: str, name: str, files: int) -> None:
    """Say how far the download of a file is."""
    done, whole = (int(each) / 1e6 for each in re.findall(r"\d+", line)[:2])
    which = f", package {files}" + (f" of {expected}" if expected else "")
    say(f"{name}: {done:.0f} of {whole:.0f} MB{which}")


process = subprocess.Popen(
    [sys.executable, "-I", "-m", *sys.argv[2:]],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
)
threading.Thread(target=tell, daemon=True).start()
listener = threading.Thread(target=listen)
listener.start()
told, name, files = 0.0, "", 0
for raw in process.stdout or ():
    line = raw.decode(errors="replace").rstrip()
    if re.fullmatch(r"\s*Progress \d+ of \d+", line):
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            report(line, name, files)
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
code = process.wait()
listener.join()
if code != 0:
    free = shutil.disk_usage(sys.prefix).free / 1e9
    known = (mend for pattern, mend in FAILURES if re.search(pattern, "".join(complaints)))
    for mend in known:
        print(mend.format(free=free, prefix=sys.prefix), file=sys.stderr)
        break
if code < 0:
    print(
        f"{sys.argv[2]} was ended by signal {-code} in the middle. Where nobody did it, Linux was out of memory "
        "(dmesg says so): give WSL more (wslconfig, wsl2.memory). Run this again: it goes on with what has come.",
        file=sys.stderr,
    )
sys.exit(code if code >= 0 else 128 - code)
