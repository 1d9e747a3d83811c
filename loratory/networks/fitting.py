"""Fit a LoRA to a network of another rank: padded exactly, or cut to the nearest of that rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from loratory.errors import UserError
from loratory.networks.base import Network
from loratory.networks.state import LayerTensors, State, some, stored


def fit(state: Mapping[str, LayerTensors], network: Network, source: str) -> tuple[State, list[str]]:
    """A state with exactly the network's layers and ranks, and what was done to it, for the log.

    Layers that the state lacks keep what the network has. More ranks are filled with the network's own fresh `down` and
    zeros, which changes nothing; fewer are the best of that rank. Raises UserError for layers that the network lacks,
    and for another rank of a type other than LoRA.
    """
    ours = network.state()
    surplus = state.keys() - ours.keys()
    if surplus:
        raise UserError(
            f"{source} has {len(surplus)} layers that are not trained here ({some(surplus)}); "
            "set the same targets that it was trained with."
        )
    result: State = {}
    missing, padded, cut, lost = [], [], [], []
    for path, mine in ours.items():
        if path not in state:
            missing.append(path)
            result[path] = mine
            continue
        theirs = state[path]
        if not _other_rank(theirs, mine):
            result[path] = theirs
            continue
        if not {"down", "up"} <= theirs.keys() & mine.keys() or "mid" in theirs or "mid" in mine:
            raise UserError(f"{source}: {path} has another rank, which only LoRA without Tucker can be fitted to.")
        if theirs["down"].shape[0] < mine["down"].shape[0]:
            padded.append(path)
            result[path] = padded_to(theirs, mine)
        else:
            cut.append(path)
            result[path], share = cut_to(theirs, mine["down"].shape[0])
            lost.append(share)
    notes = []
    if missing:
        notes.append(f"{len(missing)} layers are not in {source} and start fresh ({some(missing)}).")
    if padded:
        notes.append(f"{len(padded)} layers of {source} have a lower rank; they were padded, which changes nothing.")
    if cut:
        notes.append(
            f"{len(cut)} layers of {source} have a higher rank; they were cut to the nearest of this one, which keeps "
            f"{100 * min(lost):.1f} % of the change's size or more."
        )
    return dict(sorted(result.items())), notes


def _other_rank(theirs: LayerTensors, mine: LayerTensors) -> bool:
    names = (theirs.keys() | mine.keys()) - {"alpha", "start_down", "start_up"}
    return any(name not in theirs or name not in mine or theirs[name].shape != mine[name].shape for name in names)


def padded_to(theirs: LayerTensors, mine: LayerTensors) -> LayerTensors:
    """The same change at the rank of `mine`: its further rows of down, and zeros in up."""
    rank, more = theirs["down"].shape[0], mine["down"].shape[0]
    scale = float(theirs["alpha"]) / rank
    up = theirs["up"].new_zeros(theirs["up"].shape[0], more, *theirs["up"].shape[2:])
    up[:, :rank] = theirs["up"]
    rest = {name: tensor for name, tensor in theirs.items() if name not in ("down", "up", "alpha")}
    return stored(down=torch.cat((theirs["down"], mine["down"][rank:])), up=up, alpha=scale * more) | rest


def cut_to(theirs: LayerTensors, rank: int) -> tuple[LayerTensors, float]:
    """The best change of a lower rank, and the share of the change's length that it keeps.

    Through the small core between two orthogonal bases: the full product is never built. The scale stays.
    """
    down, up = theirs["down"].flatten(1).double(), theirs["up"].flatten(1).double()
    left, left_core = torch.linalg.qr(up)
    right, right_core = torch.linalg.qr(down.t())
    u, values, v = torch.linalg.svd(left_core @ right_core.t())
    root = values[:rank].sqrt()
    new_up: Tensor = left @ (u[:, :rank] * root)
    new_down: Tensor = (right @ (v[:rank].t() * root)).t()
    whole = float(values.norm())
    share = float(values[:rank].norm()) / whole if whole else 1.0
    scale = float(theirs["alpha"]) / down.shape[0]
    kept = stored(
        down=new_down.float().view(rank, *theirs["down"].shape[1:]),
        up=new_up.float().view(up.shape[0], rank, *theirs["up"].shape[2:]),
        alpha=scale * rank,
    )
    rest = {name: tensor for name, tensor in theirs.items() if name not in ("down", "up", "alpha")}
    return kept | rest, share
