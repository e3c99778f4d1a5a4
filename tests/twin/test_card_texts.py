"""What the stand-in for vLLM says when the card does not give it what it wants: the texts that vLLM itself prints."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.waiting import until
from vengeance.twin.distro.card import CardSocket
from vengeance.twin.distro.looks import CARD_SOCKET
from vengeance.twin.vllm_stand_in import build_wheel
from vengeance.twin.windows.gpu import Gpu

MODEL = "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ"
QWEN = {
    "num_hidden_layers": 64,
    "hidden_size": 5120,
    "intermediate_size": 27648,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
}
STARTING = """\
import sys, vllm, vllm.card as card, vllm.entrypoints.openai.api_server as server
card.DEVICE, card.SOCKET, server.__version__ = sys.argv[1:4]
sys.exit(server.main(sys.argv[4:]))
"""
TOO_LITTLE = re.compile(
    r"ValueError: Free memory on device cuda:0 \(([\d.]+)/([\d.]+) GiB\) on startup is less than desired GPU memory "
    r"utilization \(([\d.]+), ([\d.]+) GiB\)\. Decrease GPU memory utilization or reduce GPU memory used by other "
    r"processes\."
)
TOO_LONG = re.compile(
    r"\(([\d.]+) GiB KV cache is needed, which is larger than the available KV cache memory \((-?[\d.]+) GiB\)"
)
LONGEST = re.compile(r"estimated maximum model length is (\d+)")


class Ended(NamedTuple):
    """How a server ended that did not start."""

    code: int
    said: str


class Place:
    """A card, and the stand-in beside it on this machine."""

    def __init__(self, folder: Path, unpacked: Path) -> None:
        self.folder = folder
        self.unpacked = unpacked
        self.device = folder / "dxg"
        self.device.touch()
        self.card = Gpu()
        self.socket = CardSocket(folder, self.card)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def begin(self, *flags: str, version: str = "0.15.1", home: str = "") -> subprocess.Popen[str]:
        """Start a server."""
        words = [str(self.device), str(self.folder / CARD_SOCKET), version, "--model", MODEL, "--host", "127.0.0.1"]
        return subprocess.Popen(
            [sys.executable, "-c", STARTING, *words, "--port", str(self.port), *flags],
            cwd=self.unpacked,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"HF_HOME": home or str(self.folder / "hf"), "PYTHONUNBUFFERED": "1"},
        )

    def fails(self, *flags: str, version: str = "0.15.1") -> Ended:
        """Start a server that does not come up."""
        process = self.begin(*flags, version=version)
        said, _ = process.communicate(timeout=30)
        return Ended(process.returncode, said)

    def answers(self) -> bool:
        """Whether a server is healthy."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def has_config(self, revision: str = "main") -> None:
        """Put the model's config.json where Hugging Face's cache has it."""
        folder = self.folder / "hf/hub" / f"models--{MODEL.replace('/', '--')}"
        for path, text in ((f"refs/{revision}", "0123abcd"), ("snapshots/0123abcd/config.json", json.dumps(QWEN))):
            (folder / path).parent.mkdir(parents=True)
            (folder / path).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build_wheel(folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture
def place(tmp_path: Path, unpacked: Path) -> Iterator[Place]:
    one = Place(tmp_path, unpacked)
    yield one
    one.socket.close()


def cause(said: str) -> str:
    """The first exception that an engine names, as whoever reads the journal finds it."""
    lines = [line for line in said.splitlines() if "EngineCore" in line and re.search(r"\w+Error: ", line)]
    return lines[0].split("] ", 1)[1]


def test_a_served_model_holds_its_part_of_the_card_until_the_server_ends(place: Place) -> None:
    process = place.begin("--gpu-memory-utilization", "0.92")
    assert until(place.answers)
    assert [(one.mib, one.image, one.label, one.pid) for one in place.card.holders] == [(22598, "python3", MODEL, 0)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert until(lambda: place.card.used_mib == place.card.idle_mib)


def test_a_killed_server_gives_its_memory_back(place: Place) -> None:
    process = place.begin()
    assert until(place.answers)
    process.kill()
    process.communicate(timeout=30)
    assert until(lambda: place.card.holders == [])


@pytest.mark.parametrize("missing", ["device", "socket", "card"])
def test_where_there_is_no_card_the_device_type_is_not_inferred(place: Place, missing: str) -> None:
    if missing == "device":
        place.device.unlink()
    elif missing == "socket":
        place.socket.close()
    else:
        place.card.set(present=False)
    ended = place.fails()
    assert ended.code == 1
    assert "RuntimeError: Failed to infer device type, please set the environment variable" in ended.said


@pytest.mark.parametrize(("driver", "version", "found"), [("516.94", "0.15.1", 11000), ("576.80", "0.32.0", 12090)])
def test_a_driver_that_is_too_old_is_named_with_its_version(
    place: Place, driver: str, version: str, found: int
) -> None:
    place.card.set(driver=driver)
    ended = place.fails(version=version)
    assert ended.code == 1
    assert f"The NVIDIA driver on your system is too old (found version {found})." in ended.said


def test_memory_that_somebody_else_has_is_told_before_anything_is_loaded(place: Place) -> None:
    assert place.card.take("game", 12_000, "Cyberpunk2077.exe", 4321)
    ended = place.fails("--gpu-memory-utilization", "0.92")
    assert ended.code == 1
    match = TOO_LITTLE.search(cause(ended.said))
    assert match is not None
    assert match.groups() == ("10.41", "23.99", "0.92", "22.07")
    assert "Engine core initialization failed. See root cause above." in ended.said.splitlines()[-1]
    assert [one.image for one in place.card.holders] == ["Cyberpunk2077.exe"]


@pytest.mark.parametrize(("version", "whose"), [("0.15.1", "the models's max"), ("0.33.0", "the model's max")])
def test_a_cache_that_cannot_hold_one_request_is_told_with_the_longest_that_fits(
    place: Place, version: str, whose: str
) -> None:
    place.has_config()
    flags = ["--gpu-memory-utilization", "0.85", "--max-model-len", "4096"]
    ended = place.fails(*flags, version=version)
    assert ended.code == 1
    text = cause(ended.said)
    match, longest = TOO_LONG.search(text), LONGEST.search(text)
    assert match is not None
    assert longest is not None
    assert whose in text
    assert ("also controls CPU memory" in text) is (version == "0.33.0")
    # 4096 tokens of this model are exactly 1 GiB; at 0.85 of the card there is less left.
    assert float(match[1]) == 1.0
    assert 0 < float(match[2]) < 1.0
    assert int(longest[1]) % 16 == 0
    fitting = place.begin("--gpu-memory-utilization", "0.85", "--max-model-len", longest[1])
    assert until(place.answers)
    fitting.terminate()
    fitting.communicate(timeout=30)


def test_a_model_whose_weights_leave_nothing_has_no_memory_for_the_cache(place: Place) -> None:
    place.has_config()
    ended = place.fails("--gpu-memory-utilization", "0.8")
    assert ended.code == 1
    assert "No available memory for the cache blocks. Try increasing `gpu_memory_utilization`" in cause(ended.said)


def test_the_seeds_setting_of_the_big_model_fits(place: Place) -> None:
    place.has_config()
    process = place.begin("--gpu-memory-utilization", "0.92", "--max-model-len", "2048", "--enforce-eager")
    assert until(place.answers)
    process.terminate()
    said, _ = process.communicate(timeout=30)
    taken = re.search(r"Model loading took ([\d.]+) GiB", said)
    assert taken is not None
    assert abs(float(taken[1]) / 18.14 - 1) < 0.01


def test_a_taken_port_is_told_before_the_card_is_asked_for_memory(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        ended = place.fails()
    assert ended.code == 1
    assert "OSError: [Errno 98] Address already in use" in ended.said
    assert place.card.holders == []


def test_what_is_no_request_to_the_card_is_refused_and_the_next_one_answered(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place.folder / CARD_SOCKET))
        with connection.makefile("rwb") as stream:
            for line in (b"nonsense", b"[]", b"{}", b'{"take": -1}', b'{"take": "much"}', b'{"take": 100}'):
                stream.write(line + b"\n")
                stream.flush()
                answer = json.loads(stream.readline())
                assert answer["ok"] is (line == b'{"take": 100}')
        assert answer["used"] == place.card.idle_mib + 100
    assert until(lambda: place.card.holders == [])
