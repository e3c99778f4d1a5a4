"""vLLM's command line from typed data: ``{"max-model-len": 2048, "enforce-eager": True}`` to words.

The tables beside this file, one per version of vLLM, are made from vLLM's own parser by ``scripts/vllm_flags.py``
(``make vllm-flags``), never by hand. A version without a table is judged by the newest one before it.
"""

from vengeance.box.vllm_flags.advice import remarks
from vengeance.box.vllm_flags.tables import Flag, Table, judged_by, table_file, table_for, versions_known
from vengeance.box.vllm_flags.words import SECRET_FLAGS, Value, arguments

__all__ = [
    "SECRET_FLAGS",
    "Flag",
    "Table",
    "Value",
    "arguments",
    "judged_by",
    "remarks",
    "table_file",
    "table_for",
    "versions_known",
]
