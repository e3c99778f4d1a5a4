"""The card handed over and back, ROUNDS times in one run; what the twin's card looks like each time goes to SEEN."""

import json
import os
from pathlib import Path

from pyinfra.context import host
from pyinfra.local import include
from pyinfra.operations import python

from vengeance.operations import stage
from vengeance.twin.client import Twin


def look(mode: str) -> None:
    """Write down who has the card."""
    card = Twin(os.environ["VENGEANCE_TWIN"]).card()
    seen = {"mode": mode, "used": card["used_mib"], "holders": [one["image"] for one in card["holders"]]}
    with Path(os.environ["SEEN"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(seen) + "\n")


for _ in host.loop(range(int(os.environ["ROUNDS"]))):  # type: ignore[no-untyped-call]
    for mode in host.loop(["batch", "interactive"]):  # type: ignore[no-untyped-call]
        host.data.mode = mode
        include("deploys/mode.py")
        stage.begins(name=f"The card in mode {mode}")
        if "windows" in host.groups:
            python.call(name=f"Look at the card in mode {mode}", function=look, mode=mode)
        stage.begins(name=f"Mode {mode} was looked at")
