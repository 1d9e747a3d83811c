"""What Flux.2 dev and klein have in common."""

from __future__ import annotations

from loratory.config.architectures.base import TensorTest

LAYER_GROUPS = {
    # A single block has one layer for q, k, v and the way into the MLP, and one for the ways out of both.
    r"transformer_blocks\.\d+\.attn\.(to|add)_": "attention",
    r"transformer_blocks\.\d+\.ff(_context)?\.": "mlp",
    r"^transformer\.\w+_stream_modulation": "modulation",
}
SHARED_INPUTS = (r"(.*\.attn)\.to_[qkv]", r"(.*\.attn)\.add_[qkv]_proj")


def original_names(*, guided: bool) -> tuple[TensorTest, ...]:
    """128 input channels are 32 latent channels in patches of 2x2; modulation is one layer for all blocks of a kind."""
    return (
        TensorTest("img_in.weight", axis=1, size=128),
        TensorTest("double_stream_modulation_img.lin.weight"),
        TensorTest("double_blocks.0.img_attn.qkv.weight"),
        TensorTest("single_blocks.0.linear1.weight"),
        TensorTest("guidance_in.in_layer.weight", absent=not guided),
    )


def diffusers_names(*, guided: bool) -> tuple[TensorTest, ...]:
    """The same under diffusers' names."""
    return (
        TensorTest("x_embedder.weight", axis=1, size=128),
        TensorTest("double_stream_modulation_img.linear.weight"),
        TensorTest("transformer_blocks.0.attn.add_q_proj.weight"),
        TensorTest("single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight"),
        TensorTest("time_guidance_embed.guidance_embedder.linear_1.weight", absent=not guided),
    )
