"""Every parameter of a job with values that are not its default, one change at a time."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loratory.config.base import param_of
from loratory.config.fields import is_list_of_sections, section_types
from loratory.config.train import TrainConfig

# Values with a grammar of their own, by the end of the path.
SPECIAL: dict[str, list[Any]] = {
    "name": ["ein Hund 2"],
    "model.architecture": [],  # the tests go through all of them
    "model.parts": [{"text_encoder": "/models/a.safetensors"}, {"text_encoder_2": "/models/b.safetensors"}],
    "targets.blocks": ["double_blocks.0-3, single_blocks.5", "single_blocks", "joint_blocks.2-4", "joint_blocks.0"],
    "targets.block_ranks": [{"input_blocks.4": 8}],
    "targets.block_alphas": [{"input_blocks.4": 2.0}],
    "targets.layer_ranks": [{"attn": 4}],
    "captions.extensions": [[".cap"], [".txt", ".cap"]],
    "captions.replacements": [{"cat": "dog"}],
    "captions.separator": [";"],
    "captions.token_warmup_steps": [0.5, 120.0],
    "optimizer.implementation": ["torch.optim:NAdam"],
    "optimizer.arguments": [{"momentum_decay": 0.01}],
    "optimizer.text_encoder_learning_rates": [{"text_encoder": 3e-5}],
    "optimizer.block_rate_factors": [{"input_blocks.4": 0.5}],
    "pipeline.arguments": [{"p": 0.5}],
    "schedule.warmup_steps": [30],
    "network.conv_dropout": [0.2],
    "network.alpha": [3.5],
    "network.train_on_input": [["mlp"]],
    "buckets.resolution": [768, [832, 1216]],
    "datasets.resolutions": [[512, 768], [[640, 960]]],
    "buckets.step": [32, 128],
    "buckets.maximum": [1600],
    "buckets.minimum": [320],
    "sampling.prompts": [["a [trigger] --w 640 --s 12", "a cat --n bad --d 7 --l 3.5"]],
    "schedule.until_steps": [[10, 20]],
    "schedule.factors": [[1.0, 0.5, 0.1]],
    "guidance_loss_target": [3.0],
    "memory.blocks_to_swap": [6],
}
TOGETHER: dict[str, dict[str, Any]] = {
    "schedule.until_steps": {"factors": [1.0, 0.5, 0.1]},
    "schedule.factors": {"until_steps": [10, 20]},
}
"""What else has to be said beside a parameter, in its own section."""
CONTEXT: dict[str, dict[str, Any]] = {
    r"validation\.(?!split|path)": {"validation": {"split": 0.1}},
    r"network\.conv_(alpha|dropout)": {"network": {"conv_rank": 8}},
    r"sampling\.": {"sampling": {"prompts": ["a dog", "a cat"]}},
    r"datasets\.masks\.(?!path|alpha)": {"datasets": {"masks": {"path": "/photos/masks"}}},
    r".*random_triggers_max": {"datasets": {"captions": {"random_triggers": ["a", "b"]}}},
    r"datasets\.captions\.variants": {"datasets": {"captions": {"shuffle": True}}},
    r"datasets\.augmentation\.variants": {"datasets": {"augmentation": {"random_crop": True}}},
    r"objective\.(adaptive_noise_scale|noise_offset_random)": {"objective": {"noise_offset": 0.1}},
    r"objective\.timestep_sampling": {"objective": {"logit_std": 1.3}},
    r"objective\.logit_": {"objective": {"timestep_sampling": "logit_normal"}},
    r"objective\.huber": {"objective": {"loss_type": "huber"}},
    r"saving\.keep_last_checkpoints": {"saving": {"checkpoint_every_n_steps": 250}},
    r"optimizer\.stochastic_rounding": {"memory": {"adapter_precision": "bf16"}},
    r"batching\.balance": {"datasets": {"is_regularisation": True}},
    r".*adapt_minimum": {"batching": {"buckets": {"resolution": 256}}},
    r"duration\.": {"duration": {"steps": None}},
    r"logging\.wandb\.(?!mode)": {"logging": {"wandb": {"mode": "online"}}},
    r"model\.zero_terminal_snr": {"model": {"prediction_type": "v_prediction"}},
}
"""What a parameter needs elsewhere to have an effect, by the beginning of its path."""


@dataclass(frozen=True)
class Change:
    path: str
    """As in our config, without the numbers of lists: `datasets.captions.shuffle`."""
    data: dict[str, Any]
    """A job with the change, as far as it is said."""
    usual: dict[str, Any]
    """The same without the change: the union's type, where there is one."""
    architectures: tuple[str, ...] = ()
    """Where the parameter has an effect; empty means everywhere."""

    @property
    def context(self) -> dict[str, Any]:
        """What else the job needs for it."""
        return next((needed for start, needed in CONTEXT.items() if re.match(start, self.path)), {})


def changes() -> list[Change]:
    """At most two values of each parameter; what several classes of a union have alike comes once."""
    found: dict[tuple[str, str], Change] = {}
    for change in _of(TrainConfig, (), {}):
        found.setdefault((change.path, repr(_last(change))), change)
    counts: dict[str, int] = {}
    kept = []
    for change in found.values():
        counts[change.path] = counts.get(change.path, 0) + 1
        if counts[change.path] <= MOST.get(change.path.rpartition(".")[2], 2):
            kept.append(change)
    return kept


MOST = {"type": 100, "timestep_sampling": 10, "loss_type": 10, "mode": 5, "blocks": 5, "loss_weighting": 10,
        "preset": 10, "denoiser_weights": 10}  # fmt: skip
"""Of how many values each is tried, where two are too few."""


def _last(change: Change) -> Any:
    value: Any = change.data
    for part in change.path.split("."):
        value = value[part]
    return value


def _of(model: type[BaseModel], at: tuple[str, ...], needed: dict[str, Any]) -> Iterator[Change]:
    for name, field in model.model_fields.items():
        here = (*at, name)
        sections = section_types(field.annotation)
        for section in sections:
            chosen = {"type": section.model_fields["type"].default} if "type" in section.model_fields else {}
            if is_list_of_sections(field.annotation) and name != "datasets":
                yield from _listed(section, here)
            else:
                yield from _of(section, here, chosen)
        if not sections and (name != "type" or len(at) == 1):
            path = ".".join(here)
            for value in _values(path, model, name, field):
                beside = next((each for end, each in TOGETHER.items() if path.endswith(end)), {})
                yield Change(path, _nested(at, {**needed, **beside, name: value}), _nested(at, {**needed, **beside}),
                             param_of(model, name).architectures)


def _listed(section: type[BaseModel], at: tuple[str, ...]) -> Iterator[Change]:
    """One entry more in a list of sections."""
    entry = {"name": "Rotate", "path": "/loras/a.safetensors", "alpha": 4.0}
    data = {name: value for name, value in entry.items() if name in section.model_fields}
    yield Change(".".join(at), _nested(at[:-1], {at[-1]: [data]}), {})


def _nested(at: tuple[str, ...], data: dict[str, Any]) -> dict[str, Any]:
    for part in reversed(at):
        data = {part: data}
    return data


def _values(path: str, model: type[BaseModel], name: str, field: FieldInfo) -> list[Any]:
    special = next((found for end, found in SPECIAL.items() if path == end or path.endswith(f".{end}")), None)
    if special is not None:
        return special
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    found = list(_candidates(field.annotation, field, param_of(model, name).path, default))
    return [value for value in found if value != default]


def _candidates(annotation: Any, field: FieldInfo, path: bool, default: Any) -> Iterator[Any]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _candidates(parts[0], field, path, default)
    elif origin in (Union, types.UnionType):
        for part in parts:
            yield from _candidates(part, field, path, default)
    elif origin is Literal:
        yield from parts
    elif origin is tuple:
        yield [next(_candidates(parts[0], FieldInfo(), path, None))]
    elif origin is dict:
        yield {"text_encoder": next(_candidates(parts[1], FieldInfo(), path, None))}
    elif annotation is bool:
        yield not default
    elif annotation is str:
        yield "/models/other.safetensors" if path else 'so "gut", ja'
    elif annotation is type(None):
        yield None
    elif annotation in (int, float):
        yield from _numbers(field, annotation, default)


def _numbers(field: FieldInfo, kind: type, default: Any) -> Iterator[Any]:
    limits = {key: getattr(each, key) for each in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(each, key)}
    low, high = limits.get("ge", limits.get("gt", 0)), limits.get("le", limits.get("lt", 10_000))
    start = default if isinstance(default, int | float) and not isinstance(default, bool) else 0
    if kind is int:
        tries: list[float] = [start + 3, start * 2, start - 1, 7, 640]
    else:
        tries = [start * 1.5, start / 2, 0.25, 0.7, -0.5, 2.5]
    inside = [kind(each) for each in tries if low <= each <= high]
    strict = [each for each in inside if not ("gt" in limits and each == low) and not ("lt" in limits and each == high)]
    yield from dict.fromkeys(each for each in strict if each != default)
