"""Where the secrets of a box are meant to be, and the search of its distro from outside."""

from __future__ import annotations

import re
import subprocess

from tests.faults.secret_search import Found, Search
from vengeance.twin.client import Twin
from vengeance.twin.distro.host import outside_prefix

MEANT: list[tuple[str, str, str]] = [
    ("vLLM key", r"/etc/vllm/[\w.-]+\.env", "systemd reads the servers' variables here: mode 600, root's"),
    ("vLLM key", r"the environment of .* in vllm-[\w.-]+\.service", "vLLM takes its key from VLLM_API_KEY"),
    ("hub token", r"/home/steam/\.cache/huggingface/token", "where huggingface_hub looks: mode 600, the user's"),
    (
        "WinRM password",
        r".*/credentials\.json",
        "the twin's accounts: Windows keeps a hash",
    ),
]
"""Secret, place, and why it is there: everywhere else it is a leak."""


def search_the_distro(twin: Twin, search: Search, since: float) -> list[Found]:
    """The journal, and every file that has changed, temporary file systems included, read past wsl.exe."""
    journal = twin.distro_exec(["journalctl", "--no-pager", "--all", "-o", "export"])
    assert journal.stdout.count(b"__CURSOR=") > 50, "the journal can be read"
    found = search.text("the journal", journal.stdout)
    left_out = [f"--exclude=./{name}" for name in ("proc", "sys", "dev/pts", "mnt")]
    command = ["tar", "-c", "-f", "-", "-C", "/", f"--newer=@{int(since)}", "--warning=none", *left_out, "."]
    with subprocess.Popen(
        [*outside_prefix(twin.folder), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as tar:
        assert tar.stdout is not None
        found += search.tar(tar.stdout)
    closed = [one.place for one in found if one.place.endswith((".env", "/token"))]
    modes = twin.distro_exec(["stat", "-c", "%a", *closed]).stdout.split()
    assert set(modes) == {b"600"}, list(zip(closed, modes, strict=True))
    return found


def leaks(found: list[Found]) -> list[Found]:
    """What is found where it is not meant to be."""
    return [
        one
        for one in found
        if not any(one.name == name and re.fullmatch(place, one.place, re.S) for name, place, _ in MEANT)
    ]
