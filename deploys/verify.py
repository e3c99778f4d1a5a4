"""The proof that what was deployed works; changes nothing. tests/box holds the whole acceptance list."""

from pyinfra import host

from vengeance.operations import settings, vllm

settings.check_host()

if "wsl" in host.groups and host.data.systemd:
    vllm.healthy(
        name="The vLLM server answers",
        port=host.data.vllm_flags["port"],
        timeout=host.data.vllm_start_timeout,
    )
