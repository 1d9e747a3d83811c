"""Drafts: nothing that was typed is lost, by a reload, another tab, a text that cannot be read, or other programs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.web.drafting import SECONDS, draft_is, drop, field, lory, open_tab, row, with_draft
from tests.e2e.web.studio import Pages, Studio, settle

KOHYA = 'pretrained_model_name_or_path = "demo"\noutput_name = "parrot"\nnetwork_dim = 24\nlowram = true\n'
PICTURES = '[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "/pictures"\nnum_repeats = 7\n'


def test_a_draft_survives_a_reload_and_undo_goes_back(look: Pages) -> None:
    page = look("/train?mode=all")
    settle(page)
    field(page, "name").fill("my parrot")
    # At once: what was typed last is written when the page goes.
    field(page, "seed").fill("7")
    page.reload()
    settle(page)
    expect(field(page, "name")).to_have_value("my parrot")
    expect(field(page, "seed")).to_have_value("7")
    expect(row(page, "seed")).to_have_attribute("data-edited", "true")
    page.get_by_label("Reset Seed").click()
    page.get_by_role("button", name="Undo").click()
    expect(field(page, "seed")).to_have_value("7")
    # A draft that was deleted can be taken back.
    page.get_by_role("button", name="my parrot").click()
    page.get_by_role("menuitem", name="Delete this draft").click()
    expect(field(page, "name")).to_have_value("")
    page.get_by_role("alert").get_by_role("button", name="Undo").click()
    expect(field(page, "name")).to_have_value("my parrot")


def test_two_tabs_write_one_draft(look: Pages, standing: Studio) -> None:
    one = with_draft(look, lory(standing))
    two = one.context.new_page()
    look.watch(two)
    two.goto(one.url)
    settle(two)
    field(one, "name").fill("from one")
    field(two, "seed").fill("77")
    for page in (one, two):
        expect(field(page, "name")).to_have_value("from one")
        expect(field(page, "seed")).to_have_value("77")
    draft_is(two, "name", "from one")
    draft_is(one, "seed", 77)
    # Each has its own open draft, and both know all of them.
    two.get_by_role("button", name="from one").click()
    two.get_by_role("menuitem", name="New draft").click()
    field(two, "name").fill("second")
    draft_is(two, "name", "second")
    expect(field(one, "name")).to_have_value("from one")
    one.get_by_role("button", name="from one").click()
    expect(one.get_by_role("menuitem", name=re.compile("^second"))).to_be_visible()


def test_yaml_and_form_are_one_draft(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing), "/train?mode=yaml")
    text = page.get_by_label("Job file in YAML")
    expect(text).to_have_value(re.compile("name: lory"), timeout=SECONDS)
    text.fill("# mine\n" + text.input_value() + "network:\n  rank: 24 # two dozen\n")
    draft_is(page, "network.rank", 24)
    page.get_by_text("All settings", exact=True).first.click()
    open_tab(page, "LoRA")
    expect(field(page, "network.rank")).to_have_value("24")
    field(page, "network.rank").fill("12")
    page.get_by_text("YAML", exact=True).click()
    # A change in the form changes its line; comments stay.
    expect(text).to_have_value(re.compile("^# mine\n(.*\n)*.*rank: 12 # two dozen"), timeout=SECONDS)
    # What cannot be read names its line, and keeps what was typed, over a reload too; the draft is as it was.
    text.fill("name: lory\nmodel: [demo\n")
    expect(page.get_by_text("This text cannot be read yet")).to_be_visible(timeout=SECONDS)
    page.get_by_role("button", name=re.compile("Line [23]")).click()
    expect(text).to_be_focused()
    page.reload()
    expect(text).to_have_value("name: lory\nmodel: [demo\n")
    expect(page.get_by_text("This text cannot be read yet")).to_be_visible(timeout=SECONDS)
    draft_is(page, "network.rank", 12)
    page.get_by_role("button", name="Write it anew from the form").click()
    expect(text).to_have_value(re.compile("rank: 12"), timeout=SECONDS)
    # A mistake that is no matter of YAML has its line, too.
    text.fill(text.input_value().replace("rank: 12", "rank: 4000"))
    expect(page.get_by_text("network.rank: must be at most 1024", exact=False)).to_be_visible(timeout=SECONDS)


def test_kohya_files_that_were_dropped(look: Pages) -> None:
    page = look("/train?mode=all")
    settle(page)
    drop(page, {"dataset.toml": PICTURES, "config.toml": KOHYA + "foo_bar = 3\n"})
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Read as settings of kohya's trainer.", exact=False)).to_be_visible(timeout=SECONDS)
    # What became of what it does not know.
    expect(dialog.get_by_text("foo_bar")).to_be_visible()
    dialog.get_by_role("button", name="Make a draft of it").click()
    expect(field(page, "name")).to_have_value("parrot")
    draft_is(page, "network.rank", 24)
    draft_is(page, "datasets.0.num_repeats", 7)
    page.get_by_role("button", name="parrot").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog.get_by_text("kohya", exact=True).click()
    for name in ("config.toml", "dataset.toml"):
        expect(dialog.get_by_text(name, exact=True)).to_be_visible(timeout=SECONDS)
    expect(dialog.get_by_text("network_dim = 24", exact=False)).to_be_visible()
    dialog.get_by_text("ai-toolkit", exact=True).click()
    expect(dialog.get_by_text("linear: 24", exact=False)).to_be_visible(timeout=SECONDS)


def test_what_cannot_be_imported_says_why(look: Pages) -> None:
    look.expect("422")
    page = look("/train?mode=all")
    settle(page)
    for name, text, why in (
        ("x.yaml", "a: [b\n", "line 2"),
        ("x.safetensors", "abc", "does not begin as a safetensors file does"),
    ):
        drop(page, {name: text})
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(why, timeout=SECONDS)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.full
def test_presets_are_applied_saved_and_shared(pages: Pages, studio: Studio) -> None:
    page = with_draft(pages, {"name": "x", "model": {"path": "demo"}, "datasets": [{}]})
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Presets").click()
    dialog.get_by_role("button", name="sd15-style-12gb").click(timeout=SECONDS)
    expect(dialog.get_by_role("cell", name="Rank", exact=True)).to_be_visible(timeout=SECONDS)
    dialog.get_by_role("button", name="Apply").click()
    open_tab(page, "LoRA")
    expect(field(page, "network.rank")).to_have_value("32", timeout=SECONDS)
    expect(row(page, "network.rank")).not_to_have_attribute("data-edited", "true")
    field(page, "network.rank").fill("20")
    expect(row(page, "network.rank")).to_have_attribute("data-edited", "true")
    page.get_by_role("button", name="Presets").click()
    dialog.get_by_role("tab", name="Save own").click()
    dialog.get_by_label("Name").fill("mine")
    dialog.get_by_role("button", name="Save preset").click()
    expect(dialog.get_by_text("mine is saved")).to_be_visible(timeout=SECONDS)
    dialog.get_by_role("tab", name="Choose").click()
    dialog.get_by_role("button", name=re.compile("^mine")).click()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Share as a file").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "mine.yaml" and "rank: 20" in text
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    drop(page, {"yours.yaml": text})
    expect(dialog.get_by_label("Name of the preset")).to_have_value("yours", timeout=SECONDS)
    dialog.get_by_role("button", name="Save preset").click()
    expect(dialog.get_by_text("yours is saved")).to_be_visible(timeout=SECONDS)
    assert studio.ask("GET", "/api/presets/yours")["settings"] == studio.ask("GET", "/api/presets/mine")["settings"]
