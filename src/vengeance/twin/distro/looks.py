"""What makes a distro look like one under WSL 2 with an NVIDIA card, as files of the twin.

Microsoft's WSL puts NVIDIA's user-mode files into ``/usr/lib/wsl/lib``, read-only, and names that folder in
``/etc/ld.so.conf.d/ld.wsl.conf``; ``/dev/dxg`` is the paravirtualised card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vengeance.box.pins import pinned
from vengeance.twin.distro.shared_object import shared_object

KERNEL_RELEASE = "6.6.87.2-microsoft-standard-WSL2"
KERNEL_VERSION = (
    f"Linux version {KERNEL_RELEASE} (root@439a258ad544) (gcc (GCC) 11.2.0, GNU ld (GNU Binutils) 2.37) "
    "#1 SMP PREEMPT_DYNAMIC Thu Jun  5 18:30:46 UTC 2025"
)
WSL_LIBRARIES = "/usr/lib/wsl/lib"
# Of what WSL puts there, those that programs look for by name; file -> the name inside. They define nothing.
DRIVER_LIBRARIES = {
    "libcuda.so": "libcuda.so.1",
    "libcuda.so.1": "libcuda.so.1",
    "libcuda.so.1.1": "libcuda.so.1",
    "libdxcore.so": "libdxcore.so",
    "libnvidia-ml.so.1": "libnvidia-ml.so.1",
}
WHEELS = "/opt/vengeance-twin/wheels"
MODELS = "/opt/vengeance-twin/models"
# /dev/dxg is a misc device; its minor number is given out at run time, 125 on WSL's kernels.
DXG_DEVICE = (10, 125)


@dataclass(frozen=True)
class Gpu:
    """The card as nvidia-smi shows it. Memory in MiB, temperature in degrees Celsius, power in watts."""

    name: str = "NVIDIA GeForce RTX 4090"
    driver: str = pinned("driver")
    cuda: str = "13.1"
    memory_total: int = 24564
    memory_used: int = 1024
    utilisation: int = 0
    temperature: int = 38
    power_draw: float = 21.5
    power_limit: float = 450.0
    uuid: str = "GPU-7c1e4090-0000-4b1d-8e57-76656e676561"


@dataclass(frozen=True)
class Machine:
    """WSL's virtual machine: bytes of memory and of swap, number of processors."""

    memory: int
    swap: int
    processors: int


# In the folder of NVIDIA's files, which every distro sees: where the twin's card answers, and how nvidia-smi sees it.
CARD_SOCKET = ".card"
_CARD = "gpu.conf"
# Below that folder; /proc has these names bound over its own.
MACHINE_FILES = ".machine"
MACHINE_NAMES = ("meminfo", "cpuinfo", "swaps")
# What Linux keeps of the memory for itself before it counts the rest, per thousand.
_KEPT = 16


_SMI = r"""#!/bin/sh
# The twin's model of NVIDIA's nvidia-smi. It answers from gpu.conf beside it; there is no card.
if [ ! -r "${0%/*}/gpu.conf" ]; then
  echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
  exit 9
fi
. "${0%/*}/gpu.conf"
free=$((memory_total - memory_used))

value() { # FIELD -> value and unit
  case $1 in
    index) v=0 u= ;;
    count) v=1 u= ;;
    timestamp) v=$(date '+%Y/%m/%d %H:%M:%S.000') u= ;;
    name | gpu_name) v=$name u= ;;
    uuid | gpu_uuid) v=$uuid u= ;;
    driver_version) v=$driver u= ;;
    pci.bus_id | gpu_bus_id) v=00000000:01:00.0 u= ;;
    compute_cap) v=8.9 u= ;;
    pstate) v=P8 u= ;;
    memory.total) v=$memory_total u=MiB ;;
    memory.used) v=$memory_used u=MiB ;;
    memory.free) v=$free u=MiB ;;
    utilization.gpu) v=$utilisation u=% ;;
    utilization.memory) v=0 u=% ;;
    temperature.gpu) v=$temperature u= ;;
    power.draw) v=$power_draw u=W ;;
    power.limit) v=$power_limit u=W ;;
    *) return 1 ;;
  esac
}

query() { # FIELDS FORMAT
  case ,$2, in *,csv,*) ;; *) echo 'Error: --format=csv is required'; return 2 ;; esac
  heading= row= gap=
  fields=$1,
  while [ -n "$fields" ]; do
    field=${fields%%,*} fields=${fields#*,}
    field=$(printf %s "$field" | tr -d ' ')
    if ! value "$field"; then
      printf 'Field "%s" is not a valid field to query.\n\n' "$field"
      return 2
    fi
    case ,$2, in
      *,nounits,*) row="$row$gap$v" ;;
      *) row="$row$gap$v${u:+ $u}" ;;
    esac
    heading="$heading$gap$field${u:+ [$u]}" gap=', '
  done
  case ,$2, in *,noheader,*) ;; *) printf '%s\n' "$heading" ;; esac
  printf '%s\n' "$row"
}

table() {
  line='+-----------------------------------------------------------------------------------------+'
  date '+%a %b %e %H:%M:%S %Y       '
  echo "$line"
  printf '| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-9s |\n' "$driver" "$driver" "$cuda"
  echo '|-----------------------------------------+------------------------+----------------------+'
  echo '| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |'
  echo '| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |'
  echo '|                                         |                        |               MIG M. |'
  echo '|=========================================+========================+======================|'
  printf '|   0  %-25s      On  |   00000000:01:00.0  On |                  Off |\n' "$name"
  printf '|  0%%  %3sC    P8             %3.0fW /  %3.0fW | %7sMiB /  %6sMiB |    %3s%%      Default |\n' \
    "$temperature" "$power_draw" "$power_limit" "$memory_used" "$memory_total" "$utilisation"
  echo '|                                         |                        |                  N/A |'
  echo '+-----------------------------------------+------------------------+----------------------+'
}

fields= format=
while [ $# -gt 0 ]; do
  case $1 in
    --query-gpu=*) fields=${1#*=} ;;
    --format=*) format=${1#*=} ;;
    --query-gpu | --format) [ $# -gt 1 ] || { echo "Option $1 needs a value."; exit 2; }
      case $1 in --query-gpu) fields=$2 ;; *) format=$2 ;; esac; shift ;;
    -i | --id) shift ;;
    --id=*) ;;
    -L | --list-gpus) echo "GPU 0: $name (UUID: $uuid)"; exit 0 ;;
    --version)
      printf 'NVIDIA-SMI version  : %s\nDRIVER version      : %s\n' "$driver" "$driver"
      printf 'CUDA Version        : %s\n' "$cuda"
      exit 0 ;;
    *) echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help."; echo; exit 2 ;;
  esac
  shift
done
if [ -n "$fields" ]; then query "$fields" "$format"; else table; fi
"""


def write_libraries(folder: Path, gpu: Gpu | None) -> None:
    """Fill the folder that the distro sees as /usr/lib/wsl/lib; called again when the card's state changes.

    gpu: None where Windows has no card, or no driver for it
    """
    folder.mkdir(parents=True, exist_ok=True)
    smi = folder / "nvidia-smi"
    if not smi.exists() or smi.read_text(encoding="utf-8") != _SMI:
        smi.write_text(_SMI, encoding="utf-8")
    smi.chmod(0o755)
    for file, name in DRIVER_LIBRARIES.items():
        library = folder / file
        if not library.exists():
            library.write_bytes(shared_object(name))
    if gpu is None:
        (folder / _CARD).unlink(missing_ok=True)
        return
    lines = [f"{name}='{value}'" for name, value in vars(gpu).items()]
    fresh = folder / f".{_CARD}.new"
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(folder / _CARD)


def write_machine(folder: Path, machine: Machine, cpuinfo: str) -> None:
    """Write what /proc of the distros shows of the virtual machine, into ``folder`` as ``write_libraries`` has it.

    cpuinfo: /proc/cpuinfo of this machine; its first processor stands there as often as the virtual machine has one
    """
    place = folder / MACHINE_FILES
    place.mkdir(parents=True, exist_ok=True)
    total = machine.memory // 1024 * (1000 - _KEPT) // 1000
    swap = max(0, machine.swap // 1024 - 4)
    shares = {
        "MemTotal": total,
        "MemFree": total * 88 // 100,
        "MemAvailable": total * 94 // 100,
        "Buffers": total // 500,
        "Cached": total * 6 // 100,
        "SwapCached": 0,
        "Active": total * 3 // 100,
        "Inactive": total * 4 // 100,
        "Unevictable": 0,
        "Mlocked": 0,
        "SwapTotal": swap,
        "SwapFree": swap,
        "Dirty": 0,
        "Writeback": 0,
        "AnonPages": total // 100,
        "Mapped": total // 200,
        "Shmem": total // 2000,
        "Slab": total // 200,
        "SReclaimable": total // 300,
        "SUnreclaim": total // 600,
        "CommitLimit": swap + total // 2,
        "Committed_AS": total // 50,
    }
    first = re.sub(r"(?m)^processor\s*:.*\n", "", cpuinfo.strip().split("\n\n")[0])
    texts = {
        "meminfo": "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in shares.items()),
        "cpuinfo": "".join(f"processor\t: {number}\n{first}\n\n" for number in range(machine.processors)),
        "swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        + (f"/dev/sdb                                partition\t{swap}\t\t0\t\t-2\n" if swap else ""),
    }
    for name, text in texts.items():
        fresh = place / f".{name}.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(place / name)
