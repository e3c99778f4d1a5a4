"""The pieces the twin's distro is made of that need neither root nor a distro."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from vengeance.twin.distro import dress
from vengeance.twin.distro.accounts import user_named, user_numbered
from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.distro.cgroups import cgroup2_tree, delegated_cgroup
from vengeance.twin.distro.dns_relay import DnsRelay, reachable_servers
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host_packages import (
    Mirrors,
    host_mirrors,
    local_folders,
    parse_pip_listing,
    pip_configuration,
)
from vengeance.twin.distro.ladder import CHROOT, DELEGATED, NAMESPACES, NONE, Abilities, forced, missing, rung
from vengeance.twin.distro.looks import Gpu, write_libraries
from vengeance.twin.vendors.certificates import make_certificates
from vengeance.twin.vllm_stand_in import build_wheel

EVERYTHING = Abilities(True, True, True, True, True, True, True)


def test_the_ladder_has_four_rungs_and_says_what_each_lacks() -> None:
    assert (rung(EVERYTHING), missing(EVERYTHING)) == (NAMESPACES, [])
    shared = replace(EVERYTHING, network=False)
    assert rung(shared) == NAMESPACES
    assert "shares this machine's network" in missing(shared)[0]
    plain_container = Abilities(True, False, False, False, False, True, False)
    assert rung(plain_container) == CHROOT
    assert "units are verified and enabled but never run" in missing(plain_container)[0]
    assert any("/mnt/c" in sentence for sentence in missing(plain_container))
    user = replace(EVERYTHING, network=False, user_namespace=True, https_port=False)
    assert rung(user) == DELEGATED
    assert "no separate networks" in missing(user)[0]
    assert "vendor's package repository is not served" in missing(user)[1]
    assert "vendor" not in " ".join(missing(replace(user, https_port=True)))
    assert rung(replace(user, cgroup=False)) == NONE
    nobody = Abilities(False, False, False, False, False, False, False, hindrances=("No cgroup.",))
    assert rung(nobody) == NONE
    assert "Run the twin as root." in missing(nobody)[0]
    assert missing(nobody)[1] == "Without root: No cgroup."


def test_a_forced_rung_is_never_higher_than_the_machine() -> None:
    assert rung(forced(EVERYTHING, CHROOT)) == CHROOT
    assert rung(forced(Abilities(False, False, False, False, False, False, False), NAMESPACES)) == NONE
    assert forced(EVERYTHING, None) == EVERYTHING
    assert rung(forced(EVERYTHING, DELEGATED)) == NONE
    user = replace(EVERYTHING, network=False, user_namespace=True)
    assert rung(forced(user, NAMESPACES)) == rung(forced(user, DELEGATED)) == DELEGATED
    assert rung(forced(user, CHROOT)) == NONE


def test_a_cgroup_is_the_users_own_when_he_may_write_in_it(tmp_path: Path) -> None:
    mounts, own = tmp_path / "mounts", tmp_path / "own"
    mounts.write_text(f"cgroup2 {tmp_path}/tree cgroup2 rw 0 0\n")
    own.write_text("1:name=systemd:/x\n0::/mine\n")
    assert delegated_cgroup(mounts, own) is None
    (tmp_path / "tree/mine").mkdir(parents=True)
    (tmp_path / "tree/mine/cgroup.procs").touch()
    assert delegated_cgroup(mounts, own) == tmp_path / "tree/mine"
    own.write_text("1:name=systemd:/mine\n")
    assert delegated_cgroup(mounts, own) is None


def test_the_cgroup_tree_is_found_alone_and_beside_version_one(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup /c/systemd cgroup rw,name=systemd 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n")
    assert cgroup2_tree(mounts) == Path("/c/unified")
    mounts.write_text("proc /proc proc rw 0 0\n")
    assert cgroup2_tree(mounts) is None


def test_mirrors_come_from_the_hosts_own_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_ID="12"\n')
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\n"
    )
    (tmp_path / "sources.list.d/vendor.list").write_text("deb [arch=amd64] https://vendor.example/apt stable main\n")
    assert host_mirrors(tmp_path, release) == Mirrors("http://mirror.example/debian", "http://mirror.example/security")
    (tmp_path / "sources.list.d/debian.sources").unlink()
    (tmp_path / "sources.list").write_text("# old\ndeb [signed-by=/k] https://old.example/debian bookworm main\n")
    assert host_mirrors(tmp_path, release).main == "https://old.example/debian"
    release.write_text("ID=ubuntu\n")
    assert host_mirrors(tmp_path, release) == Mirrors(None, None)


def test_pip_settings_of_the_host_reach_the_distro_except_folders_it_cannot_see(tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    listing = (
        ":env:.find-links='/env/wheels'\n:env:.default-timeout='9'\n"
        f"global.extra-index-url='file://{tmp_path}/index/simple https://example.invalid/simple'\n"
        f"global.find-links='{tmp_path}/wheels'\nglobal.user='true'\ninstall.retries='2'\nnonsense\n"
    )
    settings = parse_pip_listing(listing)
    assert settings == {
        "find-links": "/env/wheels",
        "timeout": "9",
        "extra-index-url": f"file://{tmp_path}/index/simple https://example.invalid/simple",
        "retries": "2",
    }
    assert local_folders(settings) == [tmp_path / "index"]
    seen = pip_configuration(settings, "/twin", lambda folder: True)
    assert "find-links = /twin\n    /env/wheels\n" in seen
    unseen = pip_configuration(settings, "/twin", lambda folder: False)
    assert "find-links = /twin\n" in unseen
    assert str(tmp_path) not in unseen
    assert "https://example.invalid/simple" in unseen
    assert "user" not in unseen


def test_something_is_built_once_and_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "key.building").mkdir()
    (tmp_path / "key.building/half").touch()

    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built_once(tmp_path, "key", broken)
    assert not (tmp_path / "key").exists()
    assert not (tmp_path / "key.building").exists()
    builds: list[int] = []

    def build(folder: Path) -> None:
        builds.append(1)
        threading.Event().wait(0.1)
        (folder / "done").touch()

    threads = [threading.Thread(target=built_once, args=(tmp_path, "key", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert (tmp_path / "key/done").exists()


def test_the_key_of_a_recipe_tells_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", b"b") == key_of("a", "b")


def test_a_link_in_the_distro_cannot_lead_a_write_out_of_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "etc").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("mine")
    (root / "etc/resolv.conf").symlink_to(outside / "file")
    dress.place(root, "etc/resolv.conf", "theirs")
    assert (outside / "file").read_text() == "mine"
    assert (root / "etc/resolv.conf").read_text() == "theirs"
    (root / "usr").symlink_to(outside)
    with pytest.raises(DistroError, match="leads out of it"):
        dress.place(root, "usr/x", "theirs")
    with pytest.raises(DistroError, match="leads out of it"):
        dress.mount_points(root, ["/usr/lib/wsl/lib"])


def test_a_hosts_file_of_the_owner_gets_the_twins_names_once(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n10.0.0.9 vendor.example\n")
    for _ in range(2):
        dress.add_hosts(tmp_path, {"vendor.example": "10.213.0.1"})
    assert (tmp_path / "etc/hosts").read_text() == "127.0.0.1 localhost\n10.213.0.1\tvendor.example\n"


def test_users_and_their_groups_are_read_from_the_distros_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nbroken\nsteam:x:1000:1001::/home/steam:/bin/bash\n"
    )
    (tmp_path / "etc/group").write_text("sudo:x:27:other,steam\nsteam:x:1001:steam\nvideo:x:44:nosteam\n")
    user = user_named(tmp_path, "steam")
    assert user is not None
    assert (user.uid, user.gid, user.home, user.groups) == (1000, 1001, "/home/steam", (1001, 27))
    assert user_numbered(tmp_path, 1000) == user
    assert user_named(tmp_path, "nobody") is None


def test_the_throw_away_authority_can_sign_for_the_vendors_name_only() -> None:
    made = make_certificates("vendor.example")
    authority = x509.load_pem_x509_certificate(made.authority)
    names = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical
    assert names.value.permitted_subtrees == [x509.DNSName("vendor.example")]
    server = x509.load_pem_x509_certificate(made.certificate)
    server.verify_directly_issued_by(authority)
    assert b"PRIVATE" not in made.authority


def test_the_name_service_relay_answers_over_both_protocols() -> None:
    upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    upstream.bind(("127.0.0.1", 0))
    port = upstream.getsockname()[1]
    stream = socket.create_server(("127.0.0.1", port))

    def answer() -> None:
        question, sender = upstream.recvfrom(512)
        upstream.sendto(question[::-1], sender)
        connection, _ = stream.accept()
        with connection:
            data = connection.recv(512)
            connection.sendall(data[:2] + data[2:][::-1])

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    relay = DnsRelay("127.0.0.1", "127.0.0.1", 0, port)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            ask.settimeout(5)
            ask.sendto(b"question", ("127.0.0.1", relay.port))
            assert ask.recv(512) == b"noitseuq"
        with socket.create_connection(("127.0.0.1", relay.port), 5) as connection:
            connection.sendall(b"\0\3abc")
            assert connection.recv(512) == b"\0\3cba"
    finally:
        relay.stop()
        upstream.close()
        stream.close()
    assert reachable_servers(["127.0.0.53", "10.0.0.1"]) == ["10.0.0.1"]


def test_nvidia_smi_answers_from_the_models_state(tmp_path: Path) -> None:
    write_libraries(tmp_path, Gpu(memory_used=20000))

    def smi(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([str(tmp_path / "nvidia-smi"), *arguments], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    query = "--query-gpu=name,driver_version,memory.total,memory.used,memory.free"
    assert smi(query, "--format=csv,noheader,nounits") == (0, "NVIDIA GeForce RTX 4090, 591.86, 24564, 20000, 4564\n")
    assert smi("--query-gpu=memory.total", "--format=csv") == (0, "memory.total [MiB]\n24564 MiB\n")
    assert smi("--query-gpu=nonsense", "--format=csv")[0] == 2
    assert smi("--frobnicate")[0] == 2
    code, table = smi()
    assert code == 0
    assert "20000MiB /   24564MiB" in table
    write_libraries(tmp_path, Gpu(memory_used=1))
    assert smi("--query-gpu=memory.used", "--format=csv,noheader") == (0, "1 MiB\n")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build_wheel(folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def _server(stand_in: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments],
        cwd=stand_in,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--swap-spaces", "4"], 2, "unrecognized arguments: --swap-spaces"),
        (["--port", "http"], 2, "argument --port: invalid int value: 'http'"),
        (["--kv-cache-dtype", "fp4"], 2, "invalid choice: 'fp4'"),
        (["--gpu-memory-utilization", "92"], 1, "gpu_memory_utilization must be in (0, 1]"),
        (["--quantization", "awq_marlinX"], 1, "Unknown quantization method: awq_marlinX"),
        (["--max-model-len", "2.5K"], 2, "Decimals are not allowed with binary suffixes like K"),
        (["--enable-auto-tool-choice"], 1, "requires --tool-call-parser"),
    ],
)
def test_the_vllm_stand_in_refuses_what_vllm_refuses(
    stand_in: Path, arguments: list[str], code: int, said: str
) -> None:
    process = _server(stand_in, "--model", "m", *arguments)
    out, _ = process.communicate(timeout=30)
    assert said in out
    assert process.returncode == code


def test_the_vllm_stand_in_says_what_it_is(stand_in: Path) -> None:
    code = "import vllm; print(vllm.__version__); print(vllm.__doc__)"
    out = subprocess.run([sys.executable, "-c", code], cwd=stand_in, capture_output=True, text=True, check=True).stdout
    assert out.startswith("0.15.1+twin\n")
    assert "without a model" in out


def test_the_wheel_is_the_same_each_time(tmp_path: Path) -> None:
    assert build_wheel(tmp_path / "a").read_bytes() == build_wheel(tmp_path / "b").read_bytes()
