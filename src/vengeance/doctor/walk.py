"""The walk along the chain: each link in its turn, and what hangs on a broken one not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pyinfra.api.exceptions import PyinfraError

from vengeance.doctor.box import Box, NotReadable, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.checks import distro, exposure, ollama, vllm, windows, wire
from vengeance.doctor.findings import Finding
from vengeance.doctor.links import LINKS, Link

_LOOKS: dict[str, Callable[[Box], Told]] = {
    "network": wire.network,
    "tls": wire.tls,
    "winrm": wire.winrm,
    "account": wire.account,
    "windows": windows.windows,
    "driver": windows.driver,
    "wsl": windows.wsl,
    "distro": distro.distro,
    "systemd": distro.systemd,
    "cuda": distro.cuda,
    "venv": vllm.venv,
    "unit": vllm.unit,
    "port": exposure.port,
    "exposure": exposure.exposure,
    "ollama": ollama.ollama,
    "models": ollama.models,
    "tenants": ollama.tenants,
    "token": vllm.token,
}
_IN_THE_DISTRO = ("distro", "systemd", "cuda", "venv", "unit", "token")


@dataclass(frozen=True)
class Looked:
    """One link after the walk.

    + says: what is there, in few words
    + because: why it was not looked at, None when it was
    + seconds: that looking at it took
    + holds: whether what hangs on it can be looked at
    """

    link: Link
    says: str
    findings: tuple[Finding, ...]
    because: str | None
    seconds: float
    holds: bool


def walk(box: Box) -> list[Looked]:
    """Look at every link of a box that can be looked at; the hosts are connected on the way, and left when it ends."""
    done: dict[str, Looked] = {}
    unread: set[str] = set()
    try:
        for link in LINKS:
            done[link.name] = _one(box, link, done, unread)
    finally:
        for host in (box.distro, box.windows):
            if host is not None:
                with suppress(PyinfraError, OSError):
                    host.disconnect()
    return list(done.values())


def _one(box: Box, link: Link, done: dict[str, Looked], unread: set[str]) -> Looked:
    if box.distro is None and link.name in _IN_THE_DISTRO:
        return Looked(link, "", (), "the inventory has no distro on this box", 0.0, False)
    reason = _in_the_way(link, done)
    if reason is not None:
        return Looked(link, "", (), reason, 0.0, False)
    findings: list[Finding] = []
    says: list[str] = []
    began, whole = time.monotonic(), True
    try:
        for told in _LOOKS[link.name](box):
            if isinstance(told, Finding):
                findings.append(told)
            else:
                says.append(told)
    except NotReadable as error:
        whole = False
        if error.fact not in unread:
            unread.add(error.fact)
            findings.append(finding("fact-not-readable", str(error), fact=error.asked))
    except (ValueError, LookupError) as error:
        # What is declared is read where it is compared.
        whole = False
        said = f"{error} is not declared" if isinstance(error, KeyError) else str(error)
        if said not in unread:
            unread.add(said)
            findings.append(finding("setting-wrong", said))
    except OSError as error:
        whole = False
        findings.append(finding("connection-lost", f"at the link {link.title}: {error}"))
    holds = whole and not any(one.severity == "broken" for one in findings)
    return Looked(link, "; ".join(says), tuple(findings), None, time.monotonic() - began, holds)


def _in_the_way(link: Link, done: dict[str, Looked]) -> str | None:
    """Why a link is not looked at: a broken one that it hangs on, or a connection that was lost."""
    for one in done.values():
        if any(each.name == "connection-lost" for each in one.findings):
            return "the connection was lost"
    for name in link.needs:
        needed = done[name]
        if needed.because is not None:
            return needed.because
        if not needed.holds:
            names = [one.name for one in needed.findings if one.severity == "broken"]
            names = names or [one.name for one in needed.findings] or ["it could not be read"]
            return f"of {names[0]} ({needed.link.title})"
    return None
