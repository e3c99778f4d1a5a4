"""The program ``vllm``: ``vllm serve MODEL`` and ``vllm --version``."""

import sys

from ... import __version__
from ..openai.api_server import main as serve


def main() -> int:
    """Run one subcommand."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-v"]):
        print(__version__)
        return 0
    if arguments[:1] == ["serve"]:
        return serve(arguments[1:], "vllm serve")
    print("usage: vllm [-h] [-v] {serve} ...\nThe twin's stand-in knows only `vllm serve`.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
