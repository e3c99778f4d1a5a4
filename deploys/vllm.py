"""vLLM in a Python environment of its own, kept running by systemd."""

from pyinfra import host

from vengeance.operations import debian, settings, vllm

settings.check_host()

if "wsl" in host.groups:
    debian.packages(name="Packages that vLLM needs", packages=host.data.vllm_system_packages)

    vllm.environment(
        name="Python environment with vLLM",
        path=host.data.vllm_path,
        user=host.data.linux_user,
        python=host.data.vllm_python,
        package=host.data.vllm_package,
        pip_arguments=host.data.vllm_pip_arguments,
    )

    vllm.server(
        name="vLLM server",
        path=host.data.vllm_path,
        user=host.data.linux_user,
        flags=host.data.vllm_flags,
        version=host.data.vllm_version,
        variables=host.data.vllm_variables,
        secrets=host.data.vllm_secrets,
        running=host.data.systemd,
        start_timeout=host.data.vllm_start_timeout,
    )
