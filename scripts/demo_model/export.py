"""Make the package's Stable Diffusion 1.5 folder (fp16 safetensors) from the result of `train.py`.

    python scripts/demo_model/export.py WORK_FOLDER OUT_FOLDER

Uses the averaged (EMA) weights of the last snapshot. OUT_FOLDER appears whole: it is written beside itself, checked,
and renamed. The check: total size, equal token ids, SD 1.5's key names, and samples that fp16 rounding leaves alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))
from train import make_text_encoder, make_unet

from loratory.files import new_folder

SIZE_LIMIT = 24_000_000
"""Bytes that all files together may have."""

PROMPTS = [
    "a red circle on a blue background",
    "a large green dotted star at the left on a yellow background",
    "small white heart at the top, black background",
    "purple background, a pink flower",
]

ABOUT = """A small text-to-image model in the layout of Stable Diffusion 1.5, trained from nothing for this project on
pictures drawn by loratory/demo/drawing.py. It contains no weights and no data of any other model.
License: Apache-2.0, like the project. Record of its training: docs/demo-model.md.
"""


def trained_pipeline(work: Path) -> tuple[StableDiffusionPipeline, int]:
    """The pipeline with the averaged float32 weights of the last snapshot, and the snapshot's step."""
    state = torch.load(work / "unet.pt", weights_only=True)
    weights = {name.removeprefix("module."): value for name, value in state["ema"].items() if name != "n_averaged"}
    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    unet, text_encoder = make_unet(), make_text_encoder(tokenizer)
    torch.nn.ModuleDict({"unet": unet, "text": text_encoder}).load_state_dict(weights)
    # diffusers' pipeline wants an offset of 1 and warns otherwise; "trailing" timesteps do not use it.
    scheduler = DDIMScheduler.from_pretrained(work / "scheduler", steps_offset=1)
    if scheduler.config["timestep_spacing"] != "trailing":
        raise RuntimeError("the offset of the scheduler may only be changed where timesteps are trailing")
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline, int(state["step"])


def samples(pipeline: StableDiffusionPipeline) -> np.ndarray:
    """Four fixed samples, float (4, 128, 128, 3) in 0..1."""
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(i) for i in range(len(PROMPTS))]
    return np.asarray(
        pipeline(PROMPTS, num_inference_steps=25, guidance_scale=6.0, generator=generators, output_type="np").images
    )


def write_text_encoder(folder: Path) -> None:
    """Give the saved tensors SD 1.5's names, which start with `text_model.`, and let float32 be the dtype to load."""
    path = folder / "model.safetensors"
    tensors = {"text_model." + name.removeprefix("text_model."): value for name, value in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Loaded without a dtype, transformers takes this one and diffusers float32 for the other parts; a mixture of
    # both does not run.
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path) -> None:
    """Add vocab.json and merges.txt, which SD 1.5's folders have beside or instead of tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")


def forget_places(folder: Path) -> None:
    """Take out of the configs where on this machine the parts were read from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_tokenizers(work: Path, folder: Path) -> None:
    """The folder's tokenizer, and one made from vocab.json and merges.txt alone, give the ids of training."""
    texts = [*PROMPTS, "A photo of a lory, on grass!", "x" * 60, ""]
    expected = CLIPTokenizer.from_pretrained(work / "tokenizer")(texts).input_ids
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(folder / name, Path(scratch) / name)
        for place in (folder, Path(scratch)):
            if CLIPTokenizer.from_pretrained(place)(texts).input_ids != expected:
                raise RuntimeError(f"the tokenizer in {place} gives other ids than the one of training")


def write_model(pipeline: StableDiffusionPipeline, work: Path, folder: Path) -> int:
    """Fill the folder, check what can be checked without sampling, and return its size in bytes."""
    for component in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        component.half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    write_text_encoder(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer")
    forget_places(folder)
    (folder / "README.md").write_text(ABOUT, encoding="utf-8")
    check_tokenizers(work, folder / "tokenizer")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > SIZE_LIMIT:
        raise RuntimeError(f"the model has {size:,} bytes; at most {SIZE_LIMIT:,} may ship")
    return size


def export(work: Path, out: Path) -> None:
    pipeline, step = trained_pipeline(work)
    before = samples(pipeline)
    with new_folder(out, replace=True) as folder:
        size = write_model(pipeline, work, folder)
        after = samples(StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32))
        difference = np.abs(after - before) * 255
        if not difference.mean() < 1:
            raise RuntimeError(f"fp16 changes the samples by {difference.mean():.2f} levels of 255 on average")
    print(
        f"{out}: step {step}, {size:,} bytes; fp16 changes samples by {difference.mean():.3f} levels of 255 "
        f"on average, {np.quantile(difference, 0.999):.1f} at the 99.9th percentile, {difference.max():.1f} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="the folder that train.py filled")
    parser.add_argument("out", type=Path, help="the folder to make, usually loratory/demo/model")
    options = parser.parse_args()
    export(options.work, options.out)


if __name__ == "__main__":
    main()
