"""A server of vLLM's in the distro, asked over HTTP by curl there: https://docs.vllm.ai/en/latest/serving."""

from __future__ import annotations

import re
from typing import Any

from testinfra.modules.base import Module

from vengeance.verify.modules.http import Answer, DistroHttp

# Both are counters of docs/usage/metrics; the second is a histogram's sum, in seconds.
_TOKENS = "vllm:generation_tokens_total"
_DECODING = "vllm:request_decode_time_seconds_sum"
_NOT_IMPLEMENTED = 501


class Vllm(Module):  # type: ignore[misc]
    """The server of a profile: ``host.vllm("qwen2.5-coder-32b", port=8080, key="...").served``.

    + profile: as in the group data, which names the unit
    + key: what it asks for under /v1; it goes over stdin alone
    """

    def __init__(self, profile: str, port: int, key: str | None = None) -> None:
        self.profile = profile
        self.port = port
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"vllm-{self.profile}.service"

    @property
    def url(self) -> str:
        """Where a program of the distro reaches it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether systemd calls the unit active."""
        return bool(self.run("systemctl is-active --quiet %s", self.unit).rc == 0)

    @property
    def is_healthy(self) -> bool:
        """Whether it answers /health with 200, which it does once its model is loaded."""
        return self.get("/health").status == 200

    def get(self, path: str) -> Answer:
        """Ask for a page, with the key."""
        answer: Answer = DistroHttp.get_module(self._host).get(self.url + path, self._headers)
        return answer

    def post(self, path: str, sent: object) -> Answer:
        """Send something as JSON, with the key."""
        answer: Answer = DistroHttp.get_module(self._host).post(self.url + path, sent, self._headers)
        return answer

    @property
    def version(self) -> str:
        """Its version, such as ``0.15.1``."""
        return str(self.get("/version").json["version"])

    @property
    def served(self) -> dict[str, int]:
        """What clients call its models -> tokens that prompt and answer may have together."""
        data: list[dict[str, Any]] = self.get("/v1/models").json["data"]
        return {str(one["id"]): int(one["max_model_len"]) for one in data}

    @property
    def computes(self) -> bool:
        """False for the twin's stand-in, which says so by the status 501."""
        return self.post("/v1/completions", {"model": "", "prompt": ""}).status != _NOT_IMPLEMENTED

    @property
    def counted(self) -> tuple[float, float]:
        """Tokens that it has made, and seconds that it was making them, both since it started, by its own counters.

        Raises NotImplementedError where it has no such counters.
        """
        text = self.get("/metrics").text
        sums = []
        for name in (_TOKENS, _DECODING):
            found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
            if not found:
                raise NotImplementedError(f"/metrics of {self.unit} has no {name}")
            sums.append(sum(float(one) for one in found))
        return sums[0], sums[1]

    def __repr__(self) -> str:
        return f"<vllm {self.profile}>"
