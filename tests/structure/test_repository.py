"""What must agree across files, and what must never be in one."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import loratory
from loratory import doctor

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".jsonl", ".cfg", ".sh", ".ts", ".tsx", ".html", ""}
LOCK_FILES = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml"}

# A path that only one machine has. `/home/you` and the like are examples and stay.
MACHINE_PATH = re.compile(
    r"(?<![\w.])(?:/(?:home|Users)/(?!you\b|user\b|me\b|name\b)\w+/|/root/\w|[A-Z]:\\Users\\(?!you\b)\w+)"
)
SECRETS = {
    "Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{34}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,})"),
    "AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "OpenAI key": re.compile(r"\bsk-[A-Za-z0-9_-]{40,}"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
# A made-up token in a test is one run of the alphabet, one sign again and again, or says that it is one.
MADE_UP = re.compile(r"(.)\1{7}|abcdefgh|ABCDEFGH|12345678|example|secret|fake|test", re.IGNORECASE)


def repository_files() -> list[Path]:
    """Files in the repository, and new ones that git would not ignore."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("platform: not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in said.stdout.decode("utf-8").split("\0") if name]
    return [path for path in paths if path.is_file()]


def offences(text: str, root: str, home: str) -> list[str]:
    """Machine paths and secrets in a text."""
    found = [f"machine path {match[0]!r}" for match in MACHINE_PATH.finditer(text)]
    found += [f"this checkout's own path {place!r}" for place in (root, home) if len(place) > 6 and place + "/" in text]
    for kind, pattern in SECRETS.items():
        found += [kind for match in pattern.finditer(text) if not MADE_UP.search(match[0])]
    return found


def test_no_file_names_a_machine_or_holds_a_secret():
    files = [path for path in repository_files() if path.suffix in TEXT]
    assert len(files) > 50, "where are the files?"
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if path != Path(__file__).resolve():
            name = path.relative_to(ROOT).as_posix()
            found += [f"{name}: {offence}" for offence in offences(text, str(ROOT), str(Path.home()))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("cd /home/maria/dog", 1),
        ("/Users/maria/x", 1),
        (r"C:\Users\maria\x", 1),
        ("/root/x", 1),
        ("/checkout/here/x", 1),
        ("hf_" + "aZ3kQ9w" * 4 + "tR5yUi", 1),
        ("AKIA" + "Q7RT" * 4, 1),
        ("-----BEGIN PRIVATE KEY-----", 1),
        ("hf_" + "abcdefghijklmnopqrstuvwxyz01234567", 0),
        ("/home/you/dog ~/dog ./home/x https://x.org/root/y", 0),
    ],
)
def test_offences(text, count):
    assert len(offences(text, "/checkout/here", "/somewhere")) == count


def test_no_lock_file():
    assert [path.name for path in repository_files() if path.name in LOCK_FILES] == []


def test_version_is_the_changelogs_newest():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == loratory.__version__


def test_python_versions_agree():
    scripts = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert scripts is not None
    assert scripts.loader is not None
    bootstrap = importlib.util.module_from_spec(scripts)
    scripts.loader.exec_module(bootstrap)
    supported = bootstrap.SUPPORTED
    assert supported == doctor.SUPPORTED_PYTHON
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert tuple((3, minor) for minor in range(20) if allowed.contains(f"3.{minor}.0")) == supported
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == [f"{major}.{minor}" for major, minor in supported]


def pins() -> dict[str, str]:
    lines = [line.partition(";")[0].strip() for line in CONSTRAINTS.splitlines() if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}


def test_every_dependency_has_an_exact_version_in_its_range():
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    found = [Requirement(line) for line in (*PROJECT["dependencies"], *extras)]
    wanted = [each for each in found if each.name != PROJECT["name"]]
    (own,) = [each for each in found if each.name == PROJECT["name"]]
    assert own.extras == PROJECT["optional-dependencies"].keys() - {"dev"}, "the tests need every extra"
    assert len(wanted) > 15
    for requirement in wanted:
        version = pins().get(requirement.name.lower().replace("_", "-"))
        assert version, f"{requirement.name} has no line in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"


def test_constraints_hold_on_any_machine():
    assert pins()["torch"] == "2.13.0"
    for line in CONSTRAINTS.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==\d[\w.]*( ; [\w. =\"']+)?", line), line
        assert not line.startswith(("nvidia", "triton", "cuda", "loratory")), line


def test_the_core_depends_on_nothing_but_what_was_chosen():
    chosen = {
        "torch", "diffusers", "transformers", "accelerate", "peft", "huggingface_hub", "safetensors", "sentencepiece",
        "protobuf", "numpy", "pillow", "pydantic", "pyyaml", "rich", "typer", "packaging", "psutil",
        "fastapi", "uvicorn", "websockets", "httptools", "sqlalchemy", "regex",
    }  # fmt: skip
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == chosen


def test_unit_tests_mirror_the_package():
    """tests/unit/<room>/ and tests/unit/test_<room>*.py belong to loratory/<room>."""
    rooms = {path.stem for path in (ROOT / "loratory").iterdir() if path.suffix == ".py" or path.is_dir()}
    strangers = []
    for path in (ROOT / "tests" / "unit").iterdir():
        if path.name.startswith(("__", ".")):
            continue
        known = (
            path.name in rooms if path.is_dir() else any(re.match(rf"test_{room}(_|\.)", path.name) for room in rooms)
        )
        if not known:
            strangers.append(path.name)
    assert strangers == []


def test_licence():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def test_links_between_documents_lead_somewhere():
    broken, links = [], 0
    for path in repository_files():
        if path.suffix != ".md":
            continue
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", target):
                links += 1
                if not (path.parent / target).exists():
                    broken.append(f"{path.relative_to(ROOT).as_posix()}: {target}")
    assert broken == []
    assert links >= 3, "where are the links?"
