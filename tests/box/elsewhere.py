"""The machine that the tests run on, as another machine that asks the box."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from vengeance.verify.modules.http import Answer


class Elsewhere:
    """This machine, which knows the box by an address of its own.

    + address: IPv4, IPv6 or a name
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, port: int, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """What a port of the box answers; status 0 with the reason where nothing comes."""
        return self._ask("GET", port, path, None, headers, 20)

    def post(self, port: int, path: str, sent: object, headers: Mapping[str, str] | None = None) -> Answer:
        """What it answers to something that is sent as JSON."""
        return self._ask("POST", port, path, sent, headers, 300)

    def _ask(
        self, method: str, port: int, path: str, sent: object, headers: Mapping[str, str] | None, within: float
    ) -> Answer:
        host = f"[{self.address}]" if ":" in self.address else self.address
        with requests.Session() as session:
            # A proxy of this machine leads to the world, and not to the tailnet.
            session.trust_env = False
            try:
                answer = session.request(
                    method, f"http://{host}:{port}{path}", json=sent, headers=dict(headers or {}), timeout=within
                )
            except requests.RequestException as error:
                return Answer(
                    0, "", 0.0, f"{self.address}:{port} does not answer this machine: {error.__cause__ or error}"
                )
        return Answer(answer.status_code, answer.text, answer.elapsed.total_seconds())
