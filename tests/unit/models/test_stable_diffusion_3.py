"""Stable Diffusion 3: its sizes are seen in the files, and it works without T5 as diffusers' pipeline does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from loratory.config.identify import inspect
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.models.common.checkpoint import Checkpoint
from loratory.models.common.loading import CONFIGS, file_loader
from loratory.models.sd3 import PARTS
from tests.tiny import sd3
from tests.unit.models.conftest import load_model, local
from tests.unit.models.test_behaviour import assert_same_weights, conditioning, modules, run
from tests.unit.models.test_configs import real_header, shapes

# Sizes

NAMES = {
    "medium": "stable-diffusion-3-medium",
    "5-medium": "stable-diffusion-3-5-medium",
    "5-large": "stable-diffusion-3-5-large",
}


@pytest.mark.parametrize("layout", ["original", "diffusers"])
@pytest.mark.parametrize("kind", sd3.KINDS)
def test_a_single_file_shows_its_size(kind, layout, tiny_model, tmp_path):
    """Whichever size the folder has that gives the rest."""
    folder = sd3.build(tmp_path / "model", kind=kind)
    file = sd3.single_file(folder, tmp_path / "model.safetensors", layout)
    model, own = load_model(file, components=tiny_model("sd3")), load_model(folder)
    assert_same_weights(model.components.denoiser, own.components.denoiser)
    for each in (model, own):
        assert (each.source.base_model_version, each.source.modelspec_architecture) == (kind, NAMES[kind])


@pytest.mark.parametrize("described", ["sd3-medium", "sd3-5-medium", "sd3-5-large"])
@pytest.mark.parametrize("name", ["sd3-medium", "sd3-5-medium", "sd3-5-large"])
def test_real_headers_fit_whatever_size_the_config_describes(name, described):
    header = {key: shape for key, shape in shapes(real_header(name)).items() if key.startswith("model.")}
    file_loader(
        PARTS[0], Checkpoint(Path("x.safetensors"), header), CONFIGS / described / "transformer", torch.bfloat16
    )


def test_the_table_of_positions_is_the_files_in_bfloat16_too(tiny_model, tiny_file):
    folder = load_model(tiny_model("sd3"), torch.bfloat16)
    file = load_model(tiny_file("sd3", "original"), torch.bfloat16, components=tiny_model("sd3"))
    assert_same_weights(file.components.denoiser, folder.components.denoiser)


# T5


@pytest.fixture(scope="module")
def without_t5(tmp_path_factory):
    return sd3.build(tmp_path_factory.mktemp("sd3") / "without", t5=False)


def test_without_t5_the_pictures_are_those_of_diffusers(without_t5, tiny_model):
    """The folder has none, or the job does without it."""
    theirs = DiffusionPipeline.from_pretrained(
        without_t5, text_encoder_3=None, tokenizer_3=None, dtype=torch.float32, local_files_only=True
    )
    theirs.set_progress_bar_config(disable=True)
    wanted = run(theirs)
    for model in (load_model(without_t5), load_model(tiny_model("sd3"), parts={"text_encoder_3": None})):
        assert list(model.components.text_encoders) == ["text_encoder", "text_encoder_2"]
        assert list(model.components.tokenizers) == ["tokenizer", "tokenizer_2"]
        hidden = conditioning(model)["hidden_states"]
        assert hidden.shape[1:] == (77 + 256, sd3.WIDTH_T5)
        assert not hidden[:, 77:].any() and hidden[:, :77, : sd3.WIDTH + sd3.WIDTH_2].any()
        np.testing.assert_array_equal(run(model.pipeline()), wanted)
    assert not np.array_equal(run(load_model(tiny_model("sd3")).pipeline()), wanted), "with T5 it is another picture"


def test_single_files_without_t5(without_t5, tiny_file, tiny_model):
    for settings in (
        {"components": without_t5},
        {"components": tiny_model("sd3"), "parts": {"text_encoder_3": None}},
    ):
        model = load_model(tiny_file("sd3", "original"), **settings)
        assert list(model.components.text_encoders) == ["text_encoder", "text_encoder_2"]
    bundle = load_model(tiny_file("sd3", "bundle"), components=tiny_model("sd3"), parts={"text_encoder_3": None})
    assert "text_encoder_3" not in bundle.components.text_encoders


def test_t5_for_a_folder_that_has_none(without_t5, tiny_model, tmp_path):
    """Its tokenizer has to be there, too."""
    part = {"text_encoder_3": tiny_model("sd3") / "text_encoder_3"}
    with pytest.raises(UserError, match="lacks its component tokenizer_3"):
        load_model(without_t5, parts={name: str(path) for name, path in part.items()})
    folder = shutil.copytree(without_t5, tmp_path / "model")
    shutil.copytree(tiny_model("sd3") / "tokenizer_3", folder / "tokenizer_3")
    (folder / "text_encoder_3").mkdir()
    shutil.copy(tiny_model("sd3") / "text_encoder_3" / "config.json", folder / "text_encoder_3")
    model = load_model(folder, parts={name: str(path) for name, path in part.items()})
    usual = load_model(tiny_model("sd3"))
    for name, module in modules(model).items():
        assert_same_weights(module, modules(usual)[name])


def test_a_download_that_stopped_before_t5_is_no_model_without_it(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("sd3"), tmp_path / "model")
    shutil.rmtree(folder / "text_encoder_3")
    assert json.loads((folder / "model_index.json").read_text())["text_encoder_3"][0] == "transformers"
    with pytest.raises(UserError, match="lacks its component text_encoder_3"):
        inspect(ModelConfig(path=str(folder)), local)
    inspect(ModelConfig(path=str(folder), parts={"text_encoder_3": None}), local)


# CLIP's projection


@pytest.mark.parametrize("layout", ["bundle", "alone"])
def test_a_clip_file_without_projection_leaves_the_end_token_as_it_is(layout, tiny_model, tiny_file, tmp_path):
    """kohya's trainer and ComfyUI, too, take one for a projection that is not there."""
    if layout == "bundle":
        name = "text_encoders.clip_l.transformer.text_projection.weight"
        tensors = load_file(tiny_file("sd3", "bundle"))
    else:
        name = "text_projection.weight"
        (weights,) = (tiny_model("sd3") / "text_encoder").glob("*.safetensors")
        tensors = load_file(weights)
    del tensors[name]
    file = tmp_path / "file.safetensors"
    save_file(tensors, file)
    if layout == "bundle":
        model = load_model(file, components=tiny_model("sd3"))
    else:
        model = load_model(tiny_model("sd3"), parts={"text_encoder": str(file)})
    found = model.components.text_encoders["text_encoder"].text_projection.weight
    assert torch.equal(found, torch.eye(sd3.WIDTH))
