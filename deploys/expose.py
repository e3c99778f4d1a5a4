"""Which ports of the box others reach, and how: rules of the firewall, and what is forwarded to 127.0.0.1."""

from pyinfra import host

from vengeance.operations import run_lock, settings, stage, tailscale, vllm, windows

settings.check_host()
run_lock.take()

if "windows" in host.groups:
    windows.firewall_rule(
        name="Ollama's port is open for those who may",
        rule="vengeance-ollama",
        port=host.data.ollama_port,
        remote_addresses=host.data.remote_addresses,
        listener="ollama.exe",
        remove_blocks=True,
    )

    if host.data.expose != "none":
        vllm.guarded(
            name="Whoever reaches a vLLM server needs its key",
            ports=list(host.data.exposed_ports),
            unguarded=vllm.ports_without_key(each.data.dict() for each in stage.on_this_box("wsl")),
        )

    # What was chosen before and is no longer goes first: one port cannot lead two ways.
    for port, what in host.data.exposed_ports.items():
        if host.data.expose != "serve":
            tailscale.serve(name=f"{what}: Tailscale does not forward port {port}", port=port, present=False)

        if host.data.expose != "portproxy":
            windows.port_proxy(
                name=f"{what}: Windows does not forward port {port}",
                listen_address="tailscale",
                listen_port=port,
                present=False,
            )

            windows.firewall_rule(
                name=f"{what}: no firewall rule for port {port}",
                rule=f"vengeance-{port}",
                port=port,
                present=False,
            )

        if host.data.expose == "serve":
            tailscale.serve(name=f"{what}: Tailscale forwards port {port}", port=port)

        if host.data.expose == "portproxy":
            windows.port_proxy(
                name=f"{what}: Windows forwards port {port} of the tailnet address",
                listen_address="tailscale",
                listen_port=port,
            )

            windows.firewall_rule(
                name=f"{what}: port {port} is open for those who may",
                rule=f"vengeance-{port}",
                port=port,
                remote_addresses=host.data.remote_addresses,
                listener="svchost.exe",
            )
