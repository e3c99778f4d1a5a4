#!/usr/bin/env bash
# Set up, then every check and test; pytest's closing line is the last one, unless what ran before it found something.
# VENGEANCE_REAL=0 leaves out the tests that install a real vLLM, which need 3 GB and some minutes.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh || exit
lint=0
bash scripts/lint.sh || lint=1
# Some tests start the programs of .venv by name, as their users would.
export PATH=$PWD/.venv/bin:$PATH
# Most tests wait for a twin, so three files at a time take a third of the time on two cores.
[ $# -gt 0 ] || [ "${VENGEANCE_REAL:-1}" != 0 ] || set -- --ignore tests/real
python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder "$@"
tests=$?
[ "$lint" = 0 ] || echo "vengeance: the tests have run, but ruff, mypy or the PowerShell checker found something: see before the tests, or 'make lint'." >&2
[ "$tests" = 0 ] && [ "$lint" = 0 ]
