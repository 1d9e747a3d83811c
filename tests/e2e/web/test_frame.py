"""What stands around all pages: the end of a job is told, a page that breaks leaves the rest alone, settings hold."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.web.studio import Pages, Studio, assert_accessible, settle, small_job

# A browser's notifications, written down; the permission was given, or must be asked for by a click.
NOTICES = """(permission) => {
  window.notices = [];
  window.asked = 0;
  class Stub {
    static permission = permission;
    static async requestPermission() {
      window.asked += 1;
      window.activeWhenAsked = navigator.userActivation.isActive;
      Stub.permission = "granted";
      return "granted";
    }
    constructor(title, options) { window.notices.push({ title, ...options }); }
    close() {}
  }
  window.Notification = Stub;
  window.look = (state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
}"""


def _held(studio: Studio, name: str, dataset: Path) -> str:
    made = studio.ask("POST", "/api/jobs", {"config": small_job(studio.home, name, dataset), "hold": True})
    return str(made["id"])


def _answer_jobs(page: Page, jobs: list[dict[str, object]]) -> None:
    page.unroute("**/api/jobs")
    page.route("**/api/jobs", lambda route: route.fulfill(json=jobs))


@pytest.mark.full
def test_the_end_of_a_job_is_told(pages: Pages, studio: Studio, dataset: Path) -> None:
    """With the answers of a job that works and ends, for what is tested is what the page makes of them."""
    _held(studio, "dog", dataset)
    (job,) = studio.ask("GET", "/api/jobs")
    working = job | {"state": "running", "phase": "training", "step": 30, "total_steps": 120, "eta_seconds": 90.0}
    page = pages("/models")
    page.evaluate(f"({NOTICES})('default')")
    settle(page)
    expect(page.get_by_role("link", name=re.compile("dog:"))).to_have_count(0)

    def news(jobs: list[dict[str, object]]) -> None:
        _answer_jobs(page, jobs)
        page.get_by_role("link", name="Home", exact=True).click()
        studio.ask("PATCH", f"/api/jobs/{job['id']}", {"priority": 1})  # whoever follows is told that the queue changed

    news([working])
    pill = page.get_by_role("link", name="dog: Training, step 30 of 120, 90 s left")
    expect(pill).to_be_visible()
    # It is offered once, and asked of the browser only by a click.
    offer = page.get_by_role("alert").filter(has_text="Shall the browser tell you")
    expect(offer).to_be_visible()
    assert page.evaluate("window.asked") == 0
    offer.get_by_role("button", name="Yes, tell me").click()
    expect(offer).to_have_count(0)
    assert page.evaluate("[window.asked, window.activeWhenAsked]") == [1, True]

    page.evaluate("window.look('hidden')")
    news([job | {"state": "finished"}])
    toast = page.get_by_role("alert").filter(has_text="Training finished")
    expect(toast).to_contain_text("dog")
    expect(pill).to_have_count(0)
    assert page.evaluate("window.notices.map(({ title, body }) => [title, body])") == [["Training finished", "dog"]]
    expect(page).to_have_title("(1) Home · Loratory")
    page.evaluate("window.look('visible')")
    expect(page).to_have_title("Home · Loratory")
    toast.get_by_role("button", name="Open").click()
    page.wait_for_url(re.compile(job["id"]))
    expect(toast).to_have_count(0)


def test_a_failure_is_told_with_its_reason_and_can_be_tried_again(pages: Pages, studio: Studio, dataset: Path) -> None:
    studio.ask("POST", "/api/queues/cpu/pause")
    job = _held(studio, "dog", dataset)
    cause = {"code": "disk_full", "message": "The disk is full: 3 MB are free."}
    page = pages("/")
    settle(page)
    shown = studio.ask("GET", f"/api/jobs/{job}") | {"state": "failed", "cause": cause}
    _answer_jobs(page, [shown])
    page.reload()
    card = page.get_by_role("region", name="Waiting for you")
    expect(card).to_contain_text("The disk is full: 3 MB are free.")
    expect(card.get_by_text("Failed", exact=True)).to_be_visible()
    assert_accessible(page)
    asked: list[str] = []
    page.route(f"**/api/jobs/{job}/resume", lambda route: (asked.append(route.request.url), route.fulfill(json=shown)))  # type: ignore[func-returns-value]
    card.get_by_role("button", name="Try again: dog").click()
    page.wait_for_timeout(200)
    assert len(asked) == 1


def test_a_page_that_breaks_leaves_the_rest_alone(look: Pages) -> None:
    look.expect("TypeError|Cannot read|undefined|error boundary|net::ERR_FAILED|page error|dynamically imported")
    page = look("/")
    settle(page)
    page.route("**/api/models", lambda route: route.fulfill(json={}))
    page.get_by_role("link", name="Models", exact=True).click()
    expect(page.get_by_role("heading", name="This page did not open")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True, level=1)).to_be_visible()
    # Its code is gone, as after an update.
    page.route(re.compile(r"/assets/settings-.*\.js"), lambda route: route.abort())
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.get_by_text("It may have been updated.")).to_be_visible()
    page.unroute(re.compile(r"/assets/settings-.*\.js"))
    page.get_by_role("button", name="Load the page again").click()
    expect(page.get_by_role("heading", name="Settings", exact=True)).to_be_visible()


def test_an_unknown_address_leads_on(look: Pages) -> None:
    page = look("/no/such/page")
    expect(page.get_by_text("There is no such page")).to_be_visible()
    page.get_by_role("link", name="To Home").click()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: files have no modes")
def test_a_token_is_written_and_never_shown(pages: Pages, studio: Studio) -> None:
    secret = "hf_" + "a" * 34
    page = pages("/settings?tab=tokens")
    field = page.get_by_role("textbox", name="Hugging Face")
    field.fill(secret)
    assert field.get_attribute("type") == "password"
    field.press("Enter")
    expect(page.get_by_text("The token of Hugging Face is set.")).to_be_visible()
    expect(field).to_have_value("")
    expect(field).to_have_attribute("placeholder", re.compile("^Set"))
    files = [path for path in studio.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert len(files) == 1, files
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert secret not in json.dumps(studio.ask("GET", "/api/settings/tokens"))
    assert secret not in page.content() + json.dumps(page.evaluate("({...localStorage})"))
    page.get_by_role("button", name="Remove the token of Hugging Face").click()
    expect(field).to_have_attribute("placeholder", "Not set")
    assert secret.encode() not in files[0].read_bytes() if files[0].exists() else True


@pytest.mark.full
def test_folders_are_added_and_what_is_wrong_stands_at_the_field(pages: Pages, studio: Studio, tmp_path: Path) -> None:
    pages.expect("422")
    page = pages("/settings?tab=paths")
    field = page.get_by_label("Another folder of models")
    field.fill(str(tmp_path / "not-there"))
    page.reload()
    expect(field).to_have_value(str(tmp_path / "not-there"))  # typed, and not sent
    (tmp_path / "models").mkdir()
    field.fill(str(tmp_path / "models"))
    field.press("Enter")
    expect(page.get_by_role("button", name=f"Remove {tmp_path / 'models'} from the list")).to_be_visible()
    expect(field).to_have_value("")
    field.fill("relative/folder")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("relative/folder")


@pytest.mark.full
def test_models_are_told_by_their_headers(pages: Pages, studio: Studio, tiny_lora: Path) -> None:
    page = pages("/models")
    expect(page.get_by_role("region", name="LoRA files").get_by_text(tiny_lora.stem).first).to_be_visible()
    expect(page.get_by_role("region", name="LoRA files")).to_contain_text("rank 2")
    page.get_by_label("Search the models").fill("nothing-of-this-name")
    expect(page.get_by_text("Nothing fits")).to_be_visible()
    page.get_by_role("button", name="Show all models").click()
    page.get_by_role("region", name="LoRA files").get_by_role("button", name=re.compile("^Actions for")).click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_role("region", name="LoRA files")).to_have_count(0)
    assert not tiny_lora.exists()
    page.goto(studio.address + "/settings?tab=trash")
    page.get_by_role("button", name=re.compile(f"^Restore {tiny_lora.stem}")).click()
    expect(page.get_by_text("The trash is empty")).to_be_visible()
    assert tiny_lora.exists()
    (model,) = studio.ask("GET", "/api/models")["models"]
    trashed = studio.ask("DELETE", f"/api/models/{model['id']}")["trash_id"]
    page.reload()
    page.get_by_role("button", name="Empty the trash").click()
    page.get_by_role("button", name="Delete for good").last.click()
    expect(page.get_by_text("The trash is empty")).to_be_visible()
    assert not (studio.home / "trash" / trashed).exists()


@pytest.fixture
def tiny_lora(studio: Studio) -> Path:
    """A LoRA file in the folder of models, as the engine exports it."""
    import torch
    from safetensors.torch import save_file

    path = studio.home / "models" / "parrot.safetensors"
    path.parent.mkdir(exist_ok=True)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file(
        {f"{name}.lora_down.weight": torch.zeros(2, 320), f"{name}.lora_up.weight": torch.zeros(320, 2),
         f"{name}.alpha": torch.tensor(2.0)}, path, {"ss_network_dim": "2", "ss_network_alpha": "2.0"},
    )  # fmt: skip
    return path


@pytest.mark.parametrize("phone", [False, pytest.param(True, marks=pytest.mark.full)])
def test_the_meter_and_the_theme(look: Pages, phone: bool) -> None:
    page = look("/settings?tab=general", phone=phone)
    settle(page)
    expect(
        page.get_by_role("banner").get_by_role("button", name=re.compile("^This machine: "))
    ).to_have_accessible_name(re.compile(r"(GPU|CPU) \d+ %, RAM \d+ %, Disk \d+ %$"))
    page.get_by_text("Dark", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.reload(wait_until="commit")
    # Before anything is drawn, so that there is no flash.
    page.wait_for_function("() => document.body?.querySelector('#root')")
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


@pytest.mark.full
def test_the_machine_is_looked_at(pages: Pages) -> None:
    page = pages("/settings?tab=hardware")
    page.get_by_role("button", name="Look at this machine").click()
    report = page.get_by_role("region", name="Report")
    expect(report.get_by_role("listitem").nth(3)).to_be_visible(timeout=120_000)
    expect(report.get_by_role("button", name="Look again")).to_be_enabled()
    assert_accessible(page)
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_text("1 of 5 steps done")).to_be_visible()


TYPED = [
    ("/train?mode=all", "Name", "my parrot"),
    ("/train", "Trigger word", "ohwx bird"),
    ("/settings?tab=paths", "Another folder of datasets", "/some/folder"),
    ("/runs/{run}", "Notes", "a word about it"),
    ("/datasets/{dataset}?item=lory_02.png&as=text", "Caption", "a lory, typed"),
]
OPENED = [
    ("/datasets", "New dataset", "dialog"),
    ("/train", "Presets", "dialog"),
    ("/", "More for dog", "menu"),
    ("/runs/{run}", "More about this run", "menu"),
]


@pytest.mark.full
def test_a_reload_loses_nothing_that_was_typed_and_leaves_no_page_broken(
    pages: Pages, studio: Studio, dataset: Path
) -> None:
    ids = {"run": _held(studio, "dog", dataset), "dataset": studio.ask("GET", "/api/datasets")["datasets"][0]["id"]}
    page = pages("/")
    for address, field, typed in TYPED:
        page.goto(studio.address + address.format(**ids))
        settle(page)
        page.get_by_role("textbox", name=field, exact=True).fill(typed)
        page.reload()
        settle(page)
        expect(page.get_by_role("textbox", name=field, exact=True), address).to_have_value(typed)
    for address, opener, shown in OPENED:
        page.goto(studio.address + address.format(**ids))
        settle(page)
        page.get_by_role("button", name=opener, exact=True).first.click()
        expect(page.get_by_role(shown), address).to_be_visible()  # type: ignore[arg-type]
        page.reload()
        settle(page)
        expect(page.get_by_role(shown), address).to_have_count(0)  # type: ignore[arg-type]
        expect(page.get_by_role("heading", level=1), address).to_have_count(1)
