"""Programs of the twin's Windows that only look: netstat.exe, sc.exe query and qc, wevtutil.exe qe, tasklist.exe.

Modelled from their pages under https://learn.microsoft.com/windows-server/administration/windows-commands/ and
https://learn.microsoft.com/windows/win32/wes/ (the schema of an event); the texts are those of an English Windows 11.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from vengeance.twin.windows.services import Service
from vengeance.twin.windows.state import to_text

if TYPE_CHECKING:
    from vengeance.twin.windows.program import Run

_FAILED = 1
_NO_SUCH_SERVICE = 1060
_BAD_QUERY = 15001
_STARTS = {
    "auto": "2   AUTO_START",
    "delayed": "2   AUTO_START  (DELAYED)",
    "manual": "3   DEMAND_START",
    "disabled": "4   DISABLED",
}
# What the event log calls the start of Windows: the provider's event 12, "The operating system started".
_START_QUERY = r"\*\[System\[Provider\[@Name='Microsoft-Windows-Kernel-General'\]\s+and\s+\(?EventID=12\)?\]\]"


def netstat(run: Run) -> int:
    """netstat.exe -a -n -o, of TCP over IPv4; connections that run are not listed."""
    words = [word.lower().replace("/", "-", 1) for word in run.argv]
    letters = {letter for word in words if re.fullmatch("-[ano]+", word) for letter in word[1:]}
    rest = [word for word in words if not re.fullmatch("-[ano]+", word)]
    if rest not in ([], ["-p", "tcp"]) or letters != set("ano"):
        run.error("The twin's netstat models -a -n -o together, with or without -p TCP.")
        return _FAILED
    run.print("\r\nActive Connections\r\n")
    run.print(f"  {'Proto':<6} {'Local Address':<22} {'Foreign Address':<22} {'State':<15} PID")
    network = run.windows.network
    # Whom Tailscale's own network stack serves, Windows does not see.
    seen = [one for one in network.listeners if not one.intercept]
    for one in sorted(seen, key=lambda each: (each.address, each.port)):
        local = f"{one.address}:{one.port}"
        run.print(f"  {'TCP':<6} {local:<22} {'0.0.0.0:0':<22} {'LISTENING':<15} {one.pid}")
    return 0


def sc(run: Run) -> int:
    """sc.exe query NAME and qc NAME."""
    words = run.argv
    verb = words[0].lower() if words else ""
    if verb not in ("query", "qc") or len(words) != 2:
        run.error("The twin's sc models QUERY and QC with the name of one service.")
        return _FAILED
    service = run.windows.services.get(words[1])
    if service is None:
        what = "EnumQueryServicesStatus:OpenService" if verb == "query" else "OpenService"
        run.print(f"[SC] {what} FAILED {_NO_SUCH_SERVICE}:\r\n")
        run.print("The specified service does not exist as an installed service.\r\n")
        return _NO_SUCH_SERVICE
    _query(run, service) if verb == "query" else _configuration(run, service)
    return 0


def _query(run: Run, service: Service) -> None:
    run.print(f"\r\nSERVICE_NAME: {service.name} ")
    state = "4  RUNNING " if service.running else "1  STOPPED "
    for name, value in (
        ("TYPE", "20  WIN32_SHARE_PROCESS  "),
        ("STATE", state),
        ("WIN32_EXIT_CODE", "0  (0x0)"),
        ("SERVICE_EXIT_CODE", "0  (0x0)"),
        ("CHECKPOINT", "0x0"),
        ("WAIT_HINT", "0x0"),
    ):
        run.print(f"        {name:<18} : {value}")


def _configuration(run: Run, service: Service) -> None:
    run.print(f"[SC] QueryServiceConfig SUCCESS\r\n\r\nSERVICE_NAME: {service.name}")
    for name, value in (
        ("TYPE", "20  WIN32_SHARE_PROCESS "),
        ("START_TYPE", _STARTS[service.start]),
        ("ERROR_CONTROL", "1   NORMAL"),
        ("BINARY_PATH_NAME", service.command_line),
        ("LOAD_ORDER_GROUP", ""),
        ("TAG", "0"),
        ("DISPLAY_NAME", service.display_name),
        ("DEPENDENCIES", ""),
        ("SERVICE_START_NAME", service.account),
    ):
        run.print(f"        {name:<18} : {value}")


def wevtutil(run: Run) -> int:
    """wevtutil.exe qe System /q:... /c:1 /rd:true /f:xml for the event of the last start; other events there are none.

    A restart that the twin remembers is the only one in its log.
    """
    words = run.argv
    options = dict(word[1:].lower().partition(":")[::2] for word in words[2:] if not word.startswith("/q:"))
    query = next((word[3:] for word in words if word.startswith("/q:")), "")
    if [word.lower() for word in words[:2]] != ["qe", "system"] or options.get("f", "xml") != "xml":
        run.error("The twin's wevtutil models qe System /f:xml.")
        return _FAILED
    if query.count("[") != query.count("]"):
        run.error("The specified query is invalid.")
        return _BAD_QUERY
    if not re.fullmatch(_START_QUERY, query):
        return 0
    moment = to_text(run.windows.state.boot_time).removesuffix("Z") + ".5000000Z"
    run.print(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        "<Provider Name='Microsoft-Windows-Kernel-General' Guid='{a68ca8b7-004f-d7b6-a698-07e2de0f1f5d}'/>"
        "<EventID>12</EventID><Version>1</Version><Level>4</Level><Task>1</Task><Opcode>0</Opcode>"
        f"<Keywords>0x8000000000000080</Keywords><TimeCreated SystemTime='{moment}'/><EventRecordID>1</EventRecordID>"
        "<Correlation/><Execution ProcessID='4' ThreadID='8'/><Channel>System</Channel>"
        f"<Computer>{escape(run.windows.state.hostname)}</Computer><Security UserID='S-1-5-18'/></System><EventData>"
        f"<Data Name='MajorVersion'>10</Data><Data Name='StartTime'>{moment}</Data></EventData></Event>"
    )
    return 0


def tasklist(run: Run) -> int:
    """tasklist.exe, as a table or with /FO CSV, with or without /NH."""
    words = [word.lower() for word in run.argv]
    csv = ("/fo", "csv") in pairwise(words)
    left = [word for word in words if word not in ("/fo", "csv", "table", "/nh")]
    if left:
        run.error(f"ERROR: Invalid argument/option - '{left[0]}'.\r\nType \"TASKLIST /?\" for usage.")
        return _FAILED
    rows = [
        (
            process.image.rpartition("\\")[2],
            str(process.pid),
            "Console" if process.session else "Services",
            str(process.session),
            "8,192 K",
        )
        for process in list(run.windows.state.processes.values())
    ]
    heads = ("Image Name", "PID", "Session Name", "Session#", "Mem Usage")
    if csv:
        for row in rows if "/nh" in words else [heads, *rows]:
            run.print(",".join(f'"{cell}"' for cell in row))
        return 0
    if "/nh" not in words:
        run.print(f"\r\n{heads[0]:<25} {heads[1]:>8} {heads[2]:<16} {heads[3]:>11} {heads[4]:>12}")
        run.print(f"{'=' * 25} {'=' * 8} {'=' * 16} {'=' * 11} {'=' * 12}")
    for row in rows:
        run.print(f"{row[0][:25]:<25} {row[1]:>8} {row[2]:<16} {row[3]:>11} {row[4]:>12}")
    return 0
