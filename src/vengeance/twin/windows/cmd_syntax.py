"""The syntax of cmd.exe's command line: percent expansion, quotes, carets, redirections, operators, blocks, IF.

What is not modelled is refused, never guessed: see ``cmd.py``. The order of the phases (expansion of the whole line
first, then special characters) is that of cmd.exe:
https://learn.microsoft.com/windows-server/administration/windows-commands/cmd
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

DELIMITERS = " \t,;="
LINE_LIMIT = 8191


class CmdSyntaxError(Exception):
    """The line cannot be understood; the text is what cmd.exe prints."""


def unexpected(token: str) -> CmdSyntaxError:
    """The error for a token in the wrong place."""
    return CmdSyntaxError(f"{token} was unexpected at this time.")


@dataclass(frozen=True)
class Redirection:
    """``handle`` 0, 1 or 2; ``mode`` < > >>; ``target`` a file name, or a handle number when ``to_handle``."""

    handle: int
    mode: Literal["<", ">", ">>"]
    target: str
    to_handle: bool = False


@dataclass(frozen=True)
class Simple:
    """One command with its arguments, carets and redirections taken out."""

    text: str
    redirections: list[Redirection] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """Commands in parentheses."""

    body: Node | None
    redirections: list[Redirection] = field(default_factory=list)


@dataclass(frozen=True)
class Joined:
    """Two commands with & && || or | between them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Condition:
    """IF: the words of the condition, then what is done when it holds and when not."""

    words: list[str]
    negated: bool
    ignore_case: bool
    then: Node
    otherwise: Node | None


Node: TypeAlias = "Simple | Block | Joined | Condition"

_REFERENCE = re.compile(r"%([^%:=]+)(?::([^%]*))?%")
_PIECE = re.compile(r"~(-?\d+)?(?:,(-?\d+))?\Z")


def expand(line: str, lookup: Callable[[str], str | None]) -> str:
    """Percent expansion as on a command line: a variable that is not set stays there as it was typed."""
    done: list[str] = []
    at = 0
    while (percent := line.find("%", at)) >= 0:
        done.append(line[at:percent])
        match = _REFERENCE.match(line, percent)
        value = _value(match, lookup) if match else None
        if match and value is not None:
            done.append(value)
            at = match.end()
        else:
            # The percent sign stays, and what follows it is looked at anew.
            done.append("%")
            at = percent + 1
    done.append(line[at:])
    return "".join(done)


def _value(match: re.Match[str], lookup: Callable[[str], str | None]) -> str | None:
    found = lookup(match[1])
    change = match[2]
    if found is None or change is None:
        return found
    piece = _PIECE.match(change)
    if piece:
        start = int(piece[1] or 0)
        start = max(0, len(found) + start) if start < 0 else start
        if piece[2] is None:
            return found[start:]
        count = int(piece[2])
        return found[start : len(found) + count] if count < 0 else found[start : start + count]
    old, equals, new = change.partition("=")
    if not equals or not old:
        return None
    if old.startswith("*"):
        _, hit, tail = _partition(found, old[1:])
        return new + tail if hit else found
    return re.sub(re.escape(old), lambda _: new, found, flags=re.IGNORECASE)


def _partition(text: str, part: str) -> tuple[str, bool, str]:
    at = text.lower().find(part.lower())
    return (text, False, "") if at < 0 else (text[:at], True, text[at + len(part) :])


def parse(line: str) -> Node | None:
    """The commands of a line that has been expanded; None for an empty one."""
    parser = _Parser(line)
    node = parser.commands(0)
    if parser.rest():
        raise unexpected(parser.rest()[0])
    return node


class _Parser:
    def __init__(self, line: str) -> None:
        # A command line ends at its first line break.
        self.line = re.split(r"[\r\n\x00]", line, maxsplit=1)[0]
        self.at = 0

    def rest(self) -> str:
        return self.line[self.at :].lstrip(DELIMITERS)

    def skip(self) -> None:
        while self.at < len(self.line) and self.line[self.at] in DELIMITERS:
            self.at += 1

    def take(self, operator: str) -> bool:
        self.skip()
        if not self.line.startswith(operator, self.at):
            return False
        # "&" is not the beginning of "&&", nor "|" of "||".
        if len(operator) == 1 and self.line.startswith(operator * 2, self.at):
            return False
        self.at += len(operator)
        return True

    def commands(self, depth: int) -> Node | None:
        left = self.binary(depth, 0)
        while self.take("&"):
            if left is None:
                raise unexpected("&")
            right = self.binary(depth, 0)
            if right is None:
                break
            left = Joined("&", left, right)
        return left

    def binary(self, depth: int, level: int) -> Node | None:
        operators = ("||", "&&", "|")
        if level == len(operators):
            return self.command(depth)
        operator = operators[level]
        left = self.binary(depth, level + 1)
        while self.take(operator):
            if left is None:
                raise unexpected(operator)
            right = self.binary(depth, level + 1)
            if right is None:
                raise CmdSyntaxError("The syntax of the command is incorrect.")
            left = Joined(operator, left, right)
        return left

    def command(self, depth: int) -> Node | None:
        self.skip()
        while self.at < len(self.line) and self.line[self.at] in DELIMITERS + "@":
            self.at += 1
        if self.at >= len(self.line):
            return None
        if self.line[self.at] == "(":
            return self.block(depth)
        if self.line[self.at] == ")" and depth:
            return None
        if re.match(r"if(?=[\s,;=(])", self.line[self.at :], re.IGNORECASE):
            return self.condition(depth)
        if re.match(r"rem(?=[\s,;=]|\Z)", self.line[self.at :], re.IGNORECASE):
            self.at = len(self.line)
            return Simple("rem")
        return self.simple(depth)

    def block(self, depth: int) -> Node:
        self.at += 1
        body = self.commands(depth + 1)
        self.skip()
        if not self.line.startswith(")", self.at):
            raise CmdSyntaxError("The syntax of the command is incorrect.")
        self.at += 1
        redirections: list[Redirection] = []
        while True:
            self.skip()
            found = self.redirection("")
            if found is None:
                break
            redirections.append(found[1])
        if self.rest() and self.rest()[0] not in "&|)" and not re.match(r"else\b", self.rest(), re.IGNORECASE):
            raise unexpected(re.split(r"[\s,;=&|<>()]", self.rest())[0] or self.rest()[0])
        return Block(body, redirections)

    def simple(self, depth: int) -> Node | None:
        text: list[str] = []
        redirections: list[Redirection] = []
        quoted = False
        while self.at < len(self.line):
            char = self.line[self.at]
            if quoted:
                text.append(char)
                quoted = char != '"'
                self.at += 1
            elif char == '"':
                text.append(char)
                quoted = True
                self.at += 1
            elif char == "^":
                if self.at + 1 < len(self.line):
                    text.append(self.line[self.at + 1])
                self.at += 2
            elif char in "&|" or (char == ")" and depth):
                break
            elif char in "<>":
                found = self.redirection("".join(text))
                if found is None:
                    break
                text = [found[0]]
                redirections.append(found[1])
            else:
                text.append(char)
                self.at += 1
        command = "".join(text)
        if not command.strip(DELIMITERS) and not redirections:
            return None
        return Simple(command, redirections)

    def redirection(self, before: str) -> tuple[str, Redirection] | None:
        """A redirection that begins here, and the text before it without its handle digit."""
        at = self.at
        handle: int | None = None
        if before:
            if before[-1].isdigit() and (len(before) == 1 or before[-2] in DELIMITERS):
                handle, before = int(before[-1]), before[:-1]
        elif re.match(r"\d[<>]", self.line[at:]):
            handle, at = int(self.line[at]), at + 1
        if at >= len(self.line) or self.line[at] not in "<>":
            return None
        mode: Literal["<", ">", ">>"] = "<" if self.line[at] == "<" else ">"
        at += 1
        if mode == ">" and self.line.startswith(">", at):
            mode, at = ">>", at + 1
        if handle is None:
            handle = 0 if mode == "<" else 1
        if handle > 2:
            raise CmdSyntaxError("The handle could not be duplicated during redirection.")
        while at < len(self.line) and self.line[at] in DELIMITERS:
            at += 1
        if re.match(r"&\d", self.line[at:]):
            self.at = at + 2
            return before, Redirection(handle, mode, self.line[at + 1], to_handle=True)
        target: list[str] = []
        quoted = False
        while at < len(self.line):
            char = self.line[at]
            if not quoted and (char in DELIMITERS or char in "&|<>()"):
                break
            if char == "^" and not quoted:
                at += 1
                char = self.line[at : at + 1]
            elif char == '"':
                quoted = not quoted
                at += 1
                continue
            target.append(char)
            at += 1
        if not target:
            wrong = self.line[at : at + 1]
            raise unexpected(wrong) if wrong else CmdSyntaxError("The syntax of the command is incorrect.")
        self.at = at
        return before, Redirection(handle, mode, "".join(target))

    # --- IF ---

    def word(self) -> str:
        self.skip_blanks()
        start = self.at
        quoted = False
        while self.at < len(self.line):
            char = self.line[self.at]
            if char == '"':
                quoted = not quoted
            elif not quoted and (char in " \t,;" or self.line.startswith("==", self.at) or char in "()&|<>"):
                break
            self.at += 1
        return self.line[start : self.at]

    def skip_blanks(self) -> None:
        while self.at < len(self.line) and self.line[self.at] in " \t,;":
            self.at += 1

    def condition(self, depth: int) -> Node:
        self.at += 2
        ignore_case = negated = False
        word = self.word()
        while word.lower() in ("/i", "not"):
            ignore_case = ignore_case or word.lower() == "/i"
            negated = negated or word.lower() == "not"
            word = self.word()
        if word.lower() in ("exist", "defined", "errorlevel"):
            words = [word.lower(), self.word()]
        else:
            self.skip_blanks()
            if self.line.startswith("==", self.at):
                self.at += 2
                words = ["==", word, self.word()]
            else:
                operator = self.word().lower()
                if operator not in ("equ", "neq", "lss", "leq", "gtr", "geq"):
                    raise (
                        unexpected(operator) if operator else CmdSyntaxError("The syntax of the command is incorrect.")
                    )
                words = [operator, word, self.word()]
        if not words[1] and words[0] != "==":
            raise CmdSyntaxError("The syntax of the command is incorrect.")
        self.skip_blanks()
        in_block = self.line.startswith("(", self.at)
        then = self.command(depth) if in_block else self.commands(depth)
        if then is None:
            raise CmdSyntaxError("The syntax of the command is incorrect.")
        otherwise = None
        self.skip()
        if in_block and re.match(r"else\b", self.line[self.at :], re.IGNORECASE):
            self.at += 4
            self.skip()
            otherwise = self.command(depth) if self.line.startswith("(", self.at) else self.commands(depth)
        return Condition(words, negated, ignore_case, then, otherwise)


def strip_outer_quotes(line: str, always: bool, is_program: Callable[[str], bool]) -> str:
    """What cmd.exe makes of the text behind /C.

    The quotes stay when there are exactly two, nothing special and a blank between them, and what they enclose is a
    program; else a leading quote and the last one go, and with /S always: ``cmd /?``.
    """
    text = line.lstrip(" \t")
    if not text.startswith('"'):
        return line
    if not always and text.count('"') == 2:
        inner = text[1 : text.index('"', 1)]
        if not set(inner) & set("&<>()@^|") and " " in inner and is_program(inner):
            return line
    last = text.rindex('"')
    return text[1:last] + text[last + 1 :] if last > 0 else text[1:]
