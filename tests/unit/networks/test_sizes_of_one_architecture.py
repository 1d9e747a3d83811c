"""A LoRA of any size of an architecture is recognised and rewritten, though its layers differ from the usual size's."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory.networks.formats.origin import architecture_of
from loratory.postprocess.convert import convert_lora

WIDTH = {"medium": 1536, "5-medium": 1536, "5-large": 2432}
# What only this size has, as kohya's trainer names it: (outputs in widths, inputs in widths).
LAYERS = {
    "medium": {"joint_blocks_0_x_block_adaLN_modulation_1": (6, 1), "joint_blocks_23_context_block_attn_qkv": (3, 1)},
    "5-medium": {"joint_blocks_0_x_block_adaLN_modulation_1": (9, 1), "joint_blocks_12_x_block_attn2_qkv": (3, 1)},
    "5-large": {"joint_blocks_37_x_block_mlp_fc1": (4, 1), "joint_blocks_37_context_block_adaLN_modulation_1": (2, 1)},
}


@pytest.mark.parametrize("size", LAYERS)
def test_a_lora_of_any_size_is_rewritten(size: str, tmp_path: Path) -> None:
    """The text encoder's layer belongs to all of them."""
    width = WIDTH[size]
    shapes = {f"lora_unet_{name}": (out * width, into * width) for name, (out, into) in LAYERS[size].items()}
    shapes["lora_te2_text_model_encoder_layers_31_mlp_fc2"] = (1280, 5120)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (outputs, inputs) in shapes.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(2, inputs, generator=generator)
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, 2, generator=generator)
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
    files = [tmp_path / f"{name}.safetensors" for name in ("kohya", "diffusers", "again")]
    save_file(tensors, files[0])
    said = convert_lora(files[0], files[1], "diffusers")
    assert "Stable Diffusion 3" in said
    convert_lora(files[1], files[2], "kohya")
    again = load_file(files[2])
    assert again.keys() == tensors.keys()
    for name in shapes:
        change, wanted = (
            float(file[f"{name}.alpha"]) / len(file[f"{name}.lora_down.weight"])
            * file[f"{name}.lora_up.weight"] @ (file[f"{name}.lora_down.weight"][:, :50])
            for file in (again, tensors)
        )  # fmt: skip
        torch.testing.assert_close(change, wanted)


def test_layers_that_two_models_have_alike_are_taken_for_the_first_ones() -> None:
    """The first attentions of Stable Diffusion 1.5 and 2 read pictures only and have the same sizes in both."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn"
    alike = {f"{name}1_to_q.lora_down.weight": torch.zeros(4, 320), f"{name}1_to_q.lora_up.weight": torch.zeros(320, 4)}
    of_two = {f"{name}2_to_k.lora_down.weight": torch.zeros(4, 1024)}
    for tensors, wanted in ((alike, "sd15"), (alike | of_two, "sd2")):
        found = architecture_of(tensors)
        assert found is not None and found.name == wanted
