"""Save-Download.ps1 in the twin: over the twin's web, onto the twin's disk, with the same retries and sentences."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from vengeance.twin.vendors import packages
from vengeance.twin.windows import errors
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.web import Response, WebError
from vengeance.twin.windows.works import Work, WorkFailed

_PIECE = 65536
_GIVEN_BACK = 2_097_152
_LONGEST_PAUSE = 30.0


def _megabytes(count: int) -> str:
    return f"{-(-count // 1_000_000)} MB"


class _Download:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.drive = work.run.windows.drive
        self.url = str(work.input["url"])
        self.path = str(work.input["path"])
        self.part = f"{self.path}.part"
        self.mark = f"{self.path}.part.json"
        self.sha256 = str(work.input["sha256"])
        self.resumed = 0

    def do(self) -> dict[str, Any]:
        folder = self.path.rpartition("\\")[0]
        if not self.drive.is_directory(folder):
            self.drive.make_directory(folder)
        if self.drive.is_file(self.path) and self._hash(self.path) == self.sha256:
            self._remove_part()
            return {"changed": False, "bytes": self.drive.entry(self.path).size, "resumed": 0, "tries": 0}
        tries = self._receive()
        size = self._part_length()
        found = self._hash(self.part)
        if found != self.sha256:
            self._remove_part()
            raise WorkFailed(
                f"What came from {self.url} has the SHA-256 {found}, and {self.sha256} was asked for. It was removed. "
                "Either the hash in the settings is that of another version, or somebody changed the file."
            )
        self._check_signature()
        self.drive.move(self.part, self.path, replace=True)
        self._remove(self.mark)
        return {"changed": True, "bytes": size, "resumed": self.resumed, "tries": tries}

    # --- what lies there ---

    def _remove(self, path: str) -> None:
        if self.drive.is_file(path):
            self.drive.remove_file(path)

    def _remove_part(self) -> None:
        self._remove(self.part)
        self._remove(self.mark)

    def _part_length(self) -> int:
        return self.drive.entry(self.part).size if self.drive.is_file(self.part) else 0

    def _validator(self) -> str | None:
        if not self.drive.is_file(self.mark):
            return None
        try:
            known = json.loads(self.drive.read(self.mark))
        except ValueError:
            return None
        return known["validator"] if known["url"] == self.url else None

    def _set_validator(self, response: Response) -> None:
        validator = response.headers.get("ETag")
        if validator is None or validator.startswith("W/"):
            validator = response.headers.get("Last-Modified")
        self.drive.write(self.mark, json.dumps({"url": self.url, "validator": validator}).encode())

    def _hash(self, path: str) -> str:
        digest = hashlib.sha256()
        with self.drive.open_to_read(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            while data := file.read(4 << 20):
                digest.update(data)
                self.work.progress({"phase": "checking", "bytes": file.tell(), "total": size})
        return digest.hexdigest()

    def _check_signature(self) -> None:
        signer = self.work.input.get("signer")
        if not signer:
            return
        status, organisation = packages.signature(self.drive.read(self.part))
        if status != "Valid" or organisation != signer:
            self._remove_part()
            raise WorkFailed(
                f"The signature of what came from {self.url} is '{status}' and by '{organisation}', and it should be "
                f"valid and by '{signer}'. It was removed."
            )

    # --- the tries ---

    def _receive(self) -> int:
        self.resumed = self._part_length() if self._validator() else 0
        first_pause = pause = float(self.work.input["pause_seconds"])
        tries = 0
        while True:
            tries += 1
            before = self._part_length()
            problem = self._try(tries)
            if problem is None:
                return tries
            if tries >= int(self.work.input["tries"]):
                raise WorkFailed(
                    f"{self.url} could not be downloaded in {tries} tries: {problem}. {self._part_length()} bytes have "
                    "come; run it again, and it goes on from there."
                )
            if self._part_length() > before:
                pause = first_pause
            self.work.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _try(self, tries: int) -> str | None:
        """Connect once; None when all has come, else what went wrong."""
        validator = self._validator()
        offset = self._part_length() if validator else 0
        headers = {"Range": f"bytes={offset}-", "If-Range": str(validator)} if offset else {}
        web = self.work.run.windows.web
        try:
            with web.open(
                self.url, headers, self.work.input.get("proxy"), self.work.input["stall_seconds"]
            ) as response:
                return self._take(response, offset, tries)
        except WebError as error:
            if error.problem == "trust":
                raise WorkFailed(
                    f"The certificate of the server of {self.url} is not believed: {error}. Is the clock of the box "
                    "right, or does a proxy look into the connection?"
                ) from error
            return str(error)
        except Win32Error as error:
            if error.code != errors.DISK_FULL:
                raise
            self._cut(max(0, self._part_length() - _GIVEN_BACK))
            raise WorkFailed(
                f"The disk is full: {self.part} holds {self._part_length()} bytes. Make room, then run it again: it "
                "goes on where it stopped."
            ) from error

    def _take(self, response: Response, offset: int, tries: int) -> str | None:
        if response.status == 416:
            if offset > 0 and response.headers.get("Content-Range") == f"bytes */{offset}":
                return None
            self._remove_part()
            return "it answered 416"
        if response.status >= 500 or response.status in (408, 429):
            return f"it answered {response.status}"
        if response.status not in (200, 206):
            raise WorkFailed(f"The server answered {response.status} for {self.url}. Is the address right?")
        tag = response.headers.get("ETag", "")
        known = self._validator() or ""
        if response.status == 206 and tag and known.startswith('"') and tag != known:
            self._remove_part()
            return "it has another version of the file now"
        if response.status == 200:
            offset = 0
            if tries == 1:
                self.resumed = 0
            self._set_validator(response)
        return None if self._body(response, offset) else "the connection was closed before the end"

    def _cut(self, length: int) -> None:
        if self._part_length() != length:
            self.drive.write_at(self.part, length, b"")

    def _body(self, response: Response, offset: int) -> bool:
        total = None if response.length is None else offset + response.length
        free = self.drive.free_bytes
        if total is not None and free is not None and free < total - offset:
            raise WorkFailed(
                f"The disk C:\\ has {_megabytes(free)} free, and {_megabytes(total - offset)} are still to come for "
                f"{self.path}. Make room, then run it again: it goes on where it stopped."
            )
        if offset == 0:
            self.drive.write(self.part, b"")
        self._cut(offset)
        position = offset
        with self.drive.open_to_write(self.part, append=True) as file:
            while data := response.read(_PIECE):
                self.work.check()
                file.write(data)
                position += len(data)
                self.work.progress({"phase": "downloading", "bytes": position, "total": total})
        return total is None or position == total


def save_download(work: Work) -> dict[str, Any]:
    """Save-Download."""
    return _Download(work).do()
