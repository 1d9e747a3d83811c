"""A real browser before a real server. See studio.py for what the fixtures give.

`studio` a server with an empty home · `pages("/runs", scheme="dark", phone=True)` a page of it · `dataset` the demo
dataset in it. Every console error, console warning and uncaught error that the test did not expect fails it.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.web.studio import AXE, ROOT, Pages, Studio

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install -e '.[dev]'"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def app() -> None:
    """The built app, made anew where it is older than its sources; one worker builds, the others wait."""
    import hatch_build

    web, built = ROOT / "web", ROOT / "loratory" / "server" / "static"
    with (Path(tempfile.gettempdir()) / f"loratory-build-{ROOT.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not hatch_build.is_fresh(web, built):
            try:
                hatch_build.build(web, built)
            except ModuleNotFoundError:
                pytest.skip("There is no Node to build the app with: pip install -e '.[dev]'")


@pytest.fixture(scope="session")
def browser(app: None) -> Iterator[playwright_api.Browser]:
    """Debian's Chromium: Playwright's own builds cannot be had everywhere."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install --no-install-recommends chromium")
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make check-web")
    with playwright_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program)
        yield found
        found.close()


@pytest.fixture
def studio(app: None, own_home: Path) -> Iterator[Studio]:
    running = Studio(own_home)
    yield running
    running.end()


@pytest.fixture
def pages(browser: playwright_api.Browser, studio: Studio) -> Iterator[Pages]:
    opened = Pages(browser, studio)
    yield opened
    opened.close()
    assert not opened.unexpected(), "\n".join(opened.unexpected())


@pytest.fixture
def dataset(studio: Studio) -> Path:
    """The twelve pictures of the demo dataset, as the dataset `lory`."""
    from loratory.demo.concept import write_dataset

    folder = studio.home / "datasets" / "lory"
    folder.mkdir(parents=True)
    write_dataset(folder)
    return folder
