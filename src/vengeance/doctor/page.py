"""``docs/doctor.md``: all findings, and which trap is which finding."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vengeance.doctor import traps
from vengeance.doctor.catalogue import KINDS
from vengeance.doctor.findings import Kind
from vengeance.doctor.links import LINKS

_HEAD = """\
# What the doctor finds

<!-- Written by `make docs` from src/vengeance/doctor; changes made here are overwritten. -->

`python -m vengeance doctor` looks at a box and changes nothing: no distro is started, nothing is loaded into the card,
and no shell or process stays behind. It walks along the chain from the wire to a token and says at the first broken
link what is wrong; what hangs on that link is not looked at, and what does not is. It ends with 0 when nothing is
wrong, with 1 when something is broken or cannot be reached, and with 2 when all works and something is not as declared.

```sh
python -m vengeance doctor                                   # the box of inventory/home.py
python -m vengeance doctor --inventory inventory/twin.py     # a twin
python -m vengeance doctor --json                            # for programs
```

Every finding has a name that does not change, what was seen, what mends it, and where that is documented. *broken*:
something declared does not work. *degraded*: it works, and not as declared, or not for long. *note*: nothing is wrong,
and it explains what one may wonder about. What `--json` prints is described in
[report.py](../src/vengeance/doctor/report.py).
"""
_PLACES = {
    "here": "here, in the project's folder",
    "box": "on the box, in an administrator's PowerShell",
    "distro": "in the distro, as root",
    "screen": "by hand",
}


def page() -> str:
    """Return the text of ``docs/doctor.md``."""
    return "\n".join([_HEAD, *_contents(), *_links(), *_traps()]).rstrip() + "\n"


def _contents() -> Iterator[str]:
    yield "| link | findings |"
    yield "|---|---|"
    for link in LINKS:
        names = ", ".join(f"[{kind.name}](#{kind.name})" for kind in KINDS if kind.link == link.name)
        yield f"| [{link.title}](#{_anchor(link.title)}) | {names} |"
    yield ""


def _links() -> Iterator[str]:
    for link in LINKS:
        yield f"## {link.title}"
        yield ""
        if link.needs:
            needed = " and ".join(each.title for each in LINKS if each.name in link.needs)
            yield f"Hangs on: {needed}."
            yield ""
        for kind in KINDS:
            if kind.link == link.name:
                yield from _kind(kind)


def _kind(kind: Kind) -> Iterator[str]:
    yield f"### {kind.name}"
    yield ""
    yield f"*{kind.severity}.* {kind.says}"
    yield ""
    if kind.mend == "{command}":
        yield f"Mend ({_PLACES[kind.place]}): the doctor says which, by what it has seen."
    else:
        yield f"Mend ({_PLACES[kind.place]}):"
        yield ""
        yield f"    {_example(kind.mend)}"
    yield ""
    yield f"See: {', '.join(_shown(each) for each in kind.docs)}"
    yield ""


def _example(mend: str) -> str:
    """A mend with an inventory in it, and in capitals what the doctor fills in by what it has seen."""
    return re.sub(r"\{([a-z]+)\}", lambda seen: seen[1].upper(), mend.replace("{inventory}", "inventory/home.py"))


def _shown(place: str) -> str:
    return f"<{place}>" if place.startswith("https://") else f"[{place}]({_from_docs(place)})"


def _from_docs(place: str) -> str:
    return place.removeprefix("docs/") if place.startswith("docs/") else f"../{place}"


def _anchor(title: str) -> str:
    # As code hosts make it: lower case, blanks as hyphens, other signs gone.
    return "".join("-" if sign == " " else sign for sign in title.lower() if sign.isalnum() or sign in " -")


def _traps() -> Iterator[str]:
    yield "## Traps, and how each is seen"
    yield ""
    yield "What is known to go wrong on such a box, and the finding that it is; or why it cannot be seen from outside."
    for area, rows in traps.TRAPS.items():
        yield ""
        yield f"### {area}"
        yield ""
        yield "| trap | seen as |"
        yield "|---|---|"
        for trap in rows:
            seen = ", ".join(f"[{name}](#{name})" for name in trap.findings)
            yield f"| {trap.what} | {seen or trap.unseen} |"
