"""The guards of tests/conftest.py stop what they say they stop."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).parent.parent / "conftest.py"
INI = "[pytest]\nmarkers =\n slow: s\n full: f\n gpu: g\n chaos: c\n"

CASES = [
    # name, environment, test file, words of the output, outcomes
    ("skip in CI", {"CI": "true"}, "pytest.skip('no oracle here')", "skipped in CI (no oracle here)", {"failed": 1}),
    ("skip at a desk", {}, "pytest.skip('no oracle here')", "no oracle here", {"skipped": 1}),
    ("excused skip in CI", {"CI": "true"}, "pytest.skip('platform: needs Windows')", "platform:", {"skipped": 1}),
    ("slow machine", {"CI_STRICT_DURATION": "1"}, "clock.passed = 6", "took 6.0 s", {"failed": 1}),
    ("6 s, not strict", {}, "clock.passed = 6", "1 passed", {"passed": 1}),
    ("16 s anywhere", {}, "clock.passed = 16; clock.work()", "took 16.0 s", {"failed": 1}),
    ("16 s, waiting for a busy machine", {}, "clock.passed = 16", "1 passed", {"passed": 1}),
]
BODY = """
import conftest, pytest

class Clock:
    passed = 0

    def work(self):
        worked = conftest.processor_seconds() + 6
        conftest.processor_seconds = lambda: worked

clock = Clock()

def test_it():
    {statement}
"""


@pytest.fixture(autouse=True)
def own_home(monkeypatch):
    """The conftest under test sets LORATORY_HOME; put ours back afterwards. No plugins: they take most of the time."""
    monkeypatch.setenv("LORATORY_HOME", os.environ["LORATORY_HOME"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


# Lets a test say how long it took without taking that long.
LATE = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.when == "call":
        call.duration += item.module.clock.passed
    return (yield)
"""


@pytest.mark.parametrize(
    ("environment", "statement", "words", "outcomes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_guard(pytester, monkeypatch, environment, statement, words, outcomes):
    for name in ("CI", "CI_STRICT_DURATION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.syspathinsert()
    pytester.makepyfile(late=LATE, test_case=BODY.format(statement=statement))
    result = pytester.runpytest_inprocess("-p", "late", "-rs")
    result.assert_outcomes(**outcomes)
    assert words in result.stdout.str()


def test_a_slow_mark_excuses_a_long_test_and_is_added_up(pytester, monkeypatch):
    monkeypatch.setenv("CI_STRICT_DURATION", "1")
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    marked = BODY.format(statement="clock.passed = 16").replace("def test_it", "@pytest.mark.slow\ndef test_it")
    pytester.syspathinsert()
    pytester.makepyfile(late=LATE, test_case=marked)
    result = pytester.runpytest_inprocess("-p", "late")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["slow tests: 1, 16 s in all *"])


def test_a_file_that_skips_itself_fails_in_ci(pytester, monkeypatch):
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(test_case="import pytest\npytest.importorskip('no_such_library')\ndef test_it(): pass\n")
    result = pytester.runpytest_inprocess()
    assert result.ret != 0
    assert "no_such_library" in result.stdout.str()


def test_nothing_collected_is_a_failure(pytester):
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(test_case="def helper(): pass\n")
    assert pytester.runpytest_inprocess().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_chaos_kills_default_and_option(pytester):
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(test_case="def test_it(chaos_kills): print('kills', chaos_kills)\n")
    assert "kills 3\n" in pytester.runpytest_inprocess("-s").stdout.str()
    assert "kills 50" in pytester.runpytest_inprocess("-s", "--chaos-kills", "50").stdout.str()
    assert pytester.runpytest_inprocess("--chaos-kills", "0").ret != 0
