"""What two programs with forms save: kohya_ss and LoRA_Easy_Training_Scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loratory.config.load import parse
from loratory.errors import UserError
from tests.unit.interop.kohya.helpers import folder_of_pictures, one, said

# kohya_ss ---------------------------------------------------------------------------------------------------------

FORM: dict[str, Any] = {
    "LoRA_type": "LyCORIS/LoHa", "LyCORIS_preset": "attn-mlp", "sdxl": True, "flux1_checkbox": False,
    "pretrained_model_name_or_path": "some/model", "train_data_dir": "/x", "max_resolution": "1024,1024",
    "network_dim": 8, "network_alpha": 4, "conv_dim": 4, "conv_alpha": 2, "dora_wd": True, "factor": -1, "unit": 1,
    "optimizer": "AdamW8bit", "optimizer_args": "weight_decay=0.1 betas=0.9,0.99", "learning_rate": 0.001,
    "text_encoder_lr": 0, "unet_lr": 0.0005, "lr_scheduler": "cosine", "lr_warmup": 10, "epoch": 4,
    "max_train_steps": 0, "max_train_epochs": "", "train_batch_size": 2, "max_grad_norm": 0, "seed": "1234",
    "noise_offset_type": "Multires", "noise_offset": 0.1, "multires_noise_iterations": 6,
    "multires_noise_discount": 0.2,
    "sdxl_no_half_vae": True, "sdxl_cache_text_encoder_outputs": True, "flux1_cache_text_encoder_outputs": True,
    "xformers": "sdpa", "sample_prompts": "a dog --w 512\n\n# no\na cat", "sample_every_n_steps": 50,
    "num_processes": 1, "gpu_ids": "", "caption_extension": ".txt", "enable_bucket": True, "bucket_no_upscale": True,
    "additional_parameters": "--network_dropout 0.1", "keep_tokens": "0", "wandb_api_key": "",
}  # fmt: skip


def test_settings_of_kohya_ss(tmp_path: Path) -> None:
    folder_of_pictures(tmp_path, "3_dog/1.png", "3_dog/2.jpg", "3_dog/1.txt")
    found = one(json.dumps(FORM | {"train_data_dir": tmp_path.as_posix()}), "form.json")
    data = found.data
    assert data["model"] | {"path": ""} == {
        "architecture": "sdxl", "path": "", "prediction_type": "epsilon", "vae_precision": "fp32",
    }  # fmt: skip
    assert data["network"] == {
        "type": "loha", "rank": 8, "alpha": 4.0, "conv_rank": 4, "conv_alpha": 2.0, "decompose": True,
        "targets": {"preset": "attn-mlp"}, "train_denoiser": True, "train_text_encoders": False, "dropout": 0.1,
    }  # fmt: skip
    assert data["optimizer"]["learning_rate"] == 0.0005
    assert data["optimizer"]["max_grad_norm"] == 1.0  # the form drops a 0
    assert said(found, "max_grad_norm")[0][0] == "dead"
    assert data["optimizer"]["beta2"] == 0.99
    assert data["schedule"] == {"type": "cosine", "warmup_ratio": 0.1}
    assert data["duration"] == {"steps": 12}  # 3 repeats of 2 pictures, in twos, 4 times
    assert data["objective"] == {"multires_noise_iterations": 6, "multires_noise_discount": 0.2}
    assert data["caching"]["text_embeddings"] == "memory"
    assert data["memory"]["attention"] == "sdpa"
    assert data["sampling"]["prompts"] == ["a dog --w 512", "a cat"]
    assert data["seed"] == 1234
    assert data["batching"]["buckets"]["mode"] == "no_upscale"
    assert {note.key for note in found.notes} >= set(FORM)  # something is said about each
    parse(data, "the job")


@pytest.mark.parametrize(
    ("kind", "box", "expected"),
    [
        ("Standard", "", {"type": "lora"}),
        ("Kohya LoCon", "", {"type": "lora", "conv_rank": 4}),
        ("Kohya DyLoRA", "", {"type": "dylora", "unit": 1}),
        ("LyCORIS/LoKr", "", {"type": "lokr", "factor": -1}),
        ("LyCORIS/Diag-OFT", "", {"type": "diag_oft"}),
        ("LyCORIS/DyLoRA", "", {"type": "dylora", "unit": 1}),
        ("LyCORIS/Native Fine-Tuning", "", {"type": "full"}),
        ("LyCORIS/iA3", "", {"type": "ia3"}),
        ("LyCORIS/GLoRA", "", {"type": "glora"}),
        ("LyCORIS/BOFT", "", {"type": "boft"}),
        ("LoRA-FA", "", {"type": "lora"}),
        ("Kohya LoHa", "", {"type": "loha"}),
        ("Flux1", "flux1_checkbox", {"type": "lora", "shared_down": True}),
        ("Lumina", "lumina_checkbox", {"type": "lora", "shared_down": True}),
        ("Standard", "sd3_checkbox", {"type": "lora", "shared_down": True}),
    ],
)  # fmt: skip
def test_types_of_kohya_ss(kind: str, box: str, expected: dict[str, Any]) -> None:
    found = one(json.dumps(FORM | {"LoRA_type": kind, "sdxl": not box} | ({box: True} if box else {})), "form.json")
    assert expected.items() <= found.data["network"].items()
    parse(found.data, "the job")


def test_a_form_for_whole_models_is_refused() -> None:
    with pytest.raises(UserError, match="no LoRA_type"):
        one(json.dumps({name: value for name, value in FORM.items() if name != "LoRA_type"}), "form.json")


def test_numbers_that_are_habits() -> None:
    """Steps of 1 and a rank of 100000 stand in many presets that are passed around."""
    habits = {
        "LoRA_type": "LyCORIS/LoKr",
        "network_dim": 100000,
        "conv_dim": 100000,
        "bucket_reso_steps": 1,
        "factor": 8,
    }
    found = one(json.dumps(FORM | habits | {"bucket_no_upscale": False}), "form.json")
    assert found.data["network"]["full_matrix"] is True
    assert found.data["network"]["factor"] == 8
    assert "rank" not in found.data["network"]
    assert found.data["batching"]["buckets"]["step"] == 32
    assert "became 32" in said(found, "bucket_reso_steps")[0][1]
    parse(found.data, "the job")


# LoRA_Easy_Training_Scripts -----------------------------------------------------------------------------------------

EASY = """
[[subsets]]
image_dir = "/x"
num_repeats = 3
caption_extension = ".txt"
shuffle_caption = true
flip_aug = false
name = "mine"

[train_mode]
train_mode = "lora"
[noise_args]
[general_args.args]
pretrained_model_name_or_path = "some/model"
sdxl = true
no_half_vae = true
mixed_precision = "bf16"
max_train_epochs = 3
seed = 23
[general_args.dataset_args]
resolution = 768
batch_size = 2
[network_args.args]
network_dim = 8
network_alpha = 4.0
[network_args.args.network_args]
algo = "locon"
conv_dim = 4
preset = ""
[optimizer_args.args]
optimizer_type = "Prodigy"
lr_scheduler = "cosine"
learning_rate = 1.0
warmup_ratio = 0.05
[optimizer_args.args.optimizer_args]
weight_decay = "0.1"
betas = "0.9,0.99"
decouple = "True"
[saving_args.args]
output_dir = "/out"
output_name = "test"
save_toml = true
[bucket_args.dataset_args]
enable_bucket = true
max_bucket_reso = 2048
"""


def test_files_of_lora_easy_training_scripts() -> None:
    found = one(EASY)
    data = found.data
    assert data["model"]["architecture"] == "sdxl"
    assert data["datasets"] == [
        {"path": "/x", "num_repeats": 3, "captions": {"extensions": [".txt"], "shuffle": True, "variants": 256}}
    ]
    assert data["batching"]["size"] == 2
    assert data["batching"]["buckets"]["maximum"] == 2048
    assert data["batching"]["buckets"]["resolution"] == 768
    network = {key: data["network"][key] for key in ("type", "rank", "alpha", "conv_rank", "targets")}
    assert network == {"type": "lora", "rank": 8, "alpha": 4.0, "conv_rank": 4, "targets": {"preset": "full"}}
    assert data["optimizer"] == {
        "type": "prodigy", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99, "decoupled_decay": True,
        "learning_rate": 1.0, "max_grad_norm": 1.0,
    }  # fmt: skip
    assert data["schedule"] == {"type": "cosine", "warmup_ratio": 0.05}
    assert not found.of_level("unknown")
    assert [note.key for note in found.of_level("ignored")] == ["saving_args.args.save_toml"]
    parse(data, "the job")
