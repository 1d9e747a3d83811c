"""What presets are put together from: what suits an architecture, and what suits a goal. Each says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    settings: Mapping[str, Any]
    why: tuple[str, ...]


_ADAMW = {"type": "adamw", "learning_rate": 1e-4}
_FALLING = {"type": "cosine", "warmup_ratio": 0.05}
_RATE = "AdamW at 1e-4 is what most people train LoRAs with."
_FALL = "The rate rises over a twentieth of the run and falls along a cosine: a calm end, whatever the length."
_MIN_SNR = "Min-SNR 5 keeps nearly clean pictures from drowning the others."
_SIGMOID = "Times are drawn around the middle, where most is decided."
_BY_SIZE = "They are shifted by the picture's size, as the model itself does when it samples."


def _flow(*why: str, rate: float = 1e-4, **objective: Any) -> Part:
    chosen = {"timestep_sampling": "sigmoid", **objective}
    told = (_RATE,) if rate == 1e-4 else ()
    times = (_SIGMOID,) if chosen["timestep_sampling"] == "sigmoid" else ()
    shift = (_BY_SIZE,) if chosen.get("flow_shift") == "resolution" else ()
    return Part({"optimizer": {**_ADAMW, "learning_rate": rate}, "objective": chosen}, (*told, *times, *shift, *why))


BASES: dict[str, Part] = {
    "sd15": Part(
        {"optimizer": _ADAMW, "schedule": _FALLING, "objective": {"min_snr_gamma": 5}}, (_RATE, _FALL, _MIN_SNR)
    ),
    "sd2": Part(
        {"optimizer": _ADAMW, "schedule": _FALLING},
        (_RATE, _FALL, "No Min-SNR: its 768-pixel models predict velocity, for which another value is right."),
    ),
    "sdxl": Part(
        {"optimizer": _ADAMW, "schedule": _FALLING, "objective": {"min_snr_gamma": 5}}, (_RATE, _FALL, _MIN_SNR)
    ),
    "sd3": _flow("Times are drawn as the model was trained.", timestep_sampling="logit_normal"),
    "flux1": _flow(flow_shift="resolution"),
    "flux2": _flow(flow_shift="resolution"),
    "flux2_klein": _flow(flow_shift="resolution"),
    "chroma": _flow(flow_shift="resolution"),
    "chroma_radiance": _flow(flow_shift="resolution"),
    "hidream": _flow("A rate of 2e-4 is what others train it with.", rate=2e-4),
    "lumina2": _flow(),
    "omnigen2": _flow(flow_shift="resolution"),
    "qwen_image": _flow(),
    "zimage": _flow(),
}


@dataclass(frozen=True)
class Goal:
    """`batch`: pictures of an optimizer step, by what the model is; a card decides how many of them at a time."""

    title: str
    rank: int
    batch: Mapping[str, int]
    why: tuple[str, ...]
    settings: Mapping[str, Any]
    convolutions: int | None = None
    """Rank of convolutions, where the model has some."""
    text_encoder: tuple[str, ...] = ()
    """The architectures whose text encoder is trained, too."""


_SMALL, _LARGE = {"ddpm": 2, "flow": 1}, {"ddpm": 4, "flow": 2}

GOALS: dict[str, Goal] = {
    "character": Goal(
        "a person, an animal, a figure",
        rank=16,
        batch=_SMALL,
        why=(
            "Rank 16 is enough for one subject.",
            "No mirroring: faces, partings and clothes are not the same on both sides.",
            "One caption in twenty is left out, so that the subject is not only found by its words.",
        ),
        settings={"datasets": {"captions": {"dropout_rate": 0.05}}},
        text_encoder=("sd15", "sd2"),
    ),
    "style": Goal(
        "a way of drawing, painting, lighting",
        rank=32,
        batch=_LARGE,
        why=(
            "Rank 32: a style shows everywhere in the picture.",
            "Mirrored pictures are of the same style, and twice as many.",
            "One caption in ten is left out: the style shall come without being asked for by every word.",
            "More pictures in a step, because what they have in common is what is learned.",
        ),
        settings={"datasets": {"captions": {"dropout_rate": 0.1}, "augmentation": {"flip": True}}},
        convolutions=16,
    ),
    "object": Goal(
        "a thing, a product, a vehicle, a building",
        rank=16,
        batch=_SMALL,
        why=(
            "Rank 16 is enough for one subject.",
            "No mirroring: lettering and handles would change sides.",
            "Every caption is kept, so that what lies around the thing stays with its own words.",
        ),
        settings={},
    ),
    "concept": Goal(
        "a pose, a composition, an idea",
        rank=32,
        batch=_LARGE,
        why=(
            "Rank 32: a concept has many looks.",
            "Noisy times come more often, because there the composition of a picture is decided.",
            "Mirrored pictures show the same, and one caption in twenty is left out.",
        ),
        settings={
            "objective": {"content_or_style": "content"},
            "datasets": {"captions": {"dropout_rate": 0.05}, "augmentation": {"flip": True}},
        },
    ),
}

TEXT_ENCODER = Part(
    {"network": {"train_text_encoders": True}, "optimizer": {"text_encoder_learning_rate": 5e-5}},
    ("The text encoder learns the new word, too, at half the rate: it is small, and learns fast.",),
)

CLASSIC = Part(
    {
        "text": {"clip_skip": 2},
        "network": {"type": "lora", "rank": 16, "alpha": 8, "train_text_encoders": True},
        "optimizer": {"type": "adamw8bit", "learning_rate": 5e-4, "text_encoder_learning_rate": 1e-4},
        "schedule": {"type": "cosine_with_restarts", "num_cycles": 3},
        "objective": {"min_snr_gamma": 5},
        "batching": {"size": 4},
        "memory": {"precision": "fp16"},
    },
    (
        "What the well-known web forms for Stable Diffusion 1.5 begin with, so that old recipes give what they gave.",
        "It needs a graphics card (fp16) and bitsandbytes (AdamW with 8 bits).",
    ),
)
