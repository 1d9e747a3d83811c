"""Writing a job with all settings: each can be reached, the numbers follow, mistakes are mended, the focus stays."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.web.drafting import SECONDS, TABS, draft_is, field, lory, open_tab, row, summary, with_draft
from tests.e2e.web.studio import Pages, Studio, assert_accessible, assert_fits, settle

CALCULATION = "[data-testid=calculation]"


def declared(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> set[str]:
    """Every parameter of the schema that the server gives, of the usual type where there are several."""
    found: set[str] = set()
    for name, each in node.get("properties", {}).items():
        path, inner = prefix + name, each.get("items", {}) if each.get("type") == "array" else each
        reference = inner.get("$ref")
        if "discriminator" in each:
            usual = (each.get("default") or {}).get("type") or next(iter(each["discriminator"]["mapping"]))
            reference = each["discriminator"]["mapping"][usual]
        section = schema["$defs"][reference.rsplit("/", 1)[-1]] if reference else {}
        if "properties" in section:
            is_list = each.get("type") == "array"
            found |= {path} if is_list else set()
            found |= declared(schema, section, f"{path}[]." if is_list else f"{path}.")
        else:
            found.add(path)
    return found


def test_seven_tabs_show_every_parameter(look: Pages, standing: Studio) -> None:
    """Those of other optimizers, networks and schedules are compared in web/src/forms/fields.test.ts."""
    schema = standing.ask("GET", "/api/configs/schema")
    wanted = declared(schema, schema)
    assert len(wanted) > 180
    entry, phase = {"path": "x", "augmentation": {"pipeline": [{"name": "x"}]}}, [{"name": "x", "alpha": 1}]
    data: dict[str, Any] = {
        "name": "x", "model": {"path": "demo", "merge": [{"path": "x"}], "side_adapters": [{"path": "x"}]},
        "datasets": [entry], "alpha_schedule": {"preset": "custom", "linear": phase, "conv": phase},
    }  # fmt: skip
    page = with_draft(look, data, "/train?mode=all&level=expert")
    # What has no effect with the demo's kind of model can be shown, too.
    open_tab(page, "Advanced")
    page.get_by_role("switch", name=re.compile("Also show")).check(force=True, timeout=SECONDS)
    seen: set[str] = set()
    for tab in TABS:
        open_tab(page, tab)
        rows = page.locator("[data-pattern]")
        rows.first.wait_for()
        patterns = rows.evaluate_all("all => all.map((each) => each.dataset.pattern)")
        seen.update(patterns)
        # Help on every field.
        helps = page.get_by_role("tabpanel").get_by_label(re.compile("^Help for ")).count()
        wide = sum(pattern in {"datasets", "alpha_schedule.linear", "alpha_schedule.conv"} for pattern in patterns)
        assert helps >= len(patterns) - wide
    assert not wanted - seen, sorted(wanted - seen)


def test_fields_appear_and_vanish(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing), "/train?mode=all&tab=Learning%20rate&level=expert")
    expect(row(page, "optimizer.d_coef")).to_have_count(0)
    field(page, "optimizer.type").click()
    page.get_by_role("option", name="Prodigy", exact=True).click()
    expect(row(page, "optimizer.d_coef")).to_be_visible()
    expect(field(page, "optimizer.learning_rate")).to_have_value("1")
    expect(field(page, "optimizer.type")).to_be_focused()
    # Of another kind of model other things matter.
    open_tab(page, "Advanced")
    expect(row(page, "text.clip_skip")).to_be_visible()
    open_tab(page, "Setup")
    field(page, "model.architecture").click()
    page.get_by_role("option", name="Flux.1", exact=True).click()
    open_tab(page, "Advanced")
    expect(row(page, "text.clip_skip")).to_have_count(0, timeout=SECONDS)
    expect(row(page, "objective.guidance_scale")).to_be_visible()
    page.get_by_text("Basic", exact=True).click()
    expect(row(page, "objective.guidance_scale")).to_have_count(0)


def test_search_leads_to_a_parameter(look: Pages) -> None:
    page = look("/train?mode=all")
    settle(page)
    found = page.get_by_role("listbox", name="Found settings").get_by_role("option")
    for typed, label, path, tab in (
        ("network_dim", "Rank", "network.rank", "LoRA"),
        ("train.lr", "Learning rate", "optimizer.learning_rate", "Learning+rate"),
        ("clip_by", "Clip by", "optimizer.clip_by", "Learning+rate"),
    ):
        page.locator("h1").click()
        page.keyboard.press("/")
        page.keyboard.type(typed)
        expect(found.first).to_contain_text(label)
        page.keyboard.press("Enter")
        expect(field(page, path)).to_be_focused()
        assert f"tab={tab}" in page.url
    # The last one is for experts; it stays when its mark has gone.
    expect(row(page, "optimizer.clip_by")).not_to_have_attribute("data-found", "true")
    expect(field(page, "optimizer.clip_by")).to_be_focused()
    page.get_by_label("Find a setting").fill("everything random follows")
    expect(found.first).to_contain_text("in its help")


def test_the_calculator_follows_edits(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing), "/train?mode=all&tab=Dataset")
    sums = page.locator(CALCULATION)
    expect(sums).to_have_text("12 images × 10 repeats × 5 epochs = 600 steps", timeout=SECONDS)
    field(page, "batching.size").fill("2")
    expect(sums).to_have_text("12 images × 10 repeats × 5 epochs ÷ 2 = 300 steps", timeout=SECONDS)
    # Buckets whose last batch is not full make more steps than the arithmetic, and it says why.
    field(page, "batching.size").fill("7")
    expect(sums).to_contain_text("÷ 7", timeout=SECONDS)
    expect(summary(page)).to_contain_text("In truth")
    field(page, "batching.size").fill("2")
    page.get_by_role("button", name="Calculate with other numbers").click()
    page.get_by_label("Pictures, in the place of the dataset's").fill("50")
    expect(sums).to_have_text("50 images × 10 repeats × 5 epochs ÷ 2 = 1,250 steps", timeout=SECONDS)
    page.get_by_label("Pictures, in the place of the dataset's").fill("")
    page.get_by_label("Steps that are wanted").fill("1000")
    page.get_by_role("button", name="Use").click(timeout=SECONDS)
    expect(field(page, "duration.epochs")).to_have_value("17")


def test_a_problem_is_at_its_field_and_a_click_mends_it(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing, network={"rank": 4000}))
    said = summary(page)
    expect(said.get_by_text("1 problem")).to_be_visible(timeout=SECONDS)
    expect(said.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    said.get_by_role("button", name="Rank", exact=True).click()
    expect(field(page, "network.rank")).to_be_focused()
    expect(row(page, "network.rank")).to_contain_text("Must be at most 1024")
    # By the keyboard: what did its work vanishes, and the focus goes to the field, not to the page.
    row(page, "network.rank").get_by_role("button", name="Fix").press("Enter")
    expect(field(page, "network.rank")).to_have_value("1024")
    expect(said.get_by_text("No problems")).to_be_visible(timeout=SECONDS)
    expect(field(page, "network.rank")).to_be_focused()
    expect(said.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    page.get_by_label("Reset Rank").press("Enter")
    expect(field(page, "network.rank")).to_have_value("16")
    expect(field(page, "network.rank")).to_be_focused()
    # The other fixes, from the list.
    field(page, "network.rank").fill("0")
    said.get_by_role("button", name="Fix Rank").press("Enter", timeout=SECONDS)
    expect(field(page, "network.rank")).to_have_value("1")
    expect(said.get_by_text("No problems")).to_be_visible(timeout=SECONDS)
    expect(said.locator(":focus, [data-focus-home]:focus")).to_have_count(1)


@pytest.mark.full
def test_a_card_that_is_too_small_is_made_to_fit(look: Pages, standing: Studio) -> None:
    model = {"path": "stabilityai/stable-diffusion-xl-base-1.0", "architecture": "sdxl"}
    page = with_draft(look, lory(standing, model=model))
    said = summary(page)
    said.get_by_label("Planned for").select_option("8")
    expect(said.get_by_text("Does not fit", exact=False)).to_be_visible(timeout=SECONDS)
    said.get_by_role("button", name="Make it fit").click()
    expect(said.get_by_text("Fits into 8.0 GB.")).to_be_visible(timeout=SECONDS)
    draft_is(page, "memory.low_vram", True)


@pytest.mark.full
def test_changed_only_and_the_way_back(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing, seed=7, network={"rank": 12}))
    page.get_by_role("switch", name="Changed only").check(force=True)
    rows = page.locator("[data-path]")
    expect(rows).to_have_count(3)
    assert set(rows.evaluate_all("all => all.map((each) => each.dataset.path)")) == {"name", "model.path", "seed"}
    page.get_by_label("Reset Seed").press("Enter")
    # It stays in sight until another look is chosen.
    expect(field(page, "seed")).to_have_value("42")
    expect(field(page, "seed")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(field(page, "seed")).to_have_value("7")
    page.get_by_role("button", name="Presets").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("tab", name="Compare").click()
    line = dialog.get_by_role("row", name=re.compile("^Rank"))
    expect(line).to_contain_text("12", timeout=SECONDS)
    line.get_by_role("button", name="Take 16 for Rank").click()
    expect(line).to_have_count(0, timeout=SECONDS)


@pytest.mark.full
def test_lists_grow_and_change_their_order(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing), "/train?mode=all&tab=Dataset")
    page.get_by_role("button", name="Add dataset").click()
    second = page.get_by_role("region", name="Dataset 2")
    second.get_by_label("Pick: Dataset").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("atasets")).first.click()
    dialog.get_by_role("button", name="lory").click()
    dialog.get_by_role("button", name="Take this folder").click()
    folder = str(standing.home / "datasets" / "lory")
    expect(field(page, "datasets.1.path")).to_have_value(folder)
    second.get_by_label("Move up Dataset 2").press("Enter")
    expect(field(page, "datasets.0.path")).to_have_value(folder)
    draft_is(page, "datasets.1.num_repeats", 10)
    page.get_by_label("Remove Dataset 1").click()
    expect(page.get_by_text("12 pictures, 12 with captions", exact=False)).to_be_visible()
    draft_is(page, "datasets.1", None)
    open_tab(page, "Saving")
    prompts = field(page, "sampling.prompts")
    prompts.fill("a\nb")
    prompts.press("Alt+ArrowUp")
    draft_is(page, "sampling.prompts", ["b", "a"])


def test_the_whole_form_by_keyboard(look: Pages, standing: Studio) -> None:
    page = with_draft(look, lory(standing))
    page.keyboard.press("/")
    page.keyboard.type("lora rank")
    page.keyboard.press("Enter")
    expect(field(page, "network.rank")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(field(page, "network.rank")).to_have_value("17")
    for _ in range(8):
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Help for Alpha":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("network_alpha", exact=False)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Help for Alpha")).to_be_focused()
    # Every row of every tab is reached by Tab alone, and nothing holds the focus.
    reached: list[str] = []
    tab = page.get_by_role("tab", name=re.compile("^LoRA"))
    tab.focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        path = page.evaluate("document.activeElement.closest('[data-path]')?.dataset.path ?? ''")
        reached.append(path)
        if page.evaluate("document.activeElement.closest('[aria-label=Summary]') !== null"):
            break
    rows = page.locator("[data-path]").evaluate_all("all => all.map((each) => each.dataset.path)")
    assert set(rows) <= set(reached)
    tab.press("ArrowRight")
    expect(page.get_by_role("tab", name=re.compile("^Learning rate"))).to_be_focused()


VIEWS = ["/train", "/train?mode=all&tab=Dataset&level=expert", "/train?mode=yaml"]


@pytest.mark.full
@pytest.mark.parametrize("view", VIEWS)
def test_it_is_accessible(look: Pages, standing: Studio, view: str) -> None:
    page = with_draft(look, lory(standing, network={"rank": 4000}), view)
    page.get_by_text("1 problem").wait_for(timeout=SECONDS)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert_accessible(page)


@pytest.mark.full
@pytest.mark.parametrize("tab", TABS)
def test_each_tab_is_accessible_and_fits_a_phone(look: Pages, standing: Studio, tab: str) -> None:
    page = with_draft(look, lory(standing), f"/train?mode=all&level=expert&tab={tab.replace(' ', '%20')}", phone=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert_fits(page)
        # All of it in sight: what the bar at the bottom covers now can be scrolled.
        page.set_viewport_size({"width": 390, "height": 9000})
        assert_accessible(page)


@pytest.mark.full
@pytest.mark.parametrize("view", VIEWS)
def test_it_fits_a_phone(look: Pages, standing: Studio, view: str) -> None:
    page = with_draft(look, lory(standing), view, phone=True)
    assert_fits(page)
    page.get_by_role("button", name="Summary and start").click()
    expect(page.get_by_role("dialog").get_by_text("No problems")).to_be_visible(timeout=SECONDS)
    _at_rest(page)
    assert_accessible(page)


def _at_rest(page: Page) -> None:
    page.wait_for_function("() => document.getAnimations().every((each) => each.playState !== 'running')")
