"""Small changes of a picture's colours."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

HUE_DEGREES = 16.0
GAMMA_RANGE = 0.05
SHARE = 1 / 3
"""Mild, and in a third of the uses, as kohya's color_aug."""


ColourChange = tuple[Literal["hue", "gamma"], float]
"""Hues turned by so many degrees, or another gamma."""


def draw_colours(random: np.random.Generator) -> ColourChange | None:
    """None (no change) in two thirds of the draws, else one of both. Three numbers are drawn."""
    happens, kind, amount = (float(number) for number in random.random(3))
    if happens >= SHARE:
        return None
    if kind < 0.5:
        return "hue", (2 * amount - 1) * HUE_DEGREES
    return "gamma", 1 + (2 * amount - 1) * GAMMA_RANGE


def changed_colours(pixels: Tensor, change: ColourChange) -> Tensor:
    """uint8 (3, H, W) with turned hues or another gamma."""
    kind, amount = change
    return turn_hue(pixels, amount) if kind == "hue" else change_gamma(pixels, amount)


def turn_hue(pixels: Tensor, degrees: float) -> Tensor:
    """uint8 (3, H, W) with every hue turned; brightness and saturation (HSV) stay.

    HSV to RGB without cases: channel n is V - V·S·max(0, min(k, 4-k, 1)) with k = (n + H/60) mod 6 and n = 5, 3, 1.
    """
    colours = pixels.to(torch.float32) / 255
    value, largest = colours.max(0)
    spread = value - colours.min(0).values
    red, green, blue = colours
    safe = spread.clamp(min=1e-6)
    sixths = torch.stack([(green - blue) / safe, (blue - red) / safe + 2, (red - green) / safe + 4])
    hue = sixths.gather(0, largest[None])[0] + degrees / 60
    steps = (torch.tensor([5.0, 3.0, 1.0])[:, None, None] + hue).remainder(6)
    turned = value - spread * torch.minimum(steps, 4 - steps).clamp(0, 1)
    return (turned * 255).round().to(torch.uint8)


def change_gamma(pixels: Tensor, gamma: float) -> Tensor:
    """uint8 of any shape: 255·(x/255)^gamma; below 1 is brighter."""
    levels = ((torch.arange(256, dtype=torch.float32) / 255) ** gamma * 255).round().to(torch.uint8)
    return levels[pixels.long()]
