"""The whole deploy from bare, over a wire on which something goes wrong again and again."""

from __future__ import annotations

import pytest

from tests.faults.faulty_box import FaultyBox
from tests.faults.kinds import KINDS
from tests.faults.outcomes import RIGHT, judged

# Of the first 600, of more than 700. One that gets no answer costs the whole patience of the client.
EVERY, LAST = 9, 600
# The first shell, asked for twice then, and the first command in it.
CHOSEN = {1: KINDS["cut_after"], 3: KINDS["timed_out"], 100: KINDS["no_answer"]}
QUICK = [kind for name, kind in KINDS.items() if name != "no_answer"]


@pytest.mark.timeout(900)
def test_a_deploy_with_a_fault_at_every_ninth_request_ends_right_and_does_nothing_twice(box: FaultyBox) -> None:
    places = range(EVERY, LAST, EVERY)
    faults = {request: QUICK[number % len(QUICK)] for number, request in enumerate(places)}
    faults.update(CHOSEN)
    trial, hit = box.run_with("vengeance", faults)
    assert judged(trial) == (RIGHT, ""), trial.first.said[-4000:]
    assert len(hit) == len(faults)
    assert set(hit) >= {"Create", "Command", "Send", "Receive"}
    # The twin counted: what the deploy is for was done, and once.
    assert trial.done["restart of Windows"] == 1
    assert trial.done["distro Ubuntu-24.04 imported"] == 1
    assert {deed for deed in trial.done if deed.startswith("installer of")} == {
        "installer of ollama",
        "installer of wsl",
    }
