"""The whole box, stage by stage. Each stage is a file beside this one and runs on its own.

pyinfra inventory/home.py deploys/vengeance.py          (in the folder above this one)
"""

from pyinfra import local

from vengeance.operations import settings, stage

settings.check_folder()

# Each call stands on a line of its own: pyinfra orders what the hosts do by the lines it comes from.
stage.begins(name="Stage: preflight")
local.include("deploys/preflight.py")

stage.begins(name="Stage: ollama")
local.include("deploys/ollama.py")

stage.begins(name="Stage: wsl")
local.include("deploys/wsl.py")

stage.begins(name="Stage: cuda")
local.include("deploys/cuda.py")

stage.begins(name="Stage: vllm")
local.include("deploys/vllm.py")

stage.begins(name="Stage: verify")
local.include("deploys/verify.py")
