"""The kept files for Flux.1's relatives, Flux.2, Chroma and Chroma Radiance, and for OmniGen2; see `make.py`."""

from __future__ import annotations

from tests.compat.files.make import FILES, PEFT, Made, kept
from tests.compat.files.others import ADDED_QKV, DOUBLE, LINEAR1, QKV, SINGLE, fused

__all__ = ["FILES"]

# In Flux.2 the ways into a single block's attention and MLP are one layer: 3 widths, and 2 of 3 for the gated MLP.
INTO, OUT_OF = f"{SINGLE}.attn.to_qkv_mlp_proj", f"{SINGLE}.attn.to_out"


@kept
def flux2_musubi(made: Made) -> None:
    """musubi-tuner: kohya's names of the fused layers."""
    made.metadata |= {"ss_network_module": "networks.lora_flux_2", "ss_base_model_version": "flux_2_dev"}
    fused(made, "lora_unet_double_blocks_0_img_attn_qkv", QKV, 4, 2.0)
    made.lora("lora_unet_double_blocks_0_txt_mlp_0", f"{DOUBLE}.ff_context.linear_in", (384, 64), 2, 1.0)
    made.lora("lora_unet_single_blocks_1_linear1", INTO, (576, 64), 4, 2.0)
    made.lora("lora_unet_single_blocks_1_linear2", OUT_OF, (64, 256), 4, 1.0)


@kept
def flux2_diffusers(made: Made) -> None:
    """save_lora_weights: the single blocks' layers stay fused."""
    made.lora(f"{DOUBLE}.attn.to_k", f"{DOUBLE}.attn.to_k", (64, 64), 4, suffixes=PEFT)
    made.lora(INTO, INTO, (576, 64), 4, suffixes=PEFT)
    made.lora(f"{DOUBLE}.ff.linear_out", f"{DOUBLE}.ff.linear_out", (64, 192), 2, suffixes=PEFT)


@kept
def flux2_klein__aitoolkit(made: Made) -> None:
    """ai-toolkit: original names behind `diffusion_model.`, PEFT's suffixes, no alpha."""
    fused(made, "diffusion_model.double_blocks.0.txt_attn.qkv", ADDED_QKV, 4, None, PEFT)
    made.lora("diffusion_model.double_blocks.0.img_mlp.2", f"{DOUBLE}.ff.linear_out", (64, 192), 4, suffixes=PEFT)
    made.lora("diffusion_model.single_blocks.1.linear1", INTO, (576, 64), 4, suffixes=PEFT)


@kept
def chroma_kohya(made: Made) -> None:
    """sd-scripts: as Flux.1 without modulation."""
    made.metadata |= {"ss_network_module": "networks.lora_flux", "ss_base_model_version": "chroma"}
    fused(made, "lora_unet_double_blocks_0_img_attn_qkv", QKV, 4, 2.0)
    made.lora("lora_unet_double_blocks_0_txt_mlp_2", f"{DOUBLE}.ff_context.net.2", (32, 128), 4, 1.0)
    fused(made, "lora_unet_single_blocks_1_linear1", LINEAR1, 2, 2.0)


@kept
def chroma_radiance__aitoolkit(made: Made) -> None:
    """ai-toolkit: original names behind `diffusion_model.`, PEFT's suffixes, no alpha."""
    fused(made, "diffusion_model.double_blocks.0.img_attn.qkv", QKV, 4, None, PEFT)
    made.lora("diffusion_model.single_blocks.1.linear2", f"{SINGLE}.proj_out", (64, 320), 4, suffixes=PEFT)


@kept
def omnigen2_aitoolkit(made: Made) -> None:
    """ai-toolkit: the authors' names behind `diffusion_model.`, PEFT's suffixes, no alpha."""
    for leaf, shape in (("attn.to_k", (32, 64)), ("feed_forward.linear_2", (64, 256)), ("norm1.linear", (256, 64))):
        made.lora(f"diffusion_model.layers.1.{leaf}", f"transformer.layers.1.{leaf}", shape, 1, suffixes=PEFT)
    refined = "context_refiner.0.feed_forward.linear_3"
    made.lora(f"diffusion_model.{refined}", f"transformer.{refined}", (256, 64), 1, suffixes=PEFT)


@kept
def omnigen2_bare(made: Made) -> None:
    """The authors' own trainer, by way of PEFT: attention alone, without any prefix."""
    for leaf, shape in (("to_q", (64, 64)), ("to_v", (32, 64)), ("to_out.0", (64, 64))):
        name = f"layers.0.attn.{leaf}"
        made.lora(name, f"transformer.{name}", shape, 2, suffixes=PEFT)
