"""Writing a job: every setting can be reached, the numbers follow, nothing that was typed is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from loratory.config.fields import values
from loratory.config.train import TrainConfig
from tests.e2e.web.studio import Pages, Studio, assert_accessible, assert_fits, settle

TABS = ("Setup", "Dataset", "LoRA", "Learning rate", "Advanced", "Saving", "Logging")
CALCULATION = "[data-testid=calculation]"


def row(page: Page, path: str) -> Any:
    return page.locator(f'[data-path="{path}"]')


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=re.compile(f"^{name}")).click()
    expect(page.get_by_role("tab", name=re.compile(f"^{name}"))).to_have_attribute("aria-selected", "true")


def draft(page: Page) -> dict[str, Any]:
    """What the browser keeps of the draft."""
    page.wait_for_timeout(400)
    found: dict[str, Any] = page.evaluate(
        """() => {
            const list = JSON.parse(localStorage.getItem('loratory:draft:train')).value;
            const id = list.list.some((each) => each.id === list.current) ? list.current : list.list[0].id;
            return JSON.parse(localStorage.getItem('loratory:draft:train:' + id)).value;
        }"""
    )
    return found


def with_draft(pages: Pages, data: dict[str, Any], path: str = "/train?mode=all", **options: Any) -> Page:
    """A page whose browser keeps this draft."""
    page = pages("/train", **options)
    settle(page)
    value = {"list": [{"id": "a", "name": "", "changed": 0}], "current": "a"}
    page.evaluate(
        "([list, data]) => { localStorage.setItem('loratory:draft:train', list);"
        " localStorage.setItem('loratory:draft:train:a', data); }",
        [json.dumps({"version": 1, "value": value}), json.dumps({"version": 1, "value": data})],
    )
    page.goto(page.url.split("/train")[0] + path)
    settle(page)
    return page


def lory(studio: Studio, **more: Any) -> dict[str, Any]:
    found = studio.ask("GET", "/api/datasets")["datasets"][0]["id"]
    dataset = {"path": f"dataset:{found}", "num_repeats": 10}
    return {"name": "lory", "model": {"path": "demo"}, "datasets": [dataset], "duration": {"epochs": 5}} | more


def test_seven_tabs_show_every_parameter(pages: Pages) -> None:
    """Of the usual optimizer, network and schedule; the others are compared in web/src/forms/fields.test.ts."""
    entry = {"path": "x", "augmentation": {"pipeline": [{"name": "x"}]}}
    phase = [{"name": "x", "alpha": 1}]
    data: dict[str, Any] = {
        "name": "x", "model": {"path": "demo", "merge": [{"path": "x"}], "side_adapters": [{"path": "x"}]},
        "datasets": [entry], "alpha_schedule": {"preset": "custom", "linear": phase, "conv": phase},
    }  # fmt: skip
    wanted = {re.sub(r"\.\d+\b", "[]", path) for path, *_ in values(TrainConfig.model_validate(data))}
    assert len(wanted) > 180
    page = with_draft(pages, data, "/train?mode=all&level=expert")
    seen: set[str] = set()
    for tab in TABS:
        open_tab(page, tab)
        page.wait_for_timeout(300)
        # What has no effect with the demo's kind of model can be shown, too.
        idle = page.get_by_role("switch", name=re.compile("Also show"))
        if idle.count() and not idle.is_checked():
            idle.check(force=True)
        seen.update(page.locator("[data-pattern]").evaluate_all("all => all.map((each) => each.dataset.pattern)"))
    assert not wanted - seen, sorted(wanted - seen)


def test_fields_appear_and_vanish(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio), "/train?mode=all&tab=Learning%20rate&level=expert")
    expect(row(page, "optimizer.d_coef")).to_have_count(0)
    page.get_by_label("Optimizer", exact=True).click()
    page.get_by_role("option", name="Prodigy", exact=True).click()
    expect(row(page, "optimizer.d_coef")).to_be_visible()
    expect(row(page, "optimizer.learning_rate").get_by_role("textbox")).to_have_value("1")
    # Of another kind of model other things matter.
    open_tab(page, "Advanced")
    expect(row(page, "text.clip_skip")).to_be_visible()
    open_tab(page, "Setup")
    page.get_by_label("Architecture", exact=True).click()
    page.get_by_role("option", name="Flux.1").click()
    open_tab(page, "Advanced")
    expect(row(page, "text.clip_skip")).to_have_count(0)
    expect(row(page, "objective.guidance_scale")).to_be_visible()
    page.get_by_text("Basic", exact=True).click()
    expect(row(page, "objective.guidance_scale")).to_have_count(0)


def test_search_leads_to_a_parameter(pages: Pages) -> None:
    page = pages("/train?mode=all")
    settle(page)
    page.keyboard.press("/")
    page.keyboard.type("network_dim")
    expect(page.get_by_role("option").first).to_contain_text("Rank")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Rank", exact=True)).to_be_focused()
    assert "tab=LoRA" in page.url
    # Something of the experts, which the chosen level hides.
    page.get_by_label("Find a setting").fill("clip_by")
    page.keyboard.press("Enter")
    expect(row(page, "optimizer.clip_by")).to_be_visible()


def test_the_calculator_follows_edits(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio), "/train?mode=all&tab=Dataset")
    expect(page.locator(CALCULATION)).to_have_text("12 images × 10 repeats × 5 epochs = 600 steps")
    page.get_by_label("Batch size", exact=True).fill("2")
    expect(page.locator(CALCULATION)).to_have_text("12 images × 10 repeats × 5 epochs ÷ 2 = 300 steps")
    page.get_by_label("Repeats", exact=True).fill("7")
    expect(page.locator(CALCULATION)).to_have_text("12 images × 7 repeats × 5 epochs ÷ 2 = 210 steps")
    page.get_by_role("button", name="Calculate with other numbers").click()
    page.get_by_label("Pictures, in the place of the dataset's").fill("50")
    expect(page.locator(CALCULATION)).to_contain_text("50 images")
    page.get_by_label("Pictures, in the place of the dataset's").fill("")
    page.get_by_label("Steps that are wanted").fill("1000")
    page.get_by_role("button", name="Use").click()
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("24")


def test_a_draft_survives_a_reload_and_undo_goes_back(pages: Pages) -> None:
    page = pages("/train?mode=all")
    settle(page)
    page.get_by_label("Name", exact=True).fill("my parrot")
    page.get_by_label("Seed", exact=True).fill("7")
    page.reload()
    settle(page)
    expect(page.get_by_label("Name", exact=True)).to_have_value("my parrot")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("7")
    expect(row(page, "seed")).to_have_attribute("data-edited", "true")
    page.get_by_label("Reset Seed").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("42")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("7")


def test_a_problem_is_at_its_field_and_is_mended_by_a_click(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio, network={"rank": 4000}))
    summary = page.get_by_role("region", name="Summary")
    expect(summary.get_by_text("1 problem")).to_be_visible()
    expect(summary.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    summary.get_by_role("button", name="Rank", exact=True).click()
    expect(row(page, "network.rank")).to_contain_text("Must be at most 1024")
    row(page, "network.rank").get_by_role("button", name="Fix").click()
    expect(page.get_by_label("Rank", exact=True)).to_have_value("1024")
    expect(summary.get_by_text("No problems")).to_be_visible()
    expect(summary.get_by_role("button", name="Start", exact=True)).to_be_enabled()


def test_a_card_that_is_too_small_is_made_to_fit(pages: Pages, dataset: Path, studio: Studio) -> None:
    model = {"path": "stabilityai/stable-diffusion-xl-base-1.0", "architecture": "sdxl"}
    page = with_draft(pages, lory(studio, model=model))
    summary = page.get_by_role("region", name="Summary")
    summary.get_by_label("Planned for").select_option("8")
    expect(summary.get_by_text("Does not fit", exact=False)).to_be_visible()
    summary.get_by_role("button", name="Make it fit").click()
    expect(summary.get_by_text("Fits into 8.0 GB.")).to_be_visible()
    assert draft(page)["memory"]["low_vram"] is True


def test_yaml_and_form_are_one_draft(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio), "/train?mode=yaml")
    text = page.get_by_label("Job file in YAML")
    expect(text).to_have_value(re.compile("name: lory"))
    text.fill(text.input_value() + "network:\n  rank: 24\n")
    page.wait_for_timeout(800)
    page.get_by_text("All settings", exact=True).first.click()
    open_tab(page, "LoRA")
    expect(page.get_by_label("Rank", exact=True)).to_have_value("24")
    page.get_by_label("Rank", exact=True).fill("12")
    page.get_by_text("YAML", exact=True).click()
    expect(text).to_have_value(re.compile("rank: 12"))
    # What cannot be read keeps what was typed, over a reload too, and names its line.
    text.fill("name: lory\nmodel: [demo\n")
    expect(page.get_by_role("button", name=re.compile("Line [23]"))).to_be_visible()
    page.reload()
    expect(text).to_have_value("name: lory\nmodel: [demo\n")
    assert draft(page)["network"]["rank"] == 12


def test_import_of_two_kohya_files(pages: Pages, studio: Studio) -> None:
    page = pages("/train?mode=all")
    settle(page)
    page.get_by_role("button", name="New draft").click()
    page.get_by_role("menuitem", name="Import a file").click()
    settings = b'pretrained_model_name_or_path = "demo"\noutput_name = "parrot"\nnetwork_dim = 24\n'
    pictures = b'[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "/pictures"\nnum_repeats = 7\n'
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "config.toml", "mimeType": "text/plain", "buffer": settings},
            {"name": "dataset.toml", "mimeType": "text/plain", "buffer": pictures},
        ]
    )
    expect(page.get_by_text("Read as settings of kohya's trainer.", exact=False)).to_be_visible()
    page.get_by_role("button", name="Make a draft of it").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("parrot")
    found = draft(page)
    assert found["network"]["rank"] == 24
    assert found["datasets"][0]["num_repeats"] == 7


def test_a_preset_shows_what_it_changes(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio))
    page.get_by_role("button", name="Presets").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="sd15-style-12gb").click()
    expect(dialog.get_by_role("cell", name="Rank", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Apply").click()
    open_tab(page, "LoRA")
    expect(page.get_by_label("Rank", exact=True)).to_have_value("32")
    expect(row(page, "network.rank")).not_to_have_attribute("data-edited", "true")


def test_a_newcomer_only_presses_start(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = pages("/train")
    settle(page)
    expect(page.get_by_role("radio", name=re.compile("lory"))).to_be_checked()
    expect(page.get_by_role("radio", name=re.compile("Demo model"))).to_be_checked()
    summary = page.get_by_role("region", name="Summary")
    summary.get_by_role("button", name="Other ways to start").click()
    page.get_by_role("menuitem", name="hold it").click()
    page.wait_for_url(re.compile("/runs/"))
    (job,) = studio.ask("GET", "/api/jobs")
    assert (job["name"], job["state"]) == ("lory", "held")
    # The same again: the name is taken, and a number is offered.
    pages.expect("409")
    page.goto(studio.address + "/train")
    summary.get_by_role("button", name="Add to the queue").or_(
        summary.get_by_role("button", name="Start", exact=True)
    ).click()
    expect(summary.get_by_text("The name is taken")).to_be_visible()
    assert len(studio.ask("GET", "/api/jobs")) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["/train", "/train?mode=all&tab=Dataset&level=expert", "/train?mode=yaml"])
def test_it_is_accessible(pages: Pages, dataset: Path, studio: Studio, scheme: str, view: str) -> None:
    page = with_draft(pages, lory(studio, network={"rank": 4000}), view, scheme=scheme)
    page.get_by_text("1 problem").wait_for()
    assert_accessible(page)


@pytest.mark.parametrize("view", ["/train", "/train?mode=all&tab=Dataset&level=expert", "/train?mode=yaml"])
def test_it_fits_a_phone(pages: Pages, dataset: Path, studio: Studio, view: str) -> None:
    page = with_draft(pages, lory(studio), view, phone=True)
    assert_fits(page)
    page.get_by_role("button", name="Summary and start").click()
    expect(page.get_by_role("dialog").get_by_text("No problems")).to_be_visible()
    assert_accessible(page)
