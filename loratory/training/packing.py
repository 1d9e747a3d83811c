"""Keep frozen weights in the number format that `memory` says, and those under an accuracy-recovery adapter in its."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory import MemoryConfig
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.hub.download import resolve_model
from loratory.models.base import Components
from loratory.networks.side import FIELD, recovered_layers
from loratory.networks.state import some
from loratory.training.devices import DTYPES

log = logging.getLogger(__name__)

INSTEAD = {"nf4": "run pip install 'loratory[bitsandbytes]', or use uint4, which needs nothing"}
"""By format: what helps where it does not work."""

NOT_ON_MPS = {
    "fp8_e4m3": "Apple's GPUs know no 8-bit floats; int8 takes as much",
    "fp8_e5m2": "Apple's GPUs know no 8-bit floats; int8 takes as much",
}


def formats_in_use(memory: MemoryConfig) -> Iterator[tuple[str, str]]:
    """Field and format of every component that is packed."""
    for field in ("denoiser_weights", "text_encoder_weights"):
        name: str = getattr(memory, field)
        if name != "full":
            yield f"memory.{field}", name


def check_formats(memory: MemoryConfig, device: torch.device) -> None:
    """Pack something tiny: each library has its own way of not working. Raises UserError, before a model is loaded."""
    from loratory.models.common.storage import FORMATS

    for field, name in formats_in_use(memory):
        if device.type == "mps" and name in NOT_ON_MPS:
            raise UserError(f"{field}: {NOT_ON_MPS[name]}.")
        try:
            weight = torch.linspace(-1, 1, 256, dtype=DTYPES[memory.precision], device=device).view(2, 128)
            form = FORMATS[name]
            form.unpack(form.pack(weight), weight.shape, weight.dtype)
        except Exception as error:  # of libraries, compilers and drivers
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            advice = INSTEAD.get(name, "set it to full")
            where = f"{field}: {name} does not work here ({device.type})"
            raise UserError(f"{where}: {reason.rstrip('.')}; {advice}.") from error


def pack_module(
    component: str, module: nn.Module, config: TrainConfig, spec: ArchitectureSpec, device: torch.device
) -> None:
    """Pack a loaded module, still on the CPU, layer by layer on `device`, where there is never more than one in full.

    Raises UserError for an accuracy-recovery adapter that does not fit.
    """
    from loratory.models.common.storage import FORMATS, pack_weights

    memory, is_denoiser = config.memory, component == spec.denoiser
    weights = memory.denoiser_weights if is_denoiser else memory.text_encoder_weights
    own = _recovered(module, config, spec) if is_denoiser else {}
    if weights == "full" or component == "vae":
        return
    forms = {path: FORMATS[name] for path, name in own.items()}
    packed = pack_weights(module, FORMATS[weights], memory.keep_full_if_contains, forms, device)
    for name, count in Counter(own.get(path, weights) for path in packed).items():
        log.info("%s: the weights of %d layers are kept as %s.", component, count, name)


def _recovered(denoiser: nn.Module, config: TrainConfig, spec: ArchitectureSpec) -> dict[str, str]:
    """The format of each layer under an accuracy-recovery adapter, by path in the denoiser."""
    from loratory.models.common.storage import can_be_packed

    found = recovered_layers(spec, Components(denoiser, {}, nn.Module()), config.model.side_adapters, resolve_model)
    kept = config.memory.keep_full_if_contains
    wanted_in_full = [path for path in found if any(text in path for text in kept)]
    if wanted_in_full:
        raise UserError(
            f"memory.keep_full_if_contains keeps layers in full ({some(wanted_in_full)}) whose loss an adapter of "
            f"{FIELD} undoes; take that text out."
        )
    unfit = [path for path in found if not can_be_packed(denoiser.get_submodule(path))]
    if unfit:
        raise UserError(
            f"{FIELD}: an adapter with `recovers` sits on layers that are never packed ({some(unfit)}); "
            "only those of Linear and ordinary Conv2d layers can be recovered."
        )
    return found
