"""The box that the doctor looks at: its hosts, what they are declared to be, and how it is asked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.connectors.util import CommandOutput

from vengeance.doctor.findings import Finding
from vengeance.winrm.settings import WinRMSettings

T = TypeVar("T")

LONGEST_QUESTION_SECONDS = 60

Told = Iterator[Finding | str]
"""What a look at a link gives: findings, and a text that says of the link in few words what is there."""


class NotReadable(Exception):
    """A fact could not be read; ``said`` is what the box said, ``asked`` how pyinfra's command line asks for it."""

    def __init__(self, fact: str, said: str, given: Mapping[str, object] | None = None) -> None:
        super().__init__(f"{fact}: {said}")
        self.fact = fact
        self.said = said
        self.asked = " ".join([fact, *(shlex.quote(f"{name}={value}") for name, value in (given or {}).items())])


class Ask:
    """Asks a host for facts, each once.

    pyinfra's own ``get_fact`` fails a host for good whose fact cannot be read, and the doctor goes on.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, object] = {}

    def __call__(self, fact: type[FactBase[T]], user: str | None = None, **given: Any) -> T:  # noqa: ANN401
        """Return the value of a fact.

        + user: the account of the distro that is to read it; None is the connection's own
        + given: the fact's own parameters

        Raises NotReadable, and OSError when the connection is lost.
        """
        key = repr((fact.__qualname__, fact.__module__, user, sorted(given.items())))
        if key not in self._known:
            self._known[key] = self._read(fact, user, given)
        value: T = self._known[key]  # type: ignore[assignment]
        return value

    def _read(self, fact: type[FactBase[T]], user: str | None, given: dict[str, Any]) -> T:
        name = f"{fact.__module__}.{fact.__qualname__}"
        asked = fact()
        arguments: dict[str, Any] = {"_timeout": LONGEST_QUESTION_SECONDS}
        if user is not None:
            arguments.update(_su_user=user, _su_shell="/bin/sh")
        output: CommandOutput
        try:
            good, output = self._host.run_shell_command(asked.command(**given), **arguments)
        except TimeoutError:
            raise NotReadable(name, f"no answer within {LONGEST_QUESTION_SECONDS} s", given) from None
        if not good:
            said = output.stderr.strip() or output.stdout.strip() or "it says nothing"
            raise NotReadable(name, said.splitlines()[-1], given)
        try:
            value: T = asked.process(output.stdout_lines) if output.stdout_lines else asked.default()
        except FactProcessError as error:
            raise NotReadable(name, str(error), given) from None
        return value


@dataclass
class Box:
    """A box: the host that is its Windows, the one that is the distro on it, and the settings of both.

    + inventory: file that the hosts stand in, for mends
    + wire: the connection's settings, once they are known to be right
    + certificate: SHA-256 of the one that the box shows
    + running: profiles of vLLM whose servers run and answer
    """

    windows: Host
    distro: Host | None
    inventory: Path
    settings: dict[str, Any]
    inside: dict[str, Any]
    wire: WinRMSettings | None = None
    certificate: str | None = None
    running: list[str] = field(default_factory=list)
    on_windows: Ask = field(init=False)
    in_distro: Ask = field(init=False)

    def __post_init__(self) -> None:
        self.on_windows = Ask(self.windows)
        self.in_distro = Ask(self.distro if self.distro is not None else self.windows)

    @property
    def name(self) -> str:
        """How the inventory calls it."""
        return str(self.windows.name)

    @property
    def declared_distro(self) -> str:
        """Name of the distro."""
        return str(self.inside["wsl_distro"])
