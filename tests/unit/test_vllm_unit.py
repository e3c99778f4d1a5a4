"""The unit of a vLLM server: what systemd itself says of it, and the program that looks at the card before a start."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand
from pyinfra.api.exceptions import OperationValueError

from tests.unit.operation_runs import run_operation
from vengeance.box import vllm_unit
from vengeance.facts.vllm.interpreter import Interpreter
from vengeance.operations import vllm

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "templates" / "vllm-card.py"
PATH = "/home/steam/vllm-env"
SETTINGS: dict[str, Any] = {"model": "a/b", "port": 8080, "gpu_memory_utilization": 0.9}
# Measured with systemd 252; newer versions count what they can more, such as PrivateUsers.
HIGHEST_EXPOSURE = 3.5


def unit(path: str = PATH, python: str = "/usr/bin/python3.12", **arguments: Any) -> str:
    """The rendered unit of the profile ``coder``."""
    given = {"profile": "coder", "settings": SETTINGS, "path": path, "user": "steam", **arguments}
    run = run_operation(vllm.server, {Interpreter: python}, **given)
    uploads = [command for command in run.commands if isinstance(command, FileUploadCommand)]
    (text,) = [str(each.src.getvalue()) for each in uploads if each.dest.endswith(".service")]  # type: ignore[union-attr]
    return text


def values(text: str, name: str) -> list[str]:
    """What a unit sets a directive to, in its order."""
    return re.findall(rf"(?m)^{name}=(.*)$", text)


# --- systemd's own judgement --------------------------------------------------------------------------------


@pytest.fixture
def analyze() -> str:
    """systemd-analyze with a verdict offline; skips where this machine has none."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("this machine has no systemd-analyze")
    version = int(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[1])
    if not 250 <= version <= 259:
        pytest.skip(f"systemd {version} judges no unit that is not loaded, or by rules that nobody has looked at here")
    return program


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the unit, and the programs that it starts beside it, for systemd looks whether they are there."""
    for name in ("venv/bin/vllm", "vllm-card"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    text = unit(str(tmp_path / "venv"), profiles=["another", "coder"], api_key="generated", hf_home="/home/steam/hf")
    text = text.replace("/usr/local/lib/vengeance/vllm-card", str(tmp_path / "vllm-card"))
    (tmp_path / "vllm-coder.service").write_text(text.replace("User=steam", "User=root"))
    return tmp_path / "vllm-coder.service"


def test_systemd_finds_no_fault_in_the_unit(analyze: str, installed: Path) -> None:
    done = subprocess.run([analyze, "verify", str(installed)], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "vllm" in line]) == (0, [])


def test_a_word_that_systemd_does_not_know_would_be_found(analyze: str, installed: Path) -> None:
    installed.write_text(installed.read_text().replace("ProtectHome=tmpfs", "ProtectHome=tempfs"))
    done = subprocess.run([analyze, "verify", str(installed)], capture_output=True, text=True)
    assert "vllm-coder.service" in done.stderr


def test_the_unit_is_exposed_as_little_as_the_card_allows(analyze: str, installed: Path) -> None:
    command = [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={HIGHEST_EXPOSURE * 10:.0f}"]
    # It is judged as the user's, and the user of a unit need not be on this machine.
    installed.write_text(installed.read_text().replace("User=root", "User=steam"))
    done = subprocess.run([*command, str(installed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    installed.write_text(installed.read_text().replace("ProtectSystem=strict", "").replace("ProtectHome=tmpfs", ""))
    done = subprocess.run([*command, str(installed)], capture_output=True, text=True)
    assert done.returncode == 1, "an open unit would be found"


def test_what_is_left_open_is_what_the_page_gives_reasons_for(analyze: str, installed: Path) -> None:
    installed.write_text(installed.read_text().replace("User=root", "User=steam"))
    command = [analyze, "security", "--offline=yes", "--no-pager", "--json=short", str(installed)]
    judged = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    left = {each["name"].split("=")[0] for each in judged if each["set"] is False and each["exposure"]}
    page = (ROOT / "docs" / "vllm-unit.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"(?m)^\| `(\w+)` \|", page))
    assert left - reasons == set()
    assert len(left) > 9


# --- what it sees -------------------------------------------------------------------------------------------


def test_of_the_homes_it_sees_its_environment_and_its_models_alone() -> None:
    text = unit(hf_home="/home/steam/.cache/huggingface")
    assert values(text, "ProtectHome") == ["tmpfs"]
    assert re.findall(r"(\S+):ro,", " ".join(values(text, "TemporaryFileSystem"))) == list(vllm_unit.HIDDEN)
    assert values(text, "BindReadOnlyPaths") == [PATH, "-/home/steam/.cache/huggingface"]
    assert values(text, "BindPaths") == []
    assert "-/home/steam/.cache/huggingface/token" in values(text, "InaccessiblePaths")[0]


def test_its_shared_memory_is_out_of_reach_of_logind() -> None:
    own = [folder for folder in values(unit(), "TemporaryFileSystem") if folder.startswith("/dev/shm:rw,mode=1777")]
    assert len(own) == 1


def test_a_server_that_may_download_writes_to_its_models_and_sees_the_token() -> None:
    text = unit(hf_home="/home/steam/hf", variables={"HF_HUB_OFFLINE": "0"})
    assert values(text, "BindReadOnlyPaths") == [PATH]
    assert values(text, "BindPaths") == ["-/home/steam/hf"]
    assert values(text, "InaccessiblePaths") == []


def test_models_outside_of_the_homes_need_nothing() -> None:
    assert values(unit(hf_home="/srv/models"), "BindReadOnlyPaths") == [PATH]


def test_a_model_in_a_folder_of_a_home_is_seen() -> None:
    text = unit(settings={**SETTINGS, "model": "/home/steam/models/mine"})
    assert values(text, "BindReadOnlyPaths") == ["/home/steam/models/mine", PATH]


def test_a_python_that_was_fetched_into_a_home_is_seen() -> None:
    python = "/home/steam/.local/share/uv/python/cpython-3.12.8-linux-x86_64-gnu/bin/python3.12"
    assert values(unit(python=python), "BindReadOnlyPaths")[0] == python.removesuffix("/bin/python3.12")


def test_a_folder_in_another_is_named_once() -> None:
    words = ["/home/steam/vllm-env/model", "/home/steam/vllm-environment"]
    assert vllm_unit.folders(PATH, words, {}, None) == [PATH, "/home/steam/vllm-environment"]


@pytest.mark.parametrize("folder", ["/home/steam/a:b", "/home/steam/a b", "/home/steam/%h", "/home/steam/../root"])
def test_a_folder_that_systemd_would_misread_is_refused(folder: str) -> None:
    with pytest.raises(OperationValueError, match="cannot be shown to the server"):
        unit(hf_home=folder)


def test_the_card_and_its_libraries_are_left_visible() -> None:
    text = unit()
    assert values(text, "PrivateDevices") == ["no"]
    assert values(text, "DeviceAllow") == ["/dev/dxg rw"]
    hiding = ("InaccessiblePaths", "TemporaryFileSystem", "RootDirectory", "RootImage", "ProcSubset")
    assert [value for name in hiding for value in values(text, name) if "/usr" in value or name == "ProcSubset"] == []


def test_on_the_processor_nothing_of_the_card_is_asked() -> None:
    text = unit(device="cpu")
    assert values(text, "ExecStartPre") + values(text, "DeviceAllow") == []
    assert values(text, "ExecStart")


def test_the_card_is_looked_at_for_the_part_that_the_profile_takes() -> None:
    program = "/usr/local/lib/vengeance/vllm-card"
    assert values(unit(), "ExecStartPre") == [f"{program} 0.9"]
    default = {"model": "a/b", "port": 8080}
    assert values(unit(settings=default, version="0.15.1"), "ExecStartPre") == [f"{program} 0.9"]


def test_what_an_upgrade_removes_is_where_servers_compile_to() -> None:
    named = dict(word.split("=", 1) for line in values(unit(), "Environment") for word in line.split())
    assert {*vllm_unit.COMPILED} == {
        named["TRITON_CACHE_DIR"],
        named["TORCHINDUCTOR_CACHE_DIR"],
        f"{named['VLLM_CACHE_ROOT']}/torch_compile_cache",
        f"{named['HOME']}/.cache/flashinfer",
    }


# --- one at a time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profiles", "after"), [(["coder"], []), (["coder", "zoo"], []), (["another", "coder"], ["vllm-another.service"])]
)
def test_one_of_two_servers_waits_for_the_others_end_and_never_both(profiles: list[str], after: list[str]) -> None:
    text = unit(profiles=profiles)
    others = [f"vllm-{name}.service" for name in profiles if name != "coder"]
    assert " ".join(values(text, "Conflicts")).split() == others
    assert " ".join(values(text, "After")).split() == ["network-online.target", *after]


def test_the_generated_key_is_read_from_its_file_and_must_be_there() -> None:
    assert values(unit(api_key="generated"), "EnvironmentFile") == ["/etc/vllm/coder.env", "/etc/vllm/api-key.env"]
    assert values(unit(), "EnvironmentFile") == ["/etc/vllm/coder.env"]


# --- the look at the card -----------------------------------------------------------------------------------


class Ollama(BaseHTTPRequestHandler):
    """Holds a model."""

    def do_GET(self) -> None:
        body = json.dumps({"models": [{"name": "qwen2.5:14b", "size_vram": 7000 * 2**20}]}).encode()
        self.send_response(200 if self.path == "/api/ps" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@contextmanager
def ollama() -> Iterator[int]:
    """Its port."""
    with HTTPServer(("127.0.0.1", 0), Ollama) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def look(
    folder: Path, smi: str = "echo 20000, 24564", *, device: bool = True, port: int = 1, part: str = "0.9"
) -> subprocess.CompletedProcess[str]:
    """Run the program on a card that is a folder of files."""
    if device:
        (folder / "dxg").touch()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
    (folder / "nvidia-smi").chmod(0o755)
    # The default route, by way of ourselves: 127.0.0.1.
    (folder / "route").write_text("Iface\tDestination\tGateway\neth0\t00000000\t0100007F\t0003\n")
    text = CARD.read_text()
    for name, value in {
        "DEVICE": str(folder / "dxg"),
        "NVIDIA_SMI": str(folder / "nvidia-smi"),
        "ROUTES": str(folder / "route"),
        "OLLAMA_PORT": port,
        "PAUSE_SECONDS": 0,
    }.items():
        text, changed = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", text)
        assert changed == 1
    return subprocess.run([sys.executable, "-I", "-c", text, part], capture_output=True, text=True, timeout=60)


def test_a_card_that_is_free_enough_is_told_with_its_numbers(tmp_path: Path) -> None:
    done = look(tmp_path, "echo 22664, 24564")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "vllm-card: 22664 of 24564 MiB are free, and 22107 MiB are enough (0.9 of the card).\n"


def test_a_card_that_is_taken_is_told_with_who_has_it(tmp_path: Path) -> None:
    with ollama() as port:
        done = look(tmp_path, port=port)
    assert done.returncode == 1
    assert done.stderr == (
        "vllm-card: 20000 of 24564 MiB are free, and 22107 MiB are wanted (0.9 of the card). Ollama on Windows holds "
        "qwen2.5:14b (7000 MiB); other programs on Windows are not seen from here.\n"
    )


def test_a_program_of_this_distro_that_has_the_card_open_is_named(tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    with (tmp_path / "dxg").open():
        assert f"(process {os.getpid()}) has it open" in look(tmp_path).stderr


def test_an_ollama_that_cannot_be_asked_is_not_said_to_hold_nothing(tmp_path: Path) -> None:
    done = look(tmp_path)
    assert "Ollama on Windows cannot be asked from here" in done.stderr


def test_memory_that_comes_back_a_moment_later_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "asked"
    smi = f'if [ -e {file} ]; then echo "22664, 24564"; else touch {file}; echo "100, 24564"; fi'
    assert look(tmp_path, smi).returncode == 0


@pytest.mark.parametrize(
    ("device", "smi", "said"),
    [
        (False, "exit 0", "is not there: WSL gives this distro no card."),
        (True, "echo it is broken; exit 9", "nvidia-smi ended with 9: it is broken"),
        (True, "exit 0", "nvidia-smi ended with 0: it says nothing"),
    ],
)
def test_a_card_that_is_not_there_is_a_sentence(tmp_path: Path, device: bool, smi: str, said: str) -> None:
    done = look(tmp_path, smi, device=device)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_program_runs_on_the_oldest_python_that_a_distro_has() -> None:
    """Ubuntu 22.04 has 3.10."""
    compile(CARD.read_text(), str(CARD), "exec", dont_inherit=True)
    import ast

    ast.parse(CARD.read_text(), feature_version=(3, 10))
