"""Who has the card's memory, told apart from what Windows and the driver say."""

from __future__ import annotations

from typing import Any

import pytest

from vengeance.box.gpu_tenants import BROWSER_MIB, SMALL_MIB, Held, held, picture, tenant_of

CARD: dict[str, Any] = {
    "name": "NVIDIA GeForce RTX 4090",
    "driver_version": "591.86",
    "memory_mib": 24564,
    "memory_used_mib": 21_000,
    "memory_free_mib": 3_200,
    "driver_model": "WDDM",
}
RUNNER = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama\\lib\\ollama\\llama-server.exe"


def process(pid: int, image: str | None, mib: int, path: str | None = None, comfyui: bool = False) -> dict[str, Any]:
    return {
        "pid": pid,
        "image": image,
        "path": path,
        "session": 0,
        "mib": mib,
        "committed_mib": mib * 3,
        "comfyui": comfyui,
    }


def seen(*processes: dict[str, Any], **changes: Any) -> Held:
    counters = {"counted": True, "reason": None, "of_card": True, "processes": [*processes], **changes}
    return held(CARD, counters)


@pytest.mark.parametrize(
    ("image", "path", "mib", "comfyui", "tenant"),
    [
        ("dwm.exe", None, 14_013, False, "desktop"),
        ("explorer.exe", "C:\\Windows\\explorer.exe", 240, False, "desktop"),
        ("Discord.exe", "C:\\Users\\Steam\\AppData\\Local\\Discord\\Discord.exe", SMALL_MIB - 1, False, "desktop"),
        ("Discord.exe", None, SMALL_MIB, False, "other"),
        ("chrome.exe", None, BROWSER_MIB - 1, False, "desktop"),
        ("chrome.exe", None, BROWSER_MIB, False, "other"),
        ("ollama.exe", "C:\\Ollama\\ollama.exe", 300, False, "ollama"),
        ("llama-server.exe", RUNNER, 19_000, False, "ollama"),
        ("llama-server.exe", None, 19_000, False, "ollama"),
        ("llama-server.exe", "C:\\Users\\Steam\\.lmstudio\\llama-server.exe", 19_000, False, "other"),
        ("ollama_llama_server.exe", None, 9_000, False, "ollama"),
        ("ollama app.exe", None, 600, False, "desktop"),
        ("vmmemWSL", None, 22_598, False, "wsl"),
        ("vmmem", None, 22_598, False, "wsl"),
        ("VmmemWSL.exe", None, 5, False, "wsl"),
        ("python.exe", "D:\\ComfyUI\\python_embeded\\python.exe", 7_000, True, "comfyui"),
        ("ComfyUI.exe", None, 100, False, "comfyui"),
        ("python.exe", "C:\\Python312\\python.exe", 7_000, False, "other"),
        (
            "Cyberpunk2077.exe",
            "D:\\SteamLibrary\\steamapps\\common\\Cyberpunk 2077\\bin\\x64\\g.exe",
            12_000,
            False,
            "game",
        ),
        ("game.exe", "C:\\XboxGames\\X\\game.exe", 12_000, False, "game"),
        ("blender.exe", "C:\\Program Files\\Blender\\blender.exe", 3_000, False, "other"),
        (None, None, 4_000, False, "other"),
        (None, None, 4, False, "desktop"),
    ],
)
def test_each_program_is_somebodys(image: str | None, path: str | None, mib: int, comfyui: bool, tenant: str) -> None:
    assert tenant_of(image, path, mib, comfyui) == tenant


def test_what_belongs_to_the_person_at_the_screen_is_told_apart_from_the_rest() -> None:
    one = seen(
        process(400, "dwm.exe", 800),
        process(4120, "llama-server.exe", 6_000, RUNNER),
        process(380, "vmmemWSL", 4_000),
        process(5000, "python.exe", 7_000, comfyui=True),
        process(6000, "blender.exe", 2_000),
        process(7000, "ComfyUI.exe", 120),
    )
    theirs = [(holder.image, holder.pid) for holder in one.of("comfyui", "game", "other")]
    assert theirs == [("python.exe", 5000), ("blender.exe", 6000), ("ComfyUI.exe", 7000)]
    assert (one.mib_of("ollama"), one.mib_of("wsl"), one.mib_of("desktop", "other"), one.mib_of("game")) == (
        6_000,
        4_000,
        2_800,
        0,
    )
    assert one.unnamed == 24564 - 3_200 - 19_920
    assert one.complaints == ()


def test_what_the_counters_name_too_much_leaves_nothing_unnamed() -> None:
    assert seen(process(4120, "ollama.exe", 24_000)).unnamed == 0


def test_broken_counters_are_told_with_their_mend_and_nobody_is_said_to_have_nothing() -> None:
    one = seen(counted=False, reason="Invalid class", of_card=False)
    assert one.holders == ()
    assert one.unnamed == 24564 - 3_200
    assert "Invalid class" in picture(one)
    assert "lodctr /R" in one.complaints[0]


def test_another_adapter_that_is_counted_too_is_told() -> None:
    assert "which adapter is NVIDIA's" in seen(process(400, "dwm.exe", 800), of_card=False).complaints[0]


def test_the_picture_is_a_bar_of_the_cards_parts_and_a_line_about_each() -> None:
    one = seen(process(400, "dwm.exe", 1_024), process(4120, "llama-server.exe", 16_000, RUNNER))
    lines = picture(one, {"ollama": "qwen2.5:32b"}, 24).splitlines()
    assert lines == [
        "NVIDIA GeForce RTX 4090: 21,000 of 24,564 MiB are taken, 3,200 are free",
        "[dOOOOOOOOOOOOOOOO????...]",
        "  d the desktop       1,024 MiB  dwm.exe (400)",
        "  O Ollama           16,000 MiB  llama-server.exe (4120): qwen2.5:32b",
        "  ? nobody is named   4,340 MiB  the driver's own, or not counted yet",
        "  . free              3,200 MiB",
    ]


@pytest.mark.parametrize("mib", [0, 1, 409, 12_345, 21_364, 24_564, 40_000])
@pytest.mark.parametrize("width", [1, 10, 64])
def test_the_bar_is_as_wide_as_it_is_asked_for_whatever_is_on_the_card(mib: int, width: int) -> None:
    bar = picture(seen(process(1, "a.exe", mib), process(2, "vmmemWSL", mib)), width=width).splitlines()[1]
    assert len(bar) == width + 2


def test_many_programs_of_one_tenant_are_told_in_one_line() -> None:
    one = seen(*(process(400 + at, f"tab{at}.exe", 100) for at in range(12)))
    assert "tab0.exe (400), tab1.exe (401), tab2.exe (402), 9 more" in picture(one)
