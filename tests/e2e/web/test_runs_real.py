"""A real training in the browser, with everything that can be asked of it: a minute or two."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.web.runs import job, until_drawn
from tests.e2e.web.studio import Pages, Studio


@pytest.mark.full
def test_a_training_is_asked_stopped_in_one_tab_and_resumed_in_the_other(
    pages: Pages, dataset: Path, studio: Studio
) -> None:
    found = studio.ask(
        "POST",
        "/api/jobs",
        {"config": job(studio.home, "real", duration__steps=4000, sampling__every_n_steps=1000), "queue": "cpu"},
    )
    run = studio.home / "output" / "real"
    page = pages(f"/runs/{found['id']}")
    page.evaluate("localStorage.setItem('loratory:notices', 'off')")  # or it offers to tell the end
    page.reload()
    expect(page.get_by_text("Training", exact=True).first).to_be_visible(timeout=60_000)
    page.wait_for_function("() => Number(document.querySelector('[data-last]').dataset.last) >= 3", timeout=30_000)
    _ask_for_samples_and_a_checkpoint(page)
    other = page.context.new_page()
    pages.watch(other)
    other.goto(page.url)
    other.get_by_role("button", name="Stop", exact=True).click()
    for each in (page, other):
        expect(each.get_by_text("Stopped", exact=True).first).to_be_visible(timeout=40_000)
    before = max(int(path.name) for path in (run / "checkpoints").iterdir())
    page.get_by_role("button", name="Resume", exact=True).click()
    for each in (page, other):
        expect(each.get_by_text("Training", exact=True).first).to_be_visible(timeout=60_000)
    page.get_by_role("tab", name="Overview").click()
    page.wait_for_function(
        "(step) => Number(document.querySelector('[data-last]').dataset.last) > step", arg=before, timeout=30_000
    )
    other.get_by_role("button", name="More about this run").click()
    other.get_by_role("menuitem", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True).first).to_be_visible(timeout=40_000)
    _compare_with_the_file(page, run)
    _go_back(page, studio, run)
    page.get_by_role("button", name="More about this run").click()
    page.get_by_role("menuitem", name="Run again with changes").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("real")


def _ask_for_samples_and_a_checkpoint(page: Page) -> None:
    page.get_by_role("button", name="More about this run").click()
    page.get_by_role("menuitem", name="Edit the sample prompts").click()
    prompts = page.get_by_label("One prompt in a line")
    expect(prompts).to_have_value(re.compile("a lory on a green background --s 1 --w 64 --h 64\n"))
    prompts.fill("a lory on the right --s 1 --w 64 --h 64 --x 7")
    page.get_by_role("button", name="Use from now on").click()
    expect(page.get_by_text("The run could not do that")).to_be_visible(timeout=15_000)
    page.get_by_role("button", name="More about this run").click()
    page.get_by_role("menuitem", name="Edit the sample prompts").click()
    prompts.fill("a lory on the right --s 1 --w 64 --h 64")
    page.get_by_role("button", name="Use from now on").click()
    expect(prompts).to_have_count(0)
    page.get_by_role("button", name="Sample now").click()
    expect(page.get_by_role("button", name=re.compile("Look at: a lory on the right")).first).to_be_visible(
        timeout=30_000
    )
    page.get_by_role("button", name="More about this run").click()
    page.get_by_role("menuitem", name="Save now").click()
    page.get_by_role("tab", name="Checkpoints").click()
    expect(page.get_by_role("link", name=re.compile("Download real_"))).to_be_visible(timeout=30_000)


def _compare_with_the_file(page: Page, run: Path) -> None:
    """Every step of the file is in the chart, over the stop and the new beginning."""
    lines = [json.loads(line) for line in (run / "metrics_real.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert until_drawn(page, steps[-1])["points"] == 2 * len(steps)


def _go_back(page: Page, studio: Studio, run: Path) -> None:
    page.get_by_role("tab", name="Checkpoints").click()
    earlier, _newest = sorted(int(path.name) for path in (run / "checkpoints").iterdir())
    studio.ask("POST", "/api/queues/cpu/pause")
    row = page.get_by_role("row", name=re.compile(f"^{earlier} "))
    expect(page.get_by_text("Training paused")).to_have_count(0, timeout=15_000)
    row.get_by_role("button", name="Resume from here").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Go back to step {earlier}?")
    dialog.get_by_role("button", name="Go back and resume").click()
    expect(page.get_by_text("Waiting", exact=True).first).to_be_visible()
    assert [int(path.name) for path in (run / "checkpoints").iterdir()] == [earlier]
