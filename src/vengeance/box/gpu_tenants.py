"""Who has the card's memory: the programs that Windows names, told apart by what to do about each, and a picture.

How much is taken and free, the driver says (nvidia-smi); who has it, Windows' own counters say ("GPU Process Memory").
The two are read one after the other, and the counters lag behind by up to half a minute, so they never agree to the
MiB. What nobody is named for is told as such: the driver's own, contexts of CUDA, or a program that has just begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tenant = Literal["desktop", "ollama", "wsl", "comfyui", "game", "other"]
"""Whose it is. ``desktop`` stays as long as somebody is signed in, ``ollama`` and ``wsl`` (vLLM among what runs there)
are ours to end, ``comfyui``, ``game`` and ``other`` belong to the person at the screen."""

SMALL_MIB = 512
"""A program with less is the desktop's, whatever it is: windows of chat programs, launchers and editors have 50 to some
hundred MiB each (judged; nobody would close them to make room for a model)."""
BROWSER_MIB = 1536
"""A browser with less is the desktop's too: all its tabs are drawn by one process, and videos take a GiB and more
(judged). One with more is worth closing."""
COUNTERS_MEND = (
    "run `lodctr /R` in C:\\Windows\\System32 and in C:\\Windows\\SysWOW64, then `winmgmt /resyncperf`, in an "
    "administrator's prompt on the box"
)
"""What builds Windows' counters anew. https://learn.microsoft.com/troubleshoot/windows-server/performance/
manually-rebuild-performance-counters"""

# What draws the desktop and what the driver shows on it. They stay the desktop's with any size: dwm.exe of some Windows
# builds gathers GiB (ClassicOldSong/Apollo#1544), and only signing out frees them.
_DESKTOP = {
    "applicationframehost.exe",
    "csrss.exe",
    "dwm.exe",
    "explorer.exe",
    "lockapp.exe",
    "logonui.exe",
    "nvcontainer.exe",
    "nvidia overlay.exe",
    "nvidia share.exe",
    "ollama app.exe",
    "searchhost.exe",
    "shellexperiencehost.exe",
    "startmenuexperiencehost.exe",
    "systemsettings.exe",
    "taskmgr.exe",
    "textinputhost.exe",
    "widgets.exe",
    "windowsterminal.exe",
}
_BROWSERS = {
    "brave.exe",
    "chrome.exe",
    "firefox.exe",
    "msedge.exe",
    "msedgewebview2.exe",
    "opera.exe",
    "vivaldi.exe",
}
# ollama serve, and the two names that its runners have had.
_OLLAMA = {"ollama.exe", "ollama_llama_server.exe"}
_RUNNER = "llama-server.exe"
# The virtual machine of WSL since Windows 11, and before (microsoft/WSL#6881).
_MACHINES = {"vmmemwsl", "vmmem"}
_GAMES = (
    "\\steamapps\\common\\",
    "\\epic games\\",
    "\\xboxgames\\",
    "\\gog galaxy\\games\\",
    "\\riot games\\",
    "\\games\\",
)

_SIGNS: dict[Tenant, str] = {"desktop": "d", "ollama": "O", "wsl": "W", "comfyui": "C", "game": "G", "other": "x"}
_WORDS: dict[Tenant, str] = {
    "desktop": "the desktop",
    "ollama": "Ollama",
    "wsl": "WSL",
    "comfyui": "ComfyUI",
    "game": "a game",
    "other": "other programs",
}
_UNNAMED, _FREE = "?", "."
_SHOWN = 3


@dataclass(frozen=True)
class Holder:
    """A program of Windows that has memory of the card; ``image`` is its file's name, ``?`` where it is not known."""

    tenant: Tenant
    image: str
    pid: int
    mib: int


@dataclass(frozen=True)
class Held:
    """The memory of one card and who has it; sizes in MiB.

    used, free: as the driver tells; it keeps some for itself, so they do not add up to ``total``
    holders: those that Windows names, the largest first
    complaints: why they are not all, or are not only those of this card, in sentences with the mend
    """

    card: str
    total: int
    used: int
    free: int
    holders: tuple[Holder, ...]
    complaints: tuple[str, ...] = ()

    @property
    def unnamed(self) -> int:
        """MiB that are not free and that nobody is named for."""
        return max(0, self.total - self.free - sum(holder.mib for holder in self.holders))

    def of(self, *tenants: Tenant) -> tuple[Holder, ...]:
        """Return the holders of these tenants, the largest first."""
        return tuple(holder for holder in self.holders if holder.tenant in tenants)

    def mib_of(self, *tenants: Tenant) -> int:
        """Return the MiB that these tenants have together."""
        return sum(holder.mib for holder in self.of(*tenants))


def tenant_of(image: str | None, path: str | None, mib: int, comfyui: bool = False) -> Tenant:
    """Return whose a program's memory is.

    + image: file name of the program, None where it is not known; letters' case does not count
    + path: its full path, None where it has none or it may not be seen
    + mib: what it has of the card
    + comfyui: whether it is known to run ComfyUI
    """
    name, place = (image or "").lower(), (path or "").lower()
    if name.removesuffix(".exe") in _MACHINES:
        return "wsl"
    # Others bring a llama-server.exe too: LM Studio, llama.cpp itself.
    if name in _OLLAMA or (name == _RUNNER and (not place or "ollama" in place)):
        return "ollama"
    if comfyui or name == "comfyui.exe":
        return "comfyui"
    if name in _DESKTOP or mib < (BROWSER_MIB if name in _BROWSERS else SMALL_MIB):
        return "desktop"
    return "game" if any(folder in place for folder in _GAMES) else "other"


def held(card: Mapping[str, Any], counters: Mapping[str, Any]) -> Held:
    """Put together what was read of a card and of who has its memory.

    + card: as the fact ``windows.Gpu`` has it
    + counters: as the fact ``windows.GpuProcesses`` has it
    """
    holders = [
        Holder(
            tenant_of(one["image"], one["path"], one["mib"], one["comfyui"]),
            one["image"] or "?",
            one["pid"],
            one["mib"],
        )
        for one in counters["processes"]
    ]
    complaints: list[str] = []
    if not counters["counted"]:
        complaints.append(f"Windows does not count who has the card's memory ({counters['reason']}): {COUNTERS_MEND}.")
    elif holders and not counters["of_card"]:
        complaints.append("Windows does not say which adapter is NVIDIA's, so what others hold is counted too.")
    return Held(
        card["name"],
        card["memory_mib"],
        card["memory_used_mib"],
        card["memory_free_mib"],
        tuple(sorted(holders, key=lambda holder: (-holder.mib, holder.pid))),
        tuple(complaints),
    )


def picture(seen: Held, also: Mapping[Tenant, str] | None = None, width: int = 64) -> str:
    """Return the card's memory as text: a bar with a letter for each tenant, and a line about each.

    + also: what to say beside a tenant's programs, as the models that Ollama has loaded
    + width: letters in the bar
    """
    mib = {tenant: seen.mib_of(tenant) for tenant in _WORDS if seen.mib_of(tenant)}
    parts = [(_SIGNS[tenant], size) for tenant, size in mib.items()] + [(_UNNAMED, seen.unnamed)]
    lines = [f"{seen.card}: {seen.used:,} of {seen.total:,} MiB are taken, {seen.free:,} are free"]
    lines.append(f"[{_bar(parts, seen.total, width)}]")
    rows = [
        (_SIGNS[tenant], _WORDS[tenant], size, _programs(seen.of(tenant), also, tenant)) for tenant, size in mib.items()
    ]
    if seen.unnamed:
        rows.append((_UNNAMED, "nobody is named", seen.unnamed, "the driver's own, or not counted yet"))
    rows.append((_FREE, "free", seen.free, ""))
    for sign, word, size, who in rows:
        lines.append(f"  {sign} {word:<15} {size:>7,} MiB  {who}".rstrip())
    return "\n".join([*lines, *seen.complaints])


def _bar(parts: list[tuple[str, int]], total: int, width: int) -> str:
    bar, taken = "", 0
    for sign, size in parts:
        taken += size
        bar += sign * (min(width, round(taken * width / max(1, total))) - len(bar))
    return bar + _FREE * (width - len(bar))


def _programs(holders: tuple[Holder, ...], also: Mapping[Tenant, str] | None, tenant: Tenant) -> str:
    named = [f"{holder.image} ({holder.pid})" for holder in holders[:_SHOWN]]
    if len(holders) > _SHOWN:
        named.append(f"{len(holders) - _SHOWN} more")
    note = (also or {}).get(tenant)
    return ", ".join(named) + (f": {note}" if note else "")
