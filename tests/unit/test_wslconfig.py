"""``.wslconfig``: what is refused and with which nearest right one, what is written, what is read back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined

from vengeance.box import wslconfig
from vengeance.box.wslconfig import Machine, Timeouts

GB = 1 << 30


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"wsl2": {"memry": "24GB"}}, "no key memry in [wsl2]: did you mean memory"),
        ({"wsl2": {"instanceIdleTimeout": -1}}, "instanceIdleTimeout stands in [general]"),
        ({"wsl2": {"vmIdletimout": -1}}, "did you mean vmIdleTimeout"),
        ({"wsl2": {"sparseVhd": False}}, "sparseVhd stands in [experimental]"),
        ({"wls2": {"memory": "24GB"}}, "no section [wls2]: did you mean wsl2"),
        ({"wsl2": {"memory": "24 GB"}}, "'24 GB' is no size that WSL reads: write '24GB'"),
        ({"wsl2": {"memory": "24GiB"}}, "write '24GB'"),
        ({"wsl2": {"memory": "lots"}}, "as in '24GB' or '512MB'"),
        ({"wsl2": {"memory": 24}}, "'24' is 24 bytes, and a distro needs 1 GB at least"),
        ({"wsl2": {"swap": 8}}, "'8' is 8 bytes: write '8GB'"),
        ({"wsl2": {"processors": "8"}}, "is a number of processors, not '8'"),
        ({"wsl2": {"processors": 0}}, "1 or more, not 0"),
        ({"wsl2": {"guiApplications": "false"}}, "is True or False, not 'false'"),
        ({"general": {"instanceIdleTimeout": "5m"}}, "is a number of milliseconds, or -1 for never, not '5m'"),
        ({"general": {"instanceIdleTimeout": 15}}, "milliseconds from 1000, or -1 for never, not 15"),
        ({"wsl2": {"networkingMode": "Nat"}}, "is one of nat, virtioproxy, none, not 'Nat': did you mean nat"),
        ({"wsl2": {"networkingMode": "mirrored"}}, "WSL#12703"),
        ({"wsl2": {"swapFile": "swap.vhdx"}}, "is a full Windows path"),
        ({"wsl2": {"swapFile": "D:\\\\wsl\\\\swap.vhdx"}}, "single backslashes"),
        ({"wsl2": {"kernelCommandLine": "a\nmemory=1GB"}}, "is one line"),
        ({"experimental": {"sparseVhd": True}}, "a sparse disk has lost data"),
    ],
)
def test_malformed_values_are_refused_with_the_nearest_right_one(settings: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        wslconfig.check(settings)


def test_the_group_data_is_right_and_keeps_the_distro_up_without_graphics() -> None:
    data: dict[str, Any] = {}
    exec(Path("group_data/windows.py").read_text(encoding="utf-8"), data)
    settings = data["wslconfig"]
    wslconfig.check(settings)
    assert settings["general"]["instanceIdleTimeout"] == -1
    assert settings["wsl2"]["vmIdleTimeout"] == -1
    assert settings["wsl2"]["guiApplications"] is False
    assert {"memory", "swap", "processors"} <= set(settings["wsl2"])
    assert "sparseVhd" not in settings.get("experimental", {})


def test_the_file_is_what_wsl_reads() -> None:
    settings: Any = {
        "general": {"instanceIdleTimeout": -1},
        "wsl2": {"memory": "24GB", "guiApplications": False, "swapFile": "D:\\wsl\\swap.vhdx", "swap": 0},
    }
    source = Path("templates/wslconfig.j2").read_text(encoding="utf-8")
    jinja = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    text = jinja.from_string(source).render(settings=wslconfig.texts(settings))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        "",
        "[general]",
        "instanceIdleTimeout=-1",
        "",
        "[wsl2]",
        "guiApplications=false",
        "memory=24GB",
        "swap=0",
        r"swapFile=D:\\wsl\\swap.vhdx",
    ]
    assert wslconfig.parse(text)["wsl2"]["memory"] == "24GB"
    assert wslconfig.timeouts(text) == Timeouts(None, 60_000)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("1B", 1),
        ("1K", 1024),
        ("2M", 2 << 20),
        ("100MB", 100 << 20),
        ("44GB", 44 * GB),
        ("2T", 2 << 40),
    ],
)
def test_sizes_are_read_as_wsl_reads_them(text: str, size: int) -> None:
    assert wslconfig.size_in_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Timeouts(15_000, 60_000)),
        ("[general]\ninstanceIdleTimeout = -1\n[wsl2]\nvmIdleTimeout=5000 \n", Timeouts(None, 5000)),
        ("[WSL2]\nVMIDLETIMEOUT=-1\ninstanceIdleTimeout=-1\n", Timeouts(15_000, None)),
        (
            "\ufeff[general]\nno equals sign\n# instanceIdleTimeout=-1\ninstanceIdleTimeout=soon\n",
            Timeouts(15_000, 60_000),
        ),
    ],
)
def test_timeouts_count_only_in_their_own_section(text: str | None, expected: Timeouts) -> None:
    assert wslconfig.timeouts(text) == expected


def proc(memory_kb: int, swap_kb: int, processors: int) -> list[str]:
    cpus = [
        line for number in range(processors) for line in (f"processor\t: {number}", "vendor_id\t: AuthenticAMD", "")
    ]
    return [f"MemTotal:       {memory_kb} kB", "MemFree:   100 kB", f"SwapTotal:  {swap_kb} kB", *cpus]


def test_the_effect_is_read_from_inside() -> None:
    machine = wslconfig.parse_machine(proc(24_600_000, 8_388_604, 8))
    assert machine == Machine(24_600_000 * 1024, 8_388_604 * 1024, 8)
    settings: Any = {"wsl2": {"memory": "24GB", "swap": "8GB", "processors": 8}}
    assert wslconfig.misfits(machine, settings) == []
    default = Machine(32 * GB, 8 * GB, 16)
    assert wslconfig.misfits(default, settings) == ["memory is 32.0 GB, not 24GB", "processors are 16, not 8"]
    assert wslconfig.misfits(default, {"wsl2": {"swap": "0"}}) == ["swap is 8.0 GB, not 0"]
    assert wslconfig.misfits(default, {}) == []
    assert wslconfig.parse_machine(["sh: no such file"]) is None


def test_every_setting_that_changes_is_told_with_what_it_was() -> None:
    before = "[WSL2]\nMemory=8GB\nswap=8GB\nkernel=C:\\mine\n[experimental]\nsparseVhd=true\n"
    wanted = {"wsl2": {"memory": "24GB", "swap": "8GB", "processors": "8"}}
    assert wslconfig.differences(".wslconfig", before, wanted) == [
        ".wslconfig [wsl2] memory: 8GB -> 24GB",
        ".wslconfig [wsl2] processors: (not set) -> 8",
        ".wslconfig [wsl2] kernel: C:\\mine -> (not set)",
        ".wslconfig [experimental] sparsevhd: true -> (not set)",
    ]
    same = wslconfig.differences("/etc/wsl.conf", "# mine\n[boot]\nsystemd=true\n", {"boot": {"systemd": "true"}})
    assert same == ["/etc/wsl.conf: the same settings, written anew"]
