"""The programs of the twin's Windows, by the full path that each has there."""

from __future__ import annotations

import hashlib
import re
import threading
from datetime import datetime

from vengeance.twin.process import Start
from vengeance.twin.windows.cmd import cmd_exe
from vengeance.twin.windows.curl import curl_exe
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.looking import netstat, sc, tasklist, wevtutil
from vengeance.twin.windows.pipes import ForwardingOutput
from vengeance.twin.windows.powershell import powershell_exe
from vengeance.twin.windows.program import CMD, POWERSHELL, SYSTEM32, WSL, Program, Run, codec
from vengeance.twin.windows.registry import ENVIRONMENT, Kind, Registry, Value

FAILED = 1
# microsoft/WSL: whatever goes wrong in wsl.exe itself ends it with -1.
WSL_FAILED = 0xFFFFFFFF


def hostname(run: Run) -> int:
    """hostname.exe."""
    run.print(run.windows.state.hostname)
    return 0


def whoami(run: Run) -> int:
    """whoami.exe, plain and /user."""
    name = f"{run.windows.state.hostname}\\{run.user}".lower()
    options = [word.lower() for word in run.argv]
    if not options:
        run.print(name)
        return 0
    if options == ["/user"]:
        sid = run.windows.state.sid(run.user)
        width = len(name)
        run.print("\r\nUSER INFORMATION\r\n----------------\r\n")
        run.print(f"{'User Name':<{width}} SID\r\n{'=' * width} {'=' * len(sid)}\r\n{name} {sid}")
        return 0
    run.error(f"ERROR: Invalid argument/option - '{run.argv[0]}'.\r\nType \"WHOAMI /?\" for usage.")
    return FAILED


def chcp(run: Run) -> int:
    """chcp.com."""
    words = run.argv
    if words:
        if not words[0].isdigit() or codec(int(words[0])) is None:
            run.print("Invalid code page")
            return FAILED
        run.console.codepage = int(words[0])
    run.print(f"Active code page: {run.console.codepage}")
    return 0


def more(run: Run) -> int:
    """more.com on a pipe: what it reads, with CRLF at each line's end."""
    names = [word for word in run.argv if not word.startswith(("/", "+"))]
    for name in names:
        with run.windows.drive.open_to_read(name, run.cwd) as file:
            for line in file:
                run.stdout(line.rstrip(b"\r\n") + b"\r\n")
    if not names:
        while line := run.stdin.read_line():
            run.stdout(line.rstrip(b"\r\n") + b"\r\n")
    return 0


def sort(run: Run) -> int:
    """sort.exe on stdin or a file, with /R."""
    options = [word for word in run.argv if word.startswith("/")]
    names = [word for word in run.argv if not word.startswith("/")]
    data = run.windows.drive.read(names[0], run.cwd) if names else run.stdin.read_all()
    lines = sorted((line.rstrip(b"\r") for line in data.splitlines()), key=bytes.lower)
    if "/r" in (option.lower() for option in options):
        lines.reverse()
    run.stdout(b"".join(line + b"\r\n" for line in lines))
    return 0


def findstr(run: Run) -> int:
    """findstr.exe: literal and simple regular expressions, /I /V /N /X /B /E /R /L /C:text, files or stdin."""
    options: set[str] = set()
    patterns: list[str] = []
    names: list[str] = []
    for word in run.argv:
        if word[:3].lower() == "/c:":
            patterns.append(word[3:])
        elif re.fullmatch(r"/[a-zA-Z]+", word):
            options.update(word[1:].lower())
        elif not patterns:
            patterns = word.split(" ")
        else:
            names.append(word)
    if not patterns:
        run.error("FINDSTR: Bad command line")
        return 2
    literal = "l" in options
    alternatives = [re.escape(p) if literal else _findstr_pattern(p) for p in patterns]
    begin = "^" if options & {"b", "x"} else ""
    end = "$" if options & {"e", "x"} else ""
    codec_name = run.console.codec
    wanted = re.compile(
        "|".join(f"{begin}(?:{a}){end}" for a in alternatives).encode(codec_name, "replace"),
        re.IGNORECASE if "i" in options else 0,
    )
    found = False

    def look(number: int, raw: bytes, name: str) -> None:
        nonlocal found
        line = raw.rstrip(b"\r\n")
        if bool(wanted.search(line)) == ("v" in options):
            return
        found = True
        head = (f"{name}:" if name else "") + (f"{number}:" if "n" in options else "")
        run.stdout(head.encode(codec_name, "replace") + line + b"\r\n")

    if not names:
        number = 0
        while raw := run.stdin.read_line():
            number += 1
            look(number, raw, "")
    for name in names:
        try:
            with run.windows.drive.open_to_read(name, run.cwd) as file:
                for number, raw in enumerate(file, 1):
                    look(number, raw, name if len(names) > 1 else "")
        except Win32Error:
            run.error(f"FINDSTR: Cannot open {name}")
    return 0 if found else FAILED


def _findstr_pattern(text: str) -> str:
    # findstr knows . * ^ $ [class] \x \< \>, and nothing else is special.
    text = re.sub(r"\\[<>]", r"\\b", text)
    return re.sub(r"[+?(){}|]", lambda match: "\\" + match[0], text)


def find(run: Run) -> int:
    """find.exe: a string in quotes, /I /V /C /N, files or stdin."""
    quoted = re.search(r'"([^"]*)"', run.arguments)
    if not quoted:
        run.error("FIND: Parameter format not correct")
        return 2
    rest = run.arguments[: quoted.start()] + run.arguments[quoted.end() :]
    options = {word.lower() for word in rest.split() if word.startswith("/")}
    names = [word for word in rest.split() if not word.startswith("/")]
    data = b"".join(run.windows.drive.read(name, run.cwd) for name in names) if names else run.stdin.read_all()
    text = quoted[1].encode(run.console.codec, "replace")
    hits = []
    for number, line in enumerate(data.splitlines(), 1):
        inside = text.lower() in line.lower() if "/i" in options else text in line
        if inside != ("/v" in options):
            hits.append((f"[{number}]".encode() if "/n" in options else b"") + line.rstrip(b"\r") + b"\r\n")
    run.stdout(f"{len(hits)}\r\n".encode() if "/c" in options else b"".join(hits))
    return 0 if hits else FAILED


def where(run: Run) -> int:
    """where.exe NAME..."""
    code = 0
    for name in run.argv:
        found = []
        for folder in [run.cwd, *run.environment.get("PATH", "").split(";")]:
            one = Environment({"PATH": "", "PATHEXT": run.environment.get("PATHEXT", ".EXE")})
            image = run.windows.find_program(name, folder, one) if folder else None
            if image is not None and image not in found:
                found.append(image)
        for image in found:
            run.print(image)
        if not found:
            run.error("INFO: Could not find files for the given pattern(s).")
            code = FAILED
    return code


def timeout(run: Run) -> int:
    """timeout.exe: it wants a console for its input, which nothing over WinRM has."""
    run.error("ERROR: Input redirection is not supported, exiting the process immediately.")
    return FAILED


def ping(run: Run) -> int:
    """ping.exe of this machine itself: one answer a second, which makes it a way to wait."""
    words = run.argv
    count, forever, target = 4, False, ""
    index = 0
    while index < len(words):
        word = words[index].lower()
        if word in ("-t", "/t"):
            forever = True
        elif word in ("-n", "/n", "-w", "/w", "-l", "/l"):
            if word[1] == "n" and index + 1 < len(words) and words[index + 1].isdigit():
                count = int(words[index + 1])
            index += 1
        elif not word.startswith(("-", "/")):
            target = words[index]
        index += 1
    if not target:
        run.print("IP address must be specified.")
        return FAILED
    known = {"localhost": "127.0.0.1", run.windows.state.hostname.lower(): "127.0.0.1"}
    address = known.get(target.lower(), target)
    if not address.startswith("127."):
        run.print(f"Ping request could not find host {target}. Please check the name and try again.")
        return FAILED
    run.print(f"\r\nPinging {address} with 32 bytes of data:")
    sent = 0
    while forever or sent < count:
        if sent:
            run.job.sleep(1.0)
        run.print(f"Reply from {address}: bytes=32 time<1ms TTL=128")
        sent += 1
    run.print(f"\r\nPing statistics for {address}:")
    run.print(f"    Packets: Sent = {sent}, Received = {sent}, Lost = 0 (0% loss),")
    run.print("Approximate round trip times in milli-seconds:")
    run.print("    Minimum = 0ms, Maximum = 0ms, Average = 0ms")
    return 0


def shutdown(run: Run) -> int:
    """shutdown.exe /r, /s and /a with /t, /c, /d, /f."""
    words = run.argv
    options: set[str] = set()
    seconds = 30.0
    index = 0
    while index < len(words):
        word = words[index].lower().replace("-", "/", 1)
        if word == "/t" and index + 1 < len(words) and words[index + 1].isdigit():
            seconds = float(words[index + 1])
            index += 1
        elif word in ("/c", "/d"):
            index += 1
        elif word in ("/r", "/s", "/a", "/f", "/g", "/p", "/hybrid"):
            options.add(word)
        else:
            run.print(f"Invalid argument: {words[index]}")
            return FAILED
        index += 1
    if run.windows.going_down:
        run.error("A system shutdown is in progress.(1115)")
        return 1115
    if "/a" in options:
        if run.windows.cancel_shutdown():
            return 0
        run.error("Unable to abort the system shutdown because no shutdown was in progress.(1116)")
        return 1116
    if not options & {"/r", "/s", "/g", "/p"}:
        run.print('Usage: shutdown [/s | /r | /a] [/f] [/t xxx] [/c "comment"]: the twin models these options.')
        return FAILED
    if not run.windows.schedule_shutdown(0.0 if "/p" in options else seconds, again=bool(options & {"/r", "/g"})):
        run.error("A system shutdown has already been scheduled.(1190)")
        return 1190
    return 0


def taskkill(run: Run) -> int:
    """taskkill.exe /PID N and /IM NAME; children always die with their parent here."""
    words = [word.lower() for word in run.argv]
    pids = [int(words[i + 1]) for i, w in enumerate(words[:-1]) if w in ("/pid", "-pid") and words[i + 1].isdigit()]
    names = [words[i + 1] for i, w in enumerate(words[:-1]) if w in ("/im", "-im")]
    for name in names:
        found = [p.pid for p in list(run.windows.state.processes.values()) if p.image.lower().endswith("\\" + name)]
        if not found:
            run.error(f'ERROR: The process "{name}" not found.')
            return 128
        pids += found
    for pid in pids:
        if not run.windows.kill(pid):
            run.error(f'ERROR: The process "{pid}" not found.')
            return 128
        run.print(f"SUCCESS: The process with PID {pid} has been terminated.")
    if not pids:
        run.error(
            'ERROR: Invalid syntax. Neither /FI nor /PID nor /IM were specified.\r\nType "TASKKILL /?" for usage.'
        )
        return FAILED
    return 0


def certutil(run: Run) -> int:
    """certutil.exe -hashfile FILE [ALGORITHM]."""
    words = run.argv
    if len(words) < 2 or words[0].lower() not in ("-hashfile", "/hashfile"):
        run.print("The twin's certutil models -hashfile only.")
        return FAILED
    algorithm = (words[2] if len(words) > 2 else "SHA1").upper()
    if algorithm not in ("MD5", "SHA1", "SHA256", "SHA384", "SHA512"):
        run.print("CertUtil: -hashfile command FAILED: 0xd00000bb (-805306181)")
        return 0xD00000BB
    try:
        digest = hashlib.new(algorithm.lower(), run.windows.drive.read(words[1], run.cwd), usedforsecurity=False)
    except Win32Error as error:
        run.print(f"CertUtil: -hashfile command FAILED: 0x8007{error.code:04x} (WIN32: {error.code})")
        run.print(f"CertUtil: {error.system}")
        return 0x80070000 | error.code
    run.print(f"{algorithm} hash of {words[1]}:")
    run.print(digest.hexdigest())
    run.print("CertUtil: -hashfile command completed successfully.")
    return 0


# --- the registry and the environment in it ---

_TYPE_NAMES: dict[str, Kind] = {
    "REG_SZ": "String",
    "REG_EXPAND_SZ": "ExpandString",
    "REG_DWORD": "DWord",
    "REG_QWORD": "QWord",
    "REG_MULTI_SZ": "MultiString",
}
_NO_KEY = "ERROR: The system was unable to find the specified registry key or value."


def reg(run: Run) -> int:
    """reg.exe query, add and delete."""
    words = run.argv
    if len(words) < 2 or words[0].lower() not in ("query", "add", "delete"):
        run.error('ERROR: Invalid syntax: the twin\'s reg has QUERY, ADD and DELETE.\r\nType "REG /?" for usage.')
        return FAILED
    options: dict[str, str] = {}
    index = 2
    while index < len(words):
        name = words[index].lower()
        if name in ("/v", "/t", "/d") and index + 1 < len(words):
            options[name] = words[index + 1]
            index += 1
        else:
            options[name] = ""
        index += 1
    try:
        key = Registry.path(words[1], run.windows.state.sid(run.user))
    except KeyError:
        run.error('ERROR: Invalid key name.\r\nType "REG QUERY /?" for usage.')
        return FAILED
    shown = re.sub(r"^[^\\]+", lambda match: _LONG.get(match[0].upper(), match[0].upper()), words[1])
    return {"query": _reg_query, "add": _reg_add, "delete": _reg_delete}[words[0].lower()](run, key, shown, options)


_LONG = {"HKLM": "HKEY_LOCAL_MACHINE", "HKCU": "HKEY_CURRENT_USER", "HKU": "HKEY_USERS"}


def _reg_query(run: Run, key: str, shown: str, options: dict[str, str]) -> int:
    registry = run.windows.registry
    if not registry.exists(key):
        run.error(_NO_KEY)
        return FAILED
    values = registry.values(key)
    if "/v" in options:
        values = [value for value in values if value.name.lower() == options["/v"].lower()]
        if not values:
            run.error(_NO_KEY)
            return FAILED
    if values:
        run.print(f"\r\n{shown}")
        for value in values:
            run.print(f"    {value.name or '(Default)'}    {_type_name(value)}    {_shown(value)}")
        run.print()
    if "/v" not in options:
        for name in registry.subkeys(key):
            run.print(f"{shown}\\{name}")
    return 0


def _type_name(value: Value) -> str:
    return next(name for name, kind in _TYPE_NAMES.items() if kind == value.kind)


def _shown(value: Value) -> str:
    if isinstance(value.data, int):
        return f"0x{value.data:x}"
    return "\\0".join(value.data) if isinstance(value.data, list) else value.data


def _reg_add(run: Run, key: str, shown: str, options: dict[str, str]) -> int:
    registry = run.windows.registry
    if "/v" not in options and "/d" not in options:
        registry.create(key)
    else:
        kind = _TYPE_NAMES.get(options.get("/t", "REG_SZ").upper())
        if kind is None:
            run.error('ERROR: Invalid syntax.\r\nType "REG ADD /?" for usage.')
            return FAILED
        text = options.get("/d", "")
        name = options.get("/v", "")
        try:
            if kind in ("DWord", "QWord"):
                registry.set(key, name, int(text or "0", 0), kind)
            else:
                registry.set(key, name, text.split("\\0") if kind == "MultiString" else text, kind)
        except ValueError:
            run.error('ERROR: Invalid syntax.\r\nType "REG ADD /?" for usage.')
            return FAILED
    run.print("The operation completed successfully.")
    return 0


def _reg_delete(run: Run, key: str, shown: str, options: dict[str, str]) -> int:
    if "/f" not in options:
        run.error("The twin's reg delete needs /f: there is nobody to ask.")
        return FAILED
    registry = run.windows.registry
    done = registry.delete(key, options["/v"]) if "/v" in options else registry.delete_key(key)
    if not done:
        run.error(_NO_KEY)
        return FAILED
    run.print("The operation completed successfully.")
    return 0


def setx(run: Run) -> int:
    """setx.exe NAME VALUE [/M]."""
    words = [word for word in run.argv if word.lower() not in ("/m", "-m")]
    machine = len(words) != len(run.argv)
    if len(words) != 2:
        run.error('ERROR: Invalid syntax.\r\nType "SETX /?" for usage.')
        return FAILED
    name, value = words
    key = ENVIRONMENT if machine else f"HKU\\{run.windows.state.sid(run.user)}\\Environment"
    if len(value) > 1024:
        run.error("WARNING: The data being saved is truncated to 1024 characters.")
        value = value[:1024]
    run.windows.registry.set(key, name, value, "ExpandString" if re.search(r"%[^%]+%", value) else "String")
    run.print("\r\nSUCCESS: Specified value was saved.")
    return 0


def systeminfo(run: Run) -> int:
    """systeminfo.exe: the lines that a person looks for."""
    state = run.windows.state
    boot: datetime = state.boot_time
    run.print()
    run.print(f"Host Name:                     {state.hostname}")
    run.print("OS Name:                       Microsoft Windows 11 Pro")
    run.print("OS Version:                    10.0.26100 N/A Build 26100")
    run.print(
        f"System Boot Time:              {boot.month}/{boot.day}/{boot.year}, {boot:%I:%M:%S %p}".replace(", 0", ", ")
    )
    return 0


# --- WSL ---


def wsl(run: Run) -> int:
    """C:\\Program Files\\WSL\\wsl.exe: handed over to the twin's Linux side."""
    linux = run.windows.linux
    if linux is None:
        utf8 = run.environment.get("WSL_UTF8") == "1"
        text = "This twin was started without a distro, so its wsl.exe does nothing: start it without --no-distro.\r\n"
        run.stdout(text.encode("utf-8" if utf8 else "utf-16-le"))
        return WSL_FAILED
    run.console.hold_nothing()
    output = ForwardingOutput(run.stdout, run.stderr, on_exit=run.stdin.wake)
    start = Start(
        command_line=f'"{run.image}"{run.arguments}',
        environment=dict(run.environment),
        working_directory=run.cwd,
        user=run.user,
        console_mode_stdin=run.console.mode_stdin,
        codepage=run.console.codepage,
        session=run.session,
        elevated=run.elevated,
    )
    process = linux.start(run.arguments, run.argv, start, output)
    release = run.job.on_stop(process.terminate)

    def feed() -> None:
        ended = False
        while not ended:
            data = run.stdin.read(1 << 16, unless=lambda: output.exit_code is not None)
            if data:
                process.write(data)
            else:
                ended = True
        process.close_stdin()

    threading.Thread(target=feed, name="wsl.exe stdin", daemon=True).start()
    try:
        code = output.wait()
    finally:
        release()
    run.job.check()
    return code or 0


def programs() -> dict[str, Program]:
    """Full path -> program."""
    in_system32 = {
        "certutil.exe": certutil,
        "chcp.com": chcp,
        "curl.exe": curl_exe,
        "find.exe": find,
        "findstr.exe": findstr,
        "hostname.exe": hostname,
        "more.com": more,
        "netstat.exe": netstat,
        "ping.exe": ping,
        "reg.exe": reg,
        "sc.exe": sc,
        "setx.exe": setx,
        "shutdown.exe": shutdown,
        "sort.exe": sort,
        "systeminfo.exe": systeminfo,
        "taskkill.exe": taskkill,
        "tasklist.exe": tasklist,
        "timeout.exe": timeout,
        "wevtutil.exe": wevtutil,
        "where.exe": where,
        "whoami.exe": whoami,
    }
    table: dict[str, Program] = {f"{SYSTEM32}\\{name}": program for name, program in in_system32.items()}
    table[CMD] = cmd_exe
    table[POWERSHELL] = powershell_exe
    table[WSL] = wsl
    return table
