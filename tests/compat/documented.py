"""The names that LoRA files give the layers of the true models, from the published grammar alone.

Nothing here comes from the code under test, so that a mistake in its tables cannot hide: the loops are over the block
numbers of the published models. A list is {layer's name in a file: the diffusers paths it stands for, in the order of
its rows}; a path begins with its component and leaves out CLIP's `text_model.`, which not every version has.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from tests.tiny import MODULES

Names = dict[str, tuple[str, ...]]

DIALECTS = ("kohya", "diffusers", "comfyui", "aitoolkit")

# UNets: transformer blocks in each attention of each level, going down, in the middle, and going up.
DEPTHS = {
    "sd15": ((1, 1, 1, 0), 1, (0, 1, 1, 1)),
    "sd2": ((1, 1, 1, 0), 1, (0, 1, 1, 1)),
    "sdxl": ((0, 2, 10), 10, (10, 2, 0)),
}
# A level whose number of channels is another one than that of the level before.
WIDER_LEVELS = {"sd15": (1, 2), "sd2": (1, 2), "sdxl": (1, 2)}

TRANSFORMER = (
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_q", "attn2.to_k", "attn2.to_v",
    "attn2.to_out.0", "ff.net.0.proj", "ff.net.2",
)  # fmt: skip
RESNET = {"conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "conv2": "out_layers.3"}
RESNET_NORMS = {"norm1": "in_layers.0", "norm2": "out_layers.0"}

FLUX_DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
}
FLUX_SINGLE = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
}

FLUX2_DOUBLE = {leaf: parts for leaf, parts in FLUX_DOUBLE.items() if "_mod" not in leaf} | {
    "img_mlp.0": ("ff.linear_in",),
    "img_mlp.2": ("ff.linear_out",),
    "txt_mlp.0": ("ff_context.linear_in",),
    "txt_mlp.2": ("ff_context.linear_out",),
}
FLUX2_SINGLE = {"linear1": ("attn.to_qkv_mlp_proj",), "linear2": ("attn.to_out",)}
CHROMA_DOUBLE = {leaf: parts for leaf, parts in FLUX_DOUBLE.items() if "_mod" not in leaf}
CHROMA_SINGLE = {leaf: parts for leaf, parts in FLUX_SINGLE.items() if "mod" not in leaf}

# Stable Diffusion 3.5 Medium: the picture's and the text's half of a joint block.
SD3_BLOCKS, SD3_SECOND_ATTENTIONS = 24, 13
SD3_PICTURE = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "x_block.attn.proj": ("attn.to_out.0",),
    "x_block.mlp.fc1": ("ff.net.0.proj",),
    "x_block.mlp.fc2": ("ff.net.2",),
    "x_block.adaLN_modulation.1": ("norm1.linear",),
}
SD3_SECOND = {
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "x_block.attn2.proj": ("attn2.to_out.0",),
}
# What the last block has of the text's half, and what the others have beside it.
SD3_TEXT_READ = {
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "context_block.adaLN_modulation.1": ("norm1_context.linear",),
}
SD3_TEXT_CHANGED = {
    "context_block.attn.proj": ("attn.to_add_out",),
    "context_block.mlp.fc1": ("ff_context.net.0.proj",),
    "context_block.mlp.fc2": ("ff_context.net.2",),
}

# Z-Image: its blocks, without those that refine noise and text.
ZIMAGE_BLOCK = {
    "attention.qkv": ("attention.to_q", "attention.to_k", "attention.to_v"),
    "attention.out": ("attention.to_out.0",),
    "feed_forward.w1": ("feed_forward.w1",),
    "feed_forward.w2": ("feed_forward.w2",),
    "feed_forward.w3": ("feed_forward.w3",),
    "adaLN_modulation.0": ("adaLN_modulation.0",),
}

# Lumina-Image 2: blocks with modulation, and those that refine the text, which have none.
LUMINA2_TEXT_BLOCK = {
    "attention.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "attention.out": ("attn.to_out.0",),
    "feed_forward.w1": ("feed_forward.linear_1",),
    "feed_forward.w2": ("feed_forward.linear_2",),
    "feed_forward.w3": ("feed_forward.linear_3",),
}
LUMINA2_BLOCK = LUMINA2_TEXT_BLOCK | {"adaLN_modulation.1": ("norm1.linear",)}

CLIP_LAYER = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
T5_LAYER = (
    *(f"layer.0.SelfAttention.{leaf}" for leaf in "qkvo"), *(f"layer.1.DenseReluDense.{leaf}" for leaf in
                                                           ("wi_0", "wi_1", "wo")),
)  # fmt: skip
GEMMA_LAYER = (*(f"self_attn.{leaf}_proj" for leaf in "qkvo"), *(f"mlp.{leaf}_proj" for leaf in ("gate", "up", "down")))
LARGE = ("t5xxl", "gemma2_2b")
"""Trained only if asked for by name."""
# By architecture and component: kohya's prefix, where ComfyUI has it, and its layers.
TEXT = {
    "sd15": {"text_encoder": ("lora_te", "clip_l", 12)},
    # OpenCLIP's ViT-H has 24, of which the last is not used.
    "sd2": {"text_encoder": ("lora_te", "clip_h", 23)},
    "sd3": {
        "text_encoder": ("lora_te1", "clip_l", 12),
        "text_encoder_2": ("lora_te2", "clip_g", 32),
        "text_encoder_3": ("lora_te3", "t5xxl", 24),
    },
    "sdxl": {"text_encoder": ("lora_te1", "clip_l", 12), "text_encoder_2": ("lora_te2", "clip_g", 32)},
    "flux1": {"text_encoder": ("lora_te1", "clip_l", 12), "text_encoder_2": ("lora_te3", "t5xxl", 24)},
    # Language models are not trained.
    "flux2": {},
    "flux2_klein": {},
    "chroma": {"text_encoder": ("lora_te3", "t5xxl", 24)},
    "chroma_radiance": {"text_encoder": ("lora_te3", "t5xxl", 24)},
    "omnigen2": {},
    "qwen_image": {},
    "hidream": {},
    "lumina2": {"text_encoder": ("lora_te", "gemma2_2b", 26)},
    "zimage": {},
}


def unet_attentions(name: str) -> Iterator[tuple[str, str, int]]:
    """(diffusers path, original path, depth) of every spatial transformer."""
    down, middle, up = DEPTHS[name]
    for level, depth in enumerate(down):
        for turn in range(2):
            yield f"down_blocks.{level}.attentions.{turn}", f"input_blocks.{1 + 3 * level + turn}.1", depth
    yield "mid_block.attentions.0", "middle_block.1", middle
    for level, depth in enumerate(up):
        for turn in range(3):
            yield f"up_blocks.{level}.attentions.{turn}", f"output_blocks.{3 * level + turn}.1", depth


def unet_resnets(name: str) -> Iterator[tuple[str, str, bool]]:
    """(diffusers path, original path, has it a shortcut) of every residual block."""
    levels = len(DEPTHS[name][0])
    for level in range(levels):
        for turn in range(2):
            place = f"input_blocks.{1 + 3 * level + turn}.0"
            yield f"down_blocks.{level}.resnets.{turn}", place, turn == 0 and level in WIDER_LEVELS[name]
    for turn in range(2):
        yield f"mid_block.resnets.{turn}", f"middle_block.{2 * turn}", False
    for level in range(levels):
        for turn in range(3):  # their input has the channels of the way down beside it
            yield f"up_blocks.{level}.resnets.{turn}", f"output_blocks.{3 * level + turn}.0", True


def unet_layers(name: str, convolutions: bool) -> Iterator[tuple[str, str]]:
    """(diffusers path, original path) of what kohya's trainer takes of a UNet."""
    for ours, original, depth in unet_attentions(name):
        if depth:
            leaves = ["proj_in", "proj_out"]
            leaves += [f"transformer_blocks.{number}.{leaf}" for number in range(depth) for leaf in TRANSFORMER]
            yield from ((f"{ours}.{leaf}", f"{original}.{leaf}") for leaf in leaves)
    if not convolutions:
        return
    for ours, original, shortcut in unet_resnets(name):
        leaves_by_name = RESNET | ({"conv_shortcut": "skip_connection"} if shortcut else {})
        yield from ((f"{ours}.{leaf}", f"{original}.{theirs}") for leaf, theirs in leaves_by_name.items())
    up = DEPTHS[name][2]
    for level in range(len(up) - 1):
        yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{3 + 3 * level}.0.op"
        # The upsampler stands behind the block's attention, where there is one.
        yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{3 * level + 2}.{2 if up[level] else 1}.conv"


def unet_norms(name: str) -> Iterator[tuple[str, str]]:
    """(diffusers path, original path) of the normalisations in a UNet's blocks."""
    for ours, original, depth in unet_attentions(name):
        if depth:
            leaves = ["norm"]
            leaves += [f"transformer_blocks.{number}.norm{turn}" for number in range(depth) for turn in (1, 2, 3)]
            yield from ((f"{ours}.{leaf}", f"{original}.{leaf}") for leaf in leaves)
    for ours, original, _ in unet_resnets(name):
        yield from ((f"{ours}.{leaf}", f"{original}.{theirs}") for leaf, theirs in RESNET_NORMS.items())


Layers = Iterator[tuple[str, tuple[str, ...]]]
Table = dict[str, tuple[str, ...]]


def flux_layers(double: Table = FLUX_DOUBLE, single: Table = FLUX_SINGLE, counts: tuple[int, int] = (19, 38)) -> Layers:
    """(original path, diffusers paths) of what kohya's trainer takes of a Flux transformer."""
    for kind, ours, count, table in (
        ("double_blocks", "transformer_blocks", counts[0], double),
        ("single_blocks", "single_transformer_blocks", counts[1], single),
    ):
        for number in range(count):
            for leaf, parts in table.items():
                yield f"{kind}.{number}.{leaf}", tuple(f"{ours}.{number}.{part}" for part in parts)


def sd3_layers() -> Layers:
    """(original path, diffusers paths) of what kohya's trainer takes of Stable Diffusion 3.5 Medium."""
    for number in range(SD3_BLOCKS):
        table = SD3_PICTURE | SD3_TEXT_READ
        table |= SD3_SECOND if number < SD3_SECOND_ATTENTIONS else {}
        table |= SD3_TEXT_CHANGED if number < SD3_BLOCKS - 1 else {}
        for leaf, parts in table.items():
            yield f"joint_blocks.{number}.{leaf}", tuple(f"transformer_blocks.{number}.{part}" for part in parts)


def omnigen2_layers() -> Layers:
    """The same names everywhere; no reference pictures, whose layers ai-toolkit takes only when it is asked to."""
    leaves = [f"attn.to_{part}" for part in ("q", "k", "v", "out.0")]
    leaves += [f"feed_forward.linear_{number}" for number in (1, 2, 3)]
    for blocks, count in (("noise_refiner", 2), ("context_refiner", 2), ("layers", 32)):
        for number in range(count):
            # Time does not reach texts.
            for leaf in leaves + ["norm1.linear"] * (blocks != "context_refiner"):
                yield f"{blocks}.{number}.{leaf}", (f"{blocks}.{number}.{leaf}",)


QWEN_BLOCK = (
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
                                  "to_add_out")),
    *(f"{side}_mlp.net.{name}" for side in ("img", "txt") for name in ("0.proj", "2")),
)  # fmt: skip


def qwen_layers() -> Layers:
    """(original path, diffusers paths), which are the same, of what musubi-tuner takes of Qwen-Image."""
    for number in range(60):
        for leaf in QWEN_BLOCK:
            path = f"transformer_blocks.{number}.{leaf}"
            yield path, (path,)


HIDREAM_SINGLE = (
    *(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out")),
    *(f"ff_i.shared_experts.{name}" for name in ("w1", "w2", "w3")),
)
HIDREAM_DOUBLE = (
    *HIDREAM_SINGLE,
    *(f"attn1.{name}_t" for name in ("to_q", "to_k", "to_v", "to_out")),
    *(f"ff_t.{name}" for name in ("w1", "w2", "w3")),
)


def hidream_layers() -> Layers:
    """(original path, diffusers paths), which are the same; ai-toolkit's form leaves the routed experts out, too."""
    for kind, count, leaves in (("double", 16, HIDREAM_DOUBLE), ("single", 32, HIDREAM_SINGLE)):
        for number in range(count):
            for leaf in leaves:
                path = f"{kind}_stream_blocks.{number}.block.{leaf}"
                yield path, (path,)


def nextdit_layers(tables: dict[str, tuple[int, Table]]) -> Layers:
    """(original path, diffusers paths) of the blocks of each kind: their number, and what is trained in each."""
    for kind, (count, table) in tables.items():
        for number in range(count):
            for leaf, parts in table.items():
                yield f"{kind}.{number}.{leaf}", tuple(f"{kind}.{number}.{part}" for part in parts)


SWAPPED = {"transformer.transformer_blocks.23.norm1_context.linear"}
"""Layers whose rows diffusers has in another order than the original model (shift and scale)."""

TRANSFORMERS = {
    "flux1": flux_layers,
    "sd3": sd3_layers,
    "flux2": lambda: flux_layers(FLUX2_DOUBLE, FLUX2_SINGLE, (8, 48)),
    "flux2_klein": lambda: flux_layers(FLUX2_DOUBLE, FLUX2_SINGLE, (5, 20)),
    "chroma": lambda: flux_layers(CHROMA_DOUBLE, CHROMA_SINGLE),
    "chroma_radiance": lambda: flux_layers(CHROMA_DOUBLE, CHROMA_SINGLE),
    "omnigen2": omnigen2_layers,
    "qwen_image": qwen_layers,
    "hidream": hidream_layers,
    "lumina2": lambda: nextdit_layers(
        {"layers": (26, LUMINA2_BLOCK), "noise_refiner": (2, LUMINA2_BLOCK), "context_refiner": (2, LUMINA2_TEXT_BLOCK)}
    ),
    "zimage": lambda: nextdit_layers({"layers": (30, ZIMAGE_BLOCK)}),
}
"""Those that have a transformer in place of a UNet."""
NATIVE_IN_AITOOLKIT = {"flux2", "flux2_klein", "chroma", "chroma_radiance", "omnigen2", "qwen_image", "hidream"}
"""ai-toolkit has its own code for these, under the original names."""
PREFIXED_IN_AITOOLKIT = {"zimage"}
"""ai-toolkit has diffusers' names of these behind `diffusion_model.`."""
NOT_FUSED_BY_KOHYA = {"zimage"}
"""kohya's keys (musubi-tuner writes them) have diffusers' names of these."""

# An architecture may also bring all of this in its file in tests/tiny (docs/how-to-add/architecture.md).
OWN = {name: module.PUBLISHED for name, module in MODULES.items() if hasattr(module, "PUBLISHED")}
TRANSFORMERS |= {name: functools.partial(iter, published.layers) for name, published in OWN.items()}
TEXT |= {name: published.text for name, published in OWN.items()}
NATIVE_IN_AITOOLKIT |= {name for name, published in OWN.items() if published.native_in_aitoolkit}


def flat(prefix: str, path: str) -> str:
    return f"{prefix}_{path.replace('.', '_')}"


def _unet_names(name: str, dialect: str, pairs: Iterator[tuple[str, str]]) -> Names:
    names = {}
    for ours, original in pairs:
        kohya = flat("lora_unet", original if name == "sdxl" else ours)
        names[{"kohya": kohya, "aitoolkit": kohya, "diffusers": f"unet.{ours}",
               "comfyui": f"diffusion_model.{original}"}[dialect]] = (f"unet.{ours}",)  # fmt: skip
    return names


def _transformer_names(name: str, dialect: str, layers: Layers) -> Names:
    names: Names = {}
    for original, parts in layers:
        paths = tuple(f"transformer.{part}" for part in parts)
        if dialect == "kohya" and name in NOT_FUSED_BY_KOHYA:
            names |= {flat("lora_unet", part): (f"transformer.{part}",) for part in parts}
        elif dialect == "aitoolkit" and name in PREFIXED_IN_AITOOLKIT:
            names |= {f"diffusion_model.{part}": (f"transformer.{part}",) for part in parts}
        elif dialect in ("kohya", "comfyui") or (dialect == "aitoolkit" and name in NATIVE_IN_AITOOLKIT):
            fused = flat("lora_unet", original) if dialect == "kohya" else f"diffusion_model.{original}"
            names[fused] = paths
        else:
            names |= {path: (path,) for path in paths}
    return names


def text_names(name: str, component: str, dialect: str, leaves: tuple[str, ...] | None = None) -> Names:
    """The layers of one text encoder; `leaves` are others than the usual ones inside each of its blocks."""
    prefix, comfyui, count = TEXT[name][component]
    is_t5, is_gemma = comfyui == "t5xxl", comfyui == "gemma2_2b"
    leaves = leaves or (T5_LAYER if is_t5 else GEMMA_LAYER if is_gemma else CLIP_LAYER)
    names = {}
    for number in range(count):
        for leaf in leaves:
            inside = f"encoder.block.{number}.{leaf}" if is_t5 else f"encoder.layers.{number}.{leaf}"
            inside = f"layers.{number}.{leaf}" if is_gemma else inside
            said = inside if is_t5 or is_gemma else f"text_model.{inside}"
            kohya = flat(prefix, said)
            if dialect == "kohya" or (dialect == "aitoolkit" and name not in TRANSFORMERS):
                given = kohya
            elif dialect == "comfyui" or (dialect == "aitoolkit" and name in NATIVE_IN_AITOOLKIT):
                given = f"text_encoders.{comfyui}.transformer.{'model.' if is_gemma else ''}{said}"
            else:
                given = f"{component}.{said}"
            names[given] = (f"{component}.{inside}",)
    return names


def denoiser_names(name: str, dialect: str, *, convolutions: bool = False) -> Names:
    """The layers of the UNet or transformer that are trained by default; with `convolutions` those of LoCon."""
    if name in TRANSFORMERS:
        return _transformer_names(name, dialect, TRANSFORMERS[name]())
    return _unet_names(name, dialect, unet_layers(name, convolutions))


def norm_names(name: str, dialect: str) -> Names:
    """The normalisations in a UNet's blocks."""
    return _unet_names(name, dialect, unet_norms(name))


def names_of(name: str, dialect: str, *, convolutions: bool = False, text: bool = False, large: bool = False) -> Names:
    """Every layer of a LoRA file: of the denoiser and, if asked, of the CLIP and of the T5 text encoders."""
    names = denoiser_names(name, dialect, convolutions=convolutions)
    for component, (_, comfyui, _) in TEXT[name].items():
        if large if comfyui in LARGE else text:
            names |= text_names(name, component, dialect)
    return names
