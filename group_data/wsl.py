"""Settings of the distro in WSL, for the hosts in the group `wsl`.

What is pinned() stands in src/vengeance/box/pins.toml, with its source; `python -m vengeance pins` shows it.
"""

from vengeance.box.pins import pinned

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

# CUDA toolkit, as two numbers: 12.4 is the package cuda-toolkit-12-4. The driver is the one of Windows and never
# installed here. vLLM brings its own CUDA libraries; the toolkit is for what compiles at run time (nvcc).
cuda_toolkit_version = pinned("cuda-toolkit")

# Whether the toolkit is installed at all. Only a twin that cannot serve NVIDIA's package source says False.
cuda_toolkit = True

# Debian packages that vLLM needs: venv to make its environment, gcc and Python.h for Triton, curl to ask for health.
vllm_system_packages = ["ca-certificates", "curl", "gcc", "python3.12-dev", "python3.12-venv"]

# Folder of vLLM's Python environment, on the distro's own disk: /mnt/c is many times slower.
vllm_path = "/home/steam/vllm-env"

# The Python it is made from. vLLM 0.15.1 takes 3.10 to 3.13; Ubuntu 24.04 has 3.12, and the lock is for that.
vllm_python = "python3.12"

# The version that is installed, and that the flags are checked for. Pinned, so that a rebuild gives the same server:
# 0.15.1 was proved on this card.
vllm_version = pinned("vllm")

# What is installed, as pip is told.
vllm_package = f"vllm=={vllm_version}"

# File with the version and the hashes of every package that belongs to vllm_package, relative to this folder's parent;
# nothing else is installed then. `make lock-vllm VLLM=0.16.0` makes another. None: vllm_package with whatever it asks
# for, in the newest versions that fit.
vllm_lock: str | None = f"locks/vllm-{vllm_version}-{vllm_python}.txt"

# Without a lock: file with constraints (https://pip.pypa.io/en/stable/user_guide/#constraints-files). Default None.
vllm_constraints: str | None = None

# Who installs: "pip", or "uv", which is faster, needs less room, and is itself installed by pip, in a version of ours.
vllm_installer = "pip"

# GB (10^9 bytes) of all packages as they come and as they lie there, bytecode included, measured with 0.15.1. Twice the
# first (once with uv) and the second must be free, and 1 GB more, or nothing is begun.
vllm_size_gb = {"download": 5.0, "installed": 10.8}

# Further arguments of pip and uv, as ["--index-url", "https://..."]. No secrets: they stand in the process list.
vllm_pip_arguments: list[str] = []

# --- What vLLM serves ----------------------------------------------------------------------------------------------

# The servers, by name: each is a systemd unit vllm-NAME.service, and one of them runs at a time, for there is one card.
# None of them starts by itself: Ollama has the card until `python -m vengeance mode batch` gives it to one of these.
#
# model                     OWNER/NAME on Hugging Face's hub, or the full path of a folder in the distro. Needed
# revision                  commit, tag or branch of the model. Default: its newest; a commit never changes
# quantization              awq_marlin: the fast kernel; plain awq takes the slow one. Default: as the model says
# dtype                     type of what is computed with. Default: as the model says
# max_model_len             tokens of prompt and answer together. Default: as much as the model can, too much for 24 GB
# gpu_memory_utilization    part of the card, over 0 and up to 1. With 0.92 of 24 GB Windows may hold 1.9 GB at most.
#                           Default 0.9, from vLLM 0.20 on 0.92
# enforce_eager             True: no CUDA graphs, which saves 2 to 4 GB of VRAM. Default False
# max_num_seqs              requests at once. Default 256; 16 leave about 0.8 GB more for tokens
# max_num_batched_tokens    tokens of one step. Default 2048
# tensor_parallel_size      cards that each layer is spread over; pipeline_parallel_size: that the layers are. Default 1
# host                      address it listens on in the distro; Windows forwards its own localhost to it. Default
#                           127.0.0.1. 0.0.0.0 is the distro's own network too, which Windows alone reaches
# port                      TCP port, needed
# served_model_name         what clients call the model. Default: the same as model
# flags                     further flags of `vllm serve` without dashes -> value, checked against vllm_version's
# variables                 environment variables of this server -> value
# enabled                   True: it starts with the distro, and so with Windows. Default False
#
# `python -m vengeance vram --profile NAME` says whether one fits on the card, and what would.
vllm_profiles: dict[str, dict[str, object]] = {
    # What the box was proved with: 18.14 GiB of weights, 2048 tokens, 159 tokens of an answer about prime numbers.
    # https://huggingface.co/Qwen/Qwen2.5-Coder-32B-Instruct-AWQ
    "qwen2.5-coder-32b": {
        "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
        "revision": "1ed0a6145da0ce550c628e8e8b678f51e695995d",
        "quantization": "awq_marlin",
        "host": "0.0.0.0",  # noqa: S104
        "port": 8080,
        "gpu_memory_utilization": 0.92,
        "max_model_len": 2048,
        "enforce_eager": True,
    },
    # The small one, for a first try. Its licence is accepted by hand on its page, and a token is needed.
    # 64 requests at most: the CUDA graphs of 256 may take more than Windows leaves free beside 0.85 of the card.
    # https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct
    "llama-3.1-8b": {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
        "port": 8080,
        "gpu_memory_utilization": 0.85,
        "max_model_len": 8192,
        "max_num_seqs": 64,
    },
    # Long prompts and several clients at once. 32 requests at most: 256 need more memory than is left beside it.
    # https://huggingface.co/stelterlab/Mistral-Small-24B-Instruct-2501-AWQ
    "mistral-small-24b": {
        "model": "stelterlab/Mistral-Small-24B-Instruct-2501-AWQ",
        "revision": "cbda099649a0188dd888d44f0e4964d8d982dc9a",
        "quantization": "awq_marlin",
        "port": 8080,
        "gpu_memory_utilization": 0.85,
        "max_model_len": 16384,
        "max_num_seqs": 32,
    },
}

# The one of them that mode batch starts, and whose model the deploy downloads.
vllm_profile = "qwen2.5-coder-32b"

# What the servers compute on: "cuda" is the card. "cpu" is for a vLLM that was built for it, as in a twin.
vllm_device = "cuda"

# The key that clients must send as a bearer token: a vengeance.secret.Secret; "generated" is made once on the box and
# stays there (`python -m vengeance key` shows it), so a rebuilt box has another one; None asks for none.
#
# from vengeance.secret import Secret
# vllm_api_key = Secret.from_environment("VLLM_API_KEY")
vllm_api_key: object = "generated"

# Whether the deploy downloads the model of vllm_profile (19 GB for the one above). Only a twin that cannot serve models
# says False: vLLM would fetch them at its first start, and nobody would see how far it is.
vllm_download = True

# Folder that models are kept in (HF_HOME), on the distro's own disk: /mnt/c is many times slower.
vllm_hf_home = "/home/steam/.cache/huggingface"

# Token of Hugging Face, for models whose licence is accepted by hand: a vengeance.secret.Secret. It lands in the file
# `token` of vllm_hf_home, which only linux_user can read, and goes from there when it is None again. Default None.
# https://huggingface.co/settings/tokens makes one; it needs to read, and "public gated repos" where it is fine-grained.
#
# from vengeance.secret import Secret
# vllm_hf_token = Secret.from_environment("HF_TOKEN")
vllm_hf_token: object = None

# Environment variables of every server. What vllm_version needs in WSL is added by itself (from 0.21 on it needs some:
# src/vengeance/box/vllm_variables.py); what is written here wins.
#
# VLLM_NO_USAGE_STATS               1: nothing is reported to the vLLM project
vllm_variables = {
    "VLLM_NO_USAGE_STATS": "1",
}

# Seconds until a started server must answer /health: about 50 on the box, longer when the model is not in memory. vLLM
# gives its own engine as long.
vllm_start_timeout = 900

# Tokens per second that one answer of vllm_profile's server is made with at least, for `python -m vengeance verify`,
# which calls a box degraded that is slower. Default 15: a 32B made 23 with plain awq, and 123 with awq_marlin.
vllm_lowest_tokens_per_second = 15
