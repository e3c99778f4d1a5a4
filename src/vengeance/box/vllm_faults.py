"""What the log of a vLLM server that does not run says, and what mends it.

The texts are those of vLLM 0.15.1 and of 0.32 and 0.33, of PyTorch, Triton, FlashInfer and huggingface_hub of their
days, of systemd 249 to 255, of Linux, and of our own look at the card before a start.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vengeance.box import vllm_profiles
from vengeance.box.vllm_profiles import Profile

_LONGEST_EVIDENCE = 500
_CARD_GIB = 24564 / 1024
"""What an RTX 4090 has; only for messages that do not say it."""
_HIGHEST_UTILISATION = 0.94
"""Windows and its desktop keep the rest: 0.95 was refused on such cards, 0.93 and 0.94 were not (cognithor#318,
club-3090#102)."""
BUSY = "the card is not free"
"""Name of the fault that others are at."""
_DEPLOY = "pyinfra inventory/home.py deploys/vllm.py"
_HOLDERS = "python -m vengeance mode show"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its name, the lines of the log that say so, and the command or setting that mends it."""

    name: str
    evidence: str
    mend: str


@dataclass(frozen=True)
class Settings:
    """What a server was started with, as far as a mend depends on it; None is what nobody knows.

    path: folder of its Python environment; user: who runs it
    """

    profile: str = "the profile"
    model: str | None = None
    port: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    path: str | None = None
    user: str | None = None

    @classmethod
    def of(
        cls, profile: Profile, version: str | None = None, path: str | None = None, user: str | None = None
    ) -> Settings:
        """Return those of a profile.

        + version: vLLM's, which decides about the default of the utilisation
        """
        return cls(
            profile=profile.name,
            model=profile.model,
            port=profile.port,
            gpu_memory_utilization=vllm_profiles.utilisation(profile, version),
            max_num_seqs=profile.max_num_seqs,
            enforce_eager=profile.enforce_eager,
            path=path,
            user=user,
        )


Mend = Callable[[re.Match[str], Settings], str]


@dataclass(frozen=True)
class _Rule:
    """weak: it says that something went wrong, and counts only where nothing says what."""

    name: str
    pattern: re.Pattern[str]
    mend: Mend
    weak: bool = False


def _rule(name: str, pattern: str, mend: str | Mend, weak: bool = False) -> _Rule:
    # Without it each rule would take the square of a line's length, and a line can hold a whole prompt.
    begun = re.compile(pattern.removeprefix(".*"))
    return _Rule(name, begun, (lambda match, settings: mend) if isinstance(mend, str) else mend, weak)


def _floor(number: float) -> float:
    """Two digits, never more than there is."""
    return math.floor(number * 100 + 1e-9) / 100


def _free_memory(match: re.Match[str], settings: Settings) -> str:
    free, total, wanted = float(match["free"]), float(match["total"]), float(match["wanted"])
    most = _floor(free / total)
    return (
        f"{wanted - free:.2f} GiB are missing. See who holds the card ({_HOLDERS}) and let it go; or "
        f"gpu_memory_utilization = {most} in {settings.profile}, the most that fits beside what is held now"
    )


def _card_busy(match: re.Match[str], settings: Settings) -> str:
    free, total, wanted = (int(match[name]) for name in ("free", "total", "wanted"))
    most = _floor(free / total)
    return (
        f"{wanted - free} MiB are missing. {_HOLDERS} names who holds the card on Windows, and python -m vengeance "
        f"mode batch has Ollama let it go; or gpu_memory_utilization = {most} in {settings.profile}, the most that "
        "fits beside what is held now"
    )


def _levers(settings: Settings) -> list[str]:
    levers = []
    if settings.max_num_seqs is None or settings.max_num_seqs > 16:
        levers.append("max_num_seqs = 16, which leaves up to 0.8 GiB more")
    if not settings.enforce_eager:
        levers.append("enforce_eager = True, which leaves 2 to 4 GB more")
    return levers


def _one_of(settings: Settings, ways: list[str]) -> str:
    return f"in vllm_profiles, {settings.profile}: " + "; or ".join(ways)


def _short_cache(match: re.Match[str], settings: Settings) -> str:
    needed, available = float(match["needed"]), float(match["available"])
    ways = []
    longest = re.search(r"estimated maximum model length is (\d+)", match.string[match.start() :].split("\n")[0])
    if longest is not None and int(longest[1]) > 0:
        ways.append(f"max_model_len = {longest[1]}, the longest that fits now")
    elif available > 0 and (asked := re.search(r"max seq len \((\d+)\)", match[0])):
        ways.append(f"max_model_len = {int(int(asked[1]) * available / needed) // 16 * 16}, the longest that fits now")
    if settings.gpu_memory_utilization is not None:
        higher = math.ceil((settings.gpu_memory_utilization + (needed - available) / _CARD_GIB) * 100) / 100
        if higher <= _HIGHEST_UTILISATION:
            ways.append(f"gpu_memory_utilization = {higher}, if so much of a card of {_CARD_GIB:.2f} GiB is free")
    return f"{needed - available:.2f} GiB are missing. " + _one_of(settings, [*ways, *_levers(settings)])


def _no_cache(match: re.Match[str], settings: Settings) -> str:
    higher = f"gpu_memory_utilization up to {_HIGHEST_UTILISATION}, as far as the card is free ({_HOLDERS})"
    smaller = f"a smaller model: python -m vengeance vram --profile {settings.profile} says what would fit"
    return _one_of(settings, [*_levers(settings), higher, smaller])


def _out_of_memory(match: re.Match[str], settings: Settings) -> str:
    ways = _levers(settings)
    if settings.gpu_memory_utilization is not None:
        ways.append(f"gpu_memory_utilization = {_floor(settings.gpu_memory_utilization - 0.04)}")
    ways.append(f"have others let the card go: {_HOLDERS} names them")
    return _one_of(settings, ways)


def _less_resident(match: re.Match[str], settings: Settings) -> str:
    lower = _floor((settings.gpu_memory_utilization or 0.92) - 0.08)
    return (
        "Windows keeps less on the card than it calls free: "
        + _one_of(settings, [f"gpu_memory_utilization = {lower}", "kv-cache-memory-bytes in its flags"])
        + ". 0.80 instead of 0.88 has mended it before (microsoft/WSL#41176)"
    )


def _port(match: re.Match[str], settings: Settings) -> str:
    port = settings.port if settings.port is not None else "PORT"
    return f"see who has it, in the distro: ss -ltnp 'sport = :{port}', and end it; or another port for it"


def _model(settings: Settings) -> str:
    return settings.model or "the model"


def _download(match: re.Match[str], settings: Settings) -> str:
    return (
        f"{_model(settings)} is not in the distro, or not whole, and a server downloads nothing. Download it: "
        f"{_DEPLOY} --data vllm_profile={settings.profile}, which goes on where it was cut"
    )


def _token(match: re.Match[str], settings: Settings) -> str:
    return (
        f"accept the licence of {_model(settings)} on https://huggingface.co/{settings.model or ''}, and give a "
        'token of that account: vllm_hf_token = Secret.from_environment("HF_TOKEN") in group_data/wsl.py'
    )


def _no_access(match: re.Match[str], settings: Settings) -> str:
    path, user = match["path"], settings.user or "USER"
    whole = settings.path if settings.path and path.startswith(settings.path) else path
    return f"{path} is not {user}'s. In the distro, as root: chown -R {user} {whole}"


def _no_executable(match: re.Match[str], settings: Settings) -> str:
    return f"the Python environment {settings.path or ''} is not there or not whole. Make it: {_DEPLOY}".replace(
        "  ", " "
    )


def _bytecode(match: re.Match[str], settings: Settings) -> str:
    return (
        f"compiled files are damaged. {_DEPLOY} finds and removes them; by hand, in the distro: "
        f"find {settings.path or 'ENVIRONMENT'} -name '*.pyc' -delete"
    )


def _unknown_flag(match: re.Match[str], settings: Settings) -> str:
    return (
        f"this version of vLLM does not take it: take it out of {settings.profile}, or set vllm_version in "
        "group_data/wsl.py to the version that is installed, so that flags are checked for it"
    )


def _derived_length(match: re.Match[str], settings: Settings) -> str:
    return _one_of(settings, [f"max_model_len = {int(float(match['most']))}, the longest that the model was made for"])


def _quantization(match: re.Match[str], settings: Settings) -> str:
    return _one_of(settings, [f"quantization = {match['model']!r}", "leave quantization out, and vLLM takes what fits"])


_WSL_LIBRARIES = (
    "/usr/lib/wsl/lib is not seen from the unit, or Windows has no NVIDIA driver. In the distro: "
    "/usr/lib/wsl/lib/nvidia-smi -L; when that works, see what hides it from the unit: systemctl cat vllm-*.service. "
    "Never install an NVIDIA driver in the distro"
)
_NO_CARD = (
    "in the distro, as root: ls -l /dev/dxg && /usr/lib/wsl/lib/nvidia-smi -L. When that fails: wsl --update and "
    "wsl --shutdown on Windows, and NVIDIA's newest Windows driver; pyinfra inventory/home.py deploys/cuda.py names "
    "the link that is broken. Never install an NVIDIA driver in the distro"
)
_OVERRIDDEN = (
    "take it out of what overrides the unit: systemctl cat vllm-*.service shows it, systemctl revert removes it"
)

# The order does not matter: what is first in the log is told first.
_RULES = (
    # --- the card ---
    _rule(
        BUSY,
        r"vllm-card: (?P<free>\d+) of (?P<total>\d+) MiB are free, and (?P<wanted>\d+) MiB are wanted.*",
        _card_busy,
    ),
    _rule("no card", r"vllm-card: .* is not there: WSL gives this distro no card.*", _NO_CARD),
    _rule(
        "the unit may not use the card",
        r"vllm-card: .* cannot be opened \(.*",
        "the unit needs DeviceAllow=/dev/dxg rw, and no PrivateDevices=yes: " + _OVERRIDDEN,
    ),
    _rule("NVIDIA's files are hidden", r"vllm-card: \S*nvidia-smi is not there.*", _WSL_LIBRARIES),
    _rule(
        "GPU access blocked",
        r".*GPU access blocked by the operating system.*",
        "a Linux driver's package hides the one of WSL. In the distro: apt-get purge 'nvidia-utils-*' 'libnvidia-*', "
        "then wsl --shutdown on Windows, which a new Windows driver needs too",
    ),
    _rule("NVIDIA's driver does not answer", r"vllm-card: nvidia-smi (?:ended with|did not end).*", _NO_CARD),
    _rule("no card", r".*Failed to infer device type.*", _NO_CARD),
    _rule(
        "driver too old",
        r".*(?:The NVIDIA driver on your system is too old"
        r"|CUDA driver version is insufficient for CUDA runtime version).*",
        "install NVIDIA's newest Windows driver (CUDA 12: 528 and newer, CUDA 13, of vLLM 0.32: 580 and newer), then "
        "wsl --shutdown; or take a vLLM that was made for the older CUDA, such as 0.15.1",
    ),
    _rule(
        "libraries of CUDA not found",
        r".*(?:libcuda\.so\.1|libnvidia-ml\.so\.1): cannot open shared object file.*",
        _WSL_LIBRARIES,
    ),
    _rule(
        "Triton finds no libcuda.so",
        r".*(?:libcuda\.so cannot found|cannot find -lcuda).*",
        'vllm_variables = {..., "TRITON_LIBCUDA_PATH": "/usr/lib/wsl/lib"} in group_data/wsl.py',
    ),
    # --- its memory ---
    _rule(
        BUSY,
        r".*Free memory on device \S+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than desired GPU "
        r"memory utilization \((?P<part>[\d.]+), (?P<wanted>[\d.]+) GiB\).*",
        _free_memory,
    ),
    _rule("no memory left for the KV cache", r".*No available memory for the cache blocks.*", _no_cache),
    _rule(
        "KV cache too small",
        r".*max seq len \(\d+\), \((?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the available KV "
        r"cache memory \((?P<available>-?[\d.]+) GiB\).*",
        _short_cache,
    ),
    _rule(
        "out of VRAM",
        r".*(?:CUDA out of memory|OutOfMemoryError|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY).*",
        _out_of_memory,
    ),
    _rule(
        "less VRAM than is called free",
        r".*(?:CUDA driver error: device not ready|dxgkio_make_resident: Ioctl failed: -12).*",
        _less_resident,
    ),
    _rule(
        "no virtual memory of CUDA in WSL",
        r".*cuMemAddressReserve.*",
        "sleep mode does not work in WSL: take enable-sleep-mode out of the profile's flags",
    ),
    _rule(
        "NCCL",
        r".*(?:NCCL error|ncclSystemError|ncclUnhandledCudaError|ncclInternalError).*",
        "several cards do not work together in WSL (vllm#4411): tensor_parallel_size = 1, pipeline_parallel_size = 1",
    ),
    _rule(
        "UVA is not available",
        r".*UVA is not available.*",
        'vllm_variables = {..., "VLLM_WSL2_ENABLE_PIN_MEMORY": "1"} or {..., "VLLM_USE_V2_MODEL_RUNNER": "0"} in '
        "group_data/wsl.py; or another vLLM: 0.15.1, or 0.30.0 and newer",
    ),
    _rule(
        "weights cannot be kept in RAM",
        r".*V1 CPU offloading requires uva.*",
        "take cpu-offload-gb out of the profile's flags: it needs pinned memory, which WSL does not give",
    ),
    # --- compilers ---
    _rule(
        "Python.h is missing",
        r".*fatal error: Python\.h: No such file or directory.*",
        f"apt-get install python3-dev in the distro: it is in vllm_system_packages, and {_DEPLOY} installs those",
    ),
    _rule(
        "no C compiler",
        r".*Failed to find C compiler.*",
        f"apt-get install gcc in the distro: it is in vllm_system_packages, and {_DEPLOY} installs those",
    ),
    _rule(
        "nvcc is missing",
        r".*(?:Could not find nvcc and default cuda_home|nvcc: not found|No such file or directory: '[^']*nvcc').*",
        'vllm_variables = {..., "VLLM_USE_FLASHINFER_SAMPLER": "0"} in group_data/wsl.py; or the toolkit: pyinfra '
        "inventory/home.py deploys/cuda.py",
    ),
    _rule(
        "ninja is missing",
        r".*No such file or directory: 'ninja'.*",
        f"the unit's PATH begins with the environment's bin, where ninja lies. Put both right: {_DEPLOY}",
    ),
    _rule(
        "ptxas is older than the card",
        r".*ptxas fatal\s*: Value 'sm_\w+' is not defined.*",
        "a newer one of CUDA's toolkit: cuda_toolkit_version in group_data/wsl.py, and vllm_variables = {..., "
        '"TRITON_PTXAS_PATH": "/usr/local/cuda/bin/ptxas"}',
    ),
    # --- what is installed ---
    _rule(
        "bad bytecode",
        r".*(?:bad marshal data|marshal data too short|EOF read where object expected).*",
        _bytecode,
    ),
    _rule(
        "the installation is not whole",
        r".*(?:No module named '|No package metadata was found for|undefined symbol: |cannot import name ').*",
        _no_executable,
    ),
    _rule(
        "the program is not there",
        r".*(?:Failed to locate executable|Failed to execute (?:command|\S+:)|status=203/EXEC).*",
        _no_executable,
    ),
    _rule(
        "a folder of the unit is not there",
        r".*(?:Failed to set up mount namespacing|status=226/NAMESPACE).*",
        _no_executable,
    ),
    _rule(
        "the user is not there",
        r".*(?:Failed to determine user credentials|status=217/USER).*",
        "linux_user in group_data is no user of the distro: pyinfra inventory/home.py deploys/wsl.py makes it",
    ),
    _rule(
        "the unit cannot be set up",
        r".*Failed at step (?!EXEC|NAMESPACE|USER)\w+ spawning .*",
        f"a folder, a limit or a right that the unit asks for is not to be had. {_DEPLOY} writes the unit anew",
        weak=True,
    ),
    _rule(
        "the variables are not there",
        r".*(?:Failed to load environment files|Failed to run 'start(?:-pre)?' task: No such file).*",
        f"{_DEPLOY} writes them, and the key of the box",
    ),
    _rule(
        "no access",
        r".*PermissionError: \[Errno 13\] Permission denied: '(?P<path>[^']+)'.*",
        _no_access,
    ),
    _rule(
        "a folder cannot be written",
        r".*OSError: \[Errno 30\] Read-only file system: '(?P<path>[^']+)'.*",
        "the unit writes below /var/cache/vllm, /var/lib/vllm and /tmp alone: have the variable that names this folder "
        "name one of them",
    ),
    # --- the command line ---
    _rule("unknown flag", r".*error: unrecognized arguments: .*", _unknown_flag),
    _rule("wrong value of a flag", r".*error: argument \S+.*", _unknown_flag),
    _rule(
        "longer than the model can",
        r".*User-specified max_model_len \(\d+\) is greater than the derived max_model_len \([^=]*=(?P<most>[\d.]+).*",
        _derived_length,
    ),
    _rule(
        "another quantization",
        r".*Quantization method specified in the model config \((?P<model>[^)]*)\) does not match the quantization "
        r"method specified in the `quantization` argument.*",
        _quantization,
    ),
    _rule(
        "the model brings its own code",
        r".*trust_remote_code=True.*",
        'flags = {"trust-remote-code": True} in the profile, if you trust that code: it runs as the server',
    ),
    # --- the model ---
    _rule(
        "the model is gated",
        r".*(?:GatedRepoError|Cannot access gated repo|Access to model .* is restricted|(?:401|403) Client Error).*",
        _token,
    ),
    _rule(
        "the model does not exist",
        r".*(?:RepositoryNotFoundError|RevisionNotFoundError|is not a valid model identifier|404 Client Error).*",
        lambda match, settings: (
            f"{_model(settings)} or its revision is not on https://huggingface.co, or is private: mend model and "
            f"revision of {settings.profile}, or give vllm_hf_token"
        ),
    ),
    _rule(
        "the model is missing",
        r".*(?:LocalEntryNotFoundError|[Ww]e couldn't connect to '?https?://|outgoing traffic has been disabled"
        r"|OfflineModeIsEnabled|Cannot find an appropriate cached snapshot|does not appear to have a file named"
        r"|Invalid repository ID or local directory specified|Cannot find any model weights with).*",
        _download,
    ),
    _rule(
        "the disk is full",
        r".*(?:\[Errno 28\]|No space left on device).*",
        "df -h / in the distro shows what is left, du -sh of vllm_hf_home what models take. Remove models that are not "
        "used; the disk of the distro takes room of the Windows drive that it lies on, so look there too",
    ),
    # --- the port ---
    _rule("port taken", r".*(?:\[Errno 98\]|Address already in use).*", _port),
    _rule(
        "no such address",
        r".*\[Errno 99\].*",
        "host of the profile is no address of the distro: 127.0.0.1, or 0.0.0.0 for all it has",
    ),
    # --- the memory of the machine ---
    _rule(
        "out of RAM",
        r".*(?:Out of memory: Killed process|killed by the OOM killer|Failed with result 'oom-kill').*",
        "give the machine of WSL more: wslconfig['wsl2']['memory'] and ['swap'] in group_data/windows.py; weights go "
        "through RAM on their way to the card",
    ),
    # --- a unit that somebody has overridden ---
    _rule(
        "MemoryDenyWriteExecute",
        r".*[Cc]annot allocate executable memory.*",
        "vLLM compiles while it runs, and MemoryDenyWriteExecute= forbids that: " + _OVERRIDDEN,
    ),
    _rule(
        "ProcSubset",
        r".*No such file or directory: '/proc/meminfo'.*",
        "vLLM reads /proc/meminfo, and ProcSubset=pid hides it: " + _OVERRIDDEN,
    ),
    _rule(
        "RestrictAddressFamilies",
        r".*Address family not supported by protocol.*",
        "vLLM's parts find each other by AF_NETLINK, which RestrictAddressFamilies= must allow: " + _OVERRIDDEN,
    ),
    _rule(
        "too slow",
        r".*(?:VLLM_ENGINE_READY_TIMEOUT_S|Timed out waiting for engine).*",
        "raise vllm_start_timeout in group_data/wsl.py, and have the model on the distro's own disk, not below /mnt",
    ),
    # --- what only says that something is wrong ---
    _rule(
        "killed",
        r".*Main process exited, code=killed, status=9/KILL.*",
        "somebody or the kernel has killed it: dmesg | grep -i 'out of memory' in the distro tells whether RAM was "
        "short",
        weak=True,
    ),
    _rule("unknown flag", r".*Main process exited, code=exited, status=2/.*", _unknown_flag, weak=True),
)

NAMES: tuple[str, ...] = tuple(dict.fromkeys(rule.name for rule in _RULES))
"""Names of all faults that are known here."""

_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\)\s*)?(?:(?:ERROR|WARNING|INFO|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\]\s*)?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::.*)?$")
# They say that there is a cause, and not which.
_WRAPPERS = re.compile(
    r"Engine core initialization failed|EngineCore encountered an issue|EngineDeadError|Engine process failed to start"
)


def explain(log: str, settings: Settings | None = None) -> list[Fault]:
    """Return the faults that a log names, what it says first before what follows; [] when it names none.

    + log: what vLLM and systemd wrote since the start
    + settings: of the server, for the numbers in the mends

    An exception that is not known here is a fault too, with the place of the whole log for its mend.
    """
    known = settings or Settings()
    found = list(_matches(log, known))
    strong = [fault for weak, _, fault in found if not weak]
    if strong:
        return _distinct(strong)
    unknown = _exception(log)
    if unknown is not None:
        unit = vllm_profiles.unit_of(settings.profile) if settings else "UNIT"
        return [
            Fault("an error that is not known here", unknown, f"all of it, in the distro: journalctl -u {unit} -n 300")
        ]
    return _distinct([fault for _, _, fault in found])


def _matches(log: str, settings: Settings) -> Iterator[tuple[bool, int, Fault]]:
    found = []
    for rule in _RULES:
        match = rule.pattern.search(log)
        if match is not None:
            begin = log.rfind("\n", 0, match.start()) + 1
            fault = Fault(rule.name, _cleaned(log[begin : match.end()]), rule.mend(match, settings))
            found.append((rule.weak, begin, fault))
    yield from sorted(found, key=lambda each: each[1])


def _distinct(faults: list[Fault]) -> list[Fault]:
    """One of each name: the same trouble is often told twice, by ourselves and by vLLM."""
    by_name: dict[str, Fault] = {}
    for fault in faults:
        by_name.setdefault(fault.name, fault)
    return list(by_name.values())


def _cleaned(line: str) -> str:
    text = _PREFIX.sub("", line.strip()).strip()
    return text if len(text) <= _LONGEST_EVIDENCE else text[:_LONGEST_EVIDENCE] + "..."


def _exception(log: str) -> str | None:
    """The first exception of the engine, or else the last of all: what wraps it comes after it, and outside of it."""
    lines = [(line, _cleaned(line)) for line in log.splitlines()]
    exceptions = [(line, text) for line, text in lines if _EXCEPTION.match(text) and not _WRAPPERS.search(text)]
    engine = [text for line, text in exceptions if "EngineCore" in line or "Worker" in line]
    if engine:
        return engine[0]
    if exceptions:
        return exceptions[-1][1]
    return None
