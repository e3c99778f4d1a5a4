"""Models in the memory of the twin's card: taken, kept alive, given back, whoever ends what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.ollama_box import SMALL, OllamaBox
from tests.waiting import eventually
from vengeance.twin.process import ProcessOutput, Start

MIB = 1024 * 1024
IDLE = 1900
BIG = "qwen2.5:72b"
MIDDLE = "qwen2.5:32b"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[OllamaBox]:
    box = OllamaBox(tmp_path)
    yield box
    box.windows.stop_all()


def used(box: OllamaBox) -> int:
    """MiB in use as nvidia-smi.exe tells."""
    return int(box.run("nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits").out)


def test_a_loaded_model_takes_its_size_from_the_card(box: OllamaBox) -> None:
    box.serve()
    box.have()
    assert used(box) == IDLE
    assert box.load()["done_reason"] == "load"
    size = box.loaded()[SMALL]["size_vram"]
    assert used(box) == IDLE + -(-size // MIB)


def test_a_runner_of_its_own_belongs_to_each_loaded_model(box: OllamaBox) -> None:
    server = box.serve()
    box.have(SMALL, "qwen2.5:0.5b")
    box.load()
    box.load("qwen2.5:0.5b")
    runners = box.processes("llama-server.exe")
    assert [one.parent for one in runners] == [server.run.pid] * 2
    assert "--ctx-size 32768" in runners[0].command_line


def test_a_model_leaves_five_minutes_after_its_last_request(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    box.clock.advance(200)
    box.load()
    box.clock.advance(200)
    assert SMALL in box.loaded()
    box.clock.advance(101)
    assert box.loaded() == {}
    assert used(box) == IDLE
    eventually(lambda: not box.processes("llama-server.exe"), "the runner's end")


def test_the_environment_says_how_long_a_model_stays(box: OllamaBox) -> None:
    box.serve(OLLAMA_KEEP_ALIVE="30")
    box.have()
    box.load()
    box.clock.advance(31)
    assert box.loaded() == {}


def test_a_negative_keep_alive_lasts_72_hours_and_more(box: OllamaBox) -> None:
    box.serve(OLLAMA_KEEP_ALIVE="-1")
    box.have()
    box.load()
    box.clock.advance(72 * 3600)
    assert box.loaded()[SMALL]["expires_at"].startswith("23")


def test_the_keep_alive_of_a_request_wins(box: OllamaBox) -> None:
    box.serve(OLLAMA_KEEP_ALIVE="-1")
    box.have()
    box.load(keep_alive="10s")
    box.clock.advance(11)
    assert box.loaded() == {}
    assert box.ask("POST", "/api/generate", {"model": SMALL, "keep_alive": "soon"}).status == 400


def test_unloading_is_answered_before_the_runner_has_gone(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    assert box.load(keep_alive=0)["done_reason"] == "unload"
    eventually(lambda: not box.loaded(), "the model's leaving")
    assert used(box) == IDLE


def test_a_model_bigger_than_the_card_lies_in_both_memories(box: OllamaBox) -> None:
    box.serve()
    box.have(BIG)
    box.load(BIG)
    one = box.loaded()[BIG]
    assert 0 < one["size_vram"] < one["size"]
    assert used(box) <= 24564


def test_the_default_context_of_24_gb_is_32k_and_a_32b_model_does_not_fit_with_it(box: OllamaBox) -> None:
    box.serve()
    box.have(MIDDLE)
    box.load(MIDDLE)
    one = box.loaded()[MIDDLE]
    assert one["context_length"] == 32768
    assert one["size_vram"] < one["size"]
    assert "default_num_ctx=32768" in box.log


def test_with_a_context_of_4096_a_32b_model_fits(box: OllamaBox) -> None:
    box.serve(OLLAMA_CONTEXT_LENGTH="4096")
    box.have(MIDDLE)
    box.load(MIDDLE)
    one = box.loaded()[MIDDLE]
    assert one["context_length"] == 4096
    assert one["size_vram"] == one["size"]


def test_room_is_made_by_the_model_that_would_leave_first(box: OllamaBox) -> None:
    box.serve(OLLAMA_CONTEXT_LENGTH="4096")
    box.have(SMALL, "qwen2.5:0.5b", MIDDLE)
    box.load(SMALL, keep_alive="1h")
    box.load(MIDDLE, keep_alive="1m")
    assert set(box.loaded()) <= {SMALL, MIDDLE}
    box.have("deepseek-r1:32b")
    box.load("deepseek-r1:32b")
    assert MIDDLE not in box.loaded()
    assert "deepseek-r1:32b" in box.loaded()


def test_only_so_many_models_are_loaded_at_once(box: OllamaBox) -> None:
    box.serve(OLLAMA_MAX_LOADED_MODELS="1")
    box.have(SMALL, "qwen2.5:0.5b")
    box.load(SMALL)
    box.load("qwen2.5:0.5b")
    assert set(box.loaded()) == {"qwen2.5:0.5b"}


def test_memory_that_is_to_be_left_free_is_left_free(box: OllamaBox) -> None:
    box.serve(OLLAMA_GPU_OVERHEAD=str(23 * 1024**3))
    box.have()
    box.load()
    assert box.loaded()[SMALL]["size_vram"] == 0
    assert used(box) == IDLE


def test_what_somebody_else_has_of_the_card_is_not_there_for_ollama(box: OllamaBox) -> None:
    box.serve()
    box.have()
    assert box.gpu.take("vLLM", 21000, "/opt/vllm/bin/python")
    box.load()
    one = box.loaded()[SMALL]
    assert one["size_vram"] < one["size"]


def test_another_context_loads_the_model_anew(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    first = box.processes("llama-server.exe")[0].pid
    box.load(options={"num_ctx": 2048})
    assert box.loaded()[SMALL]["context_length"] == 2048
    eventually(lambda: [one.pid for one in box.processes("llama-server.exe")] != [first], "the new runner")
    eventually(lambda: len(box.processes("llama-server.exe")) == 1, "the old runner's end")


def test_a_killed_server_frees_its_port(box: OllamaBox) -> None:
    box.serve()
    box.run("taskkill /f /im ollama.exe")
    assert box.windows.network.listeners == []
    with pytest.raises(OSError, match="actively refused"):
        box.ask("GET", "/")
    box.serve()


def test_a_killed_server_leaves_its_runner_and_the_memory_behind(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    taken = used(box)
    box.kill("ollama.exe")
    box.serve()
    assert box.loaded() == {}
    assert used(box) == taken
    box.kill("llama-server.exe")
    assert used(box) == IDLE


def test_a_killed_runner_frees_its_memory_and_is_started_again(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    box.kill("llama-server.exe")
    assert used(box) == IDLE
    eventually(lambda: not box.loaded(), "the loss of the model")
    box.load()
    assert SMALL in box.loaded()


def test_the_end_of_a_winrm_shell_ends_the_server_with_its_runners(box: OllamaBox) -> None:
    output = ProcessOutput()
    process = box.windows.start(Start("C:\\Ollama\\ollama.exe serve"), output)
    eventually(lambda: box.windows.network.listeners, "the server's listening")
    box.have()
    box.load()
    process.terminate()
    eventually(lambda: not box.windows.state.processes, "the end of all")
    assert box.windows.network.listeners == []
    assert box.gpu.used_mib == IDLE


def test_a_restart_of_windows_ends_everything(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    box.restart()
    assert box.gpu.used_mib == IDLE
    assert not box.ollama.servers
    assert box.windows.network.listeners == []


def test_a_server_without_its_runner_says_so(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.windows.drive.remove_file("C:\\Ollama\\lib\\ollama\\llama-server.exe")
    answer = box.ask("POST", "/api/generate", {"model": SMALL})
    assert answer.status == 500
    assert "llama-server" in answer.json["error"]


def test_without_a_card_models_run_on_the_processor(box: OllamaBox) -> None:
    box.gpu.present = False
    box.serve()
    box.have()
    box.load()
    assert box.loaded()[SMALL]["size_vram"] == 0
    assert box.loaded()[SMALL]["context_length"] == 4096
    assert box.run("nvidia-smi -L").code == 9


def test_nvidia_smi_answers_in_csv(box: OllamaBox) -> None:
    fields = "name,driver_version,memory.total,memory.free,compute_cap"
    bare = box.run(f"nvidia-smi.exe --query-gpu={fields} --format=csv,noheader,nounits")
    assert bare.out == "NVIDIA GeForce RTX 4090, 591.86, 24564, 22664, 8.9\n"
    assert box.run("nvidia-smi --query-gpu=memory.total --format=csv").out == "memory.total [MiB]\n24564 MiB\n"
    assert box.run("nvidia-smi --query-gpu=colour --format=csv").code == 2
    assert box.run("nvidia-smi").out.count("RTX 4090") == 1


def test_nvidia_smi_names_programs_but_not_their_memory_on_windows(box: OllamaBox) -> None:
    box.serve()
    box.have()
    box.load()
    listed = box.run("nvidia-smi --query-compute-apps=pid,process_name,used_memory --format=csv,noheader").out
    runner = box.processes("llama-server.exe")[0]
    assert listed == f"{runner.pid}, C:\\Ollama\\lib\\ollama\\llama-server.exe, [N/A]\n"
