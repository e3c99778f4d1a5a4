"""`@wsl`: the distro is a Linux host like any other for pyinfra."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.connectors.conftest import HERE, WSL, Pyinfra
from tests.connectors.signs import SIGNS
from vengeance.twin.client import Twin


def look(twin: Twin, command: str) -> str:
    """What the distro says when asked without the connector."""
    done = twin.distro_exec(["/bin/sh", "-c", command])
    return done.stdout.decode() if isinstance(done.stdout, bytes) else done.stdout


def test_pyinfras_own_operations_work_unchanged_and_a_second_run_changes_nothing(
    systemd: Twin, pyinfra: Pyinfra
) -> None:
    distro = systemd
    first = pyinfra.deploy("linux", "--limit", WSL)
    assert not first["results"]["failed_hosts"]
    assert look(distro, 'cat "/opt/wire test [1]/it\'s a file.txt"') == "first 'line' $HOME \\ \U0001f389\nsecond\n"
    assert look(distro, "stat -c '%U %G %a' '/opt/wire test [1]' /opt/wire*/it*") == (
        "tester testers 750\ntester testers 640\n"
    )
    assert look(distro, "cat /opt/link") == f"names of {WSL}\n"
    assert "one more line\n" in look(distro, "cat /etc/environment")
    assert look(distro, "dpkg-query -W -f '${Status}' tree") == "install ok installed"
    assert look(distro, "/opt/venv/bin/python -c 'import six; print(six.__version__)'") == "1.16.0\n"
    assert look(distro, "systemctl is-active wire-test; systemctl is-enabled wire-test") == "active\nenabled\n"
    assert look(distro, "stat -c %U /srv/tester/mine.txt") == "tester\n"
    assert set(look(distro, "cd /opt/synced && find . -name '*.py'").split()) == {
        f"./{file.name}" for file in (HERE / "deploys").glob("*.py")
    }
    second = pyinfra.deploy("linux", "--limit", WSL)
    changed = [op["name"] for op in second["results"]["operations"] if op.get("success")]
    # Reloading units is a command and not a state.
    assert changed in ([], ["units are read"])


def test_a_distro_is_started_anew_in_a_run_that_its_windows_host_takes_no_part_in(
    systemd: Twin, pyinfra: Pyinfra
) -> None:
    look(systemd, "touch /run/old-instance; touch /etc/wsl.conf")
    deploy = pyinfra.folder / "anew.py"
    deploy.write_text('from vengeance.operations import wsl\nwsl.instance(name="Anew", systemd=True)\n')
    done = pyinfra.run(str(deploy), "--yes", "--limit", WSL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert look(systemd, "ls /run/old-instance 2>/dev/null; cat /proc/1/comm") == "systemd\n"


def test_every_sign_and_every_global_argument_arrives(distro: Twin, pyinfra: Pyinfra) -> None:
    pyinfra.deploy("shell", "--limit", WSL)
    assert look(distro, "cat /opt/signs") == SIGNS
    assert look(distro, "cat /opt/env") == SIGNS
    assert look(distro, "cat /var/tmp/here") == "/var/tmp\n"
    assert look(distro, "cat /opt/stdin") == "one 'line'\ntwo $x\n"
    assert look(distro, "cat /tmp/sudo-user /tmp/su-user") == "steam\nsteam\n"
    assert look(distro, "cat /opt/bash /opt/several") == "yes\n1\n2\n"


@pytest.mark.parametrize(
    ("fact", "expected"),
    [("server.Hostname", "VENGEANCE"), ("server.Which", None), ("server.Kernel", "Linux"), ("server.User", "root")],
)
def test_core_facts_are_right(distro: Twin, pyinfra: Pyinfra, fact: str, expected: str | None) -> None:
    arguments = ("command=sh",) if fact == "server.Which" else ()
    answer = next(iter(pyinfra.fact(fact, WSL, *arguments).values()))
    said = next(iter(answer.values())) if isinstance(answer, dict) else answer
    assert said == (expected or look(distro, "command -v sh").strip())


def test_a_command_past_its_timeout_fails_and_is_gone(distro: Twin, pyinfra: Pyinfra) -> None:
    deploy = pyinfra.folder / "slow.py"
    deploy.write_text(
        "from pyinfra.operations import server\nserver.shell(name='slow', commands=['sleep 3333.25'], _timeout=1)\n"
    )
    started = time.monotonic()
    done = pyinfra.run(str(deploy), "--yes", "--limit", WSL)
    assert done.returncode == 1
    assert "timed out after 1s" in done.stderr
    assert time.monotonic() - started < 20
    assert look(distro, "pgrep -f '[s]leep 3333.25' || echo none") == "none\n"


def test_output_that_is_no_utf8_and_nul_bytes_do_not_stop_a_run(distro: Twin, pyinfra: Pyinfra) -> None:
    done = pyinfra.execute(WSL, r"printf 'a\000b\377c\n'; echo end")
    assert done.returncode == 0
    assert "end" in done.stderr


def test_a_distro_that_is_not_there_is_planned_for_and_an_error_when_it_is_needed(pyinfra: Pyinfra) -> None:
    missing = pyinfra.inventory(distro="Missing-1.0")
    facts = pyinfra.run("--limit", "wsl", "--json", "fact", "server.Hostname", inventory=missing)
    assert facts.returncode == 0
    assert next(iter(json.loads(facts.stdout).values())) in (None, {"@wsl/vengeance/Missing-1.0": None})
    plan = pyinfra.run(str(HERE / "deploys" / "linux.py"), "--dry", "--limit", "wsl", inventory=missing)
    assert plan.returncode == 0, plan.stderr
    assert "not there yet" in plan.stderr
    done = pyinfra.run("--yes", "--limit", "wsl", "exec", "--", "true", inventory=missing)
    assert done.returncode == 1
    assert "no distribution with the supplied name" in done.stderr
    assert "deploys/wsl.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_come_back_and_the_local_one_is_whole(distro: Twin, pyinfra: Pyinfra, tmp_path: Path) -> None:
    look(distro, "head -c 700000 /dev/urandom >/opt/random; printf x >'/opt/a [b] c'")
    deploy = tmp_path / "get.py"
    deploy.write_text(
        "from pyinfra.operations import files\n"
        f"files.get(name='a', src='/opt/random', dest={str(tmp_path / 'got')!r})\n"
        f"files.get(name='b', src='/opt/a [b] c', dest={str(tmp_path / 'x y')!r})\n"
    )
    done = pyinfra.run(str(deploy), "--yes", "--limit", WSL)
    assert done.returncode == 0, done.stderr
    sums = look(distro, "sha256sum </opt/random").split()[0]
    assert os.popen(f"sha256sum <'{tmp_path}/got'").read().split()[0] == sums
    assert (tmp_path / "x y").read_bytes() == b"x"


def test_a_fact_of_windows_is_refused_in_a_sentence(pyinfra: Pyinfra) -> None:
    done = pyinfra.run("--limit", WSL, "fact", "vengeance.facts.windows.Os")
    assert "this is for Windows: run it on @winrm/vengeance" in done.stderr
    assert "Traceback" not in done.stderr
