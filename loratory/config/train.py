"""The root of a training job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from loratory.config.alpha_schedule import AlphaScheduleConfig
from loratory.config.base import StrictModel, param
from loratory.config.batching import BatchingConfig, DurationConfig
from loratory.config.caching import CachingConfig
from loratory.config.dataset import DatasetConfig
from loratory.config.ema import EmaConfig
from loratory.config.fields import section_types
from loratory.config.memory import MemoryConfig
from loratory.config.model import ModelConfig
from loratory.config.network import LoraConfig, NetworkConfig
from loratory.config.objective import ObjectiveConfig
from loratory.config.optimizer import AdamWConfig, OptimizerConfig
from loratory.config.optimizers.arguments import settled
from loratory.config.runtime import LoggingConfig, RuntimeConfig
from loratory.config.sampling import SamplingConfig
from loratory.config.saving import SavingConfig
from loratory.config.schedule import ConstantSchedule, ScheduleConfig
from loratory.config.text import TextConfig
from loratory.config.validation import ValidationConfig

CONFIG_VERSION = 1


class TrainConfig(StrictModel):
    """Everything about one training run."""

    version: int = param(
        CONFIG_VERSION, ge=1, le=CONFIG_VERSION, help="Version of this file's layout; older ones are lifted.",
        tab="Setup", group="Job", level="expert", on_resume="free",
        owner="job",
    )  # fmt: skip
    job: Literal["train"] = param(
        "train", help="What kind of job this is.", tab="Setup", group="Job", level="expert", owner="job"
    )
    name: str = param(
        help="The run's name: its folder and its files are called so.",
        tab="Setup",
        group="Job",
        min_length=1,
        max_length=100,
        owner="job",
        kohya=("output_name",),
        aitoolkit=("config.name",),
        on_resume="forbid",
    )
    preset: str | None = param(
        None,
        help="A preset whose settings hold wherever this file gives none of its own: the name of one that `loratory "
        "presets` lists, or a preset's file.",
        tab="Setup",
        group="Job",
        owner="job",
        on_resume="free",
    )
    seed: int = param(
        42,
        ge=0,
        lt=2**63,
        help="Everything random follows from this number.",
        tab="Setup",
        group="Job",
        kohya=("seed",),
        aitoolkit=("training_seed",),
        on_resume="forbid",
        affects_cache=True,
    )
    model: ModelConfig = param(help="The base model.", tab="Setup", group="Model")
    network: NetworkConfig = param(LoraConfig(), help="The adapter that is trained.", tab="LoRA", group="Network")
    datasets: tuple[DatasetConfig, ...] = param(
        min_length=1, help="One or more folders of pictures.", tab="Dataset", group="Pictures"
    )
    batching: BatchingConfig = param(BatchingConfig(), help="Batches and buckets.", tab="Dataset", group="Batches")
    duration: DurationConfig = param(DurationConfig(), help="How long to train.", tab="Dataset", group="Duration")
    caching: CachingConfig = param(CachingConfig(), help="Keeping encoded data.", tab="Dataset", group="Caching")
    text: TextConfig = param(TextConfig(), help="How captions and prompts are encoded.", tab="Advanced", group="Text")
    objective: ObjectiveConfig = param(ObjectiveConfig(), help="Noise and loss.", tab="Advanced", group="Loss")
    optimizer: OptimizerConfig = param(
        AdamWConfig(), help="How weights are changed.", tab="Learning rate", group="Optimizer"
    )
    schedule: ScheduleConfig = param(
        ConstantSchedule(), help="How the learning rate changes.", tab="Learning rate", group="Schedule"
    )
    alpha_schedule: AlphaScheduleConfig = param(
        AlphaScheduleConfig(), help="Alpha in phases.", tab="LoRA", group="Alpha schedule"
    )
    ema: EmaConfig = param(EmaConfig(), help="A running mean of the weights.", tab="Advanced", group="Weights")
    memory: MemoryConfig = param(MemoryConfig(), help="Precision and memory.", tab="Advanced", group="Memory")
    validation: ValidationConfig = param(
        ValidationConfig(), help="The loss on pictures that are not trained on.", tab="Advanced", group="Validation"
    )
    sampling: SamplingConfig = param(
        SamplingConfig(), help="Pictures made while training.", tab="Saving", group="Samples"
    )
    saving: SavingConfig = param(SavingConfig(), help="Files that are written.", tab="Saving", group="Files")
    logging: LoggingConfig = param(LoggingConfig(), help="What is recorded.", tab="Logging", group="Metrics")
    runtime: RuntimeConfig = param(RuntimeConfig(), help="Device and safety.", tab="Advanced", group="Device")

    @field_validator("optimizer", mode="before")
    @classmethod
    def _usual_optimizer(cls, given: Any) -> Any:
        """Whoever changes only the learning rate need not name the optimizer; other trainers' spelling is read."""
        kinds = {kind.model_fields["type"].default: kind for kind in section_types(OptimizerConfig)}
        return settled(given, kinds)

    @field_validator("schedule", mode="before")
    @classmethod
    def _usual_schedule(cls, given: Any) -> Any:
        """Whoever changes only the warm-up need not name the schedule."""
        return {"type": "constant", **given} if isinstance(given, Mapping) and "type" not in given else given

    @field_validator("network", mode="before")
    @classmethod
    def _usual_network(cls, given: Any) -> Any:
        """Whoever changes only the rank need not name the type."""
        return {"type": "lora", **given} if isinstance(given, Mapping) and "type" not in given else given

    @field_validator("name")
    @classmethod
    def _name_is_a_file_name(cls, name: str) -> str:
        bad = sorted(set(name) & set('<>:"/\\|?*')) + [c for c in name if ord(c) < 32]
        if bad or name.strip(" .") != name:
            raise ValueError(
                'becomes the name of a folder: use no path signs (< > : " / \\ | ? *) and no space or dot at its ends'
            )
        return name


JobConfig = TrainConfig
"""Every kind of job; a union as soon as there is a second kind."""
