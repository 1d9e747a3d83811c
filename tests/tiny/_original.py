"""From diffusers' and transformers' names to those of the original programs: SD 1.x, SDXL, their autoencoder and CLIP.

Written from the published name tables. Works on tensors and, for headers, on meta tensors.
"""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def component(folder: Path, name: str) -> tuple[Tensors, dict]:
    """Tensors and config of one component of a folder in diffusers layout."""
    (weights,) = (folder / name).glob("*.safetensors")
    return load_file(weights), json.loads((folder / name / "config.json").read_text(encoding="utf-8"))


def unet(tensors: Tensors, layers_per_block: int) -> Tensors:
    n = layers_per_block
    with_attention = {int(m[1]) for name in tensors if (m := re.match(r"up_blocks\.(\d+)\.attentions\.", name))}

    def place(name: str) -> str:
        for ours, theirs in _UNET_TOP.items():
            if name.startswith(ours + "."):
                return theirs + name.removeprefix(ours)
        if m := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
            block = "middle_block.1" if m[1] == "attentions" else f"middle_block.{2 * int(m[2])}"
            return f"{block}.{_leaf(m[1], m[3])}"
        m = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
        assert m, name
        level, kind, number = int(m[2]), m[3], int(m[4])
        if kind == "downsamplers":
            return f"input_blocks.{(n + 1) * (level + 1)}.0.op.{m[5].removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{(n + 1) * level + n}.{2 if level in with_attention else 1}.{m[5]}"
        slot = 0 if kind == "resnets" else 1
        if m[1] == "down":
            return f"input_blocks.{1 + (n + 1) * level + number}.{slot}.{_leaf(kind, m[5])}"
        return f"output_blocks.{(n + 1) * level + number}.{slot}.{_leaf(kind, m[5])}"

    return {place(name): tensor for name, tensor in tensors.items()}


def _leaf(kind: str, leaf: str) -> str:
    if kind == "attentions":
        return leaf
    module, _, rest = leaf.partition(".")
    return f"{_RESNET[module]}.{rest}"


_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def autoencoder(tensors: Tensors, levels: int) -> Tensors:
    result = {}
    for name, tensor in tensors.items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        new = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", new)
        new = re.sub(r"down_blocks\.(\d+)\.", r"down.\1.", new)
        new = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", new)
        new = re.sub(r"up_blocks\.(\d+)\.", lambda m: f"up.{levels - 1 - int(m[1])}.", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        if ".mid_block.attentions.0." in new:
            for ours, theirs in _VAE_ATTENTION.items():
                new = new.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        result[new] = tensor
    return result


def clip(tensors: Tensors) -> Tensors:
    """OpenAI's CLIP keeps transformers' names, all with `text_model.`, and older files carry position ids."""
    named = {"text_model." + name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    return named | {"text_model.embeddings.position_ids": torch.arange(77)[None]}


_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def open_clip(tensors: Tensors) -> Tensors:
    plain = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    result = {
        "token_embedding.weight": plain["embeddings.token_embedding.weight"],
        "positional_embedding": plain["embeddings.position_embedding.weight"],
        "ln_final.weight": plain["final_layer_norm.weight"],
        "ln_final.bias": plain["final_layer_norm.bias"],
        "text_projection": plain["text_projection.weight"].T.contiguous(),
        "logit_scale": torch.tensor(4.6),
    }
    layers = 1 + max(int(name.split(".")[2]) for name in plain if name.startswith("encoder.layers."))
    for i in range(layers):
        ours, theirs = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
        for kind in ("weight", "bias"):
            parts = [plain[f"{ours}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            result[f"{theirs}attn.in_proj_{kind}"] = torch.cat(parts)
            for module, name in _OPEN_CLIP.items():
                result[f"{theirs}{name}.{kind}"] = plain[f"{ours}{module}.{kind}"]
    return result


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor.contiguous() for name, tensor in tensors.items()}


def unet_and_vae(folder: Path) -> Tensors:
    """What the files of SD 1.x and SDXL have in common."""
    unet_tensors, unet_config = component(folder, "unet")
    vae_tensors, vae_config = component(folder, "vae")
    return prefixed("model.diffusion_model.", unet(unet_tensors, unet_config["layers_per_block"])) | prefixed(
        "first_stage_model.", autoencoder(vae_tensors, len(vae_config["block_out_channels"]))
    )


def write(tensors: Tensors, out: Path) -> Path:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, out, metadata={"format": "pt"})
    return out
