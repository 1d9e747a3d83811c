"""LoRA files and programs outside: every dialect on every tiny model. New ones of either join by themselves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.networks.base import Network, from_state, inject, weight_shapes
from loratory.networks.formats import DIALECTS, export, import_
from loratory.networks.metadata import read_lora, save_lora
from tests.architectures import KNOWN_TO_DIFFUSERS, each, spread
from tests.compat.documented import NOT_FUSED_BY_KOHYA, TRANSFORMERS
from tests.tiny import MODULES, TINY, _original
from tests.unit.networks.helpers import StandInModel, pipeline_model, stir

Tensors = dict[str, torch.Tensor]

# diffusers' converter for kohya's Flux files has the true model's widths written into it: test_kohya_true_sizes.py.
# and it takes no native dotted names of any of these architectures.
# Original names of a small Chroma are taken for those of Flux.1 in its true widths, without a word; those of Stable
# Diffusion 3 it does not know at all, nor those of Lumina.
UNREADABLE = {
    ("kohya", "flux1"), ("kohya", "chroma"), ("aitoolkit", "chroma"), ("kohya", "sd3"), ("kohya", "hidream"),
    ("kohya", "lumina2"),
    *(("comfyui", name) for name in TINY)
}  # fmt: skip
MATRIX = [(dialect, name) for dialect in DIALECTS for name in TINY]
READABLE = [pair for pair in MATRIX if pair not in UNREADABLE and pair[1] in KNOWN_TO_DIFFUSERS]
# fp32 pictures of two programs that add in another order differ by up to 2e-5 here, by more on other processors. What
# the adapters change is more than 500 times the tolerance.
TOLERANCE = 1e-4


def pipeline_of(name: str, folder: Path) -> DiffusionPipeline:
    if hasattr(MODULES[name], "theirs"):
        return MODULES[name].theirs(folder)
    return DiffusionPipeline.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def load(tiny_model: Callable[[str], Path]) -> Callable[[str], tuple[DiffusionPipeline, StandInModel]]:
    def load(name: str) -> tuple[DiffusionPipeline, StandInModel]:
        pipeline = pipeline_of(name, tiny_model(name))
        pipeline.set_progress_bar_config(disable=True)
        return pipeline, pipeline_model(SPECS[name], pipeline)

    return load


def train_a_little(model: StandInModel, *, decompose: bool = False) -> Network:
    """A network on everything that can be trained, with random weights."""
    config = LoraConfig(rank=4, alpha=1.5, conv_rank=3, train_text_encoders=True, decompose=decompose)
    network = inject(model, config, seed=0)
    stir(network, size=0.15)
    network.eval()
    return network


def picture(pipeline: DiffusionPipeline) -> torch.Tensor:
    """Two steps, as latents: what the denoiser and the text encoders make of a prompt."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        return pipeline(
            prompt="ab c", num_inference_steps=2, height=64, width=64, generator=generator, output_type="latent"
        ).images


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first - second).abs().max().item()


@pytest.mark.parametrize(("dialect", "name"), spread(READABLE))
def test_diffusers_draws_what_we_draw(load, tmp_path, dialect, name):
    pipeline, model = load(name)
    plain = picture(pipeline)
    network = train_a_little(model)
    ours = picture(pipeline)
    network.detach()
    path = tmp_path / "lora.safetensors"
    save_lora(path, export(network.state(), model.spec, dialect, weight_shapes(model)), {}, torch.float32)
    pipeline.load_lora_weights(path)
    theirs = picture(pipeline)
    assert difference(ours, plain) > 500 * TOLERANCE
    assert difference(ours, theirs) < TOLERANCE


@pytest.mark.parametrize("name", each(KNOWN_TO_DIFFUSERS))
def test_diffusers_draws_our_dora(load, tmp_path, name):
    """Convolutions and text encoders included. Only its own layout: of kohya's it leaves the lengths out."""
    pipeline, model = load(name)
    network = train_a_little(model, decompose=True)
    with torch.no_grad():
        for layer in network.layers.values():
            layer.magnitude.mul_(1.3)
    ours = picture(pipeline)
    with network.disabled():
        plain = picture(pipeline)
    network.detach()
    path = tmp_path / "dora.safetensors"
    save_lora(path, export(network.state(), model.spec, "diffusers", weight_shapes(model)), {}, torch.float32)
    pipeline.load_lora_weights(path)
    assert difference(ours, plain) > 500 * TOLERANCE
    assert difference(ours, picture(pipeline)) < TOLERANCE


@pytest.mark.parametrize(("dialect", "name"), spread(MATRIX))
def test_a_file_brings_our_own_picture_back(load, tmp_path, dialect, name):
    pipeline, model = load(name)
    network = train_a_little(model)
    ours = picture(pipeline)
    network.detach()
    shapes, path = weight_shapes(model), tmp_path / "lora.safetensors"
    save_lora(path, export(network.state(), model.spec, dialect, shapes), {}, torch.float32)
    tensors, metadata = read_lora(path)
    state = import_(tensors, model.spec, shapes, metadata=metadata, source=path.name)
    again = from_state(model, state)
    assert list(again.layers) == list(network.layers)
    assert difference(ours, picture(pipeline)) < TOLERANCE
    # A network of the same job takes it too, whatever its own alpha.
    again.detach()
    fresh = inject(model, LoraConfig(rank=4, conv_rank=3, train_text_encoders=True), seed=1)
    fresh.load_state(state, path.name)
    fresh.eval()
    assert difference(ours, picture(pipeline)) < TOLERANCE


def original_names(name: str) -> Callable[[Tensors], Tensors]:
    """Where an architecture's file has none, its original names are diffusers'."""
    found: Callable[[Tensors], Tensors] = getattr(MODULES[name], "original_names", dict)
    return found


# How the weights of each architecture's denoiser are named in the checkpoints that kohya's names are made from. Worked
# out in tests/tiny, from the published tables.
NATIVE: dict[str, Callable[[Tensors, StandInModel], Tensors]] = {
    "sd15": lambda tensors, model: tensors,
    "sd2": lambda tensors, model: tensors,
    "sdxl": lambda tensors, model: _original.unet(tensors, model.components.denoiser.config.layers_per_block),
    **{
        name: lambda tensors, model, name=name: original_names(name)(tensors)
        for name in TRANSFORMERS.keys() - NOT_FUSED_BY_KOHYA
    },
    **{name: lambda tensors, model: tensors for name in NOT_FUSED_BY_KOHYA},
}
TEXT_PREFIX = {
    "sd15": {"text_encoder": "lora_te"},
    "sd2": {"text_encoder": "lora_te"},
    "sd3": {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
    "sdxl": {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"},
    "flux1": {"text_encoder": "lora_te1"},
}
"""Of those that are trained here."""


def checkpoint(name: str, model: StandInModel) -> Tensors:
    """Weights by flattened native name, as programs that merge files match them."""
    weights = {
        f"lora_unet.{key}": value for key, value in NATIVE[name](model.components.denoiser.state_dict(), model).items()
    }
    for component, prefix in TEXT_PREFIX.get(name, {}).items():
        for key, value in model.components.text_encoders[component].state_dict().items():
            weights[f"{prefix}.text_model.{key.removeprefix('text_model.')}"] = value
    return {
        key.removesuffix(".weight").replace(".", "_"): value.clone()
        for key, value in weights.items()
        if key.endswith(".weight")
    }


@pytest.mark.parametrize("name", TINY)
def test_merging_a_kohya_file_by_the_published_formula_is_our_merge(load, name):
    """W' = W + alpha / rank · up · down, into the native checkpoint, layer by layer, by name."""
    _, model = load(name)
    network = train_a_little(model)
    network.detach()
    tensors = export(network.state(), model.spec, "kohya", weight_shapes(model))
    weights = checkpoint(name, model)
    merged = 0
    for key, down in tensors.items():
        if key.endswith(".lora_down.weight"):
            layer = key.removesuffix(".lora_down.weight")
            up, alpha = tensors[f"{layer}.lora_up.weight"], tensors[f"{layer}.alpha"]
            product = up.flatten(1) @ down.flatten(1)
            weights[layer] += (alpha / down.shape[0] * product).view(weights[layer].shape)
            merged += 3
    assert merged == len(tensors)
    network.merge()
    after = checkpoint(name, model)
    assert after.keys() == weights.keys()
    for layer, weight in weights.items():
        torch.testing.assert_close(
            after[layer], weight, rtol=1e-5, atol=1e-6, msg=lambda text, layer=layer: f"{layer}: {text}"
        )


@pytest.mark.parametrize("name", each(KNOWN_TO_DIFFUSERS))
def test_a_file_that_diffusers_writes_is_read_with_its_alphas(load, tmp_path, name):
    from peft import LoraConfig as PeftConfig
    from peft.utils import get_peft_model_state_dict

    pipeline, model = load(name)
    denoiser = model.components.denoiser
    config = PeftConfig(
        r=4,
        lora_alpha=6,
        target_modules=["to_q", "to_k", "proj_out"],
        rank_pattern={"to_k": 2},
        alpha_pattern={"to_k": 5},
    )
    denoiser.add_adapter(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in denoiser.named_parameters():
            if "lora_" in key:
                parameter.normal_(std=0.15)
    theirs = picture(pipeline)
    component = model.spec.denoiser
    pipeline.save_lora_weights(
        tmp_path,
        **{
            f"{component}_lora_layers": get_peft_model_state_dict(denoiser),
            f"{component}_lora_adapter_metadata": denoiser.peft_config["default"].to_dict(),
        },
    )
    pipeline, model = load(name)
    plain = picture(pipeline)
    tensors, metadata = read_lora(next(tmp_path.glob("*.safetensors")))
    network = from_state(model, import_(tensors, model.spec, weight_shapes(model), metadata=metadata))
    ours = picture(pipeline)
    assert {layer.scale for layer in network.layers.values()} == {1.5, 2.5}
    assert difference(theirs, plain) > 500 * TOLERANCE
    assert difference(ours, theirs) < TOLERANCE
