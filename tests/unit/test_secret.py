"""A secret is read late and shown nowhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from pyinfra_cli.util import json_encode

from vengeance.secret import MASK, Secret, SecretError

WORD = "Tr0ub4dor&3 ünsäglich"


def test_no_way_of_printing_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret.of(WORD)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").debug("%s %r", secret, {"a": secret})
    shown = [str(secret), repr(secret), f"{secret}", json.dumps({"a": secret}, default=json_encode), caplog.text]
    shown.append(str(pickle.loads(pickle.dumps(secret))))
    assert not any(WORD in text for text in shown)
    assert json.loads(json.dumps(secret, default=json_encode)) == MASK
    assert secret.reveal() == WORD


def test_a_copy_is_the_same_secret() -> None:
    secret = Secret.of(WORD)
    assert copy.copy(secret).reveal() == copy.deepcopy({"a": secret})["a"].reveal() == WORD


def test_it_comes_from_the_environment_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret.from_environment("VENGEANCE_TEST_PASSWORD")
    with pytest.raises(SecretError, match="VENGEANCE_TEST_PASSWORD is not set"):
        secret.reveal()
    monkeypatch.setenv("VENGEANCE_TEST_PASSWORD", WORD)
    assert secret.reveal() == WORD


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(WORD + "\nsecond line\n", encoding="utf-8")
    file.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600") as caught:
        Secret.from_file(file).reveal()
    assert WORD not in str(caught.value)
    file.chmod(0o600)
    assert Secret.from_file(file).reveal() == WORD


def test_a_missing_or_empty_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be read"):
        Secret.from_file(tmp_path / "none").reveal()
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(SecretError, match="is empty"):
        Secret.from_file(empty).reveal()


def test_a_prompt_without_a_terminal_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(SecretError, match="no terminal"):
        Secret.from_prompt("Password of the box").reveal()


class Shelf(KeyringBackend):
    """A keyring that holds one secret."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return WORD if (service, username) == ("vengeance", "Steam") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


def test_it_comes_from_the_keyring_and_what_is_not_there_is_told_with_what_puts_it_there() -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Shelf())  # type: ignore[no-untyped-call]
    try:
        assert Secret.from_keyring("vengeance", "Steam").reveal() == WORD
        with pytest.raises(SecretError, match="keyring set vengeance Nobody"):
            Secret.from_keyring("vengeance", "Nobody").reveal()
    finally:
        keyring.set_keyring(before)


def test_a_keyring_that_cannot_be_read_is_said_in_a_sentence() -> None:
    keyring = pytest.importorskip("keyring")
    fail = pytest.importorskip("keyring.backends.fail")
    used = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    try:
        with pytest.raises(SecretError, match="keyring cannot be read"):
            Secret.from_keyring("vengeance", "Steam").reveal()
    finally:
        keyring.set_keyring(used)
