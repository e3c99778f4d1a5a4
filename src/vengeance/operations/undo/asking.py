"""What the run is asked to take back, and whether that can be done."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import undo as box
from vengeance.facts.before import OnWindows
from vengeance.facts.wsl import Installation
from vengeance.operations import stage
from vengeance.operations.refusal import refuse


def asked() -> box.Undo:
    """Return what the run is asked for with ``--data stages=... --data "delete=..."``.

    Raises OperationValueError, which ends the run with the right word.
    """
    try:
        return box.parse(host.data.get("stages"), host.data.get("delete"))
    except ValueError as error:
        raise OperationValueError(f"{error} Nothing is changed.") from None


@operation()
def begins(of: str, asked: box.Undo) -> Generator[PyinfraCommand, None, None]:
    """
    Wait for what the other hosts have to do before this line, and say what is taken back next.

    + of: name of a stage
    + asked: what is to be taken back

    Call it for every host, outside of any ``if``; see ``stage.begins``.

    **Example:**

    .. code:: python

        undo.begins(name="Undo: expose", of="expose", asked=asked)
    """
    for side, sentence in box.SENTENCES[of].items():
        goes = side == "wsl" and asked.deletes("distro", "wsl")
        if of in asked.stages and side in host.groups and not goes:
            host.log_styled(f"Undo of {of}: {sentence}", fg="blue")
    yield from stage.begins._inner()


@operation()
def possible(asked: box.Undo, distros: Sequence[str]) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host before anything is changed, if what is asked for would delete what a deploy has not made.

    + asked: what is to be taken back
    + distros: names of the distributions that are meant

    **Example:**

    .. code:: python

        undo.possible(name="All that is asked for can be taken back", asked=asked, distros=["Ubuntu-24.04"])
    """
    entries, found = host.get_fact(OnWindows), host.get_fact(Installation)
    if entries is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = [each["name"] for each in found["distributions"]]
    if asked.deletes("distro", "wsl"):
        foreign = [each for each in distros if each in there and not box.is_ours(entries, each)]
        if foreign:
            yield refuse(
                f"{host.name} had the distribution {foreign[0]} before the first deploy, or does not know: it is not "
                f"deleted here. Leave distro out of delete; to delete it by hand: wsl.exe --unregister {foreign[0]}"
            )
            return
    if not entries:
        host.log("nothing of Windows is kept from before the first deploy: only what bears the deploys' names goes")
    host.noop(f"{len(entries)} things of Windows are kept from before the first deploy")
