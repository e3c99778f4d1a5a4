#!/usr/bin/env bash
# Set up, then the main job on the twin: build the whole box, and say what now runs.
# A twin that is not there yet begins as a Windows that has just been installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
.venv/bin/python -m vengeance.twin up --bare >/dev/null
.venv/bin/pyinfra inventory/twin.py deploys/vengeance.py --yes
exec .venv/bin/python scripts/summary.py
