"""Ways to name a model's parts: another autoencoder, pickles, variants, shards, marker tensors, dev and schnell."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loratory import demo
from loratory.config.architectures import SPECS
from loratory.config.identify import identify
from loratory.config.model import ModelConfig
from loratory.config.objective import ObjectiveConfig
from loratory.errors import UserError
from loratory.models import load
from loratory.models.common.checkpoint import Checkpoint
from loratory.models.sd2 import seen_prediction_type
from loratory.training.objective import make_inputs
from tests.architectures import spread
from tests.tiny import SINGLE_FILES, TINY, _flux2, _original, _parts, flux1, flux2_klein, qwen_image, sd2, sdxl
from tests.unit.models.conftest import load_model, local
from tests.unit.models.test_behaviour import (
    assert_same_weights,
    conditioning,
    modules,
    noisy_input,
    recorded_calls,
    run,
)


@pytest.fixture
def other_vae(tiny_model):
    """An autoencoder of the same shape as the architecture's, with weights of its own."""

    def make(architecture):
        config = json.loads((tiny_model(architecture) / "vae" / "config.json").read_text())
        torch.manual_seed(99)
        if config["_class_name"] == "AutoencoderKLFlux2":
            return _flux2.autoencoder()
        if config["_class_name"] == "AutoencoderKLQwenImage":
            return qwen_image.autoencoder()
        return _parts.autoencoder(
            latent_channels=config["latent_channels"],
            scale=config["scaling_factor"],
            shift=config["shift_factor"],
            quantised=config["use_quant_conv"],
        )

    return make


def write_vae_places(vae, whole_model, out):
    """The same autoencoder as folder, as part of a model's folder, and as files under both kinds of names."""
    vae.save_pretrained(out / "vae")
    shutil.copy(whole_model / "model_index.json", out)
    ours = {name: tensor.contiguous() for name, tensor in vae.state_dict().items()}
    if "bn.running_var" in ours:
        named = _flux2.original_autoencoder(ours)
    elif "decoder.norm_out.gamma" in ours:
        named = qwen_image.original_autoencoder(ours)
    else:
        named = _original.autoencoder(ours, 4)
    original = {name: tensor.contiguous() for name, tensor in named.items()}
    save_file(ours, out / "ours.safetensors")
    save_file(original, out / "original.safetensors")
    save_file({"first_stage_model." + k: v for k, v in original.items()}, out / "prefixed.safetensors")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    named = {}
    for name, tensor in ours.items():
        for new, before in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        named[name] = tensor
    save_file(named, out / "diffusers-before-0.14.safetensors")


WITH_AUTOENCODER = [name for name in TINY if not SPECS[name].pixel_space]
VAE_PLACES = ("vae", "", "ours.safetensors", "original.safetensors", "prefixed.safetensors",
              "diffusers-before-0.14.safetensors")  # fmt: skip


@pytest.mark.parametrize(("architecture", "place"), spread(product(WITH_AUTOENCODER, VAE_PLACES)))
def test_another_autoencoder(architecture, place, tiny_model, other_vae, tmp_path):
    vae = other_vae(architecture)
    write_vae_places(vae, tiny_model(architecture), tmp_path)
    path = tmp_path / place
    model = load_model(tiny_model(architecture), vae_path=path)
    assert_same_weights(model.components.vae, vae)
    assert model.source.vae_title == path.name
    assert model.source.vae_file == (str(path) if path.is_file() else None)


def test_another_autoencoder_beside_a_single_file(tiny_model, tiny_file, other_vae, tmp_path):
    other_vae("sd15").save_pretrained(tmp_path / "vae")
    model = load_model(tiny_file("sd15", "original"), components=tiny_model("sd15"), vae_path=tmp_path / "vae")
    assert_same_weights(model.components.vae, other_vae("sd15"))


def parts_of(name):
    spec = SPECS[name]
    return (spec.denoiser, *spec.text_encoders, *([] if spec.pixel_space else ["vae"]))


COMPONENTS = [(name, part) for name in TINY for part in parts_of(name)]


@pytest.mark.parametrize(("component", "kind"), spread(product(COMPONENTS, ["component", "model", "file"])), ids=str)
def test_a_part_from_elsewhere(component, kind, ours, tiny_model, tmp_path):
    architecture, part = component
    whole = shutil.copytree(tiny_model(architecture), tmp_path / "other")
    (weights,) = (whole / part).glob("*.safetensors")
    changed = {name: value + 1 if value.is_floating_point() else value for name, value in load_file(weights).items()}
    save_file(changed, weights, metadata={"format": "pt"})
    place = {"component": whole / part, "model": whole, "file": weights}[kind]
    model = load_model(tiny_model(architecture), parts={part: str(place)})
    usual = modules(ours(architecture))
    for name, module in modules(model).items():
        if name != part:
            assert_same_weights(module, usual[name])
            continue
        found = module.state_dict()
        for key, tensor in usual[name].state_dict().items():
            assert torch.equal(found[key], tensor + 1 if tensor.is_floating_point() else tensor), key


@pytest.mark.parametrize("architecture", TINY)
def test_everything_given_one_by_one(architecture, ours, tiny_model, tiny_file, tmp_path):
    """The denoiser as model.path, each other part as a file; the folder has configs and tokenizers only."""
    folder = shutil.copytree(tiny_model(architecture), tmp_path / "configs")
    spec, parts = SPECS[architecture], {}
    for part in parts_of(architecture):
        (weights,) = (folder / part).glob("*.safetensors")
        parts[part] = str(weights.rename(tmp_path / f"{part}.safetensors"))
    model = load_model(Path(parts.pop(spec.denoiser)), components=folder, parts=parts)
    for name, module in modules(model).items():
        assert_same_weights(module, modules(ours(architecture))[name])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("architecture", "layout"), [pair for pair in SINGLE_FILES if pair[1] == "original"])
def test_pickle_that_is_allowed(architecture, layout, legacy, ours, tiny_model, tiny_file, tmp_path):
    content = {"state_dict": load_file(tiny_file(architecture, layout)), "global_step": 5, "note": "x"}
    torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=not legacy)
    model = load_model(tmp_path / "model.ckpt", components=tiny_model(architecture), allow_pickle=True)
    assert model.spec.name == architecture
    for name, module in modules(model).items():
        assert_same_weights(module, modules(ours(architecture))[name])


def test_folder_of_pickles_that_is_allowed(ours, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("sd15"), tmp_path / "model")
    for component, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        (weights,) = (folder / component).glob("*.safetensors")
        torch.save(load_file(weights), folder / component / f"{name}.bin")
        weights.unlink()
    model = load_model(folder, allow_pickle=True)
    for name, module in modules(model).items():
        assert_same_weights(module, modules(ours("sd15"))[name])


def test_variants_and_shards(theirs, ours, tiny_model, tmp_path):
    theirs("flux1").save_pretrained(tmp_path / "fp16", variant="fp16")
    theirs("flux1").save_pretrained(tmp_path / "shards", max_shard_size="200KB")
    assert (tmp_path / "fp16" / "transformer" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    assert (tmp_path / "shards" / "transformer" / "diffusion_pytorch_model.safetensors.index.json").is_file()
    for folder in ("fp16", "shards"):
        model = load_model(tmp_path / folder)
        for name, module in modules(model).items():
            assert_same_weights(module, modules(ours("flux1"))[name])


# Noise schedules


def expected_alphas(zero_terminal_snr):
    """Betas whose square roots are linear; for zero terminal SNR the square roots of the products are shifted and
    rescaled (Lin et al. 2023, algorithm 1)."""
    alphas = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    if zero_terminal_snr:
        roots = np.sqrt(alphas)
        alphas = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return alphas


@pytest.mark.parametrize("architecture", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("zero", [False, True])
def test_noise_schedule_is_the_models_own(architecture, zero, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model(architecture), tmp_path / "model")
    file = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"rescale_betas_zero_snr": zero, "prediction_type": "v_prediction"}))
    schedule = load_model(folder).noise_schedule
    assert schedule.prediction_type == "v_prediction"
    assert schedule.alphas_cumprod.dtype == torch.float32 and schedule.alphas_cumprod.shape == (1000,)
    assert (schedule.alphas_cumprod[-1] == 0) == zero
    np.testing.assert_allclose(schedule.alphas_cumprod.numpy(), expected_alphas(zero), rtol=1e-3, atol=1e-6)
    assert load_model(folder, prediction_type="epsilon").noise_schedule.prediction_type == "epsilon"


@pytest.mark.parametrize("architecture", ["sd15", "sdxl"])
def test_zero_terminal_snr_can_be_asked_for(architecture, tiny_model):
    """The whole table is made anew, and so is all that is computed from it: weights of the loss, samples."""
    plain = load_model(tiny_model(architecture), prediction_type="v_prediction")
    model = load_model(tiny_model(architecture), prediction_type="v_prediction", zero_terminal_snr=True)
    alphas = model.noise_schedule.alphas_cumprod.numpy()
    np.testing.assert_allclose(alphas, expected_alphas(True), rtol=1e-3, atol=1e-6)
    assert alphas[-1] == 0, "the last timestep is pure noise"
    assert alphas[0] == pytest.approx(plain.noise_schedule.alphas_cumprod[0].item(), rel=1e-5), "the first is not moved"
    assert (np.diff(alphas) < 0).all()
    scheduler = model.pipeline().scheduler
    assert scheduler.config.rescale_betas_zero_snr and scheduler.config.timestep_spacing == "trailing"
    assert not plain.pipeline().scheduler.config.get("rescale_betas_zero_snr", False)
    # min-SNR at the last timestep, where the SNR is now 0: min(0, γ)/(0 + 1)
    zeros = torch.zeros(2, 1, 2, 2)
    config = ObjectiveConfig(min_snr_gamma=5)
    times = torch.tensor([500, 999])
    weights = make_inputs(zeros, zeros, times, model.noise_schedule, config).weights
    snr = expected_alphas(True)[500] / (1 - expected_alphas(True)[500])
    np.testing.assert_allclose(weights, [min(snr, 5) / (snr + 1), 0.0], rtol=1e-3)


@pytest.mark.parametrize("architecture", ["sd15", "sdxl"])
@pytest.mark.parametrize(
    ("markers", "asked", "prediction", "zero"),
    [
        ((), None, "epsilon", False),
        (("v_pred",), None, "v_prediction", False),
        (("v_pred", "ztsnr"), None, "v_prediction", True),
        (("v_pred",), "epsilon", "epsilon", False),
        ((), "v_prediction", "v_prediction", False),
    ],
)
def test_marker_tensors(architecture, markers, asked, prediction, zero, tiny_model, tiny_file, tmp_path):
    tensors = load_file(tiny_file(architecture, "original")) | {name: torch.zeros(0) for name in markers}
    save_file(tensors, tmp_path / "marked.safetensors")
    model = load_model(tmp_path / "marked.safetensors", components=tiny_model(architecture), prediction_type=asked)
    assert model.noise_schedule.prediction_type == model.pipeline().scheduler.config.prediction_type == prediction
    assert (model.noise_schedule.alphas_cumprod[-1] == 0) == zero
    assert bool(model.pipeline().scheduler.config.get("rescale_betas_zero_snr", False)) == zero
    named = "sd_v1_v" if (architecture, prediction) == ("sd15", "v_prediction") else None
    assert model.source.base_model_version == named


def test_zero_terminal_snr_with_a_scheduler_that_cannot(tiny_model, tiny_file, tmp_path):
    components = shutil.copytree(tiny_model("sd15"), tmp_path / "components")
    pndm = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    (components / "scheduler" / "scheduler_config.json").write_text(
        json.dumps(pndm | {"skip_prk_steps": True, "steps_offset": 1})
    )
    tensors = load_file(tiny_file("sd15", "original")) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    save_file(tensors, tmp_path / "marked.safetensors")
    model = load_model(tmp_path / "marked.safetensors", components=components)
    assert model.noise_schedule.alphas_cumprod[-1] == 0
    scheduler = model.pipeline().scheduler
    assert type(scheduler).__name__ == "DDIMScheduler" and not scheduler.config.clip_sample


# Stable Diffusion XL: distilled models have other depths


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_depths_of_distilled_models_are_seen_in_the_file(layout, tiny_model, tmp_path):
    folder = sdxl.build(tmp_path / "model", distilled=True)
    file = tmp_path / "model.safetensors"
    if layout == "original":
        sdxl.single_file(folder, file, layout)
    else:
        shutil.copy(folder / "unet" / "diffusion_pytorch_model.safetensors", file)
    model, own = load_model(file, components=tiny_model("sdxl")), load_model(folder)
    assert_same_weights(model.components.denoiser, own.components.denoiser)
    assert not [name for name in model.components.denoiser.state_dict() if name.startswith("mid_block.attentions")]
    file_pictures, own_pictures = run(model.pipeline()), run(own.pipeline())
    if layout == "original":
        np.testing.assert_array_equal(file_pictures, own_pictures)


# Stable Diffusion 2: noise or velocity


@pytest.mark.parametrize("layout", sd2.LAYOUTS)
@pytest.mark.parametrize("velocity", [False, True])
def test_what_a_single_file_predicts_is_seen_in_its_weights(layout, velocity, tiny_model, tmp_path):
    """Whatever the folder says that gives the rest; the job's word counts more."""
    folders = {True: tiny_model("sd2"), False: sd2.build(tmp_path / "noise", velocity=False)}
    file = sd2.single_file(folders[velocity], tmp_path / "model.safetensors", layout)
    model = load_model(file, components=folders[not velocity])
    wanted = "v_prediction" if velocity else "epsilon"
    assert model.noise_schedule.prediction_type == model.pipeline().scheduler.config.prediction_type == wanted
    assert model.source.base_model_version == ("sd_v2_v" if velocity else None)
    assert model.source.modelspec_architecture == ("stable-diffusion-v2-768-v" if velocity else None)
    other = "epsilon" if velocity else "v_prediction"
    told = load_model(file, components=folders[velocity], prediction_type=other)
    assert told.noise_schedule.prediction_type == other
    assert load_model(folders[velocity]).noise_schedule.prediction_type == wanted, "a folder says it itself"


def test_the_bias_that_shows_it_is_the_last_attentions():
    """The published test: the spread of output_blocks.11.1.transformer_blocks.0.norm1.bias is above 0.09 with v."""
    generator = torch.Generator().manual_seed(0)
    for width, wanted in ((0.085, "epsilon"), (0.095, "v_prediction")):
        bias = torch.randn(320, generator=generator)
        tensors = {
            f"model.diffusion_model.output_blocks.{number}.1.transformer_blocks.0.norm1.bias": torch.full((320,), 0.5)
            for number in (3, 9, 10)
        }
        last = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
        tensors[last] = bias / bias.std() * width + 3
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        assert seen_prediction_type(Checkpoint(Path("x.ckpt"), shapes, tensors)) == wanted
    assert seen_prediction_type(Checkpoint(Path("x.ckpt"), {"conv_in.weight": (320, 4, 3, 3)}, {})) is None


# Flux.1: dev and schnell


def test_schnell_takes_no_guidance_and_shorter_texts(ours, tmp_path):
    schnell, dev = load_model(flux1.build(tmp_path / "schnell", guidance=False)), ours("flux1")
    assert (schnell.text_length, dev.text_length) == (256, 512)
    assert conditioning(schnell)["hidden_states"].shape[1] == 256
    for model in (schnell, dev):
        with recorded_calls(model.components.denoiser) as calls:
            run(model.pipeline())
        assert {arguments["encoder_hidden_states"].shape[1] for arguments, _ in calls} == {model.text_length}
    with recorded_calls(dev.components.denoiser) as calls:
        run(dev.pipeline(), max_sequence_length=100)
    assert calls[0][0]["encoder_hidden_states"].shape[1] == 100
    noisy, times = noisy_input(dev)
    sizes = torch.zeros(2, 6, dtype=torch.int64)
    with torch.no_grad():
        for model, matters in ((schnell, False), (dev, True)):
            outputs = []
            for guidance in (1.0, 3.5):
                model.guidance = guidance
                outputs.append(model.predict(noisy, times, conditioning(model), sizes))
            model.guidance = 1.0
            assert torch.equal(*outputs) != matters


def test_single_file_of_the_other_kind_keeps_its_own_time_shift(tiny_model, tmp_path):
    schnell = flux1.build(tmp_path / "schnell", guidance=False)
    file = flux1.single_file(schnell, tmp_path / "schnell.safetensors", "original")
    model = load_model(file, components=tiny_model("flux1"))
    assert not model.components.denoiser.config.guidance_embeds
    assert not model.scheduler.config.use_dynamic_shifting and model.scheduler.config.shift == 1.0
    assert model.text_length == 256


def test_single_file_with_fewer_blocks(tiny_model, tiny_file, tmp_path):
    tensors = {
        name: tensor
        for name, tensor in load_file(tiny_file("flux1", "original")).items()
        if not name.startswith(("double_blocks.1.", "single_blocks.1."))
    }
    save_file(tensors, tmp_path / "pruned.safetensors")
    config = load_model(tmp_path / "pruned.safetensors", components=tiny_model("flux1")).components.denoiser.config
    assert (config.num_layers, config.num_single_layers) == (1, 1)


# What is asked of the Hub


def test_what_is_fetched(tiny_model, tiny_file):
    """A revision belongs to the model alone; beside a single file, only what it lacks is fetched."""
    asked = []

    def resolve(path_or_id, **wanted):
        asked.append((path_or_id, wanted))
        places = {"owner/model": tiny_model("sd15"), "owner/vae": tiny_model("sd15") / "vae",
                  "stable-diffusion-v1-5/stable-diffusion-v1-5": tiny_model("sd15")}  # fmt: skip
        return places.get(path_or_id, Path(path_or_id))

    def load_it(**settings):
        asked.clear()
        return load(ModelConfig(**settings), precision=torch.float32, device=torch.device("cpu"), resolve=resolve)

    model = load_it(path="owner/model", revision="abc", vae_path="owner/vae")
    assert (model.source.title, model.source.vae_title) == ("owner/model", "owner/vae")
    assert ("owner/model", {"revision": "abc"}) in asked and ("owner/vae", {}) in asked
    for layout, wants_encoder in (("original", False), ("unet_only", True)):
        load_it(path=str(tiny_file("sd15", layout)))
        (patterns,) = (w["allow_patterns"] for id, w in asked if id == "stable-diffusion-v1-5/stable-diffusion-v1-5")
        assert "*/*.json" in patterns and "unet/*.safetensors" not in patterns
        assert ("text_encoder/*.safetensors" in patterns) == wants_encoder


def test_demo_is_the_bundled_folder(tiny_model, monkeypatch):
    monkeypatch.setattr(demo, "MODEL_FOLDER", tiny_model("sd15"))
    monkeypatch.chdir(tiny_model("sd15").parent)

    def resolve(path_or_id, **_):
        raise AssertionError(f"{path_or_id} was looked for elsewhere")

    config = ModelConfig(path="demo")
    assert identify(config, resolve) == "sd15"
    model = load(config, precision=torch.float32, device=torch.device("cpu"), resolve=resolve)
    assert model.source.title == "demo"


@pytest.mark.parametrize("architecture", TINY)
def test_identify_needs_nothing_else(architecture, tiny_model, tmp_path):
    """The index, and the denoiser's config where several architectures have the same pipeline."""
    shutil.copy(tiny_model(architecture) / "model_index.json", tmp_path)
    denoiser = SPECS[architecture].denoiser
    if SPECS[architecture].denoiser_config:
        (tmp_path / denoiser).mkdir()
        shutil.copy(tiny_model(architecture) / denoiser / "config.json", tmp_path / denoiser)
    assert identify(ModelConfig(path=str(tmp_path)), local) == architecture


@pytest.mark.parametrize(("architecture", "layout"), SINGLE_FILES)
def test_identify_single_file(architecture, layout, tiny_file):
    assert identify(ModelConfig(path=str(tiny_file(architecture, layout))), local) == architecture


def test_bypassed_guidance_is_an_embedding_of_zeros(tiny_model):
    """By hand: the last layer of the guidance embedder without weights gives zeros, whatever it is told."""
    model, by_hand = load_model(tiny_model("flux1")), load_model(tiny_model("flux1"))
    last = by_hand.components.denoiser.time_text_embed.guidance_embedder.linear_2
    last.weight.data.zero_()
    last.bias.data.zero_()
    noisy, times = noisy_input(model)
    sizes = torch.zeros(2, 6, dtype=torch.int64)
    model.guidance = None
    with torch.no_grad():
        bypassed = model.predict(noisy, times, conditioning(model), sizes)
        assert torch.equal(bypassed, by_hand.predict(noisy, times, conditioning(by_hand), sizes))
        model.guidance = 1.0
        assert not torch.allclose(bypassed, model.predict(noisy, times, conditioning(model), sizes))


# Flux.2: klein's sizes


def test_klein_distilled_samples_without_a_scale(tmp_path):
    model = load_model(flux2_klein.build(tmp_path / "distilled", distilled=True))
    assert model.pipeline().config.is_distilled
    with recorded_calls(model.components.denoiser) as calls:
        run(model.pipeline(), guidance_scale=4.0)
    assert len(calls) == 2, "one for each step"


def test_klein_9b_asks_for_its_own_text_encoder(tmp_path):
    """Its width says so; there is no such repository here, and the name is in the sentence."""
    tensors = {
        "img_in.weight": torch.zeros(4096, 128),
        "double_stream_modulation_img.lin.weight": torch.zeros(1, 1),
        "double_blocks.0.img_attn.qkv.weight": torch.zeros(1, 1),
        "single_blocks.0.linear1.weight": torch.zeros(1),
    }
    save_file(tensors, tmp_path / "klein.safetensors")
    with pytest.raises(UserError, match=r"FLUX\.2-klein-base-9B"):
        load_model(tmp_path / "klein.safetensors")
