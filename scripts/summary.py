"""What runs after ``make demo``, and how to look at it."""

from __future__ import annotations

import json
import os
import sys

from vengeance.box import cuda
from vengeance.box.pins import pinned
from vengeance.twin import tiny_model, vllm_cpu
from vengeance.twin.client import Twin, TwinError
from vengeance.twin.folders import DEFAULT_NAME
from vengeance.twin.windows import network

KEY = "the-twins-api-key"
PYTHON = ".venv/bin/python"
PYINFRA = ".venv/bin/pyinfra inventory/twin.py"


def in_distro(twin: Twin, *argv: str) -> str:
    """What a program in the distro prints, read past everything that this project wrote."""
    done = twin.distro_exec(argv)
    return done.stdout.decode(errors="replace").strip() or done.stderr.decode(errors="replace").strip()


def asked_from_elsewhere(twin: Twin) -> list[str]:
    """What a chat with the real vLLM says to another machine of the tailnet, as lines."""
    url = f"http://{network.TAILNET}:8080/v1/chat/completions"
    body = {"model": tiny_model.NAME, "messages": [{"role": "user", "content": "Who are you?"}]}
    words = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", url]
    words += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    done = twin.run_elsewhere("tailnet", words)
    try:
        answer = json.loads(done.stdout)
        said = str(answer["choices"][0]["message"]["content"])
        how = f"{answer['model']}, {answer['usage']['completion_tokens']} tokens"
    except (ValueError, LookupError, TypeError):
        text = (done.stdout + done.stderr).decode(errors="replace").strip()
        return [f"Another machine of the tailnet asked vLLM at {url} and got no completion: {text[:300]}"]
    return [
        "",
        f"And a chat with the real vLLM, from another machine of the tailnet ({url}):",
        "  > Who are you?",
        f"  < {said}   ({how})",
    ]


def main() -> int:
    """Print the summary."""
    twin = Twin(os.environ.get("VENGEANCE_TWIN") or DEFAULT_NAME)
    try:
        status = twin.status()
        if status["state"] != "running":
            print(f"vengeance: the twin {twin.name} does not run: make demo starts it.", file=sys.stderr)
            return 1
        winrm, distro = status["winrm"], status["distro"]
        real = vllm_cpu.choice(twin.folder, {}) == vllm_cpu.REAL
        unit = f"vllm-{tiny_model.NAME if real else 'qwen2.5-coder-32b'}"
        registry = twin.windows_state().get("registry", {})
        lines = [
            "",
            f"The twin {twin.name!r} runs. Its Windows:",
            f"  WinRM       {winrm['https']} and {winrm['http']}, user {winrm['user']}",
            f"              (the password: {PYTHON} -m vengeance.twin status --json)",
            f"  OLLAMA_*    {environment_of(registry)}",
        ]
        if distro["rung"] == "none":
            lines.append("Its distro does not run here: " + " ".join(distro["missing"]))
        else:
            lines.append(f"Its distro {distro['name']}:")
            if distro["vendor_repository"]:
                package = cuda.toolkit_package(pinned("cuda-toolkit"))
                toolkit = in_distro(twin, "dpkg-query", "-W", "-f", "${Package} ${Version}", package)
                lines.append(f"  CUDA        {toolkit}")
            if distro["systemd"]:
                kind = "a real one, on the processor" if real else "a stand-in: started by mode batch"
                lines.append(f"  vLLM        {in_distro(twin, 'systemctl', 'is-active', unit)} ({kind})")
            lines += [f"  missing     {sentence}" for sentence in distro["missing"]]
        ask = f"curl -s -H 'Authorization: Bearer {KEY}' http://127.0.0.1:8080/v1/models"
        lines += [
            "",
            f"Look at it, beside the curl lines above (vLLM's key here: export VLLM_API_KEY={KEY}):",
            f"  {PYTHON} -m vengeance.twin status",
            f"  {PYINFRA} fact vengeance.facts.windows.Environment --limit windows",
            f"  {PYINFRA} exec --limit windows -- hostname",
            f"  {PYINFRA} exec --limit wsl -- systemctl status {unit}",
            f"  {PYTHON} -m vengeance.twin exec -- {ask}",
            *handed_over(distro["systemd"]),
            "Have it looked over, from the wire to a token, and proved sentence by sentence:",
            f"  {PYTHON} -m vengeance doctor --inventory inventory/twin.py",
            f"  {PYTHON} -m vengeance verify --inventory inventory/twin.py",
            "Run it again (nothing changes), or one stage of it:",
            f"  {PYINFRA} deploys/vengeance.py --yes",
            f"  {PYINFRA} deploys/vllm.py --yes",
            "And end it, or bring it back to a new machine:",
            f"  {PYTHON} -m vengeance.twin down",
            f"  {PYTHON} -m vengeance.twin reset            (with WSL and an empty distro)",
            f"  {PYTHON} -m vengeance.twin reset --bare     (a Windows that has just been installed)",
        ]
        if real and distro["systemd"]:
            lines += asked_from_elsewhere(twin)
    except (TwinError, OSError) as error:
        print(f"vengeance: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def handed_over(systemd: bool) -> list[str]:
    """The lines about who has the card."""
    if not systemd:
        return []
    mode = f"  {PYTHON} -m vengeance mode {{}} --inventory inventory/twin.py"
    return [
        "See who has the card, hand it to vLLM, and back to Ollama:",
        mode.format("show"),
        mode.format("batch"),
        mode.format("interactive"),
    ]


def environment_of(registry: dict[str, dict[str, dict[str, str]]]) -> str:
    """The Ollama variables in the twin's registry, as text."""
    found = [
        f"{name}={value['value']} ({'machine' if key.startswith('HKLM') else 'user'})"
        for key, values in registry.items()
        for name, value in values.items()
        if key.endswith("Environment") and name.upper().startswith("OLLAMA_")
    ]
    return ", ".join(found) or "(none)"


if __name__ == "__main__":
    sys.exit(main())
