"""The kinds of files: TOML, dataset TOML, command lines, and what two other programs save."""

from __future__ import annotations

from pathlib import Path

import pytest

from loratory.config.load import parse
from loratory.errors import UserError
from loratory.interop.foreign import read_foreign
from loratory.interop.imported import summary
from loratory.interop.kohya import read, recognises
from loratory.interop.kohya.shell import commands
from tests.unit.interop.kohya.helpers import MODEL, folder_of_pictures, one, said

# What is whose --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "theirs"),
    [
        ("a.toml", MODEL, True),
        ("a.toml", '[model]\npretrained_model_name_or_path = "x"\n', True),
        ("a.toml", '[model]\npath = "x"\n[[datasets]]\npath = "y"\n', False),
        ("a.toml", "pretrained_model_name_or_path = C:\\x", True),
        ("a.json", '{"LoRA_type": "Standard"}', True),
        ("a.json", '{"train_data_dir": "/x"}', True),
        ("a.json", '{"model": {"path": "x"}}', False),
        ("a.json", '{"job": ', False),
        ("a.yaml", "# like accelerate launch train_network.py --seed=1\nmodel: {path: x}", False),
        ("a.sh", "accelerate launch sdxl_train_network.py --seed=1", True),
        ("a", "python C:\\sd\\flux_train_network.py --seed=1", True),
        ("a.txt", "a dog --w 512", False),
    ],
)  # fmt: skip
def test_files_are_recognised(name: str, text: str, theirs: bool) -> None:
    assert recognises(Path(name), text) is theirs


def test_a_file_of_ours_is_none_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: a\nmodel: {path: demo}\n")
    assert read_foreign(path) is None
    with pytest.raises(UserError, match="goes with kohya's files"):
        read_foreign(path, tmp_path / "dataset.toml")


def test_utf_16_is_read_and_other_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(MODEL + 'train_data_dir = "/x"\n', encoding="utf-16")
    assert read_foreign(path)
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(UserError, match="not UTF-8"):
        read_foreign(path)


# TOML -----------------------------------------------------------------------------------------------------------


def test_sections_mean_nothing_and_the_last_of_a_key_counts() -> None:
    found = one(MODEL + "seed = 1\n[any]\nseed = 2\ntrain_batch_size = 4\n[other]\nnetwork_dim = 8\n")
    assert (found.data["seed"], found.data["batching"]["size"], found.data["network"]["rank"]) == (2, 4, 8)
    assert said(found, "seed") == [("ignored", "is given again in any.seed, which counts")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('a = "C:\\new"', "single quotes"),
        ('a = "C:\\data"', "single quotes"),
        ("pretrained_model_name_or_path = ", "is not TOML"),
        (MODEL + 'network_dim = "large"', "config.toml: network_dim is 'large'; a number was expected"),
        (MODEL + "network_dim = 2.5", "a whole number was expected"),
        (MODEL + 'train_data_dir = "/x"\nshuffle_caption = "maybe"', "true or false was expected"),
        (MODEL + 'loss_type = "l3"', "known are l2, l1"),
        (MODEL + 'network_module = "networks.mine"', "'networks.mine' is not here"),
        (MODEL + 'network_module = "lycoris.kohya"\nnetwork_args = ["algo=xlora"]', "algo 'xlora' is not here"),
        (MODEL + 'network_args = ["conv_dim"]', "must be written as name=value"),
        (MODEL + 'optimizer_args = ["betas"]', "must be written as name=value"),
        (MODEL + 'network_args = ["block_dims=1,2,3"]', "25 .* or 23 .* were expected"),
        (MODEL + 'resolution = "1,2,3"', "a side, or width and height"),
        (MODEL + 'use_8bit_adam = true\noptimizer_type = "Lion"', "keep one of them"),
        ("[general]\n[[datasets]]\nresolution = 512\n", "describes pictures, not a training"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        one(text)


def test_unknown_names_get_the_nearest_right_one() -> None:
    found = one(MODEL + "learning_rates = 1e-4\nwhatever_else = 1\n")
    assert said(found, "learning_rates")[0][1].endswith("was learning_rate meant?")
    assert said(found, "whatever_else")[0][0] == "unknown"


def test_numbers_in_quotes_are_numbers() -> None:
    found = one(MODEL + 'learning_rate = "1e-4"\nnetwork_dim = "8"\n')
    assert found.data["optimizer"]["learning_rate"] == 1e-4
    assert found.data["network"]["rank"] == 8


def test_their_defaults_are_written_out() -> None:
    """What sd-scripts does unless it is told otherwise, and what is done here otherwise."""
    found = one(MODEL + 'train_data_dir = "/x"\nresolution = "512"\n')
    assert found.data == {
        "name": "config",
        "model": {"path": "some/model", "prediction_type": "epsilon", "vae_precision": "fp32"},
        "datasets": [{"path": "/x", "captions": {"extensions": [".caption"]}}],
        "network": {"type": "lora", "rank": 4, "alpha": 1.0, "train_denoiser": True, "train_text_encoders": True},
        "memory": {"precision": "fp32"},
        "batching": {"size": 1, "buckets": {"resolution": 512, "mode": "off"}},
        "optimizer": {"type": "adamw", "max_grad_norm": 1.0, "learning_rate": 2e-6},
        "schedule": {"type": "constant"},
        "duration": {"steps": 1600},
        "saving": {"precision": "fp32", "export_every_n_steps": None},
    }
    parse(found.data, "the job")
    assert [key for key in ("learning_rate", "max_train_steps", "network_module") if said(found, key)] != []


def test_flux_by_default() -> None:
    found = one(MODEL + 'network_module = "networks.lora_flux"\n')
    assert found.data["objective"] == {"timestep_sampling": "sigma", "flow_shift": 3.0, "guidance_scale": 3.5}
    assert found.data["network"]["shared_down"] is True
    assert "teaches nothing of use" in said(found, "model_prediction_type")[0][1]


# Dataset files ----------------------------------------------------------------------------------------------------

DATASET = """
[general]
caption_extension = ".txt"
shuffle_caption = true
enable_bucket = true

[[datasets]]
resolution = [768, 512]
batch_size = 2
keep_tokens = 1
  [[datasets.subsets]]
  image_dir = "/a"
  num_repeats = 3
  class_tokens = "ohwx dog"
  keep_tokens = 2
  [[datasets.subsets]]
  image_dir = "/a"
  [[datasets.subsets]]
  image_dir = "/b"
  num_repeats = 0
  [[datasets.subsets]]
  image_dir = "/reg"
  is_reg = true
  shuffle_caption = false

[[datasets]]
resolution = 1024
batch_size = 1
  [[datasets.subsets]]
  image_dir = "/c"
  conditioning_data_dir = "/masks"
  alpha_mask = true
  flip_aug = true
  colour = 1
  [datasets.subsets.custom_attributes]
  diff_output_preservation = true
"""


@pytest.fixture
def described(tmp_path: Path) -> Path:
    path = tmp_path / "dataset.toml"
    path.write_text(DATASET)
    return path


def test_a_dataset_file(described: Path) -> None:
    found = one(MODEL + "masked_loss = true\nflip_aug = true\n", dataset=described)
    first, reg, third = found.data["datasets"]
    assert first == {
        "path": "/a", "num_repeats": 3, "resolutions": [[768, 512]], "batch_group": "0",
        "captions": {"extensions": [".txt"], "default": "ohwx dog", "shuffle": True, "keep_tokens": 2, "variants": 256},
        "augmentation": {"flip": True},
    }  # fmt: skip
    assert reg["is_regularisation"] is True
    assert reg["captions"] == {"extensions": [".txt"], "keep_tokens": 1}  # false in a subset counts before the general
    assert third["masks"] == {"path": "/masks", "alpha": True}
    assert third["diff_output_preservation"] is True
    assert third["batch_group"] == "1"
    assert found.data["batching"]["size"] == 2
    assert found.data["batching"]["balance_regularisation"] is True
    assert found.data["batching"]["buckets"]["resolution"] == [768, 512]
    assert said(found, "datasets.0.subsets.1.image_dir")[0][0] == "ignored"
    assert said(found, "datasets.0.subsets.2.num_repeats")[0][0] == "ignored"
    assert said(found, "datasets.1.batch_size")[0][0] == "unsupported"
    assert said(found, "datasets.1.subsets.0.colour")[0][0] == "unknown"
    parse(found.data, "the job")


def test_masks_without_masked_loss_are_for_controlnet(described: Path) -> None:
    found = one(MODEL, dataset=described)
    assert "path" not in found.data["datasets"][2]["masks"]
    assert said(found, "datasets.1.subsets.0.conditioning_data_dir")[0][0] == "dead"


def test_a_dataset_option_beats_the_file_that_is_named(described: Path, tmp_path: Path) -> None:
    found = one(MODEL + 'dataset_config = "/nowhere.toml"\ntrain_data_dir = "/x"\n', dataset=described)
    assert found.data["datasets"][0]["path"] == "/a"
    assert said(found, "train_data_dir")[0][0] == "dead"
    with pytest.raises(UserError, match=r"nowhere\.toml cannot be read"):
        one(MODEL + 'dataset_config = "/nowhere.toml"\n')


def test_only_numbered_folders_count(tmp_path: Path) -> None:
    folder_of_pictures(tmp_path, "5_a dog/1.png", "2_b/1.png", "none/1.png", "empty/readme.txt")
    found = one(MODEL + f'train_data_dir = "{tmp_path.as_posix()}"\n')
    assert [(Path(each["path"]).name, each.get("num_repeats", 1), each["captions"]["default"])
            for each in found.data["datasets"]] == [("2_b", 2, "b"), ("5_a dog", 5, "a dog")]  # fmt: skip
    assert "none" in said(found, "train_data_dir")[0][1]
    (tmp_path / "none" / "1.png").unlink()
    found = one(MODEL + f'train_data_dir = "{tmp_path.as_posix()}"\n')
    assert found.data["datasets"] == [{"path": str(tmp_path), "captions": {"extensions": [".caption"]}}]


def test_sub_folders_are_warned_of(tmp_path: Path) -> None:
    folder_of_pictures(tmp_path, "pictures/1.png", "pictures/old/2.png")
    path = tmp_path / "dataset.toml"
    path.write_text(f"[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = '{tmp_path / 'pictures'}'\n")
    assert "(old)" in said(one(MODEL, dataset=path), "datasets.0.subsets.0.image_dir")[0][1]


@pytest.mark.parametrize(("trainer", "step"), [("sdxl = true", 32), ("v2 = true", 64)])
def test_bucket_steps_of_sdxl(trainer: str, step: int) -> None:
    found = one(MODEL + f"enable_bucket = true\nsdxl_bucket_optimization = true\n{trainer}\n")
    assert found.data["batching"]["buckets"]["step"] == step
    assert (said(found, "sdxl_bucket_optimization")[0][0] == "dead") is (step == 64)


# Command lines ----------------------------------------------------------------------------------------------------


BASH = r"""#!/bin/bash
export MODEL="/models/a b.safetensors"
# accelerate launch train_network.py --seed=9
accelerate launch --mixed_precision bf16 --num_cpu_threads_per_process=1 "/opt/sd scripts/sdxl_train_network.py" \
  --pretrained_model_name_or_path="${MODEL}" --output_name='my "dog"' \
  --network_args "conv_dim=4" "conv_alpha=1" --text_encoder_lr 1e-5 2e-5 --max_train_epoch 5 \
  --xformers --logit_mean -0.5 && echo done
"""
CMD = 'set MODEL=D:\\models\\x.safetensors\r\naccelerate launch train_network.py ^\r\n  --pretrained_model_name_or_path=%MODEL% ^\r\n  --output_dir ".\\out put" --seed 3\r\n'  # noqa: E501
POWERSHELL = '$lr = "2e-4"\naccelerate launch train_network.py `\n  --pretrained_model_name_or_path "C:/m.safetensors" `\n  --learning_rate=$lr --v2\n'  # noqa: E501


def test_bash() -> None:
    ((script, values),) = commands(BASH, "a.sh")
    launched = values.pop("accelerate launch --mixed_precision")
    assert launched is True
    assert script == "sdxl_train_network"
    assert values == {
        "pretrained_model_name_or_path": "/models/a b.safetensors", "output_name": 'my "dog"',
        "network_args": ["conv_dim=4", "conv_alpha=1"], "text_encoder_lr": ["1e-5", "2e-5"], "max_train_epochs": "5",
        "xformers": True, "logit_mean": "-0.5",
    }  # fmt: skip
    found = one(BASH, "a.sh")
    assert found.data["model"]["architecture"] == "sdxl"
    assert found.data["name"] == "my _dog_"
    assert said(found, "accelerate launch --mixed_precision")[0][0] == "dead"
    assert found.data["optimizer"]["text_encoder_learning_rate"] == 1e-5
    assert said(found, "--text_encoder_lr") == [
        ("dead", "Stable Diffusion XL takes only the first number in sd-scripts")
    ]


def test_cmd_and_powershell() -> None:
    assert commands(CMD, "a.bat")[0][1] == {
        "pretrained_model_name_or_path": "D:\\models\\x.safetensors", "output_dir": ".\\out put", "seed": "3",
    }  # fmt: skip
    assert commands(POWERSHELL, "a.ps1")[0][1] == {
        "pretrained_model_name_or_path": "C:/m.safetensors", "learning_rate": "2e-4", "v2": True,
    }  # fmt: skip


def test_several_commands_are_several_jobs(tmp_path: Path) -> None:
    line = "python train_network.py --pretrained_model_name_or_path=m --train_data_dir=/x --output_name={}\n"
    found = read(tmp_path / "a.sh", line.format("a") + line.format("b"))
    assert [job.data["name"] for job in found] == ["a", "b"]
    assert found[1].source.endswith("a.sh (command 2)")


def test_a_config_file_of_a_command_counts_less(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(MODEL + "seed = 1\nnetwork_dim = 8\n")
    (found,) = read(tmp_path / "a.sh", "accelerate launch train_network.py --config_file c --seed=2")
    assert (found.data["seed"], found.data["network"]["rank"]) == (2, 8)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("python train_network.py --seed", "--seed needs a value"),
        ("python train_network.py oops --seed=1", "'oops' stands alone"),
        ("python train_network.py --seed=$SEED", r"the variable \$SEED"),
        ("python train_network.py --save=1", "--save may be"),
        ('python train_network.py --output_name="a', "cannot be read"),
        ("python anima_train_network.py --seed=1", "Anima cannot be trained here"),
        ("python fine_tune.py --seed=1", "trains whole models"),
        ("python train_textual_inversion.py --seed=1", "trains whole models, embeddings"),
    ],
)  # fmt: skip
def test_wrong_commands(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        one(text, "a.sh")


# What is said -------------------------------------------------------------------------------------------------------


def test_notes_are_few_lines() -> None:
    found = one(MODEL + 'train_data_dir = "/x"\nnetwork_dim = 8\nlowram = true\nresume = "/s"\nlr_rate = 1\n')
    lines = summary(found.notes)
    assert lines[0].endswith("are so here anyway.")
    assert "Not possible here yet:" in lines
    assert any(line.startswith("  resume: ") for line in lines)
    assert not any("network_dim" in line for line in lines)
    assert any("network_dim" in line for line in summary(found.notes, everything=True))


@pytest.mark.parametrize(("text", "theirs"), [
    ('[model]\npath = "demo"\n', False),
    ('name = "x"\n[[datasets]]\npath = "dogs"\n', False),
    ('preset = "classic"\n', False),
    ('job = "train"\n', False),
    ('[network]\nrank = 8\n', False),
    ('[network.targets]\nblocks = "x"\n', False),
    ('[[datasets]]\npath = "dogs"\n[datasets.captions]\nshuffle = true\n', False),
    ('[general]\nshuffle_caption = true\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n', True),
    ('[model]\npretrained_model_name_or_path = "demo"\n[network]\nrank = 8\n', True),
    ('network_dim = 8\nlearning_rate = 1e-4\n', True),
    ('[optimizer]\nlearning_rate = 1e-4\n', True),
    ('seed = 3\nmax_train_steps = 100\n', True),
    ("", True),
])  # fmt: skip
def test_whose_toml_it_is(text: str, theirs: bool) -> None:
    assert recognises(Path("job.toml"), text) is theirs
