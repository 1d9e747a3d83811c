"""LoRA files and a loaded model: start a network from one, or merge some into the model before training."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from loratory.config.architectures import ArchitectureSpec, Shapes
from loratory.config.architectures.header import read_lora_header
from loratory.config.identify import PICKLE_SUFFIXES, check_pickle_allowed
from loratory.config.model import MergeConfig
from loratory.errors import UserError
from loratory.files import write_atomic
from loratory.networks import formats
from loratory.networks.base import Model, Network, from_state, weight_shapes
from loratory.networks.fitting import fit
from loratory.networks.metadata import read_lora
from loratory.networks.state import State
from loratory.pickles import read_tensors

log = logging.getLogger(__name__)


def read_state(path: Path, model: Model, *, allow_pickle: bool = False) -> State:
    """The state of a LoRA file of any dialect, with `allow_pickle` also of one of torch.save.

    Raises UserError if it is none, or does not fit the model.
    """
    tensors, metadata = (_unpickled(path, allow_pickle), {}) if _is_pickle(path) else read_lora(path)
    return formats.import_(tensors, model.spec, weight_shapes(model), metadata=metadata, source=str(path))


def keep_state(state: State, path: Path) -> None:
    """Write a state as it is, for `kept_state`. Raises DiskFull."""
    tensors = {f"{layer}/{name}": tensor for layer, parts in state.items() for name, tensor in parts.items()}
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, save(tensors), point="config")


def kept_state(path: Path) -> State:
    """What `keep_state` wrote."""
    state: State = {}
    for key, tensor in load_file(path).items():
        layer, _, name = key.partition("/")
        state.setdefault(layer, {})[name] = tensor
    return state


def _is_pickle(path: Path) -> bool:
    return path.suffix.lower() in PICKLE_SUFFIXES


def _unpickled(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    check_pickle_allowed(path, allow_pickle, "the LoRA")
    if not path.is_file():
        raise UserError(f"{path} is not a file; give a LoRA file.")
    return read_tensors(path)


def check_names(path: Path, spec: ArchitectureSpec, modules: Shapes, *, allow_pickle: bool = False) -> None:
    """Look at a LoRA file's header only: is it whole, and has every tensor a place in a model with these weights?

    Raises UserError if not.
    """
    if _is_pickle(path):
        shapes = {name: tuple(tensor.shape) for name, tensor in _unpickled(path, allow_pickle).items()}
    else:
        shapes, _, _ = read_lora_header(path)
    formats.check_names(shapes, spec, modules, str(path))


def start_from(network: Network, model: Model, path: Path, *, allow_pickle: bool = False) -> None:
    """Give a network the weights of a LoRA file of any dialect and rank; what had to be fitted is logged.

    Raises UserError if it is none, or does not fit the network.
    """
    state = read_state(path, model, allow_pickle=allow_pickle)
    fitted, notes = fit(state, network, path.name)
    network.load_state(fitted, str(path))
    log.info("Starting from %s: %d layers.", path, len(state))
    for note in notes:
        log.warning("%s", note)


def merge_into(
    model: Model, merges: Sequence[MergeConfig], *, allow_pickle: bool = False, only: Collection[str] | None = None
) -> None:
    """Merge LoRA files into the base model's weights, in memory, before anything is trained; `only` into these
    components, if it is given.

    Raises UserError for a file that is none, or does not fit the model.
    """
    for merge in merges:
        state = read_state(Path(merge.path), model, allow_pickle=allow_pickle)
        if only is not None:
            state = {path: tensors for path, tensors in state.items() if path.partition(".")[0] in only}
        try:
            network = from_state(model, state)
        except UserError as error:
            raise UserError(f"{merge.path}: {error}") from error
        network.strength = merge.strength
        network.detach()
        network.merge(keep_original=False)
        log.info(
            "Merged %s into the base model at strength %g: %d layers.", merge.path, merge.strength, len(network.layers)
        )
