"""What holds for every page: it opens without an error, axe finds nothing serious, it fits a phone."""

import pytest

from tests.e2e.web.studio import Pages, assert_accessible, assert_fits, settle

PLACES = ["/", "/models", "/no/such/page"]
PLACES += [f"/settings?tab={tab}" for tab in ("general", "paths", "tokens", "hardware", "access", "trash")]


@pytest.mark.parametrize("path", PLACES)
def test_axe_finds_nothing_serious_in_light_and_dark(look: Pages, path: str) -> None:
    page = look(path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        assert page.locator("h1").count() == 1
        assert_accessible(page)


@pytest.mark.parametrize("path", PLACES)
def test_a_phone_shows_all_of_it(look: Pages, path: str) -> None:
    page = look(path, phone=True)
    settle(page)
    assert_fits(page)
    assert_accessible(page)
