"""Files that come into datasets: folders, hundreds, archives; and whatever comes between."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.web.sets import contents, drop, heavy, in_the_middle, picture, slow_line, tagged
from tests.e2e.web.studio import Pages, Studio, settle

GONE = "ERR_CONNECTION|WebSocket|ERR_EMPTY_RESPONSE|ERR_SOCKET|ERR_NETWORK|ERR_INCOMPLETE"


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures that take seconds over a slow line, and some that take none."""
    for number in range(12):
        heavy(tmp_path / "set" / f"{number:02}.png", 2 if number < 2 else 0.05, number)
    return tmp_path / "set"


@pytest.mark.full
def test_a_folder_dropped_on_home_becomes_a_dataset(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    """Hundreds of files with captions, a mask and a sub-folder; two that cannot be used stop none of the others."""
    good = tmp_path / "dogs"
    for number in range(298):
        picture(good / ("10_more" if number > 200 else "") / f"{number:03}.png", number, 16)
    (good / "000.txt").write_text("a dog")
    picture(good / "000-masklabel.png", 3, 16)
    expected = contents(good)
    (good / "notes.docx").write_text("no picture")
    (good / "torn.png").write_text("no picture either")
    (good / ".DS_Store").write_text("left behind")
    page = pages("/")
    pages.expect("415|422")
    settle(page)
    drop(page, good)
    expect(page.get_by_label("Name")).to_have_value("dogs")
    page.get_by_role("button", name="Create and upload").click()
    expect(page.get_by_text("300 files uploaded")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("notes.docx is neither a picture nor a caption")).to_be_visible()
    expect(page.get_by_text("torn.png holds text, not a picture")).to_be_visible()
    expect(page.get_by_text("298 pictures · 1 caption")).to_be_visible()
    assert contents(studio.home / "datasets" / "dogs") == expected


@pytest.mark.full
def test_names_that_are_taken_are_asked_about_once(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    identifier, there = tagged(studio)
    page = pages(f"/datasets/{identifier}")
    pages.expect("409")
    settle(page)
    page.get_by_role("button", name="Add pictures").click()
    again = [picture(tmp_path / f"{number:03}.png", 200) for number in range(3)]
    page.get_by_test_id("pick-files").set_input_files([*again, picture(tmp_path / "new.png")])
    expect(page.get_by_text("3 files have names that the dataset has already")).to_be_visible()
    page.get_by_role("button", name="Keep both").click()
    expect(page.get_by_text("4 files uploaded")).to_be_visible()
    assert (there / "000 (2).png").exists()
    assert (there / "new.png").exists()


def test_an_archive_is_unpacked_with_captions(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        for number in range(3):
            archive.write(picture(tmp_path / f"{number}.png", number), f"10_bird/{number}.png")
            archive.writestr(f"10_bird/{number}.txt", "bird")
    page = pages("/datasets")
    settle(page)
    page.get_by_test_id("pick-files").set_input_files(tmp_path / "birds.zip")
    expect(page.get_by_label("Name")).to_have_value("birds")
    page.get_by_role("button", name="Create and upload").click()
    expect(page.get_by_text("birds.zip: 3 pictures and 3 captions came in")).to_be_visible()
    expect(page.get_by_text("3 pictures · 3 captions")).to_be_visible()
    assert (studio.home / "datasets" / "birds" / "10_bird" / "0.txt").read_text() == "bird"


def test_a_reload_forgets_no_file(pages: Pages, studio: Studio, folder: Path) -> None:
    """What had arrived is not sent again, what was in the middle goes on, what had not begun is not forgotten."""
    page = pages("/datasets")
    settle(page)
    slow_line(page)
    drop(page, folder)
    page.get_by_role("button", name="Create and upload").click()
    in_the_middle(studio)
    page.reload()
    left = page.get_by_role("alert").filter(has_text="did not arrive whole")
    expect(left).to_be_visible()
    parts = studio.ask("GET", "/api/uploads")["uploads"]
    sent: dict[str, int] = {}
    page.on("request", lambda request: request.method == "PATCH" and sent.setdefault(
        request.url.rpartition("/")[2], int(request.headers["upload-offset"])))  # fmt: skip
    page.get_by_test_id("pick-same-folder").set_input_files(folder)
    expect(page.get_by_text(re.compile("files? uploaded$"))).to_be_visible(timeout=60_000)
    begun = {each["id"]: each["offset_bytes"] for each in parts if each["offset_bytes"] > 0}
    assert begun
    assert all(sent.get(name, 2**40) >= offset for name, offset in begun.items()), "a beginning was sent a second time"
    assert contents(studio.home / "datasets" / "set") == contents(folder)
    page.reload()
    settle(page)
    expect(left).to_have_count(0)


def test_a_killed_server_loses_no_byte(pages: Pages, studio: Studio, folder: Path) -> None:
    page = pages("/datasets")
    pages.expect(f"{GONE}|409")
    settle(page)
    slow_line(page)
    drop(page, folder)
    page.get_by_role("button", name="Create and upload").click()
    in_the_middle(studio)
    studio.kill()
    expect(page.get_by_text("The uploads wait and go on by themselves")).to_be_visible()
    studio.start()
    expect(page.get_by_text("12 files uploaded")).to_be_visible(timeout=60_000)
    assert contents(studio.home / "datasets" / "set") == contents(folder)


def test_no_room_and_no_unpacker_are_said_where_they_are_missing(
    pages: Pages, studio: Studio, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.end()
    monkeypatch.setenv("LORATORY_FAULT", "upload.torn_append:2=enospc")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    studio.start()
    page = pages("/datasets")
    pages.expect("507|409")
    settle(page)
    drop(page, folder)
    page.get_by_role("button", name="Create and upload").click()
    expect(page.get_by_text("All uploads wait: there is no room on the server")).to_be_visible()
    expect(page.get_by_text("The disk is full or your quota is used up")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("12 files uploaded")).to_be_visible()
    assert contents(studio.home / "datasets" / "set") == contents(folder)
    (tmp_path / "odd.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(200))
    drop(page, tmp_path / "odd.7z")
    expect(
        page.get_by_text("This 7z archive needs a program that is not on this machine; install 7-Zip")
    ).to_be_visible()


@pytest.mark.full
def test_another_tab_does_not_call_running_uploads_lost(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    identifier, _there = tagged(studio)
    folder = tmp_path / "set"
    heavy(folder / "large.png", 3)
    picture(folder / "small.png")
    page = pages(f"/datasets/{identifier}")
    settle(page)
    slow_line(page, 1 << 18)
    drop(page, folder)
    in_the_middle(studio)
    second = page.context.new_page()
    pages.watch(second)
    second.goto(page.url)
    expect(second.get_by_text("Another tab or another person is uploading to this dataset")).to_be_visible()
    stranger = pages(f"/datasets/{identifier}")
    expect(stranger.get_by_text("Another tab or another person is uploading to this dataset")).to_be_visible()
    # The pictures show up there as they arrive.
    expect(stranger.get_by_role("button", name="Open set/small.png")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("2 files uploaded")).to_be_visible(timeout=60_000)
    expect(second.get_by_text("Another tab")).to_have_count(0)
    expect(second.get_by_text("did not arrive whole")).to_have_count(0)
