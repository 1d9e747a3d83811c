"""Long texts, weighted words and clip_skip, against transformers called directly; the same in samples."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from loratory.config.architectures import SPECS
from loratory.config.text import TextConfig, in_effect
from loratory.errors import UserError
from loratory.models.common.prompt_weights import weighted_parts
from loratory.training.cache import text_fingerprint

# One token per character (and spaces are none), so that the lengths can be counted.
SHORT = "a red dog"
TEXTS = {
    0: "", 9: "x" * 9, 75: "abcde" * 15, 76: "abcde" * 15 + "f", 150: "vwxyz" * 30, 160: "abcdefgh" * 20,
    225: "abc" * 75, 300: "lmnop" * 60,
}  # fmt: skip
TRAINABLE = [name for name in SPECS if in_effect(TextConfig(max_token_length=150), SPECS[name]).max_token_length == 150]


@contextmanager
def reading(model: Any, **settings: Any) -> Iterator[Any]:
    before = model.text
    model.text = TextConfig(**settings)
    try:
        yield model
    finally:
        model.text = before


def encoders(model: Any) -> list[tuple[Any, Any]]:
    components = model.components
    names = ["text_encoder", "text_encoder_2"][: len(components.text_encoders)]
    return [
        (components.text_encoders[name], components.tokenizers[name.replace("text_encoder", "tokenizer")])
        for name in names
    ]


def hidden_of(model: Any, output: Any, skip: int = 1) -> Tensor:
    """What each architecture's own pipeline takes of an encoder's output."""
    if model.spec.name == "sdxl":
        return output.hidden_states[-2]
    return (
        output.last_hidden_state
        if skip == 1
        else model.components.text_encoders["text_encoder"].final_layer_norm(output.hidden_states[-skip])
    )


@torch.no_grad()
def by_hand(model: Any, text: str, count: int, skip: int = 1) -> tuple[Tensor, Tensor | None]:
    """Every piece of 75 tokens alone through the encoder, between start and end; then put together."""
    widths, pooled = [], None
    for encoder, tokenizer in encoders(model):
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids[: 75 * count]
        start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        outputs = []
        for number in range(count):
            piece = ids[75 * number : 75 * number + 75]
            row = ([start] + piece + [end] + [pad] * 77)[:77]
            outputs.append(encoder(torch.tensor([row]), output_hidden_states=True))
        hidden = [hidden_of(model, output, skip)[0] for output in outputs]
        widths.append(torch.cat([hidden[0][:1], *(each[1:76] for each in hidden), hidden[-1][76:]]))
        if hasattr(outputs[0], "text_embeds"):
            pooled = outputs[0].text_embeds[0]
    return torch.cat(widths, dim=-1), pooled


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [75, 150, 225])
@pytest.mark.parametrize("architecture", TRAINABLE)
@torch.no_grad()
def test_long_texts_are_read_in_pieces(architecture: str, length: int, ours: Callable[[str], Any]) -> None:
    with reading(ours(architecture), max_token_length=length) as model:
        # All of them together: a text must not depend on its neighbours.
        for text, found in zip(TEXTS.values(), model.encode_prompts(list(TEXTS.values())), strict=True):
            wanted, pooled = by_hand(model, text, length // 75)
            assert wanted.shape[0] == length + 2
            close(found["hidden_states"], wanted)
            if pooled is not None:
                close(found["pooled"], pooled)
        one, other = model.encode_prompts([TEXTS[300], TEXTS[300][:250] + "zzz"])
        assert torch.equal(one["hidden_states"], other["hidden_states"]), "what is too long is cut off"


@pytest.mark.parametrize("skip", [1, 2, 3])
@torch.no_grad()
def test_clip_skip_takes_another_layer(skip: int, ours: Callable[[str], Any]) -> None:
    model = ours("sd15")
    (plain,) = model.encode_prompts([SHORT])
    with reading(model, clip_skip=skip):
        (found,) = model.encode_prompts([SHORT])
        close(found["hidden_states"], by_hand(model, SHORT, 1, skip)[0])
        assert torch.equal(found["hidden_states"], plain["hidden_states"]) == (skip == 1)
    with reading(model, clip_skip=skip, max_token_length=150):
        close(model.encode_prompts([TEXTS[160]])[0]["hidden_states"], by_hand(model, TEXTS[160], 2, skip)[0])


def test_a_layer_that_is_not_there(ours: Callable[[str], Any]) -> None:
    with reading(ours("sd15"), clip_skip=4) as model, pytest.raises(UserError, match="4, but the text encoder has 3"):
        model.encode_prompts([SHORT])


# Weights


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("", 1)]),
        ("a dog", [("a dog", 1)]),
        ("a (dog)", [("a ", 1), ("dog", 1.1)]),
        ("a [dog] b", [("a ", 1), ("dog", 1 / 1.1), (" b", 1)]),
        ("a (dog:1.3), b", [("a ", 1), ("dog", 1.3), (", b", 1)]),
        ("(dog: .5)(cat:-1)", [("dog", 0.5), ("cat", -1)]),
        ("((a) b)", [("a", 1.21), (" b", 1.1)]),
        ("((a:2) b:3)", [("a", 6), (" b", 3)]),
        (r"a \(dog\) \[c\] \\", [("a (dog) [c] \\", 1)]),
        ("a) b]", [("a) b]", 1)]),
        ("(a, [b", [("a, ", 1.1), ("b", 1)]),
        ("[a:1.5] b:2 (c:x)", [("a:1.5", 1 / 1.1), (" b:2 ", 1), ("c:x", 1.1)]),
        ("a:1.5)", [("a:1.5)", 1)]),
        # The example in the documentation of AUTOMATIC1111's interface.
        ("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
         [("a ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1),
          ("sky", 1.4641), (".", 1.1)]),
    ],
)  # fmt: skip
def test_brackets_are_weights(text: str, expected: list[tuple[str, float]]) -> None:
    found = weighted_parts(text)
    assert [part for part, _ in found] == [part for part, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


@pytest.mark.parametrize("architecture", TRAINABLE)
@torch.no_grad()
def test_weights_multiply_hidden_states(architecture: str, ours: Callable[[str], Any]) -> None:
    with reading(ours(architecture), weighted=True) as model:
        (found,) = model.encode_prompts(["ab (cde:1.5) [fg]"])
        wanted, pooled = by_hand(model, "ab cde fg", 1)
        # Start, then a b c d e f g, then end and padding.
        factors = torch.tensor([1, 1, 1, 1.5, 1.5, 1.5, 1 / 1.1, 1 / 1.1] + [1] * 69)
        close(found["hidden_states"], wanted * factors[:, None])
        if pooled is not None:
            close(found["pooled"], pooled)
    with reading(ours(architecture), weighted=True, max_token_length=150) as model:
        (found,) = model.encode_prompts(["x" * 74 + "(yz:2)"])
        wanted, _ = by_hand(model, "x" * 74 + " yz", 2)
        factors = torch.ones(152)
        factors[75:77] = 2  # the last of the first piece and the first of the second
        close(found["hidden_states"], wanted * factors[:, None])


@torch.no_grad()
def test_without_the_setting_brackets_are_signs(ours: Callable[[str], Any]) -> None:
    model = ours("sd15")
    close(model.encode_prompts(["(a:1.5)"])[0]["hidden_states"], by_hand(model, "(a:1.5)", 1)[0])


# What depends on the settings


SETTINGS: list[dict[str, Any]] = [{"clip_skip": 2}, {"max_token_length": 150}, {"weighted": True}]


def test_cached_embeddings_are_those_of_the_settings(ours: Callable[[str], Any]) -> None:
    model = ours("sd15")
    keys = [text_fingerprint(model)]
    for settings in (*SETTINGS, {"max_token_length": 225}, {"clip_skip": 2, "weighted": True}):
        with reading(model, **settings):
            keys.append(text_fingerprint(model))
    assert len(set(keys)) == 6


def test_settings_without_effect_are_left_out() -> None:
    everything = TextConfig(clip_skip=2, max_token_length=150, weighted=True)
    assert in_effect(everything, SPECS["sd15"]) == everything
    assert in_effect(everything, SPECS["sdxl"]) == TextConfig(max_token_length=150, weighted=True)
    assert in_effect(everything, SPECS["flux1"]) == TextConfig()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("architecture", TRAINABLE)
@torch.no_grad()
def test_samples_read_their_prompts_as_training_does(
    architecture: str, settings: dict[str, Any], ours: Callable[[str], Any]
) -> None:
    prompt = "a (red:1.4) dog " + TEXTS[160]
    with reading(ours(architecture), **settings) as model:
        for negative in (None, "[bad]"):
            told = given_to_the_denoiser(model, prompt, negative)
            wanted, unwanted = model.encode_prompts([prompt, negative or ""])
            zeros = architecture == "sdxl" and negative is None
            close(told["encoder_hidden_states"][1], wanted["hidden_states"])
            close(told["encoder_hidden_states"][0], unwanted["hidden_states"] * (0 if zeros else 1))
            if "pooled" in wanted:
                close(told["added_cond_kwargs"]["text_embeds"][1], wanted["pooled"])
                close(told["added_cond_kwargs"]["text_embeds"][0], unwanted["pooled"] * (0 if zeros else 1))


def given_to_the_denoiser(model: Any, prompt: str, negative: str | None) -> dict[str, Any]:
    calls: list[dict[str, Any]] = []
    hook = model.components.denoiser.register_forward_pre_hook(
        lambda module, positional, named: calls.append(named), with_kwargs=True
    )
    try:
        model.pipeline()(prompt=prompt, negative_prompt=negative, num_inference_steps=1, width=32, height=32,
                         guidance_scale=5.0, output_type="latent")  # fmt: skip
    finally:
        hook.remove()
    return calls[0]
