"""The card as programs in the distros reach it: a Unix socket in the folder that they see as /usr/lib/wsl/lib.

A line of JSON each way. What a connection has taken is given back as soon as the connection ends, so a killed program
holds nothing, as under the real driver.

    {"ask": true}                                          -> {"ok": true, "total": 24564, "used": 1900, "free": 22664,
                                                               "cuda": "13.1"}
    {"take": 22598, "image": "python3", "label": "qwen"}   -> the same; "ok" is false when there is not so much left
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vengeance.twin.distro.looks import CARD_SOCKET

_LONGEST_LINE = 65536


class Card(Protocol):
    """The model of the card; sizes in MiB."""

    @property
    def present(self) -> bool:
        """Whether there are card and driver."""

    @property
    def cuda(self) -> str:
        """The CUDA version of the driver."""

    @property
    def total_mib(self) -> int:
        """What the card has."""

    @property
    def used_mib(self) -> int:
        """What is taken, by the desktop too."""

    @property
    def free_mib(self) -> int:
        """What is left."""

    def take(self, owner: str, mib: int, image: str, pid: int = 0, label: str = "") -> bool:
        """Take memory; False when there is not so much left."""

    def give_back(self, owner: str) -> None:
        """Free what an owner has."""


class CardSocket:
    """Serves one card to the programs of one twin's distros.

    folder: what they see as /usr/lib/wsl/lib
    """

    def __init__(self, folder: Path, card: Card) -> None:
        self._card = card
        self._numbers = itertools.count(1)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._file = folder / CARD_SOCKET
        folder.mkdir(parents=True, exist_ok=True)
        self._file.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The folder's own path may be longer than an address of a Unix socket can be.
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._server.bind(f"/proc/self/fd/{handle}/{CARD_SOCKET}")
        finally:
            os.close(handle)
        # Every user of a distro may use the card; on this machine the state folder keeps others out.
        self._file.chmod(0o666)
        self._server.listen(16)
        threading.Thread(target=self._accept, name="card", daemon=True).start()

    def link(self, folder: Path) -> None:
        """Have it answer in another folder of the same file system too, where nothing can be mounted."""
        (folder / CARD_SOCKET).unlink(missing_ok=True)
        with suppress(OSError):
            os.link(self._file, folder / CARD_SOCKET)

    def close(self) -> None:
        """Serve nobody any more; what is taken over it is given back."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._file.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="card", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        owner = f"distro {next(self._numbers)}"
        try:
            with connection, suppress(OSError), connection.makefile("rwb") as stream:
                while line := stream.readline(_LONGEST_LINE):
                    stream.write(json.dumps(self._answer(owner, line)).encode() + b"\n")
                    stream.flush()
        finally:
            self._card.give_back(owner)
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, owner: str, line: bytes) -> dict[str, Any]:
        card = self._card
        if not card.present:
            return {"ok": False, "error": "there is no card", "total": 0, "used": 0, "free": 0, "cuda": ""}
        error = None
        try:
            request = json.loads(line)
            if "take" in request:
                mib = int(request["take"])
                if mib < 0:
                    raise ValueError(mib)
                image, label = str(request.get("image") or "python3"), str(request.get("label") or "")
                if not card.take(owner, mib, image, label=label):
                    error = f"{mib} MiB are more than is left"
            elif "ask" not in request:
                error = "say ask or take"
        except (ValueError, TypeError):
            error = "that is no request to the card"
        said: dict[str, Any] = {"ok": error is None, "total": card.total_mib, "used": card.used_mib}
        said |= {"free": card.free_mib, "cuda": card.cuda}
        return said if error is None else {**said, "error": error}
