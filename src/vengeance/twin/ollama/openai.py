"""The routes below ``/v1`` that OpenAI's clients use (openai/openai.go, middleware/openai.go)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from vengeance.twin.ollama import words
from vengeance.twin.ollama.api import Api, ApiError, Gone, Stream, given
from vengeance.twin.ollama.http1 import EVENTS, TEXT, Request, Response, as_json, encode
from vengeance.twin.ollama.store import Installed
from vengeance.twin.ollama.words import Spoken

_KINDS = {404: "not_found_error", 400: "invalid_request_error"}
_FINGERPRINT = "fp_ollama"


class OpenAi:
    """The compatible API of one server. It knows neither ``keep_alive`` nor ``num_ctx``: the server's own rule."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._number = 0

    def answer(self, request: Request) -> Response:
        """Answer one request; Gone when there is no such route."""
        posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completion,
            "/v1/embeddings": self._embeddings,
        }
        try:
            if request.path == "/v1/models" and request.method == "GET":
                return as_json({"object": "list", "data": [_entry(one) for one in self._api.store.models()]})
            if request.path.startswith("/v1/models/") and request.method == "GET":
                return as_json(_entry(self._api.model({"model": request.path.removeprefix("/v1/models/")})))
            deed = posts.get(request.path)
            if deed is None:
                raise Gone
            if request.method != "POST":
                return Response(405, b"405 method not allowed", TEXT, {"Allow": "POST"})
            return deed(given(request))
        except ApiError as error:
            kind = _KINDS.get(error.status, "api_error")
            problem = {"message": str(error), "type": kind, "param": None, "code": None}
            return as_json({"error": problem}, error.status)

    def _options(self, data: dict[str, Any]) -> dict[str, Any]:
        most = data.get("max_tokens") or data.get("max_completion_tokens")
        return {"num_predict": int(most)} if most else {}

    def _say(self, data: dict[str, Any], prompt: str) -> tuple[Spoken, Installed]:
        one = self._api.model(data)
        if one.shape is not None and one.shape.embedding:
            raise ApiError(400, f'"{data["model"]}" does not support chat')
        runner, fresh = self._api.begin(one, {})
        try:
            form = data.get("response_format") or {}
            wanted = form.get("json_schema", {}).get("schema") if form.get("type") == "json_schema" else None
            wanted = wanted or ("json" if form.get("type") == "json_object" else None)
            return words.speak(runner, prompt, self._options(data), wanted, fresh), one
        finally:
            self._api.runners.end(runner)

    def _head(self, data: dict[str, Any], kind: str, prefix: str) -> dict[str, Any]:
        self._number += 1
        created = int(self._api.server.clock.now().timestamp())
        return {
            "id": f"{prefix}-{self._number}",
            "object": kind,
            "created": created,
            "model": data["model"],
            "system_fingerprint": _FINGERPRINT,
        }

    def _chat(self, data: dict[str, Any]) -> Response:
        messages = data.get("messages") or []
        if not messages:
            raise ApiError(400, "[] is too short - 'messages'")
        prompt = "\n".join(_content(one) for one in messages if isinstance(one, dict))
        spoken, _ = self._say(data, prompt)
        if not data.get("stream"):
            message = {"role": "assistant", "content": spoken.text}
            choice = {"index": 0, "message": message, "finish_reason": spoken.reason}
            head = self._head(data, "chat.completion", "chatcmpl")
            return as_json({**head, "choices": [choice], "usage": _usage(spoken)})
        head = self._head(data, "chat.completion.chunk", "chatcmpl")

        def piece(text: str, reason: str | None) -> dict[str, Any]:
            delta = {"role": "assistant", "content": text}
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

        return self._events(data, spoken, piece, head)

    def _completion(self, data: dict[str, Any]) -> Response:
        prompt = data.get("prompt") or ""
        spoken, _ = self._say(data, prompt if isinstance(prompt, str) else " ".join(map(str, prompt)))
        head = self._head(data, "text_completion", "cmpl")
        if not data.get("stream"):
            choice = {"text": spoken.text, "index": 0, "finish_reason": spoken.reason}
            return as_json({**head, "choices": [choice], "usage": _usage(spoken)})

        def piece(text: str, reason: str | None) -> dict[str, Any]:
            return {**head, "choices": [{"text": text, "index": 0, "finish_reason": reason}]}

        return self._events(data, spoken, piece, head)

    def _events(self, data: dict[str, Any], spoken: Spoken, piece: Any, head: dict[str, Any]) -> Response:  # noqa: ANN401
        def stream() -> Iterator[bytes]:
            for token in spoken.tokens:
                yield b"data: " + encode(piece(token, None)) + b"\n\n"
            yield b"data: " + encode(piece("", spoken.reason)) + b"\n\n"
            if (data.get("stream_options") or {}).get("include_usage"):
                yield b"data: " + encode({**head, "choices": [], "usage": _usage(spoken)}) + b"\n\n"
            yield b"data: [DONE]\n\n"

        return Response(200, Stream(stream(), lambda: None), EVENTS, {"Cache-Control": "no-cache"})

    def _embeddings(self, data: dict[str, Any]) -> Response:
        texts = data.get("input")
        if not texts:
            raise ApiError(400, "invalid input")
        texts = [texts] if isinstance(texts, str) else [str(text) for text in texts]
        vectors, _, _ = self._api.embed(self._api.model(data), {}, texts)
        packed = data.get("encoding_format") == "base64"
        entries = [
            {"object": "embedding", "embedding": _packed(vector) if packed else vector, "index": index}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(words.count(text) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return as_json({"object": "list", "data": entries, "model": data["model"], "usage": usage})


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text") or "") for part in content if isinstance(part, dict))


def _entry(one: Installed) -> dict[str, Any]:
    return {
        "id": one.name.short,
        "object": "model",
        "created": int(one.modified.timestamp()),
        "owned_by": one.name.namespace,
    }


def _usage(spoken: Spoken) -> dict[str, int]:
    prompt, made = spoken.measures["prompt_eval_count"], spoken.measures["eval_count"]
    return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
