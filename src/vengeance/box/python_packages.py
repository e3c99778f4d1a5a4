"""What pip is asked for, compared with what is installed."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def parse_requirement(text: str) -> Requirement:
    """Read a requirement such as ``vllm==0.15.1``.

    Raises ValueError for anything else: a path, an address or an option of pip cannot be compared with what is there.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"{text!r} is no Python package with a version, as in vllm==0.15.1.") from None
    if requirement.url is not None:
        raise ValueError(f"{text!r} names an address: give the package as vllm==0.15.1, and pip its source by itself.")
    return requirement


def is_met(requirement: Requirement, installed: Mapping[str, str]) -> bool:
    """Tell whether the installed packages (name -> version) meet a requirement."""
    version = version_of(requirement, installed)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def version_of(requirement: Requirement, installed: Mapping[str, str]) -> str | None:
    """Return the version of the package that a requirement names, None where it is not installed."""
    versions = {canonicalize_name(name): version for name, version in installed.items()}
    return versions.get(canonicalize_name(requirement.name))
