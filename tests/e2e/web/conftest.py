"""A real browser before a real server. See studio.py for what the fixtures give.

`studio` a server with an empty home · `pages("/runs", scheme="dark", phone=True)` a page of it · `dataset` the demo
dataset in it · `standing` and `look` the same for tests that change nothing: one server with a dataset and
two runs (`ids`) for all.

Every console error, console warning and uncaught error that the test did not expect fails it.

A test here takes seconds. The quick tier has the ways that every user goes and those on which work could be lost: a
newcomer from a drop to a file, the form, uploads, captions, reloads, two tabs, a killed server, the keyboard alone, the
token, and every fourth page in one look. All else is marked `full`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from scripts import chromium
from tests.e2e.web.studio import SECONDS, Pages, Studio
from tests.made_runs import make_run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="session")
def app() -> None:
    """The built app, made anew where it is older than its sources; one worker builds, the others wait."""
    import hatch_build

    if os.environ.get(hatch_build.SKIP):
        pytest.skip(f"{hatch_build.SKIP} is set, so there is no app to test")
    try:
        hatch_build.node_and_npm()
    except RuntimeError:
        pytest.skip("There is no Node to build the app with: pip install -e '.[dev]'")
    hatch_build.make_fresh()
    if hatch_build.lacks_packages(hatch_build.WEB, everything=True):
        with hatch_build.alone(hatch_build.WEB):
            hatch_build.install_packages(hatch_build.WEB, everything=True)


@pytest.fixture(scope="session")
def browser(app: None) -> Iterator[Browser]:
    """The machine's Chromium: Playwright's own builds cannot be had everywhere."""
    program = chromium.find()
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program)
        yield found
        found.close()


@pytest.fixture
def studio(app: None, own_home: Path) -> Iterator[Studio]:
    running = Studio(own_home)
    yield running
    running.end()


@pytest.fixture
def pages(browser: Browser, studio: Studio) -> Iterator[Pages]:
    opened = Pages(browser, studio)
    yield opened
    opened.close()
    assert not opened.unexpected(), "\n".join(opened.unexpected())


@pytest.fixture(scope="session")
def standing(app: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One server with the demo dataset and two finished runs for all tests that only look: a start takes seconds."""
    home = tmp_path_factory.mktemp("standing") / "home"
    write_demo(home)
    with mock.patch.dict(os.environ, LORATORY_HOME=str(home)):
        for name in ("first", "second"):
            make_run(home / "output", name)
    running = Studio(home)
    yield running
    running.end()


@pytest.fixture(scope="session")
def ids(standing: Studio) -> dict[str, str]:
    """What addresses of the standing server name: `{run}`, `{other}`, `{dataset}`."""
    runs = standing.wait_for("/api/runs", lambda answer: answer["total"] == 2)["runs"]
    datasets = standing.wait_for("/api/datasets", lambda answer: all(each["summary"] for each in answer["datasets"]))
    return {"run": runs[0]["id"], "other": runs[1]["id"], "dataset": datasets["datasets"][0]["id"]}


@pytest.fixture
def look(browser: Browser, standing: Studio) -> Iterator[Pages]:
    """`pages` of the server that stands for all."""
    opened = Pages(browser, standing)
    yield opened
    opened.close()
    assert not opened.unexpected(), "\n".join(opened.unexpected())


def write_demo(home: Path) -> Path:
    from loratory.demo.concept import write_dataset

    folder = home / "datasets" / "lory"
    folder.mkdir(parents=True)
    write_dataset(folder)
    return folder


@pytest.fixture
def dataset(studio: Studio) -> Path:
    """The twelve pictures of the demo dataset, as the dataset `lory`."""
    return write_demo(studio.home)
