"""Connections that are cut, blocked, below a path, or ask for a token; and several tabs at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.web.proxy import Proxy
from tests.e2e.web.studio import Pages, Studio, assert_accessible, settle, small_job

TOKEN = "a-token-of-the-tests"
GONE = "ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_SOCKET|WebSocket|502"


def _hold(studio: Studio, name: str, dataset: Path) -> str:
    made = studio.ask("POST", "/api/jobs", {"config": small_job(studio.home, name, dataset), "hold": True})
    return str(made["id"])


@pytest.mark.full
def test_a_change_in_one_tab_shows_in_the_other(pages: Pages, studio: Studio, dataset: Path) -> None:
    for name in ("one", "two", "three"):
        _hold(studio, name, dataset)
    mine, other = pages("/"), pages("/")
    rows = [page.get_by_role("region", name="Queue").get_by_role("listitem") for page in (mine, other)]
    for each in rows:
        expect(each).to_have_text([re.compile("one"), re.compile("two"), re.compile("three")])
    mine.get_by_role("button", name="three earlier").click()
    expect(rows[1]).to_have_text([re.compile("one"), re.compile("three"), re.compile("two")])
    # Priority goes before place.
    mine.get_by_role("button", name="More for two").click()
    mine.get_by_role("menuitem", name="High").click()
    expect(rows[1].first).to_contain_text("two")
    expect(rows[1].first).to_contain_text("High priority")
    mine.get_by_role("button", name="More for one").click()
    mine.get_by_role("menuitem", name="Delete").click()
    mine.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(rows[1]).to_have_count(2)
    mine.get_by_role("button", name="Undo").click()
    expect(rows[1]).to_have_count(3)
    mine.get_by_role("button", name="Pause the queue").click()
    expect(other.get_by_text("Paused: nothing new begins.")).to_be_visible()
    # Nothing begins while the queue is paused, also what is no longer held.
    mine.get_by_role("button", name="Release one").click()
    expect(other.get_by_role("button", name="Hold one")).to_be_visible()
    other.get_by_role("button", name="Start the queue").click()
    expect(mine.get_by_role("region", name="one")).to_be_visible(timeout=30_000)
    mine.get_by_role("button", name="Stop one").click()
    mine.get_by_role("button", name="Stop it").click()
    expect(other.get_by_role("region", name="one")).to_have_count(0, timeout=60_000)


def test_the_server_is_killed_in_the_middle_of_a_run(pages: Pages, studio: Studio, dataset: Path) -> None:
    pages.expect(GONE)
    config = small_job(studio.home, "long", dataset) | {"duration": {"steps": 4000}}
    job = studio.ask("POST", "/api/jobs", {"config": config})["id"]
    page = pages(f"/runs/{job}")
    page.get_by_role("textbox", name="Notes").fill("typed before the end")
    studio.wait_for(f"/api/runs/{job}", lambda answer: (answer["status"].get("step") or 0) >= 2)
    studio.kill()
    expect(page.get_by_text("No connection").first).to_be_visible(timeout=30_000)
    page.get_by_role("textbox", name="Notes").fill("typed while it was away")
    studio.start()
    expect(page.get_by_text("No connection")).to_have_count(0, timeout=60_000)
    expect(page.get_by_role("textbox", name="Notes")).to_have_value("typed while it was away")
    before = studio.ask("GET", f"/api/runs/{job}")["status"]["step"]
    # The engine went on all the time, and the page follows it again by itself.
    page.wait_for_function(
        "(before) => Number(document.querySelector('[aria-label=Progress]').innerText"
        ".match(/Step\\s+([\\d,]+)/)[1].replace(',', '')) > before", arg=before, timeout=60_000)  # fmt: skip
    page.get_by_role("button", name="Stop").click()
    studio.wait_for(f"/api/jobs/{job}", lambda answer: answer["state"] == "stopped")


@pytest.fixture
def proxy(studio: Studio) -> Iterator[Proxy]:
    with Proxy(studio.port) as running:
        yield running


@pytest.mark.full
def test_news_come_where_a_proxy_breaks_sockets(pages: Pages, studio: Studio, dataset: Path) -> None:
    pages.expect("WebSocket")
    with Proxy(studio.port, sockets=False, hidden=True) as proxy:
        page = pages("/", at=proxy.address)
        expect(page.get_by_text("Slow updates")).to_be_visible(timeout=30_000)
        _hold(studio, "one", dataset)
        expect(page.get_by_role("region", name="Queue").get_by_text("one")).to_be_visible(timeout=15_000)
        assert_accessible(page)


@pytest.fixture
def asking(app: None, tmp_path: Path) -> Iterator[Studio]:
    """A server that everybody can reach, and that demands its token."""
    running = Studio(tmp_path / "home", host="0.0.0.0", token=TOKEN)
    yield running
    running.end()


@pytest.fixture
def strangers(browser: Browser, asking: Studio) -> Iterator[Pages]:
    opened = Pages(browser, asking)
    opened.expect("401")
    yield opened
    opened.close()
    assert not opened.unexpected(), "\n".join(opened.unexpected())


def _log_in(page: Page, token: str = TOKEN) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_the_token_is_asked_for(strangers: Pages, asking: Studio) -> None:
    page = strangers("/settings?tab=access")
    assert_accessible(page)
    _log_in(page, "a-wrong-token-of-a-stranger")
    expect(page.get_by_role("alert")).to_contain_text("not the server's token")
    _log_in(page)
    # Where one wanted to go.
    expect(page.get_by_text("This browser has logged in with the token.")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.goto(asking.address + "/datasets")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_printed_address_lets_in_and_hides_the_token(strangers: Pages) -> None:
    page = strangers(f"/runs?token={TOKEN}&q=dog")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    assert TOKEN not in page.url
    assert page.url.endswith("/runs?q=dog")


def test_a_session_that_ends_costs_nothing_that_was_typed(strangers: Pages) -> None:
    strangers.expect("WebSocket|Refused to apply style")  # of a part that comes later and finds no session
    page = strangers(f"/train?mode=all&token={TOKEN}")
    settle(page)
    page.get_by_label("Name", exact=True).fill("my parrot")
    page.context.clear_cookies()
    page.get_by_label("Seed", exact=True).fill("7")
    dialog = page.get_by_role("dialog", name="Log in again")
    expect(dialog).to_be_visible(timeout=15_000)
    assert_accessible(page)
    _log_in(dialog, "a-wrong-token-of-a-stranger")  # type: ignore[arg-type]
    expect(dialog.get_by_text("not the server's token")).to_be_visible()
    _log_in(dialog)  # type: ignore[arg-type]
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Name", exact=True)).to_have_value("my parrot")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("7")
    expect(page.get_by_text("No connection")).to_have_count(0, timeout=15_000)


@pytest.mark.full
def test_the_whole_app_works_below_a_path(browser: Browser, app: None, tmp_path: Path) -> None:
    studio = Studio(tmp_path / "home", root="/loratory", token=TOKEN)
    try:
        with Proxy(studio.port) as proxy:
            pages = Pages(browser, studio)
            pages.expect("401")
            wanted: list[str] = []
            page = pages("/loratory/", at=proxy.address)
            page.on("request", lambda request: wanted.append(request.url))
            page.on("websocket", lambda socket: wanted.append(socket.url.replace("ws://", "http://")))
            _log_in(page)
            for place in ("Datasets", "Train", "Runs", "Models", "Settings", "Home"):
                page.get_by_role("navigation").get_by_role("link", name=place).click()
                expect(page.get_by_role("heading", name=place, exact=True, level=1)).to_be_visible()
                settle(page)
            page.get_by_test_id("begin-files").set_input_files(_picture(tmp_path))
            page.get_by_label("Name").fill("below")
            page.get_by_role("button", name="Create and upload").click()
            expect(page.get_by_text("1 file uploaded")).to_be_visible(timeout=20_000)
            expect(page.get_by_role("button", name=re.compile("^Open "))).to_be_visible()
            page.reload()
            expect(page.get_by_role("heading", name="below", exact=True)).to_be_visible()
            page.wait_for_function("() => document.querySelector('[data-testid=gallery] img')?.naturalWidth > 0")
            outside = [each for each in wanted if not each.startswith(f"{proxy.address}/loratory/")]
            assert not [each for each in outside if not each.startswith("data:")], outside
            assert any("/api/events" in each for each in wanted)
            pages.close()
            assert not pages.unexpected(), "\n".join(pages.unexpected())
    finally:
        studio.end()


def _picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "picture.png"
    Image.new("RGB", (64, 64), (200, 90, 160)).save(path)
    return path
