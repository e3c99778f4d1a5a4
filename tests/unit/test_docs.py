"""What the pages name is there: links, files, commands, options; and what is made from the code is current."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from vengeance.cli import parser as our_parser
from vengeance.twin.__main__ import parser as twin_parser

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = "src|docs|tests|deploys|group_data|inventory|templates|scripts|bootstrap|locks|benchmarks"
# Stands for something of the reader's own.
PLACEHOLDER = re.compile(r"[A-Z]{3,}|[*{<…]|\.\.\.")


def listed() -> list[Path]:
    words = ["git", "ls-files", "-co", "--exclude-standard", "--", "*.md"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


PAGES = listed()
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


def without_fences(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> Iterator[str]:
    """Each piece of code of a page: lines of fences and of indented blocks, and what stands between backticks."""
    for fence in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from (line.strip() for line in fence.splitlines())
    prose = without_fences(text)
    yield from re.findall(r"^ {4,}(\S.*)$", prose, re.MULTILINE)
    yield from (" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose))


@cache
def anchors(page: Path) -> set[str]:
    """As code hosts make them of headings: lower case, no punctuation, blanks to hyphens."""
    headings = re.findall(r"^#+ +(.+?) *$", without_fences(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def loaded(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(file).stem, ROOT / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_that_are_made_from_the_code_are_current() -> None:
    for path, text in loaded("scripts/docs.py").pages().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is not current: run make docs"


@pytest.mark.parametrize("name", NAMES)
def test_the_links_of_a_page_lead_somewhere(name: str) -> None:
    page = ROOT / name
    text = re.sub(r"`[^`]*`", "", without_fences(page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"|srcset=\"([^\"]+)\"", text):
        link = next(each for each in target if each)
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), link
        if anchor:
            assert anchor in anchors(there), link


def test_every_page_is_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {name for name in NAMES if name.startswith("docs/")} == linked


def test_the_picture_needs_nothing_but_itself_and_is_seen_on_light_and_dark() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    _, _, width, height = (float(number) for number in picture.attrib["viewBox"].split())
    parts = list(picture.iter())
    # A code host shows it without scripts, fonts, styles and files of others.
    assert {part.tag.rpartition("}")[2] for part in parts} <= {
        *("svg", "title", "desc", "defs", "marker", "path", "rect", "g", "text"),
    }
    assert not [name for part in parts for name in part.attrib if name.endswith("href")]
    background = next(part for part in parts if part.tag.endswith("rect"))
    assert background.attrib["fill"] == "#ffffff"
    assert float(background.attrib["width"]) >= width - 2
    assert float(background.attrib["height"]) >= height - 2


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_a_page_names_are_there(name: str) -> None:
    page = ROOT / name
    for piece in code(page.read_text(encoding="utf-8")):
        for path in re.findall(rf"(?<![\w./~-])((?:{FOLDERS})/[\w./*{{}}<>…-]*\w)", piece):
            if not PLACEHOLDER.search(path) and not (ROOT / path).exists():
                assert (page.parent / path).exists(), path


@pytest.mark.parametrize("name", NAMES)
def test_the_make_targets_that_a_page_names_are_there(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for piece in code((ROOT / name).read_text(encoding="utf-8")):
        for target in re.findall(r"(?:^|[ ;&=])make ([a-z][a-z-]*)", piece):
            assert target in targets, piece


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_and_options_that_a_page_names_are_there(name: str) -> None:
    ours, twins = commands(our_parser()), commands(twin_parser())
    for piece in code((ROOT / name).read_text(encoding="utf-8")):
        for module, rest in re.findall(r"python -m (vengeance(?:\.twin)?)((?: [^|;&#`)\"]*)?)", piece):
            words = rest.split()
            known = twins if module == "vengeance.twin" else ours
            if words[:1] == ["twin"] and known is ours:
                words, known = words[1:], twins
            if not words or PLACEHOLDER.search(words[0]) or words[0].startswith("-"):
                continue
            assert words[0] in known, piece
            options = known[words[0]]._option_string_actions
            own = words[: words.index("--")] if "--" in words else words
            for word in own:
                if word.startswith("--"):
                    assert word.partition("=")[0] in options, piece


def test_the_checks_above_would_find_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two\n\n`make nothing` and\n\n    python -m vengeance nothing\n\n```sh\nls docs/x\n```\n")
    assert list(code(page.read_text())) == ["ls docs/x", "python -m vengeance nothing", "make nothing"]
    assert anchors(page) == {"one-two"}
