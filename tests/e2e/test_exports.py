"""What was trained is what is exported: other programs' loaders make the same picture of it."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from loratory.config.architectures import get_spec
from loratory.networks.metadata import read_lora
from tests.architectures import KNOWN_TO_DIFFUSERS, each, each_pair
from tests.e2e.jobs import changed, losses, train
from tests.tiny import MODULES

pytestmark = pytest.mark.slow

# diffusers' reader of kohya's names for Flux has the widths of the full model written into it, and it has none for
# Stable Diffusion 3, HiDream and Lumina.
UNREADABLE = {(name, "kohya") for name in ("flux1", "chroma", "sd3", "hidream", "lumina2")}
PROMPT = "ohwx cat on a table"


def picture(pipeline: Any, architecture: str) -> np.ndarray:
    """What a person gets who sets the same things by hand. (An empty negative prompt is not the same as none.)"""
    generator = torch.Generator("cpu").manual_seed(7)
    names = get_spec(architecture).pipeline_arguments
    given = {names[what]: value for what, value in {"scale": 3.0, "negative": ""}.items() if what in names}
    image = pipeline(prompt=PROMPT, width=64, height=64, num_inference_steps=3, generator=generator, **given).images[0]
    return np.asarray(image, dtype=np.int16)


@pytest.mark.parametrize(
    ("architecture", "form"),
    each_pair(pair for pair in product(KNOWN_TO_DIFFUSERS, ("kohya", "diffusers")) if pair not in UNREADABLE),
)
def test_diffusers_makes_our_picture(
    architecture: str, form: str, make_job: Callable, tiny_model: Callable[[str], Path]
) -> None:
    """Text encoders and an alpha of its own are in it, so that every part and every scale has to be right."""
    strong = {
        "network": {"rank": 3, "alpha": 2.0, "train_text_encoders": True},
        "optimizer.learning_rate": 0.2,
        "saving.format": form,
        "saving.precision": "fp32",
        "sampling": {
            "prompts": [f"{PROMPT} --w 64 --h 64 --s 3 --d 7 --l 3"],
            "every_n_steps": 100,
            "before_first_step": True,
        },
    }
    run = train(make_job(architecture, strong))
    before, after = (np.asarray(Image.open(path), dtype=np.int16) for path in sorted(run.samples_path.glob("*.png")))
    assert np.abs(after - before).mean() > 2, "the LoRA can be seen"

    pipeline = DiffusionPipeline.from_pretrained(tiny_model(architecture), dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline = getattr(MODULES[architecture], "mended", lambda same: same)(pipeline)
    assert np.abs(picture(pipeline, architecture) - before).max() <= 1
    pipeline.load_lora_weights(str(run.path), weight_name=run.final_export_path.name)
    assert np.abs(picture(pipeline, architecture) - after).max() <= 1
    pipeline.unload_lora_weights()
    assert np.abs(picture(pipeline, architecture) - before).max() <= 1


@pytest.mark.parametrize("form", ["kohya", "diffusers"])
@pytest.mark.parametrize("architecture", each())
def test_training_starts_from_an_export(architecture: str, form: str, make_job: Callable) -> None:
    """The first step of a run that starts from a file has the loss of a run whose weights are the same."""
    learned = {"network.alpha": 1.0, "optimizer.learning_rate": 0.05, "saving.format": form, "saving.precision": "fp32"}
    first = train(make_job(architecture, learned, output="first"))
    start = {"network.start_from": str(first.final_export_path), "duration.steps": 1, "optimizer.learning_rate": 1e-9}
    again = train(make_job(architecture, learned | start, output="again"))
    fresh = train(make_job(architecture, learned | {"duration.steps": 1}, output="fresh"))
    assert losses(again) != pytest.approx(losses(fresh), rel=1e-4), "it matters where it starts"
    ours, _ = read_lora(first.final_export_path)
    theirs, _ = read_lora(again.final_export_path)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-7) for name in ours)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision_of_exports(precision: str, make_job: Callable) -> None:
    data = make_job("sd15", {"optimizer.learning_rate": 0.05})
    exact = train(changed(data, {"saving.precision": "fp32", "name": "exact"}))
    rounded = train(changed(data, {"saving.precision": precision, "name": "rounded"}))
    ours, _ = read_lora(exact.final_export_path)
    theirs, _ = read_lora(rounded.final_export_path)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert all(torch.equal(theirs[name], tensor.to(dtype) if tensor.dim() else tensor) for name, tensor in ours.items())
