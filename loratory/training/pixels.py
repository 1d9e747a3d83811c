"""Pictures as arrays become pictures as tensors: resize, crop, flip, and the range that models expect."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from loratory.data.buckets import Fit


def resize_and_crop(image: NDArray[np.uint8], fit: Fit, flip: bool = False, mode: str = "bicubic") -> Tensor:
    """Resize image (H, W, channels) uint8 to fit.scaled, cut fit.bucket out at fit.crop, mirror left and right if flip.

    Returns a contiguous uint8 tensor (channels, bucket height, bucket width). The crop is meant before mirroring. mode
    is torch's, with antialiasing; bicubic is within one level of Pillow's but for less than one pixel in a thousand, at
    clipped edges, where Pillow takes the rows before the columns to save work.
    """
    left, top = fit.crop
    width, height = fit.bucket
    assert 0 <= left <= fit.scaled[0] - width and 0 <= top <= fit.scaled[1] - height, "the crop leaves the picture"
    # The permuted view of an (H, W, 3) array is channels_last, torch's fast way for uint8; nothing is copied here.
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)
    if fit.scaled != (image.shape[1], image.shape[0]):
        size = [fit.scaled[1], fit.scaled[0]]
        pixels = interpolate(pixels, size=size, mode=mode, align_corners=False, antialias=True)
    window = pixels[0, :, top : top + height, left : left + width]
    return (window.flip(-1) if flip else window).contiguous()


def to_model_range(pixels: Tensor) -> Tensor:
    """uint8 levels 0..255 of any shape to float32 -1..1."""
    return pixels.to(torch.float32) / 127.5 - 1.0
