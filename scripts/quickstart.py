"""The quickstart: teach the bundled model a new word from twelve pictures, and look at the difference.

    python scripts/quickstart.py [--output FOLDER] [--set KEY=VALUE ...]

Draws the demo pictures, writes a job file, trains through the ordinary `loratory train`, and leaves `before-after.png`
in the run's folder, next to the job file. Asks nothing, and ends by naming the run's page in the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

JOB = """\
# The quickstart's job. Change a number and run it again under another name:
#   loratory train job.yaml --name second_try --set network.rank=32
job: train
name: lory
model: {path: demo}                   # the small model that comes with Loratory
datasets:
  # Twelve drawn pictures of the new thing with their captions, each of them ten times in an epoch,
  - {path: PICTURES, num_repeats: 10}
  # and pictures of known things, so that the other words stay as they are.
  - {path: ORDINARY}
network:
  rank: 16                            # how much the LoRA can hold
  conv_rank: 16                       # train the convolutions, too: the bird is made of small shapes
optimizer: {type: adamw, learning_rate: 2.5e-3}
schedule: {type: cosine, warmup_steps: 20}
batching: {size: 4, buckets: {resolution: 128}}
duration: {steps: 800}
memory: {precision: fp32}             # the model is small: on a CPU fp32 is the fastest
sampling:
  prompts: ["a lory in the center on a green background --d 3 --l 3"]
  every_n_steps: 400
saving:
  output_dir: OUTPUT
"""

PROMPTS = (
    "a lory in the center on a green background",
    "a large lory at the left on a purple background",
    "a lory at the right on an orange background",
    "a large lory at the top on a red background",
    "a large yellow star on a purple background",
    "a small white heart at the bottom on a green background",
)
"""The first four backgrounds are in none of the demo pictures; the last two prompts show that nothing else is lost."""

GUIDANCE, STEPS = 3.0, 25


def job_text(pictures: str, output: str) -> str:
    """The job, with the folder that the pictures' folders lie in and the folder for the run."""
    text = JOB.replace("PICTURES", f"{pictures}/lory-pictures").replace("ORDINARY", f"{pictures}/ordinary-pictures")
    return text.replace("OUTPUT", output)


def write_pictures(folder: Path) -> None:
    """Draw both datasets into their folders."""
    from loratory.demo.concept import write_dataset, write_ordinary

    for name, write in (("lory-pictures", write_dataset), ("ordinary-pictures", write_ordinary)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)


def train(job: Path, changes: list[str]) -> int:
    overrides = [part for change in changes for part in ("--set", change)]
    command = [sys.executable, "-m", "loratory.cli", "train", str(job), *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, env=environment).returncode


def draw_before_after(lora: Path, picture: Path) -> None:
    """The same prompts and seeds without and with the LoRA."""
    import torch

    from loratory.config.model import ModelConfig
    from loratory.config.sampling import SamplingConfig
    from loratory.demo.grid import before_after
    from loratory.drafts.prompts import settled
    from loratory.hub.download import resolve_model
    from loratory.interop.prompts import Prompt
    from loratory.models import load
    from loratory.networks import formats
    from loratory.networks.base import from_state, weight_shapes
    from loratory.networks.metadata import read_lora
    from loratory.training.preview import make_sample

    model = load(ModelConfig(path="demo"), precision=torch.float32, device=torch.device("cpu"), resolve=resolve_model)
    prompts = [
        settled(Prompt(text, seed=number, scale=GUIDANCE, steps=STEPS), 0, model.spec, SamplingConfig(), (128, 128))
        for number, text in enumerate(PROMPTS)
    ]
    before = [make_sample(model.pipeline(), prompt, model) for prompt in prompts]
    tensors, metadata = read_lora(lora)
    state = formats.import_(tensors, model.spec, weight_shapes(model), metadata=metadata, source=str(lora))
    network = from_state(model, state)
    after = [make_sample(model.pipeline(), prompt, model) for prompt in prompts]
    network.detach()
    before_after(PROMPTS, before, after, picture)


def where_to_see(run: Path) -> str:
    """The address of the run's page, and what to start for it unless a server runs already."""
    from loratory.runs import RunFolder, home_folder, is_held
    from loratory.server.context import Options
    from loratory.server.serve import address, note_path

    page = f"runs/{RunFolder.open(run).id}"
    if is_held(home_folder("state") / "server.lock"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            return f"See the run in the browser: {json.loads(note_path().read_text(encoding='utf-8'))['address']}{page}"
    program = shutil.which("loratory", path=str(Path(sys.executable).parent))
    command, rest = (program, "") if program else (sys.executable, " -m loratory.cli")
    with contextlib.suppress(ValueError):
        command = str(Path(command).relative_to(Path.cwd()))
    return f"See the run in the browser: start `{command}{rest} serve`, then open {address(Options())}{page}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "output")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    output: Path = options.output.resolve()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything the quickstart needs is in the package
    # Pictures of 128 pixels are too little work to share: two threads were no faster than one (5.07 and 5.12 steps a
    # second), and much slower wherever something else wanted one of the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    job = output / "lory.yaml"
    write_pictures(output)
    # Relative paths, so that the folder can be moved: they count from the job file.
    job.write_text(job_text(".", "."), encoding="utf-8")
    started = time.monotonic()
    code = train(job, options.changes)
    run = output / "lory"
    lora = run / "lory.safetensors"
    if code or not lora.exists():
        sys.stderr.write(f"The quickstart did not finish; the lines above say why. The log: {run / 'log.txt'}\n")
        return code or 1
    minutes = (time.monotonic() - started) / 60
    # The job stays with its results, with paths that count from there.
    (run / "job.yaml").write_text(job_text("..", ".."), encoding="utf-8")
    job.unlink()
    picture = run / "before-after.png"
    draw_before_after(lora, picture)
    sys.stdout.write(
        f'Done in {minutes:.1f} minutes: the word "lory" draws a parrot now. Look at {picture}. (LoRA: {lora})\n'
        f"Next: train on your own pictures, in the browser or as README.md shows.\n"
        f"{where_to_see(run)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
