"""Every version that the box gets stands once, with the hash of its file or the reason why there is none."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vengeance.box import pins
from vengeance.cli import exit_codes, main
from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parents[2]
TEXT = pins.FILE.read_text(encoding="utf-8")
PINS = pins.shipped()
OLLAMA, WSL, PIP = (PINS[name].version for name in ("ollama", "wsl", "pip"))
DATA = inventory.group_data(ROOT / "group_data")
FLAT = {name: value for group in DATA.values() for name, value in group.items()}
# What is known of one version stays true of it when another one is pinned; the rest of src/ says what is pinned.
ABOUT_VERSIONS = (
    "src/vengeance/box/vllm_flags/",
    "src/vengeance/box/vllm_faults.py",
    "src/vengeance/twin/windows/gpu.py",  # which CUDA each driver brings
    "scripts/vllm_flags.py",
)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_what_the_box_gets_is_pinned() -> None:
    assert {"driver", "ollama", "wsl", "distro", "cuda-toolkit", "cuda-keyring", "vllm", "uv", "pip"} <= PINS.keys()


@pytest.mark.parametrize("name", PINS)
def test_a_pin_has_a_hash_with_its_source_or_says_why_not(name: str) -> None:
    pin = PINS[name]
    assert (pin.sha256 is None) == (pin.unhashed is not None)
    if pin.sha256 is not None:
        assert re.fullmatch("[0-9a-f]{64}", pin.sha256)
        assert pin.url is not None
        assert pin.version in (pin.sha256_from or "")
        assert pin.version in pin.url


@pytest.mark.parametrize(
    ("name", "field", "setting"),
    [(pin.name, field, setting) for pin in PINS.values() for field, setting in pin.settings.items()],
)
def test_the_group_data_has_what_is_pinned(name: str, field: str, setting: str) -> None:
    # Without an address of one's own, the one of the version is taken.
    assert FLAT[setting] in (getattr(PINS[name], field), None)


def test_the_address_that_ollama_is_taken_from_is_the_pinned_one() -> None:
    from vengeance.box import ollama_package

    assert ollama_package.release_url("setup", PINS["ollama"].version) == PINS["ollama"].url


@pytest.mark.parametrize("name", [name for name, pin in PINS.items() if pin.sha256])
def test_a_hash_stands_nowhere_else(name: str) -> None:
    sha256 = str(PINS[name].sha256).encode()
    having = [path for path in tracked() if sha256 in path.read_bytes()]
    # The reference of the settings is made from them.
    allowed = {pins.FILE, ROOT / "docs" / "settings.md"}
    assert [path for path in having if path not in allowed and "tests" not in path.parts] == []


def constants(tree: ast.Module) -> Iterator[str]:
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def test_no_code_has_a_pinned_version_or_address_of_its_own() -> None:
    # The driver's is a page, and no file.
    files = {pin.url for name, pin in PINS.items() if pin.url and name != "driver"}
    words = files | {text for pin in PINS.values() for text in (pin.version, pin.product_code) if text}
    words |= {f"{name}=={PINS[name].version}" for name in ("vllm", "uv", "pip")}
    found = []
    for path in tracked("src/*.py", "group_data/*.py", "deploys/*.py", "inventory/*.py", "scripts/*.py"):
        name, source = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        if name.startswith(ABOUT_VERSIONS) or not any(word in source for word in words):
            continue
        found += [f"{name}: {text}" for text in constants(ast.parse(source)) if text in words]
    assert found == []


def test_the_locks_are_those_of_the_pinned_versions() -> None:
    assert (ROOT / FLAT["vllm_lock"]).is_file()
    lines = (ROOT / "locks" / "installers.txt").read_text(encoding="utf-8").splitlines()
    for name in ("uv", "pip"):
        assert f"{name}=={PINS[name].version} \\" in lines


def test_a_document_that_names_the_driver_names_the_pinned_one() -> None:
    for path in tracked("*.md"):
        for version in re.findall(r"\b5\d\d\.\d\d\b(?= or newer)", path.read_text(encoding="utf-8")):
            assert version == PINS["driver"].version, path.name


def test_renovate_finds_each_pin_that_has_a_comment_for_it() -> None:
    settings = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
    (manager,) = settings["customManagers"]
    (file,) = manager["managerFilePatterns"]
    assert re.search(file.strip("/"), str(pins.FILE.relative_to(ROOT)))
    (pattern,) = manager["matchStrings"]
    found = {match["depName"]: match for match in re.finditer(re.sub(r"\(\?<(?=\w)", "(?P<", pattern), TEXT)}
    assert len(found) == TEXT.count("# renovate:")
    versions = {name: match["currentValue"] for name, match in found.items()}
    assert versions == {
        "ollama/ollama": PINS["ollama"].version,
        "microsoft/WSL": PINS["wsl"].version,
        **{name: PINS[name].version for name in ("vllm", "uv", "pip")},
    }
    tag = re.sub(r"\(\?<(?=\w)", "(?P<", found["ollama/ollama"]["extractVersion"])
    (version,) = re.findall(tag, "v0.35.0")
    assert version == "0.35.0"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (f'version = "{OLLAMA}"', 'version = "9.9.9"', f"ollama is from .*{OLLAMA}, and the version is 9.9.9: put the"),
        # One digit less, so that the old one begins with it.
        (f'version = "{WSL}"', f'version = "{WSL[:-1]}"', f"the sha256 of wsl is from .*{WSL}, and the version is"),
        (f'sha256 = "{PINS["ollama"].sha256}', 'sha256 = "g', "sha256 of ollama: .* is no SHA-256"),
        (f'version = "{PIP}"', 'version = ""', "pip needs version, a text in quotes"),
        (f'version = "{PIP}"', "version = 26.3", "pip needs version, a text in quotes"),
        ('unhashed = "apt', 'because = "apt', "cuda-toolkit has because, which is none of what, version"),
        ('unhashed = "apt', '# unhashed = "apt', "cuda-toolkit has no sha256: put it there, or say in unhashed"),
        ('url = "https://github.com/ollama', 'url = "http://github.com/ollama', "url of ollama .* begins with https"),
        ("[pip]", "pip", "is no TOML"),
    ],
)
def test_a_pin_that_is_wrong_is_told_in_a_sentence(old: str, new: str, sentence: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(ValueError, match=sentence):
        pins.parse(TEXT.replace(old, new))


def test_a_pin_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"pins.toml has no 'olama': it has driver, ollama"):
        pins.pinned("olama")
    with pytest.raises(ValueError, match=r"vllm has no sha256"):
        pins.pinned("vllm", "sha256")


def shown(capsys: pytest.CaptureFixture[str], file: Path) -> list[dict[str, Any]]:
    assert main(["pins", "--json", "--inventory", str(file)]) == exit_codes.RIGHT
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_the_command_shows_every_hash_and_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pins", "--inventory", str(ROOT / "inventory" / "home.py")]) == exit_codes.RIGHT
    said = capsys.readouterr().out
    for pin in PINS.values():
        assert f"{pin.name} {pin.version}: " in said
        for text in (pin.sha256, pin.sha256_from, pin.unhashed):
            assert text is None or text in said
    assert "replaced" not in said
    assert "\x1b" not in said


def test_the_command_says_which_pin_a_setting_replaces_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("inventory", "group_data"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "inventory" / "mine.py"
    file.write_text('windows = [("@winrm/mine", {"winrm_host": "10.0.0.1", "wsl_version": "2.9.0"})]\n')
    (tmp_path / "group_data" / "windows.py").write_text('ollama_version = "0.35.0"\nwsl_version = "2.8.0"\n')
    found = {pin["name"]: pin["replaced"] for pin in shown(capsys, file) if pin["replaced"]}
    assert found == {
        "ollama": [
            {
                "host": "@winrm/mine",
                "setting": "ollama_version",
                "value": "0.35.0",
                "stands_in": "group_data/windows.py",
            }
        ],
        "wsl": [{"host": "@winrm/mine", "setting": "wsl_version", "value": "2.9.0", "stands_in": str(file)}],
    }


def test_an_inventory_that_is_not_there_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pins", "--inventory", "nowhere.py"]) == exit_codes.WRONG_USAGE
    assert "There is no inventory nowhere.py" in capsys.readouterr().err
