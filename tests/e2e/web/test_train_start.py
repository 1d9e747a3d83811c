"""From a draft to a job: a newcomer presses one button, and mistakes are told before and after it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.web.drafting import SECONDS, draft_is, field, lory, row, summary, with_draft
from tests.e2e.web.studio import Pages, Studio, settle

RUN = re.compile(r"/runs/[0-9A-Z]{26}")


@pytest.mark.full  # test_newcomer.py goes the whole way in the quick tier
def test_a_newcomer_only_presses_start(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = pages("/train")
    settle(page)
    expect(page.get_by_role("radio", name=re.compile("lory"))).to_be_checked(timeout=SECONDS)
    expect(page.get_by_role("radio", name=re.compile("Demo model"))).to_be_checked()
    page.get_by_text("Quick", exact=True).click()
    expect(summary(page)).to_contain_text("100 steps", timeout=SECONDS)
    summary(page).get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(RUN)
    (job,) = studio.ask("GET", "/api/jobs")
    # It really trains: steps are counted.
    path = f"/api/jobs/{job['id']}"
    found = studio.wait_for(
        path, lambda each: (each["step"] or 0) > 2 or each["state"] not in ("waiting", "starting", "running")
    )
    assert (found["name"], found["state"], found["total_steps"]) == ("lory", "running", 100), found
    # The same again: it waits behind the first one, the name is taken, and a number is offered.
    pages.expect("409")
    page.goto(studio.address + "/train")
    summary(page).get_by_role("button", name="Add to the queue", exact=True).click(timeout=SECONDS)
    expect(summary(page).get_by_text("The name is taken")).to_be_visible()
    assert len(studio.ask("GET", "/api/jobs")) == 1
    summary(page).get_by_role("button", name="Add a number").click()
    page.wait_for_url(RUN)
    jobs = studio.ask("GET", "/api/jobs")
    assert [each["state"] for each in jobs if each["id"] != job["id"]] == ["waiting"]
    for each in reversed(jobs):
        studio.ask("POST", f"/api/jobs/{each['id']}/stop")


def test_a_dataset_comes_along(look: Pages, standing: Studio) -> None:
    (found,) = standing.ask("GET", "/api/datasets")["datasets"]
    page = look(f"/datasets/{found['id']}")
    settle(page)
    page.locator("#main").get_by_role("link", name="Train", exact=True).click()
    page.wait_for_url(re.compile("/train$"))
    expect(page.get_by_role("radio", name=re.compile("lory"))).to_be_checked(timeout=SECONDS)
    draft_is(page, "datasets.0.path", f"dataset:{found['id']}")
    expect(summary(page).get_by_text("No problems")).to_be_visible(timeout=SECONDS)
    # Once more, from there: what nobody chose makes no further draft.
    page.goto(f"{standing.address}/train?dataset={found['id']}")
    page.wait_for_url(re.compile("/train$"))
    settle(page)
    assert page.evaluate("JSON.parse(localStorage.getItem('loratory:draft:train')).value.list.length") == 1
    # A link may lead to a setting, too.
    page.goto(f"{standing.address}/train?field=network.rank")
    expect(field(page, "network.rank")).to_be_focused(timeout=SECONDS)


@pytest.mark.full
def test_mistakes_that_only_the_start_finds(pages: Pages, dataset: Path, studio: Studio) -> None:
    """The check answered before the pictures went; the desk looks again, and may be overruled."""
    data = lory(studio, duration={"steps": 3})
    data["datasets"] = [{"path": str(studio.home / "later")}]
    (studio.home / "later").mkdir()
    (studio.home / "later" / "a.png").write_bytes(
        (dataset / sorted(p.name for p in dataset.glob("*.png"))[0]).read_bytes()
    )
    page = with_draft(pages, data, "/train?mode=all&tab=Setup")
    start = summary(page).get_by_role("button", name="Start", exact=True)
    expect(start).to_be_enabled(timeout=SECONDS)
    (studio.home / "later" / "a.png").unlink()
    (studio.home / "later").rmdir()
    pages.expect("422")
    start.click()
    problem = summary(page).get_by_role("alert", name="It was not started")
    expect(problem).to_contain_text("does not exist", timeout=SECONDS)
    problem.get_by_role("button", name="Show it").click()
    expect(row(page, "datasets.0.path")).to_contain_text("does not exist")
    problem.get_by_role("button", name="Start anyway").click()
    page.wait_for_url(RUN)
    (job,) = studio.ask("GET", "/api/jobs")
    studio.wait_for(f"/api/jobs/{job['id']}", lambda each: each["state"] == "failed")


@pytest.mark.full
def test_a_draft_of_all_settings_is_queued_held(pages: Pages, dataset: Path, studio: Studio) -> None:
    page = with_draft(pages, lory(studio), "/train?mode=all&tab=Dataset")
    field(page, "duration.epochs").fill("2")
    expect(page.get_by_test_id("calculation")).to_contain_text("240 steps", timeout=SECONDS)
    summary(page).get_by_role("button", name="Other ways to start").click()
    page.get_by_role("menuitem", name="hold it").click()
    page.wait_for_url(RUN)
    (job,) = studio.ask("GET", "/api/jobs")
    assert (job["name"], job["state"]) == ("lory", "held")
