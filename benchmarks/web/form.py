"""What a key press costs in a form with 200 parameters: `python benchmarks/web/form.py [address]`.

Shows four datasets at the level of experts in Debian's Chromium and types into a number field. Counted is the time of
the page's main thread (scripts, styles, layout, painting) per key until the page is at rest again, answers of the
server included; the clock is the thread's own, so other programs do not count. The budget is 30 ms.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

from playwright.sync_api import CDPSession, sync_playwright

BUDGET_MS = 30.0
KEYS = "123456789" * 4
DRAFT = {"name": "form", "model": {"path": "demo"}, "datasets": [{"path": "x"}] * 4}
PARTS = {"all": "TaskDuration", "script": "ScriptDuration", "style": "RecalcStyleDuration", "layout": "LayoutDuration"}


def _metrics(session: CDPSession) -> dict[str, float]:
    found: dict[str, Any] = session.send("Performance.getMetrics")
    values = {each["name"]: 1000 * each["value"] for each in found["metrics"]}
    return {name: values[metric] for name, metric in PARTS.items()}


def measure(address: str) -> dict[str, float]:
    """Fields on the page, and milliseconds per key press."""
    drafts = {"list": [{"id": "a", "name": "form", "changed": 0}], "current": "a"}
    kept = {"train": drafts, "train:a": DRAFT}
    script = "".join(
        f"localStorage.setItem('loratory:draft:{name}', {json.dumps(json.dumps({'version': 1, 'value': value}))});"
        for name, value in kept.items()
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(script)
        page.goto(f"{address}/train?mode=all&level=expert&tab=Dataset")
        field = page.get_by_label("Batch size", exact=True)
        field.click()
        page.wait_for_timeout(2000)
        fields = page.locator("[data-path]").count()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _metrics(session)
        for key in KEYS:
            page.keyboard.press(key)
            page.wait_for_timeout(60)
        after = _metrics(session)
        browser.close()
    return {"fields": fields} | {f"{name}_ms": round((after[name] - before[name]) / len(KEYS), 1) for name in PARTS}


if __name__ == "__main__":
    found = measure(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8675")
    print(json.dumps(found))
    sys.exit(found["all_ms"] > BUDGET_MS)
