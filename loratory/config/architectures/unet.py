"""What the UNets of Stable Diffusion share: what their layers are for, and which of them read the same input."""

from __future__ import annotations

from loratory.config.architectures.text import CLIP_SHARED_INPUT

LAYER_GROUPS = {
    r"\.attn[12]\.|self_attn\.": "attention",
    r"\.ff\.|\.mlp\.": "mlp",
    r"attentions\.\d+\.proj_(in|out)": "projection",
    r"resnets\.": "resnet",
    r"(down|up)samplers\.": "sampler",
}
TRAINED_GROUPS = ("attention", "mlp", "projection")
CONVOLUTION_GROUPS = ("resnet", "sampler")
BLOCK_PATTERN = r"(input_blocks|output_blocks)\.\d+|middle_block"
SHARED_INPUTS = (r"(.*\.attn1)\.to_[qkv]", r"(.*\.attn2)\.to_[kv]", CLIP_SHARED_INPUT)
