"""What is made of the log of a server that does not run: the right name, the lines, and a mend with its numbers."""
# The texts are as long as they are.
# ruff: noqa: E501

from __future__ import annotations

import pytest

from vengeance.box import vllm_profiles
from vengeance.box.vllm_faults import Settings, explain

CODER = Settings(
    profile="coder",
    model="Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    port=8080,
    gpu_memory_utilization=0.92,
    path="/home/steam/vllm-env",
    user="steam",
)

CORE = "(EngineCore_DP0 pid=123) ERROR 11-21 10:00:00 [core.py:946] "
NEW_CORE = "(EngineCore pid=123) ERROR 11-21 10:00:00 [core.py:1101] "
WRAPPER = (
    "(APIServer pid=99) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
CONSERVING = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
CACHE_0_15 = (
    "ValueError: To serve at least one request with the models's max seq len (4096), (1.0 GiB KV cache is needed, which is "
    "larger than the available KV cache memory (0.14 GiB). Based on the available memory, the estimated maximum model "
    "length is 573. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine. "
    + CONSERVING
)
CACHE_0_32 = (
    "ValueError: To serve at least one request with the model's max seq len (8000000), (1.91 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.0 GiB). Based on the available memory, the estimated maximum model "
    "length is 4194304. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or "
    "decreasing `max_model_len` when initializing the engine. " + CONSERVING
)
FREE = (
    "ValueError: Free memory on device cuda:0 (20.93/23.99 GiB) on startup is less than desired GPU memory utilization "
    "(0.92, 22.07 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
)
NO_CACHE = (
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the "
    "engine. " + CONSERVING
)
SAMPLER = (
    "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try lowering "
    "`max_num_seqs` or `gpu_memory_utilization` when initializing the engine."
)
OUT = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB. GPU 0 has a total capacity of 23.99 GiB of "
    "which 0 bytes is free."
)
OFFLINE = (
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified "
    "revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass "
    "'local_files_only=False' as input."
)
COULD_NOT = "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files."
DEVICE_TYPE = (
    "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to turn on "
    "verbose logging to help debug the issue."
)
DRIVER = (
    "RuntimeError: The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver by "
    "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
GATED = (
    "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-0)\n\nCannot access gated repo for url "
    "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct/resolve/main/config.json.\nAccess to model "
    "meta-llama/Llama-3.1-8B-Instruct is restricted. You must have access to it and be authenticated to access it."
)
DERIVED = (
    "ValueError: User-specified max_model_len (131072) is greater than the derived max_model_len "
    "(max_position_embeddings=32768.0 or model_max_length=None in model's config.json). To allow overriding this maximum, "
    "set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
)
QUANTIZATION = (
    "ValueError: Quantization method specified in the model config (gptq) does not match the quantization method specified "
    "in the `quantization` argument (awq_marlin)."
)
BUSY = (
    "vllm-card: 15664 of 24564 MiB are free, and 22598 MiB are wanted (0.92 of the card). Ollama on Windows holds qwen2.5:14b "
    "(7000 MiB); other programs on Windows are not seen from here."
)
UNIT = "vllm-coder.service: "

# A text, the name of its fault, and what its mend holds.
TEXTS = [
    # the table of failures in WSL
    (
        "ValueError: bad marshal data (unknown type code)",
        "bad bytecode",
        "find /home/steam/vllm-env -name '*.pyc' -delete",
    ),
    ("ValueError: bad marshal data (invalid reference)", "bad bytecode", "-delete"),
    ("EOFError: marshal data too short", "bad bytecode", "-delete"),
    ("EOFError: EOF read where object expected", "bad bytecode", "-delete"),
    ("RuntimeError: UVA is not available", "UVA is not available", "VLLM_WSL2_ENABLE_PIN_MEMORY"),
    (
        "AssertionError: V1 CPU offloading requires uva (pin memory) support",
        "weights cannot be kept in RAM",
        "cpu-offload-gb",
    ),
    (DEVICE_TYPE, "no card", "/usr/lib/wsl/lib/nvidia-smi -L"),
    ("AssertionError: libcuda.so cannot found!", "Triton finds no libcuda.so", "TRITON_LIBCUDA_PATH"),
    ("/usr/bin/ld: cannot find -lcuda: No such file or directory", "Triton finds no libcuda.so", "/usr/lib/wsl/lib"),
    (
        "/tmp/tmpx/cuda_utils.c:6:10: fatal error: Python.h: No such file or directory",
        "Python.h is missing",
        "apt-get install python3-dev",
    ),
    (
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable or set triton.knobs.build.impl.",
        "no C compiler",
        "apt-get install gcc",
    ),
    (
        "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
        "nvcc is missing",
        "VLLM_USE_FLASHINFER_SAMPLER",
    ),
    ("/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found", "nvcc is missing", "deploys/cuda.py"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'ninja'", "ninja is missing", "PATH"),
    (
        "ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'",
        "ptxas is older than the card",
        "TRITON_PTXAS_PATH",
    ),
    (FREE, "the card is not free", "gpu_memory_utilization = 0.87 in coder"),
    (FREE, "the card is not free", "1.14 GiB are missing"),
    (NO_CACHE, "no memory left for the KV cache", "max_num_seqs = 16"),
    (CACHE_0_15, "KV cache too small", "max_model_len = 573"),
    (CACHE_0_15, "KV cache too small", "0.86 GiB are missing"),
    (CACHE_0_32, "KV cache too small", "max_model_len = 4194304"),
    ("RuntimeError: CUDA driver error: device not ready", "less VRAM than is called free", "0.84"),
    (
        "misc dxg: dxgk: dxgkio_make_resident: Ioctl failed: -12",
        "less VRAM than is called free",
        "kv-cache-memory-bytes",
    ),
    ("RuntimeError: CUDA error: cuMemAddressReserve failed", "no virtual memory of CUDA in WSL", "enable-sleep-mode"),
    (
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3384, unhandled system error",
        "NCCL",
        "tensor_parallel_size = 1",
    ),
    # the card's memory, while it is used
    (OUT, "out of VRAM", "enforce_eager = True"),
    (SAMPLER, "out of VRAM", "max_num_seqs = 16"),
    (OUT, "out of VRAM", "gpu_memory_utilization = 0.88"),
    # the driver
    (DRIVER, "driver too old", "0.15.1"),
    (
        "RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "driver too old",
        "newest Windows driver",
    ),
    (
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        "libraries of CUDA not found",
        "/usr/lib/wsl/lib",
    ),
    (
        "Failed to initialize NVML: GPU access blocked by the operating system",
        "GPU access blocked",
        "apt-get purge 'nvidia-utils-*'",
    ),
    # our own look at the card
    (BUSY, "the card is not free", "6934 MiB are missing"),
    (BUSY, "the card is not free", "gpu_memory_utilization = 0.63"),
    ("vllm-card: /dev/dxg is not there: WSL gives this distro no card.", "no card", "wsl --update"),
    (
        "vllm-card: /dev/dxg cannot be opened (Operation not permitted) by this unit and user.",
        "the unit may not use the card",
        "DeviceAllow=/dev/dxg rw",
    ),
    (
        "vllm-card: /usr/lib/wsl/lib/nvidia-smi is not there: the unit hides it, or Windows has no NVIDIA driver.",
        "NVIDIA's files are hidden",
        "systemctl cat",
    ),
    (
        "vllm-card: nvidia-smi ended with 9: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "NVIDIA's driver does not answer",
        "NVIDIA's newest Windows driver",
    ),
    (
        "vllm-card: nvidia-smi ended with 255: Failed to initialize NVML: GPU access blocked by the operating system",
        "GPU access blocked",
        "nvidia-utils",
    ),
    # the command line
    (
        "api_server.py: error: unrecognized arguments: --swap-space 4",
        "unknown flag",
        "take it out of coder",
    ),
    (UNIT + "Main process exited, code=exited, status=2/INVALIDARGUMENT", "unknown flag", "vllm_version"),
    (
        "vllm serve: error: argument --kv-cache-dtype: invalid choice: 'fp9'",
        "wrong value of a flag",
        "take it out of coder",
    ),
    (DERIVED, "longer than the model can", "max_model_len = 32768"),
    (QUANTIZATION, "another quantization", "quantization = 'gptq'"),
    (
        "ValueError: The repository x/y contains custom code which must be executed to correctly load the model. Please pass "
        "the argument `trust_remote_code=True` to allow custom code to be run.",
        "the model brings its own code",
        "trust-remote-code",
    ),
    # the unit
    (
        UNIT + "Failed to locate executable /home/steam/vllm-env/bin/vllm: No such file or directory",
        "the program is not there",
        "the Python environment /home/steam/vllm-env is not there or not whole",
    ),
    (UNIT + "Main process exited, code=exited, status=203/EXEC", "the program is not there", "deploys/vllm.py"),
    (
        UNIT
        + "Failed to set up mount namespacing: /run/systemd/unit-root/home/steam/vllm-env: No such file or directory",
        "a folder of the unit is not there",
        "/home/steam/vllm-env",
    ),
    (UNIT + "Main process exited, code=exited, status=226/NAMESPACE", "a folder of the unit is not there", "vllm-env"),
    (UNIT + "Failed to determine user credentials: No such process", "the user is not there", "linux_user"),
    (
        UNIT + "Failed to load environment files: No such file or directory",
        "the variables are not there",
        "deploys/vllm.py",
    ),
    (
        UNIT + "Failed to run 'start-pre' task: No such file or directory",
        "the variables are not there",
        "key of the box",
    ),
    (
        UNIT + "Failed at step STATE_DIRECTORY spawning /home/steam/vllm-env/bin/vllm: Permission denied",
        "the unit cannot be set up",
        "writes the unit anew",
    ),
    ("OSError: [Errno 98] Address already in use", "port taken", "ss -ltnp 'sport = :8080'"),
    ("OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8080)", "port taken", "ss -ltnp"),
    ("OSError: [Errno 99] Cannot assign requested address", "no such address", "127.0.0.1"),
    (
        "PermissionError: [Errno 13] Permission denied: '/home/steam/vllm-env/lib/python3.12/site-packages/vllm/x.py'",
        "no access",
        "chown -R steam /home/steam/vllm-env",
    ),
    (
        "OSError: [Errno 30] Read-only file system: '/home/steam/.cache/huggingface/hub/x'",
        "a folder cannot be written",
        "/var/cache/vllm",
    ),
    ("ModuleNotFoundError: No module named 'vllm'", "the installation is not whole", "deploys/vllm.py"),
    (
        "importlib.metadata.PackageNotFoundError: No package metadata was found for vllm",
        "the installation is not whole",
        "deploys/vllm.py",
    ),
    # the model
    (OFFLINE, "the model is missing", "deploys/vllm.py --data vllm_profile=coder"),
    (COULD_NOT, "the model is missing", "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ is not in the distro"),
    (GATED, "the model is gated", "vllm_hf_token"),
    (
        "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://huggingface.co/x",
        "the model is gated",
        "accept the licence",
    ),
    (
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-0)",
        "the model does not exist",
        "mend model and revision",
    ),
    ("OSError: [Errno 28] No space left on device", "the disk is full", "df -h /"),
    # the memory of the machine
    (
        "Out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:61226348kB, anon-rss:30226348kB",
        "out of RAM",
        "wslconfig",
    ),
    (UNIT + "A process of this unit has been killed by the OOM killer.", "out of RAM", "memory"),
    (UNIT + "Failed with result 'oom-kill'.", "out of RAM", "memory"),
    (UNIT + "Main process exited, code=killed, status=9/KILL", "killed", "out of memory"),
    # a unit that was hardened further
    ("LLVM ERROR: Cannot allocate executable memory", "MemoryDenyWriteExecute", "systemctl revert"),
    (
        "FileNotFoundError: [Errno 2] No such file or directory: '/proc/meminfo'",
        "ProcSubset",
        "ProcSubset=pid hides it",
    ),
    (
        "RuntimeError: [enforce fail at device.cc:90] rp != -1. socket: Address family not supported by protocol",
        "RestrictAddressFamilies",
        "AF_NETLINK",
    ),
]


@pytest.mark.parametrize(("text", "name", "mend"), TEXTS)
def test_a_text_is_named_shown_and_mended(text: str, name: str, mend: str) -> None:
    (fault, *_) = explain(f"Starting vllm-coder.service...\n{CORE}{text}\n{WRAPPER}\n", CODER)
    assert fault.name == name
    assert mend in fault.mend
    assert fault.evidence in text.splitlines() or fault.evidence.endswith("...")
    assert "root cause" not in fault.evidence


@pytest.mark.parametrize(("prefix", "text"), [(CORE, CACHE_0_15), (NEW_CORE, CACHE_0_32), (CORE, SAMPLER)])
def test_what_only_wraps_the_cause_is_not_the_answer(prefix: str, text: str) -> None:
    log = (
        f"{prefix}EngineCore failed to start.\n{prefix}Traceback (most recent call last):\n{prefix}{text}\n{WRAPPER}\n"
    )
    (fault,) = explain(log, CODER)
    assert fault.evidence == text


def test_an_error_that_nobody_knows_is_shown_instead_of_what_wraps_it() -> None:
    log = f"{CORE}Traceback (most recent call last):\n{CORE}RuntimeError: the moon is full\n{WRAPPER}\n"
    (fault,) = explain(log, CODER)
    assert (fault.name, fault.evidence) == ("an error that is not known here", "RuntimeError: the moon is full")
    assert "journalctl -u vllm-coder.service" in fault.mend


def test_of_chained_unknown_errors_the_engines_first_one_is_shown() -> None:
    log = f"{CORE}KeyError: 'layers.64'\n{CORE}RuntimeError: loading failed\n(APIServer pid=99) ValueError: no engine\n{WRAPPER}"
    assert [fault.evidence for fault in explain(log, CODER)] == ["KeyError: 'layers.64'"]


def test_a_log_without_an_error_has_no_fault() -> None:
    log = (
        "Starting vllm-coder.service - vLLM server...\n"
        "(APIServer pid=9) WARNING 11-21 10:00:00 [utils.py:1] Using 'pin_memory=False' as WSL is detected. This may slow "
        "down the performance.\n"
        "(APIServer pid=9) WARNING 11-21 10:00:00 [x.py:1] We must use the `spawn` multiprocessing start method. Overriding "
        "VLLM_WORKER_MULTIPROC_METHOD to 'spawn'. Reasons: WSL is detected and NVML is not compatible with fork\n"
        "(APIServer pid=9) INFO 11-21 10:00:00 [api_server.py:1] Application startup complete.\n"
        'INFO:     127.0.0.1:50156 - "GET /health HTTP/1.1" 200 -\n'
    )
    assert explain(log, CODER) == []


def test_what_comes_first_in_the_log_is_told_first() -> None:
    log = f"{CORE}OSError: [Errno 28] No space left on device\n{CORE}{OFFLINE}\n"
    assert [fault.name for fault in explain(log, CODER)] == ["the disk is full", "the model is missing"]


def test_how_a_process_ended_is_only_told_when_nothing_says_why() -> None:
    ended = f"{UNIT}Main process exited, code=killed, status=9/KILL\n"
    kernel = "Out of memory: Killed process 4711 (VLLM::EngineCor) total-vm:61226348kB\n"
    assert [fault.name for fault in explain(ended + kernel, CODER)] == ["out of RAM"]
    assert [fault.name for fault in explain(ended, CODER)] == ["killed"]


def test_the_same_trouble_told_twice_is_one_fault() -> None:
    assert [fault.evidence for fault in explain(f"{BUSY}\n{CORE}{FREE}\n", CODER)] == [BUSY]


def test_levers_that_are_used_already_are_not_named() -> None:
    used = Settings(profile="coder", gpu_memory_utilization=0.92, max_num_seqs=16, enforce_eager=True)
    (fault,) = explain(CORE + CACHE_0_15, used)
    assert "max_num_seqs" not in fault.mend
    assert "enforce_eager" not in fault.mend


@pytest.mark.parametrize(("part", "named"), [(0.85, "gpu_memory_utilization = 0.89"), (0.92, None)])
def test_more_of_the_card_is_named_only_where_windows_leaves_so_much(part: float, named: str | None) -> None:
    """0.86 GiB are 0.036 of 23.99; 0.956 of the card is more than Windows leaves."""
    (fault,) = explain(CORE + CACHE_0_15, Settings(profile="coder", gpu_memory_utilization=part))
    assert (named in fault.mend) if named else ("gpu_memory_utilization" not in fault.mend)


def test_without_an_estimate_the_longest_length_is_computed() -> None:
    text = CACHE_0_15.replace("Based on the available memory, the estimated maximum model length is 573. ", "")
    (fault,) = explain(CORE + text, CODER)
    # 4096 x 0.14 / 1.0, in blocks of 16
    assert "max_model_len = 560," in fault.mend


def test_the_part_that_is_computed_is_never_more_than_is_free() -> None:
    text = FREE.replace("20.93", "20.87")
    (fault,) = explain(CORE + text, CODER)
    # 0.86995
    assert "gpu_memory_utilization = 0.86 in" in fault.mend


@pytest.mark.parametrize(
    ("version", "own", "part"), [("0.15.1", None, 0.9), ("0.32.0", None, 0.92), (None, None, 0.9), ("0.15.1", 0.5, 0.5)]
)
def test_the_default_part_of_the_card_is_that_of_the_version(
    version: str | None, own: float | None, part: float
) -> None:
    profile = vllm_profiles.Profile(name="a", model="a/b", port=1, gpu_memory_utilization=own)
    assert vllm_profiles.utilisation(profile, version) == part
