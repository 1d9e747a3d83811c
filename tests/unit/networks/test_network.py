"""Which layers get adapters, and what attaching, switching, merging and storing do to a model."""

import re

import pytest
import torch
from torch import nn

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.base import Network, from_state, inject, targets, weight_shapes
from loratory.networks.registry import network_type
from tests.compat.documented import OWN
from tests.unit.networks.helpers import (
    StandInComponents,
    StandInModel,
    flux_inputs,
    stir,
    tiny_flux,
    tiny_unet,
    true_model,
    unet_inputs,
)

CONFIG = LoraConfig(rank=4, alpha=2.0)


def unet_model(unet: nn.Module | None = None) -> StandInModel:
    return StandInModel(SPECS["sd15"], StandInComponents(unet or tiny_unet(), {}))


def flux_model() -> StandInModel:
    return StandInModel(SPECS["flux1"], StandInComponents(tiny_flux(), {}))


DENOISERS = {"unet": (unet_model, unet_inputs), "flux": (flux_model, flux_inputs)}


@pytest.fixture(params=DENOISERS, ids=list(DENOISERS))
def denoiser(request):
    model, inputs = DENOISERS[request.param]
    return model(), inputs()


def output(model: StandInModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return model.components.denoiser(**inputs, return_dict=False)[0]


# Targets

TRAINED = {
    # kohya's files have 192 and 722 UNet layers. Flux: 304 fused ones, 19 × 10 + 38 × 3, are 19 × 14 + 38 × 6 of ours.
    "sd15": {"unet": 192, "text_encoder": 72},
    "sdxl": {"unet": 722, "text_encoder": 72, "text_encoder_2": 192},
    "flux1": {"transformer": 494, "text_encoder": 72},
    "sd2": {"unet": 192, "text_encoder": 138},
    # Stable Diffusion 3.5 Medium: 263 fused ones; two more for each of 24 × 2 + 13 attentions.
    "sd3": {"transformer": 263 + 2 * 61, "text_encoder": 72, "text_encoder_2": 192},
    # Flux.2's blocks: 12 and 2 layers. Chroma's are Flux.1's without modulation, 12 and 5.
    "flux2": {"transformer": 8 * 12 + 48 * 2},
    "flux2_klein": {"transformer": 5 * 12 + 20 * 2},
    "chroma": {"transformer": 19 * 12 + 38 * 5},
    "chroma_radiance": {"transformer": 19 * 12 + 38 * 5},
    # OmniGen2's blocks and its noise's refiners have 8 layers each; those of its texts have no modulation.
    "omnigen2": {"transformer": (32 + 2) * 8 + 2 * 7},
    # Eight layers of attention and four of two MLPs; musubi-tuner leaves modulation out, too.
    "qwen_image": {"transformer": 60 * 12},
    # Attention of two streams or of one; of the feed-forward layers those that every token passes.
    "hidream": {"transformer": 16 * (8 + 2 * 3) + 32 * (4 + 3)},
    # 28 blocks with modulation and two without; kohya has two more layers, of the end, which ai-toolkit does not take.
    "lumina2": {"transformer": 28 * 8 + 2 * 7},
    # Four of attention, three of the MLP, one of modulation; blocks that refine noise and text are left alone.
    "zimage": {"transformer": 30 * 8},
    **{name: published.trained_layers() for name, published in OWN.items()},
}


def count(model: StandInModel, **changes: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in targets(model, LoraConfig(**changes)):
        component = path.partition(".")[0]
        counts[component] = counts.get(component, 0) + 1
    return counts


@pytest.mark.parametrize("name", SPECS)
def test_true_models_have_the_layers_that_other_trainers_train(name):
    model = true_model(name)
    assert count(model, train_text_encoders=True) == TRAINED[name]
    denoiser = {SPECS[name].denoiser: TRAINED[name][SPECS[name].denoiser]}
    assert count(model) == denoiser
    text = {key: value for key, value in TRAINED[name].items() if key not in denoiser}
    if not text:
        with pytest.raises(UserError, match="nothing of this"):
            count(model, train_denoiser=False, train_text_encoders=True)
        return
    assert count(model, train_denoiser=False, train_text_encoders=True) == text


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        # Per resnet: two 3x3, time_emb_proj; a shortcut where widths change; per level but one a down- and upsampler.
        ("sd15", {"conv1": 22, "conv2": 22, "time_emb_proj": 22, "conv_shortcut": 14, "conv": 6}),
        ("sdxl", {"conv1": 17, "conv2": 17, "time_emb_proj": 17, "conv_shortcut": 11, "conv": 4}),
    ],
)
def test_a_rank_for_convolutions_adds_the_residual_blocks(name, kinds):
    model = true_model(name)
    plain, more = targets(model, LoraConfig()).keys(), targets(model, LoraConfig(conv_rank=8)).keys()
    assert plain < more
    leaves = [path.rpartition(".")[2] for path in more - plain]
    assert {leaf: leaves.count(leaf) for leaf in set(leaves)} == kinds
    network = inject(model, LoraConfig(rank=16, conv_rank=8, alpha=4.0, conv_alpha=2.0), seed=0)
    network.detach()
    for path, layer in network.layers.items():
        larger = layer.down.ndim == 4 and layer.down.shape[2:] == (3, 3)
        assert (layer.rank, layer.alpha) == ((8, 2.0) if larger else (16, 4.0)), path


def test_nothing_to_train_is_said():
    with pytest.raises(UserError, match="train_denoiser"):
        targets(true_model("sd15"), LoraConfig(train_denoiser=False))
    unknown = StandInModel(SPECS["sd15"], StandInComponents(nn.Sequential(nn.Linear(3, 3)), {}))
    with pytest.raises(UserError, match="nothing"):
        targets(unknown, LoraConfig())


def test_an_unknown_network_type_is_said():
    with pytest.raises(UserError, match="no network type 'lohrah'"):
        network_type("lohrah")


# Attach, detach, strength


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_attaching_changes_outputs_only_and_detaching_nothing(denoiser):
    model, inputs = denoiser
    module = model.components.denoiser
    names, before, plain = [name for name, _ in module.named_modules()], snapshot(module), output(model, inputs)
    network = inject(model, CONFIG, seed=0)
    assert torch.equal(output(model, inputs), plain), "a fresh network changes nothing"
    stir(network)
    adapted = output(model, inputs)
    assert (adapted - plain).abs().max() > 1e-3
    assert [name for name, _ in module.named_modules()] == names
    assert_same(module.state_dict(), before)
    with network.disabled():
        assert torch.equal(output(model, inputs), plain)
    assert torch.equal(output(model, inputs), adapted)
    network.detach()
    assert torch.equal(output(model, inputs), plain)
    assert all("forward" not in part.__dict__ for part in module.modules())
    network.attach()
    assert torch.equal(output(model, inputs), adapted)
    with pytest.raises(RuntimeError, match="attached"):
        network.attach()


def test_every_layer_takes_part(denoiser):
    model, inputs = denoiser
    network = inject(model, CONFIG, seed=0)
    stir(network)
    output(model, inputs).square().mean().backward()
    lacking = [path for path, layer in network.layers.items() if not layer.up.grad.abs().sum() > 0]
    assert not lacking
    assert all(parameter.grad is None for parameter in model.components.denoiser.parameters())


def test_strength_scales_and_disabled_restores_each_layers_own():
    model, inputs = unet_model(), unet_inputs()
    network = inject(model, CONFIG, seed=0)
    stir(network, size=0.02)
    with network.disabled():
        zero = output(model, inputs)
    one = output(model, inputs) - zero
    network.strength = 2.0
    assert network.strength == 2.0
    # To first order the effect of small weights is proportional.
    two = output(model, inputs) - zero
    assert (two - 2 * one).norm() < 0.05 * two.norm()
    next(iter(network.layers.values())).strength = 0.25
    with network.disabled():
        assert torch.equal(output(model, inputs), zero)
    assert next(iter(network.layers.values())).strength == 0.25
    with pytest.raises(ValueError, match="different strengths"):
        _ = network.strength


def test_scaled_multiplies_each_layers_own_strength_and_puts_it_back():
    network = inject(unet_model(), CONFIG, seed=0)
    first, *others = network.layers.values()
    first.strength = 0.5
    with pytest.raises(ZeroDivisionError), network.scaled(-2.0):
        assert (first.strength, others[0].strength) == (-1.0, -2.0)
        raise ZeroDivisionError
    assert (first.strength, others[0].strength) == (0.5, 1.0)


def test_evaluating_draws_nothing_and_puts_the_mode_back():
    model, inputs = unet_model(), unet_inputs()
    network = inject(model, CONFIG.model_copy(update={"dropout": 0.5}), seed=0)
    stir(network)
    for training in (True, False):
        network.train(training)
        with network.evaluating():
            output(model, inputs)  # in training mode it would ask for a seed
        assert network.training is training
        assert all(layer.training is training for layer in network.layers.values())


def test_two_networks_add_up_and_come_off_in_reverse_order():
    model, inputs = unet_model(), unet_inputs()
    first = inject(model, CONFIG, seed=1)
    stir(first, seed=1)
    alone = output(model, inputs)
    second = inject(model, CONFIG, seed=2)
    stir(second, seed=2)
    assert not torch.allclose(output(model, inputs), alone)
    with pytest.raises(RuntimeError, match="after this network"):
        first.detach()
    second.detach()
    assert torch.equal(output(model, inputs), alone)
    first.detach()


def test_detaching_puts_back_a_forward_that_was_there():
    model, inputs = unet_model(), unet_inputs()
    layer = model.components.denoiser.mid_block.attentions[0].proj_in
    calls = []

    def counted(x):
        calls.append(1)
        return type(layer).forward(layer, x)

    layer.forward = counted
    network = inject(model, CONFIG, seed=0)
    network.detach()
    assert layer.forward is counted
    output(model, inputs)
    assert calls == [1]


# Seeds


def test_initial_weights_depend_on_seed_and_path_not_on_the_other_layers():
    small = inject(unet_model(), CONFIG, seed=3)
    torch.manual_seed(99)
    large = inject(unet_model(), LoraConfig(rank=4, alpha=1.0, conv_rank=2), seed=3)
    other = inject(unet_model(), CONFIG, seed=4)
    assert small.layers.keys() < large.layers.keys()
    for path, layer in small.layers.items():
        assert torch.equal(layer.down, large.layers[path].down)
        assert not torch.equal(layer.down, other.layers[path].down)
    downs = [layer.down for layer in small.layers.values()]
    same_shape = [down for down in downs if down.shape == downs[1].shape]
    assert len(same_shape) > 2
    assert all(not torch.equal(same_shape[0], down) for down in same_shape[1:])


def test_dropout_masks_repeat_with_the_seed_and_survive_checkpointing():
    def gradients(checkpointing: bool, seed: int) -> list[torch.Tensor]:
        model = unet_model()
        if checkpointing:
            model.components.denoiser.enable_gradient_checkpointing()
            model.components.denoiser.train()
        network = inject(model, LoraConfig(rank=4, dropout=0.5), seed=0)
        stir(network)
        network.set_dropout_seed(seed)
        output(model, unet_inputs()).square().mean().backward()
        return [parameter.grad for parameter in network.parameters()]

    plain = gradients(False, 5)
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(False, 5), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(True, 5), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(plain, gradients(False, 6), strict=True))


# Checkpointing and compilation


def test_gradient_checkpointing_gives_equal_gradients(denoiser):
    model, inputs = denoiser
    network = inject(model, CONFIG, seed=0)
    stir(network)
    output(model, inputs).square().mean().backward()
    plain = [parameter.grad for parameter in network.parameters()]
    network.zero_grad()
    model.components.denoiser.train()
    model.components.denoiser.enable_gradient_checkpointing()
    output(model, inputs).square().mean().backward()
    assert all(torch.equal(a, parameter.grad) for a, parameter in zip(plain, network.parameters(), strict=True))


@pytest.mark.slow
def test_compiling_takes_the_adapters_along_without_a_graph_break():
    model, inputs = flux_model(), flux_inputs()
    network = inject(model, LoraConfig(rank=4, dropout=0.5), seed=0)
    stir(network)
    network.set_dropout_seed(1)
    expected = output(model, inputs)
    expected.square().mean().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    torch.compiler.reset()
    compiled = torch.compile(model.components.denoiser, backend="aot_eager", fullgraph=True)
    got = compiled(**inputs, return_dict=False)[0]
    got.square().mean().backward()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    for ours, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, ours, rtol=1e-3, atol=1e-5)
    # What a step changes must reach the compiled graph, without compiling again.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    network.set_dropout_seed(2)
    with torch.compiler.set_stance("fail_on_recompile"):
        after = compiled(**inputs, return_dict=False)[0]
    torch.testing.assert_close(after, output(model, inputs), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after, expected)


def test_bf16_base_with_fp32_adapter(denoiser):
    model, inputs = denoiser
    network = inject(model, CONFIG, seed=0)
    stir(network, size=0.05)
    exact = output(model, inputs)
    network.detach()
    module = model.components.denoiser.to(torch.bfloat16)
    low = {name: value if "ids" in name else value.to(torch.bfloat16) for name, value in inputs.items()}
    network.attach()
    result = output(model, low)
    result.float().square().mean().backward()
    assert result.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    assert (result.float() - exact).abs().mean() < 0.03 * exact.abs().mean()


# State


def test_the_state_is_a_sorted_copy_that_brings_the_network_back():
    model, inputs = unet_model(), unet_inputs()
    network = inject(model, LoraConfig(rank=4, alpha=2.0, conv_rank=3), seed=0)
    stir(network)
    state, expected = network.state(), output(model, inputs)
    assert list(state) == sorted(state) == sorted(network.layers)
    stir(network, seed=8)
    network.load_state(state)
    assert torch.equal(output(model, inputs), expected)
    again = unet_model(model.components.denoiser)
    network.detach()
    rebuilt = from_state(again, dict(reversed(state.items())))
    assert torch.equal(output(again, inputs), expected)
    assert list(rebuilt.layers) == list(network.layers), "in the model's order, whatever the file's"
    assert {path: layer.rank for path, layer in rebuilt.layers.items()} == {
        path: tensors["down"].shape[0] for path, tensors in state.items()
    }


def test_parameters_come_by_component():
    text = true_model("sd15").components.text_encoders
    model = StandInModel(SPECS["sd15"], StandInComponents(tiny_unet(), {**text}))
    network = inject(model, LoraConfig(rank=2, train_text_encoders=True), seed=0)
    network.detach()
    groups = network.parameters_by_component()
    assert list(groups) == ["unet", "text_encoder"]
    assert len(groups["text_encoder"]) == 2 * 72
    together = [parameter for group in groups.values() for parameter in group]
    assert [id(parameter) for parameter in together] == [id(parameter) for parameter in network.parameters()]


def broken(network: Network, kind: str) -> dict[str, dict[str, torch.Tensor]]:
    state = network.state()
    paths = list(state)
    if kind == "missing":
        del state[paths[0]], state[paths[5]]
    elif kind == "surplus":
        state["unet.conv_in"] = state[paths[0]]
    elif kind == "rank":
        last = state[paths[-1]]
        state[paths[-1]] = {**last, "down": last["down"][:2], "up": last["up"][:, :2]}
    return state


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", r"old\.safetensors lacks 2 layers .*unet\."),
        ("surplus", r"old\.safetensors has 1 that are not \(unet\.conv_in\)"),
        ("rank", r"old\.safetensors: unet\..*: down \(2, .*become down \(4, "),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(kind, words):
    network = inject(unet_model(), CONFIG, seed=0)
    state = broken(network, kind)
    stir(network)
    before = snapshot(network)
    with pytest.raises(UserError, match=words):
        network.load_state(state, "old.safetensors")
    assert_same(network.state_dict(), before)


def test_a_state_of_another_model_is_refused():
    state = inject(unet_model(), CONFIG, seed=0).state()
    with pytest.raises(UserError, match=r"Flux\.1 model lacks"):
        from_state(flux_model(), state)
    path = next(iter(state))
    narrow = {**state, path: {**state[path], "down": state[path]["down"][:, :3]}}
    with pytest.raises(UserError, match=re.escape(path)):
        from_state(unet_model(), narrow)


# Merge


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_merged_weights_give_the_attached_output_and_unmerge_is_exact(denoiser, strength):
    model, inputs = denoiser
    module = model.components.denoiser
    before = snapshot(module)
    network = inject(model, CONFIG, seed=0)
    stir(network)
    network.strength = strength
    attached = output(model, inputs)
    with pytest.raises(RuntimeError, match="detach"):
        network.merge()
    network.detach()
    network.merge()
    torch.testing.assert_close(output(model, inputs), attached, rtol=1e-3, atol=1e-4)
    # W + strength · alpha / rank · up · down, one layer by hand
    path, layer = next(iter(network.layers.items()))
    name = path.partition(".")[2] + ".weight"
    by_hand = before[name] + strength * 0.5 * torch.einsum("or...,ri...->oi...", layer.up, layer.down)
    torch.testing.assert_close(module.state_dict()[name], by_hand, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="merged"):
        network.attach()
    network.unmerge()
    assert_same(module.state_dict(), before)
    with pytest.raises(RuntimeError, match="nothing to unmerge"):
        network.unmerge()
    network.merge(keep_original=False)
    with pytest.raises(RuntimeError, match="nothing to unmerge"):
        network.unmerge()


def test_bf16_weights_merge_to_the_nearest_and_unmerge_exactly():
    model = unet_model(tiny_unet().to(torch.bfloat16))
    before = snapshot(model.components.denoiser)
    network = inject(model, CONFIG, seed=0)
    stir(network)
    network.detach()
    network.merge()
    after = model.components.denoiser.state_dict()
    for path, layer in network.layers.items():
        name = path.partition(".")[2] + ".weight"
        exact = before[name].float() + layer.delta_weight()
        assert torch.equal(after[name], exact.to(torch.bfloat16))
    network.unmerge()
    assert_same(model.components.denoiser.state_dict(), before)


def test_quantised_weights_are_not_merged_into():
    model = unet_model()
    network = inject(model, CONFIG, seed=0)
    network.detach()
    layer = model.components.denoiser.mid_block.attentions[0].transformer_blocks[0].attn1.to_k
    layer.weight = nn.Parameter(layer.weight.to(torch.float8_e4m3fn), requires_grad=False)
    before = snapshot(model.components.denoiser)
    with pytest.raises(UserError, match=r"attn1\.to_k has quantised weights"):
        network.merge()
    after = model.components.denoiser.state_dict()
    assert all(torch.equal(before[name].float(), after[name].float()) for name in before)


def test_shapes_are_known_for_every_linear_and_convolution():
    shapes = weight_shapes(true_model("sdxl"))
    assert shapes["unet.conv_in"] == (320, 4, 3, 3)
    assert shapes["unet.mid_block.attentions.0.transformer_blocks.9.ff.net.2"] == (1280, 5120)
    assert shapes["text_encoder_2.text_model.encoder.layers.31.mlp.fc1"] == (5120, 1280)
    matrices = [path for path, shape in shapes.items() if path.startswith("unet.") and len(shape) > 1]
    assert len(matrices) == 743 + 51
