"""What the browser tests work with: a server of their own, pages that watch for errors, and axe."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Route

ROOT = Path(__file__).parents[3]
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP, PHONE = (1280, 800), (390, 844)
SECONDS = 30


class Studio:
    """`loratory serve` as a process, with a home of its own. It can be killed and comes back at the same address."""

    def __init__(self, home: Path, *, host: str = "", root: str = "", token: str = "") -> None:
        self.home, self.port = home, 0
        self._options = (["--host", host] if host else []) + (["--root-path", root] if root else [])
        self._token = token
        self.process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        # A token of whoever runs the tests, or of another test in this process, is not this studio's.
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_TOKEN")}
        environment |= {"LORATORY_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        environment |= {"LORATORY_TOKEN": self._token} if self._token else {}
        command = [sys.executable, "-m", "loratory.cli", "serve", "--port", str(self.port), *self._options]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"http://[^/]+:(\d+)/", first)
        assert found, first + self.process.stdout.read()
        self.port = int(found[1])

    def kill(self) -> None:
        """As a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(SECONDS)

    def end(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request of the interface; what it answers."""
        request = urllib.request.Request(
            self.address + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Loratory": "test"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def wait_for(self, path: str, done: Callable[[Any], bool], seconds: float = 120) -> Any:
        """Ask until the answer is as wanted."""
        end = time.monotonic() + seconds
        while not done(answer := self.ask("GET", path)):
            assert time.monotonic() < end, answer
            time.sleep(0.2)
        return answer


class Pages:
    """Opens pages and keeps what went wrong in them: whatever a test did not expect fails it at its end."""

    def __init__(self, browser: Browser, studio: Studio) -> None:
        self._browser, self._studio = browser, studio
        self._contexts: list[BrowserContext] = []
        self._expected: list[re.Pattern[str]] = []
        self.wrong: list[str] = []

    def __call__(
        self, path: str = "/", *, scheme: str = "light", phone: bool = False, at: str = "", script: str = "",
        **options: Any,
    ) -> Page:  # fmt: skip
        """A new browser profile that shows `path`; of another address than the server's own with `at`; `script` runs in
        each of its pages before the app does."""
        width, height = PHONE if phone else DESKTOP
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=phone, reduced_motion="reduce",
            **options,
        )  # fmt: skip
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        self.watch(page)
        page.goto((at or self._studio.address) + path)
        return page

    def watch(self, page: Page) -> None:
        """Keep the errors of a page that was opened by another one."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))

    def expect(self, pattern: str) -> None:
        """Errors like this belong to the test: a request that must fail, a server that is gone."""
        self._expected.append(re.compile(pattern))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def unexpected(self) -> list[str]:
        return [each for each in self.wrong if not any(pattern.search(each) for pattern in self._expected)]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def settle(page: Page) -> None:
    """Until nothing loads and nothing moves any more."""
    page.locator("#main").wait_for()
    page.wait_for_function("() => !document.querySelector('#main [role=status], #main .mantine-Skeleton-root')")
    page.wait_for_timeout(150)


def assert_accessible(page: Page, within: str = "html") -> None:
    """axe finds nothing serious in what the page shows now."""
    # What is out of sight is not laid out, and axe would take it to lie over its neighbours.
    page.add_style_tag(content="* { content-visibility: visible !important }")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        """(within) => axe.run(within, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})""",
        within,
    )
    serious = [
        f"{each['id']} ({each['impact']}): {each['help']}\n    "
        + "\n    ".join(node["html"][:200] + " " + node.get("failureSummary", "")[:200] for node in each["nodes"][:4])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)


def assert_fits(page: Page) -> None:
    """Nothing makes the page wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels too wide"


def small_job(home: Path, name: str, dataset: Path) -> dict[str, Any]:
    """A training on the bundled model that can end soon."""
    return {
        "name": name, "model": {"path": "demo"}, "datasets": [{"path": str(dataset)}], "network": {"rank": 2},
        "batching": {"size": 1, "buckets": {"resolution": 64}}, "duration": {"steps": 4},
        "memory": {"precision": "fp32"}, "saving": {"output_dir": str(home / "output")},
    }  # fmt: skip


def drop(page: Page, *paths: Path, at: tuple[int, int] = (640, 400)) -> None:
    """Files and folders of this machine are dragged into the window and dropped, as the browser itself would do it."""
    line = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        line.send("Input.dispatchDragEvent", {"type": kind, "x": at[0], "y": at[1], "data": data})
    line.detach()


def tab_to(page: Page, target: Locator, most: int = 60) -> None:
    """Go there with the Tab key alone."""
    target.wait_for()
    for _ in range(most):
        page.keyboard.press("Tab")
        if target.evaluate("(element) => element === document.activeElement"):
            return
    focused = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"{most} times Tab did not lead to {target}; it is at {focused}")


def shorten_trainings(page: Page, steps: int) -> list[dict[str, Any]]:
    """Trainings that the page starts end after so few steps; gives what the page had asked for."""
    asked: list[dict[str, Any]] = []

    def change(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        body = json.loads(route.request.post_data or "{}")
        asked.append(json.loads(json.dumps(body)))
        body["config"]["duration"] = {"steps": steps}
        body["config"].setdefault("schedule", {})["warmup_steps"] = 1
        body["config"].setdefault("sampling", {}).update(every_n_steps=steps, steps=2, before_first_step=False)
        route.continue_(post_data=json.dumps(body))

    page.route("**/api/jobs", change)
    return asked
