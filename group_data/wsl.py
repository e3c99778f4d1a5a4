"""Settings of the distro in WSL, for the hosts in the group `wsl`."""

# /etc/wsl.conf, whole: section -> key -> value. It counts when the distro starts, so a change stops it once.
# https://learn.microsoft.com/windows/wsl/wsl-config#wslconf
#
# boot.systemd                  the server is a systemd unit. Default false in WSL, true in Ubuntu's image.
# user.default                  who `wsl` without -u is. Default root in a distribution that was imported.
# interop.appendWindowsPath     false keeps hundreds of slow Windows folders out of the PATH. Default true.
wsl_conf = {
    "boot": {"systemd": True},
    "user": {"default": "steam"},
    "interop": {"enabled": True, "appendWindowsPath": False},
}

# Whether the distro can run systemd. Only a twin on a machine without namespaces says False: its units are then
# verified and enabled, but not started.
systemd = True

# CUDA toolkit, as two numbers: the package is cuda-toolkit-12-4. The driver is the one of Windows and never installed
# here. vLLM brings its own CUDA libraries; the toolkit is for what compiles at run time (nvcc).
cuda_toolkit_version = "12-4"

# Whether the toolkit is installed at all. Only a twin that cannot serve NVIDIA's package source says False.
cuda_toolkit = True

# Debian packages that vLLM needs: venv to make its environment, gcc and Python.h for Triton, curl to ask for health.
vllm_system_packages = ["ca-certificates", "curl", "gcc", "python3-dev", "python3-venv"]

# Folder of vLLM's Python environment, on the distro's own disk: /mnt/c is many times slower.
vllm_path = "/home/steam/vllm-env"

# The Python it is made from. vLLM 0.15.1 takes 3.10 to 3.13; Ubuntu 24.04 has 3.12.
vllm_python = "python3"

# What pip installs. Pinned, so that a rebuild gives the same server: 0.15.1 was proved on this card.
vllm_package = "vllm==0.15.1"

# The version that vLLM's flags are checked for.
vllm_version = "0.15.1"

# Further arguments of pip, such as ["--index-url", "https://..."]. No secrets: they stand in the process list.
vllm_pip_arguments: list[str] = []

# The server's flags, without dashes. Checked against the flags of vllm_version.
#
# model                     downloaded at the first start (18 GB) into the user's ~/.cache/huggingface
# quantization              awq_marlin: the fast kernel; plain awq takes the slow one
# host                      0.0.0.0: Windows forwards its own localhost to it
# gpu-memory-utilization    part of the card (0 to 1). With 0.92 of 24 GB Windows may hold 1.9 GB at most
# max-model-len             tokens of prompt and answer together. 2048 need 0.5 GB of VRAM; 4096 did not fit at 0.85
# enforce-eager             no CUDA graphs: saves 2 to 4 GB of VRAM, without which the 32B model does not fit
vllm_flags = {
    "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    "quantization": "awq_marlin",
    "host": "0.0.0.0",  # noqa: S104
    "port": 8080,
    "gpu-memory-utilization": 0.92,
    "max-model-len": 2048,
    "enforce-eager": True,
}

# Environment variables of the server.
#
# VLLM_NO_USAGE_STATS               1: nothing is reported to the vLLM project
#
# From vLLM 0.22 on, WSL needs VLLM_WSL2_ENABLE_PIN_MEMORY=1 too, or the start ends with "UVA is not available".
vllm_variables = {
    "VLLM_NO_USAGE_STATS": "1",
}

# Secret environment variables of the server, each a vengeance.secret.Secret; the file they land in is root's, mode 600.
#
# HF_TOKEN                  Hugging Face token, for models that ask for one
# VLLM_API_KEY              the key that clients must send; without it everybody on the tailnet can ask
#
# from vengeance.secret import Secret
# vllm_secrets = {"HF_TOKEN": Secret.from_environment("HF_TOKEN")}
vllm_secrets: dict[str, object] = {}

# Seconds until a started server must answer /health. The first start downloads the model: an hour for 18 GB.
vllm_start_timeout = 3600
