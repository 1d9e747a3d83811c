"""What the tests of the page of training share: a draft in the browser, its rows, and files that are dropped."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.web.studio import Pages, Studio, settle

TABS = ("Setup", "Dataset", "LoRA", "Learning rate", "Advanced", "Saving", "Logging")
SECONDS = 20_000
_KEEP = """([list, data]) => {
  if (sessionStorage.getItem("kept")) return;
  sessionStorage.setItem("kept", "1");
  localStorage.setItem("loratory:draft:train", list);
  localStorage.setItem("loratory:draft:train:a", data);
}"""
_DRAFT = """() => {
  const kept = localStorage.getItem("loratory:draft:train");
  if (kept === null) return null;
  const { list, current } = JSON.parse(kept).value;
  const id = list.some((each) => each.id === current) ? current : list[0].id;
  return JSON.parse(localStorage.getItem("loratory:draft:train:" + id))?.value.data ?? null;
}"""
_DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) transfer.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector("h1").dispatchEvent(
      new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }
}"""


def lory(studio: Studio, **more: Any) -> dict[str, Any]:
    """A job with the demo dataset, ten times in an epoch."""
    found = studio.ask("GET", "/api/datasets")["datasets"][0]["id"]
    dataset = {"path": f"dataset:{found}", "num_repeats": 10}
    return {"name": "lory", "model": {"path": "demo"}, "datasets": [dataset], "duration": {"epochs": 5}} | more


def with_draft(pages: Pages, data: dict[str, Any], path: str = "/train?mode=all", **options: Any) -> Page:
    """A page whose browser keeps this draft."""
    value = {"list": [{"id": "a", "name": "", "changed": 0}], "current": "a"}
    written = {"data": data, "stamps": {}}
    kept = [json.dumps({"version": 2, "value": each}) for each in (value, written)]
    page = pages(path, script=f"({_KEEP})({json.dumps(kept)})", **options)
    settle(page)
    return page


def draft_is(page: Page, path: str, wanted: Any) -> None:
    """Wait until the browser keeps this in the draft, which is written a moment after it is typed."""
    page.wait_for_function(
        f"""([path, wanted]) => {{
          const draft = ({_DRAFT})();
          const found = path.split(".").reduce((value, key) => value?.[key], draft);
          return JSON.stringify(found ?? null) === wanted;
        }}""",
        arg=[path, json.dumps(wanted, separators=(",", ":"))],
    )


def row(page: Page, path: str) -> Locator:
    return page.locator(f'[data-path="{path}"]')


def field(page: Page, path: str) -> Locator:
    return page.locator(f"#field-{path.replace('.', '-')}")


def summary(page: Page) -> Locator:
    return page.get_by_role("region", name="Summary")


def open_tab(page: Page, name: str) -> None:
    tab = page.get_by_role("tab", name=re.compile(f"^{name}"))
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")


def drop(page: Page, files: dict[str, str]) -> None:
    """Let texts fall onto the page as files."""
    page.evaluate(_DROP, list(files.items()))
