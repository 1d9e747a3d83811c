"""8 bits for each number and a factor for each row (output): fp8 and int8. A weight is q · factor.

With fp8 the factor is a power of two, such that the row's largest number uses the format's range. Powers of two round
nothing: what is unpacked is exactly q · 2^k in every wider format, and a weight that was in such a format before comes
back as it was.

With int8 the factor is the row's largest number / 127, and q lies in -127..127: the symmetric quantisation by rows of
Jacob et al. 2018 (arXiv 1712.05877, appendix D).
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from loratory.models.common.storage.base import Format, Kept

LARGEST = 127


def by_row(values: Tensor, like: Tensor) -> Tensor:
    """(out,) in a shape that multiplies a weight."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def pack_float(weight: Tensor, form: torch.dtype) -> Kept:
    """q in the shape of `weight`, and 2^k in its format."""
    numbers = weight.detach().float()
    largest = numbers.flatten(1).abs().amax(dim=1)
    # The smallest power of two that brings the largest number into range; of a row of zeros, 1.
    exponent = torch.frexp(largest / torch.finfo(form).max)
    power = torch.where(exponent.mantissa == 0.5, exponent.exponent - 1, exponent.exponent)
    # Not below what the format can hold as a full number: what is smaller there is as good as zero.
    least = math.frexp(torch.finfo(weight.dtype).tiny)[1] - 1
    power = torch.where(largest > 0, power, 0).clamp(min=least)
    factors = by_row(torch.ldexp(torch.ones_like(largest), power), weight)
    return {"packed": (numbers / factors).to(form), "factors": factors.to(weight.dtype)}


def pack_integer(weight: Tensor) -> Kept:
    """q in the shape of `weight`, and the factors in its format: q belongs to the factor as it was rounded to that."""
    numbers = weight.detach().float()
    factors = numbers.flatten(1).abs().amax(dim=1) / LARGEST
    factors = torch.where(factors > 0, factors, 1).to(weight.dtype).clamp(min=torch.finfo(weight.dtype).tiny)
    factors = by_row(factors, weight)
    packed = torch.round(numbers / factors.float()).clamp(-LARGEST, LARGEST)
    return {"packed": packed.to(torch.int8), "factors": factors}


def unpack(kept: Kept, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """In fp16 and bf16 the product of an int8 is rounded once; of an fp8 it is exact."""
    return kept["packed"].to(dtype) * kept["factors"]


FP8_E4M3 = Format(partial(pack_float, form=torch.float8_e4m3fn), unpack)
FP8_E5M2 = Format(partial(pack_float, form=torch.float8_e5m2), unpack)
INT8 = Format(pack_integer, unpack)
