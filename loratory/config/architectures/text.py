"""What text encoders have in common, whatever model they belong to."""

from __future__ import annotations

CLIP_SHARED_INPUT = r"(.*\.self_attn)\.[qkv]_proj"
T5_SHARED_INPUT = r"(.*\.layer\.\d+)\.(?:SelfAttention\.[qkv]|DenseReluDense\.wi_[01])"
