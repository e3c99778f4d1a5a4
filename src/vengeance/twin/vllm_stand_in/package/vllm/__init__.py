"""The twin's stand-in for vLLM: its command line and its web interface, without a model.

It judges the flags as its version of vLLM does, takes the memory of the twin's card that the real one would hold (or
says why it cannot, in vLLM's words), says that it is healthy and lists the model it was given. It computes nothing and
loads no weights. Never install it on a real box.
"""

import json
from pathlib import Path

TABLE = json.loads(Path(__file__).with_name("flags.json").read_text(encoding="ascii"))
"""The flags of ``vllm serve``, as vLLM's own parser of this version has them."""

__version__ = TABLE["version"] + "+twin"
