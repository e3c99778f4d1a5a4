"""Errors of the Windows model, in the two wordings that Windows has for each: cmd.exe's and .NET's."""

from __future__ import annotations

FILE_NOT_FOUND = 2
PATH_NOT_FOUND = 3
ACCESS_DENIED = 5
INVALID_DRIVE = 15
SHARING_VIOLATION = 32
BAD_NETPATH = 53
FILE_EXISTS = 80
DISK_FULL = 112
INVALID_NAME = 123
DIR_NOT_EMPTY = 145
ALREADY_EXISTS = 183
TOO_LONG = 206
DIRECTORY = 267

# https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-
_SYSTEM = {
    FILE_NOT_FOUND: "The system cannot find the file specified.",
    PATH_NOT_FOUND: "The system cannot find the path specified.",
    ACCESS_DENIED: "Access is denied.",
    INVALID_DRIVE: "The system cannot find the drive specified.",
    SHARING_VIOLATION: "The process cannot access the file because it is being used by another process.",
    BAD_NETPATH: "The network path was not found.",
    FILE_EXISTS: "The file exists.",
    DISK_FULL: "There is not enough space on the disk.",
    INVALID_NAME: "The filename, directory name, or volume label syntax is incorrect.",
    DIR_NOT_EMPTY: "The directory is not empty.",
    ALREADY_EXISTS: "Cannot create a file when that file already exists.",
    TOO_LONG: "The filename or extension is too long.",
    DIRECTORY: "The directory name is invalid.",
}


class Win32Error(Exception):
    """A failed file operation.

    code: Windows error number
    path: what it was about, as .NET names it in its message
    """

    def __init__(self, code: int, path: str = "") -> None:
        super().__init__(_SYSTEM[code])
        self.code = code
        self.path = path

    @property
    def system(self) -> str:
        """The text that cmd.exe prints."""
        return _SYSTEM[self.code]

    @property
    def dotnet(self) -> str:
        """The message of the exception in .NET Framework 4.8 (__Error.WinIOError and Path's own checks)."""
        name = self.path
        return {
            FILE_NOT_FOUND: f"Could not find file '{name}'.",
            PATH_NOT_FOUND: f"Could not find a part of the path '{name}'.",
            ACCESS_DENIED: f"Access to the path '{name}' is denied.",
            INVALID_DRIVE: f"Could not find a part of the path '{name}'.",
            SHARING_VIOLATION: (
                f"The process cannot access the file '{name}' because it is being used by another process."
            ),
            FILE_EXISTS: f"The file '{name}' already exists.",
            ALREADY_EXISTS: "Cannot create a file when that file already exists.\r\n",
            INVALID_NAME: "Illegal characters in path.",
            TOO_LONG: (
                "The specified path, file name, or both are too long. The fully qualified file name must be less "
                "than 260 characters, and the directory name must be less than 248 characters."
            ),
        }.get(self.code, self.system + "\r\n")
