"""A box that was built from a bare Windows by our own operations, for tests of the rules about WSL.

Nothing is told about it but by what was started on the way: every program, with its environment and who started it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyinfra.api.command import FileUploadCommand, FunctionCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.twin.works_box import WorksHost
from tests.twin.wsl_box import DISTRO, FOLDER, WslBox, wsl_box
from tests.unit.operation_runs import Run
from vengeance.connectors.pool import agent_texts
from vengeance.operations import windows, wsl
from vengeance.secret import Secret
from vengeance.twin.vendors.vendors import IMAGE_URL, WSL_URL, Vendors
from vengeance.twin.windows.state import RunningProcess
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.server import ListenSettings, WsmanServer
from vengeance.verify import inventory
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.settings import WinRMSettings

ROOT = Path(__file__).resolve().parents[2]
DATA = inventory.group_data(ROOT / "group_data")
SETTINGS: dict[str, Any] = DATA["windows"]
IN_DISTRO: dict[str, Any] = DATA["wsl"]
PASSWORD = "the account's own"
TEMPLATE = str(ROOT / "templates" / "wslconfig.j2")


class Built(WorksHost):
    """The Windows side of it.

    started: every program, in order; a restart of Windows stands between them as None
    """

    def __init__(self, box: WslBox, vendors: Vendors, folder: Path) -> None:
        super().__init__(box)
        self.there = box
        self.vendors = vendors
        self.started: list[RunningProcess | None] = []
        self.parents: dict[int, int] = {}
        self._watch()
        box.windows.passwords.check = lambda user, password: password == PASSWORD
        accounts = Accounts(folder / "accounts")
        accounts.add("Steam", PASSWORD)
        self.server = WsmanServer(ListenSettings(folder), accounts, box.windows)
        self.server.start()
        self.client = self.sign_in()
        self.linux = InDistro(self)

    def _watch(self) -> None:
        remember = self.there.state.process_started

        def started(process: RunningProcess) -> None:
            self.started.append(process)
            self.parents[process.pid] = process.parent
            remember(process)

        self.there.state.process_started = started  # type: ignore[method-assign]

    def sign_in(self, **changes: Any) -> WinRMClient:
        """A connection of its own, over https, that pins the certificate."""
        given: dict[str, Any] = {
            "host": "127.0.0.1",
            "user": "Steam",
            "password": lambda: PASSWORD,
            "port": self.server.https_port,
            "certificate_sha256": self.server.certificate_sha256,
            **changes,
        }
        return WinRMClient(WinRMSettings(**given), agent_texts())

    def must(self, operation: Any, **arguments: Any) -> Run:
        """Run an operation that has to succeed."""
        good, run = self.run(operation, **arguments)
        assert good, self.said
        return run

    def restart(self) -> None:
        """Windows restarts, with nobody logged on."""
        self.started.append(None)
        self.client.forget()
        self.there.restart()

    # --- the steps of the stage ---

    def installed(self, **changes: Any) -> tuple[bool, Run]:
        given = {
            "version": SETTINGS["wsl_version"],
            "url": WSL_URL,
            "sha256": self.vendors.served[WSL_URL],
            "product_code": SETTINGS["wsl_product_code"],
            **changes,
        }
        return self.run(wsl.installed, **given)

    def distro(self, **changes: Any) -> tuple[bool, Run]:
        image = {"image_url": IMAGE_URL, "image_sha256": self.vendors.served[IMAGE_URL]}
        return self.run(wsl.distro, **{"distro": DISTRO, "path": FOLDER, **image, **changes})

    def config(self, settings: dict[str, Any] | None = None) -> Run:
        declared = SETTINGS["wslconfig"] if settings is None else settings
        return self.must(wsl.config, settings=declared, distro=DISTRO, template=TEMPLATE)

    def keepalive(self) -> Run:
        return self.must(wsl.keepalive, distro=DISTRO, logon="password", password=Secret.of(PASSWORD))

    def build(self) -> None:
        """What the stages windows and wsl do, on a bare Windows."""
        self.must(windows.feature, feature="VirtualMachinePlatform")
        self.restart()
        assert self.installed()[0], self.said
        self.config()
        assert self.distro()[0], self.said
        user = str(IN_DISTRO["wsl_conf"]["user"]["default"])
        assert self.linux.run(wsl.user, user=user)[0], self.linux.said
        conf = {"settings": IN_DISTRO["wsl_conf"], "template": str(ROOT / "templates" / "wsl.conf.j2")}
        assert self.linux.run(wsl.conf, **conf)[0], self.linux.said
        self.must(wsl.terminated, distro=DISTRO)
        self.must(wsl.machine, settings=SETTINGS["wslconfig"], distro=DISTRO)
        self.keepalive()

    def held(self) -> list[str]:
        """What keeps the distro up, in it: process ids with the moment each was started; none where it does not run."""
        if not self.there.running():
            return []
        table = self.there.inside("ps", "-eo", "pid=,lstart=,args=").splitlines()
        return [" ".join(line.split()[:6]) for line in table if line.endswith("/usr/bin/sleep infinity")]

    # --- what was started on the way ---

    @property
    def wsl_calls(self) -> list[RunningProcess]:
        """Every wsl.exe, whichever."""
        return [one for one in self.started if one is not None and one.image.lower().endswith("\\wsl.exe")]

    def calls_since(self, mark: int) -> list[str]:
        """The command lines of every wsl.exe after the first ``mark`` programs."""
        later = [one for one in self.started[mark:] if one is not None]
        return [one.command_line for one in later if one.image.lower().endswith("\\wsl.exe")]

    def ancestors(self, pid: int) -> list[int]:
        """Who has started a process, and who has started that, and so on."""
        found: list[int] = []
        while pid in self.parents:
            pid = self.parents[pid]
            found.append(pid)
        return found


class InDistro(WorksHost):
    """Its Linux side: every command goes through WinRM and wsl.exe, by the client that the connectors use."""

    def __init__(self, built: Built) -> None:
        super().__init__(built.there)
        self.built = built

    def run_shell_command(self, command: Any, **_: Any) -> tuple[bool, CommandOutput]:
        text = command.get_raw_value() if isinstance(command, StringCommand) else str(command)
        done = self.built.client.sh(DISTRO, "root", text)
        lines = [OutputLine("stdout", line) for line in done.stdout.decode().splitlines()]
        lines += [OutputLine("stderr", line) for line in done.stderr.decode().splitlines()]
        return done.code == 0, CommandOutput(lines)

    def fact(self, cls: type[FactBase[Any]], **arguments: Any) -> Any:
        known = {name: value for name, value in arguments.items() if not name.startswith("_")}
        fact = cls()
        good, output = self.run_shell_command(fact.command(**known))
        return fact.process(output.stdout_lines) if good and output.stdout_lines else fact.default()

    def _execute(self, state: Any, host: Any, command: Any) -> bool:
        if isinstance(command, FunctionCommand):
            return command.execute(state, host, {}) is not False
        if isinstance(command, FileUploadCommand):
            source: Any = command.src
            data = Path(source).read_bytes() if isinstance(source, str) else source.read()
            content = io.BytesIO(data.encode() if isinstance(data, str) else data)
            self.built.client.upload_to_distro(DISTRO, "root", content, command.dest)
            return True
        good, output = self.run_shell_command(command)
        if not good:
            self.said.append(output.stderr)
        return good


@contextmanager
def bare_box(folder: Path) -> Iterator[Built]:
    """A bare Windows on which nothing was done yet."""
    with wsl_box(bare=True) as box:
        box.host.prepare()
        vendors = Vendors(box.host.settings.cache, box.host.tarball)
        vendors.introduce(box.windows.web)
        built = Built(box, vendors, folder)
        try:
            yield built
        finally:
            built.client.close()
            built.server.stop()
            vendors.stop()


@contextmanager
def built_box(folder: Path) -> Iterator[Built]:
    """One that is as it should be."""
    with bare_box(folder) as built:
        built.build()
        yield built
