"""How wsl.exe takes its command line apart.

From microsoft/WSL: src/windows/common/WslClient.cpp (WslMain, ParseLegacyArguments), helpers.cpp (ParseArgument,
ConsumeArgument). It does not use the C runtime's argument rules for its own options: an argument ends at the next
blank or tab, quotes mean nothing (only ``--cd`` handles them), and what is left over is one raw string.
"""

from __future__ import annotations

_BLANKS = " \t"


def next_argument(line: str, quotes: bool = False) -> str:
    """The first argument of ``line``, which must not begin with blanks; with ``quotes`` a quoted one stays whole."""
    end = min((index for index in (line.find(blank) for blank in _BLANKS) if index >= 0), default=len(line))
    if quotes and line.startswith('"'):
        close = line.find('"', 1)
        if close > 0:
            return line[: close + 1]
    return line[:end]


def consume(line: str, argument: str) -> str:
    """What follows ``argument`` at the start of ``line``, without leading blanks."""
    return line[len(argument) :].lstrip(_BLANKS)


def strip_quotes(text: str) -> str:
    """Take one pair of quotes off the outside, as ``--cd`` does."""
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    return text


def split_windows(line: str) -> list[str]:
    """Split as CommandLineToArgvW does for the arguments after the program.

    2n backslashes before a quote give n and toggle the quotes, 2n+1 give n and a quote; inside quotes two quotes
    give one ("Everyone quotes command line arguments the wrong way", and the rules at CommandLineToArgvW).
    """
    arguments: list[str] = []
    current: list[str] = []
    started = quoted = False
    index = 0
    while index < len(line):
        letter = line[index]
        if letter == "\\":
            slashes = 0
            while index < len(line) and line[index] == "\\":
                slashes += 1
                index += 1
            if index < len(line) and line[index] == '"':
                current.append("\\" * (slashes // 2))
                if slashes % 2:
                    current.append('"')
                    index += 1
            else:
                current.append("\\" * slashes)
            started = True
            continue
        if letter == '"':
            started = True
            if quoted and line[index + 1 : index + 2] == '"':
                current.append('"')
                index += 2
                continue
            quoted = not quoted
        elif letter in _BLANKS and not quoted:
            if started:
                arguments.append("".join(current))
                current, started = [], False
        else:
            current.append(letter)
            started = True
        index += 1
    if started:
        arguments.append("".join(current))
    return arguments


def split_like_program(line: str) -> list[str]:
    """Split a command line whose first word is the program's own name.

    CommandLineToArgvW takes the first word by another rule than the rest: it ends at the next quote if it begins
    with one, else at the next blank, and backslashes mean nothing. wsl.exe calls it on the tail after ``--exec``,
    so the Linux program's name is that first word.
    """
    line = line.lstrip(_BLANKS)
    if not line:
        return []
    if line.startswith('"'):
        close = line.find('"', 1)
        first, rest = (line[1:], "") if close < 0 else (line[1:close], line[close + 1 :])
    else:
        first = next_argument(line)
        rest = line[len(first) :]
    return [first, *split_windows(rest)]
