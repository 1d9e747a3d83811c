"""Names and layouts of LoRA files, against the names that other programs use and products worked out densely."""

import json
import math

import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.errors import UserError
from loratory.networks.formats import DIALECTS, detect, export, import_
from tests.unit.networks.helpers import StandInComponents, StandInModel, matrix_shapes, tiny_flux, tiny_unet, true_model

Shapes = dict[str, tuple[int, ...]]

FLUX = SPECS["flux1"]


@pytest.fixture(scope="module")
def flux() -> Shapes:
    return matrix_shapes(StandInModel(FLUX, StandInComponents(tiny_flux(), {})))


@pytest.fixture(scope="module")
def unet() -> Shapes:
    return matrix_shapes(StandInModel(SPECS["sd15"], StandInComponents(tiny_unet(), {})))


def layer(shape: tuple[int, ...], rank: int, alpha: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "down": torch.randn(rank, *shape[1:], generator=generator),
        "up": torch.randn(shape[0], rank, *(1 for _ in shape[2:]), generator=generator),
        "alpha": torch.tensor(alpha),
    }


def make_state(shapes: Shapes, rank: int = 2, alpha: float = 1.0) -> dict[str, dict[str, torch.Tensor]]:
    return {path: layer(shape, rank, alpha, seed) for seed, (path, shape) in enumerate(sorted(shapes.items()))}


def delta(down: torch.Tensor, up: torch.Tensor, alpha: float) -> torch.Tensor:
    """The published formula, alpha / rank · up · down, in double precision."""
    return alpha / down.shape[0] * torch.einsum("or,ri->oi", up.double().flatten(1), down.double().flatten(1))


def deltas(state: dict[str, dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {path: delta(part["down"], part["up"], float(part["alpha"])) for path, part in state.items()}


def assert_same_effect(first: dict, second: dict, shapes: Shapes) -> None:
    first, second = deltas(first), deltas(second)
    for path in first.keys() | second.keys():
        nothing = torch.zeros(shapes[path][0], math.prod(shapes[path][1:]), dtype=torch.float64)
        torch.testing.assert_close(first.get(path, nothing), second.get(path, nothing), rtol=1e-6, atol=1e-6)


# Names

KOHYA_NAMES = {
    "sd15": {
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": "lora_unet_down_blocks_0_attentions_0_"
        "transformer_blocks_0_attn1_to_q",
        "unet.mid_block.attentions.0.proj_in": "lora_unet_mid_block_attentions_0_proj_in",
        "unet.up_blocks.0.upsamplers.0.conv": "lora_unet_up_blocks_0_upsamplers_0_conv",
        "text_encoder.encoder.layers.0.self_attn.k_proj": "lora_te_text_model_encoder_layers_0_self_attn_k_proj",
    },
    "sdxl": {
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": "lora_unet_input_blocks_4_1_"
        "transformer_blocks_0_attn2_to_k",
        "unet.down_blocks.2.attentions.1.proj_in": "lora_unet_input_blocks_8_1_proj_in",
        "unet.mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj": "lora_unet_middle_block_1_"
        "transformer_blocks_9_ff_net_0_proj",
        "unet.up_blocks.0.attentions.2.proj_out": "lora_unet_output_blocks_2_1_proj_out",
        "unet.up_blocks.1.attentions.0.proj_in": "lora_unet_output_blocks_3_1_proj_in",
        "unet.down_blocks.0.resnets.0.conv1": "lora_unet_input_blocks_1_0_in_layers_2",
        "unet.down_blocks.0.resnets.1.conv2": "lora_unet_input_blocks_2_0_out_layers_3",
        "unet.down_blocks.0.resnets.0.time_emb_proj": "lora_unet_input_blocks_1_0_emb_layers_1",
        "unet.down_blocks.1.resnets.0.conv_shortcut": "lora_unet_input_blocks_4_0_skip_connection",
        "unet.down_blocks.0.downsamplers.0.conv": "lora_unet_input_blocks_3_0_op",
        "unet.down_blocks.1.downsamplers.0.conv": "lora_unet_input_blocks_6_0_op",
        "unet.mid_block.resnets.0.conv1": "lora_unet_middle_block_0_in_layers_2",
        "unet.mid_block.resnets.1.conv2": "lora_unet_middle_block_2_out_layers_3",
        "unet.up_blocks.0.upsamplers.0.conv": "lora_unet_output_blocks_2_2_conv",
        "unet.up_blocks.1.upsamplers.0.conv": "lora_unet_output_blocks_5_2_conv",
        "unet.up_blocks.2.resnets.2.conv1": "lora_unet_output_blocks_8_0_in_layers_2",
        "unet.conv_in": "lora_unet_input_blocks_0_0",
        "unet.conv_out": "lora_unet_out_2",
        "unet.time_embedding.linear_2": "lora_unet_time_embed_2",
        "unet.add_embedding.linear_1": "lora_unet_label_emb_0_0",
        "text_encoder.encoder.layers.11.mlp.fc1": "lora_te1_text_model_encoder_layers_11_mlp_fc1",
        "text_encoder_2.text_model.encoder.layers.31.mlp.fc2": "lora_te2_text_model_encoder_layers_31_mlp_fc2",
    },
    "sd2": {
        "unet.up_blocks.1.attentions.2.proj_out": "lora_unet_up_blocks_1_attentions_2_proj_out",
        "text_encoder.encoder.layers.22.mlp.fc1": "lora_te_text_model_encoder_layers_22_mlp_fc1",
    },
    "sd3": {
        "transformer.transformer_blocks.0.attn.to_v": "lora_unet_joint_blocks_0_x_block_attn_qkv",
        "transformer.transformer_blocks.23.attn.add_q_proj": "lora_unet_joint_blocks_23_context_block_attn_qkv",
        "transformer.transformer_blocks.5.attn.to_add_out": "lora_unet_joint_blocks_5_context_block_attn_proj",
        "transformer.transformer_blocks.12.attn2.to_out.0": "lora_unet_joint_blocks_12_x_block_attn2_proj",
        "transformer.transformer_blocks.0.ff_context.net.2": "lora_unet_joint_blocks_0_context_block_mlp_fc2",
        "transformer.transformer_blocks.23.norm1_context.linear": "lora_unet_joint_blocks_23_context_block_"
        "adaLN_modulation_1",
        "transformer.pos_embed.proj": "lora_unet_x_embedder_proj",
        "transformer.context_embedder": "lora_unet_context_embedder",
        "transformer.time_text_embed.text_embedder.linear_2": "lora_unet_y_embedder_mlp_2",
        "transformer.norm_out.linear": "lora_unet_final_layer_adaLN_modulation_1",
        "text_encoder_2.text_model.encoder.layers.31.mlp.fc2": "lora_te2_text_model_encoder_layers_31_mlp_fc2",
        "text_encoder_3.encoder.block.0.layer.0.SelfAttention.q": "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    },
    "flux1": {
        "transformer.transformer_blocks.0.attn.to_v": "lora_unet_double_blocks_0_img_attn_qkv",
        "transformer.transformer_blocks.3.attn.add_k_proj": "lora_unet_double_blocks_3_txt_attn_qkv",
        "transformer.transformer_blocks.18.attn.to_out.0": "lora_unet_double_blocks_18_img_attn_proj",
        "transformer.transformer_blocks.0.attn.to_add_out": "lora_unet_double_blocks_0_txt_attn_proj",
        "transformer.transformer_blocks.0.ff.net.0.proj": "lora_unet_double_blocks_0_img_mlp_0",
        "transformer.transformer_blocks.0.ff.net.2": "lora_unet_double_blocks_0_img_mlp_2",
        "transformer.transformer_blocks.0.ff_context.net.0.proj": "lora_unet_double_blocks_0_txt_mlp_0",
        "transformer.transformer_blocks.0.ff_context.net.2": "lora_unet_double_blocks_0_txt_mlp_2",
        "transformer.transformer_blocks.0.norm1.linear": "lora_unet_double_blocks_0_img_mod_lin",
        "transformer.transformer_blocks.0.norm1_context.linear": "lora_unet_double_blocks_0_txt_mod_lin",
        "transformer.single_transformer_blocks.37.attn.to_q": "lora_unet_single_blocks_37_linear1",
        "transformer.single_transformer_blocks.5.proj_mlp": "lora_unet_single_blocks_5_linear1",
        "transformer.single_transformer_blocks.5.proj_out": "lora_unet_single_blocks_5_linear2",
        "transformer.single_transformer_blocks.5.norm.linear": "lora_unet_single_blocks_5_modulation_lin",
        "transformer.x_embedder": "lora_unet_img_in",
        "transformer.context_embedder": "lora_unet_txt_in",
        "transformer.time_text_embed.guidance_embedder.linear_2": "lora_unet_guidance_in_out_layer",
        "transformer.norm_out.linear": "lora_unet_final_layer_adaLN_modulation_1",
        "text_encoder.encoder.layers.0.mlp.fc1": "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q": "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
    },
}
DOTTED_NAMES = {
    "sd15": {
        "text_encoder.encoder.layers.0.self_attn.q_proj": "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    },
    "sdxl": {
        "unet.mid_block.attentions.0.proj_out": "unet.mid_block.attentions.0.proj_out",
        "text_encoder_2.text_model.encoder.layers.31.mlp.fc2": "text_encoder_2.text_model.encoder.layers.31.mlp.fc2",
    },
    "flux1": {
        "transformer.transformer_blocks.0.ff_context.net.2": "transformer.transformer_blocks.0.ff_context.net.2",
        "text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wo": "text_encoder_2.encoder.block.0.layer.1."
        "DenseReluDense.wo",
    },
}
NAMES = [
    (dialect, architecture, path, name)
    for dialect, table in (("kohya", KOHYA_NAMES), ("diffusers", DOTTED_NAMES))
    for architecture, names in table.items()
    for path, name in names.items()
]


@pytest.mark.parametrize(("dialect", "architecture", "path", "name"), NAMES)
def test_layers_have_the_names_that_others_use(dialect, architecture, path, name):
    shapes = matrix_shapes(true_model(architecture))
    tensors = export({path: layer(shapes[path], 1, 1.0, 0)}, SPECS[architecture], dialect, shapes)
    suffixes = {
        "kohya": ("alpha", "lora_down.weight", "lora_up.weight"),
        "diffusers": ("lora_A.weight", "lora_B.weight"),
    }
    assert list(tensors) == [f"{name}.{suffix}" for suffix in suffixes[dialect]]
    assert path in import_(tensors, SPECS[architecture], shapes)


FUSED_BLOCKS = {
    "flux1": (19, 38),
    "chroma": (19, 38),
    "chroma_radiance": (19, 38),
    "flux2": (8, 0),
    "flux2_klein": (5, 0),
}
"""Double and single blocks whose layers the original model fuses; Flux.2's single ones are fused here, too."""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("architecture", SPECS)
def test_no_two_layers_of_a_true_model_share_a_name(architecture, dialect):
    shapes = matrix_shapes(true_model(architecture))
    state = {path: {"down": torch.zeros(1, 1), "up": torch.zeros(1, 1), "alpha": torch.tensor(1.0)} for path in shapes}
    spec = SPECS[architecture]
    native = {"kohya": spec.kohya_names == "native", "comfyui": True, "diffusers": False,
              "aitoolkit": spec.aitoolkit_names == "native"}[dialect]  # fmt: skip
    if native and spec.fuses_layers:
        # Fused layers of Flux: three become one twice in each double block, and four become one in each single block.
        # Of Stable Diffusion 3.5 Medium: three become one 2 × 24 + 13 times.
        saved = {name: 2 * 2 * double + 3 * single for name, (double, single) in FUSED_BLOCKS.items()}
        # Of Z-Image three become one in 30 blocks and in four that refine, of Lumina in 26 and four.
        saved |= {"sd3": 2 * (2 * 24 + 13), "zimage": 2 * 34, "lumina2": 2 * 30}
        expected = len(shapes) - saved[architecture]
        state = {path: layer((shape[0], 1), 1, 1.0, 0) for path, shape in shapes.items()}
    else:
        expected = len(shapes)
    tensors = export(state, SPECS[architecture], dialect, shapes)
    assert len({key.split(".lora_")[0] for key in tensors if ".lora_" in key}) == expected


def test_sdxl_files_with_diffusers_block_names_are_read_too():
    shapes = matrix_shapes(true_model("sdxl"))
    path = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    part = layer(shapes[path], 2, 1.0, 0)
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{name}.lora_down.weight": part["down"],
        f"{name}.lora_up.weight": part["up"],
        f"{name}.alpha": part["alpha"],
    }
    assert_same_effect(import_(tensors, SPECS["sdxl"], shapes), {path: part}, shapes)


# Values


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("rank", "alpha"), [(4, 4.0), (4, 2.0), (3, 1.0)])
def test_a_round_trip_keeps_layers_ranks_and_effect(unet, flux, dialect, rank, alpha):
    for spec, shapes in ((SPECS["sd15"], unet), (FLUX, flux)):
        state = make_state(shapes, rank, alpha)
        again = import_(export(state, spec, dialect, shapes), spec, shapes)
        assert list(again) == sorted(state)
        assert {path: part["down"].shape for path, part in again.items()} == {
            path: part["down"].shape for path, part in state.items()
        }
        assert_same_effect(again, state, shapes)
        if dialect == "kohya":
            assert all(torch.equal(again[path][key], state[path][key]) for path in state for key in state[path])


QKV = [f"transformer.transformer_blocks.0.attn.to_{name}" for name in "qkv"]
LINEAR1 = [
    f"transformer.single_transformer_blocks.0.{name}" for name in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
]
FUSED = {"lora_unet_double_blocks_0_img_attn_qkv": QKV, "lora_unet_single_blocks_0_linear1": LINEAR1}


def stacked(parts: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    return torch.cat([delta(part["down"], part["up"], float(part["alpha"])) for part in parts])


def file_delta(tensors: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return delta(
        tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"], float(tensors[f"{name}.alpha"])
    )


@pytest.mark.parametrize(("name", "paths"), FUSED.items(), ids=["qkv", "linear1"])
def test_fusing_is_exact(flux, name, paths):
    def fused(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return export(dict(zip(paths, parts, strict=True)), FLUX, "kohya", flux)

    count = len(paths)
    equal = [layer(flux[path], 4, 2.0, seed) for seed, path in enumerate(paths)]
    tensors = fused(equal)
    torch.testing.assert_close(file_delta(tensors, name), stacked(equal), rtol=1e-6, atol=1e-6)
    assert tensors[f"{name}.lora_down.weight"].shape[0] == 4 * count
    assert float(tensors[f"{name}.alpha"]) == 2.0 * count, "the scale stays alpha / rank although the rank grows"

    mixed = [layer(flux[path], 2 + seed, 1.0 + seed, seed) for seed, path in enumerate(paths)]
    tensors = fused(mixed)
    torch.testing.assert_close(file_delta(tensors, name), stacked(mixed), rtol=1e-6, atol=1e-6)
    assert float(tensors[f"{name}.alpha"]) == tensors[f"{name}.lora_down.weight"].shape[0]
    assert_same_effect(import_(tensors, FLUX, flux), dict(zip(paths, mixed, strict=True)), flux)

    shared = [{**part, "down": equal[0]["down"].clone()} for part in equal]
    tensors = fused(shared)
    torch.testing.assert_close(file_delta(tensors, name), stacked(shared), rtol=1e-6, atol=1e-6)
    assert tensors[f"{name}.lora_down.weight"].shape[0] == 4


def test_a_part_without_adapter_is_written_as_zero_rows(flux):
    only = {QKV[1]: layer(flux[QKV[1]], 4, 2.0, 0)}
    tensors = export(only, FLUX, "kohya", flux)
    height = flux[QKV[0]][0]
    whole = file_delta(tensors, "lora_unet_double_blocks_0_img_attn_qkv")
    assert torch.count_nonzero(whole[:height]) == 0 and torch.count_nonzero(whole[2 * height :]) == 0
    torch.testing.assert_close(whole[height : 2 * height], deltas(only)[QKV[1]], rtol=1e-6, atol=1e-6)
    assert_same_effect(import_(tensors, FLUX, flux), only, flux)


@pytest.mark.parametrize("rank", [1, 4, 6, 8])
@pytest.mark.parametrize(("name", "paths"), FUSED.items(), ids=["qkv", "linear1"])
def test_a_foreign_fused_layer_of_any_rank_is_split_exactly(flux, name, paths, rank):
    heights = [flux[path][0] for path in paths]
    fused = layer((sum(heights), flux[paths[0]][1]), rank, 3.0, 1)
    tensors = {
        f"{name}.lora_down.weight": fused["down"],
        f"{name}.lora_up.weight": fused["up"],
        f"{name}.alpha": fused["alpha"],
    }
    state = import_(tensors, FLUX, flux)
    assert sorted(state) == sorted(paths)
    rows = delta(fused["down"], fused["up"], 3.0).split(heights)
    for path, row in zip(paths, rows, strict=True):
        torch.testing.assert_close(deltas(state)[path], row, rtol=1e-6, atol=1e-6)
        assert state[path]["down"].shape[0] == rank
    assert_same_effect(import_(export(state, FLUX, "kohya", flux), FLUX, flux), state, flux)


def test_the_last_norm_has_its_halves_swapped(flux):
    path = "transformer.norm_out.linear"
    part = layer(flux[path], 2, 2.0, 0)
    tensors = export({path: part}, FLUX, "kohya", flux)
    half = flux[path][0] // 2
    up = tensors["lora_unet_final_layer_adaLN_modulation_1.lora_up.weight"]
    assert torch.equal(up, torch.cat((part["up"][half:], part["up"][:half])))
    assert_same_effect(import_(tensors, FLUX, flux), {path: part}, flux)


def test_without_alpha_the_scale_is_one(unet):
    path = next(iter(sorted(unet)))
    part = layer(unet[path], 4, 1.0, 0)
    tensors = export({path: part}, SPECS["sd15"], "kohya", unet)
    without = {key: value for key, value in tensors.items() if not key.endswith(".alpha")}
    assert float(import_(without, SPECS["sd15"], unet)[path]["alpha"]) == 4.0


def test_factors_of_a_1x1_convolution_may_be_written_as_linear_ones(unet):
    path = "unet.mid_block.attentions.0.proj_in"
    assert unet[path][2:] == (1, 1)
    part = layer(unet[path], 4, 1.0, 0)
    tensors = {
        key: value.flatten(1) if value.ndim == 4 else value
        for key, value in export({path: part}, SPECS["sd15"], "kohya", unet).items()
    }
    state = import_(tensors, SPECS["sd15"], unet)
    assert all(torch.equal(state[path][key], part[key]) for key in part)


# PEFT's metadata and spellings


def test_alphas_are_read_from_the_adapter_metadata(unet):
    paths = [path for path in sorted(unet) if path.endswith(("to_q", "to_k", "to_v"))]
    plain = {path: layer(unet[path], 4, 4.0, seed) for seed, path in enumerate(paths)}
    tensors = export(plain, SPECS["sd15"], "diffusers", unet)
    settings = {"unet.lora_alpha": 8, "unet.r": 4, "unet.alpha_pattern": {"attn2.to_k": 2, "mid_block.*to_v": 1}}

    def alphas(settings: dict[str, object]) -> dict[str, float]:
        metadata = {"lora_adapter_metadata": json.dumps(settings)}
        state = import_(tensors, SPECS["sd15"], unet, metadata=metadata)
        return {path: float(part["alpha"]) for path, part in state.items()}

    for path, alpha in alphas(settings).items():
        special = 1 if "mid_block" in path and path.endswith("to_v") else 8
        assert alpha == (2 if path.endswith("attn2.to_k") else special), path
    # Rank-stabilised: scale alpha / sqrt(4)
    assert set(alphas({"unet.lora_alpha": 8, "unet.use_rslora": True}).values()) == {16.0}
    assert set(alphas({"text_encoder.lora_alpha": 8}).values()) == {4.0}
    with pytest.raises(UserError, match="lora_adapter_metadata"):
        import_(tensors, SPECS["sd15"], unet, metadata={"lora_adapter_metadata": "{"})


def test_peft_spellings_are_read(unet):
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    part = layer(unet[path], 4, 2.0, 0)
    for down, up in (("lora_A.default.weight", "lora_B.default.weight"), ("lora_down.weight", "lora_up.weight")):
        tensors = {f"{path}.{down}": part["down"], f"{path}.{up}": part["up"], f"{path}.alpha": part["alpha"]}
        assert_same_effect(import_(tensors, SPECS["sd15"], unet), {path: part}, unet)


# Refusals


def kohya_file(unet: Shapes) -> dict[str, torch.Tensor]:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    return export({path: layer(unet[path], 4, 2.0, 0)}, SPECS["sd15"], "kohya", unet)


NAME = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def change(tensors: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    down, up = tensors[f"{NAME}.lora_down.weight"], tensors[f"{NAME}.lora_up.weight"]
    changes = {
        "layer": {f"lora_unet_nowhere_{n}.alpha": torch.tensor(1.0) for n in range(5)},
        "dora": {f"{NAME}.dora_scale": torch.ones(31, 1)},
        "ranks": {f"{NAME}.lora_down.weight": down[:3]},
        "width": {f"{NAME}.lora_down.weight": down[:, :5]},
        "transposed": {f"{NAME}.lora_down.weight": up, f"{NAME}.lora_up.weight": down},
        "nan": {f"{NAME}.lora_up.weight": up * math.nan},
        "alpha": {f"{NAME}.alpha": torch.tensor(math.inf)},
        "rank 0": {f"{NAME}.lora_down.weight": down[:0], f"{NAME}.lora_up.weight": up[:, :0]},
        "scalar": {f"{NAME}.lora_up.weight": torch.tensor(1.0)},
    }
    if kind == "half":
        return {key: value for key, value in tensors.items() if "lora_up" not in key}
    return {**tensors, **changes[kind]}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "layer",
            r"x\.safetensors: 5 of 8 tensors .*lora_unet_nowhere_0\.alpha.* and 2 more\); .*another architecture",
        ),
        ("dora", r"dora_scale \(31, 1\) does not fit the model's weight"),
        ("ranks", "do not fit the model's weight"),
        ("width", "do not fit the model's weight"),
        ("transposed", "do not fit"),
        ("nan", "NaN or infinity"),
        ("alpha", "NaN or infinity"),
        ("rank 0", "do not fit the model's weight"),
        ("scalar", "do not fit the model's weight"),
        ("half", "a part is missing"),
    ],
)
def test_nothing_is_loaded_partly(unet, kind, words):
    with pytest.raises(UserError, match=words):
        import_(change(kohya_file(unet), kind), SPECS["sd15"], unet, source="x.safetensors")


def test_a_file_of_another_architecture_is_refused(unet, flux):
    state = {QKV[0]: layer(flux[QKV[0]], 4, 4.0, 0)}
    for dialect in DIALECTS:
        with pytest.raises(UserError, match=r"this LoRA is for .*Flux\.1.*, the model is Stable Diffusion 1\.5"):
            import_(export(state, FLUX, dialect, flux), SPECS["sd15"], unet)


def test_dialects_are_recognised_and_unknown_ones_refused(unet, flux):
    for spec, shapes in ((SPECS["sd15"], unet), (FLUX, flux)):
        for dialect in DIALECTS:
            # ai-toolkit's files without DoRA are in one of the other layouts.
            other = "kohya" if spec.denoiser == "unet" else "diffusers"
            assert detect(export(make_state(shapes), spec, dialect, shapes)) == {"aitoolkit": other}.get(
                dialect, dialect
            )
    with pytest.raises(UserError, match=r"model\.safetensors has none of the key names .*conv_in\.weight"):
        detect(["conv_in.weight", "conv_in.bias"], "model.safetensors")
    with pytest.raises(UserError, match="empty"):
        detect([])
    with pytest.raises(UserError, match=r"'kohja'.*kohya, diffusers"):
        export({}, FLUX, "kohja", flux)
    with pytest.raises(KeyError, match="elsewhere"):
        export({"elsewhere": {}}, FLUX, "kohya", flux)
