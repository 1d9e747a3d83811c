"""Which blocks compute their forward pass a second time in the backward pass (`memory.gradient_checkpointing`).

The models of diffusers and transformers know where their blocks are and call one function for each; this is it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from loratory.config.targets import trained_text_encoders
from loratory.config.train import TrainConfig
from loratory.models.base import Architecture

ATTENTION = tuple(
    f"_scaled_dot_product_{kernel}"
    for kernel in ("flash_attention", "flash_attention_for_cpu", "efficient_attention", "cudnn_attention",
                   "fused_attention_overrideable")
)  # fmt: skip
"""PyTorch's operators that compute attention in one go; packages have operators of their own (`_is_attention`)."""


def _is_attention(operator: Any) -> bool:
    library, _, name = operator.name().partition("::")
    return name.partition(".")[0] in ATTENTION or (library != "aten" and "flash" in name) or library == "xformers"


def keep_attention(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """The policy of `selective`: the results of attention are kept, everything else is computed again."""
    return CheckpointPolicy.MUST_SAVE if _is_attention(operator) else CheckpointPolicy.PREFER_RECOMPUTE


class Recompute:
    """Runs each `every`-th block of each kind so that its forward pass is computed again in the backward pass."""

    def __init__(self, every: int, *, keeps_attention: bool, on_cpu: bool, pin: bool) -> None:
        """`on_cpu`: what a block is given waits in the computer's memory, which `pin` makes faster to reach."""
        self._every, self._pin = every, pin
        self._on_cpu = on_cpu
        self._contexts = partial(create_selective_checkpoint_contexts, keep_attention) if keeps_attention else None
        self._numbers: dict[int, int] = {}
        """Blocks by identity. Each kind is counted in the order of the first forward pass: a UNet's kinds alternate."""
        self._of_kind: Counter[type] = Counter()

    def __call__(self, block: Callable[..., Any], *args: Any) -> Any:
        """`block` is a module of diffusers, or a partial call of a transformers layer's forward."""
        module = block.args[0] if isinstance(block, partial) else block
        if id(module) not in self._numbers:
            self._numbers[id(module)] = self._of_kind[type(module)]
            self._of_kind[type(module)] += 1
        if self._numbers[id(module)] % self._every:
            return block(*args)
        options: dict[str, Any] = {} if self._contexts is None else {"context_fn": self._contexts}
        with save_on_cpu(pin_memory=self._pin) if self._on_cpu else nullcontext():
            return checkpoint(block, *args, use_reentrant=False, **options)


def checkpoint_gradients(architecture: Architecture, config: TrainConfig, device: torch.device) -> None:
    """Let the denoiser and the trained text encoders keep less for the backward pass, as the config says."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    mode = config.memory.gradient_checkpointing
    if mode == "off":
        return

    def recompute() -> Recompute:
        return Recompute(
            config.memory.checkpoint_every,
            keeps_attention=mode == "selective",
            on_cpu=mode == "offload",
            pin=device.type == "cuda",
        )

    denoiser: Any = architecture.components.denoiser
    denoiser.enable_gradient_checkpointing(recompute())
    for name in trained_text_encoders(architecture.spec, config.network):
        encoder: Any = architecture.components.text_encoders[name]
        encoder.gradient_checkpointing_enable()
        function = recompute()
        for module in encoder.modules():
            # transformers looks at the training flag of each block; in the modules below it would switch dropout on
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
                module._gradient_checkpointing_func = function
