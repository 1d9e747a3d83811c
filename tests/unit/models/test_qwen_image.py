"""What is Qwen-Image's own: the template of its texts, and samples of a single step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

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
