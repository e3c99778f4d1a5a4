"""A box that is built from bare while its world gets in the way: each run ends right or with a sentence and its mend.

The tests stand in the order in which they happen to one box: each leaves it as far built as its run came, and the last
run finds all of it done. Those that are marked ``full`` are left out unless VENGEANCE_FULL is set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from tests.faults import happenings
from tests.faults.world import Follower, Run
from tests.faults.worldly_table import RIGHT, has_test, record, rows
from tests.twin_deploys import vllm_at_boot
from tests.waiting import eventually
from vengeance.operations import debian
from vengeance.twin.client import Twin

Seen = Callable[[str, str, str, str], None]
WHOLE = "deploys/vengeance.py"
AGAIN = "goes on, and ends right"
NOTHING = "has nothing to do"
BEGUN = "begins what was not begun"
SENTENCE = "ends with a sentence"
INTERRUPTED = "ends with 130, and leaves nothing behind"


@dataclass
class World:
    """A twin, and runs of pyinfra on it."""

    twin: Twin
    follower: Follower

    def run(
        self, deploy: str, at: str | None = None, deed: Callable[[subprocess.Popen[str]], object] | None = None
    ) -> Run:
        """Run a deploy, and do something as soon as it says ``at``."""
        done = self.follower.run(deploy, [] if at is None or deed is None else [(at, deed)])
        assert done.happened == int(at is not None), done.text[-3000:]
        assert "Traceback" not in done.text, done.text[-6000:]
        return done

    def is_left_alone(self) -> None:
        """Nothing of a run is left on either side: no lock, no shell, no process, no file of its own."""
        eventually(lambda: self.twin.status()["run_lock"] is None, "the end of the lock")
        eventually(lambda: self.twin.status()["shells"] == [], "the end of the shells")
        processes = self.twin.windows_state()["processes"]
        ours = [one for one in processes if "EncodedCommand" in one["command_line"] or "agent" in one["command_line"]]
        assert ours == []
        # What the box does by itself keeps its own files.
        parts = [path for path in self.twin.drive_c.rglob("*.tmp") if "work" not in path.parts]
        assert parts == []
        if self.twin.status()["distro"]["registered"]:
            left = happenings.inside(self.twin, "ls -d /tmp/vengeance-agent.* /etc/*.tmp /home/*/*.tmp")
            assert left.stdout == b""


@pytest.fixture(scope="module")
def world(twin_home: object) -> Iterator[World]:
    twin = Twin("world")
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"] or not distro["vendor_repository"]:
            pytest.skip("; ".join(distro["missing"]) or "no distro with systemd on this machine")
        yield World(twin, Follower("world", vllm_at_boot()))
    finally:
        twin.down()


def told(done: Run, sentence: str) -> None:
    """A run failed, with this sentence."""
    assert done.code == 1, done.text[-3000:]
    assert sentence in done.text, done.text[-3000:]


def right(done: Run) -> None:
    assert done.code == 0, done.text[-3000:]


def right_or_told(done: Run) -> str:
    """What became of a run whose moment decides: it knew that what was lost could be asked again, or it did not."""
    if done.code != 0:
        assert "Look at the box, then run again" in done.text, done.text[-3000:]
    return f"{RIGHT}, or says that it is not known whether a command was finished"


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, which a terminal sends to all of it."""
    os.killpg(process.pid, signal.SIGINT)


def interrupted(world: World, deploy: str, at: str) -> None:
    """A run that is ended by Ctrl-C when it says something ends at once, with 130, and leaves nothing behind."""
    done = world.run(deploy, at, interrupt)
    assert done.code == 130, done.text[-3000:]
    assert "Interrupted. The same command goes on where this stopped." in done.text
    world.is_left_alone()


def shortly(deed: Callable[[], object]) -> Callable[[subprocess.Popen[str]], None]:
    """What is done a moment after an operation has begun, when it is in the middle of it."""

    def do(process: subprocess.Popen[str]) -> None:
        time.sleep(0.3)
        deed()

    return do


def asleep(twin: Twin) -> Callable[[subprocess.Popen[str]], None]:
    """The laptop sleeps: pyinfra stands still, and the box closes the connections on which nothing comes.

    Ten minutes are more than the two for which http.sys keeps a connection, and less than the fifteen of a shell.
    """

    def sleep(process: subprocess.Popen[str]) -> None:
        twin.limits(connection_idle_seconds=0.5)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGCONT)
        twin.limits(connection_idle_seconds=120)

    return sleep


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes what a test has seen into docs/reliability.md."""
    return partial(record, file=f"faults/{request.path.name}", test=request.function.__name__)


@pytest.mark.full
def test_ctrl_c_while_windows_restarts_leaves_nothing_behind(world: World) -> None:
    interrupted(world, WHOLE, "Windows restarts: ")


@pytest.mark.full
def test_windows_that_restarts_by_itself_while_a_model_is_pulled_is_told(world: World, seen: Seen) -> None:
    done = world.run(WHOLE, "| Ollama's models", shortly(lambda: world.twin.reboot(seconds=1.0)))
    told(
        done, "Windows was restarted, or somebody ended its process. Run the deploy again: it goes on where it stopped."
    )
    seen("Windows restarts by itself", "while a model is pulled", SENTENCE, AGAIN)


@pytest.mark.full
def test_ctrl_c_while_the_image_is_downloaded_leaves_nothing_behind(world: World, seen: Seen) -> None:
    interrupted(world, "deploys/wsl.py", "Starting operation: The distro Ubuntu-24.04")
    seen("Ctrl-C", "while the distro's image is downloaded", INTERRUPTED, AGAIN)


@pytest.mark.full
def test_a_disk_without_room_for_the_distro_is_told_with_what_is_free(world: World, seen: Seen) -> None:
    downloads = world.twin.drive_c / "ProgramData" / "vengeance" / "downloads"

    def fill(process: subprocess.Popen[str]) -> None:
        eventually(lambda: list(downloads.glob("*.wsl")), "the image", 60)
        world.twin.fault("disk_full", bytes=500_000)

    done = world.run("deploys/wsl.py", "Starting operation: The distro Ubuntu-24.04", fill)
    world.twin.fault("clear")
    told(
        done, "WSL_E_IMPORT_FAILED Where its disk was to be, 0 MB are free: make room there if that is little, then run"
    )
    assert world.twin.status()["distro"]["registered"] == []
    seen("the box's disk is full", "when the distro is imported", SENTENCE, AGAIN)


@pytest.mark.full
def test_a_wsl_that_is_updated_in_the_middle_is_connected_to_again_or_told(world: World, seen: Seen) -> None:
    done = world.run("deploys/wsl.py", "Settings of the distro", lambda _: happenings.update_wsl(world.twin))
    seen("WSL is updated, and stops", "while the distro is set up", right_or_told(done), AGAIN)
    done = world.run("deploys/wsl.py")
    right(done)
    assert f"WSL {happenings.NEWER_WSL} is newer than" in done.text


@pytest.mark.full
def test_a_dpkg_that_is_killed_is_told_and_brought_to_its_end_by_the_next_run(world: World, seen: Seen) -> None:
    with ExitStack() as killing:
        enter = killing.enter_context
        done = world.run(WHOLE, "| NVIDIA's package source", lambda _: enter(happenings.dpkg_killed(world.twin)))
    told(done, "E: Sub-process /usr/bin/dpkg exited unexpectedly")
    assert happenings.inside(world.twin, "ls /var/lib/dpkg/updates").stdout
    seen("dpkg is killed", "between unpacking and configuring", "says so", AGAIN)


@pytest.mark.full
def test_whoever_else_installs_packages_is_waited_for(world: World, seen: Seen) -> None:
    with happenings.packages_in_use(world.twin):
        freed = threading.Timer(2.0, happenings.free_packages, (world.twin,))
        done = world.run("deploys/cuda.py", "Starting operation: CUDA", lambda _: freed.start())
        freed.join()
    right(done)
    assert happenings.inside(world.twin, "dpkg --audit; ls /var/lib/dpkg/updates").stdout == b""
    seen("apt's locks are held", "before packages are installed", f"waits at most ten minutes, {RIGHT}", NOTHING)


@pytest.mark.full
def test_a_disk_without_room_for_packages_is_told(world: World, seen: Seen) -> None:
    archives = "/var/cache/apt/archives"
    happenings.inside(
        world.twin, f"dpkg -P cuda-toolkit-12-4; apt-get clean; mount -t tmpfs -o size=4k none {archives}"
    )
    done = world.run("deploys/cuda.py")
    assert happenings.inside(world.twin, f"umount {archives}").returncode == 0
    told(done, f"The distro has 0 MB free in {archives}, and packages need more: make room (df -h shows where")
    right(world.run("deploys/cuda.py"))
    seen("the distro's disk is full", "when packages are installed", SENTENCE, AGAIN)


@pytest.mark.full
def test_packages_that_somebody_else_keeps_in_use_are_told_with_the_process(world: World, seen: Seen) -> None:
    script = debian.finish_interrupted(seconds=1).get_raw_value()
    with happenings.packages_in_use(world.twin):
        done = happenings.inside(world.twin, script)
    assert done.returncode == 1
    assert (
        b"(python3) in the distro installs packages and has not ended after 1 s. Look at it with 'ps -fp "
        in done.stderr
    )
    seen("apt's locks are held", "for more than ten minutes", SENTENCE, AGAIN)


@pytest.mark.full
def test_a_pip_that_is_killed_is_told_and_gone_on_with(world: World, seen: Seen) -> None:
    at = "Starting operation: Python environment with vLLM"
    done = world.run("deploys/vllm.py", at, lambda _: happenings.kill_inside(world.twin, "-m [p]ip"))
    told(done, "was ended by signal 9 in the middle")
    seen("pip is killed", "while vLLM is installed", SENTENCE, AGAIN)


@pytest.mark.full
def test_a_wsl_shutdown_in_the_middle_is_connected_to_again_or_told(world: World, seen: Seen) -> None:
    at = "Starting operation: Python environment with vLLM"
    done = world.run("deploys/vllm.py", at, shortly(lambda: happenings.shut_down_wsl(world.twin)))
    seen("somebody runs wsl --shutdown", "while vLLM is installed", right_or_told(done), AGAIN)


@pytest.mark.full
def test_a_laptop_that_sleeps_and_a_clock_that_jumps_are_no_reason_to_fail(world: World, seen: Seen) -> None:
    jumps = ("| vLLM server qwen", lambda _: world.twin.advance(6 * 3600))
    done = world.follower.run(WHOLE, [("| Python environment", asleep(world.twin)), jumps])
    right(done)
    assert done.happened == 2
    seen("the laptop sleeps for ten minutes", "while a command runs in the distro", RIGHT, NOTHING)
    seen("the box's clock jumps by six hours", "while a server starts", RIGHT, NOTHING)


@pytest.mark.full
def test_after_all_that_nothing_is_left_to_do_and_nothing_was_done_twice(world: World) -> None:
    right(world.run(WHOLE))
    done = world.run(WHOLE)
    right(done)
    assert done.changes == [], done.text[-6000:]
    world.is_left_alone()
    deeds = world.twin.deeds()
    once = [name for name in deeds if name.startswith("installer of ") or name.endswith(" imported")]
    # Somebody else's update of WSL, in the full run, counts as well.
    updated = world.twin.status()["wsl"]["version"] == happenings.NEWER_WSL
    assert {name: deeds[name] - (updated and name == "installer of wsl") for name in once} == dict.fromkeys(once, 1)


# What tests of single parts show; the page lists it with the rest.
ELSEWHERE = [
    (
        "the box's disk is full",
        "before a download",
        SENTENCE,
        BEGUN,
        "twin/test_downloads.py",
        "test_a_disk_without_room_is_said_before_anything_is_written",
    ),
    (
        "the box's disk is full",
        "while it downloads",
        SENTENCE,
        AGAIN,
        "twin/test_downloads.py",
        "test_a_disk_that_fills_up_meanwhile_is_said_and_the_next_run_goes_on",
    ),
    (
        "the box's disk is full",
        "when a file is uploaded",
        f"{SENTENCE}; the old file stays",
        "uploads it",
        "connectors/test_winrm.py",
        "test_a_full_disk_leaves_the_old_file_as_it_was",
    ),
    (
        "the box's disk is full",
        "before Ollama's models are pulled",
        SENTENCE,
        BEGUN,
        "twin/test_ollama_operations.py",
        "test_too_little_disk_is_refused_with_the_numbers_before_any_pull",
    ),
    (
        "the distro's disk is full",
        "before vLLM is installed",
        SENTENCE,
        BEGUN,
        "connectors/test_cuda.py",
        "test_a_full_disk_is_told_before_anything_is_downloaded",
    ),
    (
        "the distro's disk is full",
        "while vLLM is installed",
        SENTENCE,
        AGAIN,
        "connectors/test_cuda.py",
        "test_a_disk_that_becomes_full_while_pip_installs_is_told_and_gone_on_with",
    ),
    (
        "the distro's disk is full",
        "while vLLM's model is downloaded",
        SENTENCE,
        AGAIN,
        "twin/test_model_download.py",
        "test_a_disk_that_becomes_full_is_said_and_gone_on_with",
    ),
    (
        "Windows restarts by itself",
        "while the box downloads",
        SENTENCE,
        AGAIN,
        "connectors/test_downloads.py",
        "test_a_reboot_in_the_middle_of_a_download_is_said_and_the_next_run_goes_on",
    ),
    (
        "Windows restarts by itself",
        "while something is installed",
        SENTENCE,
        AGAIN,
        "twin/test_installers.py",
        "test_a_reboot_during_an_installation_is_said_and_the_next_run_installs",
    ),
    (
        "pyinfra is killed",
        "at each step of a hand-over of the card",
        "is gone",
        AGAIN,
        "twin/test_modes_cut.py",
        "test_batch_that_is_killed_one_step_further_each_time_is_mended_by_the_last_run",
    ),
]


def test_what_is_shown_elsewhere_is_on_the_page_too() -> None:
    for row in ELSEWHERE:
        assert has_test(*row[4:]), "{} has no {}".format(*row[4:])
        record(*row)


def test_every_row_of_the_table_names_a_test_that_there_is() -> None:
    shown = [row[4].strip("`").split("::") for row in rows()]
    assert shown
    assert [(file, test) for file, test in shown if not has_test(file, test)] == []
