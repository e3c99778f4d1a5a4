"""A password as data: read late, shown never."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

MASK = "*MASKED*"


class SecretError(ValueError):
    """A secret cannot be read; the message says from where and what mends it, and never holds it."""


class Secret:
    """A secret that is read when it is needed and masked wherever it is printed, pickled or put into JSON.

    + read: returns the secret
    + source: where it comes from, for messages

    Usage::

        {"winrm_password": Secret.from_environment("VENGEANCE_PASSWORD")}
    """

    def __init__(self, read: Callable[[], str], source: str) -> None:
        self._read = read
        self.source = source

    @classmethod
    def of(cls, value: str) -> Secret:
        """Return a secret that is at hand already."""
        return cls(lambda: value, "a value")

    @classmethod
    def from_environment(cls, variable: str) -> Secret:
        """Return the secret in an environment variable."""

        def read() -> str:
            value = os.environ.get(variable)
            if not value:
                raise SecretError(f"the environment variable {variable} is not set: export {variable}=...")
            return value

        return cls(read, f"the environment variable {variable}")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Secret:
        """Return the first line of a file that only its owner may read (mode 600; looked at where files have modes)."""
        file = Path(path).expanduser()

        def read() -> str:
            try:
                mode = stat.S_IMODE(file.stat().st_mode)
                text = file.read_text(encoding="utf-8-sig")
            except OSError as error:
                raise SecretError(f"the secret in {file} cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise SecretError(f"the secret in {file} is not UTF-8 text: save the file as UTF-8") from None
            # On Windows a mode says nothing of who may read: that is a matter of the folder's rights.
            if os.name == "posix" and mode & 0o077:
                raise SecretError(f"the secret in {file} can be read by others (mode {mode:o}): chmod 600 {file}")
            value = text.split("\n", 1)[0].removesuffix("\r")
            if not value:
                raise SecretError(f"the secret in {file} is missing: the first line is empty")
            return value

        return cls(read, f"the file {file}")

    @classmethod
    def from_keyring(cls, service: str, user: str) -> Secret:
        """Return the secret that the system's keyring holds; needs ``pip install vengeance[keyring]``."""

        def read() -> str:
            try:
                import keyring
                import keyring.errors
            except ImportError:
                raise SecretError("the keyring package is missing: pip install 'vengeance[keyring]'") from None
            try:
                value = keyring.get_password(service, user)
            except keyring.errors.KeyringError as error:
                raise SecretError(
                    f"the keyring cannot be read ({' '.join(str(error).split()) or type(error).__name__}): unlock it, "
                    "or use an environment variable or a file"
                ) from None
            if not value:
                raise SecretError(f"the keyring has nothing for {service} and {user}: keyring set {service} {user}")
            return value

        return cls(read, f"the keyring ({service}, {user})")

    @classmethod
    def from_prompt(cls, question: str) -> Secret:
        """Return what is typed at the terminal, asked for once."""
        answers: list[str] = []

        def read() -> str:
            if not answers:
                if not sys.stdin.isatty():
                    raise SecretError(
                        f"nobody can answer {question!r}: there is no terminal. Use an environment variable or a file"
                    )
                answers.append(getpass.getpass(f"{question}: "))
            return answers[0]

        return cls(read, "the terminal")

    def reveal(self) -> str:
        """Return the secret itself. Raises SecretError."""
        return self._read()

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({self.source})"

    def __copy__(self) -> Secret:
        """pyinfra hands out copies of data; a copy is the same secret."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (MASK,))

    def to_json(self) -> str:
        """What pyinfra's JSON output shows."""
        return MASK
