"""Runs in the browser: what works is followed without a hole, what ended is looked at, several are compared."""

from __future__ import annotations

import json
import re
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.web.conftest import write_demo
from tests.e2e.web.runs import PROMPTS, Engine, drawn, finished, job, until_drawn
from tests.e2e.web.studio import Pages, Studio, assert_accessible, assert_fits, settle

SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) if (!each.hadRecentInput) window.shifts.push(each.value);
  }).observe({ type: "layout-shift", buffered: false });
}"""


@pytest.fixture(scope="module")
def server(app: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server for all tests of this file that do not end it: each has runs of its own name."""
    home = tmp_path_factory.mktemp("runs") / "home"
    write_demo(home)
    running = Studio(home)
    yield running
    running.end()


@pytest.fixture
def show(browser: Browser, server: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    """Pages of that server; runs that the test makes are runs of its home."""
    monkeypatch.setenv("LORATORY_HOME", str(server.home))
    opened = Pages(browser, server)
    yield opened
    opened.close()
    assert not opened.unexpected(), "\n".join(opened.unexpected())


def compare_path(*engines: Engine, **more: Any) -> str:
    return "/runs/compare?" + urllib.parse.urlencode({"ids": json.dumps([each.id for each in engines]), **more})


def fact(page: Page, name: str) -> Any:
    """A number under its name at the top of a run's page."""
    return page.get_by_role("region", name="Progress").locator(f'[data-fact="{name}"]')


# Live


def test_a_page_that_was_open_before_the_first_step_follows_without_a_hole(show: Pages, server: Studio) -> None:
    with Engine(server.home, "live", duration__steps=60) as engine:
        page = show(f"/runs/{engine.id}")
        settle(page)
        expect(page.get_by_text("The first numbers come with the first step.")).to_be_visible()
        page.evaluate(SHIFTS)
        engine.train(1)
        until_drawn(page, 1)
        for _ in range(5):
            engine.train(5)
            page.wait_for_timeout(120)
        found = until_drawn(page, 26)
        # Loss and rate of every step: nothing was left out, nothing came twice.
        assert found["points"] == 2 * 26
        expect(fact(page, "Step")).to_have_text("26")
        expect(fact(page, "Time left")).to_have_text("34 s")
        expect(fact(page, "Speed")).to_have_text("2.50 steps/s")
        expect(page.get_by_role("radio", name="Epochs")).to_be_enabled()
        # Numbers that move push nothing else around.
        assert sum(page.evaluate("window.shifts")) < 0.05
        engine.sample()
        expect(page.get_by_role("button", name=re.compile("Look at: a lory on a green.*step 26"))).to_be_visible()
        engine.run.write_status("sampling", step=26, message="sample 1 of 2")
        expect(page.get_by_text("Sampling: sample 1 of 2")).to_be_visible()
        engine.end()
        expect(page.get_by_text("Finished", exact=True).first).to_be_visible()


def test_where_sockets_are_broken_news_comes_by_asking(show: Pages, server: Studio) -> None:
    with Engine(server.home, "polled") as engine:
        engine.train(3)
        page = show("/models")
        settle(page)
        page.context.route_web_socket(re.compile("/api/"), lambda socket: socket.close())
        page.goto(f"{server.address}/runs/{engine.id}")
        until_drawn(page, 3)
        expect(page.get_by_text("Slow updates")).to_be_visible(timeout=20_000)
        for _ in range(4):
            engine.train(4)
        assert until_drawn(page, 19)["points"] == 2 * 19
        engine.end()
        expect(page.get_by_text("Finished", exact=True).first).to_be_visible(timeout=15_000)


@pytest.mark.full
def test_a_server_that_is_killed_and_comes_back(pages: Pages, studio: Studio) -> None:
    pages.expect("ERR_CONNECTION_REFUSED|WebSocket connection|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET")
    with Engine(studio.home, "away") as engine:
        engine.train(5)
        page = pages(f"/runs/{engine.id}")
        until_drawn(page, 5)
        page.get_by_label("Notes", exact=True).fill("half a sentence")
        studio.kill()
        expect(page.get_by_text("No connection", exact=True)).to_be_visible()
        engine.train(7)
        engine.sample()
        studio.start()
        found = until_drawn(page, 12, timeout=40_000)
        assert found["points"] == 2 * 12
        expect(page.get_by_text("No connection", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name=re.compile("Look at:.*step 12")).first).to_be_visible()
        expect(page.get_by_label("Notes", exact=True)).to_have_value("half a sentence")
        engine.train(1)
        assert until_drawn(page, 13)["points"] == 2 * 13


def test_a_run_that_is_deleted_elsewhere(show: Pages, server: Studio) -> None:
    engine = finished(server.home, "gone")
    page = show(f"/runs/{engine.id}")
    listed = show("/runs?q=gone")
    show.expect("404")
    settle(page)
    listed.get_by_role("checkbox", name="Select gone").check()
    server.ask("DELETE", f"/api/runs/{engine.id}")
    expect(page.get_by_text("This run was deleted")).to_be_visible(timeout=15_000)
    expect(listed.get_by_text("No run fits")).to_be_visible(timeout=15_000)
    expect(listed.get_by_text("0 selected, 1 deleted meanwhile")).to_be_visible()
    page.reload()
    expect(page.get_by_text("There is no such run")).to_be_visible()


# One run


@pytest.mark.full
def test_a_point_of_the_chart_leads_to_its_samples(show: Pages, server: Studio) -> None:
    engine = finished(server.home, "linked")
    page = show(f"/runs/{engine.id}")
    until_drawn(page, 40)
    samples = page.get_by_role("region", name="Samples")
    expect(samples.get_by_text("Step 40")).to_be_visible()
    over = page.locator(".u-over")
    box = over.bounding_box()
    assert box is not None
    over.click(position={"x": box["width"] * 0.45, "y": box["height"] / 2})
    expect(samples.get_by_text("Step 20")).to_be_visible()
    page.reload()
    expect(samples.get_by_text("Step 20")).to_be_visible()
    samples.get_by_role("button", name="Newest").click()
    expect(samples.get_by_text("Step 40")).to_be_visible()


@pytest.mark.full
def test_smoothing_log_outliers_and_axes_do_what_they_say(show: Pages, server: Studio) -> None:
    with Engine(server.home, "chart", duration__steps=100) as engine:
        engine.train(60)
        engine.train(1, loss=50.0)
        engine.train(39)
        engine.end()
    page = show(f"/runs/{engine.id}")
    clipped = until_drawn(page, 100)["y"]
    assert clipped[1] < 5
    page.get_by_role("switch", name="Leave out outliers").click(force=True)
    page.wait_for_function("() => Number(document.querySelector('[data-y]').dataset.y.split(' ')[1]) > 49")
    page.get_by_role("switch", name="Logarithmic").click(force=True)
    page.wait_for_function("() => Number(document.querySelector('[data-y]').dataset.y.split(' ')[0]) > 0")
    page.get_by_text("Epochs", exact=True).click()
    page.wait_for_function("() => Number(document.querySelector('[data-x]').dataset.x.split(' ')[1]) < 10")
    assert drawn(page)["x"][1] == pytest.approx(100 / 12, abs=0.01)
    page.get_by_text("Time", exact=True).click()
    page.wait_for_function("() => Number(document.querySelector('[data-x]').dataset.x.split(' ')[0]) === 0")
    assert "clip=false" in page.url and "log=true" in page.url and "x=time" in page.url


def test_samples_are_looked_at_with_the_keyboard(show: Pages, server: Studio) -> None:
    engine = finished(server.home, "looked")
    page = show(f"/runs/{engine.id}?tab=samples")
    page.get_by_role("button", name=re.compile("Look at: a lory on a green")).click()
    viewer = page.get_by_role("dialog")
    picture = viewer.get_by_role("img", name=re.compile(", step"))
    expect(picture).to_have_attribute("alt", f"{PROMPTS[0]}, step 40")
    expect(viewer.get_by_role("row", name="Seed 0")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(picture).to_have_attribute("alt", f"{PROMPTS[0]}, step 20")
    page.keyboard.press("ArrowDown")
    expect(picture).to_have_attribute("alt", f"{PROMPTS[1]}, step 20")
    expect(viewer.get_by_role("row", name="Seed 1")).to_be_visible()
    page.keyboard.press("c")
    expect(picture).to_have_count(2)
    first, second = (picture.nth(place).bounding_box() for place in (0, 1))
    assert first == second, "two pictures that are compared lie on each other"
    wipe = viewer.get_by_role("slider", name="Where A ends and B begins")
    wipe.fill("30")
    expect(viewer.locator("[style*='inset(0px 0px 0px 30%)'], [style*='inset(0 0 0 30%)']")).to_have_count(1)
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(viewer).to_have_count(0)
    page.get_by_text("All steps").click()
    expect(page.get_by_role("columnheader", name=re.compile("Step"))).to_have_count(3)
    expect(page.get_by_role("button", name=re.compile("Look at:"))).to_have_count(6)


def test_what_is_downloaded_are_the_files_bytes(show: Pages, server: Studio) -> None:
    engine = finished(server.home, "bytes")
    page = show(f"/runs/{engine.id}?tab=checkpoints")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download bytes.safetensors").click()
    assert Path(download.value.path()).read_bytes() == engine.run.final_export_path.read_bytes()
    found = page.context.request.get(
        f"{server.address}/api/runs/{engine.id}/files/bytes.safetensors", headers={"Range": "bytes=256-259"}
    )
    assert (found.status, found.body()) == (206, bytes([0, 1, 2, 3]))
    page.get_by_role("button", name="Delete bytes.safetensors").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("10.2 kB go to the trash")
    dialog.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_role("link", name="Download bytes.safetensors")).to_have_count(0)
    assert not engine.run.final_export_path.exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="Download bytes.safetensors")).to_be_visible()
    assert engine.run.final_export_path.exists()


@pytest.mark.full
def test_the_log_is_live_and_searched(show: Pages, server: Studio) -> None:
    with Engine(server.home, "logged") as engine:
        engine.train(30)
        page = show(f"/runs/{engine.id}?tab=log")
        log = page.get_by_role("region", name="Log")
        expect(log.get_by_text("step 30")).to_be_visible()
        with engine.run.log_path.open("a", encoding="utf-8") as file:
            file.write(
                "2026-11-22 02:49:14,206 ERROR loratory.training.loop: it broke\nTraceback (most recent call last):\n"
            )
        expect(log.get_by_text("it broke")).to_be_visible()
        assert log.locator("[data-level=error]").count() == 2
        page.get_by_label("Search the log").fill("STEP 7")
        expect(page.get_by_text("1 line found")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download", exact=True).click()
        assert Path(download.value.path()).read_bytes() == engine.run.log_path.read_bytes()
        engine.end()


PHASES = {
    "preset": "custom",
    "linear": [
        {"name": "foundation", "alpha": 1.0, "min_steps": 200, "gradient_stability_above": 0.6,
         "loss_slope_below": 0.001},
        {"name": "detail", "alpha": 4.0},
    ],
}  # fmt: skip


@pytest.mark.full
def test_why_a_run_is_still_in_its_phase(show: Pages, server: Studio) -> None:
    numbers = {"phase_idx": 0, "phase": "foundation", "loss_samples": 150, "loss_slope": -0.00005, "loss_r2": 0.01}
    with Engine(server.home, "phased", alpha_schedule=PHASES) as engine:
        engine.train(1, **numbers, steps_in_phase=250, gradient_stability_avg=0.52)
        page = show(f"/runs/{engine.id}?tab=metrics")
        health = page.get_by_role("region", name="Health")
        for word in ("Plateau", "Healthy for video", "No trend"):
            expect(health.get_by_text(word, exact=True)).to_be_visible()
        phases = page.get_by_role("region", name="Phases of alpha")
        expect(phases.get_by_text("1 of 4 does not")).to_be_visible()
        row = phases.get_by_role("row", name=re.compile("Gradient stability"))
        expect(row).to_contain_text("above 0.600")
        expect(row.get_by_role("img", name="Does not hold")).to_be_visible()
        assert phases.get_by_role("img", name="Holds", exact=True).count() == 3
        engine.train(1, **{**numbers, "phase_idx": 1, "phase": "detail"}, steps_in_phase=1, gradient_stability_avg=0.7)
        expect(phases.get_by_text("The last phase, detail, is in force.", exact=False)).to_be_visible(timeout=15_000)
        engine.end()


# Failures


@pytest.fixture
def failed(server: Studio) -> Callable[..., str]:
    """`failed(name, code, message)`: a job that failed so, as its engine would have left it. Its id."""

    def make(name: str, code: str, message: str, **changes: Any) -> str:
        from loratory.jobs.database import open_database
        from loratory.jobs.queue import Queue
        from loratory.runs import RunFolder

        body = {"config": job(server.home, name, **changes), "queue": "cpu", "hold": True}
        found: str = server.ask("POST", "/api/jobs", body)["id"]
        run = RunFolder.open(server.home / "output" / name)
        run.write_status("failed", message=message, error={"kind": "Error", "code": code, "message": message})
        Queue(open_database(server.home / "state" / "queue.db")).set(
            found, state="failed", cause={"code": code, "message": message}
        )
        server.ask("POST", "/api/queues/cpu/pause")
        return found

    return make


def test_a_run_that_died_of_memory_goes_on_by_one_click(
    show: Pages, server: Studio, failed: Callable[..., str]
) -> None:
    found = failed("full", "out_of_memory", "CUDA out of memory. Tried to allocate 2.00 GiB.")
    page = show(f"/runs/{found}")
    alert = page.get_by_role("alert").filter(has_text="This run failed")
    expect(alert).to_contain_text("Tried to allocate 2.00 GiB")
    way = alert.get_by_role("button", name="Save memory, which takes more time")
    expect(way).to_be_visible()
    assert_accessible(page)
    way.click()
    expect(page.get_by_text("Waiting", exact=True).first).to_be_visible()
    config = server.ask("GET", f"/api/runs/{found}/config")["config"]
    assert config["memory"]["low_vram"] is True


@pytest.mark.full
def test_a_run_that_went_astray_is_resumed_with_a_lower_rate(
    show: Pages, server: Studio, failed: Callable[..., str]
) -> None:
    found = failed("astray", "not_a_number", "The loss is not a number since step 12.")
    page = show(f"/runs/{found}")
    page.get_by_role("button", name=re.compile("A third of the learning rate")).click()
    expect(page.get_by_text("This run failed")).to_have_count(0)
    config = server.ask("GET", f"/api/runs/{found}/config")["config"]
    assert config["optimizer"]["learning_rate"] == pytest.approx(0.00067)


@pytest.mark.full
def test_a_run_without_its_model_leads_to_the_form(show: Pages, failed: Callable[..., str]) -> None:
    found = failed("modelless", "missing_model", "There is no model at /models/gone.safetensors.")
    page = show(f"/runs/{found}")
    page.get_by_role("link", name="Choose the model again").click()
    page.wait_for_url(re.compile("/train"))
    expect(page.get_by_label("Name", exact=True)).to_have_value("modelless")


# The list


def test_the_list_is_searched_sorted_filtered_and_selected(show: Pages, server: Studio) -> None:
    engines = {name: finished(server.home, name, steps) for name, steps in (("list-b", 20), ("list-a", 40))}
    version = server.ask("GET", f"/api/runs/{engines['list-a'].id}")["notes"]["version"]
    server.ask("PUT", f"/api/runs/{engines['list-a'].id}/notes",
               {"notes": "the good one", "tags": ["listed"], "version": version})  # fmt: skip
    page = show("/runs?q=list-")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(rows.nth(1)).to_contain_text("list-b")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(rows.nth(1)).to_contain_text("list-a")
    for text in ("Finished", "40 / 40", "2.50 steps/s", "listed", "the good one"):
        expect(rows.nth(1)).to_contain_text(text)
    page.get_by_role("combobox", name="Tag").click()
    page.get_by_role("option", name="listed (1)").click()
    expect(rows).to_have_count(2)
    page.get_by_role("textbox", name="Search runs").fill("nothing like it")
    expect(page.get_by_text("No run fits")).to_be_visible()
    page.get_by_role("button", name="Show all runs").click()
    page.get_by_role("textbox", name="Search runs").fill("list-")
    expect(rows).to_have_count(3)
    for name in engines:
        page.get_by_role("checkbox", name=f"Select {name}").check()
    chosen = page.get_by_role("region", name="Selected runs")
    chosen.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare runs")).to_be_visible()
    page.go_back()
    chosen.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text(re.compile(r"Delete 2 runs\?.*\d kB go to the trash", re.S))
    page.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text("No run fits")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(3)


# Comparing


def test_runs_are_compared_by_curves_samples_and_settings(show: Pages, server: Studio) -> None:
    first = finished(server.home, "twin", 40)
    second = finished(server.home, "twin", 60, folder="other/output", network__rank=16)
    page = show(compare_path(first, second))
    assert until_drawn(page, 60, "Curves")["points"] == 100
    # Both are called alike: what tells them apart is said.
    names = page.get_by_role("list", name="Compared runs").get_by_role("link")
    assert len(set(names.all_inner_texts())) == 2
    samples = page.get_by_role("region", name="Samples", exact=True)
    expect(samples.get_by_text("Step 60").first).to_be_visible()
    expect(samples.get_by_text("Step 40, the last one before")).to_have_count(2)
    samples.get_by_role("button", name="Earlier step").click()
    samples.get_by_role("button", name="Earlier step").click()
    expect(samples.get_by_text("Step 30", exact=True)).to_have_count(3)
    expect(samples.get_by_text("Step 20, the last one before")).to_have_count(2)
    settings = page.get_by_role("region", name="Settings that differ")
    expect(settings.get_by_role("row", name="network.rank 4 16")).to_be_visible()
    expect(settings.get_by_role("row", name="duration.steps 40 60")).to_be_visible()
    expect(settings.get_by_role("row", name=re.compile("learning_rate"))).to_have_count(0)
    page.get_by_role("combobox", name="Number").click()
    page.get_by_role("option", name="Rate of unet").click()
    page.wait_for_function("() => document.querySelector('[data-y]').dataset.y.split(' ')[1] < 0.01")
    assert_accessible(page)
    page.get_by_role("button", name=re.compile("Leave out twin")).first.click()
    expect(names).to_have_count(1)


@pytest.mark.full
def test_a_run_that_works_moves_beside_one_that_rests(show: Pages, server: Studio) -> None:
    rests = finished(server.home, "rests", 20)
    gone = finished(server.home, "leaves", 20)
    show.expect("404")
    with Engine(server.home, "moves", duration__steps=90) as engine:
        engine.train(10)
        page = show(compare_path(rests, engine, gone))
        assert until_drawn(page, 20, "Curves")["points"] == 50
        engine.train(25)
        assert until_drawn(page, 35, "Curves")["points"] == 75
        engine.sample()
        expect(page.get_by_role("region", name="Samples", exact=True).get_by_text("Step 35").first).to_be_visible()
        shutil.rmtree(gone.run.path)
        expect(page.get_by_text("1 run of these is gone")).to_be_visible(timeout=20_000)
        page.get_by_role("button", name="Go on without").click()
        expect(page.get_by_role("list", name="Compared runs").get_by_role("listitem")).to_have_count(2)
        engine.train(1)
        until_drawn(page, 36, "Curves")
        engine.end()


# Looks


TABS = ["overview", "samples", "checkpoints", "metrics", "log", "config", "files"]


@pytest.fixture(scope="module")
def usual(server: Studio) -> Engine:
    return finished(server.home, "usual")


@pytest.mark.full
@pytest.mark.parametrize("tab", TABS)
def test_it_is_accessible_and_fits_a_phone(show: Pages, usual: Engine, tab: str) -> None:
    page = show(f"/runs/{usual.id}?tab={tab}")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert_accessible(page)
    phone = show(f"/runs/{usual.id}?tab={tab}", phone=True)
    settle(phone)
    assert_fits(phone)
    assert_accessible(phone)


@pytest.mark.full
def test_the_list_fits_a_phone(show: Pages, usual: Engine) -> None:
    phone = show("/runs?q=usual", phone=True)
    settle(phone)
    expect(phone.get_by_role("link", name="usual")).to_be_visible()
    expect(phone.get_by_role("table")).to_have_count(0)
    assert_fits(phone)
    assert_accessible(phone)
