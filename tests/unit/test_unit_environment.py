"""A program in the environment of another one's unit: the unit's settings, and what the program saw."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.state import StateStage

from tests.unit.operation_runs import run_operation
from vengeance.box import card_seen, unit_environment
from vengeance.operations import cuda

UNIT = """\
# /etc/systemd/system/vllm-x.service
[Unit]
Description=a server
Conflicts=other.service

[Service]
Type=exec
User=steam
; an older kind of comment
Environment=PATH=/home/steam/vllm-env/bin:/usr/bin \\
    LD_LIBRARY_PATH=/usr/lib/wsl/lib
# between two lines of one setting
ExecStartPre=/bin/false
ExecStart=/bin/true --flag \\
    --other
RuntimeDirectory=vllm
Restart=always
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
# /etc/systemd/system/vllm-x.service.d/mine.conf
[Service]
DeviceAllow=/dev/dxg rw
DeviceAllow=
"""


def test_the_settings_of_a_unit_and_its_drop_ins_are_read_without_those_of_the_service_itself() -> None:
    assert [(name, value.split()) for name, value in unit_environment.settings(UNIT)] == [
        ("User", ["steam"]),
        ("Environment", ["PATH=/home/steam/vllm-env/bin:/usr/bin", "LD_LIBRARY_PATH=/usr/lib/wsl/lib"]),
        ("NoNewPrivileges", ["yes"]),
        ("DeviceAllow", ["/dev/dxg", "rw"]),
        ("DeviceAllow", []),
    ]


def test_a_line_that_is_no_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="no setting: 'nonsense'"):
        unit_environment.settings("[Service]\nnonsense\n")


def test_each_setting_becomes_a_property() -> None:
    words = unit_environment.run_arguments([("User", "steam"), ("DeviceAllow", "")])
    assert words[0] == "systemd-run"
    assert "--property=UnsetEnvironment=VLLM_API_KEY" in words
    assert words[-2:] == ["--property=User=steam", "--property=DeviceAllow="]


def test_nothing_in_the_program_is_expanded_by_systemd() -> None:
    """From systemd 254 on ``systemd-run`` puts variables into the words of a command."""
    assert "$" not in card_seen.PROGRAM


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Running as unit: run-u1.service\nMain processes terminated with: code=exited/status=203\n", "203/EXEC"),
        ("Main processes terminated with: code=exited/status=226\n", "226/NAMESPACE"),
        ("Unknown assignment: Foo=bar\n", "Unknown assignment: Foo=bar"),
        ("ModuleNotFoundError: x\nMain processes terminated with: code=exited/status=1\n", "x (status 1)"),
        ("", "it says nothing"),
    ],
)
def test_why_nothing_was_started_is_told(said: str, why: str) -> None:
    assert why in unit_environment.why_not_started(said)


# --- what the program saw -----------------------------------------------------------------------------------

SEEN: card_seen.Seen = {
    "user": 1000,
    "dxg": None,
    "libraries": {"libcuda.so.1": None, "libnvidia-ml.so.1": None},
    "torch": "2.9.1",
    "cuda": "12.8",
    "available": True,
    "device": "NVIDIA GeForce RTX 4090",
    "failure": None,
}
NONE: dict[str, Any] = {"available": False, "device": None}


def test_the_program_prints_what_it_sees_as_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", card_seen.PROGRAM, "cuda"], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.removeprefix("seen "))
    assert set(seen) == set(SEEN)
    assert "No module named 'torch'" in seen["failure"]
    asked_for_less = subprocess.run([sys.executable, "-c", card_seen.PROGRAM, "cpu"], capture_output=True, text=True)
    assert json.loads(asked_for_less.stdout.removeprefix("seen "))["failure"] is None


@pytest.mark.parametrize(
    ("state", "failure", "mend"),
    [
        ({"dxg": "ENOENT"}, "hides /dev/dxg", "PrivateDevices=no"),
        ({"dxg": "EPERM"}, "keeps its program from /dev/dxg (EPERM)", "DeviceAllow=/dev/dxg rw"),
        ({"libraries": {"libcuda.so.1": "no such file"}}, "load libcuda.so.1 (no such file)", "LD_LIBRARY_PATH"),
        ({"failure": "ImportError: x"}, "torch cannot be asked", "deploys/vllm.py"),
        ({"cuda": None, "torch": "2.9.1+cpu", **NONE}, "torch 2.9.1+cpu is the build for the processor", "vllm_device"),
        (NONE, "torch.cuda.is_available() is False", "wsl --shutdown"),
        ({"device": "NVIDIA GeForce GTX 970"}, "torch sees NVIDIA GeForce GTX 970", "set gpu_name"),
    ],
)
def test_each_way_to_lose_the_card_in_a_unit_is_named_with_its_mend(
    state: dict[str, Any], failure: str, mend: str
) -> None:
    sentence = card_seen.failure({**SEEN, **state}, "vllm-x.service", "RTX 4090", "cuda")  # type: ignore[typeddict-item]
    assert sentence is not None
    assert failure in sentence
    assert mend in sentence


@pytest.mark.parametrize("dxg", [None, "ENODEV", "ENXIO"])
def test_a_device_that_may_be_opened_is_no_failure_of_the_unit(dxg: str | None) -> None:
    assert card_seen.failure({**SEEN, "dxg": dxg}, "vllm-x.service", "RTX 4090", "cuda") is None


def test_a_server_for_the_processor_needs_no_card_and_the_summary_says_that_torch_was_not_asked() -> None:
    seen: card_seen.Seen = {**SEEN, "dxg": "ENOENT", "torch": None, "device": None}
    assert card_seen.failure(seen, "vllm-x.service", "RTX 4090", "cpu") is None
    assert card_seen.summary(seen) == (
        "/dev/dxg cannot be opened (ENOENT), the driver's libraries can be loaded, torch was not asked"
    )


def test_nothing_is_asked_in_a_plan() -> None:
    run = run_operation(cuda.visible_to, {}, StateStage.Prepare, unit="vllm-x.service", path="/home/steam/vllm-env")
    assert run.commands == []


def test_a_device_that_is_none_is_refused() -> None:
    with pytest.raises(OperationValueError, match="'cuda' or 'cpu', not on 'gpu'"):
        run_operation(cuda.visible_to, {}, unit="u.service", path="/p", device="gpu")
