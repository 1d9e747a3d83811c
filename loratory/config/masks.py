"""Where in a picture the model learns."""

from __future__ import annotations

from typing import Any

from loratory.config.base import StrictModel, param

NAME_MARK = "[name]"
"""Stands for the picture's name without its ending."""


def _field(default: Any, **facts: Any) -> Any:
    return param(default, tab="Dataset", group="Masks", **facts)


class MasksConfig(StrictModel):
    """A mask says how much each part of a picture counts: white is learned, black is not, grey is in between."""

    path: str | None = _field(
        None, path=True, level="advanced", owner="job",
        help="A folder of masks: pictures of the same size as those of the dataset, under the same names and in the "
        "same sub-folders. Where they are white the model learns. A picture without a mask is learned everywhere.",
        affects_cache=True, kohya=("conditioning_data_dir",), aitoolkit=("datasets.mask_path",),
    )  # fmt: skip
    names: str = _field(
        NAME_MARK, level="expert",
        help="How masks are called, without the ending; [name] is the picture's name. With [name]-masklabel masks may "
        "lie beside their pictures: set the path to the dataset's own folder.",
        affects_cache=True,
        owner="subject",
    )  # fmt: skip
    alpha: bool = _field(
        False, level="advanced",
        help="The pictures' own transparency is the mask: what is transparent is not learned. The colours below it "
        "stay as they are in the file instead of becoming white.",
        affects_cache=True, kohya=("alpha_mask",), aitoolkit=("datasets.alpha_mask",),
        owner="subject",
    )  # fmt: skip
    invert: bool = _field(
        False,
        level="advanced",
        help="Learn where masks are black instead.",
        aitoolkit=("datasets.invert_mask",),
        owner="subject",
    )
    minimum: float = _field(
        0.0, ge=0, le=1, level="advanced",
        help="How much black counts; white counts 1 and grey in between. A little, such as 0.1, keeps the surroundings "
        "from falling apart.",
        aitoolkit=("datasets.mask_min_value",),
        owner="subject",
    )  # fmt: skip

    def used(self) -> bool:
        """Are there masks at all?"""
        return self.alpha or self.path is not None
