"""What holds for every page: it opens without an error, axe finds nothing serious, it fits a phone, nothing jumps."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.e2e.web.studio import DESKTOP, PHONE, Pages, assert_accessible, assert_fits, settle

PLACES = ["/", "/datasets", "/runs", "/models", "/no/such/page"]
PLACES += [f"/settings?tab={tab}" for tab in ("general", "paths", "tokens", "hardware", "access", "trash")]
PLACES += [f"/datasets/{{dataset}}?tab={tab}" for tab in ("pictures", "edits", "checks", "buckets", "numbers", "copy",
                                                         "settings")]  # fmt: skip
PLACES += ["/datasets/{dataset}?item=lory_01.png", "/datasets/{dataset}?item=lory_01.png&as=text"]
PLACES += [f"/runs/{{run}}?tab={tab}" for tab in ("overview", "samples", "checkpoints", "metrics", "log", "config",
                                                 "files")]  # fmt: skip
PLACES += ["/runs/{run}?step=5&open=true", "/runs/no-such-run", "/runs/compare", "/train", "/train?mode=yaml"]
PLACES += ["/runs/compare?ids=%5B%22{run}%22%2C%22{other}%22%5D"]
PLACES += [f"/train?mode=all&tab={tab}" for tab in ("Setup", "Dataset", "LoRA", "Learning%20rate", "Advanced", "Saving",
                                                    "Logging")]  # fmt: skip

LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "phone": ("light", PHONE),
         "dark phone": ("dark", PHONE)}  # fmt: skip

MOST_SHIFT = 0.1
SHIFT = """() => {
  window.shift = { sum: 0, what: [] };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      window.shift.sum += entry.value;
      const names = entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 90) ?? node?.textContent?.slice(0, 40));
      window.shift.what.push(entry.value.toFixed(3) + " " + names.join(" | "));
    }
  }).observe({ type: "layout-shift", buffered: true });
}"""


def _check(page: Page, address: str, look: str) -> str | None:
    """What is wrong with a page in this look; None where nothing is."""
    scheme, (width, height) = LOOKS[look]
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    settle(page)
    try:
        assert page.locator("h1").count() == 1, "it has not one heading of the first order"
        found = page.evaluate("window.shift")
        assert found["sum"] < MOST_SHIFT, f"it jumps: {found['what']}"
        assert_fits(page)
        assert_accessible(page)
    except AssertionError as error:
        return f"{look} {address}: {error}"
    return None


def _check_all(look: Pages, ids: dict[str, str], wanted: list[tuple[str, str]]) -> None:
    look.expect("404")  # of a run that does not exist
    page = look("/models")
    start = page.url.removesuffix("/models")
    page.add_init_script(f"({SHIFT})()")
    wrong = [_check(page, start + place.format(**ids), name) for place, name in wanted]
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_every_fourth_page_in_one_look(look: Pages, ids: dict[str, str]) -> None:
    """All of them in all looks are checked by the test below."""
    names = list(LOOKS)
    _check_all(look, ids, [(place, names[number % len(names)]) for number, place in enumerate(PLACES[::4])])


@pytest.mark.full
@pytest.mark.parametrize("name", LOOKS)
def test_every_page_in_every_look(look: Pages, ids: dict[str, str], name: str) -> None:
    _check_all(look, ids, [(place, name) for place in PLACES])
