"""Datasets in the browser: what comes in, what is found, what is written, and that nothing typed or sent is lost."""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.web.studio import Pages, Studio, assert_accessible, assert_fits, settle

DROP = """([selector, files]) => {
  const transfer = new DataTransfer();
  for (const { name, data } of files) {
    const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  const target = [...document.querySelectorAll(selector)].at(-1);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}"""


def _picture(path: Path, colour: int = 0, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (colour % 256, 90, 160)).save(path)
    return path


def _large(path: Path, megabytes: int) -> Path:
    """A good picture with room at its end, so that sending it takes a while."""
    _picture(path)
    with path.open("ab") as file:
        file.write(b"\0" * (megabytes << 20))
    return path


def _drop(page: Page, paths: list[Path]) -> None:
    files = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(DROP, [".mantine-Dropzone-root", files])


def _tagged(home: Path, name: str, captions: list[str]) -> Path:
    folder = home / "datasets" / name
    for number, caption in enumerate(captions):
        _picture(folder / f"{number:03}.png", number * 20)
        if caption:
            (folder / f"{number:03}.txt").write_text(caption, encoding="utf-8")
    return folder


def _id(studio: Studio, name: str) -> str:
    found = studio.wait_for("/api/datasets", lambda answer: any(
        each["name"] == name and each["summary"] for each in answer["datasets"]))  # fmt: skip
    return next(each["id"] for each in found["datasets"] if each["name"] == name)


@pytest.fixture
def tagged(studio: Studio) -> tuple[str, Path]:
    folder = _tagged(studio.home, "tagged", ["dog, red", "dog, blue eyes", "cat, red", "cat", "", "dog, cat"])
    return _id(studio, "tagged"), folder


def _gallery(page: Page) -> Any:
    return page.get_by_test_id("gallery").get_by_role("button", name=re.compile("^Open "))


def test_what_is_dropped_becomes_a_dataset(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    page = pages("/datasets")
    pages.expect("415")
    settle(page)
    expect(page.get_by_text("No datasets yet")).to_be_visible()
    paths = [_picture(tmp_path / f"{number}.png", number) for number in range(40)]
    caption, wrong = tmp_path / "0.txt", tmp_path / "notes.docx"
    caption.write_text("a dog")
    wrong.write_text("no picture")
    _drop(page, [*paths, caption, wrong])
    page.get_by_label("Name").fill("dropped")
    page.get_by_role("button", name="Create and upload").click()
    # One file that cannot be used is named, and stops none of the others.
    expect(page.get_by_text("41 files uploaded")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("notes.docx is neither a picture nor a caption")).to_be_visible()
    expect(page.get_by_text("40 pictures · 1 caption")).to_be_visible()
    assert {path.name for path in (studio.home / "datasets" / "dropped").iterdir()} == {
        path.name for path in [*paths, caption]
    }


def test_names_that_are_taken_are_asked_about_once(pages: Pages, studio: Studio, tagged: tuple[str, Path],
                                                   tmp_path: Path) -> None:  # fmt: skip
    page = pages(f"/datasets/{tagged[0]}")
    pages.expect("409")
    settle(page)
    page.get_by_role("button", name="Add pictures").click()
    again = [_picture(tmp_path / f"{number:03}.png", 200) for number in range(3)]
    page.get_by_test_id("pick-files").set_input_files([*again, _picture(tmp_path / "new.png")])
    expect(page.get_by_text("3 files have names that the dataset has already")).to_be_visible()
    page.get_by_role("button", name="Keep both").click()
    expect(page.get_by_text("4 files uploaded")).to_be_visible()
    assert (tagged[1] / "000 (2).png").exists()
    assert (tagged[1] / "new.png").exists()


def test_an_archive_is_unpacked_with_captions(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        for number in range(3):
            archive.write(_picture(tmp_path / f"{number}.png", number), f"10_bird/{number}.png")
            archive.writestr(f"10_bird/{number}.txt", "bird")
    page = pages("/datasets")
    settle(page)
    page.get_by_test_id("pick-files").set_input_files(tmp_path / "birds.zip")
    expect(page.get_by_label("Name")).to_have_value("birds")
    page.get_by_role("button", name="Create and upload").click()
    expect(page.get_by_text("birds.zip: 3 pictures and 3 captions came in")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("3 pictures · 3 captions")).to_be_visible()
    assert (studio.home / "datasets" / "birds" / "10_bird" / "0.txt").read_text() == "bird"


def _slow(page: Page) -> None:
    """As over a slow line, so that there is a middle of an upload."""
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1 << 20})  # fmt: skip


def _in_the_middle(studio: Studio) -> None:
    studio.wait_for("/api/uploads", lambda answer: any(
        (1 << 18) < each["offset_bytes"] < each["size_bytes"] for each in answer["uploads"]), 30)  # fmt: skip


def test_an_upload_goes_on_after_a_reload(pages: Pages, studio: Studio, tagged: tuple[str, Path],
                                          tmp_path: Path) -> None:  # fmt: skip
    large = _large(tmp_path / "large.png", 6)
    page = pages(f"/datasets/{tagged[0]}")
    settle(page)
    _slow(page)
    page.get_by_role("button", name="Add pictures").click()
    page.get_by_test_id("pick-files").set_input_files(large)
    _in_the_middle(studio)
    page.reload()
    expect(page.get_by_text("1 upload did not arrive whole")).to_be_visible()
    arrived = studio.ask("GET", "/api/uploads")["uploads"][0]
    sent: list[int] = []
    page.on("request", lambda request: request.method == "PATCH" and sent.append(
        int(request.headers.get("upload-offset", "-1"))))  # fmt: skip
    page.get_by_test_id("pick-same").set_input_files(large)
    expect(page.get_by_text("1 file uploaded")).to_be_visible(timeout=30_000)
    assert sent and sent[0] >= arrived["offset_bytes"] > 0, "the beginning was sent a second time"
    assert (tagged[1] / "large.png").read_bytes() == large.read_bytes()


def test_an_upload_goes_on_after_the_server_was_killed(pages: Pages, studio: Studio, tagged: tuple[str, Path],
                                                       tmp_path: Path) -> None:  # fmt: skip
    large = _large(tmp_path / "large.png", 6)
    page = pages(f"/datasets/{tagged[0]}")
    pages.expect("ERR_CONNECTION|WebSocket|ERR_EMPTY_RESPONSE|ERR_SOCKET")
    settle(page)
    _slow(page)
    page.get_by_role("button", name="Add pictures").click()
    page.get_by_test_id("pick-files").set_input_files(large)
    _in_the_middle(studio)
    studio.kill()
    page.wait_for_timeout(1500)
    studio.start()
    expect(page.get_by_text("1 file uploaded")).to_be_visible(timeout=60_000)
    assert (tagged[1] / "large.png").read_bytes() == large.read_bytes()


def test_clicks_on_tags_make_the_query(pages: Pages, tagged: tuple[str, Path]) -> None:
    page = pages(f"/datasets/{tagged[0]}")
    pages.expect("422")
    settle(page)
    expect(_gallery(page)).to_have_count(6)
    tags = page.get_by_role("region", name="Tags")
    tags.get_by_role("button", name=re.compile("^dog")).click()
    expect(_gallery(page)).to_have_count(3)
    tags.get_by_role("button", name=re.compile("^cat")).click(modifiers=["Alt"])
    expect(_gallery(page)).to_have_count(2)
    tags.get_by_role("button", name=re.compile("blue eyes")).click(button="right")
    expect(_gallery(page)).to_have_count(1)
    assert page.get_by_label("Search pictures").input_value() == 'tag:dog -tag:cat -tag:"blue eyes"'
    # The address holds the view: another tab shows the same.
    again = pages(page.url.removeprefix(re.match(r"https?://[^/]+", page.url)[0]))  # type: ignore[index]
    expect(_gallery(again)).to_have_count(1)
    page.get_by_label("Search pictures").fill("tag:dog size:abc")
    expect(page.get_by_role("alert")).to_contain_text("size")
    expect(page.get_by_label("Search pictures")).to_have_value("tag:dog size:abc")


def test_pictures_are_chosen_by_click_shift_and_keys(pages: Pages, tagged: tuple[str, Path]) -> None:
    page = pages(f"/datasets/{tagged[0]}")
    settle(page)
    cards = _gallery(page)
    expect(cards).to_have_count(6)
    cards.nth(1).click(modifiers=["Control"])
    cards.nth(3).click(modifiers=["Shift"])
    expect(page.get_by_text("3 pictures chosen")).to_be_visible()
    page.keyboard.press("Control+i")
    expect(page.get_by_text("3 pictures chosen")).to_be_visible()
    page.keyboard.press("Control+a")
    expect(page.get_by_text("6 pictures chosen")).to_be_visible()
    page.get_by_role("button", name="Move to trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text("Moved to the trash")).to_be_visible()
    assert not list(tagged[1].glob("*.png"))


def test_a_caption_saves_itself(pages: Pages, tagged: tuple[str, Path]) -> None:
    page = pages(f"/datasets/{tagged[0]}?item=003.png")
    field = page.get_by_label("Add a tag")
    field.fill("bl")
    # What is offered is not forced: Enter takes what was typed.
    expect(page.get_by_role("option", name=re.compile("blue eyes"))).to_be_visible()
    field.press("Enter")
    expect(page.get_by_role("button", name="Change bl", exact=True)).to_be_visible()
    field.fill("blu")
    expect(page.get_by_role("option", name=re.compile("blue eyes"))).to_be_visible()
    field.press("ArrowDown")
    field.press("Enter")
    page.get_by_text("Saved", exact=True).wait_for()
    assert (tagged[1] / "003.txt").read_text() == "cat, bl, blue eyes"
    field.press("Control+Enter")
    expect(page.get_by_text("5 of 6")).to_be_visible()
    page.get_by_role("button", name="Previous picture").click()
    page.get_by_role("button", name="History").click()
    page.get_by_role("button", name="Restore this").last.click()
    page.get_by_role("button", name="Change blue eyes").wait_for(state="detached")
    assert (tagged[1] / "003.txt").read_text() == "cat"


def test_a_stale_tab_shows_the_difference_and_loses_nothing(pages: Pages, tagged: tuple[str, Path]) -> None:
    address = f"/datasets/{tagged[0]}?item=000.png&as=text"
    one, other = pages(address), pages(address)
    pages.expect("409")
    for page in (one, other):
        expect(page.get_by_label("Caption", exact=True)).to_have_value("dog, red")
    one.get_by_label("Caption", exact=True).fill("dog, red, first")
    one.get_by_text("Saved", exact=True).wait_for()
    # Typing in one and saving there takes a moment: the other one still has the old version.
    expect.set_options(timeout=10_000)
    other.get_by_label("Caption", exact=True).fill("dog, red, second")
    expect(other.get_by_text("This caption was changed elsewhere")).to_be_visible()
    expect(other.get_by_label("Caption", exact=True)).to_have_value("dog, red, second")
    expect(other.locator("ins")).to_have_text("second")
    assert (tagged[1] / "000.txt").read_text() == "dog, red, first"
    # What was typed survives even a reload before the choice.
    other.reload()
    expect(other.get_by_text("This caption was changed elsewhere")).to_be_visible()
    other.get_by_role("button", name="Save mine").click()
    other.get_by_text("Saved", exact=True).wait_for()
    assert (tagged[1] / "000.txt").read_text() == "dog, red, second"


def test_a_caption_typed_without_a_server_is_saved_when_it_is_back(pages: Pages, studio: Studio,
                                                                   tagged: tuple[str, Path]) -> None:  # fmt: skip
    page = pages(f"/datasets/{tagged[0]}?item=000.png&as=text")
    pages.expect("ERR_CONNECTION|WebSocket|ERR_EMPTY_RESPONSE|ERR_SOCKET")
    expect(page.get_by_label("Caption", exact=True)).to_have_value("dog, red")
    studio.kill()
    page.get_by_label("Caption", exact=True).fill("typed in the dark")
    expect(page.get_by_text("Not saved")).to_be_visible()
    studio.start()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible(timeout=20_000)
    assert (tagged[1] / "000.txt").read_text() == "typed in the dark"


def test_a_bulk_edit_is_shown_done_and_undone(pages: Pages, tagged: tuple[str, Path]) -> None:
    before = {path.name: path.read_bytes() for path in tagged[1].glob("*.txt")}
    page = pages(f"/datasets/{tagged[0]}?tab=edits")
    settle(page)
    page.get_by_role("button", name="Add an operation").click()
    page.get_by_role("menuitem", name=re.compile("Trigger word")).click()
    page.get_by_label("Word", exact=True).fill("ohwx")
    page.get_by_role("button", name="Show every change").click()
    expect(page.get_by_text("6 captions would change")).to_be_visible()
    expect(page.locator("ins").first).to_contain_text("ohwx")
    assert {path.name: path.read_bytes() for path in tagged[1].glob("*.txt")} == before
    page.get_by_role("button", name="Change 6 captions").click()
    edits = page.get_by_role("region", name="Edits so far")
    edits.get_by_role("button", name="Undo").wait_for()
    assert (tagged[1] / "000.txt").read_text() == "ohwx, dog, red"
    edits.get_by_role("button", name="Undo").click()
    edits.get_by_role("button", name="Redo").wait_for()
    assert {path.name: path.read_bytes() for path in tagged[1].glob("*.txt")} == before


def test_duplicates_are_found_and_go_to_the_trash(pages: Pages, studio: Studio, tagged: tuple[str, Path]) -> None:
    (tagged[1] / "copy.png").write_bytes((tagged[1] / "000.png").read_bytes())
    page = pages(f"/datasets/{tagged[0]}?tab=checks&check=duplicates")
    page.get_by_role("button", name="Look for them").click()
    expect(page.get_by_role("heading", name="Duplicates: 1")).to_be_visible()
    page.get_by_role("button", name="Move 1 to trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_role("heading", name="Duplicates: 0")).to_be_visible()
    assert len(list(tagged[1].glob("*.png"))) == 6


def test_pictures_are_copied_into_a_new_dataset(pages: Pages, studio: Studio, tagged: tuple[str, Path]) -> None:
    page = pages(f"/datasets/{tagged[0]}?tab=copy")
    settle(page)
    page.get_by_label("Name of the new dataset").fill("turned")
    page.get_by_role("combobox", name="File type").click()
    page.get_by_role("option", name="WebP").click()
    page.get_by_role("button", name="Make the new dataset").click()
    page.get_by_role("link", name="Open turned").click()
    expect(page.get_by_role("heading", name="turned", level=1)).to_be_visible()
    assert len(list((studio.home / "datasets" / "turned").glob("*.webp"))) == 6


def _views(identifier: str) -> dict[str, str]:
    tabs = ["edits", "checks", "buckets", "numbers", "copy", "settings"]
    found = {tab: f"/datasets/{identifier}?tab={tab}" for tab in tabs}
    return {"library": "/datasets", "pictures": f"/datasets/{identifier}",
            "editor": f"/datasets/{identifier}?item=000.png"} | found  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(pages: Pages, tagged: tuple[str, Path], scheme: str) -> None:
    page = pages("/datasets", scheme=scheme)
    _each_view(page, tagged[0], lambda name: assert_accessible(page))


def test_a_phone_shows_all_of_it(pages: Pages, tagged: tuple[str, Path]) -> None:
    page = pages("/datasets", phone=True)

    def look(name: str) -> None:
        assert_fits(page)
        assert_accessible(page)

    _each_view(page, tagged[0], look)


def _each_view(page: Page, identifier: str, look: Callable[[str], None]) -> None:
    start = re.match(r"https?://[^/]+", page.url)
    assert start
    for name, path in _views(identifier).items():
        page.goto(start[0] + path)
        settle(page)
        try:
            look(name)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
