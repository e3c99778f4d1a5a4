"""The commands that cmd.exe does itself, with the texts of an English Windows 11."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from vengeance.twin.windows import arguments as argv
from vengeance.twin.windows import errors
from vengeance.twin.windows.drive import Entry, is_null_device
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.state import BUILD, UPDATE_REVISION

if TYPE_CHECKING:
    from vengeance.twin.windows.cmd import Interpreter, Streams

Internal: TypeAlias = "Callable[[Interpreter, str, Streams], int]"

SYNTAX = "The syntax of the command is incorrect."
# Known to cmd.exe, not to the twin: a sentence says so.
NOT_MODELLED = {
    *("assoc", "break", "color", "date", "endlocal", "for", "ftype", "goto", "keys", "setlocal", "shift", "time"),
}


def version_line() -> str:
    """What VER prints."""
    return f"Microsoft Windows [Version 10.0.{BUILD}.{UPDATE_REVISION}]"


def words(text: str) -> list[str]:
    """Arguments of an internal command: apart at blanks , ; = outside of quotes, without the quotes."""
    found = []
    for match in re.finditer(r'(?:"[^"]*"?|[^\s,;="])+', text):
        found.append(match[0].replace('"', ""))
    return found


def split_options(text: str) -> tuple[list[str], list[str]]:
    """Options (lower case, without values) and the other words; ``/s/q`` are two options."""
    options: list[str] = []
    others: list[str] = []
    for word in words(re.sub(r'(?<=[^\s"])(?=/[a-zA-Z?](?:[\s/:]|$))', " ", text)):
        if word.startswith("/"):
            options.append(word.lower())
        else:
            others.append(word)
    return options, others


def matching(shell: Interpreter, pattern: str) -> list[str]:
    """Full paths that a name with or without wildcards means."""
    folder, separator, name = pattern.replace("/", "\\").rpartition("\\")
    if "*" not in name and "?" not in name:
        return [shell.drive.shown(pattern, shell.cwd)] if shell.drive.exists(pattern, shell.cwd) else []
    where = shell.drive.absolute(folder + separator or ".", shell.cwd)
    if not shell.drive.is_directory(where):
        return []
    name = "*" if name == "*.*" else name
    return [
        where.rstrip("\\") + "\\" + entry.name
        for entry in shell.drive.entries(where)
        if fnmatch.fnmatchcase(entry.name.lower(), re.sub(r"\[", "[[]", name.lower()))
    ]


def echo(shell: Interpreter, text: str, streams: Streams) -> int:
    """ECHO."""
    if not text.strip(" \t,;="):
        # "echo." and its like were taken off with the first character below; a bare ECHO tells its state.
        shell.write(streams.stdout, "ECHO is on.\r\n")
        return 0
    if text.strip().lower() in ("on", "off"):
        return 0
    shell.write(streams.stdout, text[1:] + "\r\n")
    return 0


def set_command(shell: Interpreter, text: str, streams: Streams) -> int:
    """SET."""
    rest = text.lstrip(" \t,;=")
    option = re.match(r"/([ap])", rest, re.IGNORECASE)
    if option and option[1].lower() == "a":
        return shell.fail(streams, "The twin's cmd.exe does not model SET /A.")
    if option:
        return _set_from_input(shell, rest[2:].lstrip(), streams)
    if rest.startswith('"'):
        rest = rest[1:]
        last = rest.rfind('"')
        rest = rest[:last] if last >= 0 else rest
    name, equals, value = rest.partition("=")
    if equals:
        if not name:
            return shell.fail(streams, SYNTAX)
        if value:
            shell.environment[name] = value
        else:
            shell.environment.pop(name, None)
        return 0
    shown = sorted((n for n in shell.environment if n.upper().startswith(rest.strip().upper())), key=str.upper)
    if rest.strip() and not shown:
        return shell.fail(streams, f"Environment variable {rest.strip()} not defined")
    for known in shown:
        shell.write(streams.stdout, f"{known}={shell.environment[known]}\r\n")
    return 0


def _set_from_input(shell: Interpreter, text: str, streams: Streams) -> int:
    if text.startswith('"'):
        text = text[1 : text.rfind('"')] if text.rfind('"') > 0 else text[1:]
    name, equals, prompt = text.partition("=")
    if not equals or not name:
        return shell.fail(streams, SYNTAX)
    prompt = prompt.strip()
    if len(prompt) > 1 and prompt[0] == prompt[-1] == '"':
        prompt = prompt[1:-1]
    shell.write(streams.stdout, prompt)
    line = streams.stdin.read_line().rstrip(b"\n").rstrip(b"\r").decode(shell.run.console.codec, "replace")
    if not line:
        shell.error_level = 1
        return 1
    shell.environment[name] = line
    return 0


def type_command(shell: Interpreter, text: str, streams: Streams) -> int:
    """TYPE."""
    names = words(text)
    if not names:
        return shell.fail(streams, SYNTAX)
    code = 0
    for name in names:
        if is_null_device(name):
            continue
        found = matching(shell, name)
        if not found:
            shell.drive.place(name, shell.cwd)
            code = shell.fail(streams, Win32Error(errors.FILE_NOT_FOUND).system)
        for path in found:
            if len(names) > 1 or len(found) > 1:
                shell.write(streams.stderr, f"\r\n{path if len(found) > 1 else name}\r\n\r\n\r\n")
            with shell.drive.open_to_read(path) as file:
                head = file.read(2)
                if head == b"\xff\xfe":
                    # TYPE turns UTF-16 with its mark into the console's code page.
                    streams.stdout(
                        file.read().decode("utf-16-le", "replace").encode(shell.run.console.codec, "replace")
                    )
                    continue
                streams.stdout(head)
                while data := file.read(1 << 16):
                    streams.stdout(data)
    if code == 0:
        shell.error_level = 0
    return code


def ver(shell: Interpreter, text: str, streams: Streams) -> int:
    """VER."""
    shell.write(streams.stdout, f"\r\n{version_line()}\r\n")
    shell.error_level = 0
    return 0


def cd(shell: Interpreter, text: str, streams: Streams) -> int:
    """CD."""
    rest = re.sub(r"^\s*/d(?=\s|$)", "", text, flags=re.IGNORECASE).strip().replace('"', "")
    if not rest:
        shell.write(streams.stdout, shell.cwd + "\r\n")
        return 0
    path = shell.drive.absolute(rest, shell.cwd)
    if not shell.drive.is_directory(path):
        if shell.drive.exists(path):
            return shell.fail(streams, Win32Error(errors.DIRECTORY).system)
        return shell.fail(streams, Win32Error(errors.PATH_NOT_FOUND).system)
    shell.cwd = shell.drive.shown(path)
    return 0


def pushd(shell: Interpreter, text: str, streams: Streams) -> int:
    """PUSHD."""
    before = shell.cwd
    code = cd(shell, text, streams) if text.strip() else 0
    if not code and text.strip():
        shell.stack.append(before)
    return code


def popd(shell: Interpreter, text: str, streams: Streams) -> int:
    """POPD."""
    if shell.stack:
        shell.cwd = shell.stack.pop()
        return 0
    shell.error_level = 1
    return 1


def mkdir(shell: Interpreter, text: str, streams: Streams) -> int:
    """MD."""
    names = words(text)
    if not names:
        return shell.fail(streams, SYNTAX)
    code = 0
    for name in names:
        try:
            shell.drive.make_directory(name, shell.cwd)
        except Win32Error as error:
            if error.code != errors.ALREADY_EXISTS:
                raise
            code = shell.fail(streams, f"A subdirectory or file {name} already exists.")
    return code


def rmdir(shell: Interpreter, text: str, streams: Streams) -> int:
    """RD."""
    options, names = split_options(text)
    if not names:
        return shell.fail(streams, SYNTAX)
    code = 0
    for name in names:
        try:
            shell.drive.remove_directory(name, shell.cwd, tree="/s" in options)
        except Win32Error as error:
            code = shell.fail(streams, error.system, 2 if error.code == errors.FILE_NOT_FOUND else error.code)
    return code


def delete(shell: Interpreter, text: str, streams: Streams) -> int:
    """DEL: says so when nothing is there, and is content all the same."""
    _, names = split_options(text)
    if not names:
        return shell.fail(streams, SYNTAX)
    for name in names:
        pattern = name + "\\*" if shell.drive.is_directory(name, shell.cwd) else name
        found = [path for path in matching(shell, pattern) if not shell.drive.is_directory(path)]
        if not found:
            shell.write(streams.stderr, f"Could Not Find {shell.drive.absolute(name, shell.cwd)}\r\n")
        for path in found:
            try:
                shell.drive.remove_file(path)
            except Win32Error as error:
                shell.write(streams.stdout, path + "\r\n")
                return shell.fail(streams, error.system)
    return 0


def copy(shell: Interpreter, text: str, streams: Streams) -> int:
    """COPY of files, NUL included; joining files with + is refused."""
    _, names = split_options(text)
    if any("+" in name for name in names):
        return shell.fail(streams, "The twin's cmd.exe does not model COPY with +.")
    if not 1 <= len(names) <= 2:
        return shell.fail(streams, SYNTAX)
    source, target = names[0], names[1] if len(names) == 2 else "."
    if is_null_device(source):
        found = [source]
    else:
        pattern = source + "\\*" if shell.drive.is_directory(source, shell.cwd) else source
        found = [path for path in matching(shell, pattern) if not shell.drive.is_directory(path)]
        if not found:
            return shell.fail(streams, Win32Error(errors.FILE_NOT_FOUND).system)
    for path in found:
        data = b"" if is_null_device(path) else shell.drive.read(path, shell.cwd)
        if is_null_device(target):
            continue
        into = target
        if shell.drive.is_directory(target, shell.cwd):
            into = target.rstrip("\\") + "\\" + path.rpartition("\\")[2]
        if shell.drive.absolute(into, shell.cwd).lower() == shell.drive.absolute(path, shell.cwd).lower():
            shell.fail(streams, "The file cannot be copied onto itself.")
            shell.write(streams.stdout, "        0 file(s) copied.\r\n")
            return 1
        shell.drive.write(into, data, shell.cwd)
    shell.write(streams.stdout, f"        {len(found)} file(s) copied.\r\n")
    shell.error_level = 0
    return 0


def move(shell: Interpreter, text: str, streams: Streams) -> int:
    """MOVE."""
    _, names = split_options(text)
    if not 1 <= len(names) <= 2:
        return shell.fail(streams, SYNTAX)
    target = names[1] if len(names) == 2 else "."
    found = matching(shell, names[0])
    if not found:
        return shell.fail(streams, Win32Error(errors.FILE_NOT_FOUND).system)
    for path in found:
        into = target
        if shell.drive.is_directory(target, shell.cwd):
            into = target.rstrip("\\") + "\\" + path.rpartition("\\")[2]
        shell.drive.move(path, into, shell.cwd, replace=shell.drive.is_file(into, shell.cwd))
    kind = "dir" if shell.drive.is_directory(into, shell.cwd) else "file"
    shell.write(streams.stdout, f"        {len(found)} {kind}(s) moved.\r\n")
    shell.error_level = 0
    return 0


def rename(shell: Interpreter, text: str, streams: Streams) -> int:
    """REN."""
    names = words(text)
    if len(names) != 2 or any(sign in names[1] for sign in "\\/:*?"):
        return shell.fail(streams, SYNTAX)
    found = matching(shell, names[0])
    if not found:
        return shell.fail(streams, Win32Error(errors.FILE_NOT_FOUND).system)
    into = found[0].rpartition("\\")[0] + "\\" + names[1]
    try:
        shell.drive.move(found[0], into)
    except Win32Error as error:
        if error.code not in (errors.ALREADY_EXISTS, errors.ACCESS_DENIED):
            raise
        return shell.fail(streams, "A duplicate file name exists, or the file\r\ncannot be found.")
    return 0


def mklink(shell: Interpreter, text: str, streams: Streams) -> int:
    """MKLINK, symbolic links only."""
    options, names = split_options(text)
    if len(names) != 2 or {"/h", "/j"} & set(options):
        return shell.fail(streams, SYNTAX)
    shell.drive.link(names[0], names[1], shell.cwd)
    shell.write(streams.stdout, f"symbolic link created for {names[0]} <<===>> {names[1]}\r\n")
    return 0


def directory(shell: Interpreter, text: str, streams: Streams) -> int:
    """DIR, with /B, /S and /A taken."""
    options, names = split_options(text)
    bare, deep = "/b" in options, "/s" in options
    target = names[0] if names else "."
    if shell.drive.is_directory(target, shell.cwd):
        folder, pattern = shell.drive.shown(target, shell.cwd), "*"
    else:
        head, separator, pattern = target.replace("/", "\\").rpartition("\\")
        folder = shell.drive.shown(head + separator or ".", shell.cwd)
        if not shell.drive.is_directory(folder):
            return shell.fail(streams, Win32Error(errors.PATH_NOT_FOUND).system)
    if not bare:
        shell.write(streams.stdout, " Volume in drive C has no label.\r\n Volume Serial Number is 5EED-26F4\r\n")
    shown = _list_folder(shell, streams, folder, pattern, bare, deep)
    if not shown:
        return shell.fail(streams, "File Not Found")
    if not bare:
        free = shell.drive.free_bytes if shell.drive.free_bytes is not None else 512 * 1024**3
        shell.write(streams.stdout, f"{0:>16} Dir(s)  {free:,} bytes free\r\n")
    shell.error_level = 0
    return 0


def _list_folder(shell: Interpreter, streams: Streams, folder: str, pattern: str, bare: bool, deep: bool) -> int:
    wanted = "*" if pattern == "*.*" else pattern.lower()
    entries = [e for e in shell.drive.entries(folder) if fnmatch.fnmatchcase(e.name.lower(), wanted)]
    if entries or not deep:
        if bare:
            prefix = folder.rstrip("\\") + "\\" if deep else ""
            shell.write(streams.stdout, "".join(f"{prefix}{e.name}\r\n" for e in entries))
        elif entries:
            lines = [f"\r\n Directory of {folder}\r\n"]
            lines += [_dir_line(e) for e in entries]
            files = [e for e in entries if not e.is_directory]
            lines.append(f"{len(files):>16} File(s) {sum(e.size for e in files):>14,} bytes")
            shell.write(streams.stdout, "\r\n".join(lines) + "\r\n")
    count = len(entries)
    if deep:
        for entry in shell.drive.entries(folder):
            if entry.is_directory:
                count += _list_folder(shell, streams, folder.rstrip("\\") + "\\" + entry.name, pattern, bare, deep)
    return count


def _dir_line(entry: Entry) -> str:
    stamp = entry.modified.strftime("%m/%d/%Y  %I:%M %p")
    size = "<DIR>         " if entry.is_directory else f"{entry.size:>14,}"
    return f"{stamp}    {size} {entry.name}"


def exit_command(shell: Interpreter, text: str, streams: Streams) -> int:
    """EXIT; outside of a batch file /B makes no difference."""
    from vengeance.twin.windows.cmd import CmdExit

    number = re.match(r"\s*(?:/b\b)?\s*(-?\d+)?", text, re.IGNORECASE)
    code = int(number[1]) if number and number[1] else shell.error_level
    raise CmdExit(code & 0xFFFFFFFF)


def rem(shell: Interpreter, text: str, streams: Streams) -> int:
    """REM."""
    return 0


def title(shell: Interpreter, text: str, streams: Streams) -> int:
    """TITLE, and other commands without effect where there is no window."""
    return 0


def cls(shell: Interpreter, text: str, streams: Streams) -> int:
    """CLS."""
    shell.write(streams.stdout, "\f")
    return 0


def path(shell: Interpreter, text: str, streams: Streams) -> int:
    """PATH."""
    rest = text.strip(" \t=")
    if not rest:
        shell.write(streams.stdout, f"PATH={shell.environment.get('PATH', '')}\r\n")
    elif rest == ";":
        shell.environment.pop("PATH", None)
    else:
        shell.environment["PATH"] = rest
    return 0


def pause(shell: Interpreter, text: str, streams: Streams) -> int:
    """PAUSE: eats one key, or goes on at the end of its input."""
    shell.write(streams.stdout, "Press any key to continue . . . ")
    streams.stdin.read(1)
    shell.write(streams.stdout, "\r\n")
    return 0


def vol(shell: Interpreter, text: str, streams: Streams) -> int:
    """VOL."""
    shell.write(streams.stdout, " Volume in drive C has no label.\r\n Volume Serial Number is 5EED-26F4\r\n")
    return 0


def call(shell: Interpreter, text: str, streams: Streams) -> int:
    """CALL of a program: the line is expanded a second time; labels and batch files are refused."""
    from vengeance.twin.windows.cmd import split_command
    from vengeance.twin.windows.cmd_syntax import expand

    line = expand(text.strip(), shell.lookup)
    if line.startswith(":"):
        return shell.fail(streams, "Invalid attempt to call batch label outside of batch script.")
    name, rest = split_command(line)
    internal = INTERNAL.get(name.lower())
    if internal is not None:
        return internal(shell, rest, streams)
    return shell.start(name, rest, streams) if name else 0


def start(shell: Interpreter, text: str, streams: Streams) -> int:
    """START of a program: without a window, as /B would; /WAIT waits."""
    rest = text.strip()
    titled = re.match(r'"[^"]*"\s*', rest)
    if titled:
        rest = rest[titled.end() :]
    wait = False
    while option := re.match(r"/(\w+)\s*", rest):
        wait = wait or option[1].lower() == "wait"
        rest = rest[option.end() :]
    if not rest:
        return shell.fail(streams, "The twin's START needs a program: there is no window to open.")
    name, arguments = argv.split_program(rest)
    if wait:
        return shell.start(name, arguments, streams)
    return shell.background(name, arguments, streams)


INTERNAL: dict[str, Internal] = {
    "call": call,
    "cd": cd,
    "chdir": cd,
    "cls": cls,
    "copy": copy,
    "del": delete,
    "dir": directory,
    "echo": echo,
    "erase": delete,
    "exit": exit_command,
    "md": mkdir,
    "mkdir": mkdir,
    "mklink": mklink,
    "move": move,
    "path": path,
    "pause": pause,
    "popd": popd,
    "prompt": title,
    "pushd": pushd,
    "rd": rmdir,
    "rem": rem,
    "ren": rename,
    "rename": rename,
    "rmdir": rmdir,
    "set": set_command,
    "start": start,
    "title": title,
    "type": type_command,
    "ver": ver,
    "verify": title,
    "vol": vol,
}
"""Name -> what does it."""
