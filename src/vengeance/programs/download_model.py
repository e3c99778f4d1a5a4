"""Brings a model into Hugging Face's cache, complete; what an earlier attempt has left is gone on with.

It runs in the distro, by the Python of vLLM's environment, whose library ``huggingface_hub`` it uses (0.36, 1 and 2):
HF_HOME, MODEL, REVISION (empty for none) and the bytes to leave free are its arguments. Folders and names are the
library's own (https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so vLLM finds the model there. The
bytes are fetched here, file by file: from version 2 on the library throws away what an interrupted download has brought
(huggingface/huggingface_hub#4228), and it never compares what came with the hash.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

T = TypeVar("T")

HUB = "https://huggingface.co"
TOKENS = f"{HUB}/settings/tokens"
SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# The same weights in other forms, where they are there as safetensors: vLLM would not load them.
OTHER_FORMS = (
    *("*.bin", "*.pt", "*.pth", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.ot"),
    *("original/*", "onnx/*", "consolidated*.safetensors"),
)
FULL = (errno.ENOSPC, errno.EDQUOT)
OF_THE_DISK = (*FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
# What a cut loses at most; the library's own 10 MB are held back until they are whole.
PIECE = 1 << 20
TELL_EVERY = 5.0
# Attempts in a row that bring nothing.
PATIENCE = 5


class Refused(Exception):
    """The model cannot be had; the text says why, and what mends it."""


@dataclass
class Wanted:
    """A file of the model: path in it, bytes, and the name of its bytes (SHA-256 of a large one, else git's)."""

    name: str
    size: int
    etag: str


@dataclass
class Store:
    """Where a model is kept.

    home: HF_HOME; model: OWNER/NAME
    """

    home: str
    model: str

    @property
    def folder(self) -> str:
        """The name that the library gives to the model's folder."""
        return "models--" + self.model.replace("/", "--")

    @property
    def repository(self) -> str:
        """The model's folder."""
        return os.path.join(self.home, "hub", self.folder)

    def blob(self, etag: str) -> str:
        """Where bytes lie."""
        return os.path.join(self.repository, "blobs", etag)

    def seen(self, commit: str, name: str) -> str:
        """Where a file is seen."""
        return os.path.join(self.repository, "snapshots", commit, name)

    def list_of(self, commit: str) -> str:
        """Our own list of what a commit has, written when all of it is there."""
        return os.path.join(self.home, "vengeance", self.folder, f"{commit}.json")


def prepare(home: str) -> None:
    """Set what the library reads when it is imported."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ["HF_HOME"] = home
    # Xet starts afresh after a cut; plain https goes on where it was.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Its remarks on a cut show the link, which is signed. What there is to say is said here.
    os.environ["HF_HUB_VERBOSITY"] = "error"
    if os.path.isfile(SYSTEM_CERTIFICATES):
        # What the distro believes, as for apt: the library's own list has no authority of one's own network.
        os.environ.setdefault("REQUESTS_CA_BUNDLE", SYSTEM_CERTIFICATES)
        os.environ.setdefault("SSL_CERT_FILE", SYSTEM_CERTIFICATES)


def say(text: str) -> None:
    """Tell a line; whoever listens may have gone."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def size_text(size: float) -> str:
    """Bytes for a person."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


# --- errors ---


def transfer_errors() -> tuple[type[BaseException], ...]:
    """What a request can end with: the library speaks through requests, httpx or httpx2, by its version."""
    from huggingface_hub.errors import HfHubHTTPError

    found: list[type[BaseException]] = [OSError, HfHubHTTPError]
    for name in ("httpx", "httpx2"):
        if name in sys.modules:
            found.append(sys.modules[name].HTTPError)
    return tuple(found)


def unanswered() -> contextlib.AbstractContextManager[None]:
    """Passes over a hint that is not to be had, which is no reason for another error."""
    return contextlib.suppress(*transfer_errors(), LookupError, TypeError, ValueError)


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error stands for, None when no answer came."""
    return getattr(getattr(error, "response", None), "status_code", None)


def passing(error: BaseException) -> bool:
    """Whether it may be better in a moment."""
    status = status_of(error)
    if status is not None:
        return status in (408, 425, 429) or status >= 500
    return not isinstance(error, OSError) or error.errno not in OF_THE_DISK


def said_by(error: BaseException) -> str:
    """What the hub says of it, else the error's own first line; without the signatures of links."""
    told = getattr(error, "server_message", None)
    lines = [line.strip() for line in str(told or error).splitlines() if line.strip()]
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", lines[0]).rstrip(".") if lines else type(error).__name__


class Hub:
    """The hub, asked through the library."""

    def __init__(self, store: Store) -> None:
        from huggingface_hub import HfApi, get_token

        self.store = store
        self.model = store.model
        self.token: str | None = get_token()
        self.api = HfApi(token=self.token or False)

    def ask(self, question: Callable[[], T]) -> T:
        """What a question gives, asked again while the trouble may pass; Refused with a sentence otherwise."""
        for pause in (0.5, 1.0, 2.0):
            try:
                return question()
            except transfer_errors() as error:
                if not passing(error):
                    self.refuse(error)
                time.sleep(pause)
        try:
            return question()
        except transfer_errors() as error:
            self.refuse(error)

    def refuse(self, error: BaseException) -> NoReturn:
        """Refuse with what an error means; raises Refused."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        status, said = status_of(error), said_by(error)
        place = f"{HUB}/{self.model}"
        declare = 'vllm_hf_token = Secret.from_environment("HF_TOKEN")'
        if status == 401 and "Invalid credentials" in said:
            raise Refused(
                f"Hugging Face does not know the token in {self.store.home}/token: it is mistyped, expired or deleted. "
                f"Make another one at {TOKENS} and declare it: {declare}."
            ) from None
        if isinstance(error, GatedRepoError) and self.token is None:
            raise Refused(
                f"{self.model} is given only to those who have accepted its licence, and no token is declared. Accept "
                f"it at {place}, make a token that can read at {TOKENS}, and declare it: {declare}."
            ) from None
        if isinstance(error, GatedRepoError) and "fine-grained" in said:
            raise Refused(
                f"The token may not read models with a licence, as {self.model} is one. Tick 'Read access to contents "
                f"of all public gated repos you can access' for it at {TOKENS}."
            ) from None
        if isinstance(error, GatedRepoError):
            raise Refused(
                f"The token's owner{self._owner()} has not been given {self.model}: its licence is not accepted, or "
                f"the request still waits. Accept it at {place} with that account; some publishers answer after hours."
            ) from None
        if isinstance(error, RepositoryNotFoundError):
            private = "" if self.token else ", unless it is a private one: no token is declared"
            raise Refused(f"There is no model {self.model} at {HUB}{private}.{self._near_models()}") from None
        if isinstance(error, RevisionNotFoundError):
            raise Refused(said) from None
        if isinstance(error, OSError) and error.errno in FULL:
            raise Refused(full(self.store)) from None
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            hint = " The drive of Windows that holds the distro's disk may be full." if error.errno == errno.EIO else ""
            raise Refused(
                f"{error.filename or self.store.home} cannot be written: {error.strerror}.{hint} Models are kept in "
                f"{self.store.home} (vllm_hf_home), which has to be the user's."
            ) from None
        raise Refused(
            f"{HUB} does not give {self.model}: {said}. What has come stays, and the next run goes on there; see "
            f"whether 'curl -I {place}' answers in the distro."
        ) from None

    def _owner(self) -> str:
        with unanswered():
            return f", {self.api.whoami()['name']},"
        return ""

    def _near_models(self) -> str:
        owner, _, name = self.model.partition("/")
        known: list[str] = []
        with unanswered():
            known += [one.id for one in self.api.list_models(author=owner, limit=500)]
        with unanswered():
            known += [one.id for one in self.api.list_models(search=name, limit=50)]
        near = difflib.get_close_matches(self.model, list(dict.fromkeys(known)), n=3, cutoff=0.5)
        return f" Near to it: {', '.join(near)}." if near else f" Look it up at {HUB}/models?search={name}."

    def unknown_revision(self, revision: str) -> str:
        """What is said of a revision that the model has not."""
        names: list[str] = []
        commits: list[str] = []
        with unanswered():
            refs = self.api.list_repo_refs(self.model)
            names = [ref.name for ref in [*refs.branches, *refs.tags]]
        with unanswered():
            commits = [one.commit_id for one in self.api.list_repo_commits(self.model)]
        begun = [commit for commit in commits if commit.startswith(revision[:7])]
        near = begun or difflib.get_close_matches(revision, [*names, *commits], n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        return (
            f"{self.model} has no revision {revision}.{hint} It has {', '.join(names) or 'none'}, and its newest "
            f"commit is {commits[0] if commits else 'unknown'}."
        )


def full(store: Store) -> str:
    """What is said of a disk that is full."""
    free = shutil.disk_usage(store.home).free
    return (
        f"The disk of {store.home} is full: {size_text(free)} are free. What has come stays, and the next run goes on "
        "there. Free space in the distro, or set vllm_hf_home to a folder on another disk."
    )


# --- what is wanted ---


def chosen(names: list[str]) -> list[str]:
    """The files of a model that vLLM can use."""
    if not any(name.endswith(".safetensors") and not fnmatch(name, "consolidated*") for name in names):
        return names
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in OTHER_FORMS)]


def files_of(hub: Hub, revision: str) -> tuple[str, list[Wanted]]:
    """The commit that a revision is now, and its files, small ones first."""
    from huggingface_hub.errors import RevisionNotFoundError

    def question() -> ModelInfo:
        try:
            return hub.api.model_info(hub.model, revision=revision, files_metadata=True)
        except RevisionNotFoundError:
            raise Refused(hub.unknown_revision(revision)) from None

    info = hub.ask(question)
    siblings = {one.rfilename: one for one in info.siblings or []}
    found: list[Wanted] = []
    for name in chosen(list(siblings)):
        one = siblings[name]
        if one.lfs is not None:
            found.append(Wanted(name, one.lfs.size, one.lfs.sha256))
        elif one.size is not None and one.blob_id is not None:
            found.append(Wanted(name, one.size, one.blob_id))
    if not found or info.sha is None:
        raise Refused(f"{hub.model} has no files at {revision}: it is not one that vLLM can serve.")
    return info.sha, sorted(found, key=lambda one: one.size)


def size_of(path: str) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def hash_of(path: str, etag: str, size: int) -> str:
    """The name of a file's bytes, made as the one that it is compared with."""
    # git's own names are SHA-1; https did the protecting on the way.
    digest = hashlib.sha256() if len(etag) == 64 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


# --- fetching ---


@dataclass
class Progress:
    """How far the download is, told every so often."""

    store: Store
    files: list[Wanted]
    done: int = 0
    now: str | None = None

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)

    @property
    def come(self) -> int:
        """Bytes that are there."""
        return self.done + (size_of(self.now) if self.now is not None else 0)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Tell while what is done within lasts."""
        over = threading.Event()
        begun, first = time.monotonic(), self.come

        def tell() -> None:
            while not over.wait(TELL_EVERY):
                come = self.come
                speed = (come - first) / (time.monotonic() - begun)
                left = f", {(self.total - come) / speed / 60:.0f} min left" if speed > 0 else ""
                say(f"{size_text(come)} of {size_text(self.total)}, {speed / 1e6:.1f} MB/s{left}")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()


def transfer(hub: Hub, commit: str, wanted: Wanted, rest: str) -> None:
    """Have the whole file at ``rest``, going on with what is there."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    # Read when it is used, by all versions.
    constants.DOWNLOAD_CHUNK_SIZE = PIECE
    url = hf_hub_url(hub.model, wanted.name, revision=commit)
    fruitless = 0
    while True:
        # Links to large files expire, so each attempt asks for a new one.
        about = hub.ask(lambda: get_hf_file_metadata(url, token=hub.token or False))
        before = size_of(rest)
        if before > wanted.size:
            os.unlink(rest)
            before = 0
        same_host = urlsplit(about.location).netloc == urlsplit(url).netloc
        # A signed link takes no token besides; packed bytes could not be gone on with.
        token = hub.token if same_host else None
        headers = {**build_hf_headers(token=token or False), "Accept-Encoding": "identity"}
        try:
            with open(rest, "ab") as file:
                http_get(about.location, file, resume_size=before, headers=headers, expected_size=wanted.size)
                file.flush()
                os.fsync(file.fileno())
            return
        except transfer_errors() as error:
            fruitless = 0 if size_of(rest) > before else fruitless + 1
            expired = status_of(error) == 403 and not same_host
            if fruitless >= PATIENCE or not (passing(error) or expired):
                hub.refuse(error)
            say(f"{wanted.name}: {said_by(error)}; going on at {size_text(size_of(rest))}")
            time.sleep(fruitless)


def fetch(hub: Hub, commit: str, wanted: Wanted, progress: Progress) -> None:
    """Have a file's bytes in the store, compared with their hash."""
    blob = hub.store.blob(wanted.etag)
    rest = f"{blob}.incomplete"
    os.makedirs(os.path.dirname(blob), exist_ok=True)
    progress.now = rest
    for again in (True, False):
        transfer(hub, commit, wanted, rest)
        if hash_of(rest, wanted.etag, wanted.size) == wanted.etag:
            break
        # What was there before may have been the end of a power cut.
        os.unlink(rest)
        if not again:
            raise Refused(
                f"{wanted.name} of {hub.model} came twice with other bytes than {HUB} says. Something on the way "
                "changes them (a proxy?): try again from another network."
            )
        say(f"{wanted.name}: what came is not what {HUB} has; fetching it anew")
    os.replace(rest, blob)
    sync(os.path.dirname(blob))
    progress.now = None


def sync(folder: str) -> None:
    """Have the names in a folder on the disk: WSL's machine may be switched off at any time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: str, text: str) -> None:
    """Write a file of ours at once and for good."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    sync(os.path.dirname(path))


def checked_before(store: Store, commit: str) -> dict[str, Any]:
    """The files whose bytes were compared with their hashes when this commit was complete."""
    try:
        with open(store.list_of(commit), encoding="utf-8") as file:
            return dict(json.load(file)["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def is_right(store: Store, wanted: Wanted, known: dict[str, Any]) -> bool:
    """Whether a file's bytes are there; what is there and wrong is taken away."""
    blob = store.blob(wanted.etag)
    if not os.path.lexists(blob):
        return False
    about = os.stat(blob)
    old = known.get(wanted.name)
    if about.st_size == wanted.size:
        if old is not None and (old["etag"], old["modified"]) == (wanted.etag, about.st_mtime_ns):
            return True
        if hash_of(blob, wanted.etag, wanted.size) == wanted.etag:
            return True
    say(f"{wanted.name} is damaged, with {about.st_size} of {wanted.size} bytes; fetching it anew")
    os.unlink(blob)
    return False


def tidy(store: Store, files: list[Wanted]) -> None:
    """Take away what a download by the library itself left when it was killed: nobody can go on with it."""
    for one in files:
        for left in glob.glob(f"{glob.escape(store.blob(one.etag))}.*.incomplete"):
            os.unlink(left)


def check_index(store: Store, commit: str, files: list[Wanted]) -> None:
    """Check that each shard which an index names is there; raises Refused."""
    names = {one.name for one in files}
    for name in sorted(names):
        if name.endswith(".safetensors.index.json"):
            with open(store.seen(commit, name), encoding="utf-8") as file:
                shards = set(json.load(file)["weight_map"].values())
            missing = sorted(shards - names)
            if missing:
                raise Refused(
                    f"{name} of {store.model} names {', '.join(missing)}, which {HUB} has not at {commit}: its "
                    "publisher has not finished. Take another revision."
                )


def check_room(store: Store, files: list[Wanted], reserve: int) -> None:
    """Check that the disk has room for what is missing; raises Refused with the numbers."""
    missing = sum(max(0, one.size - size_of(f"{store.blob(one.etag)}.incomplete")) for one in files)
    free = shutil.disk_usage(store.home).free
    if missing and missing + reserve > free:
        raise Refused(
            f"{store.model} needs {size_text(missing)} more in {store.home}, and {size_text(reserve)} are to stay "
            f"free: {size_text(free)} are free. Nothing was fetched. Free space in the distro, or set vllm_hf_home to "
            "a folder on another disk."
        )


@contextlib.contextmanager
def alone(store: Store) -> Iterator[None]:
    """Keep others from fetching the same model; waits for one that does."""
    path = os.path.join(store.home, "vengeance", f"{store.folder}.lock")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say(f"another download of {store.model} runs; waiting for its end")
                told = True
                time.sleep(0.5)
        yield


def download(store: Store, revision: str, reserve: int) -> str:
    """Have the model complete, and return its commit; raises Refused."""
    from huggingface_hub import hf_hub_download

    hub = Hub(store)
    commit, files = files_of(hub, revision)
    known = checked_before(store, commit)
    there = [one for one in files if is_right(store, one, known)]
    missing = [one for one in files if one not in there]
    check_room(store, missing, reserve)
    progress = Progress(store, files, sum(one.size for one in there))
    have = sum(size_of(f"{store.blob(one.etag)}.incomplete") for one in missing)
    say(
        f"{store.model} at {commit}: {len(missing)} of {len(files)} files to fetch, "
        f"{size_text(sum(one.size for one in missing) - have)} of {size_text(progress.total)}"
    )
    with progress.told():
        for one in missing:
            # Two names can have the same bytes.
            if not os.path.lexists(store.blob(one.etag)):
                fetch(hub, commit, one, progress)
            progress.done += one.size
    for one in files:
        seen = store.seen(commit, one.name)
        if os.path.isfile(seen) and os.path.realpath(seen) != os.path.realpath(store.blob(one.etag)):
            os.unlink(seen)
        # The bytes are there, so this only makes the name.
        hub.ask(partial(hf_hub_download, store.model, one.name, revision=commit, token=hub.token or False))
    check_index(store, commit, files)
    tidy(store, files)
    about = {
        one.name: {"size": one.size, "etag": one.etag, "modified": os.stat(store.blob(one.etag)).st_mtime_ns}
        for one in files
    }
    if revision != commit:
        write(os.path.join(store.repository, "refs", *revision.split("/")), commit)
    write(store.list_of(commit), json.dumps({"model": store.model, "commit": commit, "files": about}, indent=1))
    return commit


def main(home: str, model: str, revision: str, reserve: str) -> int:
    """Download, or say in a sentence why not."""
    prepare(home)
    store = Store(home, model)
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        print(f"{sys.prefix} has no huggingface_hub, which vLLM brings along: {error}.", file=sys.stderr)
        return 1
    try:
        os.makedirs(home, exist_ok=True)
        with alone(store):
            commit = download(store, revision or "main", int(reserve))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in FULL:
            print(full(store), file=sys.stderr)
        else:
            print(f"{error.filename or home} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 1
    say(f"{model} is complete at {commit}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
