"""Ways to shorten gradients, against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from loratory.training.clipping import clip


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    made = [nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.zeros(2, 3, 1, 1)), nn.Parameter(torch.randn(5))]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape)
    return [*made, nn.Parameter(torch.ones(2))]  # one without a gradient


def test_number_by_number() -> None:
    members = parameters()
    wanted = [np.clip(member.grad.numpy(), -0.3, 0.3) for member in members[:3]]
    clip(members, 0.3, "value", torch.tensor(9.0))
    for member, value in zip(members, wanted, strict=False):
        np.testing.assert_allclose(member.grad.numpy(), value)


def test_together() -> None:
    members = parameters()
    before = [member.grad.clone() for member in members[:3]]
    norm = torch.stack([gradient.norm() for gradient in before]).norm()
    clip(members, 0.5, "norm", norm)
    for member, gradient in zip(members, before, strict=False):
        torch.testing.assert_close(member.grad, gradient * 0.5 / norm, rtol=1e-4, atol=1e-6)


def test_in_shares_of_the_weights() -> None:
    """Brock et al. 2021, eq. 3: G_i ← λ · max(‖W_i‖, ε)/‖G_i‖ · G_i where the gradient's row is longer than that."""
    members, limit = parameters(), 0.4
    wanted = []
    for member in members[:3]:
        weight, gradient = (each.detach().numpy().astype(np.float64) for each in (member, member.grad))
        rows = [(weight, gradient)] if weight.ndim == 1 else list(zip(weight, gradient, strict=True))
        found = []
        for w, g in rows:
            longest = limit * max(np.linalg.norm(w), 1e-3)
            found.append(g * longest / np.linalg.norm(g) if np.linalg.norm(g) > longest else g)
        wanted.append(np.concatenate([each.ravel() for each in found]).reshape(gradient.shape))
    clip(members, limit, "adaptive", torch.tensor(9.0))
    for member, value in zip(members, wanted, strict=False):
        np.testing.assert_allclose(member.grad.numpy(), value, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("by", ["norm", "value", "adaptive"])
def test_what_is_not_a_number_stays_so(by: str) -> None:
    """The loop leaves such a step out; it must not look like a good one."""
    members = parameters()
    members[0].grad[0, 0] = float("nan")
    clip(members, 0.1, by, torch.tensor(float("nan")))
    assert not bool(torch.cat([member.grad.flatten() for member in members[:3]]).isfinite().all())
