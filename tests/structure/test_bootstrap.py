"""scripts/bootstrap.py: which Python it takes, what it installs, and what it says when it cannot."""

import hashlib
import http.server
import importlib.util
import io
import os
import re
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)


def one_sentence(error: Exception) -> bool:
    return "\n" not in str(error) and str(error).endswith(".")


@pytest.fixture
def program(tmp_path):
    """Makes a small program out of Python lines; returns the command."""

    def make(name: str, body: str) -> list[str]:
        path = tmp_path / f"{name}.py"
        path.write_text(body, encoding="utf-8")
        return [sys.executable, str(path)]

    return make


def test_finds_a_supported_python(program):
    old = program("old", "print('3.9.18')")
    shim = program("shim", "raise SystemExit(127)")
    noise = program("noise", "print('no version here')")
    good = program("good", "print('3.12.4')")
    assert bootstrap.find_python([old, shim, noise, ["no-such-program"], good]) == good
    assert next(iter(bootstrap.candidates())) == [sys.executable]
    assert bootstrap.python_version([sys.executable]) == sys.version_info[:3]
    with pytest.raises(bootstrap.SetupError, match=r"found only 3\.9\.18") as caught:
        bootstrap.find_python([old, shim])
    assert one_sentence(caught.value)
    assert "apt install" in str(caught.value)
    with pytest.raises(bootstrap.SetupError, match="found none"):
        bootstrap.find_python([shim])


def test_starts_under_an_old_python():
    """The file must be readable for a Python that is too old, or nobody gets the sentence that says so."""
    import ast

    text = (ROOT / "scripts" / "bootstrap.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"tomllib", "packaging", "pip"}


PLANS = [
    # stamp before, dev, torch index, dev and torch index after
    ({}, False, None, False, None),
    ({}, True, None, True, None),
    ({"dev": True}, False, None, True, None),
    ({"torch_index": "u"}, True, None, True, "u"),
    ({"torch_index": "u"}, False, "v", False, "v"),
]


@pytest.mark.parametrize(("stamp", "dev", "index", "dev_after", "index_after"), PLANS)
def test_a_later_call_keeps_what_an_earlier_one_asked_for(stamp, dev, index, dev_after, index_after):
    plan = bootstrap.plan_install(stamp, "hash", "3.12.4", dev, index)
    assert plan == {"inputs": "hash", "python": "3.12.4", "dev": dev_after, "torch_index": index_after}


def test_pip_commands(tmp_path):
    plan = {"dev": False, "torch_index": None}
    [command] = bootstrap.pip_commands(plan, ROOT, tmp_path)
    assert command == ["install", "--no-compile", "-c", str(ROOT / "constraints.txt"), "-e", str(ROOT)]
    first, second = bootstrap.pip_commands({"dev": True, "torch_index": "https://x/cu128"}, ROOT, tmp_path)
    assert first == ["install", "--no-compile", "--index-url", "https://x/cu128", "torch>=2.11,<3"]
    assert second[-1] == f"{ROOT}[dev]"
    kept = Path(second[3]).read_text(encoding="utf-8").splitlines()
    everything = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in everything if line not in kept] == ["torch==2.13.0"]


def test_what_was_installed_is_compiled(tmp_path, monkeypatch):
    """Every module once, whatever pip left; what cannot be compiled stops nothing."""
    package = tmp_path / "packages"
    package.mkdir()
    (package / "good.py").write_text("x = 1\n", encoding="utf-8")
    (package / "template.py").write_text("x = {{ cookie }} else\n", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "venv_python", lambda folder: sys.executable)
    monkeypatch.setattr(bootstrap, "PACKAGES", repr(str(package)))
    bootstrap.compile_packages(tmp_path)
    assert [path.name.split(".")[0] for path in (package / "__pycache__").iterdir()] == ["good"]


def test_constraints_from_a_freeze():
    frozen = (
        "-e git+https://x/y@1#egg=loratory\nloratory==0.1.0\nnumpy==2.4.6\ntorch==2.13.0+cpu\nsetuptools==80\n"
        "nvidia-cublas==13.0\ntriton==3.4\nlocal @ file:///somewhere/x.whl\nAlpha==1.0\n"
    )
    old = '# about\ncolorama==0.4.6 ; sys_platform == "win32"\nnumpy==1.0\n'
    assert bootstrap.constraint_lines(frozen, old) == [
        "Alpha==1.0", 'colorama==0.4.6 ; sys_platform == "win32"', "numpy==2.4.6", "torch==2.13.0",
    ]  # fmt: skip


@pytest.fixture
def fake_venv(tmp_path, monkeypatch):
    """A folder whose interpreter is a script of ours; returns (folder, function that sets the script)."""
    if os.name == "nt":
        pytest.skip("platform: needs a program that a script can stand in for")
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)

    def set_body(body: str) -> Path:
        path = folder / "bin" / "python"
        path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return folder

    return set_body


def test_pip_that_fails_is_told_in_one_sentence(fake_venv):
    folder = fake_venv("print('Collecting torch'); print('ERROR: No space left on device'); raise SystemExit(1)")
    with pytest.raises(bootstrap.SetupError, match="No space left on device") as caught:
        bootstrap.run_pip(["install", "torch"], folder)
    assert one_sentence(caught.value)
    assert "Collecting torch" in (folder / "install.log").read_text(encoding="utf-8")


def test_a_long_install_gives_signs_of_life(fake_venv, capsys):
    folder = fake_venv("import time; print('Downloading torch\\nWARNING: x', flush=True); time.sleep(0.8)")
    bootstrap.run_pip(["install"], folder, heartbeat=0.2)
    assert re.search(r"^  \d+ s: Downloading torch$", capsys.readouterr().out, re.MULTILINE)


def test_installs_once_and_again_only_after_a_change(fake_venv, tmp_path, monkeypatch, capsys):
    folder = fake_venv("print('.'.join(map(str, sys.version_info[:3])))")
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text("a", encoding="utf-8")
    (root / "constraints.txt").write_text("b", encoding="utf-8")
    calls = []
    monkeypatch.setattr(bootstrap, "run_pip", lambda arguments, folder: calls.append(arguments[-1]))

    def run(dev: bool) -> str:
        return bootstrap.install(dev, None, root, folder)

    assert "Installed" in run(dev=False)
    assert "up to date" in run(dev=False)
    assert "Installed" in run(dev=True)
    assert "up to date" in run(dev=False)
    (root / "constraints.txt").write_text("c", encoding="utf-8")
    assert "Installed" in run(dev=False)
    assert calls == [str(root), f"{root}[dev]", f"{root}[dev]"]


def test_an_install_that_broke_off_is_done_again(fake_venv, tmp_path, monkeypatch):
    folder = fake_venv("print('.'.join(map(str, sys.version_info[:3])))")

    def broken(arguments, folder):
        raise bootstrap.SetupError("pip could not install it.")

    monkeypatch.setattr(bootstrap, "run_pip", lambda arguments, folder: None)
    bootstrap.install(False, None, ROOT, folder)
    monkeypatch.setattr(bootstrap, "run_pip", broken)
    with pytest.raises(bootstrap.SetupError):
        bootstrap.install(True, None, ROOT, folder)
    assert bootstrap.read_stamp(folder) == {}


@pytest.fixture
def checkout_with_app(fake_venv, tmp_path, monkeypatch):
    """A checkout whose hatch_build.py says what a file says; returns (root, venv, that file, pip's calls)."""
    monkeypatch.delenv(bootstrap.SKIP_WEB, raising=False)
    folder = fake_venv(
        "import runpy\n"
        "if sys.argv[1].endswith('.py'): sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "else: print('.'.join(map(str, sys.version_info[:3])))"
    )
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt"):
        (root / name).write_text("", encoding="utf-8")
    (root / "hatch_build.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "here = Path(__file__).parent\n"
        "if '--check' in sys.argv: sys.exit(not (here / 'built').exists())\n"
        "if '--has-node' in sys.argv: sys.exit((here / 'no-node').exists())\n"
        "if (here / 'broken').exists(): sys.exit('The browser app could not be built: no registry.\\nnpm ci ...')\n"
        "(here / 'built').write_text(' '.join(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    (root / "scripts" / "chromium.py").write_text("open(__file__ + '.asked', 'w')", encoding="utf-8")
    calls = []
    note = lambda arguments, folder: calls.append((arguments[-1], os.environ.get(bootstrap.SKIP_WEB)))  # noqa: E731
    monkeypatch.setattr(bootstrap, "run_pip", note)
    return root, folder, calls


@pytest.mark.parametrize("dev", [False, True])
def test_the_app_is_built_after_an_install_and_again_where_it_is_old(checkout_with_app, dev, capsys):
    root, folder, calls = checkout_with_app
    bootstrap.install(dev, None, root, folder)
    # pip builds it for users, whose environment gets no Node; for the tests it is built with the Node that they bring.
    assert calls == [(f"{root}[dev]", "1") if dev else (str(root), None)]
    assert (root / "built").read_text() == ("--for-checks" if dev else "")
    assert (root / "scripts" / "chromium.py.asked").exists() is dev
    assert capsys.readouterr().out.count("Building the browser app") == 1
    bootstrap.install(dev, None, root, folder)
    assert "Building" not in capsys.readouterr().out
    (root / "built").unlink()
    bootstrap.install(dev, None, root, folder)
    assert (root / "built").exists()
    assert len(calls) == 1, "the packages are up to date"


def test_without_node_pip_brings_it_for_the_build(checkout_with_app):
    root, folder, calls = checkout_with_app
    (root / "no-node").touch()
    bootstrap.install(False, None, root, folder)
    assert calls == [(str(root), None), (str(root), None)]


def test_an_app_that_cannot_be_built_is_told_in_one_sentence(checkout_with_app):
    root, folder, _ = checkout_with_app
    (root / "broken").touch()
    with pytest.raises(
        bootstrap.SetupError, match=r"\(The browser app could not be built: no registry\): see "
    ) as caught:
        bootstrap.install(False, None, root, folder)
    assert one_sentence(caught.value)
    assert "npm ci ..." in (folder / "install.log").read_text(encoding="utf-8")


def test_the_app_can_be_left_out(checkout_with_app, monkeypatch):
    root, folder, _ = checkout_with_app
    monkeypatch.setenv(bootstrap.SKIP_WEB, "1")
    bootstrap.install(True, None, root, folder)
    assert not (root / "built").exists()
    assert os.environ[bootstrap.SKIP_WEB] == "1"


class Index(http.server.SimpleHTTPRequestHandler):
    """A package index with three pips in it."""

    def __init__(self, *arguments, page: list[str], wheel: bytes):
        self.page, self.wheel = page, wheel
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.wheel if self.path.endswith(".whl") else self.page[0].encode())

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture
def index(monkeypatch):
    """Serves a stand-in for pip's wheel that writes down how it was called; returns the page, to be damaged."""
    note = "import sys, pathlib\npathlib.Path(sys.argv[-1] + '.called').write_text(' '.join(sys.argv[1:-1]))\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pip/__main__.py", note)
    wheel = buffer.getvalue()
    digest = hashlib.sha256(wheel).hexdigest()
    names = ["pip-9.0.1-py3-none-any.whl", "pip-26.1-py3-none-any.whl", "pip-24.0-py3-none-any.whl", "pip-27.0.tar.gz"]
    page = ["\n".join(f'<a href="../files/{name}#sha256={digest}" data-x="1">{name}</a><br/>' for name in names)]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, page=page, wheel=wheel))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield page
    server.shutdown()
    server.server_close()


@pytest.fixture
def bare_python(program):
    """Debian's Python without python3-venv: no ensurepip, no pip."""
    return program(
        "bare",
        "import subprocess, sys\n"
        "line = ' '.join(sys.argv[1:])\n"
        "if 'import ensurepip' in line or '-m pip' in line: raise SystemExit('No module named pip')\n"
        "raise SystemExit(subprocess.call([sys.executable, *sys.argv[1:]]))\n",
    )


def test_python_without_ensurepip_gets_pip_from_the_index(tmp_path, bare_python, index):
    folder = tmp_path / "made"
    bootstrap.make_environment(bare_python, folder)
    assert bootstrap.python_version([str(bootstrap.venv_python(folder))]) == sys.version_info[:3]
    [called] = folder.glob("*.called")
    assert called.name == "pip-26.1-py3-none-any.whl.called", "the newest, by number"
    assert called.read_text() == "install --quiet --no-index"


@pytest.mark.parametrize(
    ("damage", "words"), [(("sha256=", "sha256=0"), "pip 26.1 arrived damaged"), (("pip-", "pop-"), "lists no pip")]
)
def test_python_without_ensurepip_and_no_good_index_says_what_to_install(tmp_path, bare_python, index, damage, words):
    index[0] = index[0].replace(*damage)
    with pytest.raises(bootstrap.SetupError, match=words) as caught:
        bootstrap.make_environment(bare_python, tmp_path / "made")
    assert one_sentence(caught.value)
    assert "sudo apt install python3-venv" in str(caught.value)


def test_python_without_venv_says_what_to_install(tmp_path, program):
    broken = program("broken", "raise SystemExit('No module named venv')")
    with pytest.raises(bootstrap.SetupError, match=r"No module named venv.*apt install python3-venv") as caught:
        bootstrap.make_environment(broken, tmp_path / "made")
    assert one_sentence(caught.value)


def test_the_command_line_turns_trouble_into_an_exit_code(monkeypatch, capsys, tmp_path):
    def trouble(*arguments):
        raise bootstrap.SetupError("Something is missing.")

    monkeypatch.setattr(bootstrap, "install", trouble)
    assert bootstrap.main(["--venv", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "Something is missing.\n"
    monkeypatch.setattr(bootstrap, "install", lambda dev, index, root, folder: f"{dev} {index} {folder.name}")
    assert bootstrap.main(["--dev", "--torch-index", "URL", "--venv", str(tmp_path / "here")]) == 0
    assert capsys.readouterr().out == "True URL here\n"


def test_nothing_leads_pip_out_of_the_environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("PIP_TARGET", "elsewhere")
    monkeypatch.setenv("PIP_FIND_LINKS", "kept")
    environment = bootstrap.pip_environment()
    assert "PYTHONPATH" not in environment
    assert "PIP_TARGET" not in environment
    assert environment["PIP_FIND_LINKS"] == "kept"
    assert environment["PIP_NO_INPUT"] == "1"
