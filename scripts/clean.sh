#!/usr/bin/env bash
# Stop the twins that run and remove what the other commands made in this folder; the root filesystem's cache stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
twins=${VENGEANCE_TWIN_HOME:-${HOME:-/root}/.cache/vengeance/twins}
if [ -x .venv/bin/python ] && [ -d "$twins" ]; then
  for folder in "$twins"/*/; do
    [ -d "$folder" ] || continue
    .venv/bin/python -m vengeance.twin down --name "$(basename "$folder")" || true
  done
fi
rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis pyinfra-debug.log
find src tests benchmarks scripts deploys inventory group_data -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
