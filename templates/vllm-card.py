#!/usr/bin/python3 -I
# Managed by vengeance: templates/vllm-card.py. Changes made here are overwritten.
"""Look whether the card is there and free enough for a vLLM server, and say who holds it when it is not.

    vllm-card 0.92      0.92 of the card has to be free

vLLM looks too, but only after a minute of imports, and it cannot say who holds the card. This runs in the unit's own
sandbox, so it also sees what hides the card from the server. Ends with 1 and a sentence.
"""

import errno
import ipaddress
import json
import os
import subprocess
import sys
import time
import urllib.request

DEVICE = "/dev/dxg"
NVIDIA_SMI = "/usr/lib/wsl/lib/nvidia-smi"
ROUTES = "/proc/net/route"
OLLAMA_PORT = 11434
# A server that was stopped a moment ago: Windows gives its memory back a little after its end.
TRIES = 5
PAUSE_SECONDS = 1
OLLAMA_SECONDS = 2
MIB = 2**20


class Refused(Exception):
    """Why no server can start now."""


def look_at_device():
    """Refuse where the unit cannot open the card."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise Refused(f"{DEVICE} is not there: WSL gives this distro no card.") from None
    except OSError as problem:
        # A node without a driver behind it is nvidia-smi's to judge.
        if problem.errno not in (errno.ENODEV, errno.ENXIO):
            raise Refused(f"{DEVICE} cannot be opened ({problem.strerror}) by this unit and user.") from None


def memory():
    """MiB that are free, and that there are."""
    if not os.access(NVIDIA_SMI, os.X_OK):
        raise Refused(f"{NVIDIA_SMI} is not there: the unit hides it, or Windows has no NVIDIA driver.")
    asked = [NVIDIA_SMI, "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        raise Refused("nvidia-smi did not end within 20 s.") from None
    except OSError as problem:
        raise Refused(f"nvidia-smi ended with {problem.strerror}.") from None
    try:
        free, total = done.stdout.splitlines()[0].split(",")
        return int(free), int(total)
    except (IndexError, ValueError):
        said = " ".join((done.stdout + done.stderr).split()) or "it says nothing"
        raise Refused(f"nvidia-smi ended with {done.returncode}: {said}") from None


def gateway():
    """Windows' address as the distro sees it: that of the default route; None without one."""
    try:
        with open(ROUTES, encoding="ascii") as routes:
            for line in routes:
                words = line.split()
                if len(words) > 2 and words[1] == "00000000":
                    return str(ipaddress.IPv4Address(int(words[2], 16).to_bytes(4, sys.byteorder)))
    except (OSError, ValueError):
        pass
    return None


def ollama():
    """What Ollama on Windows holds, in a sentence."""
    address = gateway()
    try:
        if address is None:
            raise OSError
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://{address}:{OLLAMA_PORT}/api/ps"
        with without_proxy.open(url, timeout=OLLAMA_SECONDS) as answer:
            models = json.load(answer)["models"]
        held = [f"{model['name']} ({int(model['size_vram']) // MIB} MiB)" for model in models]
    except (OSError, ValueError, KeyError, TypeError):
        return "Ollama on Windows cannot be asked from here"
    return f"Ollama on Windows holds {', '.join(held)}" if held else "Ollama on Windows holds nothing"


def own():
    """Programs of this user in this distro that have the card open, other than us, in a sentence; what is on Windows is
    seen from here as free memory alone.
    """
    found = []
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), key=int):
        try:
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                name = comm.read().strip()
        except OSError:
            continue
        if pid != os.getpid() and DEVICE in files:
            found.append(f"{name} (process {pid})")
    return f"In this distro {', '.join(found)} has it open. " if found else ""


def look(part):
    """Refuse when less than this part of the card is free."""
    look_at_device()
    for left in reversed(range(TRIES)):
        free, total = memory()
        wanted = int(total * part)
        if free >= wanted:
            return f"{free} of {total} MiB are free, and {wanted} MiB are enough ({part:g} of the card)."
        if left:
            time.sleep(PAUSE_SECONDS)
    raise Refused(
        f"{free} of {total} MiB are free, and {wanted} MiB are wanted ({part:g} of the card). {own()}{ollama()}; other "
        "programs on Windows are not seen from here."
    )


def main():
    """Say how it is; 0 when a server can start."""
    try:
        print(f"vllm-card: {look(float(sys.argv[1]))}")
    except Refused as problem:
        print(f"vllm-card: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
