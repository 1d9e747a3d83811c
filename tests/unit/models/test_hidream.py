"""What is HiDream-I1's own: experts with gradients, Llama from elsewhere, pictures of any size, schedulers by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_hidream_image import MOEFeedForwardSwiGLU
from torch.nn import functional

from loratory.config.architectures import SPECS
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.models import hidream, load
from loratory.models.common.samplers import scheduler_for
from loratory.models.hidream import RoutedExperts
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import assert_same_weights, conditioning, modules, noisy_input, run

OFFICIAL = "meta-llama/Llama-3.1-8B-Instruct"
USUAL = "unsloth/Meta-Llama-3.1-8B-Instruct"


# Experts


def experts() -> MOEFeedForwardSwiGLU:
    torch.manual_seed(5)
    return MOEFeedForwardSwiGLU(dim=8, hidden_dim=32, num_routed_experts=4, num_activated_experts=2).eval()


def by_hand(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Token by token: the shared expert, and the two with the largest shares, each times its share."""
    rows = []
    for token in x.reshape(-1, x.shape[-1]):
        shares = torch.softmax(layer.gate.weight @ token, dim=0)
        row = layer.shared_experts(token)
        for expert in sorted(range(len(shares)), key=lambda number: -float(shares[number]))[:2]:
            one = layer.experts[expert]
            row = row + shares[expert] * one.w2(functional.silu(one.w1(token)) * one.w3(token))
        rows.append(row)
    return torch.stack(rows).reshape(x.shape)


def test_experts_are_diffusers_and_have_gradients() -> None:
    theirs, ours = experts(), experts()
    ours.__class__ = RoutedExperts
    x = torch.randn(2, 9, 8)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x)), "the same sums in the same order"
        torch.testing.assert_close(ours(x), by_hand(ours, x), rtol=1e-5, atol=1e-6)
    mine, wanted = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours(mine).square().sum().backward()
    by_hand(theirs, wanted).square().sum().backward()
    torch.testing.assert_close(mine.grad, wanted.grad, rtol=1e-4, atol=1e-5)
    for (name, parameter), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)
    lost = x.clone().requires_grad_()
    experts()(lost).square().sum().backward()
    assert not torch.allclose(lost.grad, wanted.grad, rtol=1e-2), "diffusers loses a part; then ours is not needed"


def test_an_expert_that_nobody_wants_does_no_harm() -> None:
    layer = experts()
    layer.__class__ = RoutedExperts
    with torch.no_grad():
        layer.gate.weight[1:3] = layer.gate.weight[0]
        layer.gate.weight[:2] *= 0
        layer.gate.weight[2:] = 100
    x = torch.ones(1, 3, 8)
    layer(x).sum().backward()
    assert layer.experts[0].w1.weight.grad is None and layer.experts[3].w1.weight.grad.any()


def test_every_expert_of_the_loaded_model_has_gradients(ours: Callable[[str], Any]) -> None:
    found = [each for each in ours("hidream").components.denoiser.modules() if isinstance(each, MOEFeedForwardSwiGLU)]
    assert [type(each) for each in found] == [RoutedExperts] * 3


# The sign and the time, by hand


def test_the_net_is_given_the_timestep_and_its_output_is_turned(ours: Callable[[str], Any]) -> None:
    model = ours("hidream")
    noisy, times = noisy_input(model)
    told = conditioning(model)
    with torch.no_grad():
        found = model.predict(noisy, times, told, torch.zeros(2, 6, dtype=torch.int64))
        (output,) = model.components.denoiser(
            noisy, torch.tensor([250.0, 900.0]), told["t5"], torch.stack(list(told["llama"].unbind(1))),
            told["pooled"], return_dict=False,
        )  # fmt: skip
    torch.testing.assert_close(found, -output, rtol=1e-5, atol=1e-6)


# Llama from elsewhere


@pytest.fixture
def published(tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder as it is published: without Llama and its tokenizer, which lie in one folder of their own. Our shipped
    configs describe this small Llama here."""
    shutil.copytree(hidream.CONFIGS / "hidream", tmp_path / "configs" / "hidream")
    small = tiny_model("hidream") / "text_encoder_4" / "config.json"
    shutil.copy(small, tmp_path / "configs" / "hidream" / "text_encoder_4")
    monkeypatch.setattr(hidream, "CONFIGS", tmp_path / "configs")
    folder = shutil.copytree(tiny_model("hidream"), tmp_path / "published")
    (folder / "text_encoder_4").rename(tmp_path / "llama")
    for file in (folder / "tokenizer_4").iterdir():
        file.rename(tmp_path / "llama" / file.name)
    (folder / "tokenizer_4").rmdir()
    index = json.loads((folder / "model_index.json").read_text())
    del index["text_encoder_4"], index["tokenizer_4"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def load_with(path: Path, places: dict[str, Path], **settings: Any) -> Any:
    def resolve(path_or_id: str, **_: Any) -> Path:
        if path_or_id in places:
            return places[path_or_id]
        if Path(path_or_id).exists():
            return Path(path_or_id)
        raise UserError(f"{path_or_id} is not in the cache, and the Hub cannot be reached.")

    config = ModelConfig(path=str(path), **settings)
    return load(config, precision=torch.float32, device=torch.device("cpu"), resolve=resolve)


def test_llama_comes_from_its_usual_repository(published: Path, ours: Callable[[str], Any]) -> None:
    model = load_with(published, {USUAL: published.parent / "llama"})
    for name, module in modules(model).items():
        assert_same_weights(module, modules(ours("hidream"))[name])
    torch.testing.assert_close(conditioning(model)["llama"], conditioning(ours("hidream"))["llama"])


@pytest.mark.parametrize("as_file", [False, True])
def test_llama_may_be_named(as_file: bool, published: Path, ours: Callable[[str], Any]) -> None:
    llama = published.parent / "llama"
    place = llama / "model.safetensors" if as_file else llama
    model = load_with(published, {}, parts={"text_encoder_4": str(place)})
    wanted = modules(ours("hidream"))["text_encoder_4"]
    assert_same_weights(model.components.text_encoders["text_encoder_4"], wanted)
    assert conditioning(model)["llama"].shape == conditioning(ours("hidream"))["llama"].shape


def test_a_single_file_takes_llama_from_there_too(
    published: Path, ours: Callable[[str], Any], tiny_file: Callable[[str, str], Path]
) -> None:
    model = load_with(
        tiny_file("hidream", "comfyui"), {USUAL: published.parent / "llama"}, components=str(published)
    )  # fmt: skip
    for name, module in modules(model).items():
        assert_same_weights(module, modules(ours("hidream"))[name])


def test_without_llama_one_sentence_says_what_to_do(published: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_with(published, {})
    for words in (
        "HiDream-I1 needs text_encoder_4",
        USUAL,
        OFFICIAL,
        "gated",
        "model.parts.text_encoder_4",
        "HF_TOKEN",
    ):
        assert words in str(caught.value)


def test_llama_without_a_tokenizer_is_refused(published: Path) -> None:
    llama = published.parent / "llama"
    for file in llama.glob("*token*"):
        file.unlink()
    with pytest.raises(UserError, match=r"model\.parts\.text_encoder_4: .*llama has no tokenizer"):
        load_with(published, {}, parts={"text_encoder_4": str(llama)})


# Sizes and schedulers


def test_pictures_have_the_size_that_is_asked_for(ours: Callable[[str], Any]) -> None:
    pipeline = ours("hidream").pipeline()
    for height, width in ((32, 32), (48, 80), (96, 64), (80, 80)):
        assert run(pipeline, height=height, width=width).shape == (2, height, width, 3)


def test_what_is_not_square_may_not_be_too_large(ours: Callable[[str], Any]) -> None:
    """The tiny model has room for 64 tokens, that is for 128 x 128 pixels."""
    model = ours("hidream")
    told = conditioning(model)
    sizes = torch.zeros(2, 6, dtype=torch.int64)
    with torch.no_grad():
        model.predict(torch.zeros(2, 16, 16, 16), torch.ones(2), told, sizes)
        model.predict(torch.zeros(2, 16, 20, 20), torch.ones(2), told, sizes)
        with pytest.raises(UserError, match=r"at most 16,384 pixels .* this one has 18,432"):
            model.predict(torch.zeros(2, 16, 18, 16), torch.ones(2), told, sizes)
    with pytest.raises(UserError, match="choose a smaller size"):
        run(model.pipeline(), height=144, width=128)
    assert SPECS["hidream"].largest_area == 1024 * 1024


@pytest.mark.parametrize("name", ["UniPCMultistepScheduler", "FlowMatchLCMScheduler", "DDIMScheduler"])
def test_the_scheduler_is_the_folders_own(name: str, tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("hidream"), tmp_path / "model")
    shift = "flow_shift" if name == "UniPCMultistepScheduler" else "shift"
    settings = {"_class_name": name, shift: 3.0}
    if name == "UniPCMultistepScheduler":
        settings |= {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    if name == "DDIMScheduler":
        with pytest.raises(UserError, match="scheduler DDIMScheduler is not known"):
            load_model(folder)
        return
    pipeline = load_model(folder).pipeline()
    moved = scheduler_for(None, pipeline.scheduler, "flow", 5.0)
    assert (pipeline.scheduler.config[shift], moved.config[shift]) == (3.0, 5.0)
    euler = scheduler_for("euler", pipeline.scheduler, "flow")
    assert euler.config.shift == 3.0, "another sampler keeps the model's shift"
    assert type(pipeline.scheduler).__name__ == name
    assert np.isfinite(run(pipeline)).all()
