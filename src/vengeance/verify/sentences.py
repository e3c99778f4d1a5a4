"""What a test says: its docstring's first line, or its name as a sentence."""

from __future__ import annotations

# Names that are written otherwise than a function may be called, and those at the end of a word.
_WRITTEN = {
    "api": "API", "cuda": "CUDA", "gpu": "GPU", "http": "HTTP", "https": "HTTPS", "json": "JSON", "logind": "logind",
    "nvcc": "nvcc", "nvidia": "NVIDIA", "nvidias": "NVIDIA's", "ollama": "Ollama", "ollamas": "Ollama's",
    "pyinfra": "pyinfra", "systemd": "systemd", "tailscale": "Tailscale", "vllm": "vLLM", "vllms": "vLLM's",
    "vram": "VRAM", "windows": "Windows", "winrm": "WinRM", "wsl": "WSL", "wslconfig": ".wslconfig",
}  # fmt: skip


def sentence(name: str, docstring: str | None = None, case: str = "") -> str:
    """Return what a test says.

    + name: of its function, as in ``test_wsl_has_the_pinned_version``
    + docstring: its first line is taken, where there is one
    + case: of a test that is run several times, as in ``OLLAMA_HOST``

    >>> sentence("test_wsl_has_the_pinned_version")
    'WSL has the pinned version'
    """
    if docstring and docstring.strip():
        said = docstring.strip().splitlines()[0].rstrip(". ")
    else:
        words = [_WRITTEN.get(word, word) for word in name.removeprefix("test_").split("_")]
        said = _capitalised(" ".join(words).replace("WSL conf", "wsl.conf").replace("NVIDIA smi", "nvidia-smi"))
    return f"{said} ({case})" if case else said


def _capitalised(said: str) -> str:
    first = said.split(" ")[0].rstrip(",:")
    return said if first in _WRITTEN.values() or "." in first or "-" in first else said[:1].upper() + said[1:]


def section(docstring: str | None, name: str) -> str:
    """Return what a file of tests is about: its docstring's first sentence.

    + name: of the file, where it says nothing

    >>> section("Acceptance: the Windows side. What it was written by is read by other means.", "test_10")
    'The Windows side'
    """
    said = (docstring or "").strip().split("\n")[0].removeprefix("Acceptance: ") or name
    said = said.split(". ")[0].rstrip(".")
    return _capitalised(said)
