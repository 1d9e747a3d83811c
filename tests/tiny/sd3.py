"""A Stable Diffusion 3.5 Medium of some hundred thousand parameters: three blocks, two of them with a second attention.

`build(kind=...)` makes the other kinds: `medium` norms no queries and keys, `5-large` has no second attention.
"""

import re
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

from tests.tiny import _original, _parts

WIDTH, WIDTH_2, WIDTH_T5 = 24, 16, 48
LAYOUTS = ("original", "bundle", "transformer_only", "diffusers")
KINDS = {
    "medium": {"qk_norm": None, "dual_attention_layers": ()},
    "5-medium": {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)},
    "5-large": {"qk_norm": "rms_norm", "dual_attention_layers": ()},
}


def build(folder: Path, *, kind: str = "5-medium", t5: bool = True) -> Path:
    torch.manual_seed(35)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=WIDTH_T5,
        caption_projection_dim=32,
        pooled_projection_dim=WIDTH + WIDTH_2,
        pos_embed_max_size=12,
        **KINDS[kind],
    )
    vae = _parts.autoencoder(latent_channels=16, scale=1.5305, shift=0.0609, quantised=False)
    text_encoder = _parts.clip_text_encoder(WIDTH, projection=WIDTH, hidden_act="quick_gelu")
    text_encoder_2 = _parts.clip_text_encoder(WIDTH_2, projection=WIDTH_2)
    text_encoder_3 = _parts.t5_text_encoder(WIDTH_T5)
    _parts.stir(transformer, vae, text_encoder, text_encoder_2, text_encoder_3)
    # The published table is made by a formula; another one shows that it is read and not made anew.
    transformer.pos_embed.pos_embed += 0.1 * torch.randn_like(transformer.pos_embed.pos_embed)
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=_parts.clip_tokenizer(pad="!"),
        text_encoder_3=text_encoder_3 if t5 else None,
        tokenizer_3=_parts.t5_tokenizer() if t5 else None,
    ).save_pretrained(folder)
    return folder


_BLOCK = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "x_block.attn.proj": ("attn.to_out.0",),
    "x_block.attn.ln_q": ("attn.norm_q",),
    "x_block.attn.ln_k": ("attn.norm_k",),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "x_block.attn2.proj": ("attn2.to_out.0",),
    "x_block.attn2.ln_q": ("attn2.norm_q",),
    "x_block.attn2.ln_k": ("attn2.norm_k",),
    "x_block.mlp.fc1": ("ff.net.0.proj",),
    "x_block.mlp.fc2": ("ff.net.2",),
    "x_block.adaLN_modulation.1": ("norm1.linear",),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "context_block.attn.proj": ("attn.to_add_out",),
    "context_block.attn.ln_q": ("attn.norm_added_q",),
    "context_block.attn.ln_k": ("attn.norm_added_k",),
    "context_block.mlp.fc1": ("ff_context.net.0.proj",),
    "context_block.mlp.fc2": ("ff_context.net.2",),
    "context_block.adaLN_modulation.1": ("norm1_context.linear",),
}
_AROUND = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
}


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """Stability's names and fused matrices. (`pos_embed` only where it is among the tensors: it is no parameter.)"""
    result = {"pos_embed": ours["pos_embed.pos_embed"]} if "pos_embed.pos_embed" in ours else {}
    for kind in ("weight", "bias"):
        result |= {f"{theirs}.{kind}": ours[f"{name}.{kind}"] for theirs, name in _AROUND.items()}
        result[f"final_layer.adaLN_modulation.1.{kind}"] = _halves_swapped(ours[f"norm_out.linear.{kind}"])
    last = max(int(match[1]) for name in ours if (match := re.match(r"transformer_blocks\.(\d+)\.", name)))
    for number in range(last + 1):
        for theirs, names in _BLOCK.items():
            for kind in ("weight", "bias"):
                found = [ours.get(f"transformer_blocks.{number}.{name}.{kind}") for name in names]
                if found[0] is not None:
                    result[f"joint_blocks.{number}.{theirs}.{kind}"] = torch.cat(found)
    for kind in ("weight", "bias"):
        # The last block's text has no gate; there as in the last layer shift stands before scale.
        name = f"joint_blocks.{last}.context_block.adaLN_modulation.1.{kind}"
        result[name] = _halves_swapped(result[name])
    return result


def _halves_swapped(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat(tensor.chunk(2)[::-1])


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """`original`: transformer and autoencoder, as the 3.5 models are published; `bundle`: with all text encoders, as
    `sd3_medium_incl_clips_t5xxlfp16` is.
    """
    transformer = _original.component(folder, "transformer")[0]
    if layout == "diffusers":
        return _original.write(transformer, out)
    if layout == "transformer_only":
        return _original.write(original_names(transformer), out)
    vae, vae_config = _original.component(folder, "vae")
    tensors = _original.prefixed("model.diffusion_model.", original_names(transformer)) | _original.prefixed(
        "first_stage_model.", _original.autoencoder(vae, len(vae_config["block_out_channels"]))
    )
    if layout == "bundle":
        for name, ours in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2"), ("t5xxl", "text_encoder_3")):
            tensors |= _original.prefixed(f"text_encoders.{name}.transformer.", _original.component(folder, ours)[0])
    return _original.write(tensors, out)
