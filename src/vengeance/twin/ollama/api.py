"""Ollama's own HTTP API (docs/api.md, server/routes.go)."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vengeance.twin.ollama import published, words
from vengeance.twin.ollama.http1 import NDJSON, TEXT, Request, Response, as_json, encode
from vengeance.twin.ollama.logs import local_time, utc_time
from vengeance.twin.ollama.pulls import PullError
from vengeance.twin.ollama.runners import LoadError, Runner
from vengeance.twin.ollama.store import Installed, Name, parse_name
from vengeance.twin.ollama.variables import keep_alive
from vengeance.twin.windows.errors import Win32Error

if TYPE_CHECKING:
    from vengeance.twin.ollama.server import Server

_BUSY = "server busy, please try again.  maximum pending requests exceeded"


class ApiError(Exception):
    """An answer other than 200, with the text that stands in its ``error``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Gone(Exception):
    """There is no such route."""


def given(request: Request) -> dict[str, Any]:
    """The JSON object in a request. Raises ApiError."""
    if not request.body.strip():
        raise ApiError(400, "missing request body")
    try:
        data = json.loads(request.body)
    except ValueError:
        shown = request.body.lstrip()[:1].decode(errors="replace")
        raise ApiError(400, f"invalid character '{shown}' looking for beginning of value") from None
    if not isinstance(data, dict):
        raise ApiError(400, f"json: cannot unmarshal {_go_kind(data)} into Go value of type api.Request")
    return data


def _go_kind(data: object) -> str:
    kinds = {list: "array", str: "string", bool: "bool"}
    return kinds.get(type(data), "number")


class Api:
    """The routes below ``/api`` of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.store = server.store
        self.runners = server.runners
        both = ("GET", "HEAD")
        self._routes: dict[str, dict[str, Callable[[Request], Response]]] = {
            "/": dict.fromkeys(both, lambda request: Response(200, b"Ollama is running", TEXT)),
            "/api/version": dict.fromkeys(both, lambda request: as_json({"version": server.version})),
            "/api/tags": dict.fromkeys(both, self._tags),
            "/api/ps": {"GET": self._ps},
            "/api/status": {"GET": self._status},
            "/api/pull": {"POST": self._pull},
            "/api/push": {"POST": self._push},
            "/api/show": {"POST": self._show},
            "/api/delete": {"DELETE": self._delete},
            "/api/copy": {"POST": self._copy},
            "/api/create": {"POST": self._create},
            "/api/generate": {"POST": self._generate},
            "/api/chat": {"POST": self._chat},
            "/api/embed": {"POST": self._embed},
            "/api/embeddings": {"POST": self._embeddings},
        }

    def answer(self, request: Request) -> Response:
        """Answer one request; Gone when there is no such route."""
        try:
            if request.path.startswith("/api/blobs/"):
                return self._blob(request, request.path.removeprefix("/api/blobs/"))
            methods = self._routes.get(request.path)
            if methods is None:
                raise Gone
            deed = methods.get(request.method)
            if deed is None:
                allowed = ", ".join(methods)
                return Response(405, b"405 method not allowed", TEXT, {"Allow": allowed})
            return deed(request)
        except ApiError as error:
            return as_json({"error": str(error)}, error.status)

    # --- models ---

    def name(self, data: dict[str, Any], status: int = 400) -> Name:
        """The name in a request's ``model``, or in ``name`` as older clients have it. Raises ApiError."""
        text = str(data.get("model") or data.get("name") or "")
        name = parse_name(text)
        if name is None:
            raise ApiError(status, "model is required" if not text else "invalid model name")
        return name

    def model(self, data: dict[str, Any]) -> Installed:
        """The installed model that a request names. Raises ApiError."""
        found = self.store.find(self.name(data))
        if found is None:
            raise ApiError(404, f"model '{data.get('model') or data.get('name')}' not found")
        return found

    def _tags(self, request: Request) -> Response:
        return as_json(
            {
                "models": [
                    {
                        "name": one.name.short,
                        "model": one.name.short,
                        "modified_at": local_time(one.modified),
                        "size": one.size,
                        "digest": one.digest,
                        "details": one.details,
                    }
                    for one in self.store.models()
                ]
            }
        )

    def _ps(self, request: Request) -> Response:
        return as_json(
            {
                "models": [
                    {
                        "name": runner.model.name.short,
                        "model": runner.model.name.short,
                        "size": runner.size,
                        "digest": runner.model.digest,
                        "details": runner.model.details,
                        "expires_at": local_time(self.runners.expires_at(runner)),
                        "size_vram": runner.size_vram,
                        "context_length": runner.context,
                    }
                    for runner in self.runners.loaded
                ]
            }
        )

    def _status(self, request: Request) -> Response:
        disabled = self.server.variables.shown["OLLAMA_NO_CLOUD"] == "true"
        return as_json({"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})

    def _pull(self, request: Request) -> Response:
        data = given(request)
        name = self.name(data)
        if name is None:
            raise ApiError(400, "invalid model name")
        return self._told(self.server.pulls.pull(name), data)

    def _told(self, lines: Iterator[dict[str, Any]], data: dict[str, Any]) -> Response:
        if data.get("stream") is False:
            try:
                *_, last = lines
            except (PullError, Win32Error) as error:
                raise ApiError(500, str(error)) from error
            return as_json(last)

        def stream() -> Iterator[bytes]:
            # The status is 200 by now, so an error can only be one more line.
            with contextlib.closing(lines):  # type: ignore[type-var]
                try:
                    for line in lines:
                        yield encode(line) + b"\n"
                except (PullError, Win32Error) as error:
                    yield encode({"error": str(error)}) + b"\n"

        return Response(200, stream(), NDJSON)

    def _push(self, request: Request) -> Response:
        data = given(request)
        self.model(data)

        def lines() -> Iterator[dict[str, Any]]:
            yield {"status": "retrieving manifest"}
            raise PullError("you are not authorized to push to this namespace")

        return self._told(lines(), data)

    def _show(self, request: Request) -> Response:
        data = given(request)
        one = self.model(data)
        texts = {kind: self._text(one, kind) for kind in (published.TEMPLATE, published.LICENSE, published.SYSTEM)}
        info: dict[str, Any] = {"general.architecture": one.config.get("model_family"), "general.file_type": 15}
        if one.shape is not None:
            family = one.shape.family
            info.update(
                {
                    f"{family}.block_count": one.shape.layers,
                    f"{family}.context_length": one.shape.context,
                    f"{family}.embedding_length": one.shape.width,
                    f"{family}.attention.head_count_kv": one.shape.kv_heads,
                }
            )
        embeds = one.shape is not None and one.shape.embedding
        answer = {
            "license": texts[published.LICENSE],
            "modelfile": f'# Modelfile generated by "ollama show"\nFROM {one.name.short}\n',
            "parameters": 'stop                           "<|im_start|>"\nstop                           "<|im_end|>"',
            "template": texts[published.TEMPLATE],
            "system": texts[published.SYSTEM],
            "details": one.details,
            "model_info": info,
            "capabilities": ["embedding"] if embeds else ["completion", "tools"],
            "modified_at": local_time(one.modified),
        }
        return as_json({name: value for name, value in answer.items() if value != ""})

    def _text(self, one: Installed, kind: str) -> str:
        layer = one.layer(kind)
        if layer is None or not self.store.has(layer["digest"]):
            return ""
        return self.store.read(layer["digest"]).decode(errors="replace")

    def _delete(self, request: Request) -> Response:
        data = given(request)
        name = self.name(data)
        one = self.store.find(name)
        if one is not None:
            self.runners.expire(one)
        if not self.store.delete(name):
            raise ApiError(404, f"model '{data.get('model') or data.get('name')}' not found")
        return Response(200, b"", "")

    def _copy(self, request: Request) -> Response:
        data = given(request)
        source, target = parse_name(str(data.get("source") or "")), parse_name(str(data.get("destination") or ""))
        if source is None:
            raise ApiError(400, f'source "{data.get("source", "")}" is invalid')
        if target is None:
            raise ApiError(400, f'destination "{data.get("destination", "")}" is invalid')
        manifest = self.store.manifest(source)
        if manifest is None:
            raise ApiError(404, f'model "{data["source"]}" not found')
        self.store.write_manifest(target, manifest)
        return Response(200, b"", "")

    def _create(self, request: Request) -> Response:
        data = given(request)
        name = self.name(data)
        base = str(data.get("from") or "")
        files = data.get("files") or {}
        if not base and not files:
            raise ApiError(400, "neither 'from' or 'files' was specified")
        return self._told(self._made(name, base, files, str(data.get("system") or "")), data)

    def _made(self, name: Name, base: str, files: dict[str, str], system: str) -> Iterator[dict[str, Any]]:
        kept: list[published.Layer] = []
        config: dict[str, Any] = {"model_format": "gguf", "model_family": "", "model_families": []}
        if base:
            source = parse_name(base)
            one = self.store.find(source) if source is not None else None
            if one is None and source is not None:
                yield from self.server.pulls.pull(source)
                one = self.store.find(source)
            if one is None:
                raise PullError(f"model '{base}' not found")
            config = one.config
            kept = [self._layer(entry) for entry in one.layers if entry["mediaType"] != published.CONFIG]
        for digest in files.values():
            if not self.store.has(str(digest)):
                raise PullError(f"blob {digest} does not exist")
            data = self.store.read(str(digest))
            kept.append(published.Layer(published.MODEL, str(digest), len(data), data))
        if system:
            kept = [one for one in kept if one.kind != published.SYSTEM]
            kept.append(published.layer(published.SYSTEM, system.encode()))
        layers = (*kept, published.layer(published.CONFIG, encode(config)))
        for one_layer in layers:
            have = self.store.has(one_layer.digest)
            yield {"status": f"{'using existing' if have else 'creating new'} layer {one_layer.digest}"}
            self.store.add(one_layer)
        yield {"status": "writing manifest"}
        before = self.store.sizes()
        self.store.write_manifest(name, published.manifest_of(layers))
        self.store.remove_unused(before)
        yield {"status": "success"}

    def _layer(self, entry: dict[str, Any]) -> published.Layer:
        data = self.store.read(entry["digest"])
        return published.Layer(entry["mediaType"], entry["digest"], entry["size"], data)

    def _blob(self, request: Request, digest: str) -> Response:
        if request.method == "HEAD":
            return Response(200 if self.store.has(digest) else 404, b"", "")
        if request.method != "POST":
            return Response(405, b"405 method not allowed", TEXT, {"Allow": "HEAD, POST"})
        if self.store.has(digest):
            return Response(200, b"", "")
        if published.digest_of(request.body) != digest:
            wanted = f'digest mismatch, expected "{digest}", got "{published.digest_of(request.body)}"'
            raise ApiError(400, wanted)
        self.store.add(published.Layer(published.MODEL, digest, len(request.body), request.body))
        return Response(201, b"", "")

    # --- use ---

    def begin(self, one: Installed, data: dict[str, Any]) -> tuple[Runner, bool]:
        """A loaded model for a request; ``self.runners.end`` afterwards. Raises ApiError."""
        if self.server.too_busy():
            raise ApiError(503, _BUSY)
        wish = data.get("keep_alive")
        seconds = None
        if wish is not None:
            seconds = keep_alive(wish)
            if seconds is None:
                raise ApiError(400, f'time: invalid duration "{wish}"')
        options = data.get("options") or {}
        try:
            return self.runners.begin(one, options if isinstance(options, dict) else {}, seconds)
        except LoadError as error:
            raise ApiError(500, str(error)) from error

    def _generate(self, request: Request) -> Response:
        data = given(request)
        one = self.model(data)
        prompt = str(data.get("prompt") or "")
        if not prompt:
            return as_json(self._only_load(one, data, {"response": ""}))
        if one.shape is not None and one.shape.embedding:
            raise ApiError(400, f'"{data["model"]}" does not support generate')

        def piece(text: str, last: bool) -> dict[str, Any]:
            return {"response": text}

        return self._speak(one, data, prompt, piece, {"context": [151644, 872, 198]})

    def _chat(self, request: Request) -> Response:
        data = given(request)
        one = self.model(data)
        messages = data.get("messages") or []
        if not messages:
            return as_json(self._only_load(one, data, {"message": {"role": "assistant", "content": ""}}))
        if one.shape is not None and one.shape.embedding:
            raise ApiError(400, f'"{data["model"]}" does not support chat')
        prompt = "\n".join(str(m.get("content") or "") for m in messages if isinstance(m, dict))

        def piece(text: str, last: bool) -> dict[str, Any]:
            return {"message": {"role": "assistant", "content": text}}

        return self._speak(one, data, prompt, piece, {})

    def _only_load(self, one: Installed, data: dict[str, Any], empty: dict[str, Any]) -> dict[str, Any]:
        reason = "load"
        if keep_alive(data.get("keep_alive")) == 0:
            # It says so at once; the runner goes a moment later.
            self.runners.expire(one)
            reason = "unload"
        else:
            runner, _ = self.begin(one, data)
            self.runners.end(runner)
        created = utc_time(self.server.clock.now())
        return {"model": data["model"], "created_at": created, **empty, "done": True, "done_reason": reason}

    def _speak(
        self,
        one: Installed,
        data: dict[str, Any],
        prompt: str,
        piece: Callable[[str, bool], dict[str, Any]],
        rest: dict[str, Any],
    ) -> Response:
        runner, fresh = self.begin(one, data)
        spoken = words.speak(runner, prompt, dict(data.get("options") or {}), data.get("format"), fresh)

        def line(text: str, last: bool) -> dict[str, Any]:
            created = utc_time(self.server.clock.now())
            head = {"model": data["model"], "created_at": created, **piece(text, last), "done": last}
            return {**head, "done_reason": spoken.reason, **rest, **spoken.measures} if last else head

        if data.get("stream") is False:
            self.runners.end(runner)
            return as_json(line(spoken.text, True))

        def stream() -> Iterator[bytes]:
            try:
                with runner.turn:
                    for token in spoken.tokens:
                        yield encode(line(token, False)) + b"\n"
                    yield encode(line("", True)) + b"\n"
            finally:
                self.runners.end(runner)

        return Response(200, Stream(stream(), lambda: self.runners.end(runner)), NDJSON)

    def _embed(self, request: Request) -> Response:
        data = given(request)
        one = self.model(data)
        texts = data.get("input", "")
        texts = [texts] if isinstance(texts, str) else list(texts)
        vectors, fresh, runner = self.embed(one, data, [str(text) for text in texts])
        spoken = words.speak(runner, " ".join(map(str, texts)), {"num_predict": 0}, None, fresh)
        measures = {name: spoken.measures[name] for name in ("total_duration", "load_duration", "prompt_eval_count")}
        return as_json({"model": data["model"], "embeddings": vectors, **measures})

    def _embeddings(self, request: Request) -> Response:
        data = given(request)
        vectors, _, _ = self.embed(self.model(data), data, [str(data.get("prompt") or "")])
        return as_json({"embedding": vectors[0]})

    def embed(self, one: Installed, data: dict[str, Any], texts: list[str]) -> tuple[list[list[float]], bool, Runner]:
        """Vectors for texts, with the runner that they come from. Raises ApiError."""
        runner, fresh = self.begin(one, data)
        self.runners.end(runner)
        width = one.shape.width if one.shape is not None else 768
        return [words.embedding(text, width) for text in texts], fresh, runner


class Stream:
    """Lines of an answer; whoever drops it before the first one still gives the model back."""

    def __init__(self, lines: Iterator[bytes], forsaken: Callable[[], None]) -> None:
        self._lines = lines
        self._forsaken = forsaken
        self._begun = False

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        self._begun = True
        return next(self._lines)

    def close(self) -> None:
        """Nobody reads any further."""
        if not self._begun:
            self._begun = True
            self._forsaken()
        closing = getattr(self._lines, "close", None)
        if closing is not None:
            closing()


def host_allowed(host: str, hostname: str) -> bool:
    """Whether a server that is bound to loopback answers to this Host header (allowedHostsMiddleware)."""
    name = host.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        return address.is_loopback or address.is_private or address.is_unspecified
    low = name.lower()
    if low in ("", "localhost", hostname.lower()):
        return True
    return low.endswith((".localhost", ".local", ".internal"))
