"""What a vLLM server serves and with which limits, as a typed profile made from group data."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vengeance.box import ports, systemd_unit, versions, vllm_flags
from vengeance.box.vllm_variables import needed_variables, unknown_variables

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def unit_of(name: str) -> str:
    """Return the name of the systemd unit of a profile."""
    return f"vllm-{name}.service"


def profile_of(unit: str) -> str:
    """Return the name of the profile that a unit of that kind is of."""
    return unit.removeprefix("vllm-").removesuffix(".service")


@dataclass(frozen=True)
class Profile:
    """One vLLM server; what is None is left to vLLM.

    name: of the profile, and of its unit ``vllm-NAME.service``
    model: name of a model on Hugging Face's hub, or the full path of a folder in the distro
    port: TCP port
    host: address that it listens on in the distro
    revision: commit, tag or branch of the model; a commit is the same model next year
    quantization: the kernels for a model whose weights have fewer bits, such as awq_marlin
    dtype: the type of what is computed with, such as float16
    max_model_len: tokens of prompt and answer together
    gpu_memory_utilization: part of the card's memory, over 0 and up to 1
    enforce_eager: no CUDA graphs, which saves 2 to 4 GB
    max_num_seqs: requests at once; 256 is vLLM's own default on a card below 70 GiB
    max_num_batched_tokens: tokens of one step; 2048 is vLLM's own default there
    tensor_parallel_size, pipeline_parallel_size: cards that a layer, or the layers, are spread over
    served_model_name: what clients call the model
    flags: further flags of ``vllm serve``, without dashes -> value
    variables: environment variables of the server
    enabled: whether it starts with the distro, and so whenever Windows does
    """

    name: str
    model: str
    port: int
    host: str = "127.0.0.1"
    revision: str | None = None
    quantization: str | None = None
    dtype: str | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    enforce_eager: bool = False
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    served_model_name: str | None = None
    flags: Mapping[str, vllm_flags.Value | None] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = False

    @property
    def unit(self) -> str:
        """Name of its systemd unit."""
        return unit_of(self.name)


_HINTS = {name: hint for name, hint in get_type_hints(Profile).items() if name != "name"}
_NEEDED = ("model", "port")
_FLAGS = (
    "quantization",
    "dtype",
    "host",
    "port",
    "revision",
    "gpu_memory_utilization",
    "max_model_len",
    "enforce_eager",
    "max_num_seqs",
    "max_num_batched_tokens",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "served_model_name",
)
_LIKE = {"int": "a whole number", "str": "a text, in quotes", "bool": "True or False", "float": "a number"}


def parse(name: str, settings: Mapping[str, Any], version: str | None = None) -> Profile:
    """Return the profile that settings describe.

    + name: of the profile: small letters, digits, ``.``, ``_`` and ``-``
    + settings: fields of ``Profile`` -> value, as in ``vllm_profiles`` of the group data
    + version: the vLLM version that the flags are for

    Raises ValueError with a sentence for a field that is not one, a value of the wrong kind or out of its range, and
    for a flag that this version does not have.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a profile: small letters, digits, '.', '_' and '-', 63 at most.")
    for key, value in settings.items():
        if key not in _HINTS:
            near = difflib.get_close_matches(key.replace("-", "_"), _HINTS, n=1, cutoff=0.6)
            told = f"did you mean {near[0]}?" if near else "further flags of vLLM go into flags."
            raise ValueError(f"{name} has no field {key}: {told}")
        _check_kind(name, key, value)
    for key in _NEEDED:
        if key not in settings:
            raise ValueError(f"{name} names no {key}.")
    profile = Profile(name=name, **settings)
    if not profile.model or re.search(r"[\x00-\x20]", profile.model):
        raise ValueError(f"{name}: {profile.model!r} is no model: name one of the hub as OWNER/NAME, or a full path.")
    ports.check_port(profile.port)
    arguments(profile, version)
    systemd_unit.variables(profile.variables)
    return profile


def _check_kind(name: str, key: str, value: object) -> None:
    hint = _HINTS[key]
    # To Python, True is the number 1.
    wrong = isinstance(value, bool) and hint is not bool
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        wrong = True
    if wrong:
        words = str(hint if not isinstance(hint, type) else hint.__name__).partition(" ")[0]
        kind = _LIKE.get(words, "name -> value, in braces")
        raise ValueError(f"{key} of {name} has the wrong kind of value {value!r}: it is {kind}.")


def default_utilisation(version: str | None) -> float:
    """Return the part of the card that vLLM takes by default: 0.9, and 0.92 from 0.20 on.

    + version: vLLM's; None is an older one

    By vLLM's own parsers of 0.15.1 and 0.20; in which version between them it changed was not looked at.
    """
    return 0.92 if version is not None and versions.numbers(version) >= (0, 20) else 0.9


def utilisation(profile: Profile, version: str | None = None) -> float:
    """Return the part of the card that the server of a profile asks for.

    + version: vLLM's
    """
    own = profile.gpu_memory_utilization
    return own if own is not None else default_utilisation(version)


def flags(profile: Profile) -> dict[str, vllm_flags.Value | None]:
    """Return the flags of a profile without dashes, those at vLLM's own default left out, the model not among them.

    Raises ValueError for a flag in ``flags`` that the profile has a field for.
    """
    defaults = {each.name: each.default for each in fields(Profile)}
    found: dict[str, vllm_flags.Value | None] = {}
    for name in _FLAGS:
        value = getattr(profile, name)
        if name in ("host", "port") or value != defaults[name]:
            found[name.replace("_", "-")] = value
    for given, value in profile.flags.items():
        name = given.replace("_", "-").lstrip("-")
        if name.replace("-", "_") in (*_FLAGS, "model"):
            raise ValueError(f"{profile.name} has {given} among its flags: it is a field of its own.")
        found[name] = value
    return found


def arguments(profile: Profile, version: str | None = None) -> list[str]:
    """Return the words after ``vllm serve``: the model, then its flags.

    + version: the vLLM version that they are for

    Raises ValueError with a sentence for a flag that this version does not have, and for a wrong value.
    """
    return [profile.model, *vllm_flags.arguments(flags(profile), version)]


def environment(
    profile: Profile, variables: Mapping[str, str], version: str | None = None, device: str = "cuda"
) -> dict[str, str]:
    """Return the environment variables of a server: what its version needs in WSL, then what is declared.

    + variables: of every server; those of the profile win over them, and both over what the version needs
    + version: the vLLM version that they are for
    + device: what it computes on: without a card nothing is needed
    """
    needed = needed_variables(version) if device == "cuda" else {}
    return {**needed, **variables, **profile.variables}


def remarks(profile: Profile, variables: Mapping[str, str], version: str | None = None) -> list[str]:
    """Return what is worth knowing about a profile that is in order, as sentences: nothing is refused here.

    + variables: of every server
    + version: the vLLM version that they are for
    """
    unknown = unknown_variables({**variables, **profile.variables}, version)
    return [*vllm_flags.remarks(flags(profile), version), *unknown]


def check(profiles: Mapping[str, Mapping[str, Any]], version: str | None = None) -> None:
    """Check all profiles.

    + profiles: name -> fields, as in ``vllm_profiles`` of the group data
    + version: the vLLM version that the flags are for

    Raises ValueError with a sentence, also for two profiles that both start with the distro: there is one card.
    """
    enabled = [name for name, settings in profiles.items() if parse(name, settings, version).enabled]
    if len(enabled) > 1:
        raise ValueError(f"{' and '.join(enabled)} are both enabled, and one card holds one of them")


def check_chosen(name: str, profiles: Mapping[str, Any]) -> None:
    """Check that a profile is one of those that are declared. Raises ValueError with their names."""
    if name not in profiles:
        raise ValueError(f"there is no profile {name!r} among vllm_profiles; there are {', '.join(profiles) or 'none'}")


def units(names: Sequence[str]) -> list[str]:
    """Return the units of profiles."""
    return [unit_of(name) for name in names]
