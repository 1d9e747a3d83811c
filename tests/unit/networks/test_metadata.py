"""Headers and hashes of LoRA files, against bytes put together by hand."""

import hashlib
import json
import struct
from dataclasses import replace

import pytest
import safetensors
import torch

from loratory.config.architectures import SPECS
from loratory.errors import UserError
from loratory.files import write_points
from loratory.networks.metadata import (
    CLOCK_KEYS,
    DatasetFacts,
    FileFacts,
    TrainingFacts,
    auto_v1,
    auto_v2,
    auto_v3,
    build,
    file_sha256,
    payload_sha256,
    public_name,
    read_lora,
    save_lora,
    trimmed,
)

DOGS = DatasetFacts(
    folder="/data/someone/private/10_dogs/",
    images=12,
    repeats=10,
    resolution=(768, 512),
    batch_size=2,
    tag_counts={"dog": 12, "étoile": 3},
    trigger_word="ohwx dog",
    flip=True,
    buckets={(768, 512): 100, (512, 768): 20},
)
FACTS = TrainingFacts(
    name="my_dog",
    session_id="01HX",
    started_at=1700000000.25,
    finished_at=1700003600.0,
    seed=42,
    step=500,
    epoch=3,
    max_steps=1000,
    epochs=6,
    steps_per_epoch=180,
    rank=16,
    alpha=8.0,
    optimizer="AdamW(weight_decay=0.01)",
    lr_scheduler="cosine",
    learning_rate=1e-4,
    denoiser_learning_rate=1e-4,
    text_encoder_learning_rate=None,
    datasets=(DOGS,),
    model=FileFacts("/mnt/models/dream.safetensors", "cc6cb27103", "ab" * 32),
    prediction_type="epsilon",
    network_arguments={"conv_dim": 4, "conv_alpha": 2.0},
    other={"min_snr_gamma": 5.0, "noise_offset": None},
    trigger_phrase="ohwx dog",
    author="A. Nother",
    tags=("dog", "photo"),
)
TENSORS = {
    "lora_unet_b.lora_up.weight": torch.arange(6.0).reshape(3, 2),
    "lora_unet_a.lora_down.weight": torch.arange(8.0).reshape(2, 4) / 3,
    "lora_unet_a.alpha": torch.tensor(0.3),
}


# Keys


def test_kohya_keys_say_what_was_trained():
    metadata = build(FACTS, SPECS["sdxl"])
    assert all(isinstance(value, str) for value in metadata.values())
    assert list(metadata) == sorted(metadata)
    expected = {
        "ss_output_name": "my_dog",
        "ss_steps": "500",
        "ss_epoch": "3",
        "ss_num_epochs": "6",
        "ss_max_train_steps": "1000",
        "ss_num_batches_per_epoch": "180",
        "ss_learning_rate": "0.0001",
        "ss_unet_lr": "0.0001",
        "ss_text_encoder_lr": "None",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "16",
        "ss_network_alpha": "8.0",
        "ss_network_args": '{"conv_dim": 4, "conv_alpha": 2.0}',
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": "False",
        "ss_seed": "42",
        "ss_resolution": "(768, 512)",
        "ss_num_train_images": "120",
        "ss_num_reg_images": "0",
        "ss_batch_size_per_device": "2",
        "ss_enable_bucket": "True",
        "ss_min_bucket_reso": "512",
        "ss_max_bucket_reso": "768",
        "ss_sd_model_name": "dream.safetensors",
        "ss_sd_model_hash": "cc6cb27103",
        "ss_new_sd_model_hash": "ab" * 32,
        "ss_min_snr_gamma": "5.0",
        "ss_noise_offset": "None",
        "ss_training_started_at": "1700000000.25",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert json.loads(metadata["ss_tag_frequency"]) == {"10_dogs": {"dog": 12, "étoile": 3}}
    assert json.loads(metadata["ss_dataset_dirs"]) == {"10_dogs": {"n_repeats": 10, "img_count": 12}}
    assert json.loads(metadata["ss_bucket_info"])["buckets"] == {
        "0": {"resolution": [512, 768], "count": 20},
        "1": {"resolution": [768, 512], "count": 100},
    }
    (dataset,) = json.loads(metadata["ss_datasets"])
    assert (
        dataset["subsets"][0] | {"image_dir": "10_dogs", "class_tokens": "ohwx dog", "flip_aug": True}
        == dataset["subsets"][0]
    )


def test_metadata_can_be_trimmed():
    whole = {"ss_network_dim": "8", "ss_tag_frequency": "{}", "modelspec.title": "a", "loratory_config": "{}"}
    assert trimmed(whole, "full") == whole
    assert trimmed(whole, "minimum") == {"ss_network_dim": "8", "modelspec.title": "a"}
    assert trimmed(whole, "none") == {}


def test_modelspec_keys_say_what_it_is():
    metadata = build(FACTS, SPECS["sdxl"])
    expected = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": "my_dog",
        "modelspec.resolution": "768x512",
        "modelspec.date": "2023-11-14T23:13:20+00:00",
        "modelspec.author": "A. Nother",
        "modelspec.tags": "dog, photo",
        "modelspec.trigger_phrase": "ohwx dog",
        "modelspec.prediction_type": "epsilon",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert "modelspec.license" not in metadata
    schnell = build(replace(FACTS, prediction_type=None, modelspec_architecture="flux-1-schnell"), SPECS["flux1"])
    assert schnell["modelspec.architecture"] == "flux-1-schnell/lora"
    assert "modelspec.prediction_type" not in schnell


@pytest.mark.parametrize("name", SPECS)
def test_every_architecture_has_the_keys_that_readers_need(name):
    metadata = build(FACTS, SPECS[name])
    needed = {f"ss_{key}" for key in ("v2", "base_model_version", "network_module", "network_dim", "network_alpha")}
    needed |= {f"modelspec.{key}" for key in ("sai_model_spec", "architecture", "implementation", "title")}
    assert needed <= metadata.keys()


def test_v_prediction_is_told_as_kohya_tells_it():
    facts = replace(FACTS, prediction_type="v_prediction")
    assert build(replace(facts, base_model_version="sd_v1_v"), SPECS["sd15"])["ss_base_model_version"] == "sd_v1_v"
    assert build(facts, SPECS["sdxl"])["ss_base_model_version"] == "sdxl_base_v1-0"
    assert build(facts, SPECS["sd15"])["modelspec.prediction_type"] == "v"
    assert {name: build(facts, spec)["ss_v2"] for name, spec in SPECS.items()} == {
        name: str(name == "sd2") for name in SPECS
    }


def test_regularisation_pictures_and_equal_folder_names_are_kept_apart():
    other = replace(DOGS, folder="elsewhere/10_dogs", images=5, repeats=1, tag_counts={"cat": 5})
    regular = replace(DOGS, folder="C:\\sets\\plain", images=7, repeats=1, is_regularisation=True)
    metadata = build(replace(FACTS, datasets=(DOGS, other, regular)), SPECS["sd15"])
    assert metadata["ss_num_train_images"] == "125"
    assert metadata["ss_num_reg_images"] == "7"
    assert json.loads(metadata["ss_tag_frequency"])["10_dogs (2)"] == {"cat": 5}
    assert list(json.loads(metadata["ss_reg_dataset_dirs"])) == ["plain"]
    assert list(json.loads(metadata["ss_dataset_dirs"])) == ["10_dogs", "10_dogs (2)"]


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/stable-diffusion-xl-base-1.0"),
        ("demo", "demo"),
        ("/home/me/models/a.safetensors", "a.safetensors"),
        ("models/a.safetensors", "a.safetensors"),
        ("./models/mine", "mine"),
        ("../mine", "mine"),
        ("~/mine", "mine"),
        ("a/b/c", "c"),
        ("C:\\Users\\me\\a.ckpt", "a.ckpt"),
        ("C:/Users/me/a.ckpt", "a.ckpt"),
        ("\\\\server\\share\\mine", "mine"),
    ],
)
def test_names_lose_their_places(name, public):
    assert public_name(name) == public


def test_no_path_and_no_token_gets_into_the_header(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-this-machine")
    facts = replace(
        FACTS,
        vae=FileFacts("D:\\vaes\\secretplace\\v.safetensors"),
        description="pushed with a-token-of-this-machine and hf_abcdefghijklmnop1234",
    )
    text = json.dumps(build(facts, SPECS["sd15"]))
    for word in ("someone", "private", "/mnt", "secretplace", "vaes", "a-token-of", "abcdefghijkl"):
        assert word not in text


# Hashes, over bytes made by hand


def bytes_of_a_file(payload: bytes, header: bytes = b'{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}') -> bytes:
    return struct.pack("<Q", len(header)) + header + payload


def test_hashes_follow_their_definitions(tmp_path):
    long = bytes(range(256)) * 5000
    data = bytes_of_a_file(long)
    path = tmp_path / "long.bin"
    path.write_bytes(data)
    assert file_sha256(path) == hashlib.sha256(data).hexdigest()
    assert auto_v2(path) == hashlib.sha256(data).hexdigest()[:10]
    assert auto_v1(path) == hashlib.sha256(data[1048576:1114112]).hexdigest()[:8]
    assert len(data) > 1114112
    assert payload_sha256(path) == hashlib.sha256(long).hexdigest()
    assert auto_v3(path) == hashlib.sha256(long).hexdigest()[:12]


def test_hashes_of_short_files(tmp_path):
    data = bytes_of_a_file(b"abc")
    path = tmp_path / "short.bin"
    path.write_bytes(data)
    assert auto_v1(path) == "e3b0c442", "what is there is hashed, and that is nothing"
    assert payload_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    # The payload's hash does not depend on the header.
    path.write_bytes(bytes_of_a_file(b"abc", b"{}      "))
    assert auto_v3(path) == "ba7816bf8f01"


@pytest.mark.parametrize("data", [b"", b"\x01\x02", bytes_of_a_file(b"abc")[:20]])
def test_a_cut_file_has_no_payload_hash(tmp_path, data):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"cut\.safetensors is no whole safetensors file"):
        payload_sha256(path)


# Files


def parts_of(data: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_saved_file_is_whole_canonical_and_says_its_hashes(tmp_path, dtype):
    path = tmp_path / "my_dog.safetensors"
    metadata = build(FACTS, SPECS["sdxl"])
    digest = save_lora(path, TENSORS, metadata, dtype)
    data = path.read_bytes()
    header, payload = parts_of(data)
    stored = header.pop("__metadata__")
    assert struct.unpack("<Q", data[:8])[0] % 8 == 0
    assert {key: stored[key] for key in metadata} == metadata
    assert digest == hashlib.sha256(payload).hexdigest() == stored["sshs_model_hash"] == payload_sha256(path)
    assert stored["modelspec.hash_sha256"] == "0x" + digest
    assert auto_v3(path) == digest[:12]
    assert len(stored["sshs_legacy_hash"]) == 8

    with safetensors.safe_open(path, "pt") as file:
        assert sorted(file.keys()) == sorted(TENSORS)
        assert file.metadata() == stored
        for name, tensor in TENSORS.items():
            exact = tensor.ndim == 0
            assert torch.equal(file.get_tensor(name), tensor if exact else tensor.to(dtype)), name
    # Canonical order: fp32 comes before the halves, then by name; the bytes are those of numpy's little-endian arrays.
    offsets = sorted((entry["data_offsets"][0], name) for name, entry in header.items())
    factors = ["lora_unet_a.lora_down.weight", "lora_unet_b.lora_up.weight"]
    assert [name for _, name in offsets] == ["lora_unet_a.alpha", *factors]
    if dtype == torch.float32:
        assert payload == b"".join(TENSORS[name].numpy().astype("<f4").tobytes() for _, name in offsets)


def test_equal_runs_make_equal_bytes_and_others_differ_only_in_clock_keys(tmp_path):
    first, again, later = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    save_lora(first, TENSORS, build(FACTS, SPECS["sd15"]), torch.float16)
    metadata = dict(reversed(build(FACTS, SPECS["sd15"]).items()))
    save_lora(again, dict(reversed(TENSORS.items())), metadata, torch.float16)
    assert first.read_bytes() == again.read_bytes()
    other = replace(FACTS, session_id="another session", started_at=1.0, finished_at=1800000000.125)
    save_lora(later, TENSORS, build(other, SPECS["sd15"]), torch.float16)
    (old, old_payload), (new, new_payload) = parts_of(first.read_bytes()), parts_of(later.read_bytes())
    assert old_payload == new_payload
    old, new = old["__metadata__"], new["__metadata__"]
    differing = {key for key in old if old[key] != new[key]}
    assert differing <= CLOCK_KEYS
    assert {"ss_session_id", "ss_training_started_at", "ss_training_finished_at", "modelspec.date"} <= differing


def test_the_legacy_hash_is_that_of_a_file_with_only_kohyas_keys(tmp_path):
    big = {"x": torch.arange(400_000, dtype=torch.float32)}
    path = tmp_path / "big.safetensors"
    save_lora(path, big, {"ss_seed": "1", "modelspec.title": "é", "note": "x" * 1000}, torch.float32)
    kept = json.dumps(
        {"__metadata__": {"ss_seed": "1"}, "x": {"dtype": "F32", "shape": [400_000], "data_offsets": [0, 1_600_000]}}
    )
    kept = kept.replace(" ", "").encode()
    whole = bytes_of_a_file(big["x"].numpy().tobytes(), kept + b" " * (-len(kept) % 8))
    stored = parts_of(path.read_bytes())[0]["__metadata__"]
    assert stored["sshs_legacy_hash"] == hashlib.sha256(whole[1048576:1114112]).hexdigest()[:8]


def test_what_the_format_cannot_hold_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "x.safetensors"
    save_lora(path, TENSORS, {}, torch.float16)
    before = path.read_bytes()
    large = {**TENSORS, "lora_unet_a.lora_down.weight": torch.full((2, 4), 1e6)}
    with pytest.raises(UserError, match=r"lora_unet_a\.lora_down\.weight has values too large .*bf16"):
        save_lora(path, large, {}, torch.float16)
    save_lora(tmp_path / "ok.safetensors", large, {}, torch.bfloat16)
    with pytest.raises(UserError, match="NaN or infinity"):
        save_lora(path, {"a": torch.tensor([float("nan")])}, {}, torch.float32)
    assert path.read_bytes() == before
    assert {"export.before_write", "export.before_rename", "export.after_rename"} <= write_points()


def test_a_file_is_read_with_its_metadata(tmp_path):
    path = tmp_path / "x.safetensors"
    save_lora(path, TENSORS, {"ss_seed": "1"}, torch.float32)
    tensors, metadata = read_lora(path)
    assert metadata["ss_seed"] == "1"
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    with pytest.raises(UserError, match=r"gone\.safetensors is not a file"):
        read_lora(tmp_path / "gone.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"x\.safetensors"):
        read_lora(path)
