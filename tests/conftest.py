"""What holds for every test: no network, no user's files, one thread for each worker, and four guards.

* A skipped test is a failed test in CI, unless its reason begins with "platform:" or "gpu:".
* A test without the mark `slow` that takes too long fails: past 15 seconds of which more than 5 are its own processor
  time (a machine may be busy with other things), or past 5 seconds with CI_STRICT_DURATION=1.
* All slow tests together are added up and shown.
* A run that collected nothing fails (pytest's own exit code 5).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before anything imports torch or huggingface_hub: both read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["WANDB_MODE"] = "disabled"
for _secret in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "CIVITAI_API_KEY", "WANDB_API_KEY"):
    os.environ.pop(_secret, None)
# Tests and the processes they start must not touch the user's own runs and caches.
_HOME = Path(tempfile.mkdtemp(prefix="loratory-tests-"))
os.environ["LORATORY_HOME"] = str(_HOME)

import pytest  # noqa: E402  the environment comes first

SECONDS_STRICT = 5.0
SECONDS_ANYWHERE = 15.0
SLOW_BUDGET_SECONDS = 600.0
EXCUSED = ("platform:", "gpu:")
WORKED = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-kills", type=int, default=3, metavar="N", help="how many times each chaos test kills its process"
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def chaos_kills(request: pytest.FixtureRequest) -> int:
    """How many times a chaos test kills its process."""
    kills = int(request.config.getoption("--chaos-kills"))
    assert kills > 0, "--chaos-kills must be at least 1: a chaos test that kills nothing shows nothing"
    return kills


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.accelerator.is_available():
            pytest.skip("gpu: this machine has no accelerator that torch can use")


def processor_seconds() -> float:
    """Processor time of this process and of those it has waited for (Windows counts only its own)."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = processor_seconds()
    try:
        return (yield)
    finally:
        item.stash[WORKED] = processor_seconds() - before


def _too_slow(item: pytest.Item, seconds: float) -> bool:
    if item.get_closest_marker("slow") or item.get_closest_marker("full"):
        return False
    if os.environ.get("CI_STRICT_DURATION") == "1":
        return seconds > SECONDS_STRICT
    return seconds > SECONDS_ANYWHERE and item.stash[WORKED] > SECONDS_STRICT


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _refused_skip(reason: str) -> str:
    """What to say of a skip, or "" where it is excused."""
    reason = reason.removeprefix("Skipped: ")
    if not _in_ci() or reason.startswith(EXCUSED):
        return ""
    return f"skipped in CI ({reason}): mend it, or begin the reason with one of {', '.join(EXCUSED)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail") and call.excinfo is not None
    if skipped and (complaint := _refused_skip(str(call.excinfo.value))):
        report.outcome, report.longrepr = "failed", complaint
    if report.when == "call" and report.passed and _too_slow(item, call.duration):
        report.outcome = "failed"
        report.longrepr = f"took {call.duration:.1f} s: make it faster than {SECONDS_STRICT:.0f} s or mark it slow"
    report.user_properties = [*item.user_properties, ("slow", item.get_closest_marker("slow") is not None)]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    if report.skipped and (complaint := _refused_skip(str(report.longrepr[2]))):
        report.outcome, report.longrepr = "failed", f"{collector.nodeid}: {complaint}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if ("slow", True) in getattr(report, "user_properties", ())
    ]
    if reports:
        spent = sum(report.duration for report in reports)
        terminalreporter.write_line(
            f"slow tests: {len(reports)}, {spent:.0f} s in all (budget of `make test`: {SLOW_BUDGET_SECONDS:.0f} s)"
        )
