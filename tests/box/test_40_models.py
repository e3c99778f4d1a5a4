"""Acceptance: the model of the chosen profile, as it lies on the distro's disk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host


@pytest.fixture(autouse=True)
def downloaded(settings: dict[str, Any], profile: dict[str, Any]) -> None:
    """Skips these tests where the model of the chosen profile does not come from the hub."""
    if not settings["vllm_download"] or profile["model"].startswith("/"):
        pytest.skip("the model of the chosen profile is not downloaded")


@pytest.fixture
def snapshot(profile: dict[str, Any], settings: dict[str, Any]) -> str:
    """Where vLLM finds it: https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    folder = "models--" + profile["model"].replace("/", "--")
    return f"{settings['vllm_hf_home']}/hub/{folder}/snapshots/{profile['revision']}"


def test_the_model_is_pinned_to_a_commit(profile: dict[str, Any]) -> None:
    assert len(profile["revision"]) == 40
    assert int(profile["revision"], 16) > 0


def test_each_shard_that_the_index_names_is_there_and_a_file_of_tensors(linux: Host, snapshot: str) -> None:
    index = json.loads(linux.check_output("cat %s", f"{snapshot}/model.safetensors.index.json"))
    for shard in sorted(set(index["weight_map"].values())):
        # The length of its header, then the header, then as many bytes as the header says.
        path = f"{snapshot}/{shard}"
        length = int(linux.check_output("head -c 8 %s | od -An -t u8", path))
        header = json.loads(linux.check_output(f"head -c {8 + length} %s | tail -c {length}", path))
        end = max(one["data_offsets"][1] for name, one in header.items() if name != "__metadata__")
        assert int(linux.check_output("stat -L -c %%s %s", path)) == 8 + length + end


def test_the_user_of_the_server_owns_the_model_and_nothing_of_it_is_half_there(
    linux: Host, snapshot: str, settings: dict[str, Any]
) -> None:
    folder = snapshot.partition("/snapshots/")[0]
    assert linux.check_output("find %s ! -user %s -print -quit", folder, settings["linux_user"]) == ""
    assert linux.check_output("find -L %s -name %s -o -type l", folder, "*.incomplete") == ""


def test_models_lie_on_the_distros_own_disk(linux: Host, settings: dict[str, Any]) -> None:
    place, kind = linux.check_output("stat -f -c '%%n %%T' %s", settings["vllm_hf_home"]).rsplit(" ", 1)
    assert not place.startswith(("/mnt/c", "/mnt/d"))
    assert kind not in ("v9fs", "9p", "fuseblk")


def test_only_the_user_of_the_server_can_read_the_token(linux: Host, settings: dict[str, Any]) -> None:
    if settings["vllm_hf_token"] is None:
        pytest.skip("no token of Hugging Face is declared")
    token = linux.file(f"{settings['vllm_hf_home']}/token")
    assert (token.user, token.mode) == (settings["linux_user"], 0o600)
    assert linux.run("runuser -u nobody -- cat %s", token.path).rc == 1
