"""deploys/cuda.py and deploys/vllm.py on a twin in which something between the card and the server is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.twin_deploys import Deploy, Finished, run_pyinfra
from vengeance.twin.client import Twin

NAME = "cuda"
ENVIRONMENT = "/home/steam/vllm-env"
DROP_IN = "/etc/systemd/system/vllm-qwen2.5-coder-32b.service.d"

deploy: Deploy = partial(run_pyinfra, NAME, timeout=300)


@pytest.fixture(scope="module")
def box(twin_home: Path) -> Iterator[Twin]:
    """A twin that is as it should be, without Ollama."""
    twin = Twin(NAME)
    distro = twin.up()["distro"]
    try:
        if not distro["systemd"] or not distro["vendor_repository"]:
            pytest.skip("; ".join(distro["missing"]) or "no distro with systemd on this machine")
        done = deploy("deploys/wsl.py", "deploys/cuda.py", "deploys/vllm.py", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        yield twin
    finally:
        twin.down()


def said(done: Finished) -> str:
    """All that a run said, without the breaks that a terminal's width makes."""
    return done.stdout + done.stderr


def changes(done: Finished) -> list[str]:
    """How many operations changed something and how many failed; '-' for none."""
    (row,) = [line for line in said(done).splitlines() if line.strip().startswith("Grand total")]
    return row.split()[3:5]


def sh(twin: Twin, script: str, user: str = "root") -> str:
    """What a script in the distro prints, run by this machine's own tools."""
    done = twin.distro_exec(["/bin/sh", "-ec", script], user=user)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def changes_nothing() -> None:
    """Everything is right, and a run finds nothing to do."""
    done = deploy("deploys/cuda.py", "deploys/vllm.py", "--yes")
    assert done.returncode == 0, said(done)
    assert changes(done) == ["-", "-"]


def test_a_second_run_changes_nothing(box: Twin) -> None:
    changes_nothing()


def no_dxg(twin: Twin) -> Callable[[], object]:
    twin.card_set(dxg=False)
    return lambda: twin.card_set(dxg=True)


def old_driver(twin: Twin) -> Callable[[], object]:
    twin.card_set(driver="537.58")
    return lambda: twin.card_set(driver="591.86")


def no_card(twin: Twin) -> Callable[[], object]:
    twin.card_set(present=False)
    return lambda: twin.card_set(present=True)


def linux_utilities(twin: Twin) -> Callable[[], object]:
    sh(
        twin,
        "mkdir -p /root/package/DEBIAN && cd /root && printf 'Package: nvidia-utils-550\\nVersion: 1\\n"
        "Architecture: all\\nMaintainer: us\\nDescription: its name is enough\\n' > package/DEBIAN/control && "
        "dpkg-deb -b package p.deb && dpkg -i p.deb",
    )
    return lambda: sh(twin, "apt-get purge nvidia-utils-550 -y")


def linux_driver(twin: Twin) -> Callable[[], object]:
    sh(twin, "mkdir -p /opt/driver && cp /usr/lib/wsl/lib/libcuda.so.1 /opt/driver")
    sh(twin, "echo /opt/driver > /etc/ld.so.conf.d/00-driver.conf && ldconfig")
    return lambda: sh(twin, "rm /opt/driver/libcuda.so.1 && ldconfig")


def no_libraries(twin: Twin) -> Callable[[], object]:
    sh(twin, "mount -t tmpfs none /usr/lib/wsl/lib")
    return lambda: sh(twin, "umount /usr/lib/wsl/lib")


@pytest.mark.parametrize(
    ("plant", "failure", "mend"),
    [
        (no_dxg, "no /dev/dxg", "wsl --update, then wsl --shutdown"),
        (old_driver, "NVIDIA's driver is 537.58, and 591.86 is the lowest", "Then, on Windows: wsl --shutdown"),
        (no_card, "No NVIDIA card is to be seen", "Install NVIDIA's driver 591.86"),
        (linux_utilities, "GPU access blocked (WSL#9166)", "apt-get purge nvidia-utils-550"),
        (linux_driver, "/opt/driver/libcuda.so.1 hides", "rm /opt/driver/libcuda.so.1 && ldconfig"),
        (no_libraries, "no libcuda.so.1 and no libnvidia-ml.so.1", "driver on Windows again"),
    ],
)
def test_a_card_that_does_not_reach_the_distro_is_named_with_its_mend_before_anything_is_installed(
    box: Twin, plant: Callable[[Twin], Callable[[], object]], failure: str, mend: str
) -> None:
    unplant = plant(box)
    try:
        done = deploy("deploys/cuda.py", "--yes")
    finally:
        unplant()
    assert done.returncode == 1
    (sentence,) = [line for line in said(done).splitlines() if "The card of Windows does not reach" in line]
    assert failure in sentence
    assert mend in sentence
    assert changes(done) == ["-", "1"] or changes(done) == ["-", "3"]
    assert "Traceback" not in said(done)


def test_after_each_of_these_mends_the_deploy_works_again_and_changes_nothing(box: Twin) -> None:
    changes_nothing()


@pytest.mark.full
@pytest.mark.parametrize("lost", ["/usr/local/cuda-12.4/bin/nvcc", "/usr/local/cuda"])
def test_a_toolkit_without_nvcc_is_installed_again(box: Twin, lost: str) -> None:
    sh(box, f"rm {lost}")
    done = deploy("deploys/cuda.py", "--yes")
    assert done.returncode == 0, said(done)
    assert "(missing, though cuda-toolkit-12-4 is installed) -> cuda-toolkit-12-4 cuda-nvcc-12-4" in said(done)
    assert "release 12.4" in sh(box, "/usr/local/cuda/bin/nvcc --version")
    assert changes(deploy("deploys/cuda.py", "--yes")) == ["-", "-"]


@pytest.mark.parametrize(
    ("setting", "failure", "mend"),
    [
        ("PrivateDevices=yes", "hides /dev/dxg from its program (ENOENT)", "PrivateDevices=no"),
        ("InaccessiblePaths=/usr/lib/wsl", "does not let its program load libcuda.so.1", "InaccessiblePaths"),
        ("Environment=CUDA_VISIBLE_DEVICES=-1", "torch.cuda.is_available() is False", "CUDA_VISIBLE_DEVICES"),
        ("ProtectHome=yes", "nothing can be started in the environment", "does ProtectHome hide it"),
    ],
)
def test_a_unit_that_hides_the_card_is_named_though_the_distro_has_it(
    box: Twin, setting: str, failure: str, mend: str
) -> None:
    sh(box, f"mkdir {DROP_IN}; printf '[Service]\\n{setting}\\n' > {DROP_IN}/theirs.conf; systemctl daemon-reload")
    try:
        done = deploy("deploys/vllm.py", "--yes")
    finally:
        sh(box, f"rm -r {DROP_IN}; systemctl daemon-reload")
    assert done.returncode == 1
    (sentence,) = [line for line in said(done).splitlines() if failure in line]
    assert "vllm-qwen2.5-coder-32b.service" in sentence
    assert mend in sentence


@pytest.mark.full
def test_a_torch_for_the_processor_is_no_silent_success(box: Twin) -> None:
    file = sh(box, f"echo {ENVIRONMENT}/lib/python3*/site-packages/torch/version.py").strip()
    sh(box, f"sed -i 's/^cuda = .*/cuda = None/' {file}", user="steam")
    try:
        refused = deploy("deploys/vllm.py", "--yes")
        taken = deploy("deploys/vllm.py", "--yes", "--data", "vllm_device=cpu")
    finally:
        sh(box, f"sed -i 's/^cuda = .*/cuda = \"12.8\"/' {file}", user="steam")
    assert refused.returncode == 1
    assert "torch 2.9.1+twin is the build for the processor, which sees no card whatever is there" in said(refused)
    assert "is to run on the processor (vllm_device), so torch is not asked about the card" in said(taken)


def test_a_half_installation_and_bad_marshal_data_are_mended(box: Twin) -> None:
    site = sh(box, f"echo {ENVIRONMENT}/lib/python3*/site-packages").strip()
    sh(box, f"{ENVIRONMENT}/bin/python -c 'import torch'", user="steam")
    # The header stays, and what the power cut took is zeros.
    zero = (
        f"for file in {site}/torch/__pycache__/cuda.*.pyc; do size=$(stat -c %s $file); head -c 16 $file > /tmp/half; "
        "head -c $((size - 16)) /dev/zero >> /tmp/half; cat /tmp/half > $file; done; "
    )
    sh(box, f"{zero} rm {site}/vllm-*.dist-info/RECORD; chown root {ENVIRONMENT}/bin/vllm")
    sh(box, f"mkdir {site}/~llm", user="steam")
    broken = box.distro_exec([f"{ENVIRONMENT}/bin/python", "-c", "import torch"], user="steam")
    assert b"bad marshal data" in broken.stderr
    done = deploy("deploys/vllm.py", "--yes")
    assert done.returncode == 0, said(done)
    for told in (
        "vllm-0.15.1+twin: its installation was cut short (no RECORD) -> installed again",
        "~llm, left by an installation that was cut short -> removed",
        "1 file of bytecode that cannot be read (bad marshal data)",
        f"{ENVIRONMENT}/bin/vllm: somebody else's -> steam's",
    ):
        assert told in said(done)
    assert sh(box, f"{ENVIRONMENT}/bin/python -c 'import torch, vllm; print(vllm.__version__)'", "steam").strip() == (
        "0.15.1+twin"
    )
    assert sh(box, f"find {ENVIRONMENT} ! -user steam; ls {site} | grep '~' || true") == ""
    changes_nothing()


def test_a_full_disk_is_told_before_anything_is_downloaded(box: Twin) -> None:
    sh(box, "mkdir -p /home/steam/small && mount -t tmpfs -o size=20m,mode=777 none /home/steam/small")
    try:
        done = deploy("deploys/vllm.py", "--yes", "--data", "vllm_path=/home/steam/small/env")
        left = sh(box, "ls -A /home/steam/small")
    finally:
        sh(box, "umount /home/steam/small")
    assert done.returncode == 1
    assert re.search(r"/home/steam/small/env has 0\.0 GB free on its disk, and 1\.1 GB are needed", said(done))
    assert left == ""


@pytest.mark.full
def test_a_disk_that_becomes_full_while_pip_installs_is_told_and_gone_on_with(box: Twin) -> None:
    site = sh(box, f"echo {ENVIRONMENT}/lib/python3*/site-packages").strip()
    # One page of room where vllm is unpacked; where room is looked for before, there is enough.
    sh(box, f"rm -rf {site}/vllm {site}/vllm-*.dist-info; install -d -o steam {site}/vllm")
    sh(box, f"mount -t tmpfs -o size=4k,mode=777 none {site}/vllm")
    try:
        done = deploy("deploys/vllm.py", "--yes")
    finally:
        sh(box, f"umount {site}/vllm")
    assert done.returncode == 1
    assert "[Errno 28] No space left on device" in said(done)
    assert "Make room in the distro and run this again; vllm_size_gb is what is reckoned with." in said(done)
    assert "Traceback" not in said(done)
    done = deploy("deploys/vllm.py", "--yes")
    assert done.returncode == 0, said(done)
    changes_nothing()
