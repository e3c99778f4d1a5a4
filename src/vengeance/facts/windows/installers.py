"""Facts of installed programs."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, files


class Product(FactBase[files.Product]):
    """Returns what Windows knows of an installed program, by the name of its key below ``Uninstall``.

    + product: a product code, or the name that its setup chose

    .. code:: python

        {
            "installed": True,
            "level": "machine",
            "name": "Windows Subsystem for Linux",
            "version": "2.7.11.0",
            "location": None,
        }
    """

    shell_executable = "ps"

    def command(self, product: str) -> Script:
        return Script("Get-Product", {"product": product})

    def process(self, output: list[str]) -> files.Product:
        return parse("Get-Product", output, files.Product)


class FileVersion(FactBase["str | None"]):
    """Returns the version that a program file tells, as ``10.0.26100.4652``; None where there is no file or version."""

    shell_executable = "ps"

    def command(self, path: str) -> Script:
        return Script("Get-FileVersion", {"path": path})

    def process(self, output: list[str]) -> str | None:
        return parse("Get-FileVersion", output, files.FileVersion)["version"]
