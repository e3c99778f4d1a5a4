"""Whether what runs with an administrator's rights may lie in a directory: only where nobody else can put it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def objection(where: str, directory: str, account: str, foreign: Sequence[Mapping[str, object]]) -> str | None:
    """Say why a directory is not used, and what a person does about it; None when it may be.

    + where: the host, as sentences call it
    + account: the Windows account that the deploy uses
    + foreign: as Get-DirectoryAccess tells it: what in it is somebody else's, the directory itself first

    It is not mended: who has put it there may have put anything there.
    """
    if not foreign:
        return None
    first = foreign[0]
    path, owner = first["path"], first["owner"]
    others = "" if len(foreign) == 1 else ", and others"
    what = f"{path} is a link{others}" if first["link"] else f"{path} belongs to {owner}{others}"
    mend = (
        ""
        if first["link"]
        else (
            f'; or, if {owner} may be trusted like an administrator, as administrator: icacls "{directory}" '
            "/setowner *S-1-5-32-544 /T"
        )
    )
    return (
        f"{directory} on {where} is not used: {what}, and what lies there runs with the rights of {account}, an "
        f"administrator. Look at what it is; then move {directory} away{mend}."
    )
