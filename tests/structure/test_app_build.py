"""hatch_build.py: when the browser app is built, what is installed for it, and that it is never half there."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="platform: needs a program that a script can stand in for")

# Stands in for Node: `npm ci` writes what npm writes last, vite writes a page, and both tell what they were asked.
NODE = f"""#!{sys.executable}
import json, sys, time
from pathlib import Path

web = Path.cwd()
with (web / "asked.txt").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1] == "npm":
    import shutil
    shutil.rmtree(web / "node_modules", ignore_errors=True)
    (web / "node_modules").mkdir()
    if (web / "npm-breaks").exists():
        sys.exit("npm error code ECONNREFUSED\\nnpm error more")
    packages = json.loads((web / "package-lock.json").read_text())["packages"]
    kept = {{name: each for name, each in packages.items()
             if name and not each.get("optional") and ("--include=dev" in sys.argv or not each.get("dev"))}}
    (web / "node_modules" / ".package-lock.json").write_text(json.dumps({{"packages": kept}}))
else:
    built = Path(sys.argv[sys.argv.index("--outDir") + 1])
    built.mkdir()
    (built / "half.js").write_text("")
    if "broken" in (web / "src" / "main.tsx").read_text():
        sys.exit("error during build: main.tsx does not parse")
    time.sleep(0.2)
    (built / "index.html").write_text((web / "src" / "main.tsx").read_text())
"""
LOCK = {"": {}, "node_modules/vite": {"version": "8.0.0"}, "node_modules/vitest": {"version": "5.0.0", "dev": True},
        "node_modules/other-system": {"version": "1.0.0", "optional": True}}  # fmt: skip


@pytest.fixture
def places(tmp_path, monkeypatch):
    """`web` with sources and a Node that pretends, and the folder for the built app."""
    web, built = tmp_path / "web", tmp_path / "server" / "static"
    (web / "src").mkdir(parents=True)
    built.parent.mkdir()
    (web / "src" / "main.tsx").write_text("first", encoding="utf-8")
    (web / "vite.config.ts").write_text("", encoding="utf-8")
    write_lock(web, LOCK)
    node = tmp_path / "node"
    node.write_text(NODE, encoding="utf-8")
    node.chmod(node.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(hatch_build, "node_and_npm", lambda wheel_first=False: (str(node), [str(node), "npm"]))
    return web, built


def write_lock(web, packages):
    (web / "package-lock.json").write_text(json.dumps({"packages": packages}), encoding="utf-8")


def asked(web) -> list[str]:
    """The calls so far in short: npm's kind of install, or vite."""
    path = web / "asked.txt"
    calls = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [call.split()[2] if call.startswith("npm ci") else "vite" for call in calls]


def test_it_is_built_once_and_again_after_a_change(places):
    web, built = places
    assert not hatch_build.is_fresh(web, built)
    hatch_build.make_fresh(web, built)
    assert asked(web) == ["--omit=dev", "vite"]
    hatch_build.make_fresh(web, built)
    assert asked(web) == []
    (web / "src" / "main.tsx").write_text("second", encoding="utf-8")
    hatch_build.make_fresh(web, built)
    assert asked(web) == ["vite"]
    assert sorted(path.name for path in built.iterdir()) == [".stamp", "half.js", "index.html"]
    assert (built / "index.html").read_text() == "second"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("src/pages/home.tsx", True), ("src/a.css", True), ("public/scheme.js", True), ("vite.config.ts", True),
        ("another-plugin.ts", True), ("package-lock.json", True), ("index.html", True), ("postcss.config.mjs", True),
        ("src/pages/home.test.tsx", False), ("src/shared/test-setup.ts", False), ("vitest.config.ts", False),
        ("biome.json", False), ("node_modules/vite/index.js", False), ("codegen/a.ts", False), ("src/.DS_Store", False),
        (".lock", False),
    ],
)  # fmt: skip
def test_what_the_app_is_made_from(places, name, counts):
    web, _ = places
    before = hatch_build.digest(web)
    path = web / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("something\nelse\n", encoding="utf-8")
    after = hatch_build.digest(web)
    assert (after != before) is counts
    path.write_bytes(b"something\r\nelse\r\n")
    assert hatch_build.digest(web) == after, "line ends of a checkout change nothing"


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="platform: not a git checkout")
def test_every_source_is_part_of_the_digest():
    """A new kind of file in web/ must be named among the inputs, or changes of it are never built."""
    said = subprocess.run(["git", "ls-files", "web"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {name.removeprefix("web/") for name in said.splitlines() if (ROOT / name).is_file()}
    left = {name for name in names - set(hatch_build.inputs(ROOT / "web")) if ".test." not in name}
    assert {name for name in left if not name.startswith("codegen/")} == {
        "biome.json", "tsconfig.tools.json", "vitest.config.ts", "src/shared/test-setup.ts",
    }  # fmt: skip


def test_an_install_for_users_is_completed_for_checks_and_stays_so(places):
    web, built = places
    hatch_build.make_fresh(web, built)
    assert not hatch_build.lacks_packages(web, everything=False)
    assert hatch_build.lacks_packages(web, everything=True)
    hatch_build.install_packages(web, everything=True)
    hatch_build.install_packages(web, everything=True)
    assert asked(web) == ["--omit=dev", "vite", "--include=dev"]
    write_lock(web, LOCK | {"node_modules/vite": {"version": "8.0.1"}})
    hatch_build.make_fresh(web, built)
    assert asked(web) == ["--include=dev", "vite"], "who checks does not lose the tools to a build"
    assert not hatch_build.lacks_packages(web, everything=True)


def test_an_install_that_broke_off_is_done_again(places):
    web, built = places
    (web / "npm-breaks").touch()
    with pytest.raises(
        RuntimeError, match=r"could not be built: npm error code ECONNREFUSED npm error more\. "
    ) as said:
        hatch_build.make_fresh(web, built)
    assert "LORATORY_SKIP_WEB=1" in str(said.value).splitlines()[0]
    assert (web / "node_modules").is_dir()
    (web / "npm-breaks").unlink()
    hatch_build.make_fresh(web, built)
    assert asked(web) == ["--omit=dev", "--omit=dev", "vite"]


def test_a_build_that_fails_leaves_the_last_app_whole(places):
    web, built = places
    hatch_build.make_fresh(web, built)
    (web / "src" / "main.tsx").write_text("broken", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"main\.tsx does not parse"):
        hatch_build.make_fresh(web, built)
    assert (built / "index.html").read_text() == "first"
    assert not hatch_build.is_fresh(web, built), "it is tried again"
    (web / "src" / "main.tsx").write_text("mended", encoding="utf-8")
    hatch_build.make_fresh(web, built)
    assert (built / "index.html").read_text() == "mended"
    assert [path.name for path in built.parent.iterdir()] == ["static"], "nothing half-built is left"


def test_of_several_at_a_time_one_builds(places):
    web, built = places
    several = [threading.Thread(target=hatch_build.make_fresh, args=(web, built)) for _ in range(3)]
    for each in several:
        each.start()
    for each in several:
        each.join(60)
    assert asked(web) == ["--omit=dev", "vite"]
    assert hatch_build.is_fresh(web, built)


def test_without_sources_nothing_is_asked_for(tmp_path):
    assert hatch_build.is_fresh(tmp_path / "web", tmp_path / "static")


@pytest.mark.parametrize(("said", "found"), [("v24.1.0", True), ("v22.12.0", True), ("v22.11.9", False), ("x", False)])
def test_a_node_of_the_machine_is_used_if_it_is_new_enough(tmp_path, monkeypatch, said, found):
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (hatch_build.system_node() is not None) is found
    (tmp_path / "npm").unlink()
    assert hatch_build.system_node() is None


def test_without_node_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(hatch_build, "system_node", lambda: None)
    monkeypatch.setattr(hatch_build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"needs Node 22\.12 or newer.*LORATORY_SKIP_WEB=1"):
        hatch_build.node_and_npm()
