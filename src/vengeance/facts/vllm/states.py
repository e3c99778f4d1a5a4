"""Which vLLM servers there are in a distro, and what systemd says of each."""

from __future__ import annotations

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.box import vllm_profiles

ACTIVE_STATES = ("active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance", "refreshing")
"""ActiveState of org.freedesktop.systemd1(5). One that died and waits for its restart is "activating"."""

# Those of a profile have a "-" in their names; vllm.service is the one of an older deploy, or somebody's own.
_UNITS = """\
units() {
  cd /etc/systemd/system && for unit in vllm-*.service vllm.service; do
    if [ -f "$unit" ] && head -n 1 -- "$unit" | grep -q '^# Managed by vengeance:'; then echo "$unit"; fi
  done
  :
}
"""
# Where systemd does not run, nothing of it does.
_STATES = """\
units | while read -r unit; do
  [ "$unit" != vllm.service ] || continue
  state=$(systemctl show --property ActiveState --value -- "$unit" 2>/dev/null) || state=
  echo "$unit ${state:-inactive}"
done
echo end
"""


class Units(FactBase[list[str]]):
    """Returns the names of the units of vLLM that a deploy of ours has written.

    .. code:: python

        ["vllm-qwen2.5-coder-32b.service"]
    """

    def command(self) -> StringCommand:
        return StringCommand("sh -c", QuoteString(f"{_UNITS}units\n"))

    @staticmethod
    def default() -> list[str]:
        return []

    def process(self, output: list[str]) -> list[str]:
        return output


def parse_states(output: list[str]) -> dict[str, str]:
    """Read the lines ``vllm-PROFILE.service STATE``, which end with ``end``.

    Raises FactProcessError for a line of another kind, and for output that was cut.
    """
    if not output or output[-1] != "end":
        raise FactProcessError(f"The states of the servers end with {output[-1:]!r}, so something of them is missing.")
    found: dict[str, str] = {}
    for line in output[:-1]:
        unit, _, state = line.partition(" ")
        profile = vllm_profiles.profile_of(unit)
        if vllm_profiles.unit_of(profile) != unit or state not in ACTIVE_STATES:
            raise FactProcessError(f"The states of the servers have a line that nobody asked for: {line!r}.")
        found[profile] = state
    return found


class States(FactBase[dict[str, str]]):
    """Returns the profiles that have a unit of ours, and the ActiveState of each.

    .. code:: python

        {"llama-3.1-8b": "inactive", "qwen2.5-coder-32b": "active"}
    """

    def command(self) -> StringCommand:
        return StringCommand("sh -c", QuoteString(_UNITS + _STATES))

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        return parse_states(output)
