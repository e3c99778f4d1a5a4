"""vLLM in a Python environment of its own, and a systemd unit for each profile; only enabled ones are started."""

from pyinfra import host

from vengeance.operations import cuda, debian, run_lock, settings, vllm

settings.check_host()
run_lock.take()

if "wsl" in host.groups:
    for profile, fields in host.data.vllm_profiles.items():
        vllm.fits(
            name=f"The profile {profile} fits on the card",
            profile=profile,
            settings=fields,
            hf_home=host.data.vllm_hf_home,
            version=host.data.vllm_version,
            variables=host.data.vllm_variables,
            device=host.data.vllm_device,
        )

    debian.packages(name="Packages that vLLM needs", packages=host.data.vllm_system_packages)

    vllm.environment(
        name="Python environment with vLLM",
        path=host.data.vllm_path,
        user=host.data.linux_user,
        python=host.data.vllm_python,
        package=host.data.vllm_package,
        installer=host.data.vllm_installer,
        lock=host.data.vllm_lock,
        constraints=host.data.vllm_constraints,
        pip_arguments=host.data.vllm_pip_arguments,
        size_gb=host.data.vllm_size_gb,
    )

    # Before the servers that ask for it; taken away after those that asked for it do so no more.
    if host.data.vllm_api_key == "generated":
        vllm.generated_key(name="API key of the vLLM servers")

    # Of the others it is downloaded when mode batch is asked for them.
    for profile, fields in host.data.vllm_profiles.items():
        if host.data.vllm_download and (profile == host.data.vllm_profile or fields.get("enabled")):
            vllm.model(
                name=f"The model of {profile}",
                model=fields["model"],
                revision=fields.get("revision"),
                hf_home=host.data.vllm_hf_home,
                user=host.data.linux_user,
                path=host.data.vllm_path,
                token=host.data.vllm_hf_token,
            )

    for profile, fields in host.data.vllm_profiles.items():
        vllm.server(
            name=f"vLLM server {profile}",
            profile=profile,
            settings=fields,
            path=host.data.vllm_path,
            user=host.data.linux_user,
            profiles=list(host.data.vllm_profiles),
            version=host.data.vllm_version,
            variables=host.data.vllm_variables,
            api_key=host.data.vllm_api_key,
            hf_home=host.data.vllm_hf_home,
            offline=host.data.vllm_download,
            device=host.data.vllm_device,
            systemd=host.data.systemd,
            start_timeout=host.data.vllm_start_timeout,
        )

    vllm.no_other_servers(
        name="No server of another profile",
        profiles=list(host.data.vllm_profiles),
        systemd=host.data.systemd,
    )

    # Each unit is made from the same template; what one sees of the card, the others do.
    if host.data.systemd:
        cuda.visible_to(
            name="The servers see the card",
            unit=f"vllm-{host.data.vllm_profile}.service",
            path=host.data.vllm_path,
            device=host.data.vllm_device,
        )

    if host.data.vllm_api_key != "generated":
        vllm.generated_key(name="No API key that the box has made", present=False)
