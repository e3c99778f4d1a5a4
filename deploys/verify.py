"""The proof that what was deployed works; changes nothing. tests/box holds the whole acceptance list."""

from pyinfra import host

from vengeance.operations import reach, settings, stage, vllm

settings.check_host()

if "wsl" in host.groups and host.data.systemd:
    for profile, fields in host.data.vllm_profiles.items():
        vllm.healthy(
            name=f"The vLLM server {profile} answers if it runs",
            port=fields["port"],
            profile=profile,
            running=fields.get("enabled", False),
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

    distros = stage.on_this_box("wsl")
    enabled = settings.ports_at_boot(each.data.dict() for each in distros)

    for port, what in host.data.exposed_ports.items():
        if host.data.expose != "none" and port in enabled:
            reach.answers(
                name=f"{what} answers this machine",
                port=port,
                path="/health",
                address_of_box=host.data.box_address,
            )

    for distro in distros:
        if host.data.expose != "none":
            reach.completes(
                name="A completion of vLLM, fetched from this machine",
                distro=distro.name,
                profiles=distro.data.vllm_profiles,
                exposed=list(host.data.exposed_ports),
                api_key=distro.data.vllm_api_key,
                address_of_box=host.data.box_address,
            )
