"""Takes back what the deploys did: pyinfra inventory/home.py deploys/undo.py [--dry] [--data stages=expose,vllm]

Each stage as far as it was kept what was there before (docs/undo.md), in this order: expose, vllm, cuda, wsl, ollama,
windows. What took hours to come stays, unless it is named in full:

    --data "delete=models"           the models of Ollama and of vLLM
    --data "delete=distro"           the distro with its disk, and vLLM's models in it
    --data "delete=models,distro"    both

A distro that stays keeps its user, and WSL with the feature of Windows that it runs on. WinRM stays: its undo is in
bootstrap/.
"""

from pyinfra import host

from vengeance.operations import run_lock, settings, stage, undo, windows, wsl

settings.check_host(undoes=True)
run_lock.take()

asked = undo.asked()
distros = [each.data.wsl_distro for each in stage.on_this_box("wsl")]
# With its disk all goes that was done inside.
inside = "wsl" in host.groups and not asked.deletes("distro", "wsl") and undo.is_there(host)

if "windows" in host.groups:
    undo.possible(name="All that is asked for can be taken back", asked=asked, distros=distros)

undo.begins(name="Undo: expose", of="expose", asked=asked)

if "windows" in host.groups and "expose" in asked.stages:
    undo.served_ports(name="Tailscale forwards what it did before")

    undo.forwarded_ports(name="Windows forwards what it did before")

    undo.firewall_rules(
        name="The firewall has the rules that it had",
        rules=["vengeance-ollama", *(f"vengeance-{port}" for port in host.data.exposed_ports)],
    )

undo.begins(name="Undo: vllm", of="vllm", asked=asked)

if inside and "vllm" in asked.stages:
    undo.servers(name="No vLLM server, and no key of one", systemd=host.data.systemd)

    undo.environment(name="No Python environment with vLLM", path=host.data.vllm_path, user=host.data.linux_user)

    undo.token(name="No token of Hugging Face", hf_home=host.data.vllm_hf_home)

    undo.vllm_models(
        name="vLLM's models",
        asked=asked,
        profiles=host.data.vllm_profiles,
        hf_home=host.data.vllm_hf_home,
    )

    undo.packages(name="No packages that came for vLLM", cuda=False)

undo.begins(name="Undo: cuda", of="cuda", asked=asked)

if inside and "cuda" in asked.stages:
    undo.packages(name="No CUDA toolkit, and no package source of NVIDIA's", cuda=True)

undo.begins(name="Undo: wsl", of="wsl", asked=asked)

if inside and "wsl" in asked.stages:
    undo.wsl_conf(name="Settings of the distro, as they were", users=[host.data.linux_user])

stage.begins(name="Undo: wsl, on Windows")

if "windows" in host.groups and "wsl" in asked.stages:
    for distro in distros:
        ended = windows.scheduled_task(name=f"Nothing keeps {distro} up", task=f"wsl {distro}", present=False)

        wsl.terminated(name=f"{distro} does not run", distro=distro, _if=ended.did_change)

        undo.distribution(
            name=f"The distro {distro}",
            asked=asked,
            distro=distro,
            path=host.data.distro_path.format(name=distro),
        )

    undo.wslconfig(name="Settings of WSL's virtual machine, as they were")

    undo.wsl_uninstalled(name="WSL", asked=asked, log=rf"{host.data.work_folder}\wsl-uninstall.log")

undo.begins(name="Undo: ollama", of="ollama", asked=asked)

if "windows" in host.groups and "ollama" in asked.stages:
    windows.scheduled_task(name="No task starts Ollama", task="ollama", present=False)

    windows.scheduled_task(name="No task starts Ollama's app", task="ollama app", present=False)

    models = {**host.data.ollama_machine_variables, **host.data.ollama_user_variables}.get("OLLAMA_MODELS")

    undo.ollama_models(name="Ollama's models", asked=asked, folder=models)

    undo.variables(name="Environment variables, as they were")

    undo.ollama_app(
        name="Ollama's start and updates, as they were",
        package=host.data.ollama_package,
        path=host.data.ollama_path,
    )

    undo.ollama_uninstalled(
        name="Ollama",
        package=host.data.ollama_package,
        path=host.data.ollama_path,
        folder=models,
    )

undo.begins(name="Undo: windows", of="windows", asked=asked)

if "windows" in host.groups and "windows" in asked.stages:
    undo.reserved_ports(name="No port is set aside for a server")

    undo.power(name="Windows sleeps as it did before")

    switched = undo.features(name="Features of Windows, as they were", asked=asked)

    windows.reboot(name="Restart, if Windows waits for one", needed=[switched], wait=host.data.reboot_timeout)

    for folder in dict.fromkeys((host.data.work_folder, undo.WORK_FOLDER)):
        undo.folder(name=f"No folder {folder}", path=folder, asked=asked)

    # Last: with nobody logged on it is gone from the tailnet.
    undo.tailscale(name="Tailscale stays connected as it did before", reached_at=host.data.winrm_host)
