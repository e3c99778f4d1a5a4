"""A server of vLLM in a given state: ``--data settings=... profiles=... deed=server|running|stopped``."""

from pyinfra.context import host

from vengeance.operations import vllm

data = host.data
if "wsl" in host.groups:
    common = {"profile": data.profile, "settings": data.settings, "path": data.path, "user": data.linux_user}
    if data.deed in ("server", "both"):
        if data.get("api_key") == "generated":
            vllm.generated_key(name="The key")
        vllm.server(
            name="The unit",
            profiles=["tried", "other"],
            start_timeout=data.start_timeout,
            api_key=data.get("api_key"),
            **common,
        )
    if data.deed in ("running", "both"):
        vllm.running(name="It runs", start_timeout=data.start_timeout, **common)
    if data.deed == "stopped":
        vllm.stopped(name="None runs", timeout=20)
