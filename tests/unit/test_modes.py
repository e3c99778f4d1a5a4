"""Which mode a box is in, what is in a mode's way, and what has to be done to get into one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from vengeance.box import modes
from vengeance.box.gpu_tenants import Held, Holder
from vengeance.box.modes import Handover, Seen, Server

PROFILE, OTHER = "qwen2.5-coder-32b", "llama-3.1-8b"
TOTAL, IDLE_MIB = 24564, 1900
PARTS = {PROFILE: 0.92, OTHER: 0.85, "on-the-processor": None}
BATCHES = Handover("batch", PROFILE, parts=PARTS)
INTERACTIVE, IMAGES = Handover("interactive", parts=PARTS), Handover("images", parts=PARTS)
DESKTOP = (Holder("desktop", "dwm.exe", 400, 760), Holder("desktop", "explorer.exe", 404, 240))
COMFYUI = Holder("comfyui", "python.exe", 7000, 9000)
GAME = Holder("game", "Game.exe", 7100, 6000)


def card(*holders: Holder, used: int | None = None) -> Held:
    """The card with the desktop and these on it, as driver and counters show it when they agree."""
    taken = IDLE_MIB + sum(holder.mib for holder in holders) if used is None else used
    return Held("NVIDIA GeForce RTX 4090", TOTAL, taken, TOTAL - taken, (*holders, *DESKTOP))


def serving(profile: str = PROFILE, state: str = "active", healthy: bool = True) -> tuple[Server, ...]:
    return tuple(Server(name, state, healthy) if name == profile else Server(name) for name in (OTHER, PROFILE))


WSL = Holder("wsl", "vmmemWSL", 380, 22598)
RUNNER = Holder("ollama", "llama-server.exe", 4120, 19100)
IDLE = Seen(card(), {}, (Server(OTHER), Server(PROFILE)))
BATCH = replace(IDLE, card=card(WSL), servers=serving())
LOADED = replace(IDLE, card=card(RUNNER), models={"qwen2.5:32b": 19100})


# --- a mode that is asked for -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["interactive", "batch", "images"])
def test_each_mode_has_a_name_and_words(mode: str) -> None:
    assert modes.check(mode) == mode
    assert modes.WORDS[modes.check(mode)]


@pytest.mark.parametrize("wrong", [None, "", "Batch", "bach", "gaming", 1, True, ["batch"]])
def test_anything_else_is_refused_with_the_names_of_all(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"interactive .*batch .*images") as refused:
        modes.check(wrong)
    assert ("No mode was given" in str(refused.value)) == (wrong is None)


# --- the mode that a box is in ------------------------------------------------------------------------------


def test_a_box_with_nothing_on_the_card_is_in_two_modes_at_once() -> None:
    found = modes.mode_of(IDLE)
    assert (found.mode, found.settled, found.fits) == ("interactive", True, ("interactive", "images"))
    assert "loads one when it is asked" in found.sentences[0]


def test_a_loaded_model_is_interactive() -> None:
    found = modes.mode_of(LOADED)
    assert (found.mode, found.settled, found.fits) == ("interactive", True, ("interactive",))
    assert found.sentences == ("Ollama has qwen2.5:32b (19100 MiB) on the card.",)


def test_a_model_in_the_computers_own_memory_is_not_on_the_card() -> None:
    found = modes.mode_of(replace(BATCH, models={"qwen2.5:3b": 0}))
    assert (found.mode, found.settled, found.fits) == ("batch", True, ("batch",))


def test_a_server_that_answers_is_batch() -> None:
    found = modes.mode_of(BATCH)
    assert (found.mode, found.settled, found.fits) == ("batch", True, ("batch",))


def test_comfyui_on_the_card_is_images() -> None:
    found = modes.mode_of(replace(IDLE, card=card(COMFYUI)))
    assert (found.mode, found.settled) == ("images", True)
    assert "python.exe (process 7000, 9000 MiB) of ComfyUI" in found.sentences[0]
    assert "images" in found.fits


BETWEEN = {
    "loads its model": replace(BATCH, servers=serving(healthy=False)),
    "about to start it again (activating)": replace(IDLE, servers=serving(state="activating", healthy=False)),
    "about to stop": replace(BATCH, servers=serving(state="deactivating", healthy=False)),
    "qwen2.5:3b (500 MiB) on the card too": replace(BATCH, models={"qwen2.5:3b": 500}),
    "Game.exe (process 7100, 6000 MiB)": replace(BATCH, card=card(WSL, GAME)),
    "python.exe (process 7000, 9000 MiB) has some of the card too": replace(BATCH, card=card(WSL, COMFYUI)),
    "takes that off": replace(LOADED, card=card(RUNNER, COMFYUI)),
    "A program in WSL holds 5000 MiB": replace(IDLE, card=card(replace(WSL, mib=5000))),
    "No Ollama answers": replace(IDLE, models=None),
    "Game.exe (process 7100, 6000 MiB) has some of the card.": replace(IDLE, card=card(GAME)),
}


@pytest.mark.parametrize("why", BETWEEN)
def test_what_lies_between_two_modes_is_told_as_such(why: str) -> None:
    found = modes.mode_of(BETWEEN[why])
    assert not found.settled
    assert why in " ".join(found.sentences)


def test_a_box_whose_distro_or_counters_nobody_can_read_has_a_mode_still() -> None:
    assert modes.mode_of(Seen(Held("card", TOTAL, IDLE_MIB, 22664, ()), {})).mode == "interactive"
    assert modes.mode_of(Seen(None)).mode == "interactive"


# --- what is in the way -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("holder", "what"), [(COMFYUI, "ComfyUI has the card"), (GAME, "A game has the card")])
def test_batch_is_refused_by_the_name_of_the_program(holder: Holder, what: str) -> None:
    (sentence,) = modes.refusals(BATCHES, replace(IDLE, card=card(holder)))
    assert what in sentence
    assert f"{holder.image} (process {holder.pid}, {holder.mib} MiB)" in sentence
    assert "Close it" in sentence
    assert "mode show" in sentence


@pytest.mark.parametrize("asked", [INTERACTIVE, IMAGES])
def test_the_other_modes_take_the_card_from_nobody_and_are_never_refused(asked: Handover) -> None:
    assert modes.refusals(asked, replace(IDLE, card=card(COMFYUI, GAME))) == []
    assert modes.refusals(asked, Seen(None)) == []


def test_what_leaves_by_itself_is_not_in_the_way() -> None:
    assert modes.refusals(BATCHES, LOADED) == []
    assert modes.refusals(BATCHES, replace(BATCH, servers=serving(OTHER))) == []
    assert modes.refusals(BATCHES, BATCH) == []


def test_too_full_a_card_is_told_in_mib_with_the_names_and_what_would_fit() -> None:
    studio = Holder("other", "LM Studio.exe", 5000, 1500)
    (sentence,) = modes.refusals(BATCHES, replace(IDLE, card=card(studio)))
    assert "22599 MiB of the card (0.92 of 24564)" in sentence
    assert "21164 MiB are free" in sentence
    assert "LM Studio.exe (process 5000, 1500 MiB)" in sentence
    assert "gpu_memory_utilization of 0.86 at most" in sentence
    less = replace(BATCHES, parts={PROFILE: 0.86})
    assert modes.refusals(less, replace(IDLE, card=card(studio))) == []


def test_a_box_without_a_card_is_refused() -> None:
    (sentence,) = modes.refusals(BATCHES, Seen(None, {}))
    assert "shows no NVIDIA card" in sentence


def test_a_box_without_a_card_is_in_no_mode_quite_and_says_nothing_of_what_is_on_it() -> None:
    found = modes.mode_of(Seen(None, {}))
    assert not found.settled
    (sentence,) = found.sentences
    assert "shows no NVIDIA card" in sentence


def listener(address: str, process: str | None) -> dict[str, object]:
    return {"address": address, "port": 8080, "pid": 88, "process": process, "path": None}


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_that_a_program_of_windows_has_is_refused_by_its_name(address: str) -> None:
    taken = modes.port_taken(8080, PROFILE, [listener(address, "node.exe")])
    assert taken is not None
    assert taken.startswith("Port 8080 of Windows is taken by node.exe (process 88)")
    assert f"the vLLM server {PROFILE}. End that program, or give the profile another port" in taken


@pytest.mark.parametrize(
    ("address", "process"),
    [("127.0.0.1", "wslrelay.exe"), ("100.98.226.75", "tailscaled.exe"), ("0.0.0.0", "svchost.exe")],
)
def test_what_forwards_a_port_to_the_distro_does_not_take_it(address: str, process: str) -> None:
    assert modes.port_taken(8080, PROFILE, [listener(address, process)]) is None


def test_a_server_on_the_processor_needs_no_card() -> None:
    assert modes.refusals(replace(BATCHES, profile="on-the-processor"), replace(IDLE, card=card(GAME))) == []


def test_the_need_is_the_part_of_the_whole_card_rounded_up() -> None:
    assert modes.needed(24564, 0.92) == 22599
    assert modes.needed(24564, 0.85) == 20880


def test_the_part_of_a_profile_is_its_own_or_the_default_of_the_version() -> None:
    profiles = {"own": {"model": "a/b", "port": 1, "gpu_memory_utilization": 0.5}, "none": {"model": "a/b", "port": 2}}
    assert modes.parts(profiles, "0.15.1") == {"own": 0.5, "none": 0.9}
    assert modes.parts(profiles, "0.32.0") == {"own": 0.5, "none": 0.92}
    assert modes.parts(profiles, "0.32.0", "cpu") == {"own": None, "none": None}


# --- what has to be done ------------------------------------------------------------------------------------


def test_the_way_from_a_loaded_model_to_batch() -> None:
    assert modes.steps("batch", LOADED, PROFILE) == [
        "take qwen2.5:32b (19100 MiB) out of Ollama's memory",
        "wait until the card's memory is really free",
        f"start the vLLM server {PROFILE}",
        "wait until it answers",
    ]


def test_the_way_from_one_profile_to_another() -> None:
    assert modes.steps("batch", replace(BATCH, servers=serving(OTHER)), PROFILE) == [
        f"stop the vLLM server {OTHER}",
        "wait until the card's memory is really free",
        f"start the vLLM server {PROFILE}",
        "wait until it answers",
    ]


def test_a_server_that_loads_its_model_is_waited_for_and_not_started_again() -> None:
    assert modes.steps("batch", BETWEEN["loads its model"], PROFILE) == ["wait until it answers"]


def test_interactive_leaves_ollamas_models_where_they_are() -> None:
    assert modes.steps("interactive", LOADED, PROFILE) == []
    assert modes.steps("images", LOADED, PROFILE)[0].startswith("take qwen2.5:32b")


def test_what_vllm_has_crowded_out_of_the_card_leaves_the_processor_on_the_way_back() -> None:
    crowded = replace(BATCH, models={"qwen2.5:3b": 0})
    last = "let qwen2.5:3b leave the processor, so that it comes to the card next"
    assert modes.steps("interactive", crowded, PROFILE)[-1] == last
    assert last not in modes.steps("images", crowded, PROFILE)
    assert modes.steps("interactive", replace(IDLE, models={"qwen2.5:3b": 0}), PROFILE) == [], "somebody wants it there"


@pytest.mark.parametrize(
    ("mode", "seen"),
    [
        *itertools.product(["interactive", "images"], [IDLE]),
        ("interactive", LOADED),
        ("batch", BATCH),
        ("batch", replace(BATCH, models=None)),
    ],
)
def test_a_box_that_is_in_the_mode_has_nothing_to_do(mode: modes.Mode, seen: Seen) -> None:
    assert modes.steps(mode, seen, PROFILE) == []


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "reloading"])
def test_whatever_is_not_stopped_is_stopped(state: str) -> None:
    seen = replace(IDLE, servers=serving(state=state, healthy=False))
    assert modes.steps("interactive", seen, PROFILE)[0] == f"stop the vLLM server {PROFILE}"


# --- whether the memory is back -----------------------------------------------------------------------------


def test_what_leaves_is_the_part_of_a_server_that_answers_and_the_models_of_ollama() -> None:
    assert modes.leaves(INTERACTIVE, BATCH) == 22598
    assert modes.leaves(INTERACTIVE, LOADED) == 0
    assert modes.leaves(IMAGES, LOADED) == 19100
    assert modes.leaves(INTERACTIVE, BETWEEN["loads its model"]) == 0, "nobody knows how much that has"


def test_the_memory_is_back_when_the_driver_says_so_whatever_the_counters_of_windows_still_show() -> None:
    late = replace(IDLE, card=card(WSL, used=IDLE_MIB))
    assert modes.not_free(INTERACTIVE, BATCH, late) is None
    why = modes.not_free(INTERACTIVE, BATCH, replace(BATCH, servers=IDLE.servers))
    assert why is not None
    assert "18078 MiB of the card at least should have come back, and 0 MiB have" in why
    assert "Windows counts vmmemWSL (process 380, 22598 MiB) and dwm.exe (process 400, 760 MiB)" in why


def test_batch_wants_its_part_free_and_says_who_has_it() -> None:
    assert modes.not_free(BATCHES, LOADED, IDLE) is None
    why = modes.not_free(BATCHES, LOADED, LOADED)
    assert why is not None
    assert why.startswith("vLLM asks for 22599 MiB of the card, and 3564 MiB are free.")
    assert "llama-server.exe (process 4120, 19100 MiB)" in why


def test_what_an_earlier_run_left_behind_is_found_by_the_counters() -> None:
    orphan = replace(IDLE, card=card(WSL))
    why = modes.not_free(INTERACTIVE, orphan, orphan)
    assert why is not None
    assert "Programs in WSL still hold 22598 MiB" in why
    left = replace(IDLE, card=card(RUNNER))
    assert modes.not_free(INTERACTIVE, left, left) is None
    assert "llama-server.exe" in (modes.not_free(IMAGES, left, left) or "")


def test_without_a_card_or_for_a_server_on_the_processor_nothing_is_waited_for() -> None:
    assert modes.not_free(BATCHES, IDLE, Seen(None)) is None
    assert modes.not_free(replace(BATCHES, profile="on-the-processor"), LOADED, LOADED) is None
