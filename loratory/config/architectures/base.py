"""What is known about an architecture without loading torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Objective = Literal["ddpm", "flow"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TensorTest:
    """One condition on a checkpoint's header: a tensor is there, or (`absent`) is not; it has so many `axes`, and its
    `axis` has `size`."""

    name: str
    axis: int | None = None
    size: int | None = None
    absent: bool = False
    axes: int | None = None

    def holds(self, shapes: Shapes) -> bool:
        shape = shapes.get(self.name)
        if shape is None or self.absent:
            return (shape is None) == self.absent
        if self.axes is not None and len(shape) != self.axes:
            return False
        return self.axis is None or (self.axis < len(shape) and shape[self.axis] == self.size)


@dataclass(frozen=True)
class Place:
    """Where a layer sits in the native model: the native layer's dotted path and, if it is fused, its turn there."""

    name: str
    turn: int = 0
    swapped: bool = False
    """The native layer has the two halves of its output rows the other way round."""


@dataclass(frozen=True)
class PartElsewhere:
    """A part that the usual repository lacks."""

    repository: str
    """Hub id that gives it, with its tokenizer."""
    advice: str
    """What it is, and what to do where it cannot be had; whole sentences."""


def same_places(paths: Sequence[str]) -> dict[str, Place]:
    """For models whose native names are diffusers'."""
    return {path: Place(path) for path in paths}


@dataclass(frozen=True)
class ArchitectureSpec:
    """One architecture, as data. `models/<name>.py` holds what has to be code."""

    name: str
    title: str
    status: Literal["stable", "experimental"]
    code: str
    """`module:function` that loads it, for example `loratory.models.sd15:load`."""
    pipeline_class: str
    """`_class_name` in model_index.json."""
    denoiser: str
    """Component name of the trained net: unet or transformer."""
    text_encoders: tuple[str, ...]
    """Component names in the order of the pipeline."""
    trainable_text_encoders: tuple[str, ...]
    objective: Objective
    size_multiple: int
    """Width and height in pixels must divide by this."""
    default_resolution: int
    signatures: tuple[tuple[TensorTest, ...], ...]
    """Each group is a sufficient set of conditions on a single file's header; any group that holds is a match."""
    true_config: str
    """Folder in loratory/models/configs/ that describes the architecture in its true sizes; of several, the usual."""
    usual_repository: str
    """Hub id that gives what a single file lacks."""
    base_model_version: str
    """kohya's `ss_base_model_version`."""
    modelspec_architecture: str
    modelspec_implementation: str
    kohya_network_module: str
    native_places: Callable[[Sequence[str]], dict[str, Place]]
    """Where the original code has each of the denoiser's layers, from their paths in diffusers."""
    kohya_names: Literal["native", "diffusers"]
    """Which of the two kohya's keys flatten."""
    layer_groups: Mapping[str, str]
    """What a layer is for, by the first regular expression found in its path; for choosing what is trained."""
    trained_groups: tuple[str, ...]
    """Groups that are trained unless the config says otherwise."""
    convolution_groups: tuple[str, ...]
    """Groups that are trained, too, once the config has a rank for convolutions."""
    block_pattern: str
    """Finds the name of a layer's block at the beginning of its native name."""
    shared_inputs: tuple[str, ...]
    """Layers that are called with the same tensor: those whose whole paths match one of these regular expressions with
    the same first group. Their adapters are computed together."""
    text_encoder_prefixes: Mapping[str, str]
    """kohya key prefix of each text encoder, for example {"text_encoder": "lora_te"}."""
    comfyui_text_encoders: Mapping[str, str]
    """Where ComfyUI keeps each text encoder, for example {"text_encoder": "clip_l.transformer"}."""
    sample_steps: int
    sample_scale: float
    aitoolkit_names: Literal["native", "diffusers", "diffusion_model"] = "diffusers"
    """What ai-toolkit's keys have where the denoiser is a transformer: native names, diffusers' names, or those behind
    `diffusion_model.`."""
    text_settings: tuple[str, ...] = ()
    """Fields of the job's `text` that have an effect."""
    fuses_layers: bool = False
    """The native model has one layer for several of ours that read the same input, as for q, k and v."""
    other_names: Mapping[str, str] = field(default_factory=dict)
    """What else files call layers: a regular expression for the whole name, and the usual name that it stands for."""
    large_text_encoders: tuple[str, ...] = ()
    """Those that are trained only when the config asks for them by name."""
    pixel_space: bool = False
    """There is no autoencoder: what the model paints are pixels, -1..1."""
    token_size: int = 2
    """Latents along one side of a token; for the time shift that depends on the picture's size."""
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    """Component name of a text encoder's tokenizer where it is not that of the encoder with "tokenizer" in its name."""
    resolution_shift: tuple[tuple[int, float], tuple[int, float]] = ((256, 0.5), (4096, 1.15))
    """For the time shift that depends on the picture's size: two numbers of tokens and the shift's logarithm for each;
    between them and beyond it is linear."""
    terminal_time: float = 0.0
    """The smallest flow time that the model was made for: times with a shift by size are stretched to end there."""
    largest_area: int | None = None
    """Most pixels of a picture that is not square."""
    parts_elsewhere: Mapping[str, PartElsewhere] = field(default_factory=dict)
    """Parts, by component name, that are taken from elsewhere where neither the model nor the job has them."""
    optional_text_encoders: tuple[str, ...] = ()
    """Those that the model works without, as its pipeline does."""
    unreached: Mapping[str, str] = field(default_factory=dict)
    """Layers whose output the model does not use, so that no gradient reaches their adapters: a regular expression for
    the whole path, and the reason. Its first group, if it has one, is a block's number; the last block is meant."""
    other_true_configs: tuple[str, ...] = ()
    """Folders like `true_config` for further sizes of the denoiser."""
    denoiser_config: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    """What entries of the denoiser's config.json may be, where other architectures have the same pipeline class; an
    entry that is missing there is None."""
    kohya_v2: bool = False
    """kohya's `ss_v2`."""
    default_flow_shift: float | None = None
    """Only flow models: the usual time shift; None means it depends on the picture's size."""
    pipeline_arguments: Mapping[str, str] = field(
        default_factory=lambda: {
            "negative": "negative_prompt", "scale": "guidance_scale", "rescale": "guidance_rescale",
        }
    )  # fmt: skip
    """What the pipeline calls a prompt's negative text, scale (classifier-free), rescaling of that guidance, and
    guidance (embedded)."""
    masks_texts: bool = False
    """Texts keep their own lengths, and what fills the shorter ones up is masked; not every attention can do that."""
    control_images: int = 0
    """How many control pictures a prompt may have: with none, there is no input for them."""
    experimental_because: str = ""
    """Why the status is experimental: what is not proved against the model's own code or files."""
    usual_path: str = ""
    """What model.path is in a first job where the usual repository is not what one trains."""
    licence: str = ""
    """What the usual repository is licensed under."""
    gated: bool = False
    """Must the licence of the usual repository be accepted on the Hub before a download?"""
    text_tokens: int | None = None
    """How many tokens of a text the denoiser is usually told at most; what is longer is cut off."""
    most_text_tokens: int | None = None
    """What `text.max_tokens` may be at most, where that is more."""
    added_tokens: int = 0
    """Tokens that the denoiser is told with those of a text: marks of beginning and end, or CLIP's beside T5's."""
    memory: Mapping[int, str] = field(default_factory=dict)
    """GB of graphics cards on which a LoRA of one picture a step fits at the default size, and with what: counted
    (docs/guide/memory.md) or reported by other trainers."""
    notes: tuple[str, ...] = ()
    """What a person should know before training it: a sentence each."""


def tokenizer_of(spec: ArchitectureSpec, text_encoder: str) -> str:
    """Component name of a text encoder's tokenizer: text_encoder_2 -> tokenizer_2."""
    return spec.tokenizers.get(text_encoder, text_encoder.replace("text_encoder", "tokenizer"))


def unreached_layers(spec: ArchitectureSpec, paths: Iterable[str]) -> dict[str, str]:
    """Those of the layers that no gradient reaches, and why."""
    known = list(paths)
    reasons: dict[str, str] = {}
    for pattern, reason in spec.unreached.items():
        matches = [match for path in known if (match := re.fullmatch(pattern, path))]
        numbers = [int(match[1]) for match in matches if match.re.groups]
        reasons |= {match[0]: reason for match in matches if not numbers or int(match[1]) == max(numbers)}
    return reasons
