"""Starts one program inside a distro, as WSL's init does; run as a script, never imported by the twin.

    python -I -S enter.py FD      FD holds a JSON object, see ``Entry`` in ``instance.py``

It joins the distro's cgroup and namespaces (or its chroot), gives the program a session and a controlling
terminal of its own with pipes as standard streams, and sets user, groups, directory and environment. It ends as
the program does: with its exit code, or with the bare signal number when a signal ended it.

What is copied from WSL (microsoft/WSL, src/linux/init/init.cpp: InitCreateProcessUtilityVm, CreateProcessCommon):
the terminal from forkpty with the streams replaced by pipes (so a program that opens /dev/tty finds one, and
background children get SIGHUP when the first program ends), a directory that cannot be entered is logged and is no
error, a program that cannot be started is logged and exits 1, and a signal's number becomes the exit code.
It needs to be quick and to work when the file system under it changes, hence the few imports, all at the top.
"""

import ctypes
import errno
import json
import os
import select
import signal
import sys

_NAMESPACES = ("user", "cgroup", "ipc", "uts", "net", "pid", "mnt")
_PR_CAPBSET_DROP = 24
# What a program in WSL's virtual machine may do to that machine, but must not do to this one.
_DANGEROUS = (16, 17, 25, 32, 33, 34, 38, 39)  # sys_module sys_rawio sys_time mac_* syslog perfmon bpf
_TIOCSCTTY = 0x540E


def main() -> int:
    """Read the request, start the program, wait for it."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        request = json.load(file)
    libc = ctypes.CDLL(None, use_errno=True)
    for folder in request["cgroups"]:
        with open(folder + "/cgroup.procs", "w") as procs:
            procs.write("0")
    if request["leader"] is not None:
        _join(libc, request["leader"])
    else:
        os.chroot(request["root"])
        os.chdir("/")
    try:
        terminal, theirs = os.openpty()
    except OSError:
        terminal = theirs = -1  # a chroot without /dev/pts
    child = os.fork()
    if child == 0:
        try:
            if terminal >= 0:
                os.close(terminal)
            _become(libc, request, theirs)
        except BaseException as problem:
            _log(f"CreateProcessCommon:742: Create process failed ({problem})")
        finally:
            os._exit(1)
    if terminal >= 0:
        os.close(theirs)
    for stream in (0, 1, 2):
        os.close(stream)
    return _wait(child, terminal)


def _join(libc: ctypes.CDLL, leader: int) -> None:
    handles = []
    for name in _NAMESPACES:
        theirs, ours = f"/proc/{leader}/ns/{name}", f"/proc/self/ns/{name}"
        if os.readlink(theirs) != os.readlink(ours):
            handles.append((name, os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)))
    for name, handle in handles:
        if libc.setns(handle, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns {name}: {os.strerror(number)}")
        os.close(handle)
    os.chdir("/")


def _become(libc: ctypes.CDLL, request: dict, theirs: int) -> None:  # type: ignore[type-arg]
    os.setsid()
    if theirs >= 0:
        libc.ioctl(theirs, _TIOCSCTTY, 0)
        if request["uid"] != 0:
            os.fchown(theirs, request["uid"], -1)
        os.close(theirs)
    for capability in _DANGEROUS:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.umask(0o022)
    os.setgroups(request["groups"])
    os.setgid(request["gid"])
    os.setuid(request["uid"])
    try:
        os.chdir(request["directory"])
    except OSError as problem:
        _log(f"CreateProcessCommon:809: chdir({request['directory']}) failed {problem.errno}")
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    program = request["program"]
    environment = request["environment"]
    # os.execvpe would import a module, and the interpreter's files are out of sight here.
    places = [""] if "/" in program else [f"{folder}/" for folder in environment.get("PATH", "").split(":")]
    failure = errno.ENOENT
    for place in places:
        try:
            os.execve(place + program, request["argv"], environment)  # noqa: S606
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ENOTDIR):
                failure = problem.errno or failure
    _log(f"CreateProcessCommon:818: execvpe({program}) failed: {os.strerror(failure)}")
    os._exit(1)


def _log(text: str) -> None:
    os.write(2, f"<3>WSL ({os.getpid()} - Relay) ERROR: {text}\n".encode("utf-8", "surrogateescape"))


def _wait(child: int, terminal: int) -> int:
    """Wait for the child, dropping what is written to the terminal, as WSL's relay does."""
    if terminal >= 0:
        ended, ending = os.pipe()
        os.set_blocking(ending, False)
        signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        watch = [terminal, ended]
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            ready, _, _ = select.select(watch, [], [])
            if ended in ready:
                os.read(ended, 512)
            if terminal in ready:
                try:
                    os.read(terminal, 65536)
                except OSError:
                    watch.remove(terminal)
    else:
        _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main())
