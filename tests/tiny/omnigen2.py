"""An OmniGen2 of some hundred thousand parameters, in the folder layout that its authors publish."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from loratory.models.common.omnigen2 import OmniGen2Pipeline, OmniGen2Transformer2DModel, scheduler_of
from tests.tiny import _original, _parts

LAYOUTS = ("original", "original_prefixed")
INDEX = {
    "_class_name": "OmniGen2Pipeline",
    "mllm": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "processor": ["transformers", "Qwen2_5_VLProcessor"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "transformer": ["transformer_omnigen2", "OmniGen2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "dynamic_time_shift": True, "num_train_timesteps": 1000}
WIDTH = 32


def build(folder: Path) -> Path:
    """diffusers knows no such pipeline: the parts are written one by one."""
    torch.manual_seed(35)
    transformer = OmniGen2Transformer2DModel(
        hidden_size=64,
        num_layers=2,
        num_refiner_layers=2,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=8,
        axes_dim_rope=(8, 4, 4),
        axes_lens=(1024, 1024, 1024),
        text_feat_dim=WIDTH,
    )
    vae = _parts.autoencoder(latent_channels=16, scale=0.3611, shift=0.1159, quantised=False)
    mllm = _parts.qwen25_vl_language_model(WIDTH, tied=True)
    _parts.stir(transformer, vae, mllm)
    for name, module in {"transformer": transformer, "vae": vae, "mllm": mllm}.items():
        module.save_pretrained(folder / name)
    _parts.chat_tokenizer().save_pretrained(folder / "processor")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER), encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    return folder


def theirs(folder: Path) -> OmniGen2Pipeline:
    """The parts as their libraries load them."""
    mllm = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "mllm", dtype=torch.float32)
    transformer = OmniGen2Transformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32)
    return OmniGen2Pipeline(
        transformer=transformer.eval(),
        vae=AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval(),
        scheduler=scheduler_of(SCHEDULER),
        mllm=mllm.eval(),
        processor=AutoTokenizer.from_pretrained(folder / "processor"),
    )


def original_names(ours: _original.Tensors) -> _original.Tensors:
    """The names here are its authors'."""
    return dict(ours)


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """Only the transformer, as it is published; `original_prefixed` as ComfyUI saves it."""
    tensors = _original.component(folder, "transformer")[0]
    if layout == "original_prefixed":
        tensors = _original.prefixed("model.diffusion_model.", tensors)
    return _original.write(tensors, out)
