"""The import rules of pyproject.toml hold, and each of them stops what it is there to stop."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "loratory"
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft")
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
}

# What to break: contract id -> files to write into a copy of the package (added to what stands there).
BAD_IMPORTS = {
    "layers, upwards": ("layers", {"config/zz.py": "import loratory.runs"}),
    "layers, engine to service": ("layers", {"training/zz.py": "def start():\n    import loratory.jobs"}),
    "layers, network to model": ("layers", {"networks/zz.py": "import loratory.models.zz_one"}),
    "layers, model to network": ("layers", {"models/zz.py": "import loratory.networks"}),
    "layers, engine rooms apart": ("layers", {"captioning/zz.py": "import loratory.training"}),
    "layers, undeclared room": ("layers", {"zz_room.py": "", "models/zz.py": "import loratory.zz_room"}),
    "towers": ("towers", {"jobs/zz.py": "def start():\n    import loratory.networks"}),
    "towers, the long way": ("towers", {"server/zz.py": "import loratory.jobs.zz",
                                        "jobs/zz.py": "import loratory.models"}),
    "torch-free, data": ("torch-free", {"data/zz.py": "def decode():\n    import torch"}),
    "torch-free, config": ("torch-free", {"config/zz.py": "from transformers import AutoTokenizer"}),
    "torch-free, planner": ("torch-free", {"planner/zz.py": "import diffusers.models"}),
    "torch-free, service": ("torch-free", {"server/zz.py": "import accelerate"}),
    "torch-free, the long way": ("torch-free", {"hub/zz.py": "import loratory.errors", "errors.py": "import peft"}),
    "architectures": ("architectures", {"models/zz_one.py": "import loratory.models.zz_two"}),
    "architectures, base": ("architectures", {"models/base.py": "import loratory.models.zz_one"}),
    "networks": ("networks", {"networks/types/zz_one.py": "def build():\n    import loratory.networks.types.zz_two"}),
    "cycles": ("cycles", {"training/zz_one.py": "import loratory.training.zz_two",
                          "training/zz_two.py": "import loratory.training.zz_one"}),
}  # fmt: skip
ALLOWED = {
    "models/zz_one.py": "import loratory.models.base, loratory.models.common.zz, loratory.config, torch",
    "networks/types/zz_one.py": "import loratory.networks.layer, loratory.networks.state",
    "training/zz_one.py": "import loratory.networks.types.zz_one, loratory.models.zz_one, loratory.runs",
    "server/zz.py": "import loratory.jobs.zz, loratory.planner",
}

# Runs in its own process: the copy must be the `loratory` that import-linter finds.
LINT_ALL = """
import contextlib, io, json, pathlib, re, sys
house, config = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(house))
from importlinter.cli import lint_imports

def broken(files):
    before = {}
    for name, text in files.items():
        path = house / "loratory" / name
        before[path] = path.read_text(encoding="utf-8") if path.exists() else None
        path.write_text((before[path] or "") + "\\n" + text + "\\n", encoding="utf-8")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        lint_imports(config_filename=config, no_cache=True, no_logo=True)
    for path, text in before.items():
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    return re.findall(r"^(.+) (BROKEN|KEPT)", said.getvalue(), re.M) or said.getvalue()

cases = json.load(sys.stdin)
json.dump({name: broken(files) for name, files in cases.items()}, sys.stdout)
"""


def modules_of(line: str) -> set[str]:
    return {part.strip(" ()").removeprefix("loratory.") for part in line.replace("|", ":").split(":")}


def python_only(folder: str, names: list[str]) -> list[str]:
    """What copytree leaves out: caches, and files that hold no imports (weights)."""
    return [name for name in names if name == "__pycache__" or ((Path(folder) / name).suffix not in ("", ".py"))]


def build_house(folder: Path) -> None:
    """Copy the package and add what it lacks: every room that is declared, and two of each family."""
    shutil.copytree(PACKAGE, folder, ignore=python_only)
    declared = set().union(*(modules_of(line) for line in CONTRACTS["layers"]["layers"])) - {"__main__"}
    for room in (*sorted(declared), "models/common"):
        if not (folder / f"{room}.py").exists():
            (folder / room).mkdir(exist_ok=True)
            (folder / room / "__init__.py").touch()
    extra = ["models/zz_one", "models/zz_two", "models/base", "models/common/zz", "jobs/zz"]
    for name in (*extra, "networks/types/zz_one", "networks/types/zz_two", "networks/layer", "networks/state"):
        if not (folder / name).is_dir():
            (folder / f"{name}.py").touch()


def in_house(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """The same files where a room that is one file has become a package, or is still one file."""
    placed = {}
    for name, text in files.items():
        room = name.partition("/")[0].removesuffix(".py")
        if name == f"{room}.py" and (folder / room).is_dir():
            name = f"{room}/__init__.py"
        elif (folder / f"{room}.py").exists():
            name = f"{room}.py"
        placed[name] = text
    return placed


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, dict[str, bool]]:
    """For each case, contract name -> kept."""
    house = tmp_path_factory.mktemp("house")
    build_house(house / "loratory")
    cases = {"untouched": {}, "allowed": ALLOWED, **{name: files for name, (_, files) in BAD_IMPORTS.items()}}
    cases = {name: in_house(house / "loratory", files) for name, files in cases.items()}
    done = subprocess.run(
        [sys.executable, "-c", LINT_ALL, str(house), str(ROOT / "pyproject.toml")],
        input=json.dumps(cases), capture_output=True, text=True, cwd=house, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert all(isinstance(answer, list) for answer in said.values()), said
    return {name: {contract: kept == "KEPT" for contract, kept in answer} for name, answer in said.items()}


@pytest.mark.parametrize("case", BAD_IMPORTS)
def test_a_bad_import_breaks_its_contract(verdicts, case):
    contract, _ = BAD_IMPORTS[case]
    assert verdicts[case][CONTRACTS[contract]["name"]] is False, verdicts[case]


@pytest.mark.parametrize("case", ["untouched", "allowed"])
def test_what_is_allowed_breaks_nothing(verdicts, case):
    assert verdicts[case] == {contract["name"]: True for contract in CONTRACTS.values()}


def test_every_contract_is_proved():
    assert {contract for contract, _ in BAD_IMPORTS.values()} == set(CONTRACTS)


def test_the_package_keeps_its_contracts():
    for name in ("config", "data", "models", "networks", "training"):
        assert (PACKAGE / name / "__init__.py").is_file(), f"loratory/{name} is missing: the rules would hold in vain"
    said = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import *; sys.exit(lint_imports(no_cache=True))"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_room_is_torch_free_or_engine():
    """A new package must be given its place in all three contracts, not only in the layers."""
    declared = set().union(*(modules_of(line) for line in CONTRACTS["layers"]["layers"]))
    engine, service = (modules_of(line) for line in CONTRACTS["towers"]["layers"])
    heavy, torch_free = (modules_of(line) for line in CONTRACTS["torch-free"]["layers"])
    assert heavy == set(HEAVY)
    assert service <= torch_free
    assert not engine & torch_free
    assert declared == engine | torch_free | {"cli", "__main__"}


IMPORT_AND_LOOK = """
import importlib, json, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    inside = getattr(module, "__path__", ()) if name.startswith("loratory.") else ()
    for found in pkgutil.walk_packages(inside, name + "."):
        importlib.import_module(found.name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(*names: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LOOK, *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return set(json.loads(said.stdout.splitlines()[-1]))


def exists(name: str) -> bool:
    return (PACKAGE / name / "__init__.py").is_file() or (PACKAGE / f"{name}.py").is_file()


def test_the_command_line_starts_without_the_engine():
    loaded = loaded_by("loratory.cli")
    assert "loratory" in loaded
    assert not loaded & set(HEAVY), "importing loratory.cli must stay quick: import the engine inside a command"


def test_torch_free_rooms_load_no_torch_at_run_time():
    """Also not through a library or by name, which no reader of import lines can see."""
    _, torch_free = (modules_of(line) for line in CONTRACTS["torch-free"]["layers"])
    present = sorted(name for name in torch_free if exists(name))
    assert {"config", "data", "errors", "files", "hub", "runs"} <= set(present)
    assert not loaded_by(*(f"loratory.{name}" for name in present)) & set(HEAVY)


def test_the_look_at_loaded_modules_sees_torch():
    assert "torch" in loaded_by("torch")
