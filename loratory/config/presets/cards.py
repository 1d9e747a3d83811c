"""What fits on which graphics card: for each architecture and GB the least costly way, by the planner's own estimate.

A test plans all of them, with every goal and in every phase: encoding, training and samples at the architecture's usual
size; of the card a twentieth is left over, for the desktop and for what an estimate may be wrong by. What costs least
time comes first: nothing, encoders that wait, one picture after the other, every second block twice, every block twice,
weights in 8 bits, blocks that wait, text encoders in 4 bits. A card that is missing is too small for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from loratory.config.weight_formats import Weights

MEMORIES = (8, 12, 16, 24, 48, 80)
"""GB of graphics cards that presets are made for."""


@dataclass(frozen=True)
class Card:
    """How a training fits: pictures at a time, blocks that are computed twice, and what waits or has fewer bits."""

    pictures: int
    twice: Literal["none", "half", "all"] = "none"
    waits: bool = False
    """The encoders, in the computer's memory (low_vram)."""
    denoiser: Weights = "full"
    texts: Weights = "full"
    swapped: int = 0

    def settings(self) -> dict[str, Any]:
        memory: dict[str, Any] = {}
        if self.twice != "none":
            memory["gradient_checkpointing"] = "on"
        if self.twice == "half":
            memory["checkpoint_every"] = 2
        if self.waits:
            memory["low_vram"] = True
        for name, weights in (("denoiser_weights", self.denoiser), ("text_encoder_weights", self.texts)):
            if weights != "full":
                memory[name] = weights
        if self.swapped:
            memory["blocks_to_swap"] = self.swapped
        caching = {"caching": {"batch_size": 1}} if self.waits else {}
        return ({"memory": memory} if memory else {}) | caching

    def why(self, trains_texts: bool = False) -> tuple[str, ...]:
        """A sentence for each measure, with its price. A text encoder that is trained does not wait."""
        told = {
            "all": "Every block is computed twice: a third more time for a tenth of the pictures' memory.",
            "half": "Every second block is computed twice: a sixth more time for half of the pictures' memory.",
            "none": "Nothing is saved at the cost of time: the card is large enough.",
        }
        waiting = "The autoencoder waits" if trains_texts else "Encoders wait"
        words = f"{waiting} in the computer's memory while the model is trained; one thing is encoded at a time."
        waits = (words,) if self.waits else ()
        packed = [
            f"The {part} is kept as {weights}: {'half' if weights == 'int8' else 'about a quarter of'} the memory."
            for part, weights in (("denoiser", self.denoiser), ("text encoder", self.texts))
            if weights != "full"
        ]
        words = f"Of the blocks {self.swapped} wait in the computer's memory, at the cost of time."
        swapped = (words,) if self.swapped else ()
        return (told[self.twice], *waits, *packed, *swapped)


def _waits(pictures: int = 1, swapped: int = 0, **weights: Weights) -> Card:
    return Card(pictures, "all", waits=True, swapped=swapped, **weights)


def _packed(pictures: int = 1, swapped: int = 0, texts: Weights = "int8") -> Card:
    return _waits(pictures, swapped, denoiser="int8", texts=texts)


_ROOMY = Card(4)

CARDS: dict[str, dict[int, Card]] = {
    "sd15": dict.fromkeys(MEMORIES, _ROOMY),
    "sd2": {8: Card(2, waits=True), 12: Card(4, waits=True)} | dict.fromkeys((16, 24, 48, 80), _ROOMY),
    "sdxl": {
        8: _packed(4), 12: Card(1, "half", waits=True), 16: Card(1, waits=True), 24: Card(2), 48: _ROOMY, 80: _ROOMY,
    },
    "sd3": {
        8: _packed(2), 12: _waits(2, texts="int8"), 16: Card(1, "half", waits=True), 24: Card(1, waits=True),
        48: _ROOMY, 80: _ROOMY,
    },
    "lumina2": {8: _packed(), 12: _waits(), 16: _waits(2), 24: Card(1, "half", waits=True), 48: Card(1), 80: _ROOMY},
    "omnigen2": {
        8: _packed(1, 14), 12: _packed(2), 16: _waits(2), 24: _waits(2), 48: Card(1, waits=True), 80: Card(1),
    },
    "flux2_klein": {
        8: _packed(1, 10), 12: _packed(2), 16: _waits(2), 24: Card(1, "half", waits=True), 48: Card(2, waits=True),
        80: _ROOMY,
    },
    "zimage": {8: _packed(1, 22), 12: _packed(), 16: _packed(2), 24: _waits(2), 48: Card(1, "half"), 80: Card(1)},
    "chroma": {8: _packed(1, 48), 12: _packed(1, 22), 16: _packed(), 24: _waits(), 48: Card(1, "half"), 80: Card(1)},
    "chroma_radiance": {
        12: _packed(1, 54), 16: _packed(1, 28), 24: _packed(), 48: Card(1, "half", waits=True), 80: Card(1),
    },
    "flux1": {
        8: _packed(1, 54), 12: _packed(1, 34), 16: _packed(1, 16), 24: _packed(2), 48: Card(1, "half", waits=True),
        80: Card(1),
    },
    "qwen_image": {
        12: _packed(2, 56), 16: _packed(2, 46), 24: _packed(2, 20), 48: _waits(), 80: Card(1, "half", waits=True),
    },
    "hidream": {
        12: _packed(2, 38, "uint4"), 16: _packed(2, 28), 24: _packed(1), 48: _waits(2), 80: Card(1, waits=True),
    },
    "flux2": {24: _packed(2, 50, "uint4"), 48: _packed(), 80: _waits()},
}  # fmt: skip
