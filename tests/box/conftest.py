"""The box that the acceptance tests look at.

pytest tests/box                                       a twin of this test run's own, which is deployed first
pytest tests/box --inventory inventory/home.py         that box, as it is: nothing is deployed, and nothing changed
python -m vengeance verify                             the same, sentence by sentence and with a verdict

--disturb restarts it and hands its card over, too; a twin of the test run's own is disturbed anyway.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.state import State
from testinfra.host import Host

from tests.box.elsewhere import Elsewhere
from tests.twin_deploys import TWIN, Deploy, Finished, run_pyinfra, vllm_at_boot
from tests.waiting import eventually, until
from vengeance.cli import boxes
from vengeance.cli.boxes import InventoryError
from vengeance.secret import Secret
from vengeance.twin.client import Twin
from vengeance.verify import plugin
from vengeance.verify.backends import for_testinfra
from vengeance.verify.box import Box, WhichBox, only
from vengeance.verify.modules.ollama import Ollama
from vengeance.verify.modules.vllm import Vllm

NAME = "box"
_HEALTHY_SECONDS = 900.0


@dataclass
class Looked:
    """The box while it is looked at, and what was seen before anything of it was woken.

    ``running``: the distros that ran before this run's own connection would have started one
    """

    state: State
    box: Box
    running: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def own_twin(request: pytest.FixtureRequest) -> bool:
    """Whether the box is a twin of this test run's own, which may be done anything to."""
    return request.config.getoption("inventory", None) is None


@pytest.fixture(scope="session")
def inventory_file(request: pytest.FixtureRequest) -> Path:
    """The inventory file that was chosen."""
    return Path(request.config.getoption("inventory", None) or TWIN).resolve()


@pytest.fixture(scope="session", autouse=True)
def twin_home(own_twin: bool, request: pytest.FixtureRequest) -> Path | None:
    """Of a box that is looked at as it is, a twin is the user's own, and lies where his twins do."""
    return request.getfixturevalue("twin_home") if own_twin else None


@pytest.fixture(scope="session")
def twin(twin_home: Path | None, own_twin: bool) -> Iterator[Twin]:
    """The twin of these tests alone: what other files do to theirs shows nowhere here."""
    if not own_twin:
        pytest.skip("these sentences are about a twin of the test run's own")
    made = Twin(NAME)
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def run_deploy(twin: Twin) -> Deploy:
    """Runs pyinfra's command line on the twin; a box that is looked at as it is, is never changed by a deploy."""
    distro = twin.status()["distro"]
    if distro["rung"] == "none":
        pytest.skip(f"the twin has no distro here: {' '.join(distro['missing'])}")

    return partial(run_pyinfra, NAME, *vllm_at_boot())


@pytest.fixture(scope="session")
def first_run(run_deploy: Deploy) -> Finished:
    """The whole deploy on a new twin, with all that pyinfra can be made to say."""
    finished = run_deploy("deploys/vengeance.py", "--yes", "--diff", "--debug", "-vvv")
    assert finished.returncode == 0, (
        f"the deploy on the twin failed:\n{finished.stdout[-5000:]}\n{finished.stderr[-5000:]}"
    )
    return finished


@pytest.fixture(scope="session")
def deployed(own_twin: bool, request: pytest.FixtureRequest) -> None:
    """The twin of the test run has been deployed; of another box it is shown by the tests."""
    if own_twin:
        request.getfixturevalue("first_run")


@contextmanager
def named_twin(own: bool) -> Iterator[None]:
    """inventory/twin.py means the twin of this test run, where there is one."""
    before = os.environ.get("VENGEANCE_TWIN")
    if own:
        os.environ["VENGEANCE_TWIN"] = NAME
    try:
        yield
    finally:
        if own:
            os.environ.pop("VENGEANCE_TWIN")
            if before is not None:
                os.environ["VENGEANCE_TWIN"] = before


@pytest.fixture(scope="session")
def looked(deployed: None, own_twin: bool, inventory_file: Path, request: pytest.FixtureRequest) -> Iterator[Looked]:
    """The connected hosts of the box; a run ends here with one sentence where there is nothing to look at."""
    config = request.config
    hosts: list[PyinfraHost] = []
    try:
        with named_twin(own_twin):
            found = boxes.load(inventory_file)
        box = only(found, config.getoption("limit", None))
        plugin.recorder(config).report.box = box.name
        state = State(found, Config())  # type: ignore[no-untyped-call]
        for host in box.hosts:
            plugin.hide(config, secrets_of(host).values())
        made = Looked(state, box)
        if box.windows is not None:
            box.windows.connect(show_errors=False, raise_exceptions=True)
            hosts.append(box.windows)
            made.running = for_testinfra(box.windows).wsl.running
            refuse_undeployed(box, inventory_file)
        if box.distro is not None:
            box.distro.connect(show_errors=False, raise_exceptions=True)
            hosts.append(box.distro)
    except (InventoryError, WhichBox, ConnectError) as error:
        if own_twin:
            raise
        pytest.exit(str(error), returncode=1)
    yield made
    for host in hosts:
        with suppress(OSError):
            host.disconnect()


def refuse_undeployed(box: Box, inventory: Path) -> None:
    """End the run with a sentence where no deploy has ever been: each of the tests would only say the same."""
    if box.windows is None or box.distro is None:
        return
    windows = for_testinfra(box.windows)
    task = windows.scheduled_task(f"wsl {box.distro.data.wsl_distro}")
    if windows.windows_environment("OLLAMA_HOST").machine is None and not task.exists:
        pytest.exit(
            f"{box.windows.name} has not been deployed: pyinfra {inventory.parent.name}/{inventory.name} "
            "deploys/vengeance.py does that.",
            returncode=1,
        )


def secrets_of(host: PyinfraHost) -> dict[str, str]:
    """Name -> text of every secret that is declared for a host."""
    data: dict[str, object] = host.data.dict()  # type: ignore[no-untyped-call]
    return {name: value.reveal() for name, value in data.items() if isinstance(value, Secret)}


def only_host(state: State, group: str) -> PyinfraHost:
    """The one host of a group."""
    (host,) = state.inventory.get_group(group)
    return host


@pytest.fixture(scope="session")
def box(looked: Looked) -> State:
    """The state with the connected hosts."""
    return looked.state


@pytest.fixture(scope="session")
def windows_host(looked: Looked) -> PyinfraHost:
    """The Windows host, as pyinfra knows it."""
    if looked.box.windows is None:
        pytest.skip("the Windows side is not looked at (--limit), or stands in no inventory")
    return looked.box.windows


@pytest.fixture(scope="session")
def linux_host(looked: Looked) -> PyinfraHost:
    """The distro, as pyinfra knows it."""
    if looked.box.distro is None:
        pytest.skip("the distro is not looked at (--limit), or stands in no inventory")
    return looked.box.distro


@pytest.fixture(scope="session")
def windows(windows_host: PyinfraHost) -> Host:
    """The Windows host, for testinfra: commands are those of cmd.exe, in a process of their own."""
    return for_testinfra(windows_host)


@pytest.fixture(scope="session")
def linux(linux_host: PyinfraHost) -> Host:
    """The distro, for testinfra."""
    return for_testinfra(linux_host)


@pytest.fixture(scope="session")
def declared(windows_host: PyinfraHost) -> dict[str, Any]:
    """The settings of the Windows side: its host data over the group data."""
    return dict(windows_host.data.dict())  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def settings(linux_host: PyinfraHost) -> dict[str, Any]:
    """The settings of the distro: its host data over the group data."""
    return dict(linux_host.data.dict())  # type: ignore[no-untyped-call]


@pytest.fixture
def toolkit(settings: dict[str, object]) -> None:
    """Skips a test that needs CUDA's toolkit where the twin cannot serve NVIDIA's packages."""
    if not settings["cuda_toolkit"]:
        pytest.skip("this twin has no package source of NVIDIA's, so the toolkit is not installed in it")


@pytest.fixture(scope="session")
def systemd(settings: dict[str, object]) -> None:
    """Skips a test that needs running units where the twin cannot boot systemd."""
    if not settings["systemd"]:
        pytest.skip("this twin's machine has no namespaces, so nothing runs under systemd in it")


# --- the card, which one of the two has ---


@pytest.fixture(scope="session")
def may_disturb(own_twin: bool, request: pytest.FixtureRequest) -> bool:
    """Whether the box may be restarted and its card handed over."""
    return own_twin or bool(request.config.getoption("disturb", False))


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest, may_disturb: bool) -> None:
    """Leaves out what disturbs a box, unless that was asked for."""
    mark = request.node.get_closest_marker("disturbs")
    if mark is not None and not may_disturb:
        pytest.skip(f"{mark.args[0]} for this, which --disturb allows")


@pytest.fixture(scope="session")
def profile(settings: dict[str, Any]) -> dict[str, Any]:
    """The profile of vLLM that mode batch starts."""
    chosen: dict[str, Any] = settings["vllm_profiles"][settings["vllm_profile"]]
    return chosen


@pytest.fixture(scope="session")
def api_key(linux: Host, settings: dict[str, Any], request: pytest.FixtureRequest) -> str | None:
    """The key that the servers ask for: the declared one, or the one that the box has made; None for none."""
    declared = settings["vllm_api_key"]
    if declared is None or isinstance(declared, Secret):
        return None if declared is None else declared.reveal()
    made = str(linux.file("/etc/vllm/api-key.env").content_string.partition("=")[2].strip().strip('"'))
    plugin.hide(request.config, [made])
    return made


@pytest.fixture(scope="session")
def vllm(linux: Host, settings: dict[str, Any], profile: dict[str, Any], api_key: str | None) -> Vllm:
    """The server of that profile, running or not."""
    made: Vllm = linux.vllm(settings["vllm_profile"], port=profile["port"], key=api_key)
    return made


@pytest.fixture(scope="session")
def ollama(windows: Host) -> Ollama:
    """Ollama's server."""
    made: Ollama = windows.ollama
    return made


def unload(ollama: Ollama) -> None:
    """Have Ollama's models leave the card now, and not when their time is over."""
    for name in ollama.loaded:
        ollama.post("/api/generate", {"model": name, "keep_alive": 0})
    eventually(lambda: not ollama.loaded, "the end of Ollama's models", 60)


def start_vllm(linux: Host, vllm: Vllm, ollama: Ollama) -> None:
    """Give vLLM the card, and wait until it answers."""
    unload(ollama)
    linux.check_output("systemctl start %s", vllm.unit)
    eventually(lambda: vllm.is_healthy, f"an answer of {vllm.unit}", _HEALTHY_SECONDS, every=0.2)


@pytest.fixture(scope="module")
def vllm_runs(
    systemd: None,
    linux: Host,
    vllm: Vllm,
    settings: dict[str, Any],
    may_disturb: bool,
    request: pytest.FixtureRequest,
) -> Iterator[Vllm]:
    """The server, which has the card now; where it did not, it gets it for these tests if that was asked for."""
    ran = vllm.is_running
    if not ran:
        if not may_disturb:
            pytest.skip("Ollama has the card now: python -m vengeance mode batch gives it to vLLM, or --disturb")
        start_vllm(linux, vllm, request.getfixturevalue("ollama"))
    # It may have been started a moment ago, and still load its model.
    until(lambda: vllm.is_healthy or not vllm.is_running, settings["vllm_start_timeout"], every=0.2)
    yield vllm
    if not ran:
        linux.check_output("systemctl stop %s", vllm.unit)


@pytest.fixture(scope="module")
def ollama_has_card(
    linux: Host, settings: dict[str, Any], ollama: Ollama, vllm: Vllm, may_disturb: bool
) -> Iterator[Ollama]:
    """Ollama's server, with nothing of vLLM's on the card; what ran there runs again afterwards."""
    units = [f"vllm-{name}.service" for name in settings["vllm_profiles"]]
    running = [unit for unit in units if linux.run("systemctl is-active --quiet %s", unit).rc == 0]
    if running and not may_disturb:
        pytest.skip("vLLM has the card now: python -m vengeance mode interactive gives it to Ollama, or --disturb")
    if not running and ollama.loaded and not may_disturb:
        pytest.skip(f"somebody uses {', '.join(ollama.loaded)} now; --disturb asks all the same")
    for unit in running:
        linux.check_output("systemctl stop %s", unit)
    yield ollama
    unload(ollama)
    if running:
        start_vllm(linux, vllm, ollama)


@pytest.fixture(scope="session")
def small_model(declared: dict[str, Any]) -> str:
    """The smallest of the declared models, which is asked questions."""
    if not declared["ollama_models"]:
        pytest.skip("no model of Ollama's is declared")
    return str(min(declared["ollama_models"], key=lambda one: one.get("size_gb", 0))["name"])


@pytest.fixture(scope="session")
def elsewhere(windows: Host, declared: dict[str, Any]) -> Elsewhere:
    """Another machine, which knows the box by its address in the tailnet: this one."""
    if declared["box_address"]:
        return Elsewhere(declared["box_address"])
    addresses = windows.tailscale.addresses if declared["tailscale_wanted"] else []
    if not addresses:
        pytest.skip("the box is to be in no tailnet, and its address is not declared (box_address)")
    return Elsewhere(addresses[0])


Measure = Callable[[str, object], None]
