"""The targets of the Makefile that do more than call one command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("make") is None, reason="platform: this machine has no make"
)


GENERATORS = ("loratory.config.docs", "loratory.server.schema", "scripts.module_tables", "benchmarks.report")
WEB_CHECKS = ("types", "style", "tests", "client --check")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make without preparing .venv, and as if no other make had started it (`make test` did)."""
    command = ["make", "-o", "dev", "-o", "venv", *arguments]
    ours = ("MAKE", "MFLAGS", "WORKERS", "PYTEST_FLAGS", "TASK", "BASE", "VENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with our Makefile and tools that all succeed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for tool in ("python", "lint-imports"):
        write(tmp_path / ".venv" / "bin" / tool, "#!/bin/sh\necho ran $0 $*\n", 0o755)
    return tmp_path


def test_help_names_every_command():
    said = run(ROOT)
    assert said.returncode == 0
    for name in ("venv", "quickstart", "test", "test-full", "check", "fmt", "gen", "golden", "chaos", "bench"):
        assert f"make {name} " in said.stdout


def test_ci_runs_what_the_readme_says():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "exec make test < /dev/null" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, ".ci/run must be executable"
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make quickstart" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_test_runs_the_checks_and_the_tests(checkout):
    said = run(checkout, "test")
    assert said.returncode == 0, said.stdout + said.stderr
    for call in (
        "-m ruff check .",
        "-m ruff format --check .",
        "-m mypy",
        "lint-imports",
        "-m loratory.config.docs",
        *(f"scripts/web.py {check}" for check in WEB_CHECKS),
        "-m pytest -n 2",
    ):
        assert call in said.stdout
    assert said.stdout.splitlines()[-1].startswith("Checks and tests passed. Next: ")


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        ("-m pytest", "Checks passed, tests FAILED. Next: "),
        ("-m mypy", "Checks FAILED, tests passed. Next: "),
        ("-m ruff", "Checks FAILED, tests passed. Next: "),
        *((f"scripts/web.py {check}", "Checks FAILED, tests passed. Next: ") for check in WEB_CHECKS),
    ],
)
def test_test_fails_where_one_of_them_fails_and_still_runs_the_others(checkout, fails, words):
    body = f'#!/bin/sh\necho ran $*\ncase "$*" in *"{fails}"*) exit 1;; esac\n'
    write(checkout / ".venv" / "bin" / "python", body, 0o755)
    said = run(checkout, "test")
    assert said.returncode != 0
    assert said.stdout.splitlines()[-1].startswith(words)
    web = [f"scripts/web.py {check}" for check in WEB_CHECKS]
    for call in ("-m ruff format --check .", "-m mypy", "-m loratory.config.docs", *web, "-m pytest -n 2"):
        assert call in said.stdout


def test_gen_writes_and_check_only_looks(checkout):
    said = run(checkout, "gen").stdout.splitlines()
    assert said == [
        *(f"ran .venv/bin/python -m {module}" for module in GENERATORS), "ran .venv/bin/python scripts/web.py client",
    ]  # fmt: skip
    write(checkout / ".venv" / "bin" / "python", '#!/bin/sh\n[ "$3" = --check ] && exit 1\n', 0o755)
    said = run(checkout, "check-generated")
    assert said.returncode != 0
    assert "make gen" in said.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", GENERATORS)
def test_generated_files_are_fresh(module):
    command = [sys.executable, "-m", module, "--check"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="platform: this machine has no git")
@pytest.mark.parametrize("change", [False, True])
def test_golden_compares_two_commits(checkout, change):
    golden = (
        "import json, sys\nfrom pathlib import Path\nfrom loratory import LOSS\n"
        "assert sys.argv[1] == '--out'\nPath(sys.argv[2]).write_text(json.dumps(LOSS))\n"
    )
    write(checkout / "scripts" / "golden.py", golden)
    write(checkout / "loratory" / "__init__.py", "LOSS = 0.5\n")
    write(checkout / ".gitignore", ".venv\n__pycache__\n")
    write(checkout / ".venv" / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} -B "$@"\n', 0o755)
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "base")
    if change:
        write(checkout / "loratory" / "__init__.py", "LOSS = 0.5000001\n")
    said = run(checkout, "golden", "BASE=HEAD")
    assert (said.returncode == 0) is not change, said.stdout + said.stderr
    assert ("CHANGED" if change else "bit for bit") in said.stdout
    assert len(git(checkout, "worktree", "list").splitlines()) == 1, "the second working tree is removed again"


def test_golden_without_a_commit_says_what_to_give(checkout):
    said = run(checkout, "golden")
    assert said.returncode != 0
    assert "make golden BASE=HEAD" in said.stdout


def test_bench_stops_at_the_first_failure(checkout):
    for task in ("a", "b"):
        write(checkout / "benchmarks" / task / "run.py", "")
    assert run(checkout, "bench").stdout.count("run.py\nran") == 2
    assert run(checkout, "bench", "TASK=b").stdout.count("ran") == 1
    write(checkout / ".venv" / "bin" / "python", "#!/bin/sh\nexit 3\n", 0o755)
    assert run(checkout, "bench").returncode != 0
