"""A small classifier that says what a picture shows: one of the ten shapes, the lory, or neither.

It learns from drawn pictures in a minute or two and is kept in a folder the caller names. Half of its pictures went
through the bundled model's autoencoder, and all are blurred, bent and made noisy at random, because samples of a
model look like that and drawings do not.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.demo import examples
from benchmarks.demo.examples import CLASSES, LORY, OTHER, OTHERS
from loratory.demo import concept, drawing
from loratory.demo.concept import LORY_SIZES, UNSEEN_BACKGROUNDS, LoryScene, draw_lory
from loratory.demo.drawing import POSITIONS, SHAPES, draw_scene, random_scene
from loratory.files import write_atomic

EXAMPLES_PER_SHAPE, EXAMPLES_OF_LORY, EXAMPLES_OF_OTHER = 240, 900, 2000
STEPS, BATCH, RATE = 900, 64, 3e-3
SIDE = 64
"""The network looks at pictures of this many pixels square."""

LORY_CERTAINTY = 0.8
"""Probability from which on a picture counts as a lory."""


def make_network() -> nn.Sequential:
    """(N, 4, 64, 64) → (N, classes). The channels are red, green, blue and the distance from the border's colour."""
    layers: list[nn.Module] = []
    channels = (4, 24, 48, 96, 96, 128)
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels[-1] * 4, len(CLASSES)))


def to_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """RGB pictures of one size as float (N, 3, height, width) in 0..1."""
    return torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])).permute(
        0, 3, 1, 2
    ).float().div(255)  # fmt: skip


def with_distance(pictures: Tensor) -> Tensor:
    """Add the channel that is the distance of each pixel from the median colour of the picture's border."""
    border = torch.cat([pictures[:, :, 0], pictures[:, :, -1], pictures[:, :, :, 0], pictures[:, :, :, -1]], dim=2)
    ground = border.median(dim=2).values[:, :, None, None]
    return torch.cat([pictures, (pictures - ground).norm(dim=1, keepdim=True)], dim=1)


@torch.no_grad()
def round_trip(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Encode and decode (N, 3, height, width) in 0..1, without noise in between."""
    parts = [vae.decode(vae.encode(part * 2 - 1).latent_dist.mean).sample for part in pictures.split(16)]
    return torch.cat(parts).add(1).div(2).clamp(0, 1)


def draw_examples(
    vae: AutoencoderKL, seed: int, counts: dict[str, int], round_tripped: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 64, 64) in 0..1 and their class indices; a share of them went through the autoencoder."""
    random = np.random.default_rng([21, seed])
    labels = [label for label, count in counts.items() for _ in range(count)]
    labels = [labels[i] for i in random.permutation(len(labels))]
    pictures = []
    for start in range(0, len(labels), 64):
        block = to_tensor([examples.example(label, random) for label in labels[start : start + 64]])
        through = round(round_tripped * len(block))
        pictures.append(functional.avg_pool2d(torch.cat([round_trip(vae, block[:through]), block[through:]]), 2))
    return torch.cat(pictures), torch.tensor([CLASSES.index(label) for label in labels])


def degrade(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Move, turn, bend, blur, tint and make noisy, each picture differently. (N, 3, side, side) in 0..1."""
    count = len(pictures)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator) * (high - low) + low

    angle, scale = uniform(-0.1, 0.1), uniform(0.92, 1.1)
    rows = torch.stack([angle.cos() * scale, -angle.sin() * scale, uniform(-0.08, 0.08),
                        angle.sin() * scale, angle.cos() * scale, uniform(-0.08, 0.08)], dim=1)  # fmt: skip
    grid = functional.affine_grid(rows.view(count, 2, 3), list(pictures.shape), align_corners=False)
    bend = torch.randn(count, 2, 6, 6, generator=generator) * uniform(0, 0.045, 1, 1, 1)
    bend = functional.interpolate(bend, size=pictures.shape[2:], mode="bicubic", align_corners=True)
    x = functional.grid_sample(pictures, grid + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blurred = functional.avg_pool2d(functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = torch.lerp(x, blurred, (uniform(-0.6, 1, 1, 1, 1)).clamp(min=0))
    x = x * uniform(0.88, 1.12, 3, 1, 1) + uniform(-0.05, 0.05, 1, 1, 1)
    return (x + torch.randn(x.shape, generator=generator) * uniform(0, 0.05, 1, 1, 1)).clamp(0, 1)


def train(pictures: Tensor, labels: Tensor, steps: int = STEPS, batch: int = BATCH) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(22)
        network = make_network()
        generator = torch.Generator().manual_seed(23)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) * 15 / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
            rows = torch.randint(len(pictures), (batch,), generator=generator)
            x = with_distance(degrade(pictures[rows], generator))
            loss = functional.cross_entropy(network(x), labels[rows], label_smoothing=0.02)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return network.eval()


class Judge:
    """Names what pictures show."""

    def __init__(self, network: nn.Sequential) -> None:
        self.network = network

    @torch.no_grad()
    def probabilities(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(N, classes), for pictures of 128 × 128 pixels."""
        x = functional.avg_pool2d(to_tensor(pictures), drawing.SIZE // SIDE)
        return torch.cat([self.network(with_distance(part)).softmax(dim=1) for part in x.split(64)])

    def names(self, pictures: Sequence[Image.Image]) -> list[str]:
        """The most probable class of every picture (see `examples.CLASSES`); a doubtful lory is called "other"."""
        probabilities = self.probabilities(pictures)
        lory = CLASSES.index(LORY)
        doubtful = (probabilities.argmax(dim=1) == lory) & (probabilities[:, lory] < LORY_CERTAINTY)
        return [
            OTHER if doubt else CLASSES[i]
            for i, doubt in zip(probabilities.argmax(dim=1).tolist(), doubtful.tolist(), strict=True)
        ]


def fingerprint(vae: AutoencoderKL) -> str:
    """Changes with the autoencoder's weights and with every file that has a part in the judge's training."""
    digest = hashlib.sha256()
    for module in (examples, concept, drawing):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    for name, value in vae.state_dict().items():
        digest.update(name.encode() + value.float().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_judge(cache: Path, vae: AutoencoderKL) -> Judge:
    """The judge for this autoencoder, from the folder `cache` or trained now and kept there."""
    path = cache / f"judge-{fingerprint(vae)}.pt"
    if path.exists():
        network = make_network().eval()
        network.load_state_dict(torch.load(path, weights_only=True))
        return Judge(network)
    counts = dict.fromkeys(SHAPES, EXAMPLES_PER_SHAPE) | {LORY: EXAMPLES_OF_LORY, OTHER: EXAMPLES_OF_OTHER}
    network = train(*draw_examples(vae, 0, counts))
    cache.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda stream: torch.save(network.state_dict(), stream))
    return Judge(network)


@dataclass(frozen=True)
class JudgeReport:
    """How good the judge is on pictures it has not seen; all numbers are percentages."""

    shapes_right: float
    shapes_right_round_tripped: float
    lories_found: float
    lories_found_round_tripped: float
    false_lories: dict[str, float]
    """Share of the pictures of each kind that are no lory but were called one."""


def measure_judge(judge: Judge, vae: AutoencoderKL, count: int = 100, seed: int = 1) -> JudgeReport:
    """Measure the judge on new drawings: shapes, lories on the dataset's unseen backgrounds, and hard negatives.

    Of every kind of negative `count` pictures are drawn and as many go through the autoencoder.
    """
    random = np.random.default_rng([24, seed])

    def both(make: Callable[[], Image.Image], number: int) -> tuple[list[str], list[str]]:
        pictures = [make() for _ in range(number)]
        through = round_trip(vae, to_tensor(pictures)).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        return judge.names(pictures), judge.names([Image.fromarray(picture) for picture in through])

    def unseen_lory() -> Image.Image:
        scene = LoryScene(
            str(random.choice(UNSEEN_BACKGROUNDS)),
            str(random.choice(list(LORY_SIZES))),
            str(random.choice(list(POSITIONS))),
        )
        return draw_lory(scene, random)

    def share(names: list[str], wanted: str) -> float:
        return 100 * names.count(wanted) / len(names)

    scenes = [random_scene(random) for _ in range(2 * count)]
    drawn, through = both(iter([draw_scene(scene, random) for scene in scenes]).__next__, len(scenes))
    right = [
        100 * sum(name == scene.shape for name, scene in zip(names, scenes, strict=True)) / len(scenes)
        for names in (drawn, through)
    ]
    lories = both(unseen_lory, count)
    false = {"one shape": share(drawn + through, LORY)}
    for kind in OTHERS:
        drawn, through = both(partial(kind, random), count)
        false[kind.__name__.replace("_", " ")] = share(drawn + through, LORY)
    return JudgeReport(right[0], right[1], share(lories[0], LORY), share(lories[1], LORY), false)
