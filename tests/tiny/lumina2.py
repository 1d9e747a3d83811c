"""A Lumina-Image 2 of some hundred thousand parameters: two blocks, and one each that refines noise and text."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel

from tests.tiny import _nextdit, _original, _parts

LAYOUTS = (*_nextdit.LAYOUTS, "everything")
WIDTH = 40


def build(folder: Path) -> Path:
    """Keys and values have half as many heads as queries, so that the parts of a fused layer differ."""
    torch.manual_seed(38)
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        hidden_size=64,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        ffn_dim_multiplier=0.55,
        axes_dim_rope=(8, 4, 4),
        axes_lens=(300, 64, 64),
        cap_feat_dim=WIDTH,
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    text_encoder = _parts.gemma2_text_encoder(WIDTH)
    _parts.stir(transformer, vae, text_encoder)
    Lumina2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.gemma_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


_INSIDE = {
    "attn.to_q.": "attention.qkv.", "attn.to_out.0.": "attention.out.", "attn.norm_q.": "attention.q_norm.",
    "attn.norm_k.": "attention.k_norm.", "feed_forward.linear_": "feed_forward.w", "norm1.norm.": "attention_norm1.",
    "norm1.linear.": "adaLN_modulation.1.", "norm1.": "attention_norm1.", "norm2.": "attention_norm2.",
}  # fmt: skip
_OUTSIDE = {
    "time_caption_embed.caption_embedder.": "cap_embedder.",
    "time_caption_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_caption_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "norm_out.linear_1.": "final_layer.adaLN_modulation.1.",
    "norm_out.linear_2.": "final_layer.linear.",
}


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """As Alpha-VLLM's and ComfyUI's files have them."""
    return _nextdit.fused(ours, _INSIDE, _OUTSIDE)


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer; `original_prefixed` as ComfyUI saves it; `everything` as ComfyUI's whole checkpoint."""
    tensors = _original.component(folder, "transformer")[0]
    if layout != "diffusers":
        tensors = original_names(tensors)
    if layout in ("original_prefixed", "everything"):
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    if layout == "everything":
        gemma = _original.component(folder, "text_encoder")[0]
        tensors |= _original.prefixed("text_encoders.gemma2_2b.transformer.model.", gemma)
        tensors["text_encoders.gemma2_2b.spiece_model"] = torch.zeros(11, dtype=torch.uint8)
        tensors |= _original.prefixed("vae.", _original.autoencoder(_original.component(folder, "vae")[0], 4))
    return _original.write(tensors, out)
