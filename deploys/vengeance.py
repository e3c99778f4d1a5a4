"""The whole box, stage by stage. Each stage is a file beside this one and runs on its own.

pyinfra inventory/home.py deploys/vengeance.py          (in the folder above this one)
"""

from pyinfra import host, local

from vengeance.operations import run_lock, settings, stage, summary

settings.check_host()
run_lock.take()

# Each call stands on a line of its own: pyinfra orders what the hosts do by the lines it comes from.
stage.begins(name="Stage: preflight", of="preflight")
local.include("deploys/preflight.py")

stage.begins(name="Stage: windows", of="windows")
local.include("deploys/windows.py")

stage.begins(name="Stage: ollama", of="ollama")
local.include("deploys/ollama.py")

stage.begins(name="Stage: wsl", of="wsl")
local.include("deploys/wsl.py")

stage.begins(name="Stage: cuda", of="cuda")
local.include("deploys/cuda.py")

stage.begins(name="Stage: vllm", of="vllm")
local.include("deploys/vllm.py")

stage.begins(name="Stage: expose", of="expose")
local.include("deploys/expose.py")

stage.begins(name="Stage: verify", of="verify")
local.include("deploys/verify.py")

summary.of_the_box(name="Summary", address=host.data.box_address if "windows" in host.groups else None)
