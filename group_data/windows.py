"""Settings of the Windows side, for the hosts in the group `windows`.

Sizes of models are in GB (10^9 bytes, as Ollama lists them), times in seconds unless a key says otherwise. A hash is
the SHA-256 of the file, 64 hex digits; a file with another one is deleted and never run.

What is pinned() stands in src/vengeance/box/pins.toml, with its source; `python -m vengeance pins` shows it. Write a
version of your own here instead, or in the inventory, and its hash with it.
"""

from vengeance.box.pins import pinned

# --- The machine ---------------------------------------------------------------------------------------------------

# The lowest build number of Windows that will do. Default 22000, the first Windows 11.
windows_build = 22000

# Part of the name of the card that must be there, as nvidia-smi shows it. The box has an NVIDIA GeForce RTX 4090.
gpu_name = "RTX 4090"

# The lowest NVIDIA driver of Windows, as two numbers. 591.86 is what the box was proved with: it brings CUDA 13.1 to
# the distro too, where no driver is ever installed. Install newer ones from NVIDIA, by hand: it is an outage.
driver_lowest = pinned("driver")

# Optional features of Windows that must be on. VirtualMachinePlatform is all that WSL 2 needs; a change reboots once.
windows_features = ["VirtualMachinePlatform"]

# Whether the box may sleep. False switches sleep, hibernation and Fast Startup off, while the monitor may still go
# dark. Windows' default is to sleep, and a server that sleeps does not answer.
windows_sleep = False

# Folder on the box for what the deploys need there: downloads, progress and results of long work, logs. Some of it runs
# with an administrator's rights, so nobody but administrators and the account of the deploy gets into it.
work_folder = r"C:\ProgramData\vengeance"

# Proxy that the box downloads through, as in "http://proxy.lan:3128". Default None: straight.
download_proxy: str | None = None

# Seconds until Windows must be back after a reboot. 900: installing updates on the way takes its time.
reboot_timeout = 900

# How the scheduled tasks (Ollama at boot, the distro kept up) sign in when nobody is logged on:
#   "password"    Windows keeps the account's password, encrypted; proved in use. After a change of the password run the
#                 deploy again, or the tasks stop starting
#   "s4u"         nothing is kept; such a task cannot use the network as that user. Not proved for WSL on new builds
task_logon = "password"

# The password for them, a vengeance.secret.Secret. Default None: the one that the connection signs in with. Needed
# only where the connection has no password (a client certificate, Kerberos).
task_password: object = None

# --- Who may reach it ----------------------------------------------------------------------------------------------

# Who may reach Ollama's port: addresses with a prefix, or "LocalSubnet" for everybody in the home network.
# Default: the tailnet, in IPv4 and IPv6. Ollama asks nobody for a password, so be narrow here.
remote_addresses = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]

# Whether the box is to be in a tailnet. True sets Tailscale to run with nobody logged on and warns of a key that
# expires; Tailscale itself is installed and signed in by hand, so that no key of yours is kept here.
tailscale_wanted = True

# Address that others reach the box at, for the lines to try at the end of a deploy. Default None: its address in the
# tailnet, or without one the address that this machine reaches WinRM at.
box_address: str | None = None

# How servers that listen on 127.0.0.1 only (vLLM in the distro) get to the tailnet:
#   "serve"        `tailscale serve --tcp`: no forwarded address, no firewall rule, nothing that goes stale
#   "portproxy"    Windows forwards the port of the tailnet address to 127.0.0.1
#   "none"         they do not
expose = "serve"

# Which ports those are: port -> what answers there, for rules and messages. 8080 is vLLM's.
exposed_ports = {8080: "vLLM"}

# --- Ollama --------------------------------------------------------------------------------------------------------

# The version, pinned: a second run next year gives the same server. Never below 0.23.3, which was the first to check
# the signature of its own updates. The box was proved with 0.13.5.
ollama_version = pinned("ollama")

# What is installed: "setup" is OllamaSetup.exe with the tray app, "zip" is the server alone (no tray, no updates by
# itself). Both serve the same.
ollama_package = "setup"

# Where it is downloaded from. Default None: the release of ollama_version on GitHub.
ollama_url: str | None = None

# SHA-256 of that file: it belongs to ollama_version and ollama_package, and changes with them. The pinned one is that
# of the package "setup".
ollama_sha256 = pinned("ollama", "sha256")

# Organisation that must have signed it (Authenticode, O=).
ollama_signer = "Ollama Inc."

# Folder it is installed to. Default None: %LOCALAPPDATA%\Programs\Ollama of the account that signs in; with the package
# "zip", C:\Program Files\Ollama.
ollama_path: str | None = None

# When it starts: "boot" is a scheduled task that runs the server with nobody logged on, and no tray app; "logon" is
# Ollama's own way, the tray app from the Startup folder, so that after a reboot nothing answers until you log on.
ollama_autostart = "boot"

# Whether Ollama may update itself, which it does by default at a logon. False keeps to ollama_version.
ollama_auto_update = False

# Environment variables for everybody on the box, name -> value (text). Programs take them at their next start.
# With ollama_autostart = "boot" the variables below are set here too, as a server without a logon sees these alone.
#
# OLLAMA_HOST            address and port that Ollama listens on. 0.0.0.0 is every address of the box, so that other
#                        machines of the tailnet reach it. Ollama's own default is 127.0.0.1:11434. Never write
#                        http:// without a port: Ollama then takes port 80.
# OLLAMA_CONTEXT_LENGTH  tokens a model keeps in mind. Left out, a card of 24 GB gets 32768, and qwen2.5:32b with its
#                        8 GiB of cache no longer fits. 4096 was the default of 0.13.5: 19 GB and 1 GiB, 21 GB in use.
ollama_machine_variables = {
    "OLLAMA_HOST": "0.0.0.0:11434",
    "OLLAMA_CONTEXT_LENGTH": "4096",
}

# Environment variables of the Windows user that Ollama runs as, which is the one that deploys sign in as.
# A variable that stands here and above is taken from here.
#
# OLLAMA_KEEP_ALIVE      how long a model stays in VRAM after its last request: 5m, 30s, 0 (leave at once), -1 (stay).
#                        5m, Ollama's own default, gives the card back to games and ComfyUI.
ollama_user_variables = {
    "OLLAMA_KEEP_ALIVE": "5m",
}

# Port of the box that Ollama answers on, the one in OLLAMA_HOST. It is kept free for it, so that Windows' own NAT
# cannot take it at boot, and opened for remote_addresses. Ollama's default is 11434.
ollama_port = 11434

# The models that should be there. Each is {"name": "model:tag", "size_gb": GB it takes on disk, "digest": ...};
# "digest" may be left out: it pins the model, as a tag may point to something newer tomorrow (`curl
# http://localhost:11434/api/tags` on a box shows it). The sizes are compared with the free disk before anything is
# pulled: 105 GB in all. On a card of 24 GB the 72b runs partly on the processor.
ollama_models: list[dict[str, object]] = [
    {"name": "qwen2.5:72b", "size_gb": 47},  # reasoning at its best
    {"name": "deepseek-r1:32b", "size_gb": 19},  # thinking aloud
    {"name": "deepseek-coder:33b", "size_gb": 18},  # code
    {"name": "qwen2.5:32b", "size_gb": 19},  # general
    {"name": "qwen2.5:3b", "size_gb": 1.9},  # fast answers
]

# Whether models that do not stand above are deleted. Default False: what you pulled by hand stays.
ollama_models_prune = False

# Seconds that all pulls together may take. 21600, six hours, is 105 GB at 40 Mbit/s. The box pulls by itself: after a
# cut, or when the time is over, the next run joins it or goes on where it stopped.
ollama_pull_timeout = 21600

# Tokens per second that the smallest of the models above makes at least, for `python -m vengeance verify`, which calls
# a box degraded that is slower. Default 60: on a processor alone 3b makes about 15, on this card far more than 100.
ollama_lowest_tokens_per_second = 60

# --- WSL and the distro --------------------------------------------------------------------------------------------

# The version of WSL, pinned, from Microsoft's own releases and not from the Store, whose updates stop the distro.
wsl_version = pinned("wsl")

# Where its MSI is downloaded from.
wsl_url = pinned("wsl", "url")

# SHA-256 of the MSI; it changes with wsl_version.
wsl_sha256 = pinned("wsl", "sha256")

# The MSI's product code, by which Windows knows that it is installed; it changes with wsl_version.
wsl_product_code = pinned("wsl", "product_code")

# The .wslconfig of the account that signs in: section -> key -> value. It holds for the virtual machine of all
# distros, and a change stops them all once. https://learn.microsoft.com/windows/wsl/wsl-config#wslconfig
#
# general.instanceIdleTimeout  milliseconds until a distro that nobody uses stops; -1: never. Default 15000, which ends
#                              systemd's services too
# wsl2.vmIdleTimeout           the same for the virtual machine without distros. Default 60000
# wsl2.memory                  of the box's RAM. Default half of it. vLLM loads 18 GB of weights through it, and Windows
#                              with Ollama needs the rest: 24GB fits a box with 64 GB, where qwen2.5:72b takes 25 GB
# wsl2.swap                    default a quarter of memory
# wsl2.processors              default all: leave two for Windows
# wsl2.guiApplications         default true: without a desktop its graphics start and crash every 104 s
# wsl2.networkingMode          nat is the default. mirrored has defects with vLLM and with Tailscale
# wsl2.dnsTunneling            default true: names are asked for by Windows, so those of the tailnet resolve
wslconfig = {
    "general": {"instanceIdleTimeout": -1},
    "wsl2": {
        "memory": "24GB",
        "swap": "8GB",
        "processors": 8,
        "guiApplications": False,
        "networkingMode": "nat",
        "dnsTunneling": True,
        "vmIdleTimeout": -1,
    },
}

# The image that the distro is made from: Ubuntu 24.04, by file. The distro's name comes from the inventory.
distro_url = pinned("distro", "url")

# SHA-256 of the image.
distro_sha256 = pinned("distro", "sha256")

# Folder of the distro's disk; {name} is the distro. The disk grows as it is filled: 50 GB with vLLM and its model.
distro_path = r"C:\WSL\{name}"
