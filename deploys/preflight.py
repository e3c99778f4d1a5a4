"""Reads only, and stops with all that is in the way and what mends each, before anything is changed.

What the stages after it mend by themselves is not in the way: no WSL, a feature that is off, a restart that waits.
"""

from pyinfra import host

from vengeance.operations import preflight, settings, stage

settings.check_host()

if "windows" in host.groups:
    variables = {**host.data.ollama_machine_variables, **host.data.ollama_user_variables}

    preflight.ready(
        name="The box can become what it should be",
        build=host.data.windows_build,
        gpu=host.data.gpu_name,
        driver=host.data.driver_lowest,
        machine=host.data.wslconfig,
        models_gb=sum(model.get("size_gb") or 0 for model in host.data.ollama_models),
        models_folder=variables.get("OLLAMA_MODELS"),
        distro_folders=[host.data.distro_path.format(name=each.data.wsl_distro) for each in stage.on_this_box("wsl")],
        port=host.data.ollama_port,
        expose=host.data.expose,
        tailscale_wanted=host.data.tailscale_wanted,
        envelope_kb=host.data.get("winrm_envelope_kb") or 500,
    )
