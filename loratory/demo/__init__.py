"""The bundled text-to-image model, the pictures it was trained on, and the demo dataset of the first training."""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""The bundled model: a folder in the layout of Stable Diffusion 1.5."""
