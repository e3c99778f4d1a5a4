#!/usr/bin/env bash
# Make this machine able to run the twin: system packages, .venv, the root filesystem. Does only what is missing.
#   setup.sh           all three; needs root
#   setup.sh python    only .venv
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-all}
PYTHON=${PYTHON:-python3}
log=build/setup.log

fail() {
  echo "vengeance: $*" >&2
  exit 1
}

# step "sentence" command...: say what is being done, keep its chatter in the log, show the end of it when it fails.
step() {
  local sentence=$1 began=$SECONDS from
  from=$(($(wc -l <"$log") + 1))
  shift
  printf '%s ... ' "$sentence"
  if "$@" >>"$log" 2>&1 </dev/null; then
    echo "done ($((SECONDS - began)) s)"
  else
    echo failed
    tail -n "+$from" "$log" | tail -n 12 >&2
    fail "that failed, and why is above; all of it is in $PWD/$log."
  fi
}

# need_space FOLDER MB WHY: the nearest folder that exists must have so much free.
need_space() {
  local folder=$1 free
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  free=$(($(df --output=avail -k "$folder" | tail -n 1) / 1024))
  [ "$free" -ge "$2" ] ||
    fail "$folder has $free MB free and $3 needs about $2 MB: free some space and run this again."
}

[ "$(uname -s)" = Linux ] ||
  fail "this runs on Linux only (here: $(uname -s)): use a Debian or Ubuntu machine, for example a virtual one."
command -v "$PYTHON" >/dev/null ||
  fail "no $PYTHON on this machine: apt-get install python3, or name another one with 'make PYTHON=/path/to/python3 ...'."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  fail "$PYTHON is $("$PYTHON" -V 2>&1) and 3.10 or later is needed: name another one with 'make PYTHON=python3.11 ...'."
if [ "$what" = all ]; then
  [ "$(id -u)" = 0 ] ||
    fail "this needs root, since the twin mounts filesystems and starts systemd in namespaces of its own: run it as 'sudo make ...'."
  command -v apt-get >/dev/null ||
    fail "no apt-get on this machine: the twin is built from Debian packages, so use Debian 12 or later, or Ubuntu 22.04 or later."
  need_space "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}" 2500 "the twin (its root filesystem and what is installed in it)"
fi
need_space "$PWD" 600 ".venv"

mkdir -p build 2>/dev/null && : 2>/dev/null >"$log" ||
  fail "$PWD/build cannot be written by $(id -un): run this as the user who owns this folder, or as root."

# --- system packages ---
packages=()
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
  packages+=("$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
[ "$what" != all ] || packages+=(
  mmdebstrap debian-archive-keyring zstd # the root filesystem
  systemd-container mount iproute2 nftables uidmap # where it runs
  procps # with which the tests look at what runs
  apt-utils gpg gpg-agent # the signed package repository that stands in for the vendor's
  curl ca-certificates # a client for the tests
)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || fail "these system packages are missing: sudo apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Another apt may hold the lists for a moment (unattended upgrades): its lock has no timeout of its own.
  update() { for _ in 1 2 3 4 5 6; do apt-get -o DPkg::Lock::Timeout=300 update && return; sleep 10; done; return 1; }
  step "Reading the package lists" update
  step "Installing ${missing[*]}" apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
fi

# --- .venv ---
key=$({ cat pyproject.toml constraints.txt; "$PYTHON" -V; } | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/stamp 2>/dev/null)" != "$key" ] || ! .venv/bin/python -c 'import vengeance, pyinfra' 2>/dev/null; then
  # One that was made by a Python which is gone, or by another version, is of no use.
  version() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }
  [ "$(version .venv/bin/python)" = "$(version "$PYTHON")" ] || rm -rf .venv
  [ -x .venv/bin/pip ] || step "Making .venv with $("$PYTHON" -V)" "$PYTHON" -m venv .venv
  step "Installing the Python packages (a minute or so)" .venv/bin/pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
  echo "$key" >.venv/stamp
fi

# --- the root filesystem of the twin's distro ---
[ "$what" != all ] ||
  step "The twin's root filesystem (the first time a minute)" .venv/bin/python scripts/rootfs.py
