"""Checkpoints: everything a bit-equal resume needs, in a folder that appears whole. No pickles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
from loratory.training.optimizers.making import NOT_STATE

declare_points("checkpoint_file")

FORMAT = 2


@dataclass(frozen=True)
class Snapshot:
    """A moment of training, copied to the CPU, so that training may go on while it is written."""

    step: int
    """Optimizer steps done."""
    network: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    ema: dict[str, Tensor]
    """The running mean of the weights; empty where there is none."""
    optimizer_memory: dict[str, Any]
    """JSON: the layout of its groups, its values that are no tensors, its tensors that stay on the CPU."""
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
    """Copy the state after `step` optimizer steps. Raises UserError for an optimizer that remembers anything else than
    tensors and plain values.

    The memory of parameter 3 stands under `3.name`, counted over all groups; entries of group 0 that training has
    changed under `group0.name`. The present rate is a function of the step and is not kept.
    """
    tensors: dict[str, Tensor] = {}
    others: dict[str, Any] = {}
    on_cpu = []
    for name, value, device in _remembered(optimizer):
        if not isinstance(value, Tensor):
            others[name] = _plain(value, optimizer)
            continue
        tensors[name] = _copy(value)
        if value.device.type == "cpu" and device.type != "cpu":
            on_cpu.append(name)
    weights = {name: _copy(tensor) for name, tensor in network.state_dict().items()}
    memory = {"groups": _layout(optimizer), "values": others, "on_cpu": on_cpu}
    means = {name: _copy(tensor) for name, tensor in ema.items()}
    return Snapshot(step, weights, tensors, means, memory, dict(facts))


def _remembered(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any, torch.device]]:
    """Every value that training has made: its name, itself, and the device of the parameters it belongs to."""
    index = 0
    for number, group in enumerate(optimizer.param_groups):
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                yield f"{index}.{name}", value, parameter.device
            index += 1
        before = group["at_start"]
        for name, value in group.items():
            if name not in (*NOT_STATE, "at_start") and (name not in before or not _same(value, before[name])):
                yield f"group{number}.{name}", value, group["params"][0].device


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and not isinstance(one, Tensor) and bool(one == other)


def _layout(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Which group holds how many parameters."""
    return [{"name": group["name"], "parameters": len(group["params"])} for group in optimizer.param_groups]


def _plain(value: Any, optimizer: torch.optim.Optimizer) -> Any:
    """As JSON; a tuple becomes {"tuple": [...]}, because JSON has only lists."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_plain(each, optimizer) for each in value]}
    if isinstance(value, list):
        return [_plain(each, optimizer) for each in value]
    raise UserError(
        f"optimizer.type: a run with {type(optimizer).__name__} cannot be kept, because it remembers a value of type "
        f"{type(value).__name__}; take another optimizer."
    )


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_from_plain(each) for each in value["tuple"])
    return [_from_plain(each) for each in value] if isinstance(value, list) else value


def write(snapshot: Snapshot, folder: Path) -> None:
    """Fill an empty folder with the snapshot. The caller makes the folder appear whole. Raises DiskFull."""
    facts = {"format": FORMAT, "step": snapshot.step, "optimizer": snapshot.optimizer_memory, **snapshot.facts}
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
    """Put a checkpoint's optimizer state back, bit by bit. Rates and options stay those of the config.

    Not by the optimizer's own `load_state_dict`: that turns every number into the weights' type.
    """
    memory = facts["optimizer"]
    if memory["groups"] != _layout(optimizer):
        raise UserError(
            "The checkpoint's optimizer belongs to another network or optimizer; start it fresh with --weights-only."
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[str, Any] = {name: _from_plain(value) for name, value in memory["values"].items()}
    on_cpu = set(memory["on_cpu"])
    for name, value in (values | load_file(folder / "optimizer.safetensors")).items():
        owner, _, field = name.partition(".")
        if owner.startswith("group"):
            group = optimizer.param_groups[int(owner.removeprefix("group"))]
            place, device = group, group["params"][0].device
        else:
            parameter = parameters[int(owner)]
            place, device = optimizer.state[parameter], parameter.device
        if isinstance(value, Tensor):
            # A copy, because a sum over memory that lies otherwise than torch's own may round otherwise.
            value = value.to("cpu" if name in on_cpu else device, copy=True)
        place[field] = value
