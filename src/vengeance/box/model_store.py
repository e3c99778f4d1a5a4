"""Models of Hugging Face's hub and the folder that they are kept in, judged without asking anybody."""

from __future__ import annotations

import re

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,250}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DRIVE = re.compile(r"/mnt/[a-z](/|$)")
_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_OF_WINDOWS = ("9p", "drvfs", "virtiofs")
RESERVE_GB = 2
"""Space that a download leaves on the distro's disk: compiled kernels, logs and packages go there too."""


def is_local(model: str) -> bool:
    """Whether a model is a folder or a file in the distro, and not one of the hub."""
    return model.startswith("/")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a whole commit, which means the same files for ever; a branch or a tag can be moved."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def check(model: str, revision: str | None, hf_home: str) -> None:
    """Check what a download is told.

    + model: OWNER/NAME on the hub, or a full path in the distro
    + revision: commit, tag or branch, None for the branch ``main``
    + hf_home: full path of the folder that models are kept in

    Raises ValueError with a sentence.
    """
    if is_local(model):
        if not _PATH.fullmatch(model):
            raise ValueError(f"{model!r} is no full path of a model, as in /home/steam/models/mine.")
    elif not _MODEL.fullmatch(model) or ".." in model or "--" in model:
        raise ValueError(f"{model!r} is no name of a model: write OWNER/NAME as its page on huggingface.co shows it.")
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise ValueError(f"{revision!r} is no revision of a model: name a commit, a tag or a branch.")
    if not _PATH.fullmatch(hf_home):
        raise ValueError(f"{hf_home!r} is no full path of a folder for models, as in /home/steam/.cache/huggingface.")


def check_token(token: str) -> None:
    """Check what a token of the hub consists of. Raises ValueError with a sentence that does not hold it."""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError(
            "the token of Hugging Face has a blank, a line break or another letter that none has: copy it once more "
            "from https://huggingface.co/settings/tokens"
        )


def unfit(hf_home: str, place: str, file_system: str) -> str | None:
    """Say why models cannot be kept in a folder, None when they can.

    + place: the folder with all links followed; file_system: its kind, as in /proc/self/mountinfo

    A drive of Windows is reached through 9p: a shard takes a minute to load, and vLLM maps files into memory, which is
    slower still (vllm-project/vllm#10116).
    """
    if file_system not in _OF_WINDOWS and not _DRIVE.match(place):
        return None
    kind = f"a drive of Windows ({file_system})"
    where = hf_home if place == hf_home else f"{hf_home} leads to {place}, which"
    return (
        f"{where} lies on {kind}, where loading a model takes many times longer. Keep models on the distro's own disk: "
        "set vllm_hf_home to a folder such as /home/steam/.cache/huggingface"
    )
