"""What a model of the twin says: fixed words, and the durations that the real model would need for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vengeance.twin.ollama.runners import Runner

_SENTENCE = "This is the twin speaking for {name} , which computes nothing ; take these words for a sign of life . "
_DEFAULT_TOKENS = 21
_MOST_TOKENS = 4096
# Bytes a second that weights are read with while a token is made: from the card, and from main memory.
_CARD_SPEED = 700e9
_MEMORY_SPEED = 50e9
_DISK_SPEED = 2.5e9
_PROMPT_FACTOR = 40.0


@dataclass(frozen=True)
class Spoken:
    """One answer: its tokens, why it ends, and its measures in nanoseconds as the API has them."""

    tokens: tuple[str, ...]
    reason: str
    measures: dict[str, int]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.tokens)


def count(text: str) -> int:
    """Tokens of a prompt, about."""
    return max(1, len(text) // 4)


def speak(runner: Runner, prompt: str, options: dict[str, Any], form: object, fresh: bool) -> Spoken:
    """The answer of a loaded model.

    options: of the request, of which ``num_predict`` counts; form: ``format`` of the request
    fresh: the model was loaded for it
    """
    wanted = int(options.get("num_predict") or -1)
    if form:
        tokens = tuple(_as_asked(form))
        reason = "stop"
    else:
        words = (_SENTENCE.format(name=runner.model.name.short)).split()
        limit = _DEFAULT_TOKENS if wanted < 0 else min(wanted, _MOST_TOKENS)
        tokens = tuple(" " * (index > 0) + words[index % len(words)] for index in range(limit))
        reason = "length" if wanted >= 0 else "stop"
    rate = _rate(runner)
    prompts = count(prompt)
    load = int(runner.size / _DISK_SPEED * 1e9) if fresh else 20_000_000
    prompt_time = int(prompts / (rate * _PROMPT_FACTOR) * 1e9)
    eval_time = int(len(tokens) / rate * 1e9)
    measures = {
        "total_duration": load + prompt_time + eval_time + 1_500_000,
        "load_duration": load,
        "prompt_eval_count": prompts,
        "prompt_eval_duration": prompt_time,
        "eval_count": len(tokens),
        "eval_duration": eval_time,
    }
    return Spoken(tokens, reason, measures)


def _rate(runner: Runner) -> float:
    outside = runner.size - runner.size_vram
    return 1.0 / (runner.size_vram / _CARD_SPEED + outside / _MEMORY_SPEED)


def _as_asked(form: object) -> Iterator[str]:
    answer: dict[str, object] = {"answer": "the twin"}
    if isinstance(form, dict) and isinstance(form.get("properties"), dict):
        empty = {"string": "twin", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
        answer = {
            name: empty.get(str(one.get("type")) if isinstance(one, dict) else "")
            for name, one in form["properties"].items()
        }
    text = json.dumps(answer)
    yield from (text[index : index + 4] for index in range(0, len(text), 4))


def embedding(text: str, width: int) -> list[float]:
    """A vector of length 1 that depends on the text alone."""
    raw = b""
    number = 0
    while len(raw) < width * 2:
        raw += hashlib.sha256(f"{number} {text}".encode()).digest()
        number += 1
    values = [int.from_bytes(raw[i : i + 2], "big") / 32768 - 1 for i in range(0, width * 2, 2)]
    length = sum(value * value for value in values) ** 0.5 or 1.0
    return [round(value / length, 8) for value in values]
