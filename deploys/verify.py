"""The proof that what was deployed works; changes nothing. tests/box holds the whole acceptance list."""

from pyinfra import host, inventory

from vengeance.operations import reach, settings, stage, vllm

settings.check_host()

if "wsl" in host.groups and host.data.systemd:
    vllm.healthy(
        name="The vLLM server answers",
        port=host.data.vllm_flags["port"],
        timeout=host.data.vllm_start_timeout,
    )

stage.begins(name="From this machine")

if "windows" in host.groups:
    reach.answers(
        name="Ollama answers this machine",
        port=host.data.ollama_port,
        path="/api/version",
        address_of_box=host.data.box_address,
    )

    distros = [each for each in inventory.get_group("wsl", default=[]) if stage.same_machine(host, each)]
    running = [each.data.vllm_flags["port"] for each in distros if each.data.systemd]

    for port, what in host.data.exposed_ports.items():
        if host.data.expose != "none" and port in running:
            reach.answers(
                name=f"{what} answers this machine",
                port=port,
                path="/health",
                address_of_box=host.data.box_address,
            )
