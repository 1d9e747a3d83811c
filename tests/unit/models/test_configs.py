"""The shipped configs are those of the real models: parameter counts and shapes on the meta device.

Headers of real size, made from these models under the original programs' names, are recognised and fit.
"""

import functools
import math
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from loratory.config.architectures import SPECS, detect_header
from loratory.config.identify import detect_folder, read_json, recognise
from loratory.errors import UserError
from loratory.models import (
    chroma,
    chroma_radiance,
    flux1,
    flux2,
    hidream,
    lumina2,
    omnigen2,
    qwen_image,
    sd2,
    sd3,
    sd15,
    sdxl,
    zimage,
)
from loratory.models.common.checkpoint import Checkpoint
from loratory.models.common.loading import CONFIGS, Part, file_loader
from scripts.module_tables import from_config
from tests.tiny import MODULES, _original
from tests.tiny.sd2 import original_text as sd2_text
from tests.tiny.sd3 import original_names as sd3_names


@functools.cache
def outline(folder, component):
    """Tensors of the real model on the meta device, as a checkpoint would hold them (tied ones once)."""
    index = read_json(CONFIGS / folder / "model_index.json")
    with torch.device("meta"):
        module = from_config(CONFIGS / folder / component, *index[component])
    parameters = dict(module.named_parameters())
    return parameters | {name: tensor for name, tensor in module.state_dict().items() if name.endswith("pos_embed")}


@pytest.mark.parametrize(
    ("folder", "component", "count"),
    [
        ("sd15", "unet", 859_520_964),
        ("sd15", "vae", 83_653_863),
        ("sd15", "text_encoder", 123_060_480),
        ("sd2", "unet", 865_910_724),
        ("sd2", "vae", 83_653_863),
        ("sd2", "text_encoder", 340_387_840),
        ("sdxl", "unet", 2_567_463_684),
        ("sdxl", "vae", 83_653_863),
        ("sdxl", "text_encoder", 123_060_480),
        ("sdxl", "text_encoder_2", 694_659_840),
        ("flux1-dev", "transformer", 11_901_408_320),
        ("flux1-schnell", "transformer", 11_891_178_560),
        ("flux1-dev", "vae", 83_819_683),
        ("flux1-dev", "text_encoder", 123_060_480),
        ("flux1-dev", "text_encoder_2", 4_762_310_656),
        ("flux2-dev", "transformer", 32_223_281_152),
        ("flux2-dev", "text_encoder", 24_011_361_280),
        ("flux2-dev", "vae", 84_046_115),
        ("flux2_klein-4b", "transformer", 3_875_544_576),
        ("flux2_klein-4b", "text_encoder", 4_022_468_096),
        ("flux2_klein-9b", "transformer", 9_078_581_248),
        ("flux2_klein-9b", "text_encoder", 8_190_735_360),
        ("chroma", "transformer", 8_899_983_424),
        ("chroma", "vae", 83_819_683),
        ("chroma", "text_encoder", 4_762_310_656),
        ("chroma_radiance", "transformer", 9_506_132_227),
        ("omnigen2", "transformer", 3_967_161_400),
        # Half the bytes that the index of Qwen2.5-VL-3B's bfloat16 files gives as their total.
        ("omnigen2", "mllm", 7_509_245_952 // 2),
        ("omnigen2", "vae", 83_819_683),
        # The published indexes of shards say 40,860,802,176 and 16,584,333,312 bytes in bf16.
        ("qwen_image", "transformer", 40_860_802_176 // 2),
        ("qwen_image", "text_encoder", 16_584_333_312 // 2),
        # As Llama's page has it; the CLIPs are those of SD 3 with 171 positions more.
        ("hidream", "text_encoder_4", 8_030_261_248),
        ("hidream", "text_encoder", 123_650_304 + 171 * 768),
        ("hidream", "text_encoder_2", 694_659_840 + 171 * 1280),
        ("hidream", "text_encoder_3", 4_762_310_656),
        ("hidream", "vae", 83_819_683),
        ("lumina2", "text_encoder", 2_614_341_888),
        ("lumina2", "vae", 83_819_683),
        ("zimage", "text_encoder", 4_022_468_096),
        ("zimage", "vae", 83_819_683),
    ],
)
def test_parameter_counts(folder, component, count):
    assert sum(tensor.numel() for tensor in outline(folder, component).values()) == count


# Published by Keras Hub for its ports: everything but T5, and the table of positions with it.
SD3_TOTALS = {"sd3-medium": 2_987_080_931, "sd3-5-medium": 3_371_793_763, "sd3-5-large": 9_048_410_595}


@pytest.mark.parametrize("folder", SD3_TOTALS)
def test_parameter_counts_of_stable_diffusion_3(folder):
    parts = ("transformer", "vae", "text_encoder", "text_encoder_2")
    found = {part: sum(tensor.numel() for tensor in outline(folder, part).values()) for part in parts}
    assert sum(found.values()) == SD3_TOTALS[folder], found
    assert sum(tensor.numel() for tensor in outline(folder, "text_encoder_3").values()) == 4_762_310_656


@pytest.mark.parametrize(
    ("folder", "component", "name", "shape"),
    [
        ("sd15", "unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", (320, 768)),
        ("sd15", "unet", "mid_block.attentions.0.proj_in.weight", (1280, 1280, 1, 1)),
        ("sd2", "unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", (320, 1024)),
        ("sd2", "unet", "mid_block.attentions.0.proj_in.weight", (1280, 1280)),
        ("sd2", "text_encoder", "encoder.layers.22.mlp.fc1.weight", (4096, 1024)),
        ("sdxl", "unet", "add_embedding.linear_1.weight", (1280, 2816)),
        ("sdxl", "unet", "mid_block.attentions.0.transformer_blocks.9.attn2.to_k.weight", (1280, 2048)),
        ("sdxl", "unet", "mid_block.attentions.0.proj_in.weight", (1280, 1280)),
        ("sdxl", "text_encoder_2", "text_projection.weight", (1280, 1280)),
        ("sd3-medium", "transformer", "pos_embed.pos_embed", (1, 36_864, 1536)),
        ("sd3-5-medium", "transformer", "pos_embed.pos_embed", (1, 147_456, 1536)),
        ("sd3-5-medium", "transformer", "transformer_blocks.12.attn2.norm_q.weight", (64,)),
        ("sd3-5-medium", "transformer", "transformer_blocks.12.norm1.linear.weight", (9 * 1536, 1536)),
        ("sd3-5-large", "transformer", "transformer_blocks.37.norm1_context.linear.weight", (2 * 2432, 2432)),
        ("sd3-5-large", "transformer", "context_embedder.weight", (2432, 4096)),
        ("flux1-dev", "transformer", "transformer_blocks.18.attn.add_q_proj.weight", (3072, 3072)),
        ("flux1-dev", "transformer", "single_transformer_blocks.37.proj_out.weight", (3072, 15360)),
        ("flux1-dev", "transformer", "x_embedder.weight", (3072, 64)),
        ("flux1-dev", "vae", "decoder.conv_in.weight", (512, 16, 3, 3)),
        ("hidream", "transformer", "caption_projection.48.linear.weight", (2560, 4096)),
        ("hidream", "transformer", "double_stream_blocks.15.block.ff_i.experts.3.w1.weight", (6912, 2560)),
        ("hidream", "transformer", "single_stream_blocks.31.block.ff_i.shared_experts.w2.weight", (2560, 3584)),
        ("hidream", "transformer", "single_stream_blocks.0.block.ff_i.gate.weight", (4, 2560)),
        ("hidream", "transformer", "double_stream_blocks.0.block.adaLN_modulation.1.weight", (30720, 2560)),
        ("qwen_image", "transformer", "txt_norm.weight", (3584,)),
        ("qwen_image", "transformer", "transformer_blocks.59.img_mlp.net.0.proj.weight", (12288, 3072)),
        ("qwen_image", "transformer", "transformer_blocks.0.txt_mod.1.weight", (18432, 3072)),
        ("qwen_image", "text_encoder", "model.language_model.layers.27.self_attn.k_proj.bias", (512,)),
        ("qwen_image", "vae", "decoder.up_blocks.3.resnets.2.conv2.weight", (96, 96, 3, 3, 3)),
        ("qwen_image", "vae", "encoder.conv_out.weight", (32, 384, 3, 3, 3)),
        ("flux1-dev", "text_encoder_2", "encoder.block.23.layer.1.DenseReluDense.wi_1.weight", (10240, 4096)),
        ("omnigen2", "transformer", "layers.31.attn.to_k.weight", (840, 2520)),
        ("omnigen2", "transformer", "context_refiner.1.feed_forward.linear_1.weight", (10240, 2520)),
        ("omnigen2", "transformer", "ref_image_refiner.1.norm1.linear.weight", (10080, 1024)),
        ("omnigen2", "transformer", "time_caption_embed.caption_embedder.1.weight", (2520, 2048)),
        ("omnigen2", "mllm", "model.language_model.layers.35.self_attn.k_proj.weight", (256, 2048)),
        ("lumina2", "transformer", "layers.25.attn.to_k.weight", (768, 2304)),
        ("lumina2", "transformer", "layers.25.feed_forward.linear_2.weight", (2304, 9216)),
        ("lumina2", "transformer", "noise_refiner.1.norm1.linear.weight", (4 * 2304, 1024)),
        ("zimage", "transformer", "layers.29.attention.to_q.weight", (3840, 3840)),
        ("zimage", "transformer", "layers.29.feed_forward.w2.weight", (3840, 10240)),
        ("zimage", "transformer", "layers.29.adaLN_modulation.0.weight", (4 * 3840, 256)),
        ("zimage", "transformer", "cap_embedder.1.weight", (3840, 2560)),
    ],
)
def test_exact_shapes(folder, component, name, shape):
    assert tuple(outline(folder, component)[name].shape) == shape


# Published only as rounded numbers; counted by hand from the published widths. h is the width; of a block 13 h² are
# matrices, and norms of heads have 128 numbers.
def flux2_count(h, text, double, single, guided):
    blocks = (double * 2 + single) * 13 * h**2 + (double * 4 + single * 2) * 128
    times = (1 + guided) * (256 * h + h**2)
    return blocks + times + (6 + 6 + 3 + 2) * h**2 + 2 * 128 * h + text * h


def chroma_count(flux1_dev):
    """Without modulation and what makes it (time, guidance, pooled text), with the network in their place."""
    h = 3072
    modulation = (19 * 2 * 6 + 38 * 3 + 2) * (h**2 + h)
    embedders = 2 * (256 * h + h + h**2 + h) + (768 * h + h + h**2 + h)
    network = (64 * 5120 + 5120) + 5 * (2 * (5120**2 + 5120) + 5120) + (5120 * h + h)
    return flux1_dev - modulation - embedders + network


def radiance_count(chroma_transformer):
    """Without both layers at the ends, with a convolution over patches, four patch networks, and a head."""
    ends = (64 * 3072 + 3072) + (3072 * 64 + 64)
    weights = 3 * 64**2 * 4
    nerf = (3 + 8**2) * 64 + 64 + 4 * (3072 * weights + weights + 64) + 64 + (64 * 3 * 9 + 3)
    return chroma_transformer - ends + (3 * 16**2 * 3072 + 3072) + nerf


def omnigen2_count(h, text, layers, refiners):
    """Per block: 21 heads of queries and 7 of keys and values, a gated MLP of 10240, four norms and two of heads."""
    block = (2 + 2 / 3) * h**2 + 3 * h * 10240 + 4 * h + 2 * 120
    modulation = 1024 * 4 * h + 4 * h
    blocks = (layers + 3 * refiners) * block + (layers + 2 * refiners) * modulation
    embedders = 2 * (64 * h + h) + (256 * 1024 + 1024 + 1024**2 + 1024) + (text + text * h + h) + 5 * h
    return blocks + embedders + (1024 * h + h) + (h * 64 + 64)


def hidream_count():
    """Published: 17 billion. h is the width; a feed-forward layer has three matrices whose inner size is two thirds of
    four widths (of two for the expert of all tokens), made up to a multiple of 256."""
    h, inner, shared = 2560, 6912, 3584
    attention = 4 * (h**2 + h) + 2 * h
    mixture = 4 * 3 * h * inner + 3 * h * shared + 4 * h
    single = attention + mixture + 6 * (h**2 + h)
    double = 2 * attention + mixture + 3 * h * inner + 12 * (h**2 + h)
    embedders = (256 * h + h + h**2 + h) + (2048 * h + h + h**2 + h) + (64 * h + h)
    return 16 * double + 32 * single + embedders + 49 * 4096 * h + (64 * h + 64) + 2 * (h**2 + h)


def lumina2_count(h, text, layers, refiners):
    """Keys and values have a third of the queries' heads, of 96 numbers; modulation is made of 1024 numbers of the
    time; 4 h are inside of an MLP."""
    block = (h * (h + 2 * h // 3) + h**2) + 3 * h * 4 * h + 4 * h + 2 * 96
    modulation = 1024 * 4 * h + 4 * h
    times = 256 * 1024 + 1024 + 1024**2 + 1024
    ends = (64 * h + h) + (h * 64 + 64) + (1024 * h + h) + text + (text * h + h)
    return (layers + 2 * refiners) * block + (layers + refiners) * modulation + times + ends


def zimage_count(h, text, blocks, refiners):
    """Modulation is made of 256 numbers of the time; h / 3 * 8 are inside of an MLP; heads have 128 numbers."""
    block = 4 * h**2 + 3 * h * (h // 3 * 8) + 4 * h + 2 * 128
    modulation = 256 * 4 * h + 4 * h
    times = 256 * 1024 + 1024 + 1024 * 256 + 256
    ends = (64 * h + h) + (h * 64 + 64) + (256 * h + h) + text + (text * h + h) + 2 * h
    return (blocks + 2 * refiners) * block + (blocks + refiners) * modulation + times + ends


def test_counts_by_hand():
    assert sum(tensor.numel() for tensor in outline("hidream", "transformer").values()) == hidream_count()
    assert hidream_count() / 1e9 == pytest.approx(17, abs=0.2)
    counts = {folder: sum(tensor.numel() for tensor in outline(folder, "transformer").values()) for folder in (
        "flux2-dev", "flux2_klein-4b", "flux2_klein-9b", "chroma", "chroma_radiance", "flux1-dev",
        "omnigen2", "lumina2", "zimage")}  # fmt: skip
    assert counts["flux2-dev"] == flux2_count(6144, 15360, 8, 48, True)
    assert counts["flux2_klein-4b"] == flux2_count(3072, 7680, 5, 20, False)
    assert counts["flux2_klein-9b"] == flux2_count(4096, 12288, 8, 24, False)
    assert counts["chroma"] == chroma_count(counts["flux1-dev"])
    assert counts["chroma_radiance"] == radiance_count(counts["chroma"])
    # The published file has 7.93 GB in 16 bits.
    assert counts["omnigen2"] == omnigen2_count(2520, 2048, 32, 2) == pytest.approx(7.93e9 / 2, rel=1e-3)
    # Published as 2.6 B.
    assert counts["lumina2"] == lumina2_count(2304, 2304, 26, 2) == pytest.approx(2.6e9, rel=0.01)
    # Published as 6 B. A file of Turbo in bf16 has 12.3 GB.
    assert counts["zimage"] == zimage_count(3840, 2560, 30, 2) == pytest.approx(6.15e9, rel=0.002)


@pytest.mark.parametrize("folder", sorted(path.name for path in CONFIGS.iterdir()))
def test_folders_are_whole(folder):
    index = read_json(CONFIGS / folder / "model_index.json")
    assert detect_folder(CONFIGS / folder) == folder.partition("-")[0]
    for name, value in index.items():
        if isinstance(value, list) and value[0] and not name.startswith(("tokenizer", "processor")):
            kind = "scheduler_config.json" if name == "scheduler" else "config.json"
            assert read_json(CONFIGS / folder / name / kind)
    assert not [file for file in (CONFIGS / folder).rglob("*") if file.is_file() and file.suffix != ".json"]


# Headers of real size


@functools.cache
def real_header(name):
    """Tensors of a published single file, on the meta device."""
    if name.startswith("sd3"):
        return sd3_header(name)
    if name not in UNETS:
        ours = outline(name, "transformer")
        with torch.device("meta"):
            return MODULES[name.partition("-")[0]].original_names(ours)
    with torch.device("meta"):
        tensors = _original.prefixed("model.diffusion_model.", _original.unet(outline(name, "unet"), 2))
        tensors |= _original.prefixed("first_stage_model.", _original.autoencoder(outline(name, "vae"), 4))
        clip = _original.clip(outline(name, "text_encoder"))
        if name == "sd15":
            return tensors | _original.prefixed("cond_stage_model.transformer.", clip)
        if name == "sd2":
            return tensors | _original.prefixed("cond_stage_model.model.", sd2_text(outline(name, "text_encoder")))
        open_clip = _original.open_clip(outline("sdxl", "text_encoder_2"))
        tensors |= _original.prefixed("conditioner.embedders.0.transformer.", clip)
        return tensors | _original.prefixed("conditioner.embedders.1.model.", open_clip)


def sd3_header(name):
    """Stability's file with everything in it, as sd3_medium_incl_clips_t5xxlfp16."""
    with torch.device("meta"):
        tensors = _original.prefixed("model.diffusion_model.", sd3_names(outline(name, "transformer")))
        tensors |= _original.prefixed("first_stage_model.", _original.autoencoder(outline(name, "vae"), 4))
        for native, ours in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2"), ("t5xxl", "text_encoder_3")):
            tensors |= _original.prefixed(f"text_encoders.{native}.transformer.", outline(name, ours))
    return tensors


def shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


UNETS = ("sd15", "sd2", "sdxl")
REAL = [
    ("sd15", sd15.PARTS),
    ("sd2", sd2.PARTS),
    ("sdxl", sdxl.PARTS),
    ("flux1-dev", flux1.PARTS),
    ("flux1-schnell", flux1.PARTS),
    ("sd3-medium", sd3.PARTS),
    ("sd3-5-medium", sd3.PARTS),
    ("sd3-5-large", sd3.PARTS),
    ("flux2-dev", flux2.PARTS),
    ("flux2_klein-4b", flux2.KLEIN_PARTS),
    ("flux2_klein-9b", flux2.KLEIN_PARTS),
    ("chroma", chroma.PARTS),
    ("chroma_radiance", chroma_radiance.PARTS),
    ("omnigen2", omnigen2.PARTS),
    ("qwen_image", qwen_image.PARTS),
    ("hidream", hidream.PARTS),
    ("lumina2", lumina2.PARTS),
    ("zimage", zimage.PARTS),
]


@pytest.mark.parametrize("name", [name for name, _ in REAL])
def test_real_headers_are_recognised(name):
    architecture, header = name.partition("-")[0], shapes(real_header(name))
    denoiser = SPECS[architecture].denoiser
    for variant in (
        header,
        {key.removeprefix("model.diffusion_model."): shape for key, shape in header.items()},
        shapes(outline(name, denoiser)),
    ):
        assert detect_header(variant) == [architecture]
        assert recognise(variant, "x.safetensors", architecture) == architecture


@pytest.mark.parametrize(("name", "parts"), REAL)
def test_real_headers_fit_the_shipped_configs(name, parts):
    checkpoint = Checkpoint(Path("real.safetensors"), shapes(real_header(name)))
    fitted = [part for part in parts if part.is_in(checkpoint)]
    assert len(fitted) == (len(parts) if name in UNETS or name.startswith("sd3") else 1), "others hold the transformer"
    for part in fitted:
        file_loader(part, checkpoint, CONFIGS / name / part.name, torch.float32)


# Segmind's SSD-1B and Vega: published depths down, up, and about how many parameters in thousand millions.
DISTILLED = {
    "SSD-1B": ([0, 2, 4], [[4, 4, 10], [2, 1, 1], 0], 1.3),
    "Vega": ([0, 1, 2], [[2, 2, 2], [1, 1, 1], 0], 0.74),
}


@pytest.mark.parametrize("name", DISTILLED)
def test_distilled_models_fit_the_config_of_sdxl(name):
    down, up, size = DISTILLED[name]
    settings = read_json(CONFIGS / "sdxl" / "unet" / "config.json") | {
        "transformer_layers_per_block": down,
        "reverse_transformer_layers_per_block": up,
        "mid_block_type": "UNetMidBlock2D",
    }
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(settings)
        named = _original.prefixed("model.diffusion_model.", _original.unet(dict(unet.named_parameters()), 2))
    assert sum(parameter.numel() for parameter in unet.parameters()) / 1e9 == pytest.approx(size, rel=0.03)
    header = shapes(named)
    assert recognise(header, "x.safetensors") == "sdxl"
    file_loader(sdxl.PARTS[0], Checkpoint(Path("x.safetensors"), header), CONFIGS / "sdxl" / "unet", torch.float32)


def test_a_header_that_lacks_or_changes_a_tensor_does_not_fit():
    part: Part = sd15.PARTS[0]
    header = shapes(real_header("sd15"))
    name = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"

    def complaint(changed):
        with pytest.raises(UserError) as caught:
            file_loader(part, Checkpoint(Path("real.safetensors"), changed), CONFIGS / "sd15/unet", torch.float32)
        return str(caught.value)

    path = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert f"its unet lacks {path};" in complaint({k: v for k, v in header.items() if k != name})
    assert f"{path} of its unet has the shape (640, 640), not (1280, 1280)" in complaint(header | {name: (640, 640)})
    extra = name.replace("transformer_blocks.0", "transformer_blocks.1")
    assert "more than the model" in complaint(header | {extra: (1280, 1280)})


# Near misses: one fact changed in a real header


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("sd15", {"input_blocks.0.0.weight": (320, 9, 3, 3)}, "an inpainting model (9 input channels)"),
        ("sdxl", {"input_blocks.0.0.weight": (320, 9, 3, 3)}, "an inpainting model (9 input channels)"),
        ("sd15", {"input_blocks.0.0.weight": (320, 8, 3, 3)}, "an editing or video model (8 input channels)"),
        ("sd15", {"middle_block.1.proj_in.weight": (1280, 1280, 3, 3)}, "holds no model that is known here"),
        ("sd15", {"input_blocks.0.0.weight": (320, 3, 3, 3)}, "holds no model that is known here"),
        ("sd2", {"input_blocks.0.0.weight": (320, 9, 3, 3)}, "an inpainting model (9 input channels)"),
        ("sd2", {"input_blocks.0.0.weight": (320, 5, 3, 3)}, "a Stable Diffusion 2 depth model (5 input channels)"),
        ("sd2", {"label_emb.0.0.weight": (1280, 1536)}, "a Stable Diffusion 2 unCLIP model"),
        ("sd2", {"middle_block.1.proj_in.weight": None}, "holds no model that is known here"),
        ("sdxl", {"label_emb.0.0.weight": (1536, 2560)}, "the SDXL refiner"),
        ("sdxl", {"input_blocks.9.0.op.weight": (1280, 1280, 3, 3)}, "holds no model that is known here"),
        ("sdxl", {"edm_mean": (1, 4, 1, 1)}, "trained with the EDM schedule"),
        ("sd3-medium", {"x_embedder.proj.weight": (1536, 17, 2, 2)}, "holds no model that is known here"),
        ("sd3-medium", {"controlnet_blocks.0.weight": (1536, 1536)}, "holds no model that is known here"),
        ("flux1-dev", {"img_in.weight": (3072, 384)}, "a Flux.1 Fill, Depth or Canny model"),
        ("flux1-dev", {"distilled_guidance_layer.in_proj.bias": (5120,)}, "holds no model that is known here"),
        ("flux1-dev", {"double_stream_modulation_img.lin.weight": (18432, 6144)}, "holds no model that is known here"),
        ("flux1-dev", {"vector_in.in_layer.weight": None}, "holds no model that is known here"),
        ("flux1-dev", {"double_blocks.0.img_attn.qkv.scale_weight": ()}, "is quantised"),
        ("sdxl", {"lora_unet_input_blocks_4_1_proj_in.lora_down.weight": (8, 640)}, "is a LoRA file"),
        ("sdxl", {"transformer.single_transformer_blocks.0.proj_mlp.lora_A.weight": (8, 9)}, "is a LoRA file"),
        ("flux2-dev", {"img_in.weight": (6144, 64)}, "holds no model that is known here"),
        ("flux2-dev", {"double_blocks.0.img_attn.qkv.weight_scale": ()}, "is quantised"),
        ("lumina2", {"clip_text_pooled_proj.1.weight": (1024, 1024)}, "a NewBie model"),
        ("lumina2", {"layers.0.adaLN_modulation.1.weight": None}, "holds no model that is known here"),
        ("zimage", {"x_embedder.weight": (3840, 3072)}, "holds no model that is known here"),
        ("zimage", {"siglip_embedder.1.weight": (3840, 1152)}, "a Z-Image Omni or Edit model"),
        ("zimage", {"layers.0.attention.qkv.weight_scale": ()}, "is quantised"),
        ("chroma", {"nerf_blocks.0.param_generator.weight": (49152, 3072)}, None),
        ("chroma_radiance", {"img_in_patch.weight": (3072, 4, 16, 16)}, "holds no model that is known here"),
        ("omnigen2", {"image_index_embedding": None}, "holds no model that is known here"),
        ("omnigen2", {"layers.0.attn.to_q.weight": None}, "holds no model that is known here"),
        ("qwen_image", {"time_text_embed.addition_t_embedding.weight": (2, 3072)}, "for layers or for editing"),
        ("qwen_image", {"__index_timestep_zero__": (1,)}, "for layers or for editing"),
        ("qwen_image", {"img_in.weight": (3072, 16)}, "holds no model that is known here"),
        ("hidream", {"x_embedder.proj.weight": (2560, 128)}, "holds no model that is known here"),
        ("flux1-dev", {name: (2, 2) for name in ("middle_block.1.proj_in.weight",)}, None),
    ],
)
def test_near_misses(name, changes, kind):
    prefix = "model.diffusion_model." if name in UNETS else ""
    header = shapes(real_header(name))
    for key, shape in changes.items():
        full = prefix + key if prefix + key in header or "_blocks" in key else key
        if shape is None:
            del header[full]
        else:
            header[full] = shape
    if kind is None:
        assert recognise(header, "x.safetensors") == name.partition("-")[0]
        return
    with pytest.raises(UserError) as caught:
        recognise(header, "x.safetensors")
    assert kind in str(caught.value) and str(caught.value).startswith("x.safetensors ")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["decoder.conv_in.weight"], "is an autoencoder; give it as model.vae_path"),
        (["text_model.embeddings.token_embedding.weight"], "is a text encoder"),
        (["control_model.input_blocks.0.0.weight"], "is a ControlNet"),
        (["emb_params"], "is a textual-inversion embedding"),
        (["joint_blocks.0.context_block.attn.qkv.weight"], "holds no model that is known here"),
        (["lora_te_text_model_encoder_layers_0_mlp_fc1.hada_w1_a"], "is a LoRA file"),
        (["model.layers.0.self_attn.q_proj.weight"], "holds no model that is known here"),
        ([], "(tensors: none at all"),
    ],
)
def test_other_files(names, kind):
    with pytest.raises(UserError) as caught:
        recognise(dict.fromkeys(names, (4, 4)), "x.safetensors")
    assert kind in str(caught.value)


def test_flex1_is_flux1_with_fewer_blocks():
    """Flex.1-alpha has 8 double blocks; its width and its guidance are those of dev. Published: 8 billion."""
    header = {
        name: shape for name, shape in shapes(real_header("flux1-dev")).items()
        if not any(name.startswith(f"double_blocks.{number}.") for number in range(8, 19))
    }  # fmt: skip
    assert recognise(header, "x.safetensors") == "flux1"
    file_loader(
        flux1.PARTS[0],
        Checkpoint(Path("flex.safetensors"), header),
        CONFIGS / "flux1-dev" / "transformer",
        torch.float32,
    )
    assert 8.1e9 < sum(math.prod(shape) for shape in header.values()) < 8.2e9


def test_two_models_in_one_file():
    both = shapes(real_header("sd15")) | shapes(_original.prefixed("model.diffusion_model.", real_header("flux1-dev")))
    assert sorted(detect_header(both)) == ["flux1", "sd15"]
    with pytest.raises(UserError, match="more than one model"):
        recognise(both, "x.safetensors")
