"""https://huggingface.co as the twin's distro sees it: the part of its protocol that downloads of models use.

Paths, headers and codes are those that the library ``huggingface_hub`` asks for and reads (hf_api.py, file_download.py
and utils/_http.py of 0.36 and 2.4). Large files are redirected to another host, as on the real hub; Xet is not spoken.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.vendors import hub_models
from vengeance.twin.vendors.hub_models import HubFile, Shape, describe
from vengeance.twin.vendors.site import FaultQueue, Request, Sending, WebFault

HUB = "huggingface.co"
LARGE_FILES = "cas-bridge.xethub.hf.co"
"""Where large files are redirected to; on the real hub with a signature that expires."""
HOSTS = (HUB, LARGE_FILES)

TOKEN = "hf_the_twins_token"  # noqa: S105
"""A token whose owner has accepted every licence."""
TOKEN_WITHOUT_LICENCE = "hf_without_a_licence"  # noqa: S105
"""A token whose owner has accepted none."""
TOKEN_WITHOUT_GATED = "hf_without_gated_models"  # noqa: S105
"""A fine-grained token that was not given access to models with a licence."""
_OWNERS = {TOKEN: "steam", TOKEN_WITHOUT_LICENCE: "guest", TOKEN_WITHOUT_GATED: "steam"}
_LAST_MODIFIED = "2025-01-12T12:00:00.000Z"


class HubError(Exception):
    """An answer that is none of what was asked for: status, ``X-Error-Code`` and ``X-Error-Message``."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass
class Hub:
    """All that the hub has; every method may be called from any thread.

    folder: where the models' files lie; faults: those of the vendors' servers
    requests: as they were answered, oldest first
    """

    folder: Path
    faults: FaultQueue = field(default_factory=FaultQueue)
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _files: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def of(cache: Path, faults: FaultQueue | None = None) -> Hub:
        """The hub with the models of the shipped profiles, made on first use and then shared by all twins.

        cache: the folder shared by all twins
        """

        def build(folder: Path) -> None:
            for shape in hub_models.SHAPES:
                hub_models.build(shape, folder)

        key = key_of(Path(hub_models.__file__).read_bytes())
        return Hub(built_once(cache / "hub", key, build), faults or FaultQueue())

    @property
    def models(self) -> dict[str, Shape]:
        """Name -> what its publisher says of it."""
        return {shape.name: shape for shape in hub_models.SHAPES}

    def files(self, shape: Shape) -> dict[str, HubFile]:
        """The files of a model by their path in it."""
        with self._lock:
            if shape.name not in self._files:
                root = self.folder / shape.name
                names = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
                self._files[shape.name] = {name: describe(root / name, name) for name in names}
            return self._files[shape.name]

    def status(self) -> dict[str, Any]:
        """The models with their commits, and the requests, as JSON objects."""
        models = {
            shape.name: {"commits": list(shape.commits), "licence": shape.licence} for shape in self.models.values()
        }
        return {"models": models, "requests": [vars(request) for request in list(self.requests)]}

    def answer(self, handler: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        """Answer one request for one of the hub's hosts.

        body: False for a HEAD
        """
        _Answer(self, handler, body).send()


class _Answer:
    """One request and its answer."""

    def __init__(self, hub: Hub, handler: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        self.hub = hub
        self.handler = handler
        self.body = body
        host = handler.headers.get("Host", "")
        self.url = f"https://{host}{handler.path}"
        parts = urlsplit(self.url)
        self.host = parts.hostname or ""
        self.path = parts.path
        self.query = parse_qs(parts.query)

    def send(self) -> None:
        """Answer it."""
        self.handler.close_connection = True
        try:
            if self.host == LARGE_FILES:
                self._large_file()
            elif self.path.startswith("/api/"):
                self._json(self._api())
            else:
                self._resolve()
        except HubError as error:
            headers = {"X-Error-Message": error.message}
            if error.code is not None:
                headers["X-Error-Code"] = error.code
            self._json({"error": error.message}, error.status, headers)

    # --- who asks ---

    def _owner(self) -> str | None:
        """Whose token it is, None without one."""
        kind, _, token = self.handler.headers.get("Authorization", "").partition(" ")
        if not token:
            return None
        if kind != "Bearer" or token not in _OWNERS:
            raise HubError(HTTPStatus.UNAUTHORIZED, None, "Invalid credentials in Authorization header")
        return _OWNERS[token]

    def _check_licence(self, shape: Shape) -> None:
        if shape.licence is None:
            return
        restricted = f"Access to model {shape.name} is restricted"
        token = self.handler.headers.get("Authorization", "").partition(" ")[2]
        if self._owner() is None:
            message = f"{restricted}. You must have access to it and be authenticated to access it. Please log in."
            raise HubError(HTTPStatus.UNAUTHORIZED, "GatedRepo", message)
        if token == TOKEN_WITHOUT_LICENCE:
            place = f"https://{HUB}/{shape.name}"
            message = f"{restricted} and you are not in the authorized list. Visit {place} to ask for access."
            raise HubError(HTTPStatus.FORBIDDEN, "GatedRepo", message)
        if token == TOKEN_WITHOUT_GATED:
            message = "Please enable access to public gated repositories in your fine-grained token settings to view "
            message += "this repository."
            raise HubError(HTTPStatus.FORBIDDEN, "GatedRepo", message)

    # --- what is there ---

    def _model(self, name: str) -> Shape:
        shape = self.hub.models.get(name)
        if shape is not None:
            return shape
        if self._owner() is None:
            # The hub does not tell strangers whether something private has that name.
            raise HubError(HTTPStatus.UNAUTHORIZED, None, "Invalid username or password.")
        raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")

    def _commit(self, shape: Shape, revision: str) -> str:
        if revision in ("main", "refs/heads/main"):
            return shape.commits[0]
        if revision in shape.commits:
            return revision
        raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")

    # --- the interface for programs ---

    def _api(self) -> object:
        words = [unquote(word) for word in self.path.removeprefix("/api/").split("/")]
        owner = self._owner()
        if words == ["whoami-v2"]:
            if owner is None:
                raise HubError(HTTPStatus.UNAUTHORIZED, None, "Invalid username or password.")
            return {"type": "user", "name": owner, "auth": {"type": "access_token"}}
        if words == ["models"]:
            return self._search()
        if words[0] == "models" and len(words) >= 3:
            shape = self._model("/".join(words[1:3]))
            what, rest = (words[3], words[4:]) if len(words) > 3 else ("revision", ["main"])
            if what == "revision":
                return self._info(shape, self._commit(shape, "/".join(rest)))
            if what == "tree" and rest:
                self._commit(shape, rest[0])
                return self._tree(shape, "/".join(rest[1:]))
            if what == "refs":
                branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": shape.commits[0]}
                return {"branches": [branch], "converts": [], "tags": []}
            if what == "commits" and rest:
                first = shape.commits.index(self._commit(shape, rest[0]))
                return [
                    {"id": commit, "title": "Upload", "message": "", "authors": [], "date": _LAST_MODIFIED}
                    for commit in shape.commits[first:]
                ]
        raise HubError(HTTPStatus.NOT_FOUND, None, "Sorry, we can't find the page you are looking for.")

    def _search(self) -> list[dict[str, Any]]:
        """All words that are looked for must be in the name."""
        words = self.query.get("search", [""])[0].lower().split()
        author = self.query.get("author", [""])[0].lower()
        found = []
        for shape in self.hub.models.values():
            name = shape.name.lower()
            if all(word in name for word in words) and (not author or name.startswith(f"{author}/")):
                found.append({"_id": shape.name, "id": shape.name, "modelId": shape.name, "private": False, "tags": []})
        return found

    def _info(self, shape: Shape, commit: str) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, file in self.hub.files(shape).items():
            one: dict[str, Any] = {"rfilename": name}
            if self.query.get("blobs"):
                one |= {"size": file.size, "blobId": file.blob}
                if file.sha256 is not None:
                    one["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 135}
            siblings.append(one)
        owner = shape.name.partition("/")[0]
        return {
            "_id": shape.name,
            "id": shape.name,
            "modelId": shape.name,
            "author": owner,
            "sha": commit,
            "lastModified": _LAST_MODIFIED,
            "private": False,
            "gated": "manual" if shape.licence is not None else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
            "createdAt": _LAST_MODIFIED,
        }

    def _tree(self, shape: Shape, below: str) -> list[dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        deep = self.query.get("recursive", ["False"])[0].lower() in ("true", "1")
        start = f"{below}/" if below else ""
        for name, file in self.hub.files(shape).items():
            if not name.startswith(start):
                continue
            folder, slash, _ = name.removeprefix(start).partition("/")
            if slash:
                entries[start + folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": start + folder}
            if not slash or deep:
                entries[name] = {"type": "file", "oid": file.blob, "size": file.size, "path": name}
                if file.sha256 is not None:
                    entries[name]["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 135}
        if below and not entries:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", f"{below} does not exist")
        return list(entries.values())

    # --- files ---

    def _resolve(self) -> None:
        words = [unquote(word) for word in self.path.removeprefix("/").split("/")]
        if len(words) < 5 or words[2] not in ("resolve", "raw"):
            raise HubError(HTTPStatus.NOT_FOUND, None, "Sorry, we can't find the page you are looking for.")
        self._owner()
        shape = self._model("/".join(words[:2]))
        commit = self._commit(shape, words[3])
        self._check_licence(shape)
        file = self.hub.files(shape).get("/".join(words[4:]))
        headers = {"X-Repo-Commit": commit}
        if file is None:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            self._json({"error": "Entry not found"}, HTTPStatus.NOT_FOUND, headers)
        elif file.sha256 is not None:
            place = f"https://{LARGE_FILES}/xet-bridge-us/{quote(shape.name)}/{file.sha256}"
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"', "Location": place}
            self._write(f"Found. Redirecting to {place}".encode(), HTTPStatus.FOUND, headers)
        else:
            self._file(file, X_Repo_Commit=commit)

    def _large_file(self) -> None:
        if self.handler.headers.get("Authorization"):
            # A link with a signature and a token besides is refused by the storage.
            raise HubError(HTTPStatus.BAD_REQUEST, None, "Only one auth mechanism allowed")
        *_, owner, name, sha256 = ["", "", "", *map(unquote, self.path.split("/"))]
        shape = self.hub.models.get(f"{owner}/{name}")
        for file in self.hub.files(shape).values() if shape is not None else ():
            if file.sha256 == sha256:
                self._file(file)
                return
        raise HubError(HTTPStatus.NOT_FOUND, None, "Not Found")

    def _file(self, file: HubFile, **headers: str) -> None:
        fault: WebFault | None = self.hub.faults.take(file.size) if self.body else None
        if fault is not None and fault.how == "status":
            self._write(b"", fault.value, {})
            return
        Sending(self.handler, self._note, self.body, fault, self.hub.ended).send(file.path, f'"{file.etag}"', **headers)

    # --- answers ---

    def _note(self, status: int) -> None:
        command, wanted = self.handler.command, self.handler.headers.get("Range")
        self.hub.requests.append(Request(command, self.url, wanted, int(status)))

    def _json(self, data: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> None:
        text = json.dumps(data).encode()
        self._write(text, status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    def _write(self, text: bytes, status: int, headers: Mapping[str, str]) -> None:
        self._note(status)
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.send_header("Content-Length", str(len(text)))
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()
        if self.body:
            self.handler.wfile.write(text)
