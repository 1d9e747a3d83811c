"""Checkpoints: everything a bit-equal resume needs, in a folder that appears whole. No pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from loratory.errors import UserError
from loratory.files import declare_points, write_atomic
from loratory.networks.base import Network
from loratory.training.ema import Ema

declare_points("checkpoint_file")

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """A moment of training, copied to the CPU, so that training may go on while it is written."""

    step: int
    """Optimizer steps done."""
    network: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    ema: dict[str, Tensor]
    """The running mean of the weights; empty where there is none."""
    optimizer_groups: list[dict[str, Any]]
    facts: dict[str, Any]
    """JSON: gradient scaler, counters, dataset fingerprint, seconds trained."""


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def take(
    step: int,
    network: Network,
    optimizer: torch.optim.Optimizer,
    facts: Mapping[str, Any],
    ema: Mapping[str, Tensor],
) -> Snapshot:
    """Copy the state after `step` optimizer steps."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": _copy(value) for index, values in state["state"].items() for name, value in values.items()
    }
    weights = {name: _copy(tensor) for name, tensor in network.state_dict().items()}
    # The present rate is a function of the step, and a run that has nothing left to do has not set it.
    groups = [{name: value for name, value in group.items() if name != "lr"} for group in state["param_groups"]]
    means = {name: _copy(tensor) for name, tensor in ema.items()}
    return Snapshot(step, weights, tensors, means, groups, dict(facts))


def write(snapshot: Snapshot, folder: Path) -> None:
    """Fill an empty folder with the snapshot. The caller makes the folder appear whole. Raises DiskFull."""
    facts = {"format": FORMAT, "step": snapshot.step, "optimizer_groups": snapshot.optimizer_groups, **snapshot.facts}
    write_atomic(folder / "network.safetensors", save(snapshot.network), point="checkpoint_file")
    write_atomic(folder / "optimizer.safetensors", save(snapshot.optimizer), point="checkpoint_file")
    if snapshot.ema:
        write_atomic(folder / "ema.safetensors", save(snapshot.ema), point="checkpoint_file")
    write_atomic(folder / "state.json", json.dumps(facts, indent=1).encode(), point="checkpoint_file")


def read_facts(folder: Path) -> dict[str, Any]:
    """What stands in a checkpoint besides tensors."""
    facts: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return facts


def check_format(folder: Path, facts: Mapping[str, Any]) -> None:
    """Raises UserError for a checkpoint whose optimizer state this version cannot read."""
    if facts.get("format") != FORMAT:
        raise UserError(
            f"The checkpoint {folder} has format {facts.get('format')}, this Loratory reads {FORMAT}; go on with the "
            "version that wrote it, or start the optimizer fresh with --weights-only."
        )


def load_network(folder: Path, network: Network) -> None:
    """Put a checkpoint's weights into the network. Raises UserError if they belong to another network."""
    tensors = load_file(folder / "network.safetensors")
    mine = network.state_dict()
    if tensors.keys() != mine.keys() or any(tensors[name].shape != mine[name].shape for name in mine):
        raise UserError(f"The checkpoint {folder} belongs to another network or model; give the run another name.")
    network.load_state_dict(tensors)


def load_ema(folder: Path, ema: Ema) -> None:
    """Put a checkpoint's mean of the weights back, where the run has one. Raises UserError for another network's."""
    if ema.active:
        ema.load(load_file(folder / "ema.safetensors"))


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer, facts: Mapping[str, Any]) -> None:
    """Put a checkpoint's optimizer state back, bit by bit. Rates and options stay those of the config."""
    tensors = load_file(folder / "optimizer.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = tensor
    current = optimizer.state_dict()["param_groups"]
    saved = facts["optimizer_groups"]
    if [group["params"] for group in saved] != [group["params"] for group in current]:
        raise UserError(
            "The checkpoint's optimizer belongs to another network or optimizer; start it fresh with --weights-only."
        )
    optimizer.load_state_dict({"state": state, "param_groups": current})
