"""The web server of the stand-in: /health, /version, /ping, /v1/models; everything else says what it is."""

import argparse
import hmac
import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ... import __version__
from ...card import GIB, Card, NoDevice, NoMemory, check_cache, check_driver, check_free, describe, read_config
from ...flag_types import build_parser, complaint, normalised

_NOTE = "the twin's stand-in for vLLM: no model is loaded and nothing is computed"


def log(text: str, level: str = "INFO") -> None:
    """One line as vLLM's logger prints it."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    print(f"(APIServer pid={os.getpid()}) {level} {stamp} [api_server.py:1] {text}", flush=True)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    options: argparse.Namespace
    keys: "tuple[str, ...]" = ()
    started = 0

    def log_message(self, format: str, *values: object) -> None:
        if not self.options.disable_uvicorn_access_log:
            print(f"INFO:     {self.client_address[0]}:{self.client_address[1]} - {format % values}", flush=True)

    def _answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _allowed(self) -> bool:
        # The key guards only what lies under /v1, as in vLLM 0.15.1.
        if not self.keys or not self.path.startswith("/v1"):
            return True
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and any(hmac.compare_digest(key.encode(), one.encode()) for one in self.keys)

    def do_GET(self) -> None:
        """Health, version, models."""
        path = self.path.split("?")[0]
        if not self._allowed():
            self._answer(401, {"error": "Unauthorized"})
        elif path in ("/health", "/ping"):
            self._answer(200)
        elif path == "/version":
            self._answer(200, {"version": __version__, "note": _NOTE})
        elif path == "/v1/models":
            self._answer(200, {"object": "list", "data": [self._model(name) for name in self._names()]})
        else:
            self._answer(404, {"detail": "Not Found", "note": _NOTE})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Nothing is computed here."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self._allowed():
            self._answer(401, {"error": "Unauthorized"})
        else:
            error = {"message": f"This is {_NOTE}.", "type": "NotImplementedError", "param": None, "code": 501}
            self._answer(501, {"error": error})

    def _names(self) -> "list[str]":
        return list(self.options.served_model_name or [self.options.model])

    def _model(self, name: str) -> "dict[str, object]":
        return {
            "id": name,
            "object": "model",
            "created": self.started,
            "owned_by": "vllm",
            "root": self.options.model,
            "parent": None,
            "max_model_len": self.options.max_model_len,
            "permission": [],
        }


class Server(ThreadingHTTPServer):
    """One port; it can be had again right after a restart."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: "tuple[str, int]") -> None:
        """Take the port and answer nobody yet: whoever connects while a model loads is refused, as by vLLM."""
        super().__init__(address, Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Bind without asking the name service who we are, which can take long where there is none."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


def start_engine(card: Card, options: argparse.Namespace) -> None:
    """Take of the card what the real engine would hold; NoMemory with its text when it would not start.

    The length that is served is put into the options, where it follows from the model.
    """
    utilisation = 0.9 if options.gpu_memory_utilization is None else options.gpu_memory_utilization
    check_free(card, utilisation)
    config = read_config(options.model, options.revision)
    model = None if config is None else describe(config, str(options.kv_cache_dtype))
    if model is None:
        log(f"No config.json of {options.model} is here, so nobody knows whether its cache fits.", "WARNING")
    else:
        left, length = check_cache(
            model, card.total * utilisation, options.max_model_len, options.max_num_seqs, __version__
        )
        options.max_model_len = length
        log(f"Model loading took {model.weights / GIB:.4f} GiB memory and 0.0 seconds")
        log(f"Available KV cache memory: {left / GIB:.2f} GiB")
        log(f"GPU KV cache size: {int(left // model.per_token):,} tokens")
        log(f"Maximum concurrency for {length:,} tokens per request: {left / model.per_token / max(length, 1):.2f}x")
    if not card.take(card.total * utilisation, options.model):
        # Somebody was quicker.
        card.free = int(card.ask({"ask": True})["free"]) * 2**20
        check_free(card, utilisation)


def find_model(model: str, revision: "str | None") -> None:
    """Look for a model as vLLM does when it may not download (engine/arg_utils.py): its library raises for none."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE") and not os.path.exists(model):
        from huggingface_hub import snapshot_download

        snapshot_download(model, revision=revision, local_files_only=True)


def failed(text: str) -> None:
    """An exception that ends the API server, with as much of its traceback as is of use here."""
    prefix = f"(APIServer pid={os.getpid()})"
    print(f"{prefix} Traceback (most recent call last):\n{prefix} {text}", file=sys.stderr, flush=True)


def engine_failed(text: str) -> None:
    """An exception that ends the engine, and what the API server makes of it."""
    prefix = f"(EngineCore_DP0 pid={os.getpid()}) ERROR {time.strftime('%m-%d %H:%M:%S')} [core.py:946]"
    for line in ("EngineCore failed to start.", "Traceback (most recent call last):", text):
        print(f"{prefix} {line}", flush=True)
    failed("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}")


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 0 after such an end, 1 when options, model, port or card are wrong.

    The real one asks for the card before it reads its command line.
    """
    problem = complaint(options)
    if problem is not None:
        print(f"ValueError: {problem}", file=sys.stderr)
        return 1
    find_model(options.model, options.revision)
    try:
        card = Card()
        check_driver(card, __version__)
    except NoDevice as failure:
        log("No platform detected, vLLM is running on UnspecifiedPlatform")
        failed(str(failure))
        return 1
    log(f"vLLM API server version {__version__}")
    log(f"This is {_NOTE}.", "WARNING")
    keys = options.api_key or ([os.environ["VLLM_API_KEY"]] if os.environ.get("VLLM_API_KEY") else [])
    host = options.host or ""
    Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = Server((host, options.port))
    except OSError as failure:
        failed(f"OSError: [Errno {failure.errno}] {failure.strerror}")
        return 1
    with server:
        try:
            start_engine(card, options)
        except NoMemory as failure:
            engine_failed(str(failure))
            return 1
        attributes = {"options": options, "keys": tuple(keys), "started": int(time.time())}
        server.RequestHandlerClass = type("Bound", (Handler,), attributes)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
        server.server_activate()
        log(f"Starting vLLM API server 0 on http://{host or '*'}:{options.port}")
        log("Application startup complete.")
        server.serve_forever(0.1)
    log("Application shutdown complete.")
    return 0


def main(arguments: "Sequence[str] | None" = None, program: str = "api_server.py") -> int:
    """Parse vLLM's flags and serve."""
    parser = build_parser(program)
    options = parser.parse_args(normalised(sys.argv[1:] if arguments is None else arguments))
    if options.model_tag is not None:
        options.model = options.model_tag
    return serve(options)


if __name__ == "__main__":
    sys.exit(main())
