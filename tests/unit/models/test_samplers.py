"""Every sampler by name on both families of models: the picture of diffusers with that scheduler set by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from loratory.config.architectures import SPECS
from loratory.config.samplers import NAMES, SAMPLERS, why_not
from loratory.data.prompts import Prompt
from loratory.models.common.samplers import scheduler_for
from loratory.training.preview import make_sample
from tests.unit.models.conftest import load_model

# What kohya's and ai-toolkit's names mean, written down a second time: the class without "Scheduler", and its settings.
FIRST, SECOND = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, {"algorithm_type": "dpmsolver++"}
KARRAS = {"use_karras_sigmas": True}
MEANINGS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "sd15": {
        "ddim": ("DDIM", {}), "ddpm": ("DDPM", {}), "pndm": ("PNDM", {"skip_prk_steps": True}),
        "lms": ("LMSDiscrete", {}), "k_lms": ("LMSDiscrete", {}), "euler": ("EulerDiscrete", {}),
        "k_euler": ("EulerDiscrete", {}), "euler_a": ("EulerAncestralDiscrete", {}),
        "k_euler_a": ("EulerAncestralDiscrete", {}), "heun": ("HeunDiscrete", {}), "dpm_2": ("KDPM2Discrete", {}),
        "k_dpm_2": ("KDPM2Discrete", {}), "dpm_2_a": ("KDPM2AncestralDiscrete", {}),
        "k_dpm_2_a": ("KDPM2AncestralDiscrete", {}), "dpmsolver": ("DPMSolverMultistep", FIRST),
        "dpmsolver++": ("DPMSolverMultistep", SECOND), "k_dpmsolver": ("DPMSolverMultistep", FIRST | KARRAS),
        "k_dpmsolver++": ("DPMSolverMultistep", SECOND | KARRAS), "dpmsingle": ("DPMSolverSinglestep", {}),
        "deis": ("DEISMultistep", {}), "unipc": ("UniPCMultistep", {}), "sa_solver": ("SASolver", {}),
        "lcm": ("LCM", {}), "tcd": ("TCD", {}),
    },
    "flux1": {
        "flowmatch": ("FlowMatchEulerDiscrete", {}), "euler": ("FlowMatchEulerDiscrete", {}),
        "k_euler": ("FlowMatchEulerDiscrete", {}), "heun": ("FlowMatchHeunDiscrete", {}),
        "lcm": ("FlowMatchLCM", {}), "dpmsolver++": ("DPMSolverMultistep", SECOND),
        "dpmsingle": ("DPMSolverSinglestep", {}), "unipc": ("UniPCMultistep", {}),
    },
}  # fmt: skip
FAMILY = {architecture: SPECS[architecture].objective for architecture in MEANINGS}
# In the quick tier the names; classes of diffusers are other words for some of them.
CASES = [
    pytest.param(architecture, name, marks=() if name in MEANINGS[architecture] else pytest.mark.full)
    for architecture in MEANINGS for name in SAMPLERS[FAMILY[architecture]]
]  # fmt: skip
PROMPT = Prompt("a dog", "cats", 32, 32, seed=5, scale=3.0, steps=4, strength=1.0)
DRAWS_NOISE = {"DDPM", "EulerAncestralDiscrete", "KDPM2AncestralDiscrete", "SASolver", "LCM", "TCD", "FlowMatchLCM"}


def meaning(architecture: str, name: str) -> tuple[str, dict[str, Any]]:
    given = MEANINGS[architecture]
    if name in given:
        return given[name]
    stem = name.removesuffix("Scheduler")
    return stem, {"skip_prk_steps": True} if stem == "PNDM" else {}


def by_hand(architecture: str, pipeline: Any, name: str) -> Any:
    stem, settings = meaning(architecture, name)
    if architecture == "flux1" and not stem.startswith("FlowMatch"):
        settings = settings | {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    return getattr(diffusers, f"{stem}Scheduler").from_config(pipeline.scheduler.config, **settings)


@pytest.fixture(scope="module")
def ours_by_name(ours: Callable[[str], Any]) -> Callable[[str, str], np.ndarray]:
    made: dict[tuple[str, str], np.ndarray] = {}

    def picture(architecture: str, name: str) -> np.ndarray:
        if (architecture, name) not in made:
            model = ours(architecture)
            prompt = Prompt(**{**PROMPT.__dict__, "sampler": name})
            before = torch.get_rng_state()
            made[architecture, name] = np.asarray(make_sample(model.pipeline(), prompt, model), dtype=np.int16)
            assert torch.equal(torch.get_rng_state(), before), "nothing is drawn from what belongs to others"
        return made[architecture, name]

    return picture


def test_the_table_has_every_name_and_no_other() -> None:
    assert set(NAMES) == {name for family in SAMPLERS.values() for name in family}
    for architecture, meanings in MEANINGS.items():
        classes = {f"{stem}Scheduler" for stem, _ in meanings.values()}
        assert set(SAMPLERS[FAMILY[architecture]]) == set(meanings) | classes


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_name_of_the_other_family_is_refused_with_those_that_fit(spec: Any) -> None:
    for name in NAMES:
        reason = why_not(name, spec)
        assert bool(reason) == (name not in SAMPLERS[spec.objective])
        if reason:
            assert name in reason and spec.title in reason
            assert all(fitting in reason for fitting in SAMPLERS[spec.objective])
    assert "no sampler" in why_not("eular", spec)


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_the_picture_is_that_of_diffusers(
    architecture: str, name: str, ours_by_name: Callable, theirs: Callable[[str], Any]
) -> None:
    found = ours_by_name(architecture, name)
    assert found.shape == (32, 32, 3) and found.std() > 0
    pipeline = theirs(architecture)
    if meaning(architecture, name)[0] == "FlowMatchHeunDiscrete":
        return  # diffusers' class does not take the times that its pipeline gives: see the next tests
    own = pipeline.scheduler
    try:
        pipeline.scheduler = by_hand(architecture, pipeline, name)
        torch.manual_seed(PROMPT.seed)  # Flux's pipeline gives its scheduler no generator
        scale = {"sd15": "guidance_scale", "flux1": "true_cfg_scale"}[architecture]
        wanted = pipeline(
            PROMPT.text, negative_prompt=PROMPT.negative, width=32, height=32, num_inference_steps=4,
            generator=torch.Generator().manual_seed(PROMPT.seed), **{scale: PROMPT.scale},
        ).images[0]  # fmt: skip
    finally:
        pipeline.scheduler = own
    np.testing.assert_array_equal(found, np.asarray(wanted, dtype=np.int16))


@pytest.mark.parametrize("architecture", MEANINGS)
def test_samplers_differ(architecture: str, ours: Callable, tiny_model: Callable) -> None:
    """By their latents, since the tiny decoders round small differences away."""
    model = ours(architecture)
    names = {str(meaning(architecture, name)): name for name in MEANINGS[architecture]}
    found = {}
    for name in names.values():
        pipeline = model.pipeline()
        pipeline.scheduler = scheduler_for(name, pipeline.scheduler, model.spec.objective)
        torch.manual_seed(0)
        with torch.no_grad():
            latents = pipeline(
                "a dog", width=32, height=32, num_inference_steps=6, generator=torch.Generator().manual_seed(5),
                output_type="latent",
            ).images  # fmt: skip
        assert latents.isfinite().all(), name
        found[name] = latents
    equal = {
        (first, second)
        for first in found
        for second in found
        if first < second and torch.allclose(found[first], found[second], rtol=1e-4, atol=1e-5)
    }
    # The posterior of DDPM is Euler's ancestral step, written in other variables.
    assert equal == ({("ddpm", "k_euler_a")} if architecture == "sd15" else set())


# Exact solutions -------------------------------------------------------------------------------------------------

MEAN, DEVIATION = 0.5, 0.3
STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TERMINAL = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
MODELS = {
    "epsilon": DDIMScheduler(**STABLE_DIFFUSION, steps_offset=1),
    "velocity": DDIMScheduler(**STABLE_DIFFUSION, steps_offset=1, prediction_type="v_prediction"),
    "terminal": DDIMScheduler(**STABLE_DIFFUSION, **TERMINAL),
    "flow": FlowMatchEulerDiscreteScheduler(shift=3.0),
}


def signal_of(own: Any) -> np.ndarray:
    """alphas_cumprod of Stable Diffusion's schedule; with zero terminal SNR as Lin et al. 2023, algorithm 1."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    if own.config.rescale_betas_zero_snr:
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


def sampled(name: str, kind: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a perfect model of numbers with a normal distribution, and the noise that they began from."""
    own = MODELS[kind]
    scheduler = scheduler_for(name, own, "flow" if kind == "flow" else "ddpm")
    scheduler.set_timesteps(steps)
    noise = torch.linspace(-2, 2, 4000).double()[None, None, None]
    x = noise * float(getattr(scheduler, "init_noise_sigma", 1.0))
    takes = "generator" in inspect.signature(scheduler.step).parameters
    draws = {"generator": torch.Generator().manual_seed(0)} if takes else {}
    for time in scheduler.timesteps:
        given = scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x
        if kind == "flow":
            a, s = 1 - float(time) / 1000, float(time) / 1000
        else:
            power = float(np.interp(float(time), np.arange(1000), signal_of(own)))
            a, s = power**0.5, (1 - power) ** 0.5
        # The mean of the number and of the noise, given their mixture a·number + s·noise.
        spread = a * a * DEVIATION**2 + s * s
        number, noise_part = MEAN + a * DEVIATION**2 / spread * (given - a * MEAN), s * (given - a * MEAN) / spread
        told = {"epsilon": noise_part, "flow": noise_part - number}.get(kind, a * noise_part - s * number)
        x = scheduler.step(told, time, x, return_dict=False, **draws)[0].double()
    return x.flatten().numpy(), noise.flatten().numpy()


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in MODELS for name in SAMPLERS["flow" if kind == "flow" else "ddpm"]]
)
def test_a_sampler_solves_what_it_is_for(kind: str, name: str) -> None:
    """The probability-flow ODE (Song et al. 2021, section 4.3) takes noise z to mean + deviation · z where the numbers
    have a normal distribution; samplers that draw noise on their way get the mean right. What is predicted, and the
    schedule, are the model's."""
    found, noise = sampled(name, kind, 50)
    stem = meaning("flux1" if kind == "flow" else "sd15", name)[0]
    if stem in DRAWS_NOISE:
        assert abs(found.mean() - MEAN) < 0.03
        assert 0.1 < found.std() < 0.4
    else:
        # 0.012: the noise that is left at the end of a schedule without zero terminal SNR is not of mean 0 exactly.
        assert np.abs(found - (MEAN + DEVIATION * noise)).max() < 0.1


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_heun_on_a_flow_model_is_the_trapezoid_rule(shift: float) -> None:
    """Heun's method on dx/dσ = (x - m)(σ - (1-σ) v) / ((1-σ)² v + σ²) - m, at the shifted times of the model."""
    own = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler = scheduler_for("heun", own, "flow")
    plain = np.linspace(1, 1 / 5, 5)
    scheduler.set_timesteps(sigmas=plain.tolist(), mu=0.7)  # mu has no effect where the shift is fixed
    times = np.append(shift * plain / (1 + (shift - 1) * plain), 0.0)

    def slope(x: np.ndarray, sigma: float) -> np.ndarray:
        a, variance = 1 - sigma, (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
        return (x - a * MEAN) * (sigma - a * DEVIATION**2) / variance - MEAN

    noise = np.linspace(-2, 2, 50)
    wanted = noise.copy()
    for now, after in pairwise(times):
        first = slope(wanted, now)
        guess = wanted + (after - now) * first
        wanted = guess if after == 0 else wanted + (after - now) * (first + slope(guess, after)) / 2
    x = torch.from_numpy(noise).float()
    for time in scheduler.timesteps:
        x = scheduler.step(torch.from_numpy(slope(x.double().numpy(), float(time) / 1000)).float(), time, x)[0]
    np.testing.assert_allclose(x.numpy(), wanted, atol=1e-5)


def test_a_shift_that_depends_on_the_size_is_the_same_for_all_flow_samplers() -> None:
    """mu of Flux's pipeline means a shift of exp(mu)."""
    own = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    plain, factor = np.linspace(1, 1 / 6, 6), np.exp(0.8)
    wanted = factor * plain / (1 + (factor - 1) * plain)
    for name in ("flowmatch", "heun", "lcm"):
        scheduler = scheduler_for(name, own, "flow")
        scheduler.set_timesteps(6, sigmas=plain.tolist(), mu=0.8)
        np.testing.assert_allclose(np.unique(scheduler.timesteps)[::-1] / 1000, wanted, rtol=1e-5)
    for name in ("dpmsolver++", "unipc", "dpmsingle"):
        scheduler = scheduler_for(name, own, "flow")
        scheduler.set_timesteps(6, mu=0.8)
        times = np.linspace(1, 1 / 1000, 7)[:-1]  # these solvers end a step of their own before 0
        np.testing.assert_allclose(scheduler.sigmas[:6], factor * times / (1 + (factor - 1) * times), rtol=1e-2)


@pytest.mark.parametrize("name", [None, *SAMPLERS["flow"]])
def test_a_shift_of_the_prompt_replaces_the_models(name: str | None) -> None:
    own = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    found = []
    for shift in (1.0, 5.0):
        scheduler = scheduler_for(name, own, "flow", shift)
        scheduler.set_timesteps(4, mu=0.8)
        found.append(float(scheduler.timesteps[2]) / 1000)
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(("architecture", "name"), CASES)
def test_what_a_class_does_not_know_stays_where_pipelines_look_for_it(
    architecture: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Flux's pipeline reads the numbers of its shift from the scheduler. And nothing is said of it."""
    own = {
        "sd15": DDIMScheduler(**STABLE_DIFFUSION),
        "flux1": FlowMatchEulerDiscreteScheduler(base_shift=0.25, use_dynamic_shifting=True),
    }[architecture]
    scheduler = scheduler_for(name, own, FAMILY[architecture])
    assert scheduler.config.get("base_shift") == own.config.get("base_shift")
    assert "ignored" not in caplog.text


@pytest.mark.parametrize("name", SAMPLERS["flow"])
def test_models_with_a_fixed_shift(name: str, tiny_model: Callable) -> None:
    """As schnell; its pipeline gives a shift for the size all the same."""
    model = load_model(tiny_model("flux1"))
    model.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    prompt = Prompt(**{**PROMPT.__dict__, "sampler": name})
    assert np.asarray(make_sample(model.pipeline(), prompt, model)).std() > 0


@pytest.mark.parametrize(("architecture", "name"), [("sd15", "euler_a"), ("sd15", "lcm"), ("flux1", "lcm")])
def test_noise_on_the_way_depends_on_the_seed_alone(architecture: str, name: str, ours: Callable) -> None:
    model = ours(architecture)
    pictures = []
    for seed, elsewhere in ((1, 10), (1, 20), (2, 10)):
        torch.manual_seed(elsewhere)
        before = torch.get_rng_state()
        prompt = Prompt(**{**PROMPT.__dict__, "sampler": name, "seed": seed, "steps": 6})
        pictures.append(np.asarray(make_sample(model.pipeline(), prompt, model)))
        assert torch.equal(torch.get_rng_state(), before), "others' randomness goes on as if nothing had been made"
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_the_models_own_scheduler_is_the_default(ours: Callable) -> None:
    for architecture in SPECS:
        model = ours(architecture)
        pipeline = model.pipeline()
        own = pipeline.scheduler
        fresh = scheduler_for(None, own, model.spec.objective)
        assert type(fresh) is type(own) and fresh.config == own.config
        make_sample(pipeline, PROMPT, model)
        assert pipeline.scheduler is own
