"""The models that vLLM serves, downloaded beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from io import StringIO

from pyinfra import logger
from pyinfra.api.command import FileUploadCommand, PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance import programs
from vengeance.box import model_store
from vengeance.box.downloads import size_text
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm.model import Model, ModelState
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.vllm.environment import check_place
from vengeance.secret import Secret

# The new token comes into a closed folder and is moved from there: nobody else can read it at any time.
_MOVE = """\
chmod 600 "$1/vengeance/token.new" && mv -f "$1/vengeance/token.new" "$1/token" &&
printf '%s\\n' "$2" > "$1/vengeance/token.sha256"
"""


@operation()
def model(
    model: str,
    hf_home: str,
    user: str,
    path: str,
    revision: str | None = None,
    token: Secret | None = None,
    reserve_gb: float = model_store.RESERVE_GB,
    timeout: int = 21600,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a model complete in Hugging Face's cache before vLLM is started; what an earlier attempt has left is used.

    + model: OWNER/NAME on the hub; a full path in the distro is only looked at
    + hf_home: folder that models are kept in (HF_HOME), on the distro's own disk
    + user: whose it is; everything is done as this user
    + path: folder of the Python environment, whose ``huggingface_hub`` asks the hub
    + revision: commit, tag or branch; a commit is the same model next year
    + token: of Hugging Face, for models with a licence; it lands in ``HF_HOME/token``, which only the user can read,
      and is taken away when it is not declared any more
    + reserve_gb: GB (1000 MB) that are to stay free on the disk
    + timeout: seconds that the download may take

    Each file is compared with its hash when it has come, and its bytes are on the disk before it has its name: a power
    cut leaves nothing that looks whole. What stands short or empty later is found and fetched anew. A complete model is
    known by files of the distro alone, so a second run asks nobody.

    **Example:**

    .. code:: python

        vllm.model(
            name="The model",
            model="Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
            revision="1ed0a6145da0ce550c628e8e8b678f51e695995d",
            hf_home="/home/steam/.cache/huggingface",
            user="steam",
            path="/home/steam/vllm-env",
        )
    """
    check_place(path, user)
    checked(lambda: model_store.check(model, revision, hf_home))
    secret = checked(lambda: revealed_token(token))
    found = _look(model, revision, hf_home, path, user)
    if model_store.is_local(model):
        if found["complete"]:
            host.noop(f"{model} is there")
        else:
            yield refuse(f"{host.name}: {model} has no config.json, so it is no model that vLLM can serve.")
        return
    unfit = model_store.unfit(hf_home, found["place"] or hf_home, found["file_system"])
    if unfit is not None:
        yield refuse(f"{host.name}: {unfit}.")
        return
    pending = [*_own_folder(hf_home, user, found), *_put_token(secret, hf_home, user, found)]
    yield from pending
    if not found["complete"]:
        _report(model, revision, hf_home, found)
        reserve = str(int(reserve_gb * 1e9))
        words = [QuoteString(word) for word in (hf_home, model, revision or "", reserve)]
        program = programs.load("download_model")
        python = QuoteString(f"{path}/bin/python")
        yield LongCommand(python, "-I -", *words, _stdin=program, _timeout=timeout, _su_user=user, _su_shell="/bin/sh")
        found = _look(model, revision, hf_home, path, user)
    elif not pending:
        host.noop(f"{model} is complete at {found['commit']} ({size_text(found['size'])})")
    if not model_store.is_commit(revision) and found["complete"]:
        host.log(
            f"{model} is not pinned, and {revision or 'main'} can be another model tomorrow: "
            f'revision="{found["commit"]}" pins what is there',
            logger.warning,
        )


def _look(model: str, revision: str | None, hf_home: str, path: str, user: str) -> ModelState:
    about = {"model": model, "revision": revision, "hf_home": hf_home, "path": path}
    return host.get_fact(Model, **about, _su_user=user, _su_shell="/bin/sh")


def revealed_token(token: Secret | None) -> str | None:
    """Return a token of Hugging Face itself, None for none; ValueError with a sentence that does not hold it."""
    if token is None:
        return None
    if not isinstance(token, Secret):
        raise ValueError("The token is a secret: give it as Secret.from_environment, from_file or from_keyring.")
    text = token.reveal()
    model_store.check_token(text)
    return text


def _report(model: str, revision: str | None, hf_home: str, found: ModelState) -> None:
    if found["faulty"]:
        shown = ", ".join(found["faulty"][:3]) + (", ..." if len(found["faulty"]) > 3 else "")
        host.log(f"model {model}: {len(found['faulty'])} files are missing or short ({shown}) -> fetched anew")
    else:
        host.log(f"model {model}: (not complete) -> complete at {revision or 'main'}, in {hf_home}")


def _own_folder(hf_home: str, user: str, found: ModelState) -> Generator[PyinfraCommand, None, None]:
    """Make the folder where the user cannot."""
    if not found["writable"]:
        host.log(f"{hf_home}: {user} cannot write there -> the user's own")
        yield StringCommand("install -d -m 755 -o", QuoteString(user), QuoteString(hf_home))


def _put_token(secret: str | None, hf_home: str, user: str, found: ModelState) -> Generator[PyinfraCommand, None, None]:
    """Have the declared token in its file, or the one that we put there gone."""
    was = found["token"]
    new = f"{hf_home}/vengeance/token.new"
    if secret is None:
        ours = [f"{hf_home}/token", f"{hf_home}/vengeance/token.sha256"] if was is not None and was["ours"] else []
        if ours or found["token_left"]:
            host.log(f"{ours[0] if ours else new}: ours -> (removed)")
            files = (QuoteString(file) for file in (*ours, new))
            yield StringCommand("rm -f --", *files, _su_user=user, _su_shell="/bin/sh")
        return
    sha256 = hashlib.sha256(secret.encode()).hexdigest()
    if was == {"sha256": sha256, "mode": "600", "owner": user, "ours": True} and not found["token_left"]:
        return
    host.log(f"{hf_home}/token: {'(not there)' if was is None else 'as it was'} -> as declared, not shown")
    folder = QuoteString(f"{hf_home}/vengeance")
    yield StringCommand("mkdir -p --", folder, "&& chmod 700", folder, _su_user=user, _su_shell="/bin/sh")
    yield FileUploadCommand(StringIO(secret + "\n"), new, _su_user=user, _su_shell="/bin/sh")
    words = [QuoteString(word) for word in (_MOVE, "sh", hf_home, sha256)]
    yield StringCommand("sh -c", *words, _su_user=user, _su_shell="/bin/sh")
