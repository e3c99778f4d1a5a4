"""Write the pages of docs/ that are made from the code, or say which of them are not current.

python scripts/docs.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyinfra.connectors.base import DataMeta

from vengeance import doctor
from vengeance.cli import parser as our_parser
from vengeance.connectors.settings import winrm_data_meta
from vengeance.connectors.wsl import wsl_data_meta
from vengeance.twin.__main__ import parser as twin_parser
from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parent.parent
SETTINGS, CLI, DOCTOR, CONNECTORS = (
    Path("docs") / f"{name}.md" for name in ("settings", "cli", "doctor", "connectors")
)
GROUPS = {"all": "Both sides", "windows": "Windows", "wsl": "The distro"}
_SECTION = re.compile(r"# --- (.+?) -+")
_ROW = re.compile(r' *("[^"]+"|[^\s"]+) {2,}(\S.*)')
_CODE = re.compile(r"from \w|\w+ = ")


def pages() -> dict[Path, str]:
    """Return path, relative to the project's folder -> text of each page."""
    return {SETTINGS: settings_page(), CLI: cli_page(), DOCTOR: doctor.page(), CONNECTORS: connectors_page()}


# --- settings -----------------------------------------------------------------------------------------------


def settings_page() -> str:
    """Return the reference of the group data: each setting with its default and the comment above it."""
    values = inventory.group_data(ROOT / "group_data")
    parts = [
        "# Settings",
        "Every setting of the box. `make docs` writes this page from `group_data/`, where the defaults stand and are "
        "changed; what stands in an inventory wins over them. How the box is reached is not here but in "
        "[connectors.md](connectors.md). A wrong value is told in a sentence before anything is done, a misspelled "
        "name with the right one.",
    ]
    for group, title in GROUPS.items():
        file = ROOT / "group_data" / f"{group}.py"
        parts += [f"## {title}: group_data/{file.name}", *_group(file.read_text(encoding="utf-8"), values[group])]
    return "\n\n".join(parts) + "\n"


def _group(text: str, values: dict[str, object]) -> Iterator[str]:
    tree, lines = ast.parse(text), text.splitlines()
    yield from (ast.get_docstring(tree) or "").split("\n\n")[1:]
    said = 0
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        first = node.lineno - 1
        while first > 0 and lines[first - 1].startswith("#"):
            first -= 1
        for line in lines[said:first]:
            if section := _SECTION.fullmatch(line):
                yield f"### {section[1]}"
        said = first
        name = ast.unparse(target)
        yield f"#### {name}"
        yield from _blocks([line[2:] for line in lines[first : node.lineno - 1]])
        yield _default(ast.get_source_segment(text, node) or "", node.value, values[name])


def _blocks(comment: Sequence[str]) -> Iterator[str]:
    """Give the paragraphs of a comment: prose, rows of a term and what it means, and code."""
    paragraphs: list[tuple[str, list[str]]] = []
    for line in comment:
        kind, text = "prose", line.strip()
        if row := _ROW.fullmatch(line):
            kind, text = "rows", f"- `{row[1]}`: {row[2]}"
        elif _CODE.match(line):
            kind = "code"
        elif line.startswith("   ") and paragraphs and paragraphs[-1][0] == "rows":
            paragraphs[-1][1][-1] += f" {text}"
            continue
        if not paragraphs or paragraphs[-1][0] != kind or not text:
            paragraphs.append((kind, []))
        if text:
            paragraphs[-1][1].append(text)
    for kind, texts in paragraphs:
        if texts:
            yield "```python\n" + "\n".join(texts) + "\n```" if kind == "code" else "\n".join(texts)


def _default(source: str, node: ast.expr | None, value: object) -> str:
    if isinstance(node, ast.Call):
        return f"Pinned: `{value!r}` (`{ast.unparse(node)}`, see `python -m vengeance pins`)"
    if "\n" in source:
        return f"```python\n{source}\n```"
    # As it is written there, which for the paths of Windows is another thing than what repr makes of it.
    written = source.partition(" = ")[2] if isinstance(node, ast.Constant | ast.List | ast.Dict) else repr(value)
    return f"Default: `{written}`"


# --- the command line ---------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the reference of both command lines, from what their parsers say."""
    parts = [
        "# Commands",
        "`make docs` writes this page from what the commands say with `--help`. They run in the project's folder, with "
        "`.venv/bin` in the `PATH`; `vengeance` is the same as `python -m vengeance`.",
        *_command("python -m vengeance", our_parser(), 2),
        *_command("python -m vengeance.twin", twin_parser(), 2),
    ]
    return "\n\n".join(parts) + "\n"


def _command(words: str, parser: argparse.ArgumentParser, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {words}"
    yield from _prose(parser.description)
    rows, commands = [], {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = dict(action.choices)
        elif not isinstance(action, argparse._HelpAction):
            rows.append(f"- `{_name(action)}`: {_help(action)}")
    if rows:
        yield "\n".join(rows)
    yield from _prose(parser.epilog)
    for name, one in commands.items():
        yield from _command(f"{words} {name}", one, depth + 1)


def _prose(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").strip("\n").split("\n\n"):
        lines = paragraph.splitlines()
        at = next((n for n, line in enumerate(lines) if line.startswith(" ")), len(lines))
        if at:
            yield "\n".join(lines[:at])
        if lines[at:]:
            yield "\n".join(["```text", *(line.removeprefix("  ") for line in lines[at:]), "```"])


def _name(action: argparse.Action) -> str:
    choices = "|".join(str(choice) for choice in action.choices or ())
    value = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper().replace("_", "-")
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    if action.option_strings:
        return f"{', '.join(action.option_strings)} {value}"
    return {"?": f"[{value}]", "*": f"[{value} ...]", "+": f"{value} ..."}.get(str(action.nargs), value)


def _help(action: argparse.Action) -> str:
    text = action.help or ("one of them" if action.choices else "needed")
    return text % {**vars(action), "prog": ""} if "%(" in text else text.replace("%%", "%")


# --- the connectors -----------------------------------------------------------------------------------------


def connectors_page() -> str:
    """Return the page on the connectors, with the keys of their data between its two marks."""
    before, mark, rest = (ROOT / CONNECTORS).read_text(encoding="utf-8").partition("<!-- keys: begin -->")
    _, end, after = rest.partition("<!-- keys: end -->")
    distro = {key: meta for key, meta in wsl_data_meta.items() if key not in winrm_data_meta}
    tables = "\n\n".join([_keys("@winrm", winrm_data_meta), _keys("@wsl", distro)])
    return f"{before}{mark}\n{tables}\n{end}{after}"


def _keys(connector: str, keys: Mapping[str, DataMeta]) -> str:
    rows = [f"| `{connector}` | default | |", "|---|---|---|"]
    for key, meta in keys.items():
        # 0 stands for a port that follows from the scheme.
        default = f"`{meta.default!r}`" if meta.default not in (None, 0) or meta.default is False else ""
        rows.append(f"| `{key}` | {default} | {meta.description} |")
    return "\n".join(rows)


def main() -> int:
    """Write the pages, or with --check say which are not current; returns the exit code."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--check", action="store_true", help="write nothing; 1 when a page is not current")
    check = asked.parse_args().check
    stale = {path: text for path, text in pages().items() if not _is_current(ROOT / path, text)}
    for path, text in stale.items():
        if check:
            print(f"{path} is not current: run make docs", file=sys.stderr)
        else:
            (ROOT / path).write_text(text, encoding="utf-8")
            print(f"{path} is written.")
    return 1 if check and stale else 0


def _is_current(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
