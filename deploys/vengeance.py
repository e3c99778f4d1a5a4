"""The whole box, stage by stage. Each stage is a file beside this one and runs on its own.

pyinfra inventory/home.py deploys/vengeance.py          (in the folder above this one)
"""

from pyinfra import local

# One line each: pyinfra orders what the hosts do by the lines it comes from.
local.include("deploys/preflight.py")
local.include("deploys/ollama.py")
local.include("deploys/wsl.py")
local.include("deploys/cuda.py")
local.include("deploys/vllm.py")
local.include("deploys/verify.py")
