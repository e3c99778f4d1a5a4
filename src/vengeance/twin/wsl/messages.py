"""What wsl.exe prints: texts from microsoft/WSL's localization/strings/en-US/Resources.resw, and their encoding."""

from __future__ import annotations

from collections.abc import Mapping

DISTRO_NOT_FOUND = "There is no distribution with the supplied name."
USER_NOT_FOUND = "User not found."
NO_DEFAULT_DISTRO = (
    "Windows Subsystem for Linux has no installed distributions.\n"
    "You can resolve this by installing a distribution with the instructions below:\n"
    "\n"
    "Use 'wsl.exe --list --online' to list available distributions\n"
    "and 'wsl.exe --install <Distro>' to install."
)
NO_RUNNING_DISTRO = "There are no running distributions."
LIST_HEADER = "Windows Subsystem for Linux Distributions:"
SUCCESS = "The operation completed successfully. "
TTY_LIMIT = "Unable to create a process: no more terminals are available."
LOCAL_SYSTEM = "Running WSL as local system is not supported."
NAME_EXISTS = "A distribution with the supplied name already exists. Use --name to choose a different name."
LOCATION_IN_USE = "The supplied install location is already in use."
IMPORT_FAILED = "Importing the distribution failed."
INVALID_PARAMETER = "The parameter is incorrect. "
UNREGISTERING = "Unregistering."
USER_SESSION_FAILED = "Failed to start the systemd user session for '{}'. See journalctl for more details."
IMPORT_PROGRESS = "Import in progress, this may take a few minutes."
VHD_FLAG = "This looks like a VHD file. Use --vhd to import a VHD instead of a tar."
NO_VIRTUAL_MACHINES = (
    "WSL2 is not supported with your current machine configuration.\n"
    'Please enable the "Virtual Machine Platform" optional component and ensure virtualization is enabled in the '
    "BIOS.\n"
    'Enable "Virtual Machine Platform" by running: wsl.exe --install --no-distribution\n'
    "For information please visit https://aka.ms/enablevirtualization"
)
INSTALLED_PLATFORM = (
    "Installing Windows optional component: VirtualMachinePlatform\n"
    "The requested operation is successful. Changes will not be effective until the system is rebooted."
)
WSL1_NOT_SUPPORTED = (
    "WSL1 is not supported with your current machine configuration.\n"
    'Please enable the "Windows Subsystem for Linux" optional component to use WSL1.'
)


def invalid_argument(argument: str) -> str:
    """For an option that wsl.exe does not know."""
    return (
        f"Invalid command line argument: {argument}\nPlease use 'wsl.exe --help' to get a list of supported arguments."
    )


def value_missing(argument: str) -> str:
    """For an option that needs a value and has none."""
    return (
        f"Command line argument {argument} requires a value.\n"
        "Please use 'wsl.exe --help' to get a list of supported arguments."
    )


def with_code(message: str, code: str) -> str:
    """A message with the error code below it, as wsl.exe prints nearly all of them."""
    return f"{message}\nError code: {code}"


def versions(wsl: str, kernel: str, windows: str) -> str:
    """What ``--version`` prints."""
    return (
        f"WSL version: {wsl}\nKernel version: {kernel}\nWSLg version: 1.0.71\nMSRDC version: 1.2.6353\n"
        f"Direct3D version: 1.611.1-81528511\nDXCore version: 10.0.26100.1-240331-1435.ge-release\n"
        f"Windows version: {windows}"
    )


def encode(text: str, environment: Mapping[str, str]) -> bytes:
    """A message as bytes: UTF-16LE without a byte order mark unless WSL_UTF8 is 1; lines end with CR LF.

    The C runtime is set to _O_U16TEXT or _O_U8TEXT (WslClient.cpp), both text modes.
    """
    utf8 = any(name.upper() == "WSL_UTF8" and value == "1" for name, value in environment.items())
    lines = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return lines.encode("utf-8" if utf8 else "utf-16-le", "surrogatepass")


USAGE = """Copyright (c) Microsoft Corporation. All rights reserved.
For privacy information about this product please visit https://aka.ms/privacy.

Usage: wsl.exe [Argument] [Options...] [CommandLine]

Arguments for running Linux binaries:

    If no command line is provided, wsl.exe launches the default shell.

    --exec, -e <CommandLine>
        Execute the specified command without using the default Linux shell.

    --shell-type <standard|login|none>
        Execute the specified command with the provided shell type.

    --
        Pass the remaining command line as-is.

Options:
    --cd <Directory>
        Sets the specified directory as the current working directory.

    --distribution, -d <DistroName>
        Run the specified distribution.

    --user, -u <UserName>
        Run as the specified user.

(The twin knows these and --import, --install, --list, --manage --set-default-user, --set-default, --shutdown, --status,
--terminate, --unregister and --version.)"""
