"""The environment variables that a version of vLLM needs in WSL, and those that it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vengeance.box import versions, vllm_flags


def needed_variables(version: str | None, nvcc: bool = False) -> dict[str, str]:
    """Return the environment variables without which a version does not serve in WSL on a card.

    + version: of vLLM; None takes the oldest that there is a table of
    + nvcc: whether nvcc is found where the server runs

    VLLM_USE_V2_MODEL_RUNNER=0 (0.22 and 0.23) and VLLM_WSL2_ENABLE_PIN_MEMORY=1 (0.24 to 0.29): the V2 model runner
    wants memory that WSL does not pin unless it is told to, and ends with "UVA is not available" (vllm#47387,
    vllm#54652). The second variable came with 0.24.0 (vllm#41496; absent in vllm/envs.py of 0.23.0), 0.30.0 goes on
    without pinned memory (NonUvaBuffer in vllm/v1/worker/gpu/buffer_utils.py, vllm#56908).

    VLLM_USE_FLASHINFER_SAMPLER=0 (from 0.21 on): FlashInfer's sampler, vLLM's default since then (vllm#40376;
    vllm/envs.py of 0.20.2 and 0.21.0), is compiled at the first start and needs nvcc (flashinfer#1919, vllm#49497).
    """
    found: dict[str, str] = {}
    of = versions.numbers(version or vllm_flags.versions_known()[0])
    if (0, 22) <= of < (0, 24):
        found["VLLM_USE_V2_MODEL_RUNNER"] = "0"
    elif (0, 24) <= of < (0, 30):
        found["VLLM_WSL2_ENABLE_PIN_MEMORY"] = "1"
    if of >= (0, 21) and not nvcc:
        found["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    return found


def unknown_variables(names: Iterable[str], version: str | None) -> list[str]:
    """Return a sentence for each variable of vLLM's that a version does not read.

    + names: of environment variables; those that do not begin with ``VLLM_`` are somebody else's
    + version: of vLLM; None takes the oldest that there is a table of

    vLLM itself only warns of them at its start (validate_environ in vllm/envs.py).
    """
    table = vllm_flags.table_for(version)
    found = []
    for name in names:
        # Version-independent names of its plug-ins and of the tests' own are not in that list either.
        if name.startswith("VLLM_") and name not in table.variables and name not in needed_variables(version):
            near = difflib.get_close_matches(name, sorted(table.variables), n=1, cutoff=0.0)[0]
            found.append(f"vLLM {table.version} does not read {name}. The nearest one is {near}.")
    return found


def check_api_key(key: str) -> None:
    """Check that clients can send a key: it goes in a header, whose text is ASCII.

    https://www.rfc-editor.org/rfc/rfc9110#section-5.5. Raises ValueError with a sentence that does not hold it.
    """
    if not key.isascii() or not key.isprintable():
        raise ValueError("a key holds printable ASCII characters alone: it is sent in an HTTP header")
    if key != key.strip():
        raise ValueError("a key has no blank at its ends: HTTP takes those away")
