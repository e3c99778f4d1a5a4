"""What the files of a downloaded model say of it: its config.json, and the size of its weights."""

from __future__ import annotations

import base64
import binascii
from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase


class ModelFilesState(TypedDict):
    """The text of a ``config.json``, and bytes of all weights; None where no file says it."""

    config: str
    weights: int | None


# The layout of the cache: https://huggingface.co/docs/huggingface_hub/guides/manage-cache. The size of all weights
# stands in the index of a model in several files; to add up the files would say too little of a download that was cut.
_READ = """\
model=$1 repository=$2 revision=$3
case $model in
  /*) folder=$model ;;
  *)
    commit=$revision
    if [ -f "$repository/refs/$revision" ]; then read -r commit < "$repository/refs/$revision" || :; fi
    folder=$repository/snapshots/$commit
    ;;
esac
if [ -f "$folder/config.json" ]; then
  echo "config $(base64 -w 0 "$folder/config.json")"
  if [ -f "$folder/model.safetensors.index.json" ]; then
    grep -o '"total_size": *[0-9]*' "$folder/model.safetensors.index.json" | sed -n '1s/.*[^0-9]/weights /p'
  elif [ -f "$folder/model.safetensors" ]; then
    echo "weights $(stat -L -c %s "$folder/model.safetensors")"
  fi
fi
echo end
"""


def parse_model_files(output: list[str]) -> ModelFilesState | None:
    """Read the lines ``name value`` of the fact, which end with ``end``.

    Raises FactProcessError for a name that is none of them, for a value that cannot be read, and for output that was
    cut.
    """
    if not output or output[-1] != "end":
        raise FactProcessError(f"The files of the model end with {output[-1:]!r}, so something of them is missing.")
    config, weights = None, None
    for line in output[:-1]:
        name, _, value = line.partition(" ")
        try:
            if name == "config":
                config = base64.b64decode(value, validate=True).decode()
            elif name == "weights":
                weights = int(value)
            else:
                raise FactProcessError(f"The files of the model have a line that nobody asked for: {line[:80]!r}.")
        except (binascii.Error, ValueError) as error:
            raise FactProcessError(f"A file of the model cannot be read ({name}): {error}") from None
    return None if config is None else {"config": config, "weights": weights}


class ModelFiles(FactBase["ModelFilesState | None"]):
    """Returns what the files of a model in the distro say of it, None where there is no ``config.json`` of it.

    + model: OWNER/NAME on the hub, or a full path in the distro
    + hf_home: folder that models are kept in (HF_HOME)
    + revision: commit, tag or branch, None for the branch ``main``

    .. code:: python

        {"config": "{\\"model_type\\": \\"qwen2\\", ...}", "weights": 19327300608}
    """

    def command(self, model: str, hf_home: str, revision: str | None = None) -> StringCommand:
        repository = f"{hf_home}/hub/models--{model.replace('/', '--')}"
        words = (_READ, "sh", model, repository, revision or "main")
        return StringCommand("sh -c", *(QuoteString(word) for word in words))

    def process(self, output: list[str]) -> ModelFilesState | None:
        return parse_model_files(output)
