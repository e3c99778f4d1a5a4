"""A model in the distro: ``--data model=... revision=... hf_home=... token_file=...``."""

from pyinfra.context import host

from vengeance.operations import vllm
from vengeance.secret import Secret

data = host.data
if "wsl" in host.groups:
    token = data.get("token_file")
    vllm.model(
        name="The model",
        model=data.model,
        revision=data.get("revision"),
        hf_home=data.hf_home,
        user=data.linux_user,
        path=data.path,
        token=None if token is None else Secret.from_file(token),
        reserve_gb=data.reserve_gb,
    )
