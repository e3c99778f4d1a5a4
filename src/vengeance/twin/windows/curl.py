"""curl.exe of the twin's Windows, as far as a person asks a web server with it: one http URL, options, ``--config -``.

Modelled from https://curl.se/docs/manpage.html; Windows has it in System32 since 1803. The exit codes are those of
https://curl.se/libcurl/c/libcurl-errors.html. A connection is one of a program of the box, so that the box's own
listeners answer, those that WSL forwards to a distro among them.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.network import LOOPBACK, REFUSED, TIMED_OUT, NetworkError

if TYPE_CHECKING:
    from vengeance.twin.windows.program import Run

_BAD_USAGE = 2
_UNSUPPORTED = 1
_NO_CONNECTION = 7
_HTTP_ERROR = 22
_TIMEOUT = 28
_NOTHING = 52
_SHORT = {
    "-K": "config", "-s": "silent", "-S": "show-error", "-f": "fail", "-o": "output", "-w": "write-out", "-H": "header",
    "-d": "data", "-X": "request", "-m": "max-time",
}  # fmt: skip
_FLAGS = ("silent", "show-error", "fail")
_WITH_VALUE = ("config", "output", "write-out", "header", "data", "request", "max-time", "noproxy", "url")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "v": "\v"}


class _Usage(Exception):
    """The command line cannot be understood; the message is curl's."""


@dataclass
class _Asked:
    """What one run of curl is to do."""

    url: str = ""
    flags: set[str] = field(default_factory=set)
    headers: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, value: str) -> None:
        if name == "url":
            self.url = value
        elif name == "header":
            self.headers.append(value)
        elif name == "data":
            self.data.append(value)
        else:
            self.values[name] = value


def _read_config(text: str, asked: _Asked) -> None:
    """Take in a file of options: ``name = "value"``, with \\\\ \\" \\t \\n \\r \\v inside the quotes."""
    for line in text.splitlines():
        found = re.fullmatch(r"\s*-{0,2}([a-z-]+)\s*(?:[=:\s]\s*(.*?))?\s*", line)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found is None:
            raise _Usage(f"curl: option {line.strip()}: is unknown")
        name, value = found[1], found[2] or ""
        if value.startswith('"'):
            value = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), value[1:].removesuffix('"'))
        if name in _FLAGS:
            asked.flags.add(name)
        elif name in _WITH_VALUE:
            asked.take(name, value)
        else:
            raise _Usage(f"curl: option --{name}: is unknown")


def _understood(run: Run) -> _Asked:
    asked = _Asked()
    words = iter(run.argv)
    for word in words:
        if not word.startswith("-"):
            asked.url = word
            continue
        # -sSf is -s -S -f, and -onul is -o nul.
        letters = [word] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
        for place, one in enumerate(letters):
            name = _SHORT.get(one) or one.removeprefix("--")
            if name in _FLAGS:
                asked.flags.add(name)
                continue
            if name not in _WITH_VALUE:
                raise _Usage(f"curl: option {one}: is unknown")
            value = word[2 + place :] if not word.startswith("--") and len(letters) > place + 1 else next(words, None)
            if value is None:
                raise _Usage(f"curl: option {one}: requires parameter")
            if name == "config":
                data = run.stdin.read_all() if value == "-" else run.windows.drive.read(value, run.cwd)
                _read_config(data.decode("utf-8", "replace"), asked)
            else:
                asked.take(name, value)
            break
    return asked


def curl_exe(run: Run) -> int:
    """curl.exe."""
    try:
        asked = _understood(run)
        if not asked.url:
            raise _Usage("curl: (2) no URL specified")
    except _Usage as problem:
        run.error(str(problem))
        return _BAD_USAGE
    except Win32Error as error:
        run.error(f"curl: cannot read config: {error}")
        return _BAD_USAGE
    url = urlsplit(asked.url if "://" in asked.url else f"http://{asked.url}")
    if url.scheme != "http":
        run.error(f"curl: (1) Protocol {url.scheme} not supported by the twin's curl.exe")
        return _UNSUPPORTED
    began = time.monotonic()
    try:
        status, body = _exchange(run, asked, url.hostname or "", url.port or 80, url.path or "/", url.query)
    except NetworkError as error:
        kind = _TIMEOUT if error.code == TIMED_OUT else _NO_CONNECTION
        after = f"after {int((time.monotonic() - began) * 1000)} ms"
        text = f"Failed to connect to {url.hostname} port {url.port or 80} {after}: Could not connect to server"
        return _failed(run, asked, kind, text if error.code == REFUSED else error.text)
    except TimeoutError:
        return _failed(run, asked, _TIMEOUT, f"Operation timed out after {int((time.monotonic() - began) * 1000)} ms")
    except (OSError, http.client.HTTPException):
        return _failed(run, asked, _NOTHING, "Empty reply from server")
    if "fail" in asked.flags and status >= 400:
        return _failed(run, asked, _HTTP_ERROR, f"The requested URL returned error: {status}", status)
    output = asked.values.get("output", "-")
    if output == "-":
        run.stdout(body)
    elif output.lower() != "nul":
        run.windows.drive.write(output, body, run.cwd)
    _write_out(run, asked, status, time.monotonic() - began)
    return 0


def _exchange(run: Run, asked: _Asked, host: str, port: int, path: str, query: str) -> tuple[int, bytes]:
    seconds = float(asked.values.get("max-time", "0")) or None
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    connection.sock = run.windows.network.connect(LOOPBACK if host == "localhost" else host, port, timeout=seconds)
    release = run.job.on_stop(connection.close)
    try:
        headers = {"User-Agent": "curl/8.13.0", "Accept": "*/*"}
        if asked.data:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        for header in asked.headers:
            name, _, value = header.partition(":")
            known = next((one for one in headers if one.lower() == name.strip().lower()), name.strip())
            headers[known] = value.strip()
        body = "&".join(asked.data).encode() if asked.data else None
        method = asked.values.get("request") or ("GET" if body is None else "POST")
        connection.request(method, f"{path}?{query}" if query else path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        release()
        connection.close()


def _failed(run: Run, asked: _Asked, code: int, text: str, status: int = 0) -> int:
    if "silent" not in asked.flags or "show-error" in asked.flags:
        run.error(f"curl: ({code}) {text}")
    _write_out(run, asked, status, 0.0)
    return code


def _write_out(run: Run, asked: _Asked, status: int, seconds: float) -> None:
    form = asked.values.get("write-out")
    if form is None:
        return
    known = {"http_code": f"{status:03}", "response_code": f"{status:03}", "time_total": f"{seconds:.6f}"}
    text = re.sub(r"%\{(\w+)\}", lambda match: known.get(match[1], ""), form)
    run.stdout(re.sub(r"\\([tnr])", lambda match: json.loads(f'"\\{match[1]}"'), text).encode())
