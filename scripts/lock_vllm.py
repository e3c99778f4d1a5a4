"""Renew locks/: every package that the box installs for vLLM, in one version and with the hashes of its files.

    python scripts/lock_vllm.py [--version 0.15.1] [--python 3.12]

The resolver is uv, in an environment of its own that is removed afterwards. The indexes are those that uv finds by
itself (UV_INDEX and the like); no address gets into the files. Wheels alone are taken: nothing is compiled on the box.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vengeance.box.pins import pinned

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
INSTALLERS = LOCKS / "installers.txt"
UV = pinned("uv")
PIP = pinned("pip")
# The wheel of vLLM 0.15.1 needs glibc 2.31, and Ubuntu 24.04 has 2.39.
PLATFORM = "x86_64-manylinux_2_31"
HEADER = """\
# {what} for Python {python} on {platform}, with the hashes of all files of each
# version; renewed by `make lock-vllm` (uv {uv}). Installed with --require-hashes.
"""


def resolve(uv: Sequence[str], requirements: Sequence[str], python: str, folder: Path) -> str:
    """Return a lock of the requirements, without a header.

    + uv: the command
    + python: version, as ``3.12``
    + folder: for what is temporary

    Raises SystemExit with uv's own words where there is no solution.
    """
    asked, answer = folder / "asked.in", folder / "answer.txt"
    asked.write_text("".join(f"{each}\n" for each in requirements), encoding="utf-8")
    answer.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(*uv, "pip", "compile", str(asked), "--output-file", str(answer), "--quiet"),
            *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            *("--python-version", python, "--python-platform", PLATFORM, "--only-binary", ":all:", "--no-config"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"uv finds no solution for {' '.join(requirements)}:\n{done.stderr}")
    text = answer.read_text(encoding="utf-8")
    if "://" in text:
        raise SystemExit("The lock has an address in it, and would not hold where the index is another.")
    return text


def main() -> int:
    """Write the locks and say what they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default=pinned("vllm"), help="version of vLLM (default: %(default)s)")
    parser.add_argument("--python", default="3.12", help="version of Python on the box (default: %(default)s)")
    options = parser.parse_args()
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "uv")], check=True)
        uv = folder / "uv" / "bin" / "uv"
        pip = [str(uv.with_name("python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"uv=={UV}"], check=True)
        locks = {
            INSTALLERS: ("What installs vLLM,", [f"pip=={PIP}", f"uv=={UV}"]),
            LOCKS / f"vllm-{options.version}-python{options.python}.txt": (
                f"vLLM {options.version}",
                [f"vllm=={options.version}"],
            ),
        }
        for file, (what, requirements) in locks.items():
            text = resolve([str(uv)], requirements, options.python, folder)
            header = HEADER.format(what=what, python=options.python, platform=PLATFORM, uv=UV)
            file.write_text(header + text, encoding="utf-8")
            count = sum("==" in line and not line.startswith((" ", "#")) for line in text.splitlines())
            print(f"{file.relative_to(ROOT)}: {count} packages.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
