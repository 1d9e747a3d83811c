"""Measure the bundled model, and a LoRA that was trained on the demo dataset.

    python -m benchmarks.demo.run [--lora FILE] [--samples 64] [--model FOLDER]

The bundled model has to follow captions of combinations that its training never showed: the colours by a pixel test,
the shape by a small classifier. The base must not draw a lory, the LoRA must, on backgrounds its pictures never had,
and the scores of the other captions must stay. The LoRA is loaded by diffusers, not by this project. Results go to
benchmarks/results/demo.json and, as pictures, to docs/images/. Ends with status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs as a file or a module, installed or not
from benchmarks.demo.colours import has_asked_colours
from benchmarks.demo.examples import LORY
from benchmarks.demo.judge import Judge, load_judge, measure_judge
from benchmarks.demo.sampling import (
    GUIDANCE,
    INFERENCE_STEPS,
    load_pipeline,
    sample,
    seconds_per_sample,
)
from loratory.demo import MODEL_FOLDER
from loratory.demo.concept import LORY_SIZES, UNSEEN_BACKGROUNDS, LoryScene, lory_caption
from loratory.demo.drawing import POSITIONS, Scene, caption, held_out_scene
from loratory.demo.grid import before_after, sheet
from loratory.files import write_json

ROOT = Path(__file__).parents[2]

TARGETS = {
    "colour and background, %": (">=", 90.0),
    "shape, %": (">=", 75.0),
    "seconds per sample": ("<", 1.0),
    "lory of the base, %": ("<=", 5.0),
    "lory of the LoRA, %": (">=", 80.0),
    "points of colour and background lost with the LoRA": ("<=", 5.0),
    "points of shape lost with the LoRA": ("<=", 5.0),
}


def held_out_scenes(count: int) -> list[Scene]:
    random = np.random.default_rng(31)
    return [held_out_scene(random) for _ in range(count)]


def lory_prompts(count: int) -> list[str]:
    """Every unseen background × size × position in turn, in the four wordings of the captions."""
    combinations = itertools.cycle(itertools.product(LORY_SIZES, POSITIONS, UNSEEN_BACKGROUNDS))
    scenes = [
        LoryScene(background, size, position)
        for size, position, background in itertools.islice(combinations, count)
    ]  # fmt: skip
    return [lory_caption(scene, wording=i // 4) for i, scene in enumerate(scenes)]


def follow_scores(images: Sequence[Image.Image], scenes: Sequence[Scene], judge: Judge) -> dict[str, float]:
    """Percentages of the pictures that have the asked colours, and of those that have the asked shape."""
    colours = sum(has_asked_colours(image, scene) for image, scene in zip(images, scenes, strict=True))
    shapes = sum(name == scene.shape for name, scene in zip(judge.names(images), scenes, strict=True))
    return {"colour and background, %": 100 * colours / len(images), "shape, %": 100 * shapes / len(images)}


def lory_score(images: Sequence[Image.Image], judge: Judge) -> float:
    return 100 * judge.names(images).count(LORY) / len(images)


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_targets(values: dict[str, float]) -> dict[str, dict[str, object]]:
    compare = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "<": lambda a, b: a < b}
    return {
        name: {"value": round(value, 3), "wanted": "{} {:g}".format(*TARGETS[name]), "met": compare[TARGETS[name][0]](
            value, TARGETS[name][1])}
        for name, value in values.items()
    }  # fmt: skip


def measure_base(
    pipeline: StableDiffusionPipeline, scenes: Sequence[Scene], prompts: Sequence[str], judge: Judge, pictures: Path
) -> tuple[dict[str, float], list[Image.Image]]:
    """The values of the bundled model, and its pictures for the lory's prompts."""
    captions = [caption(scene) for scene in scenes]
    images = sample(pipeline, captions, seed=1)
    sheet(captions[:32], images[:32], pictures / "demo-model-samples.png")
    lory_images = sample(pipeline, prompts, seed=2)
    values = follow_scores(images, scenes, judge) | {
        "seconds per sample": seconds_per_sample(pipeline, captions[0]),
        "lory of the base, %": lory_score(lory_images, judge),
    }
    return values, lory_images


def measure_lora(
    pipeline: StableDiffusionPipeline, lora: Path, scenes: Sequence[Scene], prompts: Sequence[str], judge: Judge
) -> tuple[dict[str, float], list[Image.Image]]:
    """The scores with the LoRA loaded by diffusers, and its pictures for the lory's prompts."""
    pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
    scores = follow_scores(sample(pipeline, [caption(scene) for scene in scenes], seed=1), scenes, judge)
    images = sample(pipeline, prompts, seed=2)
    return scores | {"lory of the LoRA, %": lory_score(images, judge)}, images


def measure(options: argparse.Namespace) -> dict[str, object]:
    pipeline = load_pipeline(options.model)
    judge = load_judge(options.cache, pipeline.vae)
    scenes, prompts = held_out_scenes(options.prompts), lory_prompts(options.samples)
    values, base_images = measure_base(pipeline, scenes, prompts, judge, options.pictures)
    result: dict[str, object] = {
        "model": {"unet_sha256": file_hash(options.model / "unet" / "diffusion_pytorch_model.safetensors")},
        "sampling": {"guidance": GUIDANCE, "steps": INFERENCE_STEPS, "held_out_prompts": len(scenes),
                     "lory_prompts": len(prompts)},
        "machine": {"torch": torch.__version__, "diffusers": diffusers.__version__, "python": platform.python_version(),
                    "system": platform.system(), "processor": platform.machine(), "threads": torch.get_num_threads()},
        "judge": asdict(measure_judge(judge, pipeline.vae)),
    }  # fmt: skip
    if options.lora is not None:
        scores, lora_images = measure_lora(pipeline, options.lora, scenes, prompts, judge)
        values["lory of the LoRA, %"] = scores.pop("lory of the LoRA, %")
        for name, value in scores.items():
            values[f"points of {name.removesuffix(', %')} lost with the LoRA"] = values[name] - value
        result["lora"] = {"sha256": file_hash(options.lora), "scores of other prompts": scores}
        rows = range(0, len(prompts), max(1, len(prompts) // 12))
        before_after([prompts[i] for i in rows], [base_images[i] for i in rows], [lora_images[i] for i in rows],
                     options.pictures / "demo-lora-samples.png")  # fmt: skip
    return {"targets": check_targets(values)} | result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lora", type=Path, help="a safetensors file; without it only the base is measured")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--samples", type=int, default=64, help="prompts of the lory")
    parser.add_argument("--prompts", type=int, default=128, help="prompts of combinations absent from training")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "loratory-demo-judge",
                        help="where the trained judge is kept")  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "demo.json")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    result = measure(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, result)
    missed = 0
    for name, row in check_rows(result):
        missed += not row["met"]
        print(f"{name:52} {row['value']:>8} (wanted {row['wanted']}) {'' if row['met'] else 'MISSED'}")
    print(f"{'All targets met' if not missed else f'{missed} targets missed'}; details in {options.out}")
    return 1 if missed else 0


def check_rows(result: dict[str, object]) -> list[tuple[str, dict[str, object]]]:
    targets = result["targets"]
    assert isinstance(targets, dict)
    return list(targets.items())


if __name__ == "__main__":
    sys.exit(main())
