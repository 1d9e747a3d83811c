"""What opens over a page: axe finds nothing serious in it, in light and dark and on a phone, and Escape closes it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.web.studio import Pages, assert_accessible, assert_fits, settle

pytestmark = pytest.mark.full


def menu_of(page: Page, name: str | re.Pattern[str]) -> Locator:
    page.get_by_role("button", name=name).first.click()
    return page.get_by_role("menu")


def item(page: Page, menu: str | re.Pattern[str], name: str) -> Locator:
    menu_of(page, menu)
    page.get_by_role("menuitem", name=name).click()
    return page.get_by_role("dialog")


def clicked(page: Page, name: str | re.Pattern[str]) -> Locator:
    page.get_by_role("button", name=name).first.click()
    return page.get_by_role("dialog")


def keyed(page: Page, key: str) -> Locator:
    page.keyboard.press(key)
    return page.get_by_role("dialog")


DRAFT = re.compile("^(New draft|lory|Without a name)")
OPENERS: dict[str, tuple[str, Callable[[Page], Locator]]] = {
    "palette": ("/models", lambda page: keyed(page, "Control+k")),
    "keys": ("/models", lambda page: keyed(page, "?")),
    "new dataset": ("/datasets", lambda page: clicked(page, "New dataset")),
    "menu of a dataset": ("/datasets", lambda page: menu_of(page, "More for lory")),
    "delete a dataset": ("/datasets", lambda page: item(page, "More for lory", "Move to trash")),
    "presets": ("/train", lambda page: clicked(page, "Presets")),
    "menu of drafts": ("/train", lambda page: menu_of(page, DRAFT)),
    "import": ("/train", lambda page: item(page, DRAFT, "Import a file")),
    "export": ("/train", lambda page: item(page, DRAFT, "Export")),
    "path": ("/train?mode=all&tab=Setup", lambda page: clicked(page, re.compile("^Pick: "))),
    "help of a setting": ("/train?mode=all&tab=LoRA", lambda page: clicked(page, "Help for Rank")),
    "menu of a run": ("/runs/{run}", lambda page: menu_of(page, "More about this run")),
    "delete a run": ("/runs/{run}", lambda page: item(page, "More about this run", "Delete")),
    "viewer": ("/runs/{run}?step=5&open=true", lambda page: page.get_by_role("dialog")),
    "menu of a model": ("/models", lambda page: menu_of(page, re.compile("^Actions for first.safetensors"))),
}


@pytest.mark.parametrize("name", OPENERS)
def test_it_is_accessible_and_escape_closes_it(look: Pages, ids: dict[str, str], name: str) -> None:
    path, open_it = OPENERS[name]
    for scheme, phone in (("light", False), ("dark", False), ("light", True)):
        page = look(path.format(**ids), scheme=scheme, phone=phone)
        settle(page)
        opened = open_it(page)
        expect(opened).to_be_visible()
        page.wait_for_timeout(300)
        assert_accessible(page)
        assert_fits(page)
        page.keyboard.press("Escape")
        expect(opened).to_have_count(0)
        page.context.close()
