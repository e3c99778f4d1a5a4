"""The twin's libraries of the driver, and its stand-in for torch, which looks for the card through them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vengeance.twin.distro.card import CardSocket
from vengeance.twin.distro.looks import Gpu as Shown
from vengeance.twin.distro.looks import write_libraries
from vengeance.twin.distro.shared_object import shared_object
from vengeance.twin.torch_stand_in import build_torch_wheel
from vengeance.twin.windows.gpu import Gpu

LOOK = """\
import sys, torch
torch.cuda._DEVICE = sys.argv[1]
print(torch.cuda.is_available(), torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none")
"""


@pytest.fixture(scope="module")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torch")
    with zipfile.ZipFile(build_torch_wheel(folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture
def libraries() -> Iterator[Path]:
    """The folder that distros see as /usr/lib/wsl/lib, with a card that answers; short, for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="vl-") as place:
        folder = Path(place)
        write_libraries(folder, Shown())
        socket = CardSocket(folder, Gpu())
        yield folder
        socket.close()


def look(torch: Path, libraries: Path | str, device: str = "/dev/null", **variables: str) -> list[str]:
    """What torch says in a process that has its libraries from a folder."""
    environment = {**os.environ, "PYTHONPATH": str(torch), "LD_LIBRARY_PATH": str(libraries), **variables}
    command = [sys.executable, "-c", LOOK, device]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.strip().split(" ", 1)


def test_a_library_is_one_that_the_loader_takes(tmp_path: Path) -> None:
    file = tmp_path / "libmine.so.1"
    file.write_bytes(shared_object("libmine.so.1"))
    loaded = ctypes.CDLL(str(file))
    with pytest.raises(AttributeError):
        loaded.cuInit  # noqa: B018


def test_with_device_libraries_and_card_there_is_one(torch: Path, libraries: Path) -> None:
    assert look(torch, libraries) == ["True", "NVIDIA GeForce RTX 4090"]


@pytest.mark.parametrize("device", ["/dev/not-there", "/"])
def test_without_a_device_that_can_be_opened_there_is_none(torch: Path, libraries: Path, device: str) -> None:
    assert look(torch, libraries, device)[0] == "False"


def test_without_the_libraries_there_is_none(torch: Path, libraries: Path) -> None:
    assert look(torch, "")[0] == "False"
    (libraries / "libnvidia-ml.so.1").unlink()
    assert look(torch, libraries)[0] == "False"


def test_the_library_of_a_linux_driver_in_front_finds_no_card(torch: Path, libraries: Path, tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(shared_object("libcuda.so.1"))
    assert look(torch, f"{tmp_path}:{libraries}")[0] == "False"
    assert look(torch, f"{libraries}:{tmp_path}")[0] == "True"


def test_a_card_that_does_not_answer_or_is_hidden_is_none(torch: Path, libraries: Path) -> None:
    assert look(torch, libraries, CUDA_VISIBLE_DEVICES="-1")[0] == "False"
    (libraries / ".card").unlink()
    assert look(torch, libraries)[0] == "False"


def test_a_driver_that_is_older_than_cuda_12_is_none(torch: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vl-") as place:
        gpu = Gpu()
        gpu.set(driver="522.06")
        write_libraries(Path(place), Shown(driver="522.06"))
        socket = CardSocket(Path(place), gpu)
        assert look(torch, place)[0] == "False"
        socket.close()
