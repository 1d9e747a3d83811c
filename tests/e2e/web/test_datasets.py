"""Datasets in the browser: what is found, what is written, and that nothing typed is lost."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.web.sets import id_of, tagged
from tests.e2e.web.studio import Pages, Studio, assert_accessible, assert_fits, settle

Dataset = tuple[str, Path]
Scheme = Literal["light", "dark"]


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture(name="tagged")
def tagged_dataset(studio: Studio) -> Dataset:
    return tagged(studio)


def _gallery(page: Page) -> Any:
    return page.get_by_test_id("gallery").get_by_role("button", name=re.compile("^Open "))


def test_clicks_on_tags_make_the_query(pages: Pages, tagged: Dataset) -> None:
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
    # A mistake finds nothing, and takes nothing away.
    expect(_gallery(page)).to_have_count(1)
    expect(page.get_by_label("Search pictures")).to_have_value("tag:dog size:abc")


@pytest.mark.full
def test_pictures_are_chosen_by_click_shift_and_keys(pages: Pages, tagged: Dataset) -> None:
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


def test_what_is_half_typed_survives_a_reload(pages: Pages, tagged: Dataset) -> None:
    page = pages(f"/datasets/{tagged[0]}?item=003.png")
    page.get_by_label("Add a tag").press_sequentially("whis")
    page.reload()
    field = page.get_by_label("Add a tag")
    expect(field).to_have_value("whis")
    field.press("End")
    field.press_sequentially("kers")
    # Who goes on with the keyboard types at the next picture at once, and takes along what stands in the field.
    field.press("Control+Enter")
    expect(page.get_by_text("5 of 6")).to_be_visible()
    expect(page.get_by_label("Add a tag")).to_be_focused()
    page.get_by_text("Text", exact=True).click()
    page.get_by_label("Caption", exact=True).press_sequentially("a bird in the")
    page.reload()
    expect(page.get_by_label("Caption", exact=True)).to_have_value("a bird in the")
    page.get_by_text("Saved", exact=True).wait_for()
    assert (tagged[1] / "003.txt").read_text() == "cat, whiskers"
    assert (tagged[1] / "004.txt").read_text() == "a bird in the"


def test_two_tabs_show_the_same(pages: Pages, tagged: Dataset) -> None:
    one, other = pages(f"/datasets/{tagged[0]}"), pages(f"/datasets/{tagged[0]}?item=000.png&as=text")
    pages.expect("404")  # of the picture that is gone
    settle(one)
    other.get_by_label("Caption", exact=True).fill("dog, green")
    expect(one.get_by_text("dog, green", exact=True)).to_be_visible()
    expect(one.get_by_role("region", name="Tags").get_by_role("button", name=re.compile("^green"))).to_be_visible()
    other.get_by_label("Move 000.png to the trash").click()
    other.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(_gallery(one)).to_have_count(5)
    other.get_by_role("button", name="Undo").click()
    expect(_gallery(one)).to_have_count(6)
    assert (tagged[1] / "000.txt").read_text() == "dog, green"


def test_a_caption_saves_itself(pages: Pages, tagged: Dataset) -> None:
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


@pytest.mark.full
def test_a_stale_tab_shows_the_difference_and_loses_nothing(pages: Pages, tagged: Dataset) -> None:
    address = f"/datasets/{tagged[0]}?item=000.png&as=text"
    one, other = pages(address), pages(address)
    pages.expect("409|ERR_INTERNET_DISCONNECTED|WebSocket")
    for page in (one, other):
        expect(page.get_by_label("Caption", exact=True)).to_have_value("dog, red")
    # A laptop that sleeps hears of nothing; what is typed there is made from the old caption.
    other.context.set_offline(True)
    other.get_by_label("Caption", exact=True).fill("dog, red, second")
    expect(other.get_by_text("Not saved: The server cannot be reached")).to_be_visible()
    one.get_by_label("Caption", exact=True).fill("dog, red, first")
    one.get_by_text("Saved", exact=True).wait_for()
    other.context.set_offline(False)
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
    # The other tab shows it, and its history has both.
    expect(one.get_by_label("Caption", exact=True)).to_have_value("dog, red, second")
    one.get_by_role("button", name="History").click()
    expect(one.get_by_text("Edited 000.png")).to_have_count(2)


@pytest.mark.full
def test_a_caption_typed_without_a_server_is_saved_when_it_is_back(pages: Pages, studio: Studio,
                                                                   tagged: Dataset) -> None:  # fmt: skip
    page = pages(f"/datasets/{tagged[0]}?item=000.png&as=text")
    pages.expect("ERR_CONNECTION|WebSocket|ERR_EMPTY_RESPONSE|ERR_SOCKET")
    expect(page.get_by_label("Caption", exact=True)).to_have_value("dog, red")
    studio.kill()
    page.get_by_label("Caption", exact=True).fill("typed in the dark")
    expect(page.get_by_text("Not saved: The server cannot be reached")).to_be_visible()
    studio.start()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible(timeout=20_000)
    assert (tagged[1] / "000.txt").read_text() == "typed in the dark"


def test_a_bulk_edit_is_shown_done_and_undone(pages: Pages, tagged: Dataset) -> None:
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


@pytest.mark.full
def test_an_edit_that_cannot_be_is_said_and_what_changed_meanwhile_stays(pages: Pages, tagged: Dataset) -> None:
    page = pages(f"/datasets/{tagged[0]}?tab=edits")
    pages.expect("409|422")
    settle(page)
    page.get_by_role("button", name="Add an operation").click()
    page.get_by_role("menuitem", name=re.compile("Find and replace")).click()
    page.get_by_label("Find", exact=True).fill("(dog")
    page.get_by_label("Regular expression", exact=True).check()
    page.get_by_role("button", name="Show every change").click()
    expect(page.get_by_role("alert")).to_contain_text("The pattern '(dog' cannot be used: missing )")
    page.get_by_label("Find", exact=True).fill(r"(d)og")
    page.get_by_label("Replace with").fill(r"\1ingo")
    # What was filled in is there after a reload.
    page.reload()
    expect(page.get_by_label("Find", exact=True)).to_have_value("(d)og")
    page.get_by_role("button", name="Show every change").click()
    expect(page.get_by_text("3 captions would change")).to_be_visible()
    (tagged[1] / "001.txt").write_text("changed elsewhere")
    page.get_by_role("button", name="Change 3 captions").click()
    expect(page.get_by_text("No caption was changed", exact=True)).to_be_visible()
    assert (tagged[1] / "000.txt").read_text() == "dog, red"
    page.get_by_role("button", name="Leave those out").click()
    edits = page.get_by_role("region", name="Edits so far")
    expect(edits.get_by_text(r"Replace (d)og with \1ingo")).to_be_visible()
    assert (tagged[1] / "000.txt").read_text() == "dingo, red"
    assert (tagged[1] / "001.txt").read_text() == "changed elsewhere"


@pytest.mark.full
def test_a_finding_leads_to_what_mends_it(pages: Pages, tagged: Dataset) -> None:
    (tagged[1] / "000.txt").write_bytes("café".encode("cp1252"))
    page = pages(f"/datasets/{tagged[0]}?tab=checks&check=unreadable_caption")
    expect(page.get_by_role("heading", name="Unreadable captions: 1")).to_be_visible()
    page.get_by_role("button", name="Repair the encoding").click()
    page.get_by_role("button", name="Show every change").click()
    page.get_by_role("button", name="Change 1 caption").click()
    expect(page.get_by_role("region", name="Edits so far").get_by_text("Repair the encoding")).to_be_visible()
    assert (tagged[1] / "000.txt").read_text(encoding="utf-8") == "café"


@pytest.mark.full
def test_duplicates_are_found_and_go_to_the_trash(pages: Pages, studio: Studio, tagged: Dataset) -> None:
    (tagged[1] / "copy.png").write_bytes((tagged[1] / "000.png").read_bytes())
    page = pages(f"/datasets/{tagged[0]}?tab=checks&check=duplicates")
    page.get_by_role("button", name="Look for them").click()
    expect(page.get_by_role("heading", name="Duplicates: 1")).to_be_visible()
    page.get_by_role("button", name="Move 1 to trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_role("heading", name="Duplicates: 0")).to_be_visible()
    assert len(list(tagged[1].glob("*.png"))) == 6


@pytest.mark.full
def test_pictures_are_copied_into_a_new_dataset(pages: Pages, studio: Studio, tagged: Dataset) -> None:
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
            "editor": f"/datasets/{identifier}?item=lory_01.png"} | found  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("both", [[], ["light", "dark"]], ids=["in turns", "both"])
def test_axe_finds_nothing_serious(look: Pages, standing: Studio, both: list[Scheme]) -> None:
    """Each view in light or in dark, one after the other; the full tests look at each in both."""
    page = look("/datasets")
    turns: Iterator[Scheme] = itertools.cycle(["light", "dark"])

    def check(name: str) -> None:
        for scheme in both or [next(turns)]:
            page.emulate_media(color_scheme=scheme)
            settle(page)
            assert_accessible(page)

    _each_view(page, id_of(standing, "lory"), check)


@pytest.mark.full
def test_a_phone_shows_all_of_it(look: Pages, standing: Studio) -> None:
    page = look("/datasets", phone=True)

    def check(name: str) -> None:
        assert_fits(page)
        if name in ("pictures", "editor"):  # where a phone shows other things than a large window
            assert_accessible(page)

    _each_view(page, id_of(standing, "lory"), check)


def _each_view(page: Page, identifier: str, check: Callable[[str], None]) -> None:
    start = re.match(r"https?://[^/]+", page.url)
    assert start
    for name, path in _views(identifier).items():
        page.goto(start[0] + path)
        settle(page)
        try:
            check(name)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
