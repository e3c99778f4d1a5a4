"""The Python environment of vLLM, made and mended by a real pip with small wheels of the test's own."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError

from tests.unit.local_host import USER, LocalHost
from tests.unit.operation_runs import run_operation
from tests.waiting import eventually
from vengeance import programs
from vengeance.box import vllm_environment as box
from vengeance.box import vllm_unit
from vengeance.facts.vllm.environment import DiskRoom, Environment, EnvironmentFaults
from vengeance.operations import vllm
from vengeance.twin.wheels import write_wheel

VERSIONS = ("0.15.0", "0.15.1")
NEEDED = ("tokens", "cut", "empty", "gone", "hollow", "program", "twice")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/{PYTHON}/site-packages"


class Box:
    """An environment in a folder, and the wheels that pip finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "an-env"
        self.wheels = folder / "wheels"
        self.host = LocalHost(folder)
        for name in NEEDED:
            content = {f"{name}/__init__.py": b"COUNT = 3\n", f"{name}/data.txt": b"data\n"}
            scripts = {"console_scripts": {name: f"{name}:main"}}
            write_wheel(self.wheels, name, "2.0", "what vLLM needs", files=content, entry_points=scripts)
        for version in VERSIONS:
            write_wheel(
                self.wheels,
                "vllm",
                version,
                "a small vLLM",
                files={
                    "vllm/__init__.py": f"import tokens\nVERSION = {version!r}\n".encode(),
                    f"vllm/only_{version.replace('.', '_')}.py": b"",
                    "vllm/data.txt": b"data\n",
                },
                requires=NEEDED,
                entry_points={"console_scripts": {"vllm": "vllm:main"}},
            )

    @property
    def site(self) -> Path:
        """Where packages lie."""
        return self.path / SITE

    def install(self, version: str = "0.15.1", **changes: Any) -> tuple[bool, list[str]]:
        """Run the operation; whether it succeeded, and what it said."""
        self.host.said.clear()
        self.host.commands.clear()
        given: dict[str, Any] = {
            "path": str(self.path),
            "user": USER,
            "package": f"vllm=={version}",
            "python": sys.executable,
            "pip_arguments": ["--no-index", "--find-links", str(self.wheels)],
            **changes,
        }
        good, _ = self.host.run(vllm.environment, **given)
        return good, [*self.host.said]

    def must(self, version: str = "0.15.1", **changes: Any) -> str:
        """Run it to its end; return what it said."""
        good, said = self.install(version, **changes)
        assert good, said
        assert self.installed() == version
        return "\n".join(said)

    def installed(self) -> str:
        """The version of vLLM and that it works, asked from its own Python."""
        code = "import vllm, tokens; print(vllm.VERSION, tokens.COUNT)"
        done = subprocess.run([str(self.path / "bin/python"), "-c", code], capture_output=True, text=True)
        version, count = done.stdout.split() if done.returncode == 0 else (done.stderr, "3")
        assert count == "3"
        return version

    def changes_nothing(self, **changes: Any) -> None:
        """Run it again; nothing may be done."""
        good, _ = self.install(**changes)
        assert good
        assert self.host.commands == []

    def lock(self, version: str = "0.15.1", broken: bool = False) -> str:
        """Write a lock of the wheels; return its name."""
        lines = [f"# vLLM for Python {PYTHON.removeprefix('python')} here\n"]
        for name, number in (*((each, "2.0") for each in NEEDED), ("vllm", version)):
            (wheel,) = self.wheels.glob(f"{name}-{number}-*.whl")
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            lines.append(f"{name}=={number} \\\n    --hash=sha256:{'0' * 64 if broken else digest}\n")
        (self.folder / "a.lock").write_text("".join(lines))
        return "a.lock"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Box, str]:
    """An environment that every test of this file mends again, and what was said when it was made."""
    made = Box(tmp_path_factory.mktemp("environment"))
    return made, made.must()


@pytest.fixture
def env(ready: tuple[Box, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    ready[0].host.before = lambda command: None
    # What a person has compiled who runs these tests is his own.
    home = ready[0].folder / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(vllm_unit, "COMPILED", (str(home / "of-the-servers"),))
    yield ready[0]
    shutil.rmtree(ready[0].folder / "an-env.cache", ignore_errors=True)


def test_an_environment_is_made_proved_and_marked_and_a_second_run_changes_nothing(ready: tuple[Box, str]) -> None:
    made, said = ready
    assert "vllm (not installed) -> ==0.15.1" in said
    assert (made.path / box.MARKER).is_file()
    assert not made.path.with_name("an-env.cache").exists(), "what was downloaded is not kept"
    assert (made.path / "bin/vllm").is_file()
    made.changes_nothing()


@pytest.mark.full
def test_an_upgrade_replaces_the_old_version_with_its_bytecode_and_what_it_compiled(env: Box) -> None:
    env.must("0.15.0")
    stale = env.site / "tokens/__pycache__/stale.pyc"
    stale.write_bytes(b"old")
    compiled = [env.folder / "home" / name for name in (".triton/cache", "of-the-servers")]
    for folder in compiled:
        folder.mkdir(parents=True)
    said = env.must("0.15.1")
    assert not any(folder.exists() for folder in compiled)
    assert "vllm 0.15.0 -> ==0.15.1" in said
    assert "what the old version has compiled -> removed" in said
    assert not stale.exists()
    assert not (env.site / "vllm/only_0_15_0.py").exists()
    env.changes_nothing()


def two_versions(env: Box) -> None:
    info = env.site / "twice-2.0.dist-info"
    old = shutil.copytree(info, info.with_name("twice-1.0.dist-info"))
    (old / "METADATA").write_text((old / "METADATA").read_text().replace("2.0", "1.0"))
    (env.site / "twice/of_the_old_one.py").touch()
    record = old / "RECORD"
    record.write_text(record.read_text().replace("2.0.dist", "1.0.dist") + "twice/of_the_old_one.py,,\n")


def test_all_that_an_interrupted_installation_leaves_in_packages_is_named_and_mended_at_once(env: Box) -> None:
    (env.site / "cut-2.0.dist-info/RECORD").unlink()
    (env.site / "empty-2.0.dist-info/RECORD").write_bytes(b"")
    (env.site / "gone/__init__.py").unlink()
    (env.site / "hollow/data.txt").write_bytes(b"")
    (env.path / "bin/program").unlink()
    two_versions(env)
    said = env.must()
    for told in (
        "cut-2.0: its installation was cut short (no RECORD) -> installed again",
        "empty-2.0: its installation was cut short (no RECORD) -> installed again",
        "gone-2.0: 1 of its files are gone or empty, such as gone/__init__.py",
        "hollow-2.0: 1 of its files are gone or empty, such as hollow/data.txt",
        "program-2.0: 1 of its files are gone or empty, such as ../../../bin/program",
        "twice-1.0: it is there in two versions, twice-1.0.dist-info and twice-2.0.dist-info",
    ):
        assert told in said
    assert sorted(each.name for each in env.site.glob("*-[0-9].0.dist-info")) == sorted(
        f"{name}-2.0.dist-info" for name in NEEDED
    )
    assert not (env.site / "twice/of_the_old_one.py").exists()
    assert (env.path / "bin/program").is_file()
    assert (env.site / "hollow/data.txt").read_text() == "data\n"
    subprocess.run([env.path / "bin/python", "-m", "pip", "check"], check=True, capture_output=True)
    env.changes_nothing()


def no_description(env: Box) -> None:
    shutil.rmtree(env.site / "vllm-0.15.1.dist-info")


def half_an_upgrade(env: Box) -> None:
    """pip has moved the old one aside and not yet written the new one's RECORD."""
    (env.site / "vllm").rename(env.site / "~llm")
    (env.site / "vllm-0.15.1.dist-info").rename(env.site / "~llm-0.15.1.dist-info")
    (env.site / "vllm").mkdir()
    (env.site / "vllm/__init__.py").write_text("import not_yet_there\n")
    (env.site / "vllm-0.16.0.dist-info").mkdir()
    (env.site / "vllm-0.16.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.16.0\n")


def no_pip(env: Box) -> None:
    for each in env.site.glob("pip*"):
        shutil.rmtree(each)
    no_marker(env)


def half_a_pip(env: Box) -> None:
    (env.site / "pip/__main__.py").unlink()


def no_marker(env: Box) -> None:
    (env.path / box.MARKER).unlink()


def another_marker(env: Box) -> None:
    (env.path / box.MARKER).write_text('{"asked": "another", "accepted": []}')
    shutil.rmtree(env.site / "tokens")
    shutil.rmtree(env.site / "tokens-2.0.dist-info")


HALF_STATES: list[tuple[Callable[[Box], None], str]] = [
    (no_description, "vllm (not installed) -> ==0.15.1"),
    (half_an_upgrade, "~llm, ~llm-0.15.1.dist-info, left by an installation that was cut short -> removed"),
    (half_a_pip, "of its files are gone or empty, such as pip/__main__.py"),
    (another_marker, "vllm==0.15.1 is there, and no run has come to its end"),
]


@pytest.mark.parametrize(("plant", "told"), HALF_STATES, ids=[each[0].__name__ for each in HALF_STATES])
def test_a_half_state_is_named_and_mended(env: Box, plant: Callable[[Box], None], told: str) -> None:
    plant(env)
    assert told in env.must()
    assert not list(env.site.glob("~*"))
    assert len(list(env.site.glob("vllm-*.dist-info"))) == 1
    env.changes_nothing()


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"\0" * 300, "unknown type code"), (b"\xe3", "too short"), (b"", "EOF read where object expected")],
)
def test_bytecode_that_cannot_be_read_is_named_and_removed_without_an_installation(
    env: Box, body: bytes, said: str
) -> None:
    subprocess.run([env.path / "bin/python", "-c", "import vllm"], check=True)
    (cached,) = (env.site / "vllm/__pycache__").glob("__init__.*.pyc")
    cached.write_bytes(cached.read_bytes()[:16] + body)
    assert said in env.installed(), "this is the failure that people see"
    told = env.must()
    assert "1 file of bytecode that cannot be read (bad marshal data)" in told
    assert f"{SITE}/vllm/__pycache__/{cached.name}" in told
    assert not [command for command in env.host.commands if "pip" in command]
    env.changes_nothing()


@pytest.mark.parametrize("data", [b"", b"\0" * 400, b"short"])
def test_bytecode_that_python_makes_anew_by_itself_is_left_alone(env: Box, data: bytes) -> None:
    subprocess.run([env.path / "bin/python", "-c", "import vllm"], check=True)
    (cached,) = (env.site / "vllm/__pycache__").glob("__init__.*.pyc")
    cached.write_bytes(data)
    env.changes_nothing()
    assert env.installed() == "0.15.1"


def killed(program: str, site: Path) -> Callable[[str], None]:
    """What ends a run in the middle: the command is begun, and killed when it has written its first file."""

    def kill(command: str) -> None:
        if program not in command:
            return
        before = set(site.glob("*")) if site.exists() else set()
        process = subprocess.Popen(["sh", "-c", command], start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: site.exists() and set(site.glob("*")) - before, "the first file", every=0.001)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise ConnectionResetError("killed")

    return kill


@pytest.mark.full
@pytest.mark.parametrize("program", ["-m ensurepip", "Installing collected packages"])
def test_an_installation_that_was_killed_in_the_middle_is_mended_by_the_next_run(env: Box, program: str) -> None:
    no_pip(env) if "pip" in program else no_description(env)
    for each in env.site.glob("vllm*"):
        shutil.rmtree(each)
    env.host.before = killed(program, env.site)
    with pytest.raises(ConnectionResetError):
        env.install()
    assert not (env.path / box.MARKER).exists()
    env.host.before = lambda command: None
    env.must()
    env.changes_nothing()


@pytest.mark.full
def test_an_environment_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    made = Box(tmp_path)
    made.host.before = killed("-m venv", made.site)
    with pytest.raises(ConnectionResetError):
        made.install()
    assert (made.path / "bin/python").exists()
    made.host.before = lambda command: None
    made.must()
    made.changes_nothing()


def test_an_import_that_fails_is_told_with_its_last_words_and_leaves_no_marker(env: Box) -> None:
    (env.site / "vllm/__init__.py").write_text("import ctypes\nctypes.CDLL('libcuda.so.1.of-nobody')\n")
    no_marker(env)
    good, said = env.install()
    assert not good
    assert "import vllm fails in" in said[-1]
    assert "the driver of Windows is not to be seen in the distro: run deploys/cuda.py" in said[-1]
    assert not (env.path / box.MARKER).exists()
    (env.site / "vllm/__init__.py").write_text("")
    assert "vllm/__init__.py" in env.must()


# --- lock, constraints, room --------------------------------------------------------------------------------


def test_with_a_lock_nothing_but_the_files_with_its_hashes_is_installed(env: Box) -> None:
    pip = write_lock_of_pip(env)
    said = env.must(lock=env.lock())
    assert "no run has come to its end" in said, "what is there by its version alone is installed again"
    assert any("--require-hashes -r" in command and box.LOCK in command for command in env.host.commands)
    version = [str(env.path / "bin/python"), "-m", "pip", "--version"]
    assert f"pip {pip} " in subprocess.run(version, capture_output=True, text=True, check=True).stdout
    env.changes_nothing(lock="a.lock")
    (env.site / "vllm-0.15.1.dist-info/RECORD").unlink()
    good, refused = env.install(lock=env.lock(broken=True))
    assert not good
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused[-1]
    env.must(lock=env.lock())


def write_lock_of_pip(made: Box) -> str:
    """Put this machine's bundled pip among the wheels, and a lock of it where the operation looks; its version."""
    import ensurepip

    (wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    version = wheel.name.split("-")[1]
    shutil.copy(wheel, made.wheels)
    (made.folder / "locks").mkdir()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (made.folder / "locks/installers.txt").write_text(f"pip=={version} \\\n    --hash=sha256:{digest}\n")
    return version


def test_constraints_hold_and_a_change_of_them_counts(env: Box) -> None:
    (env.folder / "constraints.txt").write_text("tokens==2.0\n")
    assert "no run has come to its end" in env.must(constraints="constraints.txt")
    env.changes_nothing(constraints="constraints.txt")
    (env.folder / "constraints.txt").write_text("tokens==3.0\n")
    good, said = env.install(constraints="constraints.txt")
    assert not good
    assert "conflicting dependencies" in said[-1]
    env.must()


def test_a_disk_without_room_is_told_with_path_needed_and_free_before_anything_changes(env: Box) -> None:
    no_description(env)
    good, said = env.install(size_gb={"download": 10**6, "installed": 10**6})
    assert (good, env.host.commands) == (False, [])
    assert f"{env.path} has " in said[-1]
    assert " GB free on its disk, and 3000001.0 GB are needed: 3000000.0 GB for the packages" in said[-1]
    assert "vllm_path" in said[-1]
    env.must(size_gb={"download": 0.001, "installed": 0.001})


def test_what_was_downloaded_already_is_not_reckoned_twice(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "wheel").write_bytes(b"x" * 3_000_000)
    room = LocalHost(tmp_path).fact(DiskRoom, path=str(tmp_path / "not/there"), cache=str(cache))
    assert 3_000_000 <= room["held"] < 3_100_000
    assert abs(room["free"] - shutil.disk_usage(tmp_path).free) < 10**9
    assert box.no_room("/x", free=15 * 10**9, held=0, needed=19.8) is not None
    assert box.no_room("/x", free=15 * 10**9, held=6 * 10**9, needed=19.8) is None


def test_pip_needs_room_for_its_files_twice_and_uv_once() -> None:
    assert box.needed_gb(5.0, 9.8, "pip") == pytest.approx(19.8)
    assert box.needed_gb(5.0, 9.8, "uv") == pytest.approx(14.8)


NO_FAULTS: dict[str, Any] = {"broken": {}, "leftovers": [], "bytecode": [], "strange": None, "marker": None}
ARGUMENTS: dict[str, Any] = {"path": "/home/steam/vllm-env", "user": "steam", "package": "vllm==0.15.1"}
LOCK = "# vLLM for Python 3.12\nvllm==0.15.1 \\\n    --hash=sha256:00\n"


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        (None, {}, "a.lock cannot be read .*No such file"),
        ("", {}, "is no lock: it names no package"),
        ("vllm==0.15.1\ntokens==2\n", {}, "is no lock: vllm has no hash in it. .*make lock-vllm"),
        (LOCK, {"package": "vllm==0.16.0"}, "has vllm 0.15.1, and vllm==0.16.0 is to be installed"),
        (LOCK.replace("vllm==", "other=="), {}, r"has vllm \(nowhere\)"),
        (LOCK, {"python": "python3.11"}, "is for Python 3.12, and the environment is made from python3.11"),
        (LOCK, {"installer": "conda"}, "by 'pip' or by 'uv', not by 'conda'"),
    ],
)
def test_a_lock_that_does_not_fit_is_refused_before_anything_is_read(
    tmp_path: Path, text: str | None, arguments: dict[str, str], sentence: str
) -> None:
    file = tmp_path / "a.lock"
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(vllm.environment, {}, **{**ARGUMENTS, "lock": str(file), **arguments})


def test_the_shipped_locks_are_for_what_the_group_data_say() -> None:
    root = Path(__file__).parents[2]
    lock = box.parse_lock((root / "locks/vllm-0.15.1-python3.12.txt").read_text(), "the lock")
    assert (lock.pins["vllm"], lock.pins["torch"], lock.python) == ("0.15.1", "2.9.1", "3.12")
    assert len(lock.pins) == 178
    installers = box.parse_lock((root / "locks/installers.txt").read_text(), "the lock")
    assert set(installers.pins) == {"pip", "uv"}
    assert box.part_of((root / "locks/installers.txt").read_text(), ["uv"]).startswith("uv==")
    for file in (root / "locks").iterdir():
        assert "://" not in file.read_text()


def test_uv_is_installed_by_pip_with_its_hash_and_then_told_to_write_bytecode(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    file.write_text(LOCK)
    run = run_operation(vllm.environment, {Environment: None}, **ARGUMENTS, lock=str(file), installer="uv")
    first, second = [text for text in run.texts if " install " in text]
    assert first.endswith(f"--require-hashes --no-deps -r /home/steam/vllm-env/{box.INSTALLERS}")
    assert " 1 uv pip install --compile-bytecode --python /home/steam/vllm-env/bin/python " in second
    assert second.endswith(f"--require-hashes -r /home/steam/vllm-env/{box.LOCK}")


def test_another_python_means_another_environment() -> None:
    there = {"python": "3.11.2", "owner": "steam", "packages": {"vllm": "0.15.1", "pip": "24.0"}}
    facts: dict[Any, Any] = {Environment: there, EnvironmentFaults: {**NO_FAULTS}}
    run = run_operation(vllm.environment, facts, **ARGUMENTS, python="python3.12")
    assert "python3.12 -m venv --clear /home/steam/vllm-env" in run.texts
    assert run.logged[0] == "/home/steam/vllm-env: Python 3.11.2 -> python3.12, and everything in it anew"
    assert not any("venv" in text for text in run_operation(vllm.environment, facts, **ARGUMENTS).texts)


def test_files_of_somebody_else_are_given_to_the_user() -> None:
    marker = {"asked": box.asked("vllm==0.15.1", "python3", None, None), "accepted": []}
    faults: dict[str, Any] = {**NO_FAULTS, "marker": marker}
    there = {"python": "3.12.3", "owner": "steam", "packages": {"vllm": "0.15.1", "pip": "24.0"}}
    assert run_operation(vllm.environment, {Environment: there, EnvironmentFaults: faults}, **ARGUMENTS).commands == []
    faults["strange"] = "/home/steam/vllm-env/bin/vllm"
    run = run_operation(vllm.environment, {Environment: there, EnvironmentFaults: faults}, **ARGUMENTS)
    assert run.texts[0] == "chown -R -h steam /home/steam/vllm-env"
    assert "_su_user" not in getattr(run.commands[0], "connector_arguments", {})


def test_what_a_proved_installation_lacked_is_no_fault_later() -> None:
    asked = box.asked("vllm==0.15.1", "python3", None, None)
    faults: dict[str, Any] = {
        **NO_FAULTS,
        "broken": {"odd-1.dist-info": "1 of its files are gone or empty, such as odd/RECORD.jws"},
        "marker": {"asked": asked, "accepted": ["odd-1.dist-info"]},
    }
    there = {"python": "3.12.3", "owner": "steam", "packages": {"vllm": "0.15.1", "pip": "24.0", "odd": "1"}}
    assert run_operation(vllm.environment, {Environment: there, EnvironmentFaults: faults}, **ARGUMENTS).commands == []


def test_pip_tells_how_far_it_is(tmp_path: Path) -> None:
    fake = tmp_path / "pip"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text(
        "print('Collecting vllm')\n"
        "print('  Downloading vllm-0.15.1.whl.metadata (20 kB)')\n"
        "print('Downloading vllm-0.15.1.whl (509.0 MB)')\n"
        "print('Progress 1000000 of 509000000')\n"
        "print('Installing collected packages: ' + ', '.join(['package'] * 100))\n"
    )
    command = [sys.executable, "-c", programs.load("install").replace('"-I", ', ""), "178", "pip", "install"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "vllm-0.15.1.whl: 1 of 509 MB, package 1 of 178" in done.stdout.splitlines()
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_an_installer_that_is_killed_says_so_and_what_to_do(tmp_path: Path) -> None:
    fake = tmp_path / "pip"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    command = [sys.executable, "-c", programs.load("install").replace('"-I", ', ""), "178", "pip", "install"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 137
    assert done.stderr.startswith("pip was ended by signal 9 in the middle.")
    assert "Run this again" in done.stderr


@pytest.mark.parametrize(
    ("complaint", "mend"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "The disk is full: ",
        ),
        ("  Caused by: No space left on device (os error 28)", "vllm_size_gb"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "make lock-vllm"),
        (
            "WARNING: Retrying ... Failed to resolve 'index.lan' ([Errno -3] Temporary failure in name resolution)",
            "getent",
        ),
        ("ERROR: No matching distribution found for vllm==0.15.1", "vllm_python"),
        ("something new", ""),
    ],
)
def test_a_failure_of_the_installer_is_named_with_its_mend(tmp_path: Path, complaint: str, mend: str) -> None:
    fake = tmp_path / "pip"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text(f"import sys\nprint({complaint!r}, file=sys.stderr)\nraise SystemExit(3)\n")
    command = [sys.executable, "-c", programs.load("install").replace('"-I", ', ""), "0", "pip", "install"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3
    said = done.stderr.splitlines()
    assert said[0] == complaint
    assert len(said) == (2 if mend else 1)
    assert mend in said[-1]
