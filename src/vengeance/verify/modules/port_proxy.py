"""What Windows forwards from one of its addresses to another, as ``netsh interface portproxy`` writes it down."""

from __future__ import annotations

from testinfra.modules.base import Module

from vengeance.verify.modules.registry import Registry

ENTRIES = r"HKLM\SYSTEM\CurrentControlSet\Services\PortProxy\v4tov4\tcp"


class PortProxy(Module):  # type: ignore[misc]
    """What is forwarded from a port: ``host.port_proxy(8080).targets``."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def targets(self) -> dict[str, str]:
        """Address that is listened on -> ``address:port`` that it leads to."""
        values = Registry.get_module(self._host)(ENTRIES).values
        places = {name.partition("/")[::2]: value.data for name, value in values.items()}
        return {
            address: str(target).replace("/", ":")
            for (address, port), target in places.items()
            if port == str(self.port)
        }

    @property
    def exists(self) -> bool:
        """Whether anything is forwarded from it."""
        return bool(self.targets)

    def __repr__(self) -> str:
        return f"<port_proxy {self.port}>"
