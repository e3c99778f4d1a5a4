"""Hands the card over: pyinfra inventory/home.py deploys/mode.py --data mode=batch (or interactive, or images)

interactive    no vLLM server runs, and Ollama loads a model when it is asked
batch          vLLM serves a profile (--data profile=NAME, else vllm_profile), and Ollama has no model on the card
images         neither Ollama nor vLLM has anything on the card; ComfyUI is started by hand

`python -m vengeance mode batch` is the same, and `python -m vengeance mode show` says who has the card now.
"""

from pyinfra import host

from vengeance.operations import run_lock, settings, stage, tenants, vllm

settings.check_host(asks=True)
run_lock.take()

asked = tenants.handover()
batch = asked.mode == "batch"

if "windows" in host.groups:
    tenants.nobody_else(name=f"The box can get into mode {asked.mode}", asked=asked)

if "wsl" in host.groups and batch:
    profile = host.data.vllm_profiles[asked.profile]

    tenants.servable(
        name=f"The server of {asked.profile} is installed",
        asked=asked,
        path=host.data.vllm_path,
        systemd=host.data.systemd,
    )

    vllm.fits(
        name=f"The profile {asked.profile} fits on the card",
        profile=asked.profile,
        settings=profile,
        hf_home=host.data.vllm_hf_home,
        version=host.data.vllm_version,
        variables=host.data.vllm_variables,
        device=host.data.vllm_device,
    )

if batch:
    # While Ollama has the card still: nobody waits for a download.
    stage.begins(name="Mode: the model is there")

    if "wsl" in host.groups and host.data.vllm_download:
        vllm.model(
            name=f"The model of {asked.profile}",
            model=profile["model"],
            revision=profile.get("revision"),
            hf_home=host.data.vllm_hf_home,
            user=host.data.linux_user,
            path=host.data.vllm_path,
            token=host.data.vllm_hf_token,
        )

stage.begins(name="Mode: the card changes hands")

if "windows" in host.groups and asked.mode != "interactive":
    tenants.unloaded(name="Ollama has no model on the card", asked=asked)

if "wsl" in host.groups:
    tenants.stopped(name="No other vLLM server runs", asked=asked)

stage.begins(name="Mode: the memory is back")

if "windows" in host.groups:
    # On the way to batch there is a way back, which begins where the distro's side learns of it.
    tenants.card_free(name="The card is free", asked=asked, _ignore_errors=batch)

    if asked.mode == "interactive":
        tenants.off_the_processor(name="No model stays on the processor that vLLM drove there", asked=asked)

if batch:
    stage.begins(name="Mode: vLLM starts")

    if "wsl" in host.groups:
        server = {
            "path": host.data.vllm_path,
            "user": host.data.linux_user,
            "version": host.data.vllm_version,
            "start_timeout": host.data.vllm_start_timeout,
        }

        started = vllm.running(
            name=f"The server of {asked.profile} runs",
            profile=asked.profile,
            settings=profile,
            **server,
            _if=tenants.way_is_free,
            _ignore_errors=True,
        )

        tenants.noted(name=f"Did the server of {asked.profile} come to answer", started=started, profile=asked.profile)

    stage.begins(name="Mode: vLLM has started, or not")

    if "windows" in host.groups:
        tenants.given_back(name="A server that failed to start holds nothing", asked=asked)

    stage.begins(name="Mode: the end of the way")

    if "wsl" in host.groups:
        tenants.as_before(
            name="If something failed, all is as before",
            asked=asked,
            profiles=host.data.vllm_profiles,
            **server,
        )

stage.begins(name="Mode: where the box is now")

if "windows" in host.groups:
    tenants.told(name=f"What mode {asked.mode} means", asked=asked, address=host.data.box_address)
