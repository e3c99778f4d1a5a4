"""Files, directories, templates and downloads on Windows: over the twin's own web, with all that goes wrong there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError

from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.waiting import eventually
from vengeance.facts.windows import File, Work
from vengeance.operations import windows
from vengeance.operations.windows import files
from vengeance.operations.work import name_of
from vengeance.twin.__main__ import parse_faults
from vengeance.twin.vendors import packages
from vengeance.twin.vendors.site import WebFault
from vengeance.twin.vendors.vendors import IMAGE_URL, SETUP_URL, WSL_URL, ZIP_URL, Vendors
from vengeance.twin.windows.web import WebError

DEST = "C:\\ProgramData\\vengeance\\downloads\\OllamaSetup.exe"
PLACE = "ProgramData/vengeance/downloads/OllamaSetup.exe"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.wsl"
    path.write_bytes(bytes(range(256)) * 10_000)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def vendors(cache: Path, image: Path) -> Iterator[Vendors]:
    one = Vendors(cache, image)
    yield one
    one.stop()


@pytest.fixture
def there(tmp_path: Path, vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> WorksHost:
    monkeypatch.setattr(files, "_FIRST_PAUSE_SECONDS", 0.001)
    box = Box(tmp_path)
    vendors.introduce(box.windows.web)
    return WorksHost(box)


def wanted(vendors: Vendors, **changes: Any) -> dict[str, Any]:
    return {"url": SETUP_URL, "dest": DEST, "sha256": vendors.served[SETUP_URL], **changes}


def ranges(vendors: Vendors) -> list[str | None]:
    """What was asked for of each file, redirects left out."""
    return [request.range for request in vendors.site.requests if request.status != 302]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- downloads ---


def test_a_download_lies_in_its_place_and_a_second_run_changes_nothing(there: WorksHost, vendors: Vendors) -> None:
    good, run = there.run(windows.download, **wanted(vendors, signer="Ollama Inc."))
    assert good
    assert len(run.commands) == 1
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]
    folder = (there.box.drive_c / PLACE).parent
    assert [file.name for file in folder.iterdir()] == ["OllamaSetup.exe"]
    assert [request.status for request in vendors.site.requests] == [302, 200]
    good, run = there.run(windows.download, **wanted(vendors, signer="Ollama Inc."))
    assert good
    assert run.commands == []
    assert run.noops == [f"{DEST} is downloaded"]


def test_a_download_cut_in_the_middle_resumes_and_ends_with_the_right_hash(there: WorksHost, vendors: Vendors) -> None:
    vendors.site.fault(WebFault("cut", 1_000_000, times=2))
    assert there.run(windows.download, **wanted(vendors))[0]
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]
    assert ranges(vendors) == [None, "bytes=1000000-", "bytes=2000000-"]


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_that_is_another_one_meanwhile_is_downloaded_anew(
    there: WorksHost, vendors: Vendors, tmp_path: Path, knows_if_range: bool
) -> None:
    vendors.site.knows_if_range = knows_if_range
    url = "https://github.com/somebody/something/file.bin"
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old" * 100_000)
    new.write_bytes(b"new" * 100_000)
    vendors.publish(url, old)
    vendors.site.fault(WebFault("cut", 150_000))
    vendors.site.fault(WebFault("status", 404))
    right = sha256(new)
    assert not there.run(windows.download, url=url, dest=DEST, sha256=right)[0]
    assert (there.box.drive_c / f"{PLACE}.part").stat().st_size == 150_000
    vendors.publish(url, new)
    assert there.run(windows.download, url=url, dest=DEST, sha256=right)[0]
    assert sha256(there.box.drive_c / PLACE) == right


def test_a_download_that_came_whole_and_was_not_checked_is_not_fetched_again(
    there: WorksHost, vendors: Vendors
) -> None:
    vendors.site.fault(WebFault("cut", 1_000_000))
    vendors.site.fault(WebFault("status", 404))
    assert not there.run(windows.download, **wanted(vendors))[0]
    via = vendors.site.redirects[SETUP_URL]
    whole = vendors.site.artefacts[via].path.read_bytes()
    (there.box.drive_c / f"{PLACE}.part").write_bytes(whole)
    assert there.run(windows.download, **wanted(vendors))[0]
    assert vendors.site.requests[-1].status == 416
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_part_that_is_longer_than_the_file_is_fetched_anew(there: WorksHost, vendors: Vendors) -> None:
    vendors.site.fault(WebFault("cut", 1_000_000))
    vendors.site.fault(WebFault("status", 404))
    assert not there.run(windows.download, **wanted(vendors))[0]
    (there.box.drive_c / f"{PLACE}.part").write_bytes(bytes(5_000_000))
    assert there.run(windows.download, **wanted(vendors))[0]
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_part_of_another_address_is_not_gone_on_with(there: WorksHost, vendors: Vendors) -> None:
    vendors.site.fault(WebFault("cut", 100_000))
    vendors.site.fault(WebFault("status", 404))
    assert not there.run(windows.download, **wanted(vendors, url=WSL_URL))[0]
    assert there.run(windows.download, **wanted(vendors))[0]
    assert ranges(vendors)[-1] is None
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_server_that_says_nothing_any_more_is_left_and_asked_again(
    there: WorksHost, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "STALL_SECONDS", 0.3)
    vendors.site.fault(WebFault("stall", 500_000))
    assert there.run(windows.download, **wanted(vendors))[0]
    assert ranges(vendors) == [None, "bytes=500000-"]


def test_a_server_that_is_overloaded_is_asked_again_and_an_address_that_is_wrong_is_not(
    there: WorksHost, vendors: Vendors
) -> None:
    vendors.site.fault(WebFault("status", 503, times=2))
    assert there.run(windows.download, **wanted(vendors))[0]
    good, _ = there.run(windows.download, **wanted(vendors, url=SETUP_URL + "x", dest=DEST + ".other"))
    assert not good
    assert "The server answered 404" in there.said[-1]
    assert vendors.site.requests[-1].status == 404
    assert vendors.site.requests[-2].status != 404


def test_a_download_that_always_fails_is_given_up_and_the_next_run_goes_on(
    there: WorksHost, vendors: Vendors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "TRIES", 3)
    vendors.site.fault(WebFault("cut", 100_000, times=3))
    assert not there.run(windows.download, **wanted(vendors))[0]
    assert "could not be downloaded in 3 tries" in there.said[-1]
    assert "300000 bytes have come" in there.said[-1]
    assert there.run(windows.download, **wanted(vendors))[0]
    assert ranges(vendors)[-1] == "bytes=300000-"
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_wrong_hash_is_refused_with_both_hashes_and_leaves_nothing(there: WorksHost, vendors: Vendors) -> None:
    asked = "0" * 64
    good, _ = there.run(windows.download, **wanted(vendors, sha256=asked))
    assert not good
    assert asked in there.said[-1]
    assert vendors.served[SETUP_URL] in there.said[-1]
    assert list((there.box.drive_c / PLACE).parent.iterdir()) == []


def test_a_wrong_hash_leaves_the_file_that_was_there(there: WorksHost, vendors: Vendors) -> None:
    place = there.box.drive_c / PLACE
    place.parent.mkdir(parents=True)
    place.write_bytes(b"the old one")
    assert not there.run(windows.download, **wanted(vendors, sha256="0" * 64))[0]
    assert place.read_bytes() == b"the old one"


def test_a_file_that_is_not_signed_by_whom_it_should_be_is_refused(
    there: WorksHost, vendors: Vendors, tmp_path: Path
) -> None:
    assert not there.run(windows.download, **wanted(vendors, signer="Somebody Else"))[0]
    assert "'Valid' and by 'Ollama Inc.'" in there.said[-1]
    assert "by 'Somebody Else'" in there.said[-1]
    signed = packages.sign(b"something", "Ollama Inc.")
    for name, data in (("changed", b"x" + signed), ("unsigned", b"something")):
        file = tmp_path / name
        file.write_bytes(data)
        url = f"https://github.com/somebody/{name}"
        asked = vendors.publish(url, file)
        assert not there.run(windows.download, url=url, dest=DEST, sha256=asked, signer="Ollama Inc.")[0]
        status = "HashMismatch" if name == "changed" else "NotSigned"
        assert f"is '{status}'" in there.said[-1]
    assert list((there.box.drive_c / PLACE).parent.iterdir()) == []


def test_a_disk_without_room_is_said_before_anything_is_written(there: WorksHost, vendors: Vendors) -> None:
    there.box.windows.state.set_free_bytes(1_000_000)
    assert not there.run(windows.download, **wanted(vendors))[0]
    assert "The disk C:\\ has 1 MB free, and 4 MB are still to come for" in there.said[-1]
    assert not (there.box.drive_c / PLACE).exists()
    there.box.windows.state.set_free_bytes(None)
    assert there.run(windows.download, **wanted(vendors))[0]
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_disk_that_fills_up_meanwhile_is_said_and_the_next_run_goes_on(there: WorksHost, vendors: Vendors) -> None:
    drive = there.box.windows.drive
    free = 10_000_000
    there.box.windows.state.set_free_bytes(free)
    real, once = drive.take, iter([True])

    def somebody_else_writes_too(count: int, path: str) -> None:
        real(count, path)
        if path.endswith(".part") and count > 1000 and next(once, False):
            drive.free_bytes = 2_500_000

    drive.take = somebody_else_writes_too  # type: ignore[method-assign]
    assert not there.run(windows.download, **wanted(vendors))[0]
    assert "The disk is full" in there.said[-1]
    kept = (there.box.drive_c / f"{PLACE}.part").stat().st_size
    assert 0 < kept < 2_000_000
    drive.take = real  # type: ignore[method-assign]
    there.box.windows.state.set_free_bytes(None)
    assert there.run(windows.download, **wanted(vendors))[0]
    assert ranges(vendors)[-1] == f"bytes={kept}-"
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_a_download_goes_on_while_the_connection_to_the_box_is_away(there: WorksHost, vendors: Vendors) -> None:
    place = there.box.drive_c / PLACE

    def away_until_it_is_done(script: str) -> None:
        if script == "Get-Work" and not place.exists():
            raise OSError("the connection was cut")

    there.before = away_until_it_is_done
    assert there.run(windows.download, **wanted(vendors))[0]
    assert sha256(place) == vendors.served[SETUP_URL]
    assert there.scripts.count("Start-Work") == 1
    assert any("the box goes on by itself" in text for text in there.said)


def test_a_restart_in_the_middle_of_a_download_is_said_and_the_next_run_goes_on(
    there: WorksHost, vendors: Vendors
) -> None:
    vendors.site.fault(WebFault("stall", 700_000))
    part = there.box.drive_c / f"{PLACE}.part"
    ended: list[bool] = []
    thread = threading.Thread(
        target=lambda: ended.append(there.run(windows.download, **wanted(vendors))[0]), daemon=True
    )
    thread.start()
    # Once it is asked how far it is, the work has surely begun, and a stalled response is read up to its last byte.
    eventually(lambda: ranges(vendors) and part.exists() and "Get-Work" in there.scripts, "the download", 60)
    there.box.windows.stop_all()
    there.box.windows.state.boot()
    thread.join(60)
    assert ended == [False]
    assert "Windows was restarted" in there.said[-1]
    name = name_of("OllamaSetup.exe", DEST.lower())
    assert there.fact(Work, work_name=name)["state"] == "died"
    assert there.run(windows.download, **wanted(vendors))[0]
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]


def test_where_only_a_proxy_gets_out_a_download_goes_through_it(there: WorksHost, vendors: Vendors) -> None:
    there.box.windows.web.direct = False
    proxy = "http://proxy.lan:3128"
    assert there.run(windows.download, **wanted(vendors, proxy=proxy))[0]
    assert sha256(there.box.drive_c / PLACE) == vendors.served[SETUP_URL]
    assert vendors.proxy.tunnels == ["github.com:443", "release-assets.githubusercontent.com:443"]


def test_without_the_proxy_nobody_gets_out(there: WorksHost, vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "TRIES", 2)
    there.box.windows.web.direct = False
    assert not there.run(windows.download, **wanted(vendors))[0]
    assert "Unable to connect to the remote server" in there.said[-1]


def test_a_server_whose_certificate_is_not_believed_is_not_asked_again(
    there: WorksHost, vendors: Vendors, cache: Path
) -> None:
    other = Vendors(cache)
    there.box.windows.web.names["github.com"] = other._server.address
    try:
        assert not there.run(windows.download, **wanted(vendors))[0]
    finally:
        other.stop()
    assert "is not believed" in there.said[-1]
    assert vendors.site.requests == other.site.requests == []


def test_the_vendors_are_found_by_their_names_on_this_windows_alone(there: WorksHost, tmp_path: Path) -> None:
    with pytest.raises(WebError, match=r"could not be resolved: 'example\.org'"):
        there.box.windows.web.open("https://example.org/")
    with pytest.raises(WebError, match=r"could not be resolved: 'github\.com'"):
        Box(tmp_path / "other").windows.web.open(SETUP_URL)


def test_all_that_the_deploys_download_is_served_at_the_vendors_addresses(vendors: Vendors, image: Path) -> None:
    assert set(vendors.served) == {WSL_URL, SETUP_URL, ZIP_URL, IMAGE_URL}
    assert vendors.served[IMAGE_URL] == sha256(image)


def test_progress_tells_bytes_percent_speed_and_time_left() -> None:
    from vengeance.box.downloads import Transfer

    times = iter([0.0, 10.0, 12.0])
    say = Transfer("image.wsl", lambda: next(times))
    assert say({"phase": "downloading", "bytes": 0, "total": 400_000_000}) == (
        "image.wsl: downloading 0 B of 400.0 MB, 0 %"
    )
    assert say({"phase": "downloading", "bytes": 100_000_000, "total": 400_000_000}) == (
        "image.wsl: downloading 100.0 MB of 400.0 MB, 25 %, 10.0 MB/s, 30 s left"
    )
    assert say({"phase": "checking", "bytes": 5, "total": None}) == "image.wsl: checking 5 B"


# --- files, directories, templates ---


def test_a_file_comes_and_goes(there: WorksHost) -> None:
    path, place = "C:\\Users\\Steam\\mark", there.box.drive_c / "Users/Steam/mark"
    assert there.run(windows.file, path=path)[0]
    assert place.read_bytes() == b""
    place.write_bytes(b"content stays")
    assert there.run(windows.file, path=path)[1].noops == [f"file {path} is there"]
    assert place.read_bytes() == b"content stays"
    assert there.run(windows.file, path=path, present=False)[0]
    assert not place.exists()
    assert there.run(windows.file, path=path, present=False)[1].commands == []
    assert not there.run(windows.file, path="C:\\Users")[0]
    assert "is a directory" in there.said[-1]


def test_a_directory_comes_with_those_above_it_and_goes_only_when_it_may(there: WorksHost) -> None:
    path, place = "C:\\WSL\\Ubuntu-24.04", there.box.drive_c / "WSL/Ubuntu-24.04"
    assert there.run(windows.directory, path=path)[0]
    assert place.is_dir()
    assert there.run(windows.directory, path=path)[1].noops == [f"directory {path} is there"]
    (place / "disk").write_bytes(b"x")
    assert not there.run(windows.directory, path=path, present=False)[0]
    assert "is not empty, so it stays" in there.said[-1]
    assert there.run(windows.directory, path=path, present=False, contents=True)[0]
    assert not place.exists()
    assert there.run(windows.directory, path=path, present=False)[1].commands == []
    assert there.fact(File, path="C:\\WSL")["type"] == "directory"


def test_a_template_lands_with_the_line_ends_that_it_should_have(there: WorksHost, tmp_path: Path) -> None:
    source = tmp_path / "some.j2"
    source.write_text("{% for line in lines %}\n{{ line }}\n{% endfor %}\n")
    place = there.box.drive_c / "Users/Steam/some.txt"
    given: dict[str, Any] = {"src": str(source), "dest": "C:\\Users\\Steam\\some.txt", "lines": ["eins", "zwei ä"]}
    assert there.run(windows.template, **given)[0]
    assert place.read_bytes() == "eins\r\nzwei ä\r\n".encode()
    assert there.run(windows.template, **given)[1].commands == []
    assert there.run(windows.template, newline="lf", **given)[0]
    assert place.read_bytes() == "eins\nzwei ä\n".encode()


@pytest.mark.parametrize(
    ("operation", "arguments", "sentence"),
    [
        (windows.download, {"url": "http://github.com/x"}, "begins with https://"),
        (windows.download, {"url": "https://me:secret@github.com/x"}, "would be shown"),
        (windows.download, {"url": "https://github.com/a b"}, "is no address"),
        (windows.download, {"sha256": "abc"}, "is no SHA-256: it has 64 hex digits"),
        (windows.download, {"dest": "Downloads\\x.exe"}, "is not a full Windows path"),
        (windows.download, {"dest": "C:\\Downloads\\"}, "is a folder: add the name of the file"),
        (windows.download, {"dest": "C:\\Downloads\\..\\x"}, "write the path that it leads to"),
        (windows.download, {"proxy": "proxy.lan:3128"}, "begins with http://"),
        (windows.download, {"proxy": "http://u:p@proxy.lan:3128"}, "would be shown"),
        (windows.file, {"path": "C:\\a\\nul"}, "is a device"),
        (windows.file, {"path": "C:\\a?"}, "has '\\?' in it"),
        (windows.file, {"path": "C:\\a.txt:hidden"}, "a hidden stream"),
        (windows.directory, {"path": "C:\\", "present": False}, "is a drive, and stays"),
        (windows.directory, {"path": "WSL"}, "is not a full Windows path"),
        (windows.template, {"src": "nothing.j2", "dest": "C:\\x"}, "is not there"),
        (windows.template, {"src": "nothing.j2", "dest": "C:\\x", "newline": "cr"}, "end with crlf or lf"),
    ],
)
def test_bad_input_is_refused_before_the_box_is_asked(
    there: WorksHost, vendors: Vendors, operation: Any, arguments: dict[str, Any], sentence: str
) -> None:
    given = wanted(vendors, **arguments) if operation is windows.download else arguments
    with pytest.raises(OperationValueError, match=sentence):
        there.run(operation, **given)
    assert there.scripts == []


def test_a_template_that_asks_for_a_name_without_a_value_is_refused(there: WorksHost, tmp_path: Path) -> None:
    source = tmp_path / "other.j2"
    source.write_text("{{ nobody }}")
    with pytest.raises(OperationValueError, match="'nobody' is undefined"):
        there.run(windows.template, src=str(source), dest="C:\\x")


# --- faults from the command line ---


def test_faults_of_the_web_and_of_installers_are_set_from_the_command_line() -> None:
    assert parse_faults(["web-cut", "1000", "web-status", "503"], None, 2) == [
        {"kind": "web", "how": "cut", "value": 1000, "times": 2},
        {"kind": "web", "how": "status", "value": 503, "times": 2},
    ]
    assert parse_faults(["web-stall", "0", "installer", "1618"], None, None) == [
        {"kind": "web", "how": "stall", "value": 0},
        {"kind": "installer", "code": 1618},
    ]
    with pytest.raises(ValueError, match="web-cut needs a number of bytes"):
        parse_faults(["web-cut"], None, None)


@pytest.mark.parametrize(
    ("how", "value", "times"), [("slow", 0, 1), ("late", 1, 1), ("cut", -1, 1), ("cut", 1, 0), ("status", 200, 1)]
)
def test_a_fault_of_the_web_that_cannot_be_is_refused(how: Any, value: int, times: int) -> None:
    with pytest.raises(ValueError, match=r"fault|status"):
        WebFault(how, value, times)
