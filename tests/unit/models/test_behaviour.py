"""What every architecture must do, seen against diffusers' own pipeline. New tiny models join by themselves."""

import inspect
from contextlib import contextmanager
from itertools import pairwise, product

import diffusers
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import unreached_layers
from loratory.config.network import LoraConfig
from loratory.networks.base import inject, modules_by_path, shared_inputs, targets
from tests.architectures import spread
from tests.tiny import MODULES, SINGLE_FILES, TINY
from tests.unit.models.conftest import load_model
from tests.unit.networks.helpers import stir
from tests.unit.networks.test_network_types import CONFIGS

TEXTS = ["a small red bird", "ohwx, " * 30]
HEIGHT, WIDTH = 64, 48

each_architecture = pytest.mark.parametrize("architecture", TINY)


def modules(model):
    parts = model.components
    vae = {} if model.spec.pixel_space else {"vae": parts.vae}
    return {model.spec.denoiser: parts.denoiser, **vae, **parts.text_encoders}


def assert_same_weights(found: nn.Module, wanted: nn.Module) -> None:
    found_state, wanted_state = found.state_dict(), wanted.state_dict()
    assert found_state.keys() == wanted_state.keys()
    for name, tensor in wanted_state.items():
        assert found_state[name].dtype == tensor.dtype and torch.equal(found_state[name], tensor), name


def conditioning(model, texts=TEXTS):
    return model.collate(model.encode_prompts(texts))


def whole_picture_sizes(count):
    return torch.tensor([[HEIGHT, WIDTH, 0, 0, HEIGHT, WIDTH]] * count)


def factor(model):
    """Pixels per latent along one side."""
    return 1 if model.spec.pixel_space else 8


def latent_channels(model):
    config = model.components.vae.config
    return config.z_dim if hasattr(config, "z_dim") else config.latent_channels


def noisy_input(model, count=2):
    channels = latent_channels(model)
    size = (HEIGHT // factor(model), WIDTH // factor(model))
    noisy = torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.25, 0.9]) if model.spec.objective == "flow" else torch.tensor([17, 901])
    return noisy, times[:count]


@contextmanager
def recorded_calls(denoiser):
    """Arguments by name, and output, of each call of the denoiser."""
    calls, parameters = [], inspect.signature(type(denoiser).forward)

    def record(module, positional, named, output):
        bound = parameters.bind(module, *positional, **named).arguments
        kept = {k: v for k, v in bound.items() if v is not None and k not in ("self", "return_dict") and v != {}}
        calls.append((kept, output[0]))

    handle = denoiser.register_forward_hook(record, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


@contextmanager
def recorded_steps(scheduler, objective):
    """Time and prediction that the pipeline hands to its scheduler in each step, whatever the net's own time and sign:
    sigma and noise - picture (flow), or the timestep and what a noise-prediction model predicts."""
    steps, step = [], scheduler.step

    def record(model_output, timestep, *rest, **named):
        steps.append((scheduler.sigmas[len(steps)] if objective == "flow" else timestep, model_output))
        return step(model_output, timestep, *rest, **named)

    scheduler.step = record
    try:
        yield steps
    finally:
        del scheduler.step


def run(pipeline, **arguments):
    generator = torch.Generator().manual_seed(3)
    given = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "output_type": "np"} | arguments
    return pipeline(prompt=list(TEXTS), generator=generator, **given).images


def unguided(pipeline, spec):
    """The argument that leaves out the call for the negative text."""
    usual = "guidance_scale"
    known = inspect.signature(type(pipeline).__call__).parameters
    return {usual if usual in known else spec.pipeline_arguments["scale"]: 1.0}


def as_latents(tensor):
    """Tokens of 2x2 patches, channel first, to latents; so are lists of films of one frame; latents as they are."""
    if isinstance(tensor, list):
        return torch.stack(tensor).squeeze(2)
    if tensor.ndim == 4:
        return tensor
    return functional.fold(tensor.transpose(1, 2), (HEIGHT // 8, WIDTH // 8), kernel_size=2, stride=2)


@each_architecture
def test_every_spec_has_a_tiny_model_and_agrees_with_it(architecture, ours):
    spec, model = SPECS[architecture], ours(architecture)
    assert model.spec is spec
    assert set(TINY) == set(SPECS)
    assert list(model.components.text_encoders) == list(spec.text_encoders)
    assert set(spec.text_encoder_prefixes) == set(spec.text_encoders)
    assert (model.noise_schedule is None) == (spec.objective == "flow")
    pipeline_class = getattr(diffusers, spec.pipeline_class, None) or type(model.pipeline())
    assert pipeline_class.__name__ == spec.pipeline_class
    parameters = inspect.signature(pipeline_class.__call__).parameters
    assert set(spec.pipeline_arguments.values()) <= set(parameters)
    assert model.source.title == architecture and model.source.file is None


@each_architecture
def test_folder_has_the_weights_that_diffusers_loads(architecture, ours, theirs):
    for name, module in modules(ours(architecture)).items():
        assert_same_weights(module, getattr(theirs(architecture), name))
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize(("architecture", "layout"), SINGLE_FILES)
def test_single_file_has_the_weights_of_the_folder(architecture, layout, ours, tiny_model, tiny_file):
    file = tiny_file(architecture, layout)
    model, folder_model = load_model(file, components=tiny_model(architecture)), ours(architecture)
    for name, module in modules(model).items():
        assert_same_weights(module, modules(folder_model)[name])
        assert all(parameter.is_contiguous() for parameter in module.parameters())
        assert not any(tensor.is_meta for tensor in [*module.parameters(), *module.buffers()])
    assert model.scheduler.config == folder_model.scheduler.config
    assert (model.source.title, model.source.file) == (file.name, str(file))
    noisy, times = noisy_input(model)
    sizes = whole_picture_sizes(2)
    with torch.no_grad():
        assert torch.equal(
            model.predict(noisy, times, conditioning(model), sizes),
            folder_model.predict(noisy, times, conditioning(folder_model), sizes),
        )


@each_architecture
def test_denoiser_is_given_what_the_pipeline_gives_it(architecture, ours, theirs):
    model, pipeline = ours(architecture), theirs(architecture)
    denoiser, scheduler = getattr(pipeline, model.spec.denoiser), pipeline.scheduler
    with recorded_calls(denoiser) as wanted, recorded_steps(scheduler, model.spec.objective) as steps:
        run(pipeline, **unguided(pipeline, model.spec))
    assert wanted
    for (arguments, _), (time, output) in zip(wanted, steps, strict=True):
        latents, times = next(iter(arguments.values())), time.expand(len(TEXTS))
        with recorded_calls(model.components.denoiser) as found, torch.no_grad():
            predicted = model.predict(as_latents(latents), times, conditioning(model), whole_picture_sizes(2))
        ((given, _),) = found
        assert_same_arguments(given, arguments)
        assert predicted.dtype == torch.float32
        torch.testing.assert_close(predicted, as_latents(output), rtol=0, atol=1e-6)


MASKS = {"attention_mask", "encoder_attention_mask"}
"""Of text and picture, or of the text alone."""


def assert_same_arguments(found, wanted):
    """Padding may differ where a mask leaves it out; without a mask everything is attended to."""
    if MASKS & wanted.keys():
        found, wanted = attended(found), attended(wanted)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_same_argument(found[name], value, name)


def attended(arguments):
    """The arguments with texts cut to what is attended to, text by text, instead of padded ones and a mask."""
    hidden = arguments["encoder_hidden_states"]
    length = hidden.shape[1]
    given = [arguments[name] for name in MASKS & arguments.keys()]
    mask = (given[0] if given else torch.ones(len(hidden), length)).bool()
    assert mask[:, length:].all(), "of the picture nothing is left out"
    told = {f"text {i}": states[here[:length]] for i, (states, here) in enumerate(zip(hidden, mask, strict=True))}
    ids = {"txt_ids": arguments["txt_ids"][:1]} if "txt_ids" in arguments else {}
    rest = {k: v for k, v in arguments.items() if k not in {"encoder_hidden_states", "txt_ids", *MASKS}}
    return rest | told | ids


@pytest.mark.parametrize("architecture", [name for name in TINY if SPECS[name].objective == "flow"])
def test_steps_along_the_prediction_lead_where_the_pipeline_goes(architecture, ours, theirs):
    """The sign by hand: dx/dsigma is noise - picture, so x' = x + (sigma' - sigma) v, from noise (1) to picture (0)."""
    model, pipeline = ours(architecture), theirs(architecture)
    with recorded_calls(getattr(pipeline, model.spec.denoiser)) as calls:
        end = run(pipeline, **unguided(pipeline, model.spec))
    x, told = as_latents(next(iter(calls[0][0].values()))).clone(), conditioning(model)
    sigmas = pipeline.scheduler.sigmas.tolist()
    assert sigmas[0] == 1.0 and sigmas[-1] == 0.0
    with torch.no_grad():
        for before, after in pairwise(sigmas):
            velocity = model.predict(x, torch.full((len(TEXTS),), before), told, whole_picture_sizes(2))
            x = x + (after - before) * velocity
        pixels = (model.decode(x) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(pixels.numpy(), end, atol=1e-4)


def assert_same_argument(found, wanted, name):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_same_argument(found[key], value, f"{name}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), name
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_same_argument(one, other, f"{name}.{number}")
    elif not isinstance(wanted, torch.Tensor):
        assert found == wanted, name
    else:
        shape = torch.broadcast_shapes(found.shape, wanted.shape)
        assert torch.equal(found.float().expand(shape), wanted.float().expand(shape)), name


@each_architecture
def test_pictures_are_those_of_diffusers(architecture, ours, theirs):
    model = ours(architecture)
    found = run(model.pipeline())
    assert found.shape == (2, HEIGHT, WIDTH, 3) and found.std() > 0
    np.testing.assert_array_equal(found, run(theirs(architecture)))
    # A second pipeline starts afresh: no state of the first one's sampling is left in the model.
    np.testing.assert_array_equal(found, run(model.pipeline()))


@each_architecture
def test_texts_do_not_depend_on_their_batch(architecture, ours):
    model = ours(architecture)
    assert model.encode_prompts([]) == []
    with torch.no_grad():
        together, alone = model.encode_prompts(TEXTS), [model.encode_prompts([text])[0] for text in TEXTS]
        empty = model.encode_prompts([""])[0]
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys() == empty.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=1e-5, atol=1e-6)
            assert tensor.shape != empty[name].shape or not torch.allclose(tensor, empty[name])
    stacked = model.collate(together)
    assert set(stacked) in (set(together[0]), {*together[0], "mask"})
    for name in together[0]:
        for row, one in enumerate(together):
            length = len(one[name])
            assert torch.equal(stacked[name][row, :length], one[name])
            if stacked[name].shape[1] != length:
                assert stacked["mask"][row].tolist() == [place < length for place in range(stacked["mask"].shape[1])]


def by_two_numbers(vae, latents, deviation=False):
    """Latents as the denoiser wants them, or their deviation; tiny models that do otherwise have such a function."""
    shift, scale = vae.config.shift_factor or 0.0, vae.config.scaling_factor
    return latents * scale if deviation else (latents - shift) * scale


@each_architecture
def test_pixels_become_scaled_latents_and_come_back(architecture, ours):
    model = ours(architecture)
    vae = model.components.vae
    scaled = getattr(MODULES[architecture], "scaled", by_two_numbers)
    pixels = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)) * 2 - 1
    mean, deviation = model.encode_images(pixels)
    size = (HEIGHT // factor(model), WIDTH // factor(model))
    assert mean.shape == deviation.shape == (2, latent_channels(model), *size)
    if model.spec.pixel_space:
        assert torch.equal(mean, pixels) and not deviation.any() and torch.equal(model.decode(mean), pixels)
        return
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
        decoded = model.decode(mean)
        torch.testing.assert_close(decoded, vae.decode(posterior.mean).sample, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean, scaled(vae, posterior.mean))
    torch.testing.assert_close(deviation, scaled(vae, posterior.var.sqrt(), deviation=True))
    assert decoded.shape == pixels.shape


@each_architecture
def test_gradients_reach_denoiser_and_text_encoders_but_not_the_pixels(architecture, ours):
    model = ours(architecture)
    trained = {
        name: next(p for key, p in module.named_parameters() if "q.weight" in key or "q_proj.weight" in key)
        for name, module in modules(model).items()
        if name in (model.spec.denoiser, *model.spec.trainable_text_encoders)
    }
    vae_weights = list(model.components.vae.parameters())[:1]
    noisy, times = noisy_input(model)
    try:
        for parameter in (*vae_weights, *trained.values()):
            parameter.requires_grad_(True)
        model.predict(noisy, times, conditioning(model), whole_picture_sizes(2)).square().mean().backward()
        for name, parameter in trained.items():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        mean, deviation = model.encode_images(torch.zeros(1, 3, HEIGHT, WIDTH))
        assert not mean.requires_grad and not deviation.requires_grad
    finally:
        for parameter in (*vae_weights, *trained.values()):
            parameter.requires_grad_(False)
            parameter.grad = None


@each_architecture
def test_bfloat16_with_a_float32_autoencoder(architecture, ours, tiny_model):
    model, exact = load_model(tiny_model(architecture), torch.bfloat16), ours(architecture)
    dtypes = {name: {p.dtype for p in module.parameters()} for name, module in modules(model).items()}
    assert dtypes.pop("vae", {torch.float32}) == {torch.float32}
    assert all(found == {torch.bfloat16} for found in dtypes.values()), dtypes
    noisy, times = noisy_input(model)
    with torch.no_grad():
        predicted = model.predict(noisy, times, conditioning(model), whole_picture_sizes(2))
        wanted = exact.predict(noisy, times, conditioning(exact), whole_picture_sizes(2))
    assert predicted.dtype == torch.float32
    assert (predicted - wanted).norm() / wanted.norm() < 0.05
    assert np.isfinite(run(model.pipeline())).all()


@pytest.mark.parametrize("architecture", [name for name in TINY if not SPECS[name].pixel_space])
def test_autoencoder_in_bfloat16_when_asked_for(architecture, tiny_model):
    model = load_model(tiny_model(architecture), vae_precision="bf16")
    assert {p.dtype for p in model.components.vae.parameters()} == {torch.bfloat16}
    mean, deviation = model.encode_images(torch.zeros(1, 3, HEIGHT, WIDTH))
    assert mean.dtype == deviation.dtype == model.decode(mean).dtype == torch.float32


@each_architecture
def test_sizes_matter_only_where_the_model_is_told_them(architecture, ours):
    model = ours(architecture)
    noisy, times = noisy_input(model)
    told, sizes = conditioning(model), whole_picture_sizes(2)
    with torch.no_grad():
        outputs = [model.predict(noisy, times, told, sizes)]
        for place in range(6):
            changed = sizes.clone()
            changed[:, place] += 8
            outputs.append(model.predict(noisy, times, told, changed))
    distinct = {output.numpy().tobytes() for output in outputs}
    assert len(distinct) == (7 if architecture == "sdxl" else 1)


@each_architecture
def test_gradients_reach_every_adapter_but_those_of_unused_layers(architecture, ours):
    """Which these are, and why, says the spec."""
    model = ours(architecture)
    spec = model.spec
    config = LoraConfig(
        rank=2, conv_rank=2, train_text_encoders=True, train_large_text_encoders=bool(spec.large_text_encoders)
    )
    network = inject(model, config, seed=0)
    stir(network)
    try:
        noisy, times = noisy_input(model)
        model.predict(noisy, times, conditioning(model), whole_picture_sizes(2)).square().mean().backward()
        still = {path for path, layer in network.layers.items() if any(
            parameter.grad is None or not parameter.grad.any() for parameter in layer.parameters())}  # fmt: skip
        idle = {path for path, layer in network.layers.items() if all(
            parameter.grad is None or not parameter.grad.any() for parameter in layer.parameters())}  # fmt: skip
    finally:
        network.detach()
    assert still == idle == set(unreached_layers(spec, network.layers))
    assert all(len(reason) > 20 for reason in spec.unreached.values())


@pytest.mark.parametrize(("architecture", "kind"), spread(product(TINY, CONFIGS)))
def test_every_network_type_fits(architecture, kind, ours):
    """It begins as the model is, changes it once it has learned, and leaves it as it was."""
    model = ours(architecture)
    noisy, times = noisy_input(model)
    with torch.no_grad():
        told, sizes = conditioning(model), whole_picture_sizes(2)
        before = model.predict(noisy, times, told, sizes)
        network = inject(model, CONFIGS[kind](), seed=0).eval()
        try:
            torch.testing.assert_close(model.predict(noisy, times, told, sizes), before, rtol=1e-4, atol=1e-5)
            stir(network)
            changed = model.predict(noisy, times, told, sizes)
        finally:
            network.detach()
        assert changed.isfinite().all() and not torch.allclose(changed, before, rtol=1e-3, atol=1e-4)
        assert torch.equal(model.predict(noisy, times, told, sizes), before)


@each_architecture
def test_declared_shared_inputs_are_all_that_there_are(architecture, ours):
    """Adapters of layers that are called one after the other with the same tensor are computed together."""
    model = ours(architecture)
    network = LoraConfig(train_text_encoders=True, train_large_text_encoders=bool(model.spec.large_text_encoders))
    chosen = targets(model, network)
    calls: list[tuple[str, torch.Tensor]] = []  # the tensors are kept: no other can get their place

    def record(path):
        return lambda module, inputs: calls.append((path, inputs[0]))

    layers = modules_by_path(model)
    handles = [layers[path].register_forward_pre_hook(record(path)) for path in chosen]
    try:
        noisy, times = noisy_input(model)
        model.predict(noisy, times, conditioning(model), whole_picture_sizes(2))
    finally:
        for handle in handles:
            handle.remove()
    found: list[set[str]] = []
    for number, (path, x) in enumerate(calls):
        if number and calls[number - 1][1] is x:
            found[-1].add(path)
        else:
            found.append({path})
    declared = shared_inputs(model.spec, chosen)
    assert {frozenset(group) for group in declared} == {frozenset(group) for group in found if len(group) > 1}
    assert {path for path, _ in calls} == set(chosen), "every chosen layer is called"
