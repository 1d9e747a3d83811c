"""Every key that we write of the true models, against lists that come from the published grammar alone.

A file with one wrong name still loads elsewhere, with that layer left out and a line in a log that nobody reads. So
the lists are compared whole: none missing, none surplus, each for the layer that it says.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig, NetworkBase, TargetsConfig
from loratory.config.targets import Layer, Target
from loratory.errors import UserError
from loratory.networks import registry
from loratory.networks.base import layers_of, modules_by_path, targets
from loratory.networks.formats import DIALECTS, export
from tests.architectures import each_with, spread
from tests.compat import documented
from tests.compat.documented import Names, flat, names_of, norm_names, text_names
from tests.unit.networks.helpers import true_model
from tests.unit.networks.test_network_types import CONFIGS

SIZE = 16
"""Inputs and outputs of the stand-in layers: names do not depend on sizes, and true ones take gigabytes."""


def without_text_model(path: str) -> str:
    return path.replace(".text_model.", ".")


@functools.cache
def true_layers(name: str) -> dict[str, Layer]:
    return {layer.path: layer for layer in layers_of(true_model(name))}


@functools.cache
def small_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The true model's layers by their true paths, each with few numbers."""
    return {path: (SIZE, *(SIZE,) * (len(layer.shape) > 1), *layer.shape[2:])
            for path, layer in true_layers(name).items()}  # fmt: skip


# Names: which layer is called what


SD3 = 24 * 10 - 3 + 13 * 2
"""Layers of 24 joint blocks, without three in the last, and with two more in 13 of them."""
CASES = {
    "sd15": [({}, {}, 192), ({"conv_rank": 1}, {"convolutions": True}, 192 + 86),
             ({"train_text_encoders": True}, {"text": True}, 192 + 72)],
    "sdxl": [({}, {}, 722), ({"conv_rank": 1}, {"convolutions": True}, 722 + 66),
             ({"train_text_encoders": True}, {"text": True}, 722 + 72 + 192)],
    "sd2": [({}, {}, 192), ({"conv_rank": 1}, {"convolutions": True}, 192 + 86),
            ({"train_text_encoders": True}, {"text": True}, 192 + 23 * 6)],
    "sd3": [({}, {}, SD3), ({"train_text_encoders": True}, {"text": True}, SD3 + 72 + 192),
            ({"train_large_text_encoders": True}, {"large": True}, SD3 + 168)],
    "flux1": [({}, {}, 304), ({"train_text_encoders": True}, {"text": True}, 304 + 72),
              ({"train_large_text_encoders": True}, {"large": True}, 304 + 168),
              ({"train_text_encoders": True, "train_large_text_encoders": True}, {"text": True, "large": True},
               304 + 72 + 168)],
    # Modulation is not trained, and a single block has two layers.
    "flux2": [({}, {}, 8 * 8 + 48 * 2)],
    "flux2_klein": [({}, {}, 5 * 8 + 20 * 2)],
    "chroma": [({}, {}, 19 * 8 + 38 * 2), ({"train_large_text_encoders": True}, {"large": True}, 228 + 168)],
    "chroma_radiance": [({}, {}, 19 * 8 + 38 * 2)],
    "omnigen2": [({}, {}, (32 + 2) * 8 + 2 * 7)],
    "qwen_image": [({}, {}, 60 * 12)],
    "hidream": [({}, {}, 16 * 14 + 32 * 7)],
    "lumina2": [({}, {}, 26 * 6 + 2 * 6 + 2 * 5),
                ({"train_large_text_encoders": True}, {"large": True}, 178 + 26 * 7)],
    "zimage": [({}, {}, 30 * 6)],
    **{name: published.cases for name, published in documented.OWN.items()},
}  # fmt: skip
"""What is trained, the same in the words of the lists, and how many layers a file with native names then has."""
NAMING = [(dialect, name, *case) for dialect in DIALECTS for name, cases in CASES.items() for case in cases]
DOWN = {"kohya": "lora_down.weight", "comfyui": "lora_down.weight", "diffusers": "lora_A.weight"}
UP = {"kohya": "lora_up.weight", "comfyui": "lora_up.weight", "diffusers": "lora_B.weight"}


def spelling(dialect: str, name: str) -> str:
    """ai-toolkit writes kohya's files for UNets and PEFT's for transformers."""
    return dialect if dialect != "aitoolkit" else "diffusers" if name in documented.TRANSFORMERS else "kohya"


@pytest.mark.parametrize(("dialect", "name", "settings", "listed", "count"), NAMING)
def test_a_file_has_exactly_the_published_names(
    dialect: str, name: str, settings: dict[str, Any], listed: dict[str, bool], count: int
) -> None:
    wanted: Names = names_of(name, dialect, **listed)
    if dialect == "comfyui" or (dialect == "kohya" and name not in documented.NOT_FUSED_BY_KOHYA):
        assert len(wanted) == count, "the list itself"
    chosen = list(targets(true_model(name), LoraConfig(**settings)))
    # Each layer carries its own number instead of weights, so that two that changed places are found.
    state = {
        path: {"down": torch.full((1, SIZE), float(number)), "up": torch.ones(SIZE, 1), "alpha": torch.ones(())}
        for number, path in enumerate(chosen)
    }
    numbers = {without_text_model(path): number for number, path in enumerate(chosen)}
    assert len(numbers) == len(chosen)
    tensors = export(state, SPECS[name], dialect, small_shapes(name))
    spelled = spelling(dialect, name)
    suffixes = [DOWN[spelled], UP[spelled], *(["alpha"] if spelled != "diffusers" else [])]
    assert sorted(tensors) == sorted(f"{layer}.{suffix}" for layer in wanted for suffix in suffixes)
    for layer, paths in wanted.items():
        down = tensors[f"{layer}.{DOWN[spelled]}"]
        assert down[:, 0].tolist() == [numbers[path] for path in paths], layer


EXAMPLES = {
    ("sd15", "kohya"): (
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_mid_block_attentions_0_proj_in",
        "lora_te_text_model_encoder_layers_0_self_attn_k_proj",
    ),
    ("sd15", "diffusers"): (
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
    ),
    ("sdxl", "kohya"): (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q",
        "lora_unet_middle_block_1_transformer_blocks_9_ff_net_0_proj",
        "lora_unet_output_blocks_0_1_proj_in",
        "lora_te2_text_model_encoder_layers_31_mlp_fc2",
        "lora_unet_input_blocks_1_0_in_layers_2",
        "lora_unet_input_blocks_1_0_out_layers_3",
        "lora_unet_input_blocks_1_0_emb_layers_1",
        "lora_unet_input_blocks_4_0_skip_connection",
        "lora_unet_input_blocks_3_0_op",
        "lora_unet_output_blocks_2_2_conv",
    ),
    ("sdxl", "comfyui"): ("text_encoders.clip_g.transformer.text_model.encoder.layers.31.mlp.fc2",),
    ("sd2", "kohya"): (
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_te_text_model_encoder_layers_22_self_attn_k_proj",
    ),
    ("sd3", "kohya"): (
        "lora_unet_joint_blocks_0_x_block_attn_qkv",
        "lora_unet_joint_blocks_0_context_block_mlp_fc1",
        "lora_unet_joint_blocks_0_x_block_adaLN_modulation_1",
        "lora_unet_joint_blocks_12_x_block_attn2_qkv",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_31_mlp_fc2",
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    ),
    ("sd3", "diffusers"): (
        "transformer.transformer_blocks.0.attn.to_q",
        "transformer.transformer_blocks.0.attn.add_k_proj",
        "transformer.transformer_blocks.0.ff.net.0.proj",
    ),
    ("flux1", "kohya"): (
        "lora_unet_double_blocks_0_img_attn_qkv",
        "lora_unet_single_blocks_37_linear1",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    ),
    ("flux1", "aitoolkit"): (
        "transformer.transformer_blocks.0.ff_context.net.2",
        "transformer.single_transformer_blocks.0.proj_mlp",
    ),
    ("flux2", "kohya"): (
        "lora_unet_double_blocks_0_img_attn_qkv",
        "lora_unet_single_blocks_47_linear1",
        "lora_unet_double_blocks_0_txt_mlp_2",
    ),
    ("flux2", "aitoolkit"): (
        "diffusion_model.double_blocks.0.img_attn.qkv",
        "diffusion_model.single_blocks.0.linear1",
        "diffusion_model.double_blocks.0.img_mlp.0",
    ),
    ("flux2", "diffusers"): (
        "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj",
        "transformer.transformer_blocks.0.ff.linear_in",
        "transformer.single_transformer_blocks.0.attn.to_out",
    ),
    ("chroma", "kohya"): ("lora_unet_double_blocks_0_txt_mlp_2",),
    ("chroma", "aitoolkit"): (
        "diffusion_model.double_blocks.0.img_attn.qkv",
        "diffusion_model.single_blocks.0.linear2",
    ),
    ("chroma", "diffusers"): ("transformer.transformer_blocks.0.attn.to_q",),
    ("omnigen2", "aitoolkit"): (
        "diffusion_model.layers.0.attn.to_q",
        "diffusion_model.layers.0.feed_forward.linear_1",
        "diffusion_model.layers.0.norm1.linear",
        "diffusion_model.context_refiner.1.attn.to_out.0",
    ),
    ("omnigen2", "diffusers"): ("transformer.noise_refiner.0.attn.to_k",),
    ("hidream", "kohya"): ("lora_unet_double_stream_blocks_0_block_attn1_to_q_t",),
    ("hidream", "aitoolkit"): (
        "diffusion_model.double_stream_blocks.0.block.attn1.to_q",
        "diffusion_model.double_stream_blocks.0.block.ff_i.shared_experts.w1",
        "diffusion_model.single_stream_blocks.0.block.attn1.to_out",
    ),
    ("hidream", "diffusers"): ("transformer.double_stream_blocks.0.block.attn1.to_out_t",),
    ("qwen_image", "kohya"): (
        "lora_unet_transformer_blocks_0_attn_to_q",
        "lora_unet_transformer_blocks_0_attn_add_k_proj",
        "lora_unet_transformer_blocks_59_img_mlp_net_0_proj",
    ),
    ("qwen_image", "aitoolkit"): (
        "diffusion_model.transformer_blocks.0.attn.to_out.0",
        "diffusion_model.transformer_blocks.0.txt_mlp.net.2",
    ),
    ("qwen_image", "diffusers"): ("transformer.transformer_blocks.0.attn.to_add_out",),
    ("lumina2", "kohya"): (
        "lora_unet_layers_0_attention_qkv",
        "lora_unet_noise_refiner_0_feed_forward_w2",
        "lora_te_layers_0_self_attn_q_proj",
    ),
    ("lumina2", "comfyui"): (
        "diffusion_model.layers.0.attention.qkv",
        "diffusion_model.layers.0.adaLN_modulation.1",
        "diffusion_model.context_refiner.1.attention.out",
    ),
    ("lumina2", "diffusers"): (
        "transformer.layers.0.attn.to_q",
        "transformer.layers.0.attn.to_out.0",
        "transformer.layers.0.feed_forward.linear_1",
        "transformer.layers.0.norm1.linear",
    ),
    ("lumina2", "aitoolkit"): ("transformer.noise_refiner.1.attn.to_k",),
    ("zimage", "kohya"): (
        "lora_unet_layers_0_attention_to_q",
        "lora_unet_layers_0_attention_to_out_0",
        "lora_unet_layers_29_feed_forward_w1",
    ),
    ("zimage", "aitoolkit"): (
        "diffusion_model.layers.0.attention.to_q",
        "diffusion_model.layers.0.feed_forward.w2",
        "diffusion_model.layers.0.adaLN_modulation.0",
    ),
    ("zimage", "comfyui"): ("diffusion_model.layers.0.attention.qkv", "diffusion_model.layers.29.attention.out"),
    ("zimage", "diffusers"): ("transformer.layers.0.attention.to_q",),
}
"""Names as they stand in published files: the lists are made by loops, and these are not."""


@pytest.mark.parametrize(("name", "dialect"), EXAMPLES)
def test_the_lists_hold_names_seen_in_published_files(name: str, dialect: str) -> None:
    listed = names_of(name, dialect, convolutions=True, text=True, large=True)
    assert [example for example in EXAMPLES[name, dialect] if example not in listed] == []


def test_every_dialect_and_model_has_a_list() -> None:
    assert set(DIALECTS) == set(documented.DIALECTS)
    assert set(SPECS) == CASES.keys() == documented.TEXT.keys()


# Suffixes: what each network type stores of a layer

LORA = "lora_down.weight lora_up.weight alpha"
LOHA = "hada_w1_a hada_w1_b hada_w2_a hada_w2_b alpha"
LOKR = "lokr_w1 lokr_w2_a lokr_w2_b alpha"
Row = tuple[dict[str, Any], str, str]
SUFFIXES: dict[str, dict[str, Row]] = {
    # type: {variant: (settings, suffixes, further ones of larger convolutions)}
    "lora": {
        "": ({"conv_rank": 1}, LORA, ""),
        "tucker": ({"conv_rank": 1, "tucker": True}, LORA, "lora_mid.weight"),
        "dora": ({"conv_rank": 1, "decompose": True}, f"{LORA} dora_scale", ""),
        "pissa": ({"conv_rank": 1, "initialization": "pissa"}, LORA, ""),
        "rank-stabilised": ({"conv_rank": 1, "rank_stabilized": True}, LORA, ""),
    },
    "dylora": {"": ({"unit": 1}, LORA, "")},
    "loha": {
        "": ({"conv_rank": 1}, LOHA, ""),
        "tucker": ({"conv_rank": 1, "tucker": True}, LOHA, "hada_t1 hada_t2"),
        "dora": ({"conv_rank": 1, "decompose": True}, f"{LOHA} dora_scale", ""),
    },
    "lokr": {
        "": ({"conv_rank": 1}, LOKR, ""),
        "dora": ({"conv_rank": 1, "decompose": True}, f"{LOKR} dora_scale", ""),
        "both": ({"conv_rank": 1, "decompose_both": True}, "lokr_w1_a lokr_w1_b lokr_w2_a lokr_w2_b alpha", ""),
        "tucker": ({"conv_rank": 1, "tucker": True}, LOKR, "lokr_t2"),
        # No alpha: programs disagree on what it would mean.
        "full": ({"conv_rank": 1, "full_matrix": True}, "lokr_w1 lokr_w2", ""),
    },
    "glora": {"": ({"conv_rank": 1}, "a1.weight a2.weight b1.weight b2.weight alpha", "")},
    "ia3": {"": ({}, "weight on_input", "")},
    "diag_oft": {"": ({}, "oft_blocks alpha", ""), "rescaled": ({"rescaled": True}, "oft_blocks alpha rescale", "")},
    "boft": {"": ({}, "oft_blocks alpha", ""), "rescaled": ({"rescaled": True}, "oft_blocks alpha rescale", "")},
    "full": {"": ({}, "diff", "")},
}
VARIANTS = [(kind, variant) for kind, variants in SUFFIXES.items() for variant in variants]
NOT_FUSED = {"lokr", "glora", "boft"}
"""What cannot be put together for Flux' fused layers: parts get the names that ComfyUI has for diffusers' layers."""
OFT_AXES = {"diag_oft": 3, "boft": 4}
IA3_ENDS = ("to_k", "to_v", "k_proj", "v_proj", "ff.net.2", "ff_context.net.2", "mlp.fc2", "feed_forward.linear_2")


def test_every_type_has_a_row() -> None:
    assert SUFFIXES.keys() == CONFIGS.keys()


def config_of(kind: str, settings: dict[str, Any], name: str) -> NetworkBase:
    """Small, on everything that can be trained."""
    config = CONFIGS[kind]
    wanted = {"rank": 4 if kind in OFT_AXES else 1, "train_text_encoders": True, **settings}
    if name in documented.TRANSFORMERS:
        wanted = {key: value for key, value in wanted.items() if key != "conv_rank"}
    return config(**{key: value for key, value in wanted.items() if key in config.model_fields})


@functools.cache
def stand_in(kind: str, kernel: tuple[int, ...], bias: bool) -> nn.Module:
    if kind == "linear":
        return nn.Linear(SIZE, SIZE, bias=bias)
    if kind == "conv":
        return nn.Conv2d(SIZE, SIZE, kernel, bias=bias)  # type: ignore[arg-type]
    return nn.LayerNorm(SIZE) if bias else nn.RMSNorm(SIZE)


def state_of(name: str, config: NetworkBase) -> dict[str, dict[str, Tensor]]:
    """What a network on the true model's default layers stores, with small layers in place of the true ones."""
    modules = modules_by_path(true_model(name))
    made: dict[Any, dict[str, Tensor]] = {}
    state = {}
    for path, target in targets(true_model(name), config).items():
        layer, bias = target.layer, getattr(modules[path], "bias", None) is not None
        base = stand_in(layer.kind, layer.shape[2:], bias)
        # IA3 asks the path which side it is on.
        key = (target.type, layer.kind, layer.shape[2:], bias, path.endswith(("ff.net.2", "context.net.2", "mlp.fc2")))
        if key not in made:
            small = Target(Layer(path, layer.kind, small_shapes(name)[path]), target.type, target.config)
            made[key] = registry.make_layer(small, base, torch.Generator().manual_seed(0)).tensors()
        state[path] = made[key]
    return state


def layer_names(name: str, dialect: str, kind: str, settings: dict[str, Any]) -> Names:
    """The list of a network type's file: the default layers, or IA3's; apart what cannot be fused."""
    convolutions = "conv_rank" in settings and name not in documented.TRANSFORMERS
    names = names_of(name, dialect, convolutions=convolutions, text=True)
    if kind == "ia3":
        names = {given: paths for given, paths in names.items() if any(path.endswith(IA3_ENDS) for path in paths)}
    if kind not in NOT_FUSED:
        return names
    result: Names = {}
    for given, paths in names.items():
        if len(paths) == 1 and not (name == "sd3" and paths[0] in documented.SWAPPED):
            result[given] = paths
            continue
        for path in paths:
            inside = path.removeprefix("transformer.")
            result[flat("lycoris", inside) if dialect == "kohya" else path] = (path,)
    return result


def keys_of(name: str, kind: str, variant: str, names: Names) -> list[str]:
    """The names of a file's tensors."""
    _, suffixes, of_larger = SUFFIXES[kind][variant]
    layers = {without_text_model(path): layer for path, layer in true_layers(name).items()}
    modules = {without_text_model(path): module for path, module in modules_by_path(true_model(name)).items()}
    keys = []
    for given, paths in names.items():
        ends = suffixes.split()
        if layers[paths[0]].is_larger_convolution:
            ends += of_larger.split()
        if kind == "full" and any(getattr(modules[path], "bias", None) is not None for path in paths):
            ends.append("diff_b")
        keys += [f"{given}.{end}" for end in ends]
    return sorted(keys)


def respelled(keys: list[str], magnitude: str) -> list[str]:
    """PEFT's suffixes, which have no alpha, for kohya's."""
    table = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight", "dora_scale": magnitude}
    split = [(key, next((end for end in table if key.endswith(f".{end}")), None)) for key in keys]
    return sorted(key.removesuffix(end) + table[end] for key, end in split if end is not None)


@pytest.mark.parametrize("dialect", ["kohya", "comfyui", "aitoolkit"])
@pytest.mark.parametrize(("name", "row"), each_with(VARIANTS, SPECS, always=[("lora", "")]))
def test_a_type_stores_the_published_suffixes(row: tuple[str, str], name: str, dialect: str) -> None:
    kind, variant = row
    settings = SUFFIXES[kind][variant][0]
    tensors = export(state_of(name, config_of(kind, settings, name)), SPECS[name], dialect, small_shapes(name))
    wanted = keys_of(name, kind, variant, layer_names(name, dialect, kind, settings))
    if spelling(dialect, name) == "diffusers" and kind in ("lora", "dylora"):
        wanted = respelled(wanted, "magnitude")
    assert sorted(tensors) == wanted
    if kind in OFT_AXES:  # which of the two it is shows in the number of axes alone
        assert {tensor.ndim for key, tensor in tensors.items() if key.endswith("oft_blocks")} == {OFT_AXES[kind]}


@pytest.mark.parametrize(("name", "row"), spread(product(SPECS, VARIANTS)))
def test_diffusers_layout_holds_lora_and_dora(name: str, row: tuple[str, str]) -> None:
    """The other types are refused instead of written under names that diffusers would leave out."""
    kind, variant = row
    settings = SUFFIXES[kind][variant][0]
    state = state_of(name, config_of(kind, settings, name))
    if kind not in ("lora", "dylora") or (variant == "tucker" and name not in documented.TRANSFORMERS):
        with pytest.raises(UserError, match="holds only LoRA and DoRA without Tucker"):
            export(state, SPECS[name], "diffusers", small_shapes(name))
        return
    wanted = keys_of(name, kind, variant, layer_names(name, "diffusers", kind, settings))
    tensors = export(state, SPECS[name], "diffusers", small_shapes(name))
    # Text encoders are loaded by transformers, which knows only the longer name of the lengths.
    spelled = [
        f"{key}.weight" if key.startswith("text_encoder") and key.endswith("vector") else key
        for key in respelled(wanted, "lora_magnitude_vector")
    ]
    assert sorted(tensors) == sorted(spelled)


# Normalisations

NORM_KEYS = ("w_norm", "b_norm")


@pytest.mark.parametrize("dialect", ["kohya", "aitoolkit", "comfyui"])
@pytest.mark.parametrize("name", documented.DEPTHS)
def test_normalisations_have_the_original_names(name: str, dialect: str) -> None:
    config = LoraConfig(rank=1, targets=TargetsConfig(norms=True), train_text_encoders=True)
    tensors = export(state_of(name, config), SPECS[name], dialect, small_shapes(name))
    norms = norm_names(name, dialect)
    for component in documented.TEXT[name]:
        norms |= text_names(name, component, dialect, ("layer_norm1", "layer_norm2"))
    # The other layers are there as without them.
    others = {key.split(".lora_")[0] for key in tensors if key.endswith("lora_down.weight")}
    assert others == names_of(name, dialect, text=True).keys()
    found = {key for key in tensors if key.endswith(NORM_KEYS) and "final_layer_norm" not in key}
    assert found == {f"{given}.{suffix}" for given in norms for suffix in NORM_KEYS}
