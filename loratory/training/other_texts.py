"""What else the model is asked about a picture, besides its caption."""

from __future__ import annotations

from loratory.config.train import TrainConfig
from loratory.data.captions import with_class

CLASS, BLANK, UNCONDITIONAL = "class", "blank", "unconditional"
"""What a text is for: preservation of a class, of the empty caption, and contrastive guidance."""


def other_texts(config: TrainConfig, dataset: int, caption: str) -> dict[str, str]:
    """By what they are for, the same for every picture of a job."""
    objective, texts = config.objective, {}
    if objective.diff_output_preservation:
        trigger = config.datasets[dataset].trigger_word
        texts[CLASS] = with_class(caption, trigger, objective.diff_output_preservation_class)
    if objective.blank_prompt_preservation:
        texts[BLANK] = ""
    if objective.guidance_loss_target is not None:
        texts[UNCONDITIONAL] = objective.unconditional_prompt
    return texts
