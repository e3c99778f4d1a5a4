"""The Linux side of one twin: the machine around its distros, their disks and their instances.

>>> host = DistroHost(DistroSettings.from_environment(), state_folder, drive_c)     # doctest: +SKIP
>>> host.prepare()                       # builds what is not in the cache, about a minute the first time
>>> guid = "{8a5f...}"
>>> host.create(guid)                    # a distro's files, fresh from the root filesystem
>>> instance = host.start(guid, "Ubuntu-24.04")
>>> host.stop_all()
>>> host.close()
"""

from __future__ import annotations

import errno
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vengeance.twin.distro import dress, looks
from vengeance.twin.distro.card import Card, CardSocket
from vengeance.twin.distro.cgroups import cgroup1_systemd_tree, cgroup2_tree, kill_cgroups, remove_cgroups
from vengeance.twin.distro.delegated import DelegatedInstance
from vengeance.twin.distro.disk import Disk
from vengeance.twin.distro.dns_relay import DnsRelay, reachable_servers
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host_packages import local_folders, pip_settings
from vengeance.twin.distro.instance import (
    BootedInstance,
    ChrootInstance,
    Instance,
    Surroundings,
)
from vengeance.twin.distro.ladder import (
    BOOTS,
    CHROOT,
    DELEGATED,
    NAMESPACES,
    NONE,
    Abilities,
    forced,
    missing,
    rung,
    survey,
)
from vengeance.twin.distro.localhost import LocalhostForward, connect_inside, listening_ports
from vengeance.twin.distro.network import NatNetwork, clear_network
from vengeance.twin.distro.rootfs import Rootfs, rootfs
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.distro.user_namespace import into
from vengeance.twin.distro.vendor_repository import VENDOR_HOST, Vendor, vendor
from vengeance.twin.distro.vendor_server import VendorServer
from vengeance.twin.tiny_model import NAME as TINY_MODEL
from vengeance.twin.tiny_model import write_tiny_model
from vengeance.twin.vendors.hub import HOSTS as HUB_HOSTS
from vengeance.twin.vendors.hub import Hub
from vengeance.twin.vllm_cpu import write_wheels
from vengeance.twin.vllm_stand_in import build_wheel
from vengeance.twin.vllm_stand_in.library import library, place_library, python_of

_RUNNING = "running.json"


class DistroHost:
    """The Linux side of one twin; every method may be called from any thread."""

    def __init__(
        self,
        settings: DistroSettings,
        state: Path,
        drive_c: Path,
        say: Callable[[str], None] = lambda text: None,
        hub: Hub | None = None,
    ) -> None:
        """Look at the machine; nothing is built or started yet.

        state: the twin's state folder; everything lies below ``state/linux``
        drive_c: the folder of the twin's C: drive, seen as /mnt/c
        say: told in a sentence what takes long
        hub: the models that can be downloaded, None for one of its own
        """
        self.settings = settings
        self._hub = hub
        self.folder = state / "linux"
        self.drive_c = drive_c
        self._say = say
        self._lock = threading.RLock()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.abilities: Abilities = forced(survey(self.folder), settings.rung)
        if not settings.own_network:
            self.abilities = replace(self.abilities, network=False)
        self._complaints: list[str] = []
        self._rootfs: Rootfs | None = None
        self._vendor: Vendor | None = None
        self._server: VendorServer | None = None
        self._network: NatNetwork | None = None
        self._dns: DnsRelay | None = None
        self._forwards: list[LocalhostForward] = []
        self._around: Surroundings | None = None
        self._instances: dict[str, Instance] = {}
        self.gpu: looks.Gpu | None = looks.Gpu()
        self._gpu_lock = threading.Lock()
        self._card: CardSocket | None = None
        self._has_dxg = True
        self.machine: looks.Machine | None = None

    @property
    def rung(self) -> str:
        """Where this machine stands: "namespaces", "delegated", "chroot" or "none"."""
        return rung(self.abilities)

    @property
    def systemd(self) -> bool:
        """Whether systemd runs in a distro whose wsl.conf asks for it."""
        return self.rung in BOOTS

    @property
    def vendor_repository(self) -> bool:
        """Whether a distro can install from the vendor's repository, as far as is known now."""
        if self._around is not None:
            return self._server is not None
        return self.rung != NONE and self.abilities.https_port

    @property
    def missing(self) -> list[str]:
        """What is not there on this rung, in sentences."""
        return missing(self.abilities) + self._complaints

    @property
    def identity(self) -> str:
        """Eight characters that no other twin on this machine has."""
        return hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]

    def prepare(self) -> None:
        """Build what the cache does not hold: the vendor's repository, the root filesystem, the twin's wheels.

        Raises DistroError with the mend when something for it is missing.
        """
        if self.rung == NONE:
            raise DistroError(" ".join(self.missing))
        with self._lock:
            if self._vendor is None or self._rootfs is None:
                self._vendor, self._rootfs = build_shared(self.settings, self._say)
            with self._gpu_lock:
                self._write_libraries()
            build_wheel(self.folder / "wheels")
            wheels = library(self.settings.cache, python_of(self._rootfs.tree), self._say)
            place_library(wheels, self.folder / "wheels")
            write_wheels(self.folder / "wheels")
            write_tiny_model(self.folder / "models" / TINY_MODEL)

    @property
    def tarball(self) -> Path:
        """The root filesystem as a tarball, for ``wsl --import``."""
        self.prepare()
        if self._rootfs is None:
            raise DistroError("The root filesystem has not been built.")
        return self._rootfs.tarball

    @property
    def libraries(self) -> Path:
        """The folder that the distros see as /usr/lib/wsl/lib."""
        return self.folder / "lib"

    def set_gpu(self, gpu: looks.Gpu | None) -> None:
        """Change what nvidia-smi shows in the distros; None: there is no card."""
        # Not under the lock of the instances: the one that stops now may wait for who holds memory of the card.
        with self._gpu_lock:
            self.gpu = gpu
            self._write_libraries()

    def _write_libraries(self) -> None:
        copies = [one.libraries_copy for one in list(self._instances.values())]
        for folder in [self.libraries, *(copy for copy in copies if copy is not None)]:
            looks.write_libraries(folder, self.gpu)

    def serve_card(self, card: Card) -> None:
        """Let programs in the distros take memory of the card, from now until ``close``."""
        self._card = CardSocket(self.libraries, card)

    @property
    def has_dxg(self) -> bool:
        """Whether distros get /dev/dxg."""
        return self._has_dxg

    @has_dxg.setter
    def has_dxg(self, present: bool) -> None:
        with self._lock:
            self._has_dxg = present
            for instance in self._instances.values():
                if instance.alive:
                    instance.set_dxg(present)

    def clear_leftovers(self) -> None:
        """Remove what a twin with this state folder left running when it died: processes, mounts, network.

        Call it before the first start, and never while another process uses the same state folder.
        """
        trees = [tree for tree in (cgroup2_tree(), cgroup1_systemd_tree()) if tree is not None]
        for folder in self._disk_folders():
            left = [tree / f"vengeance-{self._instance_identity(folder.name)}" for tree in trees]
            with suppress(OSError, ValueError):
                data = json.loads((folder / _RUNNING).read_text(encoding="utf-8"))
                left += [Path(tree) for tree in data.get("cgroups", []) if Path(tree) not in left]
            kill_cgroups([tree for tree in left if tree.exists()])
            remove_cgroups(left)
            (folder / _RUNNING).unlink(missing_ok=True)
            Disk(folder).detach()
        if self.abilities.network:
            clear_network(self.identity)

    def _disk_folders(self) -> list[Path]:
        return [file.parent for file in sorted((self.folder / "disks").glob("*/disk.json"))]

    def _disk(self, guid: str) -> Disk:
        return Disk(self.folder / "disks" / guid.strip("{}").lower())

    def _instance_identity(self, guid: str) -> str:
        return hashlib.sha256(f"{self.identity}/{guid.strip('{}').lower()}".encode()).hexdigest()[:8]

    def create(self, guid: str) -> None:
        """Make the files of a new distro, fresh from the root filesystem."""
        self.prepare()
        if self._rootfs is None:
            raise DistroError("The root filesystem has not been built.")
        Disk.over(self._disk(guid).folder, self._rootfs.tree, self.abilities.overlay)

    def create_from_tar(self, guid: str, tarball: Path) -> None:
        """Make the files of a new distro from a root filesystem tarball; raises DistroError if it is none."""
        self.prepare()
        Disk.from_tar(self._disk(guid).folder, tarball)

    def exists(self, guid: str) -> bool:
        """Whether the files of this distro are there."""
        return (self._disk(guid).folder / "disk.json").is_file()

    def delete(self, guid: str) -> None:
        """Stop a distro and remove its files."""
        self.stop(guid, force=True)
        self._disk(guid).delete()

    def running(self, guid: str) -> Instance | None:
        """The instance of this distro, None when it does not run."""
        with self._lock:
            instance = self._instances.get(guid)
            if instance is not None and not instance.alive:
                self._forget(guid)
                return None
            return instance

    def start(self, guid: str, name: str) -> Instance:
        """Start a distro, or return the instance that runs.

        guid: of its registration; name: what it is called in WSL_DISTRO_NAME
        Raises DistroError when it does not start.
        """
        with self._lock:
            instance = self.running(guid)
            if instance is not None:
                return instance
            self.prepare()
            around = self._surroundings()
            kind = {NAMESPACES: BootedInstance, DELEGATED: DelegatedInstance}.get(self.rung, ChrootInstance)
            instance = kind(self._instance_identity(guid), name, self._disk(guid), around)
            instance.dxg = self._has_dxg
            instance.start()
            instance.set_dxg(self._has_dxg)
            if instance.libraries_copy is not None and self._card is not None:
                self._card.link(instance.libraries_copy)
            self._instances[guid] = instance
            if instance.libraries_copy is not None:
                # It may be older than the card's last change by now.
                with self._gpu_lock:
                    self._write_libraries()
            running = {
                "name": name,
                "root": instance.outside_prefix("root"),
                "folder": str(instance.root),
                "leader": instance.leader,
                "cgroups": [str(tree) for tree in instance.trees],
            }
            (instance.disk.folder / _RUNNING).write_text(json.dumps(running), encoding="utf-8")
            return instance

    def stop(self, guid: str, force: bool = False) -> None:
        """Stop a distro; with ``force`` without the ten seconds for a clean end."""
        with self._lock:
            instance = self._instances.get(guid)
            if instance is not None:
                (instance.disk.folder / _RUNNING).unlink(missing_ok=True)
                if force:
                    instance.kill()
                else:
                    instance.stop()
                self._instances.pop(guid, None)

    def _forget(self, guid: str) -> None:
        instance = self._instances.pop(guid, None)
        if instance is not None:
            (instance.disk.folder / _RUNNING).unlink(missing_ok=True)
            instance.kill()

    def stop_all(self, force: bool = False) -> None:
        """Stop every distro, and the virtual machine's network with them."""
        with self._lock:
            for guid in list(self._instances):
                self.stop(guid, force)
            self.stop_machine()

    def stop_machine(self) -> None:
        """Take the network of the virtual machine away, unless a distro still runs."""
        with self._lock:
            if any(instance.alive for instance in self._instances.values()):
                return
            self._around = None
            while self._forwards:
                self._forwards.pop().stop()
            if self._dns is not None:
                self._dns.stop()
                self._dns = None
            if self._server is not None:
                self._server.stop()
                self._server = None
            if self._network is not None:
                network, self._network = self._network, None
                network.down()

    def start_machine(self, machine: looks.Machine) -> None:
        """Start the virtual machine without a distro in it, unless it runs: its settings count until it stops."""
        with self._lock:
            if not self.machine_runs:
                self.prepare()
                self.machine = machine
                self._surroundings()

    @property
    def machine_runs(self) -> bool:
        """Whether the virtual machine of WSL is up (with or without a distro in it)."""
        return self._around is not None

    def close(self) -> None:
        """End everything at once; the disks stay."""
        self.stop_all(force=True)
        if self._card is not None:
            self._card.close()
            self._card = None

    def _name_service(self) -> tuple[list[str], list[str]]:
        """The servers that the distro can ask, and the search domains."""
        servers, search = dress.resolver(Path("/etc/resolv.conf"))
        if self._network is None:
            return servers, search
        direct = reachable_servers(servers) or reachable_servers(
            dress.resolver(Path("/run/systemd/resolve/resolv.conf"))[0]
        )
        if direct or not servers:
            return direct, search
        try:
            self._dns = DnsRelay(self._network.gateway, servers[0])
        except DistroError as problem:
            self._complaints.append(f"{problem} Host names are not found in the distro.")
            return [], search
        return [self._network.gateway], search

    def forward(self, guest_port: int, host_port: int = 0) -> int:
        """Make a TCP port of the distro reachable on this machine's 127.0.0.1, as WSL does; returns the port here.

        host_port: 0 takes any free one. Where the network is shared, the port is the same without doing anything.
        Raises DistroError when WSL's machine does not run or the port is taken.
        """
        with self._lock:
            if not self.machine_runs:
                raise DistroError(f"Port {guest_port} cannot be forwarded: no distro of this twin runs.")
            if self._network is None:
                return guest_port
            forward = LocalhostForward(self._network, guest_port, host_port)
            self._forwards.append(forward)
            return forward.port

    def listening(self) -> set[int]:
        """TCP ports that something in a running distro listens on; none where the network is this machine's own."""
        with self._lock:
            if self._network is None:
                return set()
            leaders = [instance.leader for instance in self._instances.values() if instance.alive]
        return {port for leader in leaders if leader is not None for port in listening_ports(leader)}

    @property
    def shares_network(self) -> bool:
        """Whether the distros' network is this machine's own."""
        return self._network is None

    def reach(self, port: int) -> socket.socket:
        """Connect to a port of the distros' loopback; the calling thread changes over to their network.

        Raises OSError when nobody answers there, or no distro runs.
        """
        network = self._network
        if network is not None:
            return connect_inside(network, port)
        with self._lock:
            if not any(instance.alive for instance in self._instances.values()):
                raise ConnectionRefusedError(errno.ECONNREFUSED, "no distro runs")
        # They share this machine's network, so theirs is its loopback.
        return socket.create_connection(("127.0.0.1", port), 10)

    def _surroundings(self) -> Surroundings:
        if self._around is not None:
            return self._around
        if self._vendor is None:
            raise DistroError("The vendor's repository has not been built.")
        self._complaints = []
        if self.abilities.network:
            try:
                self._network = NatNetwork.up(self.identity)
            except DistroError as problem:
                self._complaints.append(f"The distro shares this machine's network. {problem}")
        if self._network is not None:
            vendor_address = self._network.gateway
        else:
            # A loopback address of this twin's own, so that several twins can each have port 443.
            low = int(self.identity, 16)
            vendor_address = f"127.83.{low >> 8 & 255}.{(low & 255) % 254 + 1}"
        named: dict[str, str] = {}
        try:
            if self.rung != DELEGATED or self.abilities.https_port:  # else ``missing`` has said so already
                if self._hub is None:
                    self._hub = Hub.of(self.settings.cache)
                self._server = VendorServer(self._vendor, self._hub, vendor_address, self.folder / "vendor.log")
                named |= dict.fromkeys((VENDOR_HOST, *HUB_HOSTS), vendor_address)
        except DistroError as problem:
            self._complaints.append(f"{problem} What the distro installs from there is not available.")
        servers, search = self._name_service()
        pip = pip_settings()
        if self.machine is not None:
            cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
            looks.write_machine(self.libraries, self.machine, cpuinfo)
        self._around = Surroundings(
            hostname=self.settings.hostname,
            drive_c=self.drive_c,
            libraries=self.libraries,
            wheels=self.folder / "wheels",
            models=self.folder / "models",
            network=self._network,
            named=named,
            nameservers=servers,
            search=search,
            authority=self._vendor.certificates.authority,
            pip=pip,
            pip_folders=local_folders(pip) if self.abilities.mounts else [],
            mounts=self.abilities.mounts,
            boot_timeout=self.settings.boot_timeout,
        )
        return self._around


def build_shared(settings: DistroSettings, say: Callable[[str], None] = lambda text: None) -> tuple[Vendor, Rootfs]:
    """What every twin of this user shares, built where the cache does not hold it.

    Raises DistroError with the mend when something for it is missing.
    """
    seller = vendor(settings.cache, say)
    built = rootfs(settings, seller.certificates.authority, say)
    library(settings.cache, python_of(built.tree), say)
    return seller, built


def outside_prefix(state: Path, user: str = "root", name: str | None = None) -> list[str]:
    """A command prefix that enters a running distro with the host's own tools, from any process of this machine.

    state: the twin's state folder; name: of the distro, None for the only one that runs
    Raises DistroError when no such distro runs.
    """
    for file in sorted((state / "linux/disks").glob(f"*/{_RUNNING}")):
        with suppress(OSError, ValueError, KeyError):
            data = json.loads(file.read_text(encoding="utf-8"))
            if name in (None, data["name"]):
                prefix = [str(word) for word in data["root"]]
                if prefix[:1] == ["nsenter"]:
                    prefix[3:3] = into(data["leader"])
                if user == "root":
                    return prefix
                if prefix[0] == "chroot":
                    return ["chroot", f"--userspec={user}", *prefix[1:]]
                return [*prefix, "runuser", "-u", user, "--"]
    raise DistroError(f"No distro{'' if name is None else ' ' + name} runs in the twin whose state is in {state}.")


__all__ = ["CHROOT", "DELEGATED", "NAMESPACES", "NONE", "DistroHost", "build_shared", "outside_prefix"]
