"""The facts of the vLLM server; their commands are run for real, on files of this test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from pyinfra.api.exceptions import FactProcessError

from vengeance.facts import vllm
from vengeance.facts.vllm import journal, server


def run(command: str) -> list[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()


def test_an_environment_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
    fact = vllm.Environment()
    found = fact.process(run(fact.command(path=str(path)).get_raw_value()))
    assert found is not None
    assert found["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert found["owner"] == path.owner()
    assert "pip" in found["packages"]


def test_a_package_that_was_cut_short_while_it_was_installed_does_not_count(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    (record,) = tmp_path.glob("lib/python3*/site-packages/pip-*.dist-info/RECORD")
    record.unlink()
    fact = vllm.Environment()
    found = fact.process(run(fact.command(path=str(tmp_path)).get_raw_value()))
    assert found is not None
    assert "pip" not in found["packages"]


def test_no_environment_gives_no_output(tmp_path: Path) -> None:
    assert run(vllm.Environment().command(path=str(tmp_path / "none")).get_raw_value()) == []
    assert vllm.Environment.default() is None


@pytest.mark.parametrize("junk", [["Traceback"], ["{}"], ['{"python":"3","owner":"me","packages":{"pip":1}}']])
def test_a_description_that_is_none_is_refused(junk: list[str]) -> None:
    with pytest.raises(FactProcessError):
        vllm.Environment().process(junk)


def test_the_state_of_a_server_that_is_not_there(tmp_path: Path) -> None:
    with patch.object(server, "FOLDER", str(tmp_path)):
        command = vllm.Server().command(profile="none-such").get_raw_value()
    assert vllm.Server().process(run(command)) == vllm.ABSENT


def test_the_state_of_the_environment_file(tmp_path: Path) -> None:
    file, started = tmp_path / "none-such.env", tmp_path / "none-such.started-with"
    file.write_text("A=1\n")
    file.chmod(0o640)
    started.write_text("abc\n")
    with patch.object(server, "FOLDER", str(tmp_path)):
        command = vllm.Server().command(profile="none-such").get_raw_value()
    found = vllm.Server().process(run(command))
    assert found["environment"] == "91d6a3d55e9fea7911c537afae6607c77fa8bc0f3a76c375e104ac5a8cfa84db"
    assert found["environment_mode"] == "640"
    assert found["environment_owner"] == f"{file.owner()}:{file.group()}"
    assert found["started_with"] == "abc"


def test_a_state_that_was_cut_is_refused() -> None:
    with pytest.raises(FactProcessError, match="something of it is missing"):
        vllm.parse_server(["unit abc"])
    with pytest.raises(FactProcessError, match="nobody asked for"):
        vllm.parse_server(["moon full", "end"])


def test_health_is_yes_or_no() -> None:
    assert vllm.Health().process(["yes"]) is True
    assert vllm.Health().process(["no"]) is False
    assert run(vllm.Health().command(port=1).get_raw_value()) == ["no"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("token hf_abcdefghijklmnop is set", "token *MASKED* is set"),
        ("args: {'api_key': ['sk-a', 'sk-b'], 'port': 1}", "args: {'api_key': *MASKED*, 'port': 1}"),
        ("vllm serve m --api-key=sk-a --port 1", "vllm serve m --api-key=*MASKED* --port 1"),
        ("VLLM_API_KEY=sk-a x", "VLLM_API_KEY=*MASKED* x"),
        ("Authorization: Bearer sk-a", "Authorization: Bearer *MASKED*"),
        ("Loading shards: 40 % of hf_home", "Loading shards: 40 % of hf_home"),
    ],
)
def test_a_secret_in_a_log_is_masked_here_and_where_a_box_tells_it_as_it_comes(line: str, shown: str) -> None:
    assert journal.masked(line) == shown
    told = subprocess.run(["sed", "-E", journal.MASKING], input=line, capture_output=True, text=True, check=True)
    assert told.stdout == shown
