"""What is Qwen-Image's own: the template of its texts, and samples of a single step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLQwenImage

from tests.unit.models.test_behaviour import run

# Published with the model: the tokens before the prompt (34 of its own tokenizer) are dropped.
BEFORE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
AFTER = "<|im_end|>\n<|im_start|>assistant\n"


def tokens(model: Any, text: str) -> Any:
    return model.components.tokenizers["tokenizer"](text, return_tensors="pt").input_ids


@torch.no_grad()
def test_texts_are_read_inside_of_the_template_without_its_beginning(ours: Callable[[str], Any]) -> None:
    model = ours("qwen_image")
    encoder = model.components.text_encoders["text_encoder"]
    for text in ("a {red} dog", ""):
        whole = encoder(tokens(model, BEFORE + text + AFTER), output_hidden_states=True).hidden_states[-1][0]
        (found,) = model.encode_prompts([text])
        torch.testing.assert_close(found["hidden_states"], whole[34:], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_long_texts_are_cut_to_512_tokens(ours: Callable[[str], Any]) -> None:
    """The pipeline reads 1024 and then keeps 512; what stands behind has no influence on what stands before."""
    model = ours("qwen_image")
    encoder = model.components.text_encoders["text_encoder"]
    text = "abcdefgh" * 120
    whole = encoder(tokens(model, BEFORE + text + AFTER)[:, :1058], output_hidden_states=True).hidden_states[-1][0]
    (found,) = model.encode_prompts([text])
    assert found["hidden_states"].shape[0] == 512
    torch.testing.assert_close(found["hidden_states"], whole[34:546], rtol=1e-4, atol=1e-5)
    wanted, _ = model.pipeline().encode_prompt([text], max_sequence_length=512)
    torch.testing.assert_close(found["hidden_states"], wanted[0], rtol=1e-4, atol=1e-5)


def test_a_single_step_makes_a_picture(ours: Callable[[str], Any]) -> None:
    """diffusers' scheduler makes it of 0/0. One step is from time 1 to 0."""
    pipeline = ours("qwen_image").pipeline()
    assert np.isfinite(run(pipeline, num_inference_steps=1)).all()
    assert pipeline.scheduler.sigmas.tolist() == [1.0, 0.0]
    run(pipeline, num_inference_steps=4)
    assert pipeline.scheduler.sigmas[-2].item() == pytest.approx(0.02), "more steps end at the published time"


@torch.no_grad()
@pytest.mark.parametrize("tiles", [False, True])
def test_pictures_come_out_as_films_of_one_frame_do(ours: Callable[[str], Any], tiles: bool) -> None:
    """Bit for bit, though nothing is remembered for a next frame."""
    mine = copy.deepcopy(ours("qwen_image").components.vae)  # others use it without tiles
    theirs = AutoencoderKLQwenImage.from_config(mine.config)
    theirs.load_state_dict(mine.state_dict())
    for each in (mine.eval(), theirs.eval()):
        each.use_tiling = tiles
        each.tile_sample_min_height = each.tile_sample_min_width = 32
        each.tile_sample_stride_height = each.tile_sample_stride_width = 16
    pixels = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    latents, wanted = mine.encode(pixels).latent_dist.mean, theirs.encode(pixels[:, :, None]).latent_dist.mean
    assert torch.equal(latents, wanted[:, :, 0])
    assert torch.equal(mine.decode(latents).sample, theirs.decode(wanted).sample[:, :, 0])
    with pytest.raises(ValueError, match="film of 5 frames"):
        mine.encode(torch.zeros(1, 3, 5, 64, 48))
    with pytest.raises(ValueError, match="film of 2 frames"):
        mine.decode(torch.zeros(1, latents.shape[1], 2, 8, 6))


@torch.no_grad()
def test_no_frame_is_kept_for_a_next_one(ours: Callable[[str], Any]) -> None:
    vae = ours("qwen_image").components.vae
    kept: list[Any] = []
    with vae.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: kept.append(kwargs["feat_cache"]), with_kwargs=True
    ):
        vae.decode(torch.zeros(1, vae.config.z_dim, 8, 8))
    assert kept == [None]
