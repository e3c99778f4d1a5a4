"""How a Windows program takes its command line apart."""

from __future__ import annotations


def split(line: str) -> list[str]:
    """The arguments after the program's name, by the rules of CommandLineToArgvW.

    line: the rest of the command line behind the program's name
    https://learn.microsoft.com/windows/win32/api/shellapi/nf-shellapi-commandlinetoargvw
    """
    arguments: list[str] = []
    current: list[str] | None = None
    quoted = False
    index = 0
    while index < len(line):
        char = line[index]
        if char == "\\":
            start = index
            while index < len(line) and line[index] == "\\":
                index += 1
            count = index - start
            current = current if current is not None else []
            if index < len(line) and line[index] == '"':
                current.append("\\" * (count // 2))
                if count % 2:
                    current.append('"')
                    index += 1
            else:
                current.append("\\" * count)
            continue
        if char == '"':
            current = current if current is not None else []
            if quoted and line[index + 1 : index + 2] == '"':
                current.append('"')
                index += 1
            else:
                quoted = not quoted
        elif char in " \t" and not quoted:
            if current is not None:
                arguments.append("".join(current))
                current = None
        else:
            current = current if current is not None else []
            current.append(char)
        index += 1
    if current is not None:
        arguments.append("".join(current))
    return arguments


def split_program(line: str) -> tuple[str, str]:
    """The program's name and the raw rest of a command line, as CreateProcess finds them."""
    line = line.lstrip(" \t")
    if line.startswith('"'):
        name, _, rest = line[1:].partition('"')
        return name, rest
    for index, char in enumerate(line):
        if char in " \t":
            return line[:index], line[index:]
    return line, ""
