"""`text.max_tokens`: captions and the prompts of samples are cut to it, as the model's own pipeline does it."""

import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.data.prompts import Prompt
from loratory.training.preview import make_sample
from tests.unit.models.test_behaviour import (
    TEXTS,
    as_latents,
    assert_same_arguments,
    conditioning,
    recorded_calls,
    recorded_steps,
    run,
    unguided,
    whole_picture_sizes,
)

SHORT = 40
LIMITED = [name for name, spec in SPECS.items() if "max_tokens" in spec.text_settings]


@pytest.fixture(params=LIMITED)
def model(request, ours, monkeypatch):
    """Told to read `SHORT` tokens."""
    model = ours(request.param)
    monkeypatch.setattr(model, "text_length", SHORT)
    return model


@pytest.mark.parametrize("architecture", LIMITED)
def test_the_usual_length_is_that_of_the_spec(architecture, ours):
    spec = SPECS[architecture]
    assert ours(architecture).text_length == spec.text_tokens
    assert (spec.most_text_tokens or spec.text_tokens) >= spec.text_tokens


def test_captions_are_cut_as_the_pipeline_cuts_prompts(model, theirs):
    pipeline = theirs(model.spec.name)
    denoiser, scheduler = getattr(pipeline, model.spec.denoiser), pipeline.scheduler
    with recorded_calls(denoiser) as wanted, recorded_steps(scheduler, "flow") as steps:
        run(pipeline, max_sequence_length=SHORT, **unguided(pipeline, model.spec))
    arguments, time = wanted[0][0], steps[0][0].expand(len(TEXTS))
    latents = as_latents(next(iter(arguments.values())))
    with recorded_calls(model.components.denoiser) as found, torch.no_grad():
        model.predict(latents, time, conditioning(model), whole_picture_sizes(2))
    assert_same_arguments(found[0][0], arguments)


def test_so_are_the_prompts_of_samples(model):
    prompt = Prompt(text=TEXTS[1], width=64, height=64, steps=1, seed=1, scale=1.0)
    with recorded_calls(model.components.denoiser) as calls:
        make_sample(model.pipeline(), prompt, model)
    told = [tensor for tensor in conditioning(model, TEXTS[1:]).values() if tensor.ndim > 2]
    given = [each for value in calls[0][0].values() for each in (value if isinstance(value, list) else [value])]
    lengths = {each.shape[-2] for each in given if isinstance(each, torch.Tensor) and each.ndim in (2, 3)}
    assert told and all(each.shape[-2] in lengths for each in told)
