"""Connector data that cannot work is refused before a connection is tried, with the mend."""

from __future__ import annotations

from typing import Any

import pytest

from vengeance.connectors.settings import WinRMData, settings_from_data
from vengeance.secret import Secret
from vengeance.winrm.settings import SettingsError

GOOD: dict[str, Any] = {"winrm_user": "Steam", "winrm_password": Secret.of("x")}


def settings(**changes: Any) -> Any:
    data = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return settings_from_data(WinRMData(**data), data, "vengeance")  # type: ignore[typeddict-item]


def test_the_defaults_are_https_with_sealed_sign_in() -> None:
    made = settings()
    assert made.endpoint == "https://vengeance:5986/wsman"
    assert (made.transport, made.mode, made.duplex) == ("ntlm", "agent", True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"winrm_pasword_env": "X"}, "did you mean winrm_password_env"),
        ({"winrm_prt": 5986}, "did you mean winrm_port"),
        ({"winrm_password": "plain"}, "plain string"),
        ({"winrm_password": None}, "no password"),
        ({"winrm_password_env": "X"}, "give one of"),
        ({"winrm_user": None}, "winrm_user is not set"),
        ({"winrm_scheme": "http", "winrm_transport": "basic"}, "in the clear"),
        ({"winrm_scheme": "http", "winrm_transport": "certificate"}, "in the clear"),
        ({"winrm_scheme": "ftp"}, "use 'https' or 'http'"),
        ({"winrm_transport": "digest"}, "use one of ntlm"),
        ({"winrm_transport": "certificate"}, "two PEM files"),
        ({"winrm_mode": "fast"}, "'agent' or 'process'"),
        ({"winrm_port": 70000}, "from 1 to 65535"),
        ({"winrm_operation_timeout": -1}, "greater than 0"),
        ({"winrm_operation_timeout": 0}, "greater than 0"),
        ({"winrm_connect_timeout": 0.0}, "greater than 0"),
        ({"winrm_envelope_kb": 0}, "less than 64"),
        ({"winrm_certificate_sha256": "ab" * 20}, "thumbprint are SHA-1"),
        ({"winrm_certificate_sha256": "ab" * 32, "winrm_scheme": "http"}, "pins a certificate"),
    ],
)
def test_bad_settings_are_refused_with_the_mend(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings(**changes)


def test_a_pin_may_be_written_as_windows_shows_it() -> None:
    assert settings(winrm_certificate_sha256=":".join(["AB"] * 32)).certificate_sha256 is not None


def test_no_setting_shows_the_password() -> None:
    assert "hunter2" not in repr(settings(winrm_password=Secret.of("hunter2")))


def test_an_ipv6_address_is_put_in_brackets() -> None:
    assert settings(winrm_host="fd7a:115c::1").endpoint == "https://[fd7a:115c::1]:5986/wsman"
