"""Installers of Windows: their command lines, exit codes and versions.

Exit codes: https://learn.microsoft.com/windows/win32/msi/error-codes
Command line: https://learn.microsoft.com/windows/win32/msi/command-line-options
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from vengeance.box import versions, windows_paths

SUCCESS = (0, 1641, 3010)
"""0: installed; 1641, 3010: installed, and Windows restarts or has to."""
REBOOT = (1641, 3010)
_MEANING = {
    1601: "the Windows Installer service cannot be reached",
    1602: "it was cancelled",
    1603: "it failed while installing",
    1605: "the product is not installed",
    1612: "the package it was installed from is gone",
    1618: "another installation runs",
    1619: "the package cannot be opened",
    1620: "the file is no package of Windows Installer, or is damaged",
    1622: "its log cannot be written",
    1625: "a policy of this Windows forbids it",
    1633: "the package is for another kind of processor",
    1638: "another version of the product is installed",
    1639: "its command line is wrong",
    1925: "it needs an administrator",
}
_PROPERTY = re.compile(r"[A-Z_][A-Z0-9_.]*")
# Neither quotes nor what a shell or an installer would read as more than text.
_VALUE = re.compile(r"[A-Za-z0-9 ._:;,@~\\/{}()\[\]=+-]*")
_PRODUCT_CODE = re.compile(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")


def check_product_code(code: str) -> None:
    """Check the product code of an MSI. Raises ValueError with a sentence."""
    if not isinstance(code, str) or not _PRODUCT_CODE.fullmatch(code):
        raise ValueError(f"{code!r} is no product code: it is as {{497CB23D-8747-4047-A079-DD98E0EDFC18}}.")


def check_product(product: str) -> None:
    """Check the name of a product's key among the installed programs. Raises ValueError with a sentence."""
    if not isinstance(product, str) or not product.strip() or "\\" in product or len(product) > 255:
        raise ValueError(
            f"{product!r} is no name of a product: it is the name of its key below "
            "HKLM or HKCU\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall."
        )


def check_version(version: str) -> None:
    """Check a version of numbers, as ``2.7.11``. Raises ValueError with a sentence."""
    if not isinstance(version, str) or not re.fullmatch(r"\d+(\.\d+){0,3}", version):
        raise ValueError(f"{version!r} is no version: write one to four numbers with dots, as 2.7.11.")


def same_version(one: str | None, other: str) -> bool:
    """Tell whether two versions are the same; ``2.7.11`` and ``2.7.11.0`` are."""
    if one is None:
        return False
    return all(a == b for a, b in zip_longest(versions.numbers(one), versions.numbers(other), fillvalue=0))


def command_line(arguments: Sequence[str]) -> str:
    """Return arguments as a Windows command line; those with blanks get quotes.

    Raises ValueError with a sentence for one that could mean more than text.
    """
    words = []
    for argument in arguments:
        if not isinstance(argument, str) or not argument or not _VALUE.fullmatch(argument):
            raise ValueError(
                f"{argument!r} cannot be an argument of an installer: write letters, digits, blanks and "
                "._:;,@~\\/{}()[]=+-, and no quotes."
            )
        if argument.endswith("\\") and " " in argument:
            raise ValueError(f"{argument!r} ends with a backslash, which would swallow the quotes: leave it out.")
        words.append(f'"{argument}"' if " " in argument else argument)
    return " ".join(words)


def msi_command_line(path: str, properties: Mapping[str, str], log: str) -> str:
    """Return the arguments of msiexec.exe that install a package without a window, a question or a restart.

    + path: of the package
    + properties: public properties, name -> value
    + log: file that it tells all in

    Raises ValueError with a sentence for what cannot stand in a command line.
    """
    for file in (path, log):
        windows_paths.check_file(file)
        if not _VALUE.fullmatch(file):
            raise ValueError(f"{file!r} cannot be given to msiexec: use letters, digits, blanks and ._-() in it.")
    words = [f'/i "{path}" /qn /norestart /L*v "{log}"']
    for name, value in properties.items():
        if not _PROPERTY.fullmatch(name):
            raise ValueError(f"{name!r} is no public property of an MSI: it has capitals, digits, '_' and '.'.")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"{value!r} is no value for the property {name}: write a text without quotes.")
        words.append(f'{name}="{value}"' if " " in value else f"{name}={value}")
    return " ".join(words)


def msi_removal(product_code: str, log: str) -> str:
    """Return the arguments of msiexec.exe that uninstall a product without a window, a question or a restart.

    + product_code: of the product
    + log: file that it tells all in

    Raises ValueError with a sentence for what cannot stand in a command line.
    """
    check_product_code(product_code)
    windows_paths.check_file(log)
    if not _VALUE.fullmatch(log):
        raise ValueError(f"{log!r} cannot be given to msiexec: use letters, digits, blanks and ._-() in it.")
    return f'/x {product_code} /qn /norestart /L*v "{log}"'


def meaning(code: int) -> str:
    """Return an exit code with what Windows Installer means by it: ``1618 (another installation runs)``."""
    return f"{code} ({_MEANING[code]})" if code in _MEANING else str(code)
