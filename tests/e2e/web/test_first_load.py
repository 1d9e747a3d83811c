"""What the first page weighs, and that it comes compressed and may be kept."""

from playwright.sync_api import Browser, Response

from benchmarks.web.first_load import LATER_BYTES, LIMIT_BYTES, STATIC, fetched, needed
from tests.e2e.web.studio import Pages, Studio, settle


def test_a_first_visit_keeps_its_promise(browser: Browser, standing: Studio) -> None:
    files = needed()
    assert sum(files.values()) <= LIMIT_BYTES
    found = fetched(browser, standing.address)
    assert files.keys() <= found.keys(), "the browser asks for what the manifest names"
    later = {name: found[name] for name in found.keys() - files.keys() if name.endswith((".js", ".css"))}
    assert sum(later.values()) <= LATER_BYTES, later
    assert len([name for name in found if name.endswith(".woff2")]) == 1, "one part of the font is enough for English"


def test_scripts_and_styles_come_compressed_and_may_be_kept(look: Pages) -> None:
    answers: list[Response] = []
    page = look("/models")

    def note(answer: Response) -> None:
        answers.append(answer)

    page.on("response", note)
    page.goto(page.url.replace("/models", "/"))
    settle(page)
    assets = [answer for answer in answers if "/assets/" in answer.url]
    assert len(assets) > 10
    for answer in assets:
        name, headers = answer.url.rpartition("/")[2], answer.all_headers()
        assert headers["cache-control"] == "private, max-age=31536000, immutable", name
        assert (headers.get("content-encoding") == "br") is (STATIC / "assets" / f"{name}.br").is_file(), name
    packed = [answer for answer in assets if answer.headers.get("content-encoding") == "br"]
    assert len(packed) > 5, "the largest of them"
