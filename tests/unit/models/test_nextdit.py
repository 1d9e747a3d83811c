"""Z-Image and Lumina-Image 2: what they are given and give, worked out by hand; their texts; files with everything."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from loratory.config.architectures import SPECS
from tests.tiny import _parts, zimage
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import assert_same_weights, conditioning, recorded_calls, whole_picture_sizes

NAMES = [name for name in ("lumina2", "zimage") if name in SPECS]
SHIFTS = {"lumina2": 6.0, "zimage": 3.0}
each = pytest.mark.parametrize("name", NAMES)


def stacked(value):
    """Latents (B, C, h, w) of either model's argument or output."""
    return torch.stack(list(value)).squeeze(2) if isinstance(value, list) else value


@each
def test_time_and_sign(name, ours):
    """x = (1 - sigma) picture + sigma noise. The net is given 1 - sigma and answers picture - noise; a prediction is
    noise - picture (ai-toolkit's table of architectures; the models' own pipelines negate it, too)."""
    model = ours(name)
    generator = torch.Generator().manual_seed(4)
    picture, noise = (torch.randn(2, 16, 8, 6, generator=generator) for _ in range(2))
    sigma = torch.tensor([0.25, 0.75])
    noisy = (1 - sigma).view(2, 1, 1, 1) * picture + sigma.view(2, 1, 1, 1) * noise
    answers = picture - noise
    given = list(answers.unsqueeze(2)) if name == "zimage" else answers

    def answer(module, positional, named, output):
        return (given,)

    told = conditioning(model)
    with recorded_calls(model.components.denoiser) as calls:
        handle = model.components.denoiser.register_forward_hook(answer, with_kwargs=True)
        try:
            with torch.no_grad():
                predicted = model.predict(noisy, sigma, told, whole_picture_sizes(2))
        finally:
            handle.remove()
    ((arguments, _),) = calls
    latents, time = list(arguments.values())[:2]
    assert torch.equal(stacked(latents), noisy)
    assert time.tolist() == [0.75, 0.25]
    assert torch.equal(predicted, noise - picture)


@each
def test_the_shift_is_the_published_one(name, ours):
    """sigma' = s sigma / (1 + (s - 1) sigma): at 1/2 it is s / (s + 1)."""
    assert SPECS[name].default_flow_shift == SHIFTS[name]
    scheduler = ours(name).pipeline().scheduler
    assert scheduler.config.shift == SHIFTS[name] and not scheduler.config.use_dynamic_shifting
    scheduler.set_timesteps(sigmas=[1.0, 0.5])
    assert scheduler.sigmas.tolist() == pytest.approx([1.0, SHIFTS[name] / (SHIFTS[name] + 1), 0.0])


@each
def test_neighbours_in_a_batch_have_no_influence(name, ours):
    """Z-Image fills texts up to a multiple of 32: of the lengths some need the same number of 32, and some do not."""
    model = ours(name)
    texts = ["a", "a small bird", "ohwx, " * 30]
    generator = torch.Generator().manual_seed(4)
    noisy, times = torch.randn(3, 16, 8, 6, generator=generator), torch.tensor([0.2, 0.5, 0.9])
    with torch.no_grad():
        together = model.predict(noisy, times, conditioning(model, texts), whole_picture_sizes(3))
        for number, text in enumerate(texts):
            here = slice(number, number + 1)
            alone = model.predict(noisy[here], times[here], conditioning(model, [text]), whole_picture_sizes(1))
            torch.testing.assert_close(together[here], alone, rtol=1e-4, atol=1e-5)


def drawn(pipeline, **arguments):
    return pipeline(
        prompt="a bird",
        height=64,
        width=48,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
        **arguments,
    ).images


@pytest.mark.parametrize(("scale", "there"), [(1.0, 0.0), (4.0, 3.0)])
def test_zimage_scale_of_one_is_none(scale, there, ours, tiny_model):
    """diffusers' pipeline adds scale * (with - without) to the prediction with the text; here and elsewhere it is added
    to the one without."""
    model = ours("zimage")
    raw = DiffusionPipeline.from_pretrained(tiny_model("zimage"), dtype=torch.float32, local_files_only=True)
    raw.set_progress_bar_config(disable=True)
    with recorded_calls(model.components.denoiser) as calls:
        found = drawn(model.pipeline(), guidance_scale=scale)
    np.testing.assert_array_equal(found, drawn(raw, guidance_scale=there))
    assert {len(arguments["x"]) for arguments, _ in calls} == {1 if scale == 1 else 2}


def test_zimage_text_encoder_of_a_whole_language_model(tiny_model, tmp_path, ours):
    """The published folder holds a Qwen3ForCausalLM, which the pipeline loads without its head; so may a file."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("zimage"), folder)
    shutil.rmtree(folder / "text_encoder")
    torch.manual_seed(5)
    whole = _parts.qwen3_language_model(zimage.WIDTH, layers=3, tied=False)
    whole.save_pretrained(folder / "text_encoder")
    assert any(name.startswith("lm_head") for name in load_file(folder / "text_encoder" / "model.safetensors"))
    model = load_model(folder)
    assert_same_weights(model.components.text_encoders["text_encoder"], whole.model)
    file = tmp_path / "qwen.safetensors"
    save_file(load_file(folder / "text_encoder" / "model.safetensors"), file)
    config = {"parts": {"text_encoder": str(file)}}
    again = load_model(tiny_model("zimage"), **config)
    assert_same_weights(again.components.text_encoders["text_encoder"], whole.model)


def test_lumina_texts_by_hand(ours):
    """A caption stands behind the system's prompt of the pipeline; without one it is what the pipeline makes of an
    empty negative prompt, the start alone. Read is the layer before the last."""
    model = ours("lumina2")
    tokenizer, encoder = model.components.tokenizers["tokenizer"], model.components.text_encoders["text_encoder"]
    system = (
        "You are an assistant designed to generate superior images with the superior degree of image-text alignment "
        "based on textual prompts or user prompts. <Prompt Start> "
    )
    with torch.no_grad():
        found = model.encode_prompts(["a bird", ""])
        for one, text in zip(found, [system + "a bird", ""], strict=True):
            ids = tokenizer([text], return_tensors="pt").input_ids
            wanted = encoder(ids, output_hidden_states=True).hidden_states[-2][0]
            assert one["hidden_states"].shape == wanted.shape
            torch.testing.assert_close(one["hidden_states"], wanted, rtol=1e-4, atol=1e-5)
    assert len(found[1]["hidden_states"]) == 1
    # What the pipeline gives itself for both.
    with torch.no_grad():
        there = model.pipeline().encode_prompt(["a bird"], True, device=torch.device("cpu"))
    for one, states, mask in zip(found, there[0::2], there[1::2], strict=True):
        assert torch.equal(one["hidden_states"], states[0][mask[0].bool()])


def test_lumina_file_with_everything_needs_only_the_tokenizer(tiny_model, tiny_file, tmp_path, ours):
    """ComfyUI's whole checkpoint: text encoder and autoencoder come out of it."""
    folder = tmp_path / "rest"
    for name in ("tokenizer", "scheduler", "transformer", "vae", "text_encoder"):
        shutil.copytree(tiny_model("lumina2") / name, folder / name, ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(tiny_model("lumina2") / "model_index.json", folder)
    model = load_model(tiny_file("lumina2", "everything"), components=folder)
    found, wanted = model.components, ours("lumina2").components
    assert_same_weights(found.vae, wanted.vae)
    assert_same_weights(found.text_encoders["text_encoder"], wanted.text_encoders["text_encoder"])
