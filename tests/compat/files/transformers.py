"""The kept files for transformers whose original names are diffusers' own; see `make.py`."""

from __future__ import annotations

from tests.compat.files.make import ADAPTER, FILES, PEFT, Made, flat, kept

__all__ = ["FILES"]

QWEN = "transformer_blocks.0"
HIDREAM_DOUBLE, HIDREAM_SINGLE = "double_stream_blocks.0.block", "single_stream_blocks.1.block"


@kept
def qwen_image__musubi(made: Made) -> None:
    """musubi-tuner: kohya's way of writing the names, with alpha."""
    made.metadata |= {"ss_network_module": "networks.lora_qwen_image", "ss_base_model_version": "qwen_image"}
    for path, shape, rank in (
        (f"{QWEN}.attn.to_q", (48, 48), 4),
        (f"{QWEN}.attn.add_k_proj", (48, 48), 4),
        ("transformer_blocks.1.img_mlp.net.0.proj", (192, 48), 2),
    ):
        made.lora(flat("lora_unet", path), f"transformer.{path}", shape, rank, 2.0)


@kept
def qwen_image__aitoolkit(made: Made) -> None:
    """ai-toolkit: behind `diffusion_model.`, PEFT's suffixes, no alpha; modulation is trained, too."""
    for path, shape in (
        (f"{QWEN}.attn.to_out.0", (48, 48)),
        (f"{QWEN}.txt_mlp.net.2", (48, 192)),
        (f"{QWEN}.img_mod.1", (288, 48)),
    ):
        made.lora(f"diffusion_model.{path}", f"transformer.{path}", shape, 4, suffixes=PEFT)


@kept
def qwen_image__lightning(made: Made) -> None:
    """Qwen-Image-Lightning: bare names, with an adapter's name and an alpha."""
    for leaf in ("to_q", "to_add_out"):
        name = f"{QWEN}.attn.{leaf}"
        made.lora(name, f"transformer.{name}", (48, 48), 4, 2.0, suffixes=ADAPTER)


@kept
def hidream_aitoolkit(made: Made) -> None:
    """ai-toolkit: behind `diffusion_model.`, PEFT's suffixes, no alpha; with one of the routed experts."""
    for path, shape in (
        (f"{HIDREAM_DOUBLE}.attn1.to_q", (32, 32)),
        (f"{HIDREAM_DOUBLE}.ff_i.shared_experts.w1", (256, 32)),
        (f"{HIDREAM_SINGLE}.attn1.to_out", (32, 32)),
        (f"{HIDREAM_SINGLE}.ff_i.experts.2.w2", (32, 256)),
    ):
        made.lora(f"diffusion_model.{path}", f"transformer.{path}", shape, 4, suffixes=PEFT)


@kept
def hidream_kohya(made: Made) -> None:
    """kohya's way of writing the names, with alpha, as ComfyUI reads it."""
    for path, shape in ((f"{HIDREAM_DOUBLE}.attn1.to_k_t", (32, 32)), (f"{HIDREAM_DOUBLE}.ff_t.w3", (256, 32))):
        made.lora(flat("lora_unet", path), f"transformer.{path}", shape, 4, 2.0)
