"""The bundled model as it ships: its files, and that it draws what it is asked to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from benchmarks.demo.colours import has_asked_colours
from benchmarks.demo.sampling import load_pipeline, sample
from loratory.demo import MODEL_FOLDER
from loratory.demo.concept import LoryScene, lory_caption
from loratory.demo.drawing import COLOURS, PATTERNS, POSITIONS, SHAPES, SIZES, Scene, caption, held_out

PROMPTS = {
    "a purple circle on a red background": ("circle", "purple", "red"),
    "a large green square at the left on a orange background": ("square", "green", "orange"),
    "a small white heart at the top on a blue background": ("heart", "white", "blue"),
    "a blue triangle in the center on a red background": ("triangle", "blue", "red"),
    "large yellow ring at the bottom, purple background": ("ring", "yellow", "purple"),
    "a picture of a orange star on purple": ("star", "orange", "purple"),
    "orange background, a purple moon at the right": ("moon", "purple", "orange"),
    "a red dotted flower on a white background": ("flower", "red", "white"),
}
"""Prompt → (shape, colour, background); the last test shows that training had none of them."""


def test_folder_has_the_files_of_a_stable_diffusion_1_5_folder_and_its_size() -> None:
    files = {path.relative_to(MODEL_FOLDER).as_posix(): path.stat().st_size for path in MODEL_FOLDER.rglob("*.*")}
    assert {
        "model_index.json", "README.md", "scheduler/scheduler_config.json", "text_encoder/config.json",
        "text_encoder/model.safetensors", "tokenizer/merges.txt", "tokenizer/tokenizer.json", "tokenizer/vocab.json",
        "tokenizer/tokenizer_config.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
    } == set(files)  # fmt: skip
    assert sum(files.values()) <= 24_000_000
    index = json.loads((MODEL_FOLDER / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["safety_checker"] == index["feature_extractor"] == [None, None]


def test_weights_are_finite_fp16_under_the_names_of_stable_diffusion_1_5() -> None:
    names: dict[str, set[str]] = {}
    for path in MODEL_FOLDER.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names[path.parent.name] = set(file.keys())
            for name in names[path.parent.name]:
                tensor = file.get_tensor(name)
                assert tensor.dtype == torch.float16, name
                assert tensor.isfinite().all(), name
    assert {name.split(".")[0] for name in names["text_encoder"]} == {"text_model"}
    assert "text_model.encoder.layers.0.self_attn.q_proj.weight" in names["text_encoder"]
    assert "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight" in names["unet"]
    assert {"quant_conv.weight", "post_quant_conv.weight"} <= names["vae"]


def test_every_word_of_the_captions_is_one_token_and_captions_fit() -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(MODEL_FOLDER / "tokenizer")
    words = [*COLOURS, *SHAPES, *SIZES, *PATTERNS, *POSITIONS, "lory", "a", "picture", "of", "on", "background"]
    for word in words:
        assert len(tokenizer(word).input_ids) == 3, word
    ids = [tuple(tokenizer(word).input_ids) for word in words]
    assert len(set(ids)) == len(words)
    longest = Scene("triangle", "purple", "orange", "medium", "striped", "center")
    for text in (caption(longest), lory_caption(LoryScene("orange", "large", "bottom"), 2), "unknown wörds, too!"):
        assert 3 < len(tokenizer(text).input_ids) <= 77
    assert tokenizer.model_max_length == 77


@pytest.mark.slow
def test_model_follows_its_captions(tmp_path: Path) -> None:
    pipeline = load_pipeline(MODEL_FOLDER)
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.float32}
    pictures = sample(pipeline, list(PROMPTS), seed=0, batch=8)
    right = [
        has_asked_colours(picture, Scene(*asked)) for picture, asked in zip(pictures, PROMPTS.values(), strict=True)
    ]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    assert sum(right) >= 7, f"wrong: {[p for p, ok in zip(PROMPTS, right, strict=True) if not ok]}; see {tmp_path}"
    # A picture depends on its own seed and prompt, not on its neighbours in the batch.
    alone = np.asarray(sample(pipeline, list(PROMPTS)[:1], seed=0, batch=1)[0], dtype=float)
    assert np.abs(alone - np.asarray(pictures[0], dtype=float)).mean() < 1


def test_the_prompts_ask_for_what_training_never_showed() -> None:
    assert len(PROMPTS) == 8
    assert set(PROMPTS.values()) <= held_out()
    for prompt, asked in PROMPTS.items():
        assert set(asked) <= set(prompt.replace(",", "").split())
