"""Whatever is wrong with the files is one readable sentence, said before anything large is loaded."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory.config.architectures import get_spec
from loratory.config.identify import detect_folder, identify
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.models.common.loading import Gathered
from tests.tiny import _original
from tests.unit.models.conftest import load_model, local


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch):
    """The real loading, after all checks, must not be reached."""

    def reached(self):
        raise AssertionError("the checks let it pass")

    monkeypatch.setattr(Gathered, "load", reached)


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of the tiny SD 1.5, to be spoilt."""
    return shutil.copytree(tiny_model("sd15"), tmp_path / "model")


def complaint(path, **settings):
    with pytest.raises(UserError) as caught:
        load_model(path, **settings)
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", "?")), message
    return message


def test_the_whole_model_passes_the_checks(folder):
    with pytest.raises(AssertionError, match="the checks let it pass"):
        load_model(folder)


def test_missing_path(tmp_path):
    assert "nowhere does not exist" in complaint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], "and holds nothing; give the folder that has model_index.json"),
        (["a.png", "b.txt"], "and holds a.png, b.txt; give"),
        ([f"{i}.png" for i in range(9)], "5.png, …; give"),
        (["cat.safetensors", "x.yaml"], "holds cat.safetensors, x.yaml; to use a single file, give its path"),
        (["config.json", "diffusion_pytorch_model.safetensors"], "only one part of a model"),
    ],
)
def test_folder_that_is_no_model(files, wanted, tmp_path):
    for name in files:
        (tmp_path / name).write_text("x")
    message = complaint(tmp_path)
    assert wanted in message and str(tmp_path) in message


def test_architecture_that_does_not_fit(folder, tiny_file, tiny_model):
    assert "is a Stable Diffusion 1.5 model, but the job says sdxl" in complaint(folder, architecture="sdxl")
    message = complaint(tiny_file("sdxl", "original"), architecture="sd15", components=tiny_model("sd15"))
    assert "is a Stable Diffusion XL model, but the job says sd15" in message and "set it to sdxl" in message


@pytest.mark.parametrize(
    ("given", "meant"),
    [("sd1.5", "sd15"), ("sd-15", "sd15"), ("SDXL", "sdxl"), ("sdxl1", "sdxl"), ("flux", "flux1"), ("flux-1", "flux1")],
)
def test_unknown_architecture(given, meant, folder):
    assert f"model.architecture: {given!r} is not known; did you mean {meant}?" in complaint(folder, architecture=given)


def test_architecture_unlike_any():
    with pytest.raises(UserError, match=r"known are chroma, .*flux1, .*sd15, .*\(loratory models says what they are\)"):
        get_spec("xyz")


@pytest.mark.parametrize("name", ["StableDiffusionInpaintPipeline", "FluxFillPipeline", None])
def test_pipeline_that_is_not_ours(name, folder):
    index = {"_class_name": name} if name else {}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=name or "an unnamed pipeline"):
        detect_folder(folder)
    assert f"{folder}: The model is made for" in complaint(folder)


@pytest.mark.parametrize("content", ["{", "[]", b"\xff\xfe"])
def test_broken_json(content, folder):
    for file in (folder / "model_index.json", folder / "unet" / "config.json"):
        before = file.read_bytes()
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert str(file) in complaint(folder)
        file.write_bytes(before)


def remove(folder, path):
    place = folder / path
    shutil.rmtree(place) if place.is_dir() else place.unlink()


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("unet/diffusion_pytorch_model.safetensors", "unet holds no weights"),
        ("text_encoder/model.safetensors", "text_encoder holds no weights"),
        ("vae", "lacks its component vae"),
        ("text_encoder/config.json", "config.json cannot be read"),
        ("tokenizer", "lacks its component tokenizer"),
        ("scheduler", "scheduler_config.json cannot be read"),
    ],
)
def test_folder_that_lacks_something(path, wanted, folder):
    remove(folder, path)
    assert wanted in complaint(folder)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_truncated_weights_in_a_folder(component, folder):
    (file,) = (folder / component).glob("*.safetensors")
    os.truncate(file, file.stat().st_size - 10)
    message = complaint(folder)
    assert str(file) in message and "it is cut off: 10 of" in message and "download it again" in message


def test_missing_shard(folder):
    unet = folder / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model-00001-of-00002.safetensors")
    index = unet / "diffusion_pytorch_model.safetensors.index.json"
    names = {str(i): f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    index.write_text(json.dumps({"weight_map": names}))
    assert "lacks diffusion_pytorch_model-00002-of-00002.safetensors" in complaint(folder)
    index.write_text("{}")
    assert "lists no files" in complaint(folder)


def test_folder_with_pickles_only(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert "diffusion_pytorch_model.bin is a pickle" in complaint(folder)


def test_folders_of_other_models_with_the_same_pipeline(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    before = load_file(file)
    save_file(before | {"conv_in.weight": torch.zeros(32, 9, 3, 3)}, file)
    assert "is an inpainting model" in complaint(folder)
    name = "mid_block.attentions.0.proj_in.weight"
    save_file(before | {name: before[name][:, :, 0, 0].contiguous()}, file)
    said = complaint(folder)
    assert "holds the weights of a Stable Diffusion 2 model, but the folder describes Stable Diffusion 1.5" in said


def test_scheduler_that_cannot_be_used(folder):
    file = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"prediction_type": "sample"}))
    assert "predicts 'sample'" in complaint(folder)
    for name in ("EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"):
        file.write_text(json.dumps({"_class_name": name}))
        assert f"another kind of schedule ({name})" in complaint(folder)
    for name in ("Nonsense", "UNet2DConditionModel"):
        file.write_text(json.dumps(settings | {"_class_name": name}))
        assert f"unknown scheduler {name!r}" in complaint(folder)


def test_missing_tensor_in_a_folder(folder, monkeypatch):
    """The libraries would fill it with random numbers."""
    monkeypatch.undo()
    for component, name in (("unet", "mid_block.resnets.0.conv1.weight"), ("text_encoder", None)):
        (file,) = (folder / component).glob("*.safetensors")
        tensors = load_file(file)
        gone = name or next(key for key in tensors if key.endswith("layers.1.mlp.fc1.weight"))
        save_file({k: v for k, v in tensors.items() if k != gone}, file, metadata={"format": "pt"})
        assert f"{component} lacks" in complaint(folder)
        save_file(tensors, file, metadata={"format": "pt"})


# Single files


def test_single_file_of_another_kind(tmp_path):
    for name, wanted in (("a.gguf", "quantised (GGUF)"), ("a.txt", "not a .safetensors file"), ("a.ckpt", "a pickle")):
        (tmp_path / name).write_bytes(b"x" * 100)
        message = complaint(tmp_path / name)
        assert wanted in message and name in message and message.startswith("model.path: ")


def test_lora_given_as_a_model(tmp_path):
    save_file(
        {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 4)}, tmp_path / "a.safetensors"
    )
    assert "is a LoRA file, not a model" in complaint(tmp_path / "a.safetensors")


def test_truncated_single_file(tiny_file, tmp_path):
    file = tmp_path / "a.safetensors"
    shutil.copy(tiny_file("sd15", "original"), file)
    os.truncate(file, file.stat().st_size // 2)
    assert "it is cut off" in complaint(file)


def test_single_file_without_components_that_fit(tiny_file, tiny_model, tmp_path):
    """Without configs of its size the tiny file is compared with the real model."""
    (tmp_path / "parts").mkdir()
    file = tiny_file("sd15", "original")
    assert "lacks its component tokenizer" in complaint(file, components=tmp_path / "parts")
    shutil.copytree(tiny_model("sd15") / "tokenizer", tmp_path / "parts" / "tokenizer")
    message = complaint(file, components=tmp_path / "parts")
    assert "does not fit: " in message and "set model.components to" in message


def test_part_that_neither_file_nor_components_have(tiny_file, tiny_model, tmp_path):
    parts = shutil.copytree(tiny_model("sd15"), tmp_path / "parts")
    shutil.rmtree(parts / "vae")
    message = complaint(tiny_file("sd15", "unet_only"), components=parts)
    assert "holds no vae, and model.components" in message
    assert "model.components: " in complaint(tiny_file("sd15", "unet_only"), components=tiny_file("sd15", "original"))


@pytest.mark.parametrize(
    ("architecture", "prefix", "part"),
    [
        ("sd15", "model.diffusion_model.time_embed.0", "unet"),
        ("sd15", "first_stage_model.decoder.conv_out", "vae"),
        ("sd15", "cond_stage_model.transformer.text_model.encoder.layers.1", "text_encoder"),
        ("sdxl", "conditioner.embedders.1.model.transformer.resblocks.2", "text_encoder_2"),
        ("sdxl", "model.diffusion_model.label_emb.0.2", None),
        ("flux1", "single_blocks.0.norm", "transformer"),
    ],
)
def test_single_file_that_lacks_tensors(architecture, prefix, part, tiny_file, tiny_model, tmp_path):
    tensors = load_file(tiny_file(architecture, "original"))
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "a.safetensors")
    message = complaint(tmp_path / "a.safetensors", components=tiny_model(architecture))
    assert (f"its {part} lacks" if part else "lacks the tensor") in message


MARK = "code-was-run"


class Malicious:
    """Unpickled without care, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, (MARK,)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (Malicious(), "cannot be loaded as plain tensors"),
        ({"state_dict": {"a": torch.zeros(2)}, "hook": Malicious()}, "cannot be loaded as plain tensors"),
        ([torch.zeros(2)], "holds no named tensors"),
        ({"epoch": 3}, "holds no named tensors"),
        ({"a.lora_down.weight": torch.zeros(2)}, "is a LoRA file"),
        ({"decoder.conv_in.weight": torch.zeros(2)}, "is an autoencoder"),
        (b"not a pickle", "cannot be loaded as plain tensors"),
        (b"", "cannot be loaded as plain tensors"),
    ],
)
def test_pickles(content, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    assert "is a pickle, which can carry code" in complaint(file)
    assert wanted in complaint(file, allow_pickle=True)
    assert not Path(MARK).exists()


# Parts from elsewhere


@pytest.fixture
def flux(tiny_model):
    return tiny_model("flux1")


def test_parts_of_another_kind(flux, tiny_model):
    """The folders' configs tell; the weights would be read for minutes before anything was missed."""
    for part, folder, found in (
        ("text_encoder", flux / "text_encoder_2", "t5"),
        ("text_encoder_2", flux / "text_encoder", "clip"),
        ("text_encoder_2", tiny_model("flux2_klein") / "text_encoder", "qwen3"),
        ("transformer", tiny_model("chroma") / "transformer", "ChromaTransformer2DModel"),
        ("vae", tiny_model("flux2") / "vae", "AutoencoderKLFlux2"),
    ):
        message = complaint(flux, parts={part: str(folder)})
        assert message.startswith(f"model.parts.{part}: {folder} holds a {found}, which is not what Flux.1 has as its")
        assert "such as black-forest-labs/FLUX.1-dev" in message


def test_text_encoders_in_each_others_place(tiny_model):
    """Of the same kind, but of other widths."""
    folder = tiny_model("sd3") / "text_encoder_2"
    message = complaint(tiny_model("sd3"), parts={"text_encoder": str(folder)})
    assert message.startswith(f"model.parts.text_encoder: {folder} has 16 numbers for each token, but the model needs")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["x.lora_down.weight"], "is a LoRA file; it cannot be the text_encoder_2 of a Flux.1 model."),
        (["encoder.block.0.layer.0.SelfAttention.q.weight", "a.scale_weight"], "is a quantised file (take its bf16"),
        (["decoder.conv_in.weight"], "is an autoencoder; it cannot be"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "does not fit: its text_encoder_2 lacks"),
        (["something"], "does not fit: its text_encoder_2 lacks"),
    ],
)
def test_files_that_are_no_such_part(names, kind, flux, tmp_path):
    file = tmp_path / "part.safetensors"
    save_file({name: torch.zeros(2) for name in names}, file)
    message = complaint(flux, parts={"text_encoder_2": str(file)})
    assert message.startswith(f"model.parts.text_encoder_2: {file} {kind}")


def test_a_part_that_is_nowhere(flux, tmp_path):
    assert complaint(flux, parts={"text_encoder_2": str(tmp_path / "t5.safetensors")}).startswith(
        "model.parts.text_enc"
    )


def test_folder_that_lacks_a_part_says_how_to_give_it(flux, tmp_path):
    folder = shutil.copytree(flux, tmp_path / "half")
    for part, field in (("text_encoder_2", "model.parts.text_encoder_2"), ("vae", "model.vae_path")):
        shutil.move(folder / part, tmp_path / part)
        assert complaint(folder).endswith(f"lacks its component {part}; download it again, or give {field}.")
        shutil.move(tmp_path / part, folder / part)


@pytest.mark.parametrize("other", ["sdxl", "sd3", "chroma", "flux2"])
def test_components_of_another_architecture(other, tiny_file, tiny_model):
    message = complaint(tiny_file("flux1", "original"), components=tiny_model(other))
    assert message.startswith("model.components: ")
    assert f"is a {get_spec(other).title} model, and the single file is of Flux.1" in message


def test_components_with_an_edited_part(tiny_file, flux, tiny_model, tmp_path):
    """The index may say what it likes: each part is looked at."""
    folder = shutil.copytree(flux, tmp_path / "mixed")
    shutil.rmtree(folder / "transformer")
    shutil.copytree(tiny_model("chroma") / "transformer", folder / "transformer")
    message = complaint(tiny_file("flux1", "original"), components=folder)
    assert "model.components: " in message
    assert "holds a ChromaTransformer2DModel, which is not what Flux.1 has" in message


# The replacement autoencoder


def test_autoencoders_that_do_not_fit(folder, tiny_model, tiny_file, tmp_path):
    assert "nowhere does not exist" in complaint(folder, vae_path=tmp_path / "nowhere")
    assert "has 16 latent channels, but the model needs 4" in complaint(folder, vae_path=tiny_model("flux1") / "vae")
    assert "lacks its component vae" in complaint(folder, vae_path=tmp_path)
    message = complaint(folder, vae_path=tiny_file("flux1", "original"))
    assert "is a Flux.1 model; it cannot be the vae of a Stable Diffusion 1.5 model." in message
    flux_vae = _original.autoencoder(_original.component(tiny_model("flux1"), "vae")[0], 4)
    save_file({k: v.contiguous() for k, v in flux_vae.items()}, tmp_path / "ae.safetensors")
    assert "does not fit" in complaint(folder, vae_path=tmp_path / "ae.safetensors")
    (tmp_path / "vae.pt").write_bytes(b"x")
    assert complaint(folder, vae_path=tmp_path / "vae.pt").startswith("model.vae_path: ")


def test_autoencoder_that_normalises_channels(folder):
    file = folder / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}))
    assert "normalises each channel" in complaint(folder)


def test_path_of_a_pickle_without_architecture(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"x")
    config = ModelConfig(path=str(tmp_path / "a.ckpt"), allow_pickle=True)
    with pytest.raises(UserError, match=r"Say what it is with\s+model.architecture"):
        identify(config, local)
    assert identify(config.model_copy(update={"architecture": "sdxl"}), local) == "sdxl"
