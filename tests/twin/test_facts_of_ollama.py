"""What the facts about Ollama on Windows ask of us beyond what test_ollama_twelve_facts.py shows of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.twin.ollama_host import OllamaHost, quick
from tests.waiting import eventually
from vengeance.operations import windows
from vengeance.twin.windows.network import NetworkError

PORT = 11434
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OllamaHost:
    quick(monkeypatch)
    return OllamaHost(tmp_path)


def answers(box: OllamaHost) -> bool:
    try:
        return box.there.ask("GET", "/api/version").status == 200
    except NetworkError:
        return False


def test_11_a_port_that_is_set_aside_for_good_is_ollamas_also_after_an_unlucky_boot(box: OllamaHost) -> None:
    # As the deploys do: once Ollama has the port, it cannot be set aside any more.
    assert box.do(windows.reserved_port, port=PORT)
    box.stage()
    box.windows.port_ranges.unlucky = PORT
    for _ in range(2):
        box.reboot()
        assert not box.windows.sessions.desktops
        eventually(lambda: answers(box), "the server of the boot task")
    assert box.do(windows.reserved_port, port=PORT)
    assert not box.changed
    deploys = (ROOT / "deploys" / "vengeance.py").read_text()
    assert deploys.index("deploys/windows.py") < deploys.index("deploys/ollama.py")


def test_11_without_that_nobody_answers_after_such_a_boot(box: OllamaHost) -> None:
    box.stage()
    box.windows.port_ranges.unlucky = PORT
    box.reboot()
    log = box.there.drive_c / "ProgramData/vengeance/ollama/server.log"
    eventually(lambda: "forbidden by its access permissions" in log.read_text(), "the failed bind")
    assert not answers(box)
