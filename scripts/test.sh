#!/usr/bin/env bash
# Set up, then every check and test; pytest's closing line is the last one, unless what ran before it found something.
# The tests that install a real vLLM need 3 GB and some minutes: they are for VENGEANCE_REAL=1, as .ci/run sets, and for
# the full run, which VENGEANCE_FULL=1 is.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh || exit
lint=0
bash scripts/lint.sh || lint=1
# Some tests start the programs of .venv by name, as their users would.
export PATH=$PWD/.venv/bin:$PATH
[ $# -gt 0 ] || [ "${VENGEANCE_REAL:-${VENGEANCE_FULL:-0}}" != 0 ] || set -- --ignore tests/real
# Most tests wait for a twin now and then, so two cores are busy with four files at a time.
python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder "$@"
tests=$?
[ "$lint" = 0 ] || echo "vengeance: the tests have run, but ruff, mypy or the PowerShell checker found something: see before the tests, or 'make lint'." >&2
[ "$tests" = 0 ] && [ "$lint" = 0 ]
