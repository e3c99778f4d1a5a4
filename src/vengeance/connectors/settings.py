"""Connector data of a host -> the wire's settings: names checked, secrets resolved late."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pyinfra.connectors.base import DataMeta
from typing_extensions import TypedDict

from vengeance.secret import Secret
from vengeance.winrm.settings import SettingsError, WinRMSettings

N = TypeVar("N", int, float)


class WinRMData(TypedDict, total=False):
    """Connector data of `@winrm`; see ``winrm_data_meta`` for what each means."""

    winrm_host: str
    winrm_port: int
    winrm_user: str
    winrm_password: str | Secret | None
    winrm_password_env: str | None
    winrm_password_file: str | None
    winrm_scheme: str
    winrm_transport: str
    winrm_certificate_sha256: str | None
    winrm_ca_file: str | None
    winrm_client_certificate: str | None
    winrm_client_key: str | None
    winrm_connect_timeout: float
    winrm_operation_timeout: int
    winrm_proxy: str | None
    winrm_mode: str
    winrm_duplex: bool
    winrm_envelope_kb: int


winrm_data_meta: dict[str, DataMeta] = {
    "winrm_host": DataMeta("Name or address of the Windows machine; the name after @winrm/ by default"),
    "winrm_port": DataMeta("TCP port; 5986 for https and 5985 for http by default", 0),
    "winrm_user": DataMeta("Windows account: name, HOST\\name or name@domain"),
    "winrm_password": DataMeta("A vengeance.secret.Secret; never a plain string, which pyinfra would print"),
    "winrm_password_env": DataMeta("Name of the environment variable that holds the password"),
    "winrm_password_file": DataMeta("A file with mode 600 whose first line is the password"),
    "winrm_scheme": DataMeta("https, or http with a transport that seals its messages", "https"),
    "winrm_transport": DataMeta("ntlm, kerberos, credssp, certificate, or basic (over https only)", "ntlm"),
    "winrm_certificate_sha256": DataMeta("SHA-256 of the server's certificate: pins it"),
    "winrm_ca_file": DataMeta("PEM file of the certificate authorities to trust instead of the usual ones"),
    "winrm_client_certificate": DataMeta("PEM file of the client's certificate, for transport certificate"),
    "winrm_client_key": DataMeta("PEM file of the client's key, for transport certificate"),
    "winrm_connect_timeout": DataMeta("Seconds until a TCP connection counts as failed", 10.0),
    "winrm_operation_timeout": DataMeta("Seconds that one request may wait on the box", 20),
    "winrm_proxy": DataMeta("URL of an HTTP proxy; none is taken from the environment"),
    "winrm_mode": DataMeta("agent (one process for all commands) or process (one a command)", "agent"),
    "winrm_duplex": DataMeta("Wait for answers on a second connection", True),
    "winrm_envelope_kb": DataMeta("MaxEnvelopeSizekb of the box", 500),
}


def refuse_unknown_keys(data: Mapping[str, object]) -> None:
    """Raise SettingsError for a ``winrm_`` key that does not exist, with the nearest that does."""
    known = list(winrm_data_meta)
    for key in data:
        if key.startswith("winrm_") and key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise SettingsError(f"there is no connector setting {key}: {hint}")


def password_reader(data: WinRMData, place: str) -> Callable[[], str]:
    """Return what reads the password at connect time.

    Raises SettingsError when none is given, when several are, or when it is a plain string.
    """
    password = data.get("winrm_password")
    variable, file = data.get("winrm_password_env"), data.get("winrm_password_file")
    given = [value for value in (password, variable, file) if value is not None]
    if len(given) > 1:
        raise SettingsError(
            f"{place}: give one of winrm_password, winrm_password_env and winrm_password_file, not several"
        )
    if isinstance(password, str):
        raise SettingsError(
            f"{place}: winrm_password is a plain string, which pyinfra prints in debug-inventory and logs: use "
            "winrm_password_env, winrm_password_file, or a Secret from vengeance.secret"
        )
    if isinstance(password, Secret):
        return password.reveal
    if variable is not None:
        return Secret.from_environment(variable).reveal
    if file is not None:
        return Secret.from_file(file).reveal
    if data.get("winrm_transport") in ("certificate", "kerberos"):
        return lambda: ""
    raise SettingsError(
        f"{place}: no password: set winrm_password_env, winrm_password_file, or winrm_password to a Secret"
    )


def settings_from_data(data: WinRMData, everything: Mapping[str, Any], name: str) -> WinRMSettings:
    """Return the wire's settings for a host.

    + data: its connector data
    + everything: all its data, in which unknown ``winrm_`` keys are looked for
    + name: the name after ``@winrm/``

    Raises SettingsError.
    """
    refuse_unknown_keys(everything)
    host = data.get("winrm_host") or name
    user = data.get("winrm_user")
    if not user:
        raise SettingsError(f"{name}: winrm_user is not set: the Windows account to sign in with")
    return WinRMSettings(
        host=host,
        user=user,
        password=password_reader(data, name),
        port=data.get("winrm_port") or 0,
        scheme=data.get("winrm_scheme") or "https",
        transport=data.get("winrm_transport") or "ntlm",
        certificate_sha256=data.get("winrm_certificate_sha256"),
        ca_file=data.get("winrm_ca_file"),
        client_certificate=data.get("winrm_client_certificate"),
        client_key=data.get("winrm_client_key"),
        connect_timeout=_number(data.get("winrm_connect_timeout"), 10.0),
        operation_timeout=_number(data.get("winrm_operation_timeout"), 20),
        proxy=data.get("winrm_proxy"),
        mode=data.get("winrm_mode") or "agent",
        duplex=data.get("winrm_duplex") is not False,
        envelope_kb=_number(data.get("winrm_envelope_kb"), 500),
    )


def _number(given: N | None, default: N) -> N:
    """A number that was given, also a 0, which is then refused like any other that cannot be used."""
    return default if given is None else given
