"""What is published about the names in an architecture's LoRA files; for `PUBLISHED` in its file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Published:
    """Worked out from published files and code, not from ours. For transformers; a UNet's names follow one grammar."""

    layers: Sequence[tuple[str, tuple[str, ...]]]
    """The true model's layers that are trained by default: original path, and the paths in diffusers that it stands
    for, in the order of its rows."""
    cases: Sequence[tuple[dict[str, Any], dict[str, bool], int]]
    """Settings of a network; the same as `text` (CLIP) and `large` (T5); how many layers kohya's file then has."""
    text: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Of each text encoder that can be trained: kohya's prefix, ComfyUI's name, number of blocks."""
    native_in_aitoolkit: bool = False
    """Does ai-toolkit write the original names?"""

    def trained_layers(self) -> dict[str, int]:
        """How many layers of ours are trained by default: those of the denoiser, and six in each block of CLIP."""
        denoiser = {"transformer": sum(len(parts) for _, parts in self.layers)}
        return denoiser | {name: 6 * count for name, (_, comfyui, count) in self.text.items() if comfyui[:4] == "clip"}
