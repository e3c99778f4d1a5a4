"""The twin's huggingface.co, asked by the real library in the two versions that vLLM brings along."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.hub_client import HubClient, hub_client
from vengeance.box import model_config
from vengeance.twin.__main__ import parse_faults
from vengeance.twin.distro.settings import cache_folder
from vengeance.twin.vendors.hub import TOKEN, TOKEN_WITHOUT_GATED, TOKEN_WITHOUT_LICENCE
from vengeance.twin.vendors.hub_models import LLAMA, MISTRAL, QWEN, SHAPES, Shape, shards, tensors
from vengeance.twin.vendors.site import WebFault
from vengeance.twin.vllm_stand_in.library import library

OF_VLLM_0_15, OF_VLLM_0_32 = "0.36.2", "2.4.0"

# Prints what came as JSON, or the kind of the library's error and what the hub said.
PROGRAM = """
import json, sys
import huggingface_hub
from huggingface_hub import HfApi, hf_hub_download, snapshot_download, whoami
from huggingface_hub.errors import HfHubHTTPError
assert huggingface_hub.__version__ == sys.argv[1], huggingface_hub.__version__
api = HfApi()
try:
    print(json.dumps(eval(sys.argv[2]), default=str))
except HfHubHTTPError as error:
    print(json.dumps([type(error).__name__, error.response.status_code, error.server_message]))
"""


@pytest.fixture(params=[OF_VLLM_0_15, OF_VLLM_0_32])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubClient]:
    other = None
    if request.param == OF_VLLM_0_15:
        # Those of the twin's distro; the one that is taken of them is for every Python.
        wheels = library(cache_folder(), "3.11")
        other = tmp_path / "library"
        with zipfile.ZipFile(next(wheels.glob("huggingface_hub-*.whl"))) as wheel:
            wheel.extractall(other)
    with hub_client(tmp_path, other) as one:
        yield one


def version(client: HubClient) -> str:
    return OF_VLLM_0_15 if client.library is not None else OF_VLLM_0_32


def ask(client: HubClient, question: str, **environment: str) -> Any:
    done = client.run(PROGRAM, version(client), question, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_library_downloads_a_whole_model_and_finds_it_offline(client: HubClient) -> None:
    folder = Path(str(ask(client, f"snapshot_download({QWEN.name!r}, revision={QWEN.commits[0]!r})")))
    assert folder.name == QWEN.commits[0]
    for name, file in client.hub.files(QWEN).items():
        assert (folder / name).read_bytes() == file.path.read_bytes()
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert {path.name for path in folder.glob("*.safetensors")} == set(index["weight_map"].values())
    client.hub.requests.clear()
    again = ask(client, f"snapshot_download({QWEN.name!r}, revision={QWEN.commits[0]!r})", HF_HUB_OFFLINE="1")
    assert (again, client.hub.requests) == (str(folder), [])


def test_an_older_commit_can_be_had_and_a_branch_is_its_newest(client: HubClient) -> None:
    assert ask(client, f"[api.model_info({QWEN.name!r}).sha]") == [QWEN.commits[0]]
    assert ask(client, f"api.model_info({QWEN.name!r}, revision={QWEN.commits[1]!r}).sha") == QWEN.commits[1]
    assert ask(client, f"[one.commit_id for one in api.list_repo_commits({QWEN.name!r})]") == list(QWEN.commits)
    branches = f"api.list_repo_refs({QWEN.name!r}).branches"
    assert ask(client, f"[one.target_commit for one in {branches}]") == [QWEN.commits[0]]


def test_sizes_and_hashes_are_told_before_a_download(client: HubClient) -> None:
    siblings = f"api.model_info({QWEN.name!r}, files_metadata=True).siblings"
    told = ask(client, f"[(f.rfilename, f.size, f.lfs and f.lfs.sha256) for f in {siblings}]")
    assert told == [[name, file.size, file.sha256] for name, file in client.hub.files(QWEN).items()]
    listed = f"api.list_repo_tree({LLAMA.name!r}, recursive=True)"
    tree = ask(client, f"sorted((f.path, f.size) for f in {listed} if hasattr(f, 'size'))")
    assert tree == sorted([name, file.size] for name, file in client.hub.files(LLAMA).items())


def test_a_model_with_a_licence_is_given_to_those_who_accepted_it(client: HubClient) -> None:
    question = f"hf_hub_download({LLAMA.name!r}, 'config.json')"
    name, code, said = ask(client, question)
    assert (name, code) == ("GatedRepoError", 401)
    assert "Please log in" in said
    name, code, said = ask(client, question, HF_TOKEN=TOKEN_WITHOUT_LICENCE)
    assert (name, code) == ("GatedRepoError", 403)
    assert "not in the authorized list" in said
    name, code, said = ask(client, question, HF_TOKEN=TOKEN_WITHOUT_GATED)
    assert (name, code) == ("GatedRepoError", 403)
    assert "fine-grained token settings" in said
    path = Path(str(ask(client, question, HF_TOKEN=TOKEN)))
    assert json.loads(path.read_text(encoding="utf-8"))["num_hidden_layers"] == 32


def test_a_wrong_token_is_refused_even_for_what_everybody_may_have(client: HubClient) -> None:
    answer = ask(client, f"api.model_info({QWEN.name!r}).sha", HF_TOKEN="hf_wrong")
    assert answer == ["HfHubHTTPError", 401, "Invalid credentials in Authorization header"]
    assert ask(client, "whoami()['name']", HF_TOKEN=TOKEN) == "steam"


def test_what_is_not_there_is_told_as_the_library_knows_it(client: HubClient) -> None:
    assert ask(client, "api.model_info('Qwen/None')")[:2] == ["RepositoryNotFoundError", 401]
    assert ask(client, "api.model_info('Qwen/None')", HF_TOKEN=TOKEN)[:2] == ["RepositoryNotFoundError", 404]
    assert ask(client, f"api.model_info({QWEN.name!r}, revision='none')")[:2] == ["RevisionNotFoundError", 404]
    missing = ask(client, f"hf_hub_download({QWEN.name!r}, 'none.json')")
    assert missing[0].endswith("EntryNotFoundError")
    assert ask(client, "[one.id for one in api.list_models(search='mistral')]") == [MISTRAL.name]
    assert ask(client, "[one.id for one in api.list_models(author='Qwen')]") == [QWEN.name]


def test_a_fault_of_the_web_hits_a_file_that_is_long_enough_for_it(client: HubClient) -> None:
    client.hub.faults.add(WebFault("cut", 1_000_000))
    ask(client, f"hf_hub_download({QWEN.name!r}, 'config.json')")
    assert len(client.hub.faults.all()) == 1
    shard = next(name for name in client.hub.files(QWEN) if name.endswith(".safetensors"))
    client.run(PROGRAM, version(client), f"hf_hub_download({QWEN.name!r}, {shard!r})")
    assert client.hub.faults.all() == []


def test_a_slow_server_is_a_fault_of_the_command_line_too() -> None:
    asked = parse_faults(["web-slow", "100000"], None, 2)
    assert asked == [{"kind": "web", "how": "slow", "value": 100_000, "times": 2}]


def test_the_figures_of_a_model_are_its_own() -> None:
    sizes = {shape.name: sum(tensor.size for tensor in tensors(shape.config)) for shape in SHAPES}
    # As the index of the real one says: https://huggingface.co/docs/transformers/models
    assert sizes[LLAMA.name] == 16_060_522_496
    # The three shards have 14,234,370,648 bytes together, their headers among them.
    assert 0 < 14_234_370_648 - sizes[MISTRAL.name] < 200_000
    assert [len(shards(shape)) for shape in SHAPES] == [5, 4, 3]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_planner_counts_the_same_of_a_model_as_its_index_says(shape: Shape) -> None:
    shipped = model_config.shipped_as(shape.name)
    assert shipped is not None
    there = model_config.read(shape.config)
    assert (there.layers, there.kv_heads, there.head_dim) == (
        shipped.config.layers,
        shipped.config.kv_heads,
        shipped.config.head_dim,
    )
    assert there.quantization == shipped.config.quantization
    total = sum(tensor.size for tensor in tensors(shape.config))
    assert model_config.weight_bytes(there) == pytest.approx(total, rel=0.001)


def test_a_shard_is_a_valid_file_of_tensors(tmp_path: Path) -> None:
    with hub_client(tmp_path) as client:
        files = client.hub.files(MISTRAL)
        data = files["model-00001-of-00003.safetensors"].path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert "no real weights" in header.pop("__metadata__")["note"]
    ends = 0
    for tensor in header.values():
        first, last = tensor["data_offsets"]
        width = {"F16": 2, "BF16": 2, "I32": 4}[tensor["dtype"]]
        assert (first, last - first) == (ends, tensor["shape"][0] * width)
        ends = last
    assert len(data) == 8 + length + ends
