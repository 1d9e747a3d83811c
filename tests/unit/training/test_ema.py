"""The running mean of weights against its formula, worked out in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from loratory.config.ema import EmaConfig
from loratory.errors import UserError
from loratory.training.ema import Ema


def weights() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {name: nn.Parameter(torch.randn(3)) for name in ("down", "up")}


@pytest.mark.parametrize(("decay", "warm_up", "every"), [(0.9, False, 1), (0.9, True, 1), (0.5, True, 3)])
def test_the_mean_is_the_formulas(decay: float, warm_up: bool, every: int) -> None:
    parameters = weights()
    ema = Ema(EmaConfig(decay=decay, warm_up=warm_up, every_n_steps=every), parameters)
    wanted = {name: parameter.detach().numpy().astype(np.float64).copy() for name, parameter in parameters.items()}
    random = np.random.default_rng(0)
    for step in range(1, 31):
        for name, parameter in parameters.items():
            fresh = random.normal(size=3)
            parameter.data = torch.from_numpy(fresh).float()
            if step % every == 0:
                turn = step // every
                d = min(decay, (1 + turn) / (10 + turn)) if warm_up else decay
                wanted[name] = d * wanted[name] + (1 - d) * fresh
        ema.update(step)
    for name, value in wanted.items():
        np.testing.assert_allclose(ema.shadow[name].numpy(), value, rtol=1e-5, atol=1e-6)


def test_the_weights_come_back_bit_for_bit() -> None:
    parameters = weights()
    ema = Ema(EmaConfig(decay=0.5), parameters)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with torch.no_grad():
        parameters["up"].add_(1)
    now = parameters["up"].detach().clone()
    with pytest.raises(ValueError, match="inside"), ema.in_use():
        assert torch.equal(parameters["up"], before["up"])
        raise ValueError("inside")
    assert torch.equal(parameters["up"], now)


def test_without_a_decay_there_is_nothing() -> None:
    ema = Ema(EmaConfig(), weights())
    ema.update(1)
    with ema.in_use():
        pass
    assert not ema.active and ema.shadow == {}


FIELDS = {"decay": 0.2, "warm_up": False, "every_n_steps": 2}


@pytest.mark.parametrize("field", EmaConfig.model_fields)
def test_every_field_changes_the_mean(field: str) -> None:
    """And with it samples and files, which have the mean's weights."""

    def mean(**settings: Any) -> torch.Tensor:
        parameters = weights()
        ema = Ema(EmaConfig(**{"decay": 0.9} | settings), parameters)
        for step in range(1, 6):
            parameters["up"].data += step
            ema.update(step)
        with ema.in_use():
            return parameters["up"].detach().clone()

    assert not torch.equal(mean(), mean(**{field: FIELDS[field]}))


def test_another_networks_mean_is_refused() -> None:
    with pytest.raises(UserError, match="belongs to another network"):
        Ema(EmaConfig(decay=0.5), weights()).load({"down": torch.zeros(3)})


def test_a_new_scale_is_taken_over() -> None:
    parameters = weights()
    ema = Ema(EmaConfig(decay=0.5), parameters)
    before = ema.shadow["up"].clone()
    ema.multiply(parameters["up"], 0.5)
    assert torch.equal(ema.shadow["up"], before * 0.5)
