"""The script that is pasted on a new box, with what is known already written into its parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vengeance.box import firewall

# Windows PowerShell takes these four for the single quote too.
# https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_quoting_rules
_SINGLE_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")
# https://learn.microsoft.com/powershell/module/microsoft.powershell.localaccounts/new-localuser (Name)
_NOT_IN_A_NAME = re.compile(r"""["/\\\[\]:;|=,+*?<>@\x00-\x1f\x7f-\x9f]""")


def text(value: str) -> str:
    """Return a text as a literal of PowerShell that means itself and nothing else."""
    return "'" + _SINGLE_QUOTES.sub(lambda quote: quote[0] * 2, value) + "'"


def check_account(account: str) -> None:
    """Check that a name can be that of a local account, without the machine's name before it.

    Raises ValueError with a sentence.
    """
    if not account or len(account) > 20 or account.strip(" .") != account or _NOT_IN_A_NAME.search(account):
        raise ValueError(
            f'{account!r} is no name of a local account: 1 to 20 characters, none of "/\\[]:;|=,+*?<>@, and no dot or '
            "space at an end."
        )


def filled(
    script: str,
    account: str | None = None,
    remote_addresses: Sequence[str] | None = None,
    box_address: str | None = None,
    port: int | None = None,
) -> str:
    """Return the script with other defaults of its parameters; what is None stays as it stands.

    + script: the text of ``bootstrap/enable-winrm.ps1``
    + account: who signs in
    + remote_addresses: who may reach the port
    + box_address: address of the box for the inventory
    + port: TCP port of https

    Raises ValueError for an account or address that Windows would not take, and for a script without the parameter.
    """
    if account is not None:
        check_account(account)
        script = _with_default(script, "Account", text(account))
    if remote_addresses is not None:
        firewall.scope(remote_addresses)
        script = _with_default(script, "RemoteAddress", "@(" + ", ".join(map(text, remote_addresses)) + ")")
    if box_address is not None:
        script = _with_default(script, "BoxAddress", text(box_address))
    if port is not None:
        script = _with_default(script, "Port", str(port))
    return script


def _with_default(script: str, parameter: str, value: str) -> str:
    line = re.compile(rf"^(        \[\w+(?:\[\])?\] \${parameter} = )(.*?)(,?)$", re.MULTILINE)
    changed, count = line.subn(lambda match: match[1] + value + match[3], script)
    if count != 1:
        raise ValueError(f"The script has no parameter ${parameter} on a line of its own.")
    return changed
