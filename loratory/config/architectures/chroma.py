"""What Chroma and Chroma Radiance have in common."""

from __future__ import annotations

from loratory.config.architectures.text import T5_SHARED_INPUT

LAYER_GROUPS = {
    r"attn\.(to|add)_|SelfAttention\.": "attention",
    r"\.ff(_context)?\.|\.proj_mlp|single_transformer_blocks\.\d+\.proj_out|DenseReluDense\.": "mlp",
    # All modulation comes out of it; trainers leave it alone.
    r"^transformer\.distilled_guidance_layer\.": "modulation",
}
SHARED_INPUTS = (
    r"(.*\.single_transformer_blocks\.\d+)\.(?:attn\.to_[qkv]|proj_mlp)",
    r"(.*\.attn)\.to_[qkv]",
    r"(.*\.attn)\.add_[qkv]_proj",
    T5_SHARED_INPUT,
)
