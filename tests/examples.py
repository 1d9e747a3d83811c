"""The job files in examples/, and what their names say."""

from pathlib import Path

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


def architecture_of(stem: str) -> str:
    """sdxl-8gb and flux1-dev-24gb are for sdxl and flux1."""
    return stem.partition("-")[0]
