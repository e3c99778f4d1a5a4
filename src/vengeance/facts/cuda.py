"""Facts of the card in a distro of WSL, and of NVIDIA's compiler."""

from __future__ import annotations

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.box import passthrough

# dpkg's second letter is the state: n and c are what has been removed (dpkg-query(1), db:Status-Abbrev).
_READ = """\
device=$1 folder=$2 nvcc=$3
if [ -c "$device" ]; then echo 'dxg device'; elif [ -e "$device" ]; then echo 'dxg file'; fi
if [ -d "$folder" ]; then
  echo folder
  for name in libcuda.so.1 libnvidia-ml.so.1 nvidia-smi; do
    if [ -e "$folder/$name" ]; then echo "library $name"; fi
  done
fi
/sbin/ldconfig -p | while read -r name rest; do
  case $name in libcuda.so.1 | libnvidia-ml.so.1) ;; *) continue ;; esac
  case $rest in *x86-64*' => '*) path=${rest##* => } ;; *) continue ;; esac
  echo "loader $name $path"
  case $path in "$folder"/*) continue ;; esac
  owner=$(dpkg-query -S "$path" "/usr$path" 2>/dev/null | head -n 1)
  if [ -n "$owner" ]; then echo "owner $path ${owner%%:*}"; fi
done
dpkg-query -W -f '${db:Status-Abbrev}|${Package}\\n' 'cuda*' 'nvidia*' 'libcuda*' 'libnvidia*' 2>/dev/null |
  sed -n 's/^.[^nc].*|/package /p'
if [ -x "$folder/nvidia-smi" ]; then
  said=$(timeout 20 "$folder/nvidia-smi" --query-gpu=name,driver_version,memory.total,memory.used \\
    --format=csv,noheader,nounits 2>&1 </dev/null)
  echo "smi $?"
  printf '%s\\n' "$said" | sed 's/^/said /'
fi
if [ -x "$nvcc" ]; then echo "nvcc $(readlink -f "$nvcc")"; fi
echo end
"""


class Passthrough(FactBase["passthrough.Passthrough | None"]):
    """Returns what of Windows' card is to be seen in a distro; None for a distro that is not there yet.

    ``dxg`` is ``device``, ``file`` or None; ``loader`` is what the loader's cache has of the driver's libraries, in its
    order; ``smi`` is the exit code of nvidia-smi, which gets 20 seconds.

    .. code:: python

        {
            "dxg": "device",
            "libraries": ["libcuda.so.1", "libnvidia-ml.so.1", "nvidia-smi"],
            "loader": {"libcuda.so.1": ["/usr/lib/wsl/lib/libcuda.so.1"]},
            "owners": {},
            "packages": ["cuda-keyring", "cuda-toolkit-12-4"],
            "smi": 0,
            "said": ["NVIDIA GeForce RTX 4090, 591.86, 24564, 1893"],
            "cards": [
                {
                    "name": "NVIDIA GeForce RTX 4090",
                    "driver_version": "591.86",
                    "memory_mib": 24564,
                    "memory_used_mib": 1893,
                }
            ],
            "nvcc": "/usr/local/cuda-12.4/bin/nvcc",
        }
    """

    def command(self) -> StringCommand:
        places = (passthrough.DEVICE, passthrough.FOLDER, passthrough.NVCC)
        return StringCommand("sh -c", *(QuoteString(text) for text in (_READ, "sh", *places)))

    def process(self, output: list[str]) -> passthrough.Passthrough:
        try:
            return passthrough.parse(output)
        except ValueError as error:
            raise FactProcessError(str(error)) from error


class Nvcc(FactBase["str | None"]):
    """Returns where /usr/local/cuda/bin/nvcc really lies, None where it is not there or cannot be started.

    .. code:: python

        "/usr/local/cuda-12.4/bin/nvcc"
    """

    def command(self) -> StringCommand:
        nvcc = QuoteString(passthrough.NVCC)
        return StringCommand("if", nvcc, "--version >/dev/null 2>&1; then readlink -f", nvcc, "; fi")

    def process(self, output: list[str]) -> str | None:
        return output[0] if output else None
