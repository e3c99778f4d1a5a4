"""Every fault that the doctor has a name for, planted into a deployed twin and taken back again."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.twin.doctor_box import DISTRO, Changes, Patient, Relay
from tests.twin_deploys import ROOT
from tests.unit.test_vllm_faults import TEXTS
from tests.waiting import eventually
from vengeance.box import vllm_faults
from vengeance.doctor.catalogue import of_a_journal
from vengeance.secret import Secret
from vengeance.twin.windows import firewall, port_proxy
from vengeance.twin.windows.machine import SESSION_POWER, STANDBY_IDLE
from vengeance.twin.windows.registry import ENVIRONMENT, LXSS
from vengeance.twin.windows.scripts import MODELS, ScriptFailed
from vengeance.twin.windows.scripts import system as power_scripts
from vengeance.twin.wsl.service import WslError
from vengeance.verify import inventory

Planted = Callable[[Patient], AbstractContextManager[Changes]]

DECLARED = inventory.group_data(ROOT / "group_data")
PROFILE = "qwen2.5-coder-32b"
UNIT = f"vllm-{PROFILE}.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
VENV = "/home/steam/vllm-env"
HF_HOME = "/home/steam/.cache/huggingface"
_WSMAN = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN"
_MSI = f"HKLM\\{LXSS}\\MSI"
_POLICIES = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System"
_SERVICING = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"
_UNINSTALL = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\{44E83376-CE68-45EB-8FC1-393500EB558C}_is1"
_OLLAMA_FOLDER = "Users/Steam/AppData/Local/Ollama"
_STARTUP = "Users/Steam/AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Startup/Ollama.lnk"
_TAILNET = "100.98.226.75"


@dataclass(frozen=True)
class Fault:
    """One way to plant a finding; ``alone``: it needs the box for itself; ``slow``: for the full tests."""

    name: str
    plant: Planted
    alone: bool = False
    slow: bool = False


FAULTS: list[Fault] = []


def _planted(
    name: str, alone: bool = False, slow: bool = False
) -> Callable[[Callable[[Patient], Iterator[Changes]]], Any]:
    def keep(generator: Callable[[Patient], Iterator[Changes]]) -> Any:
        FAULTS.append(Fault(name, contextmanager(generator), alone, slow))
        return generator

    return keep


def _declared(name: str, alone: bool = False, **settings: Any) -> None:
    """A fault that is one of what is declared, on Windows' side."""
    _of(name, lambda patient: contextlib.nullcontext(), {"windows": settings}, alone)


def _declared_inside(name: str, alone: bool = False, **settings: Any) -> None:
    _of(name, lambda patient: contextlib.nullcontext(), {"inside": settings}, alone)


def _of(
    name: str,
    plant: Callable[[Patient], AbstractContextManager[Any]],
    changes: Changes | None = None,
    alone: bool = False,
    slow: bool = False,
) -> None:
    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        with plant(patient):
            yield changes or {}

    FAULTS.append(Fault(name, planted, alone, slow))


def _answer(name: str, script: str, change: Callable[[Any, dict[str, Any]], Any], alone: bool = False) -> None:
    """A fault that the twin's Windows has no state for: it answers the script as a box with that fault would."""
    _of(name, lambda patient: patient.answering(script, change), alone=alone)


def _registry(name: str, key: str, value: str, data: Any, kind: str = "String", alone: bool = False) -> None:
    _of(name, lambda patient: patient.value(key, value, data, kind), alone=alone)


def _inside(name: str, do: str, undo: str, alone: bool = False, changes: Changes | None = None) -> None:
    _of(name, lambda patient: patient.done_inside(do, undo), changes, alone)


# --- before login -------------------------------------------------------------------------------------------

_declared(
    "connection-setting-wrong", winrm_transport="basic", winrm_scheme="http", winrm_certificate_sha256=None, alone=True
)
_declared("name-not-resolved", winrm_host="no-such-box.invalid", alone=True)


@_planted("box-does-not-answer", alone=True)
def _silent(patient: Patient) -> Iterator[Changes]:
    # Linux drops what a full backlog cannot take: the client hears nothing.
    with socket.socket() as server, ExitStack() as clients:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        yield {"windows": {"winrm_port": port, "winrm_connect_timeout": 0.4}}


@_planted("winrm-refused", alone=True)
def _refused(patient: Patient) -> Iterator[Changes]:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield {"windows": {"winrm_port": nobody.getsockname()[1]}}


@_planted("tls-not-spoken", alone=True)
def _http_port(patient: Patient) -> Iterator[Changes]:
    # The twin waits for the rest of what it takes for a request; a real one answers 400 at once.
    yield {"windows": {"winrm_port": patient.daemon.server.http_port, "winrm_connect_timeout": 1.0}}


_declared("certificate-changed", winrm_certificate_sha256="ab" * 32, alone=True)
_declared("certificate-not-trusted", winrm_certificate_sha256=None, alone=True)


def _certificate(folder: Path, name: str, days: int) -> tuple[Path, Path, str]:
    """A self-signed certificate for 127.0.0.1 or another name, which ends in so many days; file, key, SHA-256."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    place = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([place]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / f"{name}{days}.crt", folder / f"{name}{days}.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file, secret, made.fingerprint(hashes.SHA256()).hex()


def _behind(name: str, of: str, days: int, pinned: bool) -> None:
    """A box that shows another certificate: a relay in front of it has that one."""

    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        file, key, sha256 = _certificate(patient.twin.folder, of, days)
        relay = Relay(file, key, patient.daemon.server.https_port or 0)
        trusted = {"winrm_certificate_sha256": sha256} if pinned else {"winrm_certificate_sha256": None}
        try:
            yield {"windows": {"winrm_port": relay.port, "winrm_ca_file": str(file), **trusted}}
        finally:
            relay.close()

    FAULTS.append(Fault(name, planted, alone=True, slow=pinned))


_behind("certificate-for-another-name", "elsewhere.example", 300, pinned=False)
_behind("certificate-expired", "127.0.0.1", -3, pinned=False)
_behind("certificate-ends-soon", "127.0.0.1", 5, pinned=True)


@_planted("scheme-wrong", alone=True)
def _http_to_https(patient: Patient) -> Iterator[Changes]:
    port = patient.daemon.server.https_port
    yield {"windows": {"winrm_scheme": "http", "winrm_port": port, "winrm_certificate_sha256": None}}


@_planted("not-winrm", alone=True)
def _a_web_server(patient: Patient) -> Iterator[Changes]:
    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        yield {"windows": {"winrm_scheme": "http", "winrm_port": port, "winrm_certificate_sha256": None}}
    finally:
        server.shutdown()
        server.server_close()


_declared("password-not-there", winrm_password=None, winrm_password_env="VENGEANCE_NOT_SET", alone=True)
_declared("sign-in-refused", winrm_password=Secret.of("wrong"), alone=True)


@_planted("winrm-shells-used-up", alone=True, slow=True)
def _no_shell_left(patient: Patient) -> Iterator[Changes]:
    limits = patient.daemon.limits
    before, limits.max_shells_per_user = limits.max_shells_per_user, 0
    try:
        yield {}
    finally:
        limits.max_shells_per_user = before


@_planted("winrm-opens-no-shell", alone=True)
def _access_denied(patient: Patient) -> Iterator[Changes]:
    patient.daemon.faults.add({"kind": "fault", "code": 5, "action": "Create", "times": None})
    try:
        yield {}
    finally:
        patient.daemon.faults.clear()


@_planted("connection-lost", alone=True, slow=True)
def _cut_in_the_middle(patient: Patient) -> Iterator[Changes]:
    patient.daemon.faults.add({"kind": "cut_before", "request": 12, "times": None})
    try:
        yield {}
    finally:
        patient.daemon.faults.clear()


# --- the account, and WinRM's settings ----------------------------------------------------------------------


@contextmanager
def _machine(patient: Patient, **facts: Any) -> Iterator[None]:
    machine = patient.windows.machine
    before = {name: machine.get(name) for name in facts}
    machine.set(**facts)
    try:
        yield
    finally:
        machine.set(**before)


@_planted("account-token-filtered", alone=True)
def _filtered(patient: Patient) -> Iterator[Changes]:
    with _machine(patient, elevated=False), patient.value(_POLICIES, "LocalAccountTokenFilterPolicy", None):
        yield {}


_of("account-not-administrator", lambda patient: _machine(patient, elevated=False), alone=True)
_of("account-is-microsofts", lambda patient: _machine(patient, microsoft_account=True))
_of("clock-wrong", lambda patient: _machine(patient, clock_skew_seconds=4000.0))
_answer("winrm-limits-low", "Get-WsmanQuota", lambda answer, given: answer.update(max_processes_per_shell=5))
_registry("winrm-unencrypted-allowed", f"{_WSMAN}\\Service", "allow_unencrypted", 1, "DWord")
_registry("winrm-basic-allowed", f"{_WSMAN}\\Service", "auth_basic", 1, "DWord")
_registry("winrm-http-listener", f"{_WSMAN}\\Listener\\*+HTTP", "Port", 5985, "DWord")


@_planted("powershell-agent-refused", slow=True, alone=True)
def _no_agent(patient: Patient) -> Iterator[Changes]:
    patient.windows.add_type_blocked = True
    try:
        yield {}
    finally:
        patient.windows.add_type_blocked = False


@_planted("fact-not-readable", alone=True)
def _script_fails(patient: Patient) -> Iterator[Changes]:
    def fails(run: Any, given: Any) -> Any:
        raise ScriptFailed("The WMI repository is damaged.")

    real = MODELS["Get-FirewallRule"]
    MODELS["Get-FirewallRule"] = fails
    try:
        yield {}
    finally:
        MODELS["Get-FirewallRule"] = real


# --- Windows, its card ---------------------------------------------------------------------------------------

_declared("windows-too-old", windows_build=99999)
_registry("windows-not-x64", ENVIRONMENT, "PROCESSOR_ARCHITECTURE", "ARM64")


@_planted("restart-waits")
def _restart_waits(patient: Patient) -> Iterator[Changes]:
    patient.registry.create(_SERVICING)
    try:
        yield {}
    finally:
        patient.registry.delete_key(_SERVICING)


@_planted("windows-sleeps")
def _sleeps(patient: Patient) -> Iterator[Changes]:
    key = power_scripts._plan_key(patient.registry, STANDBY_IDLE)
    with patient.value(key, "ACSettingIndex", 1800, "DWord"):
        yield {}


_registry("fast-startup-on", SESSION_POWER, "HiberbootEnabled", 1, "DWord")
_of("disk-nearly-full", lambda patient: _machine(patient, free_bytes=10**9))


@_planted("work-folder-open")
def _open_folder(patient: Patient) -> Iterator[Changes]:
    path = "C:\\ProgramData\\vengeance"
    closed = patient.windows.ownership._memory["closed"]
    account = closed.pop(path.lower())
    try:
        yield {}
    finally:
        closed[path.lower()] = account


_registry("firewall-off", f"{firewall.POLICY}\\{firewall.PROFILE_KEYS['public']}", "EnableFirewall", 0, "DWord")


@contextmanager
def _card(patient: Patient, back: dict[str, Any], **facts: Any) -> Iterator[None]:
    patient.twin.card_set(**facts)
    try:
        yield
    finally:
        patient.twin.card_set(**back)


_of("card-not-seen", lambda patient: _card(patient, {"present": True}, present=False))
_declared("card-is-another", gpu_name="RTX 9999")
_of("driver-too-old", lambda patient: _card(patient, {"driver": "591.86"}, driver="537.58"))
_answer("card-in-tcc-mode", "Get-Gpu", lambda answer, given: answer["gpus"][0].update(driver_model="TCC"))

# --- WSL ---------------------------------------------------------------------------------------------------

_of("virtualization-off", lambda patient: _machine(patient, firmware_virtualization=False), alone=True)
_answer("feature-off", "Get-Feature", lambda answer, given: answer.update(state="Disabled"))
_answer("feature-waits-for-restart", "Get-Feature", lambda answer, given: answer.update(state="EnablePending"))
_registry("wsl-not-installed", _MSI, "InstallLocation", None, alone=True)
_registry("wsl-too-old", _MSI, "Version", "1.2.5.0")
_registry("wsl-other-version", _MSI, "Version", "2.6.1.0")


@_planted("wslconfig-missing")
def _no_wslconfig(patient: Patient) -> Iterator[Changes]:
    place = patient.twin.drive_c / "Users/Steam/.wslconfig"
    away = place.rename(place.with_name(".wslconfig.away"))
    try:
        yield {}
    finally:
        away.rename(place)


def _rewritten(patient: Patient, old: str, new: str) -> AbstractContextManager[None]:
    """The account's .wslconfig with something in it replaced."""
    text = (patient.twin.drive_c / "Users/Steam/.wslconfig").read_text(encoding="utf-8")
    assert old in text
    return patient.file("Users/Steam/.wslconfig", text.replace(old, new).encode())


def _wslconfig(name: str, old: str, new: str) -> None:
    _of(name, lambda patient: _rewritten(patient, old, new))


_wslconfig("wslconfig-line-ignored", "[wsl2]", "[wsl2]\nmemmory=24GB")
_wslconfig("wslconfig-mirrored", "networkingMode=nat", "networkingMode=mirrored")
_wslconfig("wslconfig-sparse-disk", "[wsl2]", "[experimental]\nsparseVhd=true\n[wsl2]")
_wslconfig("wslconfig-stops-what-is-idle", "instanceIdleTimeout=-1", "instanceIdleTimeout=15000")
_wslconfig("wslconfig-graphics-on", "guiApplications=false", "guiApplications=true")
_wslconfig("wslconfig-differs", "dnsTunneling=true", "dnsTunneling=false")
_of("wslconfig-takes-too-much", lambda patient: _machine(patient, memory_bytes=16 * 2**30))

# --- the distro ----------------------------------------------------------------------------------------------

_declared_inside("distro-not-registered", wsl_distro="Debian")


@_planted("distro-of-another-account")
def _somebody_elses(patient: Patient) -> Iterator[Changes]:
    key = f"HKU\\{patient.windows.state.add_user('Kid')}\\{LXSS}\\{{00000000-0000-0000-0000-00000000abcd}}"
    patient.registry.set(key, "DistributionName", "Debian")
    try:
        yield {"inside": {"wsl_distro": "Debian"}}
    finally:
        patient.registry.delete_key(key)


def _registered(name: str, value: str, data: int) -> None:
    def plant(patient: Patient) -> AbstractContextManager[None]:
        key = f"{patient.user_key}\\{LXSS}"
        (guid,) = [one for one in patient.registry.subkeys(key) if one.startswith("{")]
        return patient.value(f"{key}\\{guid}", value, data, "DWord")

    _of(name, plant)


_registered("distro-half-installed", "State", 3)
_registered("distro-is-wsl1", "Version", 1)


@_planted("distro-lets-nobody-in", alone=True)
def _closed(patient: Patient) -> Iterator[Changes]:
    service = patient.daemon.service

    def attach(*arguments: Any) -> Any:
        raise WslError("Catastrophic failure", "Wsl/Service/E_UNEXPECTED")

    vars(service)["attach"] = attach
    try:
        yield {}
    finally:
        del vars(service)["attach"]


@_planted("distro-stopped", alone=True)
def _stopped(patient: Patient) -> Iterator[Changes]:
    tasks, service = patient.windows.tasks, patient.daemon.service
    sid = patient.windows.state.sid("Steam")
    tasks.stop(f"wsl {DISTRO}", tree=True)
    service.terminate(sid, service.named(sid, DISTRO))
    try:
        yield {}
    finally:
        tasks.start(f"wsl {DISTRO}")
        eventually(patient.running, "a distro that runs again", seconds=60)
        eventually(lambda: patient.inside("systemctl is-system-running || true") in ("running", "degraded"), seconds=60)


def _also_running(answer: dict[str, Any], given: dict[str, Any]) -> None:
    if "--list --running" in str(given.get("arguments")):
        text = base64.b64decode(answer["stdout"]).decode() + "Debian\r\n"
        answer["stdout"] = base64.b64encode(text.encode()).decode()


_answer("several-distros-run", "Invoke-Program", _also_running)


def _task(name: str, task: str, change: Callable[[dict[str, Any]], Any]) -> None:
    def changed(answer: dict[str, Any], given: dict[str, Any]) -> None:
        if given["name"] == task:
            answer["task"] = change(answer["task"])

    _answer(name, "Get-Task", changed)


def _with(**definition: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda task: {**task, "definition": {**task["definition"], **definition}}


_KEEPALIVE = f"wsl {DISTRO}"
_LATER = "2099-01-01T00:00:00Z"
_task("keepalive-gone", _KEEPALIVE, lambda task: None)
_task("keepalive-not-running", _KEEPALIVE, lambda task: {**task, "state": "ready"})
_task("keepalive-time-limit", _KEEPALIVE, _with(time_limit=259200))
_task("keepalive-in-the-background", _KEEPALIVE, _with(priority=7))
_task("keepalive-set-otherwise", _KEEPALIVE, _with(triggers=["logon VENGEANCE\\Steam"], on_battery=False))
_task("keepalive-password-old", _KEEPALIVE, lambda task: {**task, "password_set": _LATER})


@_planted("wslconfig-not-in-effect")
def _other_sizes(patient: Patient) -> Iterator[Changes]:
    declared = DECLARED["windows"]["wslconfig"]
    with _rewritten(patient, "processors=8", "processors=6"):
        yield {"windows": {"wslconfig": {**declared, "wsl2": {**declared["wsl2"], "processors": 6}}}}


_SHIM = "printf '#!/bin/sh\\n{body}\\n' > /usr/local/bin/{name} && chmod 755 /usr/local/bin/{name}"
_inside(
    "distro-disk-nearly-full",
    _SHIM.format(name="df", body="echo Avail; echo 5000"),
    "rm /usr/local/bin/df",
)

# --- systemd -------------------------------------------------------------------------------------------------

_inside(
    "systemd-off",
    _SHIM.format(name="cat", body='case "$*" in /proc/1/comm) echo init;; *) exec /bin/cat "$@";; esac'),
    "rm /usr/local/bin/cat",
)
_OLD = "touch -d 2020-01-01 /etc/wsl.conf"
_inside("wsl-conf-not-in-effect", "touch -d 2099-01-01 /etc/wsl.conf", _OLD)
_inside(
    "wsl-conf-differs",
    "cp -p /etc/wsl.conf /root/wsl.conf && sed -i s/appendWindowsPath=.*/appendWindowsPath=true/ /etc/wsl.conf && "
    f"{_OLD}",
    f"mv /root/wsl.conf /etc/wsl.conf && {_OLD}",
)

# --- the card in the distro ----------------------------------------------------------------------------------

_of("dxg-missing", lambda patient: _card(patient, {"dxg": True}, dxg=False))
_inside("wsl-libraries-missing", "mount -t tmpfs none /usr/lib/wsl/lib", "umount /usr/lib/wsl/lib")
_STATUS = "/var/lib/dpkg/status"
_inside(
    "linux-driver-in-distro",
    f"cp -p {_STATUS} /root/dpkg-status && printf '\\nPackage: nvidia-utils-535\\nStatus: install ok installed\\n"
    "Maintainer: nobody <nobody@example.com>\\nArchitecture: amd64\\nVersion: 535.1\\nDescription: planted\\n' >> "
    f"{_STATUS}",
    f"mv /root/dpkg-status {_STATUS}",
)
_inside(
    "linux-library-hides-driver",
    "cp /usr/lib/wsl/lib/libcuda.so.1 /usr/local/lib/libcuda.so.1 && "
    "printf '/usr/local/lib\\n' > /etc/ld.so.conf.d/000-planted.conf && ldconfig",
    "rm /usr/local/lib/libcuda.so.1 /etc/ld.so.conf.d/000-planted.conf && ldconfig",
)
_inside(
    "nvidia-smi-fails-in-distro",
    "printf '#!/bin/sh\\necho No devices were found\\nexit 6\\n' > /root/smi && chmod 755 /root/smi && "
    "mount --bind /root/smi /usr/lib/wsl/lib/nvidia-smi",
    "umount /usr/lib/wsl/lib/nvidia-smi && rm /root/smi",
)
_answer("driver-renewed-under-wsl", "Get-Gpu", lambda answer, given: answer["gpus"][0].update(driver_version="600.10"))
_inside("cuda-toolkit-missing", "mv /usr/local/cuda /usr/local/cuda.away", "mv /usr/local/cuda.away /usr/local/cuda")

# --- vLLM's environment and model ----------------------------------------------------------------------------

_declared_inside("venv-missing", vllm_path="/home/steam/nothing")
_inside(
    "vllm-not-in-venv",
    "python3 -m venv --without-pip /home/steam/empty && chown -R steam: /home/steam/empty",
    "rm -r /home/steam/empty",
    changes={"inside": {"vllm_path": "/home/steam/empty"}},
)
_declared_inside("vllm-other-version", vllm_package="vllm==0.16.0")
_inside(
    "venv-bytecode-broken",
    f"f=$(find {VENV} -name '*.pyc' -size +1k | head -n 1) && echo $f > /root/broken && cp -p $f /root/broken.pyc && "
    "dd if=/dev/zero of=$f bs=1 seek=16 count=500 conv=notrunc 2>/dev/null",
    "mv /root/broken.pyc $(/bin/cat /root/broken)",
)
_inside(
    "venv-not-whole",
    f"mkdir $(echo {VENV}/lib/python3*/site-packages)/~orch && chown steam: {VENV}/lib/python3*/site-packages/~orch",
    f"rmdir {VENV}/lib/python3*/site-packages/~orch",
)
_inside(
    "venv-unfinished",
    f"mv {VENV}/.vengeance.json {VENV}/.vengeance.away",
    f"mv {VENV}/.vengeance.away {VENV}/.vengeance.json",
)
_inside("venv-of-somebody-else", f"touch {VENV}/roots", f"rm {VENV}/roots")
_inside("vllm-model-missing", f"mv {HF_HOME}/hub {HF_HOME}/away", f"mv {HF_HOME}/away {HF_HOME}/hub")


@_planted("vllm-model-on-windows-drive", alone=True, slow=True)
def _on_drive_c(patient: Patient) -> Iterator[Changes]:
    with patient.done_inside(f"cp -a {HF_HOME} /mnt/c/hf", "rm -r /mnt/c/hf"):
        yield {"inside": {"vllm_hf_home": "/mnt/c/hf"}}


_inside("token-readable", f"chmod 644 {HF_HOME}/token", f"chmod 600 {HF_HOME}/token")

# --- vLLM's servers ------------------------------------------------------------------------------------------


def _profiles(**changes: dict[str, Any]) -> dict[str, Any]:
    profiles = DECLARED["wsl"]["vllm_profiles"]
    chosen = {
        name: {**fields, **changes.get("chosen", {})} if name == PROFILE else fields
        for name, fields in profiles.items()
    }
    return {**chosen, **changes.get("more", {})}


def _profile(name: str, alone: bool = False, **fields: Any) -> None:
    _declared_inside(name, alone, vllm_profiles=_profiles(chosen=fields))


_declared_inside("setting-wrong", True, vllm_profiles=_profiles(more={"extra": {"modl": "/srv/model", "port": 8081}}))
_profile("profile-does-not-fit", gpu_memory_utilization=0.85, max_model_len=32768)
_profile("profile-setting-doubtful", quantization="awq")
_declared_inside("unit-missing", vllm_profiles=_profiles(more={"extra": {"model": "/srv/model", "port": 8081}}))


def _edited(edit: str) -> Callable[[Patient], AbstractContextManager[None]]:
    """The chosen profile's unit, edited with sed."""
    keep = f"/root/{UNIT}"
    return lambda patient: patient.done_inside(
        f"cp -p {UNIT_FILE} {keep} && sed -i '{edit}' {UNIT_FILE} && systemctl daemon-reload",
        f"mv {keep} {UNIT_FILE} && systemctl daemon-reload",
    )


_FOLDER = f"/run/systemd/system/{UNIT}.d"
_inside(
    "unit-overridden",
    f"mkdir -p {_FOLDER} && printf '[Service]\\nNice=5\\n' > {_FOLDER}/mine.conf && systemctl daemon-reload",
    f"rm -r {_FOLDER} && systemctl daemon-reload",
)
_of("gpu-hidden-from-unit", _edited("s/^PrivateDevices=.*/PrivateDevices=yes/"))
_of("unit-does-not-restart", _edited("s/^Restart=.*/Restart=on-failure/"))
_inside("unit-secrets-readable", f"chmod 644 /etc/vllm/{PROFILE}.env", f"chmod 600 /etc/vllm/{PROFILE}.env")
_inside("unit-at-boot-otherwise", f"systemctl enable -q {UNIT}", f"systemctl disable -q {UNIT}")


@_planted("server-runs-with-old-settings", alone=True, slow=True)
def _old_settings(patient: Patient) -> Iterator[Changes]:
    mark = f"/etc/vllm/{PROFILE}.started-with"
    with patient.server(PROFILE), patient.done_inside(f"echo 0123456789ab > {mark}", f"rm {mark}"):
        yield {}


def _elsewhere(name: str, slow: bool = False, **settings: Any) -> None:
    """A server that is active and not to be had at its declared port."""

    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        with patient.server(PROFILE):
            yield {"inside": {"vllm_profiles": _profiles(chosen={"port": 8099}), **settings}}

    FAULTS.append(Fault(name, planted, alone=True, slow=slow))


_elsewhere("server-starts", slow=True)
_elsewhere("server-does-not-answer", vllm_start_timeout=0)


def _dies(name: str, text: str, slow: bool) -> None:
    """A server that writes something and ends."""

    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        (patient.twin.folder / "words").write_text(text + "\n", encoding="utf-8")
        encoded = base64.b64encode((text + "\n").encode()).decode()
        script = f"#!/bin/sh\\necho {encoded} | base64 -d >&2\\nexit 1\\n"
        with patient.done_inside(
            f"printf '{script}' > /opt/dies && chmod 755 /opt/dies && cp -p {UNIT_FILE} /root/{UNIT} && "
            f"sed -i -e '/^ExecStartPre=/d' -e '/^ExecStart=/,/[^\\\\]$/c ExecStart=/opt/dies' {UNIT_FILE} && "
            f"systemctl daemon-reload && systemctl start {UNIT}",
            f"systemctl stop {UNIT}; mv /root/{UNIT} {UNIT_FILE}; rm /opt/dies; systemctl daemon-reload; "
            f"systemctl reset-failed {UNIT} 2>/dev/null; :",
        ):
            eventually(
                lambda: patient.inside(f"systemctl show -p Result --value {UNIT}") == "exit-code", "a server that ended"
            )
            yield {}

    FAULTS.append(Fault(name, planted, alone=True, slow=slow))


_dies("server-failed", "nothing that anybody knows", slow=True)
# The one that everybody meets; the others are behind the full tests.
_QUICK = ("bad bytecode",)
_NO_EXAMPLE = {"too slow": "TimeoutError: Timed out waiting for engine core processes to start."}
for _fault in vllm_faults.NAMES:
    _text = next((text for text, name, _ in TEXTS if name == _fault), _NO_EXAMPLE.get(_fault))
    if _text is not None:
        _dies(of_a_journal(_fault), _text, slow=_fault not in _QUICK)

# --- ports ---------------------------------------------------------------------------------------------------


@_planted("port-taken-on-windows")
def _taken(patient: Patient) -> Iterator[Changes]:
    patient.twin.fault("port_taken", port=8080)
    try:
        yield {}
    finally:
        patient.twin.fault("port_taken", port=None)


@_planted("port-reserved-by-nat")
def _reserved(patient: Patient) -> Iterator[Changes]:
    taken = patient.windows.port_ranges.taken
    taken.append((8050, 8149))
    try:
        yield {}
    finally:
        taken.remove((8050, 8149))


@_planted("port-not-kept")
def _not_kept(patient: Patient) -> Iterator[Changes]:
    kept = patient.windows.port_ranges._memory["persistent"]
    (one,) = [each for each in kept if each[0] <= 8080 <= each[1]]
    kept.remove(one)
    try:
        yield {}
    finally:
        kept.append(one)


def _silent_port(answer: dict[str, Any], given: dict[str, Any]) -> None:
    if given["port"] == 8080:
        answer.update(status=None, body=None)


@_planted("server-not-forwarded", alone=True, slow=True)
def _no_relay(patient: Patient) -> Iterator[Changes]:
    with patient.server(PROFILE), patient.answering("Get-OllamaAnswer", _silent_port):
        yield {}


# --- exposure ------------------------------------------------------------------------------------------------


def _reconnected(patient: Patient) -> None:
    eventually(lambda: patient.windows.tailscale.connected, "Tailscale in the tailnet", seconds=30)


@_planted("tailscale-not-installed")
def _no_tailscale(patient: Patient) -> Iterator[Changes]:
    tailscale = patient.windows.tailscale
    tailscale.installed = False
    try:
        yield {}
    finally:
        tailscale.installed = True
        tailscale._connect_or_not()
        _reconnected(patient)


@_planted("tailscale-service-stopped")
def _stopped_service(patient: Patient) -> Iterator[Changes]:
    patient.windows.services.stop("Tailscale")
    try:
        yield {}
    finally:
        patient.windows.services.start("Tailscale")
        _reconnected(patient)


@_planted("tailscale-of-another-account")
def _kids(patient: Patient) -> Iterator[Changes]:
    patient.twin.tailscale("Kid")
    try:
        yield {}
    finally:
        patient.twin.tailscale("Steam")
        _reconnected(patient)


@contextmanager
def _key_ends(patient: Patient, days: int) -> Iterator[None]:
    tailscale = patient.windows.tailscale
    before = tailscale.key_expiry
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    tailscale.key_expiry = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        yield
    finally:
        tailscale.key_expiry = before
        tailscale._connect_or_not()
        _reconnected(patient)


_of("tailscale-key-ended", lambda patient: _key_ends(patient, -2))
_of("tailscale-key-ends-soon", lambda patient: _key_ends(patient, 9))


@_planted("tailscale-signed-out")
def _signed_out(patient: Patient) -> Iterator[Changes]:
    patient.twin.tailscale(signed_in=False)
    try:
        yield {}
    finally:
        patient.twin.tailscale("Steam")
        _reconnected(patient)


_answer("tailscale-not-approved", "Get-Tailscale", lambda answer, given: answer.update(state="NeedsMachineAuth"))
_answer("tailscale-not-connected", "Get-Tailscale", lambda answer, given: answer.update(state="Stopped", online=False))
_answer("tailscale-not-unattended", "Get-Tailscale", lambda answer, given: answer.update(unattended=False))


def _serve(name: str, target: int | None) -> None:
    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        patient.windows.tailscale.set_serve(8080, target)
        try:
            yield {}
        finally:
            patient.windows.tailscale.set_serve(8080, 8080)

    FAULTS.append(Fault(name, planted))


_serve("serve-missing", None)
_serve("serve-leads-elsewhere", 9999)

_PORTPROXY: Changes = {"windows": {"expose": "portproxy"}}


def _proxy(name: str, listen: str, target: str, changes: Changes | None = None) -> None:
    _of(
        name,
        lambda patient: patient.value(port_proxy.ENTRIES, f"{listen}/8080", f"{target}/8080"),
        changes,
    )


_of("portproxy-missing", lambda patient: contextlib.nullcontext(), _PORTPROXY)
_proxy("portproxy-leads-elsewhere", _TAILNET, "172.28.112.7", _PORTPROXY)
_proxy("portproxy-on-every-address", "0.0.0.0", "127.0.0.1")


@_planted("portproxy-not-listening")
def _no_helper(patient: Patient) -> Iterator[Changes]:
    services = patient.windows.services
    with patient.value(port_proxy.ENTRIES, f"{_TAILNET}/8080", "127.0.0.1/8080"):
        services.stop(port_proxy.SERVICE)
        try:
            yield _PORTPROXY
        finally:
            services.start(port_proxy.SERVICE)


_registry("firewall-rule-missing", firewall.RULES, "vengeance-ollama", None)


def _rule(name: str, action: str, program: str | None) -> None:
    text = firewall.rule_text(action=action, protocol="tcp", port=11434, title=name, program=program)
    _registry(name, firewall.RULES, "{planted}", text)


_rule("firewall-blocks", "block", r"C:\Users\Steam\AppData\Local\Programs\Ollama\ollama.exe")
_rule("firewall-lets-more-in", "allow", None)
_declared_inside("vllm-without-key", vllm_api_key=None)
_declared("ollama-not-reached-from-here", box_address="127.9.9.9")


@_planted("vllm-not-reached-from-here", alone=True, slow=True)
def _only_ollama(patient: Patient) -> Iterator[Changes]:
    class Something(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.9.9.8", 11434), Something)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with patient.server(PROFILE):
            yield {"windows": {"box_address": "127.9.9.8"}}
    finally:
        server.shutdown()
        server.server_close()


# --- Ollama --------------------------------------------------------------------------------------------------


def _uninstall_key(name: str, value: str, data: str | None, alone: bool = False) -> None:
    _of(name, lambda patient: patient.value(f"{patient.user_key}\\{_UNINSTALL}", value, data), alone=alone)


_uninstall_key("ollama-not-installed", "InstallLocation", None)
_uninstall_key("ollama-other-version", "DisplayVersion", "0.33.0")
_uninstall_key("ollama-version-unsafe", "DisplayVersion", "0.13.5")


@_planted("ollama-half-installed")
def _no_program(patient: Patient) -> Iterator[Changes]:
    place = patient.twin.drive_c / "Users/Steam/AppData/Local/Programs/Ollama/ollama.exe"
    away = place.rename(place.with_name("ollama.away"))
    try:
        yield {}
    finally:
        away.rename(place)


@_planted("ollama-does-not-run")
def _ended(patient: Patient) -> Iterator[Changes]:
    tasks = patient.windows.tasks
    tasks.stop("ollama", tree=True)
    try:
        yield {}
    finally:
        tasks.start("ollama")
        eventually(
            lambda: any(one.port == 11434 for one in patient.windows.network.listeners), "Ollama again", seconds=30
        )


def _ollama_answers(name: str, **answer: Any) -> None:
    def change(there: dict[str, Any], given: dict[str, Any]) -> None:
        if given["port"] == 11434:
            there.update(answer)

    _answer(name, "Get-OllamaAnswer", change)


_ollama_answers("ollama-does-not-answer", status=None, body=None)
_ollama_answers("ollama-is-another", status=200, body="<html>It works!</html>")


def _second(answer: dict[str, Any], given: dict[str, Any]) -> None:
    (server,) = [one for one in answer["processes"] if one["name"] == "ollama.exe"]
    answer["processes"].append({**server, "pid": server["pid"] + 4, "parent_name": "powershell.exe"})


def _by_hand(answer: dict[str, Any], given: dict[str, Any]) -> None:
    for one in answer["processes"]:
        one["parent_name"] = "powershell.exe"


_answer("ollama-two-servers", "Get-OllamaServer", _second)
_answer("ollama-started-otherwise", "Get-OllamaServer", _by_hand)
_answer("ollama-tray-app-runs", "Get-OllamaSettings", lambda answer, given: answer.update(app_runs=True))
_of("ollama-app-starts-at-logon", lambda patient: patient.file(_STARTUP, b"link"))
_of("ollama-update-staged", lambda patient: patient.file(f"{_OLLAMA_FOLDER}/updates_v2/0/OllamaSetup.exe", b"MZ"))


def _kept(name: str, column: str, value: int, back: int) -> None:
    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        settings: dict[str, Any] = {column: value}
        patient.twin.ollama_settings(**settings)
        try:
            yield {}
        finally:
            settings = {column: back}
            patient.twin.ollama_settings(**settings)

    FAULTS.append(Fault(name, planted))


_kept("ollama-app-setting-wins", "expose", 1, 0)
_kept("ollama-updates-itself", "auto_update_enabled", 1, 0)


def _variable(name: str, variable: str, machine: str | None, changes: Changes | None = None) -> None:
    _of(name, lambda patient: patient.value(ENVIRONMENT, variable, machine), changes)


def _of_user(patient: Patient, variable: str, value: str) -> AbstractContextManager[None]:
    return patient.value(f"{patient.user_key}\\Environment", variable, value)


_LONGER = {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_CONTEXT_LENGTH": "8192"}
_variable(
    "ollama-works-with-old-variables",
    "OLLAMA_CONTEXT_LENGTH",
    "8192",
    {"windows": {"ollama_machine_variables": _LONGER}},
)
_variable("ollama-variable-wrong", "OLLAMA_CONTEXT_LENGTH", "8192")
_variable("ollama-variable-unknown", "OLLAMA_NUM_GPU", "99")
_variable("ollama-variable-undeclared", "OLLAMA_NUM_PARALLEL", "4")
_variable("ollama-on-loopback-only", "OLLAMA_HOST", "127.0.0.1:11434")
_variable("ollama-open-to-web-pages", "OLLAMA_ORIGINS", "*")
_variable(
    "ollama-context-by-vram",
    "OLLAMA_CONTEXT_LENGTH",
    None,
    {"windows": {"ollama_machine_variables": {"OLLAMA_HOST": "0.0.0.0:11434"}}},
)
_of("ollama-user-variable-wins", lambda patient: _of_user(patient, "OLLAMA_KEEP_ALIVE", "1m"))


@_planted("ollama-host-user-variable-only")
def _user_alone(patient: Patient) -> Iterator[Changes]:
    with patient.value(ENVIRONMENT, "OLLAMA_HOST", None), _of_user(patient, "OLLAMA_HOST", "0.0.0.0:11434"):
        yield {}


_task("ollama-task-gone", "ollama", lambda task: None)
_task("ollama-task-set-otherwise", "ollama", _with(time_limit=259200, priority=7))
_task("ollama-task-password-old", "ollama", lambda task: {**task, "password_set": _LATER})

# --- models, tenants, a token --------------------------------------------------------------------------------


def _models(name: str, *more: dict[str, object]) -> None:
    declared = DECLARED["windows"]["ollama_models"]
    names = [one["name"] for one in more]
    _declared(name, ollama_models=[*(one for one in declared if one["name"] not in names), *more])


_models("model-missing", {"name": "phi4:14b", "size_gb": 9.1})
_models("models-without-room", {"name": "phi4:14b", "size_gb": 9000})
_models("model-changed", {"name": "qwen2.5:3b", "digest": "0" * 12})
_of(
    "pull-unfinished",
    lambda patient: patient.file(
        f"Users/Steam/.ollama/models/blobs/sha256-{'ab' * 32}-partial-0", b'{"Completed": 1000000000}'
    ),
)


def _holds(name: str, image: str | None) -> None:
    @contextmanager
    def planted(patient: Patient) -> Iterator[Changes]:
        patient.twin.card_hold(image, 3000, comfyui=image is None)
        try:
            yield {}
        finally:
            patient.twin.card_end(image or "python.exe")

    FAULTS.append(Fault(name, planted))


_holds("card-held-by-comfyui", None)
_holds("card-held-by-a-game", "Cyberpunk2077.exe")


def _a_renderer(answer: dict[str, Any], given: dict[str, Any]) -> None:
    path = "C:\\Program Files\\Blender Foundation\\Blender 4.5\\blender.exe"
    one = {"pid": 9000, "image": "blender.exe", "path": path, "session": 1, "mib": 5000, "committed_mib": 5000}
    answer["processes"].append({**one, "comfyui": False})


_answer("card-held-by-others", "Get-GpuProcess", _a_renderer)


@_planted("card-shared", alone=True, slow=True)
def _with_a_game(patient: Patient) -> Iterator[Changes]:
    with patient.server(PROFILE), patient.answering("Get-GpuProcess", _a_renderer):
        yield {}


@_planted("card-held-in-wsl")
def _left_behind(patient: Patient) -> Iterator[Changes]:
    gpu = patient.windows.gpu
    assert gpu.take("planted", 4000, "python3", 0, "python3")
    try:
        yield {}
    finally:
        gpu.give_back("planted")


@_planted("gpu-counters-broken")
def _not_counted(patient: Patient) -> Iterator[Changes]:
    patient.windows.gpu.counted = False
    try:
        yield {}
    finally:
        patient.windows.gpu.counted = True


@_planted("model-partly-on-processor")
def _too_large(patient: Patient) -> Iterator[Changes]:
    address = f"http://{patient.daemon.windows.network.real('127.0.0.1')}:11434/api/generate"

    def ask(**asked: Any) -> None:
        body = json.dumps({"model": "qwen2.5:72b", "stream": False, **asked}).encode()
        urllib.request.urlopen(urllib.request.Request(address, body), timeout=60).read()

    ask(prompt="hello")
    try:
        yield {}
    finally:
        ask(keep_alive=0)
        eventually(
            lambda: not [one for one in patient.windows.gpu.holders if "llama" in one.image], "a model that left"
        )


@_planted("completion-fails", alone=True)
def _wrong_key(patient: Patient) -> Iterator[Changes]:
    with patient.server(PROFILE):
        yield {"inside": {"vllm_api_key": Secret.of("another-key")}}
