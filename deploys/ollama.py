"""Ollama: installed, set, started with or without a logon, proved by what really runs; then its models."""

from pyinfra import host

from vengeance.operations import ollama, run_lock, settings

settings.check_host()
run_lock.take()

if "windows" in host.groups:
    log = rf"{host.data.work_folder}\ollama\server.log"
    address = ollama.asked_at(host.data.ollama_machine_variables, host.data.ollama_user_variables)

    ollama.installed(
        name=f"Ollama {host.data.ollama_version}",
        version=host.data.ollama_version,
        sha256=host.data.ollama_sha256,
        signer=host.data.ollama_signer,
        package=host.data.ollama_package,
        url=host.data.ollama_url,
        path=host.data.ollama_path,
        downloads=rf"{host.data.work_folder}\downloads",
        proxy=host.data.download_proxy,
    )

    ollama.settings(
        name="Ollama's variables, and whether it updates itself",
        machine_variables=host.data.ollama_machine_variables,
        user_variables=host.data.ollama_user_variables,
        autostart=host.data.ollama_autostart,
        auto_update=host.data.ollama_auto_update,
    )

    ollama.autostart(
        name=f"Ollama starts at {host.data.ollama_autostart}",
        start=host.data.ollama_autostart,
        package=host.data.ollama_package,
        path=host.data.ollama_path,
        logon=host.data.task_logon,
        password=host.data.task_password,
        log=log,
    )

    ollama.restarted(
        name="Ollama runs with these variables",
        start=host.data.ollama_autostart,
        version=host.data.ollama_version,
        address=address,
        port=host.data.ollama_port,
        log=log,
    )

    ollama.models(
        name="Ollama's models",
        models=host.data.ollama_models,
        prune=host.data.ollama_models_prune,
        address=address,
        port=host.data.ollama_port,
        timeout=host.data.ollama_pull_timeout,
        start=host.data.ollama_autostart,
        log=log,
    )
