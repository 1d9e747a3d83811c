"""What holds for every page: it opens without an error, axe finds nothing serious, it fits a phone, keys lead there."""

import pytest

from tests.e2e.web.studio import Pages, assert_accessible, assert_fits, settle

PLACES = ["/", "/models", "/settings", "/no/such/page"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PLACES)
def test_axe_finds_nothing_serious(pages: Pages, dataset: object, path: str, scheme: str) -> None:
    page = pages(path, scheme=scheme)
    settle(page)
    assert page.locator("h1").count() == 1
    assert_accessible(page)


@pytest.mark.parametrize("path", PLACES)
def test_a_phone_shows_all_of_it(pages: Pages, dataset: object, path: str) -> None:
    page = pages(path, phone=True)
    settle(page)
    assert_fits(page)
    assert_accessible(page)
