"""What a person is told who mistypes at the command line, or stops it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.test_settings import DATA
from vengeance.cli import main
from vengeance.operations import settings
from vengeance.secret import Secret


def test_ctrl_c_is_a_word_and_130_and_no_traceback() -> None:
    stopped = "import runpy, vengeance.cli\ndef main(): raise KeyboardInterrupt\nvengeance.cli.main = main\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{stopped}runpy.run_module('vengeance', run_name='__main__')"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("words", ["many", "2Q", "K", "", "2.5"])
def test_a_length_that_is_none_is_told_with_what_would_be(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["vram", "--max-model-len", words])
    assert ended.value.code == 64
    assert f"{words!r} is no number of tokens: write 2048, 2K (2048)" in capsys.readouterr().err


def test_the_mend_of_a_variable_that_is_not_set_ends_as_it_is_to_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ValueError, match=r"NOT_SET=\.\.\.$"):
        settings.check({**DATA["all"], **DATA["wsl"], "vllm_hf_token": Secret.from_environment("NOT_SET")}, ["wsl"])
