"""What the bare model says, and what is learned from it: targets that it changes, and further terms of the loss.

The bare model is the same modules with every adapter off, those of text encoders too. It is asked without gradient, and
its answer is exactly what the model said before training: at strength 0 no adapter draws or adds anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig
from loratory.models.base import Architecture, Conditioning
from loratory.networks.base import Network
from loratory.training import objective
from loratory.training.batches import Batch, Words
from loratory.training.objective import Inputs
from loratory.training.objectives.shapes import along
from loratory.training.objectives.targets import average_velocity, stretch_of
from loratory.training.other_texts import BLANK, CLASS, UNCONDITIONAL


@dataclass
class Question:
    """A micro-batch as the model is asked about it."""

    config: TrainConfig
    architecture: Architecture
    network: Network
    batch: Batch
    noisy: Tensor
    """(B, C, h, w) on the device."""
    times: Tensor
    """(B,), as the model wants them."""
    _bare_answers: dict[tuple[str, ...], Tensor] = field(default_factory=dict)

    @property
    def caption(self) -> Words:
        return Words(self.batch.texts, self.batch.conditionings)

    def conditioning(self, words: Words) -> Conditioning:
        """On the device: cached, or encoded now, with gradient where text encoders are trained."""
        singles = words.conditionings
        if singles is None:
            trained = bool(trained_text_encoders(self.architecture.spec, self.config.network))
            with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
                singles = self.architecture.encode_prompts(words.texts)
        device = self.noisy.device
        return {name: tensor.to(device) for name, tensor in self.architecture.collate(singles).items()}

    def answer(self, conditioning: Conditioning) -> Tensor:
        """The model's prediction (B, C, h, w)."""
        return self.answer_at(self.noisy, self.times, conditioning)

    def answer_at(self, noisy: Tensor, times: Tensor, conditioning: Conditioning) -> Tensor:
        """Its prediction for other noisy latents and times."""
        return self.architecture.predict(noisy, times, conditioning, self.batch.sizes.to(noisy.device))

    def told(self, conditioning: Conditioning) -> Conditioning:
        """With the scale of contrastive guidance, for models that are told how strong guidance is."""
        scales = self.batch.guidance
        return conditioning if scales is None else {**conditioning, "guidance": scales.to(self.noisy.device)}

    def bare_answer(self, words: Words, *, unguided: bool = False) -> Tensor:
        """The bare model's prediction for other texts."""
        key = (*words.texts, str(unguided))
        if key not in self._bare_answers:
            with torch.no_grad(), self.network.disabled():
                conditioning = self.conditioning(words)
                self._bare_answers[key] = self.answer(conditioning if unguided else self.told(conditioning))
        return self._bare_answers[key]


def with_targets(question: Question, inputs: Inputs) -> Inputs:
    """The inputs with other targets, where the bare model has a say in them: contrastive guidance, and datasets that
    hold the model to what it said."""
    batch, config = question.batch, question.config.objective
    if batch.guidance is not None:
        unconditional = question.bare_answer(batch.others[UNCONDITIONAL], unguided=True)
        shares = objective.noise_share(question.times, question.architecture.noise_schedule)
        inputs = objective.with_guidance(inputs, unconditional, batch.guidance.to(shares.device), shares, config)
    if any(batch.from_bare_model):
        kept = torch.tensor(batch.from_bare_model, device=inputs.target.device)
        inputs = objective.held_to(inputs, question.bare_answer(question.caption), kept)
    return inputs


def with_average_velocity(question: Question, conditioning: Conditioning, prediction: Tensor, inputs: Inputs) -> Inputs:
    """The inputs with MeanFlow's target; `prediction` is the model's own. One more forward pass, with the adapter."""
    config, spec = question.config.objective, question.architecture.spec
    usual, size = objective.flow_shift(spec, config), inputs.noisy.shape[-2:]
    shift = objective.shift_at(usual, size, spec.token_size, spec.resolution_shift)
    stretch = stretch_of(inputs.times, config.mean_flow_steps, shift)
    way = config.mean_flow_distance * (inputs.times - stretch.start)
    with torch.no_grad():
        noisy = inputs.noisy - along(way, inputs.noisy) * inputs.target
        before = question.answer_at(noisy, inputs.times - way, conditioning)
    target = average_velocity(inputs.target, prediction, before, config.mean_flow_distance)
    return replace(inputs, target=target)


def outside_masks(question: Question, prediction: Tensor, inputs: Inputs) -> Tensor:
    """What is learned where masks are black: to predict as before. Summed and weighted as the pictures' loss."""
    assert inputs.masks is not None
    config = question.config.objective
    held = objective.held_to(inputs, question.bare_answer(question.caption))
    held = replace(held, masks=1 - inputs.masks, weights=config.inverted_mask_prior * inputs.weights)
    return objective.weighted_loss(prediction, held, config)


def extra_terms(question: Question, inputs: Inputs) -> Iterator[tuple[str, Tensor]]:
    """Name and loss of what is learned beside the pictures, each with a graph of its own.

    A loss is a sum over the micro-batch, weighted as that of the pictures; the caller divides by the step's total. One
    is made when the one before has gone backward, so that memory holds one graph at a time.
    """
    batch, config = question.batch, question.config.objective
    if not any(batch.teaches):
        return
    for name, purpose, multiplier in (
        ("diff_output_preservation", CLASS, config.diff_output_preservation),
        ("blank_prompt_preservation", BLANK, config.blank_prompt_preservation),
    ):
        if multiplier:
            words = batch.others[purpose]
            before = question.bare_answer(words)
            now = question.answer(question.told(question.conditioning(words)))
            counts = multiplier * torch.tensor(batch.teaches, device=now.device)
            held = objective.held_to(replace(inputs, weights=inputs.weights * counts, masks=None), before)
            yield name, objective.weighted_loss(now, held, config)
