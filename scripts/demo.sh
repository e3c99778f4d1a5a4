#!/usr/bin/env bash
# Set up, then the main job on the twin: build the whole box, and say what now runs.
# A twin that is not there yet begins as a Windows that has just been installed. It gets a real vLLM, which takes two to
# three minutes and 3 GB, where there is room for one; VENGEANCE_TWIN_VLLM=stand-in leaves that out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
.venv/bin/python -m vengeance.twin up --bare >/dev/null
export VENGEANCE_TWIN_VLLM=${VENGEANCE_TWIN_VLLM:-$(.venv/bin/python scripts/which_vllm.py)}
.venv/bin/pyinfra inventory/twin.py deploys/vengeance.py --yes || {
  code=$?
  [ "$VENGEANCE_TWIN_VLLM" != real ] ||
    echo "vengeance: why is above. Without the download of a real vLLM: VENGEANCE_TWIN_VLLM=stand-in make demo" >&2
  exit "$code"
}
exec .venv/bin/python scripts/summary.py
