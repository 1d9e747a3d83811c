"""`loratory models`: what is said about each architecture, on 80 columns, as data and in the reference."""

import io
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from loratory.cli import app
from loratory.config import catalogue
from loratory.config.architectures import SPECS
from loratory.config.load import parse
from loratory.config.rules import check

each_architecture = pytest.mark.parametrize("name", SPECS)


def printed(what: object, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(what)
    return out.getvalue()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """`said("models", …)`: exit code and everything that the command line said on 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    return run


def test_the_list_names_everything_on_80_columns(said: Callable) -> None:
    code, text = said("models")
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    for name, spec in SPECS.items():
        assert f"│ {name} " in text
        assert spec.usual_repository in text, "a repository that is cut off cannot be copied"
        assert (f"{spec.title} (experimental" in text) == (spec.status == "experimental")


@each_architecture
def test_one_in_full(name: str, said: Callable) -> None:
    spec = SPECS[name]
    code, text = said("models", name)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    whole = " ".join(text.split())
    for words in (spec.usual_repository, spec.licence, spec.experimental_because, *spec.notes, *spec.trained_groups,
                  *spec.memory.values(), *(f"text.{setting}" for setting in spec.text_settings)):  # fmt: skip
        assert " ".join(words.split()) in whole
    assert ("HF_TOKEN" in whole) == spec.gated
    assert catalogue.job(spec) in text


@each_architecture
def test_the_job_shown_is_sound(name: str) -> None:
    spec = SPECS[name]
    config = parse(yaml.safe_load(catalogue.job(spec)), "the job")
    assert config.model.architecture == name
    assert check(config, spec) == []


@each_architecture
def test_a_spec_says_why_it_is_experimental(name: str) -> None:
    spec = SPECS[name]
    assert bool(spec.experimental_because) == (spec.status == "experimental"), (
        f"{name}: an experimental architecture says in experimental_because what is not proved; a stable one leaves it "
        "empty"
    )
    assert all(note.endswith(".") for note in spec.notes)
    assert all(size > 0 and how for size, how in spec.memory.items())


# Published: the paper of SDXL (https://huggingface.co/papers/2307.01952), the model cards of FLUX.1 and SD 3.5.
@pytest.mark.parametrize(("name", "billions"), [("flux1", (11.9,)), ("sdxl", (2.57,)), ("sd3", (2.24, 8.05, 2.03))])
def test_sizes(name: str, billions: tuple[float, ...]) -> None:
    assert catalogue.entry(SPECS[name]).denoiser_billions == billions
    weights = dict(catalogue.facts(catalogue.entry(SPECS["flux1"])))["Denoiser"]
    assert weights == "11.9 B (24 GB in bf16, 12 GB in fp8)"


def test_json(said: Callable) -> None:
    code, text = said("models", "--json")
    assert code == 0
    everything = json.loads(text)
    assert [each["name"] for each in everything] == list(SPECS)
    code, text = said("models", "sdxl", "--json")
    assert code == 0
    (expected,) = (each for each in everything if each["name"] == "sdxl")
    assert json.loads(text) == expected
    assert expected["can"]["text encoders trained"] is True
    assert expected["can"]["guidance embedding"] is False
    assert expected["trainable_text_encoders"] == ["text_encoder", "text_encoder_2"]


def test_a_name_that_does_not_exist(said: Callable) -> None:
    code, text = said("models", "sdx")
    assert code == 1
    assert "did you mean sdxl?" in text


def test_without_torch() -> None:
    """The table comes at once: nothing of the engine is loaded, and the bundled tables need no network."""
    program = (
        "import sys; from loratory.cli import app; app(['models'], standalone_mode=False); "
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_reference_has_a_section_for_each() -> None:
    page = catalogue.markdown()
    assert [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")] == list(SPECS)
    for spec in SPECS.values():
        assert spec.usual_repository in page
        assert catalogue.job(spec) in page


def test_wide_terminals_lose_nothing() -> None:
    narrow, wide = (printed(catalogue.page(catalogue.entry(SPECS["flux1"])), width) for width in (80, 200))
    assert narrow.split() == wide.split()
