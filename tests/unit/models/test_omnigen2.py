"""The transformer, the texts and the pipeline of OmniGen2 against their authors' own.

The numbers come from VectorSpaceLab/OmniGen2 (commit 0f72fa9, omnigen2/models and omnigen2/pipelines), run with the
weights and the input that are made here: `load_state_dict` took every name. The numbers of the two programs differed by
at most 1.2e-6 (transformer) and 4.3e-6 (pictures).
"""

import json
import re
import shutil
import zlib

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

from loratory.models.common.omnigen2 import OmniGen2Transformer2DModel, scheduler_of
from tests.tiny import _original, _parts, omnigen2
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import assert_same_weights

SETTINGS = {
    "hidden_size": 48, "num_layers": 2, "num_refiner_layers": 2, "num_attention_heads": 4, "num_kv_heads": 2,
    "multiple_of": 8, "axes_dim_rope": (4, 4, 4), "axes_lens": (64, 32, 32), "text_feat_dim": 20, "in_channels": 4,
}  # fmt: skip
PLACES = [0, 1, 50, 100, 191, 200, 301, 383]


def numbers(name, shape):
    """Normal numbers that depend on the name; smaller for weights with more inputs."""
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    return torch.from_numpy((draws / (1 if len(shape) < 2 else np.sqrt(np.prod(shape[1:])))).astype(np.float32))


def fill(module):
    for name, parameter in module.named_parameters():
        value = numbers(name, tuple(parameter.shape))
        if parameter.ndim == 1:
            value = 0.1 * value + (not name.endswith("bias"))
        parameter.data.copy_(value)
    return module.eval().requires_grad_(False)


def given():
    """Noisy latents of two pictures, and texts of seven and four tokens."""
    random = np.random.Generator(np.random.PCG64(7))
    latents = torch.from_numpy(random.standard_normal((2, 4, 8, 6)).astype(np.float32))
    text = torch.from_numpy(random.standard_normal((2, 7, 20)).astype(np.float32))
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    return latents, text, mask, torch.tensor([0.4, 0.75])


@pytest.fixture(scope="module")
def transformer():
    return fill(OmniGen2Transformer2DModel(**SETTINGS))


def test_it_predicts_what_the_authors_model_predicts(transformer):
    """Mean and deviation are of all 384 numbers."""
    latents, text, mask, time = given()
    velocity = transformer(latents, text, time, attention_mask=mask)[0]
    wanted = [0.844556, 1.260916, 0.58558, 0.794918, -1.468815, -2.161371, -0.930573, -0.077028]
    np.testing.assert_allclose(velocity.flatten()[PLACES], wanted, atol=2e-5)
    assert velocity.mean().item() == pytest.approx(-0.025773, abs=1e-5)
    assert velocity.std().item() == pytest.approx(0.913523, abs=1e-5)


def test_padding_changes_nothing(transformer):
    latents, text, mask, time = given()
    padded = transformer(latents, text, time, attention_mask=mask)[0]
    for row, length in enumerate((7, 4)):
        alone = transformer(latents[row : row + 1], text[row : row + 1, :length], time[row : row + 1])[0]
        torch.testing.assert_close(alone, padded[row : row + 1], rtol=0, atol=2e-5)


PIXELS = [0, 500, 5000, 10000, 18431, 20000, 30000, 36000]
PICTURES = [
    ({"text_guidance_scale": 4.0}, [0.46407, 0.49994, 0.192, 0.28544, 0.59994, 0.37497, 0.58975, 0.62391]),
    ({"text_guidance_scale": 1.0}, [0.46292, 0.53382, 0.20461, 0.28535, 0.60424, 0.49872, 0.78214, 0.64886]),
    (
        {"text_guidance_scale": 3.0, "negative_prompt": ["blurry", "dark night"]},
        [0.46316, 0.52428, 0.19878, 0.27893, 0.60138, 0.42847, 0.67442, 0.64343],
    ),
]


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    made = omnigen2.theirs(tiny_model("omnigen2"))
    made.set_progress_bar_config(disable=True)
    for module in (made.transformer, made.vae, made.mllm):
        fill(module)
    return made


@pytest.mark.parametrize(("settings", "wanted"), PICTURES)
def test_it_paints_what_the_authors_pipeline_paints(settings, wanted, pipeline):
    """Their scheduler, their shift of time, their texts."""
    pictures = pipeline(
        prompt=["a small red bird", "ohwx, " * 30], height=96, width=64, num_inference_steps=5, output_type="np",
        generator=torch.Generator().manual_seed(3), **settings,
    ).images  # fmt: skip
    np.testing.assert_allclose(pictures.flatten()[PIXELS], wanted, atol=5e-5)


def test_times_are_shifted_as_the_authors_shift_them(pipeline):
    """t / (m - m t + t) with m = √(latents' height times width) / 40, from noise at 0; 24x12 latents here."""
    pipeline("a bird", height=192, width=96, num_inference_steps=4, text_guidance_scale=1.0, output_type="np")
    t, m = np.arange(5) / 4, np.sqrt(24 * 12) / 40
    np.testing.assert_allclose(pipeline.scheduler.sigmas, 1 - t / (m - m * t + t), atol=1e-6)
    without = scheduler_of({"num_train_timesteps": 1000, "dynamic_time_shift": False})
    assert isinstance(without, FlowMatchEulerDiscreteScheduler) and not without.config.use_dynamic_shifting


def test_the_net_counts_time_from_noise_and_predicts_the_other_way(ours):
    """It is given 1 - sigma and says picture - noise; the prediction is noise - picture."""
    model, calls = ours("omnigen2"), []
    handle = model.components.denoiser.register_forward_hook(
        lambda module, positional, named, output: calls.append((named["timestep"], output[0])), with_kwargs=True
    )
    try:
        told = model.collate(model.encode_prompts(["a bird", "a cat"]))
        with torch.no_grad():
            predicted = model.predict(torch.ones(2, 16, 4, 4), torch.tensor([0.25, 1.0]), told, torch.zeros(2, 6))
    finally:
        handle.remove()
    ((time, output),) = calls
    assert time.tolist() == [0.75, 0.0]
    assert torch.equal(predicted, -output) and output.any()


def test_texts_are_a_conversation_with_the_systems_message(ours):
    """Tokens of the tiny model are bytes and marks, so that their number can be counted by hand."""
    model = ours("omnigen2")
    said = (
        "<|im_start|>system\nYou are a helpful assistant that generates high-quality images based on user instructions."
        "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    )
    with torch.no_grad():
        for text in ("", "a small red bird", "b" * 2000):
            (told,) = model.encode_prompts([text])
            counted = len(re.sub(r"<\|im_(start|end)\|>", "#", said.format(text)))
            assert told["hidden_states"].shape == (min(counted, 1024), omnigen2.WIDTH)


@pytest.mark.parametrize("tied", [True, False])
def test_parts_have_their_published_names(tied, tmp_path, tiny_model, ours):
    """A file of Qwen2.5-VL as published (names older than transformers' own) and Black Forest Labs' autoencoder."""
    folder = tiny_model("omnigen2")
    torch.manual_seed(4)
    mllm = _parts.qwen25_vl_language_model(omnigen2.WIDTH, tied=tied)
    older = {
        re.sub(r"^model\.visual\.", "visual.", re.sub(r"^model\.language_model\.", "model.", name)): value
        for name, value in mllm.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    assert {"visual.merger.ln_q.weight", "model.norm.weight", "model.layers.1.mlp.up_proj.weight"} <= older.keys()
    vae, config = _original.component(folder, "vae")
    save_file(older, tmp_path / "qwen.safetensors")
    save_file(_original.autoencoder(vae, len(config["block_out_channels"])), tmp_path / "ae.safetensors")
    components = shutil.copytree(folder, tmp_path / "components")
    for name in ("mllm", "transformer", "vae"):
        (
            components / name / ("model.safetensors" if name == "mllm" else "diffusion_pytorch_model.safetensors")
        ).unlink()
    if not tied:
        settings = json.loads((components / "mllm" / "config.json").read_text(encoding="utf-8"))
        settings["text_config"]["tie_word_embeddings"] = settings["tie_word_embeddings"] = False
        (components / "mllm" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    model = load_model(
        omnigen2.single_file(folder, tmp_path / "x.safetensors", "original"),
        components=components,
        vae_path=tmp_path / "ae.safetensors",
        parts={"mllm": str(tmp_path / "qwen.safetensors")},
    )
    assert_same_weights(model.components.text_encoders["mllm"], mllm)
    assert_same_weights(model.components.vae, ours("omnigen2").components.vae)
