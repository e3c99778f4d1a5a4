"""The image that the vendor gives out, as it is imported: nobody's yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.twin.wsl_box import WslBox, wsl_box


@pytest.fixture(scope="module")
def box() -> Iterator[WslBox]:
    with wsl_box(distro=False) as one:
        yield one


def test_an_imported_image_has_no_user_as_ubuntus_has_none(box: WslBox) -> None:
    assert box.wsl(rf"--import fresh C:\fresh {box.put_image()}").code == 0
    accounts = box.wsl("-d fresh --exec getent passwd").out
    assert [line.split(":")[0] for line in accounts.splitlines() if 1000 <= int(line.split(":")[2]) < 65534] == []
    assert box.wsl("-d fresh --exec ls -A /home /etc/sudoers.d").out.split() == ["/etc/sudoers.d:", "README", "/home:"]
