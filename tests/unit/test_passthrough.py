"""Where the card of Windows gets lost on its way into the distro: what the fact reads, and what is said of it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pyinfra.api.exceptions import FactProcessError, OperationValueError
from pyinfra.facts.deb import DebPackages

from tests.unit.operation_runs import run_operation
from vengeance.box import passthrough
from vengeance.facts.cuda import Nvcc, Passthrough
from vengeance.operations import cuda
from vengeance.twin.distro.looks import Gpu, write_libraries

GOOD: passthrough.Passthrough = {
    "dxg": "device",
    "libraries": ["libcuda.so.1", "libnvidia-ml.so.1", "nvidia-smi"],
    "loader": {
        "libcuda.so.1": ["/usr/lib/wsl/lib/libcuda.so.1", "/lib/x86_64-linux-gnu/libcuda.so.1"],
        "libnvidia-ml.so.1": ["/usr/lib/wsl/lib/libnvidia-ml.so.1"],
    },
    "owners": {},
    "packages": ["cuda-keyring", "cuda-toolkit-12-4", "libnvidia-container1"],
    "smi": 0,
    "said": ["NVIDIA GeForce RTX 4090, 591.86, 24564, 1893"],
    "cards": [
        {
            "name": "NVIDIA GeForce RTX 4090",
            "driver_version": "591.86",
            "memory_mib": 24564,
            "memory_used_mib": 1893,
        }
    ],
    "nvcc": None,
}


def smi(code: int, *said: str) -> dict[str, Any]:
    return {"smi": code, "said": [*said], "cards": []}


def test_nothing_is_said_of_a_card_that_is_there() -> None:
    assert passthrough.broken_link(GOOD) is None


@pytest.mark.parametrize(
    ("state", "failure", "mend"),
    [
        ({"dxg": None}, "no /dev/dxg", "wsl --update, then wsl --shutdown"),
        ({"dxg": "file"}, "/dev/dxg is a plain file", "wsl --shutdown"),
        ({"libraries": None}, "no /usr/lib/wsl/lib", "[gpu] enabled=false"),
        ({"libraries": ["nvidia-smi"]}, "no libcuda.so.1 and no libnvidia-ml.so.1", "driver on Windows again"),
        ({"packages": ["nvidia-utils-550"]}, "GPU access blocked (WSL#9166)", "apt-get purge nvidia-utils-550"),
        ({"packages": ["cuda-12-4", "cuda-drivers"]}, "Linux display driver", "apt-get purge cuda-12-4 cuda-drivers"),
        ({"packages": ["nvidia-cuda-toolkit"]}, "WSL#11888", "apt-get purge nvidia-cuda-toolkit"),
        (
            {"loader": {"libcuda.so.1": ["/opt/x/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]}},
            "/opt/x/libcuda.so.1 hides",
            "rm /opt/x/libcuda.so.1 && ldconfig",
        ),
        (
            {
                "loader": {"libcuda.so.1": ["/lib/x86_64-linux-gnu/libcuda.so.1"]},
                "owners": {"/lib/x86_64-linux-gnu/libcuda.so.1": "their-driver"},
            },
            "/lib/x86_64-linux-gnu/libcuda.so.1 hides",
            "apt-get purge their-driver && ldconfig",
        ),
        (
            smi(255, "Failed to initialize NVML: GPU access blocked by the operating system"),
            "GPU access blocked by the operating system",
            "dpkg -l | grep -i nvidia",
        ),
        (smi(18, "Failed to initialize NVML: Driver/library version mismatch"), "mismatch", "wsl --shutdown"),
        (smi(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."), "9", "Finish that"),
        (smi(6, "No devices were found"), "No devices were found", "nvidia-smi -dm 0"),
        (smi(12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system."), "12", "run ldconfig"),
        (smi(124), "gives no answer", "Restart Windows"),
        (smi(139), "ended with 139", "wsl --shutdown"),
        (smi(0, "no card in this line"), "no card in this line", "wsl --shutdown"),
    ],
)
def test_each_failure_is_named_with_what_mends_it(state: dict[str, Any], failure: str, mend: str) -> None:
    sentence = passthrough.broken_link({**GOOD, **state})  # type: ignore[typeddict-item]
    assert sentence is not None
    assert failure in sentence
    assert mend in sentence


def test_the_first_broken_link_is_named_and_no_later_one() -> None:
    everything = {**GOOD, "dxg": None, "libraries": None, "packages": ["nvidia-utils-550"], **smi(255, "x")}
    sentence = passthrough.broken_link(everything)  # type: ignore[arg-type]
    assert sentence is not None
    assert sentence.startswith("no /dev/dxg")
    assert "nvidia-utils" not in sentence


def test_a_driver_that_was_renewed_under_a_running_distro_is_warned_of() -> None:
    newer = passthrough.renewed(GOOD, [{"driver_version": "595.10"}])
    assert newer is not None
    assert "sees 591.86, the one from before an update. On Windows: wsl --shutdown" in newer
    assert passthrough.renewed(GOOD, [{"driver_version": "591.86"}]) is None
    assert passthrough.renewed(GOOD, []) is None


@pytest.mark.parametrize("lines", [[], ["dxg device"], ["moon full", "end"]])
def test_what_was_cut_or_is_not_ours_is_refused(lines: list[str]) -> None:
    with pytest.raises(FactProcessError):
        Passthrough().process(lines)


def read(folder: Path, device: Path) -> passthrough.Passthrough:
    """Run the fact's own shell on a folder of the test."""
    with patch.multiple(passthrough, FOLDER=str(folder), DEVICE=str(device), NVCC=str(folder / "nvcc")):
        command = Passthrough().command().get_raw_value()
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return Passthrough().process(done.stdout.splitlines())


def test_the_fact_reads_device_libraries_card_and_compiler(tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    write_libraries(folder, Gpu(memory_used=2000))
    nvcc = folder / "nvcc"
    nvcc.touch()
    nvcc.chmod(0o755)
    found = read(folder, Path("/dev/null"))
    assert (found["dxg"], found["smi"], found["nvcc"]) == ("device", 0, str(nvcc))
    assert found["libraries"] == ["libcuda.so.1", "libnvidia-ml.so.1", "nvidia-smi"]
    assert [(card["name"], card["memory_used_mib"]) for card in found["cards"]] == [("NVIDIA GeForce RTX 4090", 2000)]


def test_the_fact_reads_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    found = read(tmp_path / "none", tmp_path / "dxg")
    assert (found["dxg"], found["libraries"], found["smi"], found["nvcc"]) == ("file", None, None, None)
    assert read(tmp_path / "none", tmp_path / "none")["dxg"] is None


def test_a_driver_that_is_being_installed_shows_by_the_exit_code(tmp_path: Path) -> None:
    write_libraries(tmp_path, Gpu())
    (tmp_path / "gpu.conf").unlink()
    found = read(tmp_path, Path("/dev/null"))
    assert (found["smi"], found["cards"]) == (9, [])
    assert "couldn't communicate" in str(passthrough.broken_link({**GOOD, **smi(9, *found["said"])}))  # type: ignore[typeddict-item]


# --- the operations -----------------------------------------------------------------------------------------


def test_a_card_that_is_there_changes_nothing_and_is_told() -> None:
    run = run_operation(cuda.passthrough, {Passthrough: GOOD}, driver="591.86", card="RTX 4090")
    assert run.commands == []
    assert run.noops == ["NVIDIA GeForce RTX 4090, driver 591.86, 1893 of 24564 MiB taken"]


def test_a_broken_link_stops_the_host() -> None:
    run = run_operation(cuda.passthrough, {Passthrough: {**GOOD, "dxg": None}})
    (command,) = run.commands
    assert str(command.args[0]).startswith("The card of Windows does not reach somewhere: no /dev/dxg")  # type: ignore[attr-defined]


def test_a_distro_that_is_not_there_yet_is_no_failure() -> None:
    assert run_operation(cuda.passthrough, {Passthrough: None}).commands == []


def test_a_driver_version_that_is_none_is_refused() -> None:
    with pytest.raises(OperationValueError, match="is no version of a driver"):
        run_operation(cuda.passthrough, {}, driver="newest")


def test_a_toolkit_without_its_compiler_is_installed_again() -> None:
    packages = {name: {"1"} for name in ("cuda-toolkit-12-4", "cuda-nvcc-12-4", "cuda-toolkit-config-common")}
    run = run_operation(cuda.toolkit, {DebPackages: packages, Nvcc: None}, version="12.4")
    (again,) = [text for text in run.texts if "--reinstall" in text]
    assert again.endswith("install --reinstall cuda-toolkit-12-4 cuda-nvcc-12-4 cuda-toolkit-config-common")
    assert "nvcc: (missing, though cuda-toolkit-12-4 is installed)" in run.logged[0]
