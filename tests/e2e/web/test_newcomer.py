"""The way of somebody who is here for the first time: from a folder of pictures to a LoRA file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from safetensors import safe_open

from loratory.demo.concept import write_dataset
from tests.e2e.web.studio import Pages, Studio, drop, settle, shorten_trainings

MOST_CLICKS = 5
COUNT = """() => {
  window.clicks = [];
  // Not "click": that of a label is followed by one of its field.
  document.addEventListener("pointerdown", (event) => {
    if (event.isTrusted) window.clicks.push(event.target.textContent);
  }, true);
}"""
TRAINING_MS = 240_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures with captions, as somebody has them."""
    made = tmp_path / "my-lories"
    write_dataset(made)
    return made


def _drop_and_go_to_train(page: Page, studio: Studio, folder: Path) -> None:
    settle(page)
    expect(page.get_by_role("heading", name="Begin with pictures")).to_be_visible()
    expect(page.get_by_text("0 of 5 steps done")).to_be_visible()
    drop(page, folder)
    expect(page.get_by_label("Name")).to_have_value("my-lories")
    page.get_by_role("button", name="Create and upload").click()
    # What to do next is said where the upload ended.
    expect(page.get_by_text("24 files uploaded")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("All pictures have captions. Next: train a LoRA with them.")).to_be_visible()
    assert {each.name for each in folder.iterdir()} == {
        each.name for each in (studio.home / "datasets" / "my-lories").iterdir()
    }
    page.locator("#main").get_by_role("link", name="Train", exact=True).click()
    # Everything is proposed, and suits a machine without a card.
    expect(page.get_by_role("radio", name=re.compile("my-lories"))).to_be_checked()
    expect(page.get_by_role("radio", name=re.compile("Demo model"))).to_be_checked()
    expect(page.get_by_role("region", name="Summary").get_by_text("No problems")).to_be_visible(timeout=20_000)


def _start_and_download(page: Page, studio: Studio, to: Path) -> None:
    page.get_by_role("region", name="Summary").get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile("/runs/"))
    expect(page.get_by_text("You can close this page")).to_be_visible(timeout=60_000)
    download = page.get_by_role("link", name="Download LoRA")
    download.wait_for(timeout=TRAINING_MS)
    with page.expect_download() as waiting:
        download.click()
    assert waiting.value.suggested_filename == "my-lories.safetensors"
    waiting.value.save_as(to)
    kept = studio.home / "output" / "my-lories" / "my-lories.safetensors"
    assert to.read_bytes() == kept.read_bytes()
    with safe_open(to, framework="np") as file:
        assert len(list(file.keys())) > 10
        assert file.metadata()


def test_from_a_dropped_folder_to_a_lora_file_in_five_clicks(
    pages: Pages, studio: Studio, folder: Path, tmp_path: Path
) -> None:
    page = pages("/")
    page.evaluate(COUNT)
    asked = shorten_trainings(page, steps=4)
    _drop_and_go_to_train(page, studio, folder)
    _start_and_download(page, studio, tmp_path / "mine.safetensors")
    clicks = page.evaluate("window.clicks")
    assert 0 < len(clicks) <= MOST_CLICKS, clicks
    (job,) = asked
    config = job["config"]
    assert config["model"] == {"path": "demo"}
    assert config["memory"]["precision"] == "fp32"
    assert config["batching"]["buckets"]["resolution"] == 128
    assert config["duration"]["steps"] <= 300

    # A toast said it, and Home shows it; the first steps are done and no longer in the way.
    expect(page.get_by_role("alert").filter(has_text="Training finished")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_role("region", name="Last runs").get_by_text("my-lories")).to_be_visible()
    expect(page.get_by_role("region", name="Last runs").get_by_text("Finished")).to_be_visible()
    settle(page)
    expect(page.get_by_text("Your first LoRA")).to_have_count(0)


@pytest.mark.full
def test_a_quick_training_as_it_is_proposed(pages: Pages, studio: Studio, folder: Path, tmp_path: Path) -> None:
    page = pages("/")
    page.evaluate(COUNT)
    _drop_and_go_to_train(page, studio, folder)
    page.get_by_text("Quick", exact=True).click()
    expect(page.get_by_text("100 steps.", exact=False)).to_be_visible()
    _start_and_download(page, studio, tmp_path / "mine.safetensors")
    clicks = page.evaluate("window.clicks")
    assert 0 < len(clicks) <= MOST_CLICKS, clicks


@pytest.mark.full
def test_a_folder_is_picked_on_home(pages: Pages, folder: Path) -> None:
    page = pages("/")
    settle(page)
    with page.expect_file_chooser() as waiting:
        page.get_by_role("button", name="Pick a folder").click()
    waiting.value.set_files(folder)
    expect(page.get_by_label("Name")).to_have_value("my-lories")
    expect(page.get_by_text("24 files")).to_be_visible()
