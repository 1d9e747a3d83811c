"""Everything by keyboard: shortcuts and their sheet, the palette, and a newcomer's way without a mouse."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import FileChooser, Page, Route, expect

from loratory.demo.concept import write_dataset
from tests.e2e.web.studio import SECONDS, Pages, Studio, assert_accessible, assert_fits, settle, small_job, tab_to


def _palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_label("Search runs, datasets, settings, pages and actions")).to_be_focused()


def _chosen(page: Page) -> str:
    page.wait_for_function("() => document.querySelector('[data-selected]')")
    return str(page.locator("[data-selected]").inner_text())


@pytest.mark.full
def test_the_palette_finds_everything(look: Pages, ids: dict[str, str]) -> None:
    page = look("/models")
    settle(page)

    def late(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/api/datasets", late)  # the first answer comes after everything was typed, and is chosen
    for typed, heading, address in [
        ("lory", "lory", f"/datasets/{ids['dataset']}"),
        ("second", "second", f"/runs/{ids['run']}|/runs/{ids['other']}"),
        ("trash", "Settings", "/settings\\?tab=trash"),
        ("hom", "Home", "/$"),
    ]:
        _palette(page)
        page.keyboard.type(typed)
        expect(page.locator("[data-selected]")).to_contain_text(re.compile(typed, re.IGNORECASE))
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(address))
        expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()
    # A setting of a training, by the name that another trainer gives it.
    _palette(page)
    page.keyboard.type("network_dim")
    expect(page.locator("[data-selected]")).to_contain_text("kohya: network_dim")
    assert_accessible(page)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Rank", exact=True)).to_be_focused()
    # An action; Escape, and the same keys again, close it.
    _palette(page)
    page.keyboard.type("keyboard shortcuts")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    _palette(page)
    page.keyboard.type("no-such-thing-anywhere")
    expect(page.get_by_text("Nothing has this name.")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_text("Nothing has this name.")).to_have_count(0)


@pytest.mark.full
def test_the_palette_on_a_phone(look: Pages) -> None:
    page = look("/", phone=True)
    settle(page)
    page.get_by_role("button", name="Search").tap()
    page.get_by_label("Search runs, datasets, settings, pages and actions").fill("lory")
    assert_fits(page)
    page.get_by_role("button", name=re.compile("lory")).first.tap()
    expect(page.get_by_role("heading", name="lory", exact=True)).to_be_visible()


def test_shortcuts_are_told_and_none_acts_while_somebody_types(look: Pages) -> None:
    page = look("/runs")
    settle(page)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard")
    for said in ("Show these keys", "Search and commands", "Datasets", "Settings"):
        expect(sheet.get_by_text(said, exact=True)).to_be_visible()
    assert_accessible(page)
    # An open dialog keeps the page where it is.
    page.keyboard.type("gd")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    assert page.url.endswith("/runs")
    for letter, name in [("d", "Datasets"), ("t", "Train"), ("m", "Models"), ("s", "Settings"), ("h", "Home"),
                         ("r", "Runs")]:  # fmt: skip
        page.keyboard.type(f"g{letter}")
        expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
    field = page.get_by_role("searchbox").or_(page.get_by_label(re.compile("Search"))).last
    field.click()
    page.keyboard.type("gd?/")
    expect(field).to_have_value("gd?/")
    assert "/runs" in page.url
    expect(sheet).to_have_count(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-lories"
    write_dataset(made)
    return made


def test_a_newcomer_without_a_mouse(pages: Pages, studio: Studio, folder: Path) -> None:
    """Up to the training; the way on from its end is in the test below."""
    studio.ask("POST", "/api/queues/cpu/pause")
    page = pages("/")
    # Asked for long before: the browser is told to give the dialog to the test, and takes its time.
    choosers: list[FileChooser] = []

    def note(chooser: FileChooser) -> None:
        choosers.append(chooser)

    page.on("filechooser", note)
    settle(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Pick a folder"))
    page.keyboard.press("Enter")
    end = time.monotonic() + SECONDS
    while not choosers:
        assert time.monotonic() < end, "no dialog for files"
        page.wait_for_timeout(50)
    choosers[0].set_files(folder)
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("24 files uploaded")).to_be_visible()
    tab_to(page, page.get_by_role("link", name="train a LoRA with them"))
    page.keyboard.press("Enter")
    summary = page.get_by_role("region", name="Summary")
    expect(summary.get_by_text("No problems")).to_be_visible()
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile("/runs/"))
    (job,) = studio.ask("GET", "/api/jobs")
    assert (job["name"], job["state"]) == ("my-lories", "waiting")


def test_the_lora_file_without_a_mouse(look: Pages, ids: dict[str, str]) -> None:
    page = look("/")
    settle(page)
    tab_to(page, page.locator(f'#main a[href$="{ids["run"]}"]'))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(ids["run"]))
    tab_to(page, page.get_by_role("link", name="Download LoRA"))
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    assert waiting.value.suggested_filename.endswith(".safetensors")


@pytest.mark.full
def test_the_queue_by_keyboard(pages: Pages, studio: Studio, dataset: Path) -> None:
    for name in ("one", "two"):
        studio.ask("POST", "/api/jobs", {"config": small_job(studio.home, name, dataset), "hold": True})
    page = pages("/")
    rows = page.get_by_role("region", name="Queue").get_by_role("listitem")
    expect(rows).to_have_text([re.compile("one"), re.compile("two")])
    tab_to(page, page.get_by_role("button", name="two earlier"))
    page.keyboard.press("Space")
    expect(rows).to_have_text([re.compile("two"), re.compile("one")])
    tab_to(page, page.get_by_role("button", name="More for one"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="To the front")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More for one")).to_be_focused()
