"""The hosts that the acceptance tests look at: those of one inventory file, the twin's by default.

pytest tests/box                                            a twin of this test run, which is deployed first
VENGEANCE_INVENTORY=inventory/home.py pytest tests/box      the real box, which is only read
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.state import State
from testinfra.host import Host

from tests.twin_deploys import ROOT, TWIN, Deploy, Finished, run_pyinfra, vllm_at_boot
from vengeance.verify import inventory
from vengeance.verify.backends import for_testinfra


@pytest.fixture(scope="session")
def inventory_file() -> Path:
    """The inventory file that was chosen."""
    return (ROOT / os.environ.get("VENGEANCE_INVENTORY", str(TWIN))).resolve()


@pytest.fixture(scope="session")
def run_deploy(inventory_file: Path, request: pytest.FixtureRequest) -> Deploy:
    """Runs pyinfra's command line on the twin; the real box is never changed by a test."""
    if inventory_file != TWIN:
        pytest.skip("a deploy is only run on the twin, and these tests look at a real box")
    twin = request.getfixturevalue("twin")
    distro = twin.status()["distro"]
    if distro["rung"] == "none":
        pytest.skip(f"the twin has no distro here: {' '.join(distro['missing'])}")

    return partial(run_pyinfra, "tests", *vllm_at_boot())


@pytest.fixture(scope="session")
def first_run(run_deploy: Deploy) -> Finished:
    """The whole deploy on a new twin, with all that pyinfra can be made to say."""
    finished = run_deploy("deploys/vengeance.py", "--yes", "--diff", "--debug", "-vvv")
    assert finished.returncode == 0, (
        f"the deploy on the twin failed:\n{finished.stdout[-5000:]}\n{finished.stderr[-5000:]}"
    )
    return finished


@pytest.fixture(scope="session")
def deployed(inventory_file: Path, request: pytest.FixtureRequest) -> None:
    """The twin has been deployed; of the real box it is taken for granted, and shown by the tests."""
    if inventory_file == TWIN:
        request.getfixturevalue("first_run")


@pytest.fixture(scope="session")
def box(deployed: None, inventory_file: Path) -> Iterator[State]:
    """The connected hosts of the inventory."""
    # A connection of its own: what the deploy's session knew does not count.
    before = os.environ.get("VENGEANCE_TWIN")
    os.environ["VENGEANCE_TWIN"] = "tests"
    try:
        state = inventory.connect(inventory.load(inventory_file, ROOT / "group_data"))
    finally:
        if before is None:
            del os.environ["VENGEANCE_TWIN"]
        else:
            os.environ["VENGEANCE_TWIN"] = before
    yield state
    for host in state.inventory:
        host.disconnect()


def only_host(state: State, group: str) -> PyinfraHost:
    """The one host of a group."""
    (host,) = state.inventory.get_group(group)
    return host


@pytest.fixture(scope="session")
def windows(box: State) -> Host:
    """The Windows host, for testinfra: commands are those of cmd.exe, in a process of their own."""
    return for_testinfra(only_host(box, "windows"))


@pytest.fixture(scope="session")
def linux(box: State) -> Host:
    """The distro, for testinfra."""
    return for_testinfra(only_host(box, "wsl"))


@pytest.fixture(scope="session")
def settings(box: State) -> dict[str, object]:
    """The settings of the distro: its host data over the group data."""
    return dict(only_host(box, "wsl").data.dict())  # type: ignore[no-untyped-call]


@pytest.fixture
def toolkit(settings: dict[str, object]) -> None:
    """Skips a test that needs CUDA's toolkit where the twin cannot serve NVIDIA's packages."""
    if not settings["cuda_toolkit"]:
        pytest.skip("this twin has no package source of NVIDIA's, so the toolkit is not installed in it")


@pytest.fixture
def systemd(settings: dict[str, object]) -> None:
    """Skips a test that needs running units where the twin cannot boot systemd."""
    if not settings["systemd"]:
        pytest.skip("this twin's machine has no namespaces, so nothing runs under systemd in it")
