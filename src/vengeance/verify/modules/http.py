"""Web servers, asked by curl from where a host is; what is asked and sent goes over curl's stdin.

So no key stands in a process list, and nothing has to be quoted for cmd.exe. curl has been part of Windows since 1803.
The file of options: https://curl.se/docs/manpage.html#-K
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testinfra.modules.base import InstanceModule

_MARK = "\n=answer="


@dataclass(frozen=True)
class Answer:
    """What came back: the status, 0 without an answer; the body; seconds that it took; curl's words if it failed."""

    status: int
    text: str
    seconds: float
    error: str = ""

    @property
    def json(self) -> Any:  # noqa: ANN401 whatever the server sends
        """The body as JSON. Raises ValueError with what came instead."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise ValueError(f"no JSON came, but {self.status} {self.text[:200]!r} {self.error}".rstrip()) from None

    def __str__(self) -> str:
        return f"{self.status or 'no answer'} {self.text[:300] or self.error}".strip()


def options(url: str, sent: object = None, headers: Mapping[str, str] | None = None, within: float = 60) -> str:
    """Return curl's file of options for one request; with ``sent`` it is a POST of that as JSON."""
    lines = [f"url = {_quoted(url)}", "silent", "show-error", f"max-time = {within:g}", 'noproxy = "*"']
    if sent is not None:
        lines += ['header = "Content-Type: application/json"', f"data = {_quoted(json.dumps(sent))}"]
    lines += [f"header = {_quoted(f'{name}: {value}')}" for name, value in (headers or {}).items()]
    lines.append(f"write-out = {_quoted(_MARK + '%{http_code} %{time_total}')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def answer(printed: str, error: str = "") -> Answer:
    """Return what curl printed, as an answer."""
    body, mark, told = printed.rpartition(_MARK)
    if not mark:
        return Answer(0, printed, 0.0, error.strip())
    status, seconds = told.split()
    return Answer(int(status), body, float(seconds.replace(",", ".")), error.strip())


class Http(InstanceModule):  # type: ignore[misc]
    """curl on a host: ``host.http.get("http://127.0.0.1:11434/api/version").json["version"]``."""

    PROGRAM = ""

    def get(self, url: str, headers: Mapping[str, str] | None = None, within: float = 20) -> Answer:
        """Ask for a page.

        + within: seconds
        """
        return self._ask(options(url, None, headers, within), within)

    def post(self, url: str, sent: object, headers: Mapping[str, str] | None = None, within: float = 120) -> Answer:
        """Send something as JSON.

        + within: seconds
        """
        return self._ask(options(url, sent, headers, within), within)

    def _ask(self, asked: str, within: float) -> Answer:
        result = self.run(f"{self.PROGRAM} -K -", stdin=asked, timeout=within + 30)
        return answer(str(result.stdout).replace("\r\n=answer=", _MARK), str(result.stderr))


class WindowsHttp(Http):
    """curl.exe of Windows."""

    PROGRAM = "curl.exe"


class DistroHttp(Http):
    """curl in the distro."""

    PROGRAM = "curl"
