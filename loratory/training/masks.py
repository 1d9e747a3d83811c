"""Masks on their way to the loss: resized and cut as their pictures, averaged to the grid of the latents, kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from loratory.config.train import TrainConfig
from loratory.console import Show
from loratory.data.images import BrokenImage
from loratory.data.masks import Masks, alpha_masks, folder_masks
from loratory.data.scan import ContentHashes, Scan
from loratory.planner import Sample
from loratory.runs import home_folder
from loratory.training.cache import Broken, Pictures, Progress
from loratory.training.pixels import resize_and_crop
from loratory.training.tensor_cache import TensorCache, key_of
from loratory.training.views import View, every_view

log = logging.getLogger(__name__)

MASK_FORMAT = 1
"""Part of every key: a change in how masks are prepared gets a new number."""


def find_masks(
    config: TrainConfig, scans: Sequence[Scan], hashes: Sequence[ContentHashes], show: Show
) -> tuple[list[Scan], list[Masks | None]]:
    """The masks of every dataset (None: it has none), and the datasets without the masks that lie in them.

    Raises UserError, naming the field, for masks that cannot be used.
    """
    pictures: list[Scan] = []
    found: list[Masks | None] = []
    for number, (dataset, scan) in enumerate(zip(config.datasets, scans, strict=True)):
        where, masks = f"datasets.{number}.masks", None
        if dataset.masks.alpha:
            masks = alpha_masks(scan, hashes[number], where)
        elif dataset.masks.path is not None:
            name = key_of("masks", str(Path(dataset.masks.path).resolve()))[:12]
            index = home_folder("state") / "datasets" / f"{name}.json"
            with show.progress(f"looking at {dataset.masks.path}", 1) as bar:
                scan, masks = folder_masks(scan, dataset.masks, index, where, bar.advance_to)
        pictures.append(scan)
        found.append(masks)
    return pictures, found


class LatentMasks:
    """The masks of samples on the grid of their latents."""

    def __init__(
        self,
        config: TrainConfig,
        masks: Sequence[Masks | None],
        pictures: Pictures,
        cache: TensorCache | None,
        factor: int,
    ) -> None:
        """`cache` None: masks are read in every use. `factor`: pixels per latent along one side."""
        self._pictures = pictures
        self._datasets = config.datasets
        self._masks = masks
        self._cache = cache
        self._factor = factor

    def weights(self, sample: Sample, view: View) -> Tensor | None:
        """How much each latent counts: float32 (1, h, w) from 0 to 1, or None where all count in full."""
        masks = self._masks[sample.dataset]
        if masks is None or sample.item.path not in masks.items:
            return None
        levels = self.levels(sample, view) if self._cache is None else self._cache.get(self.key(sample, view))["mask"]
        return weights_of(levels, self._datasets[sample.dataset].masks.minimum)

    def levels(self, sample: Sample, view: View) -> Tensor:
        """uint8 (1, h, w): the mean level over each latent's pixels, white where it is learned. Raises BrokenImage."""
        masks = self._masks[sample.dataset]
        assert masks is not None
        levels = masks.levels(sample.item.path)[:, :, None]
        if self._datasets[sample.dataset].masks.invert:
            levels = 255 - levels
        # In this way a level between black and white never lies outside of them, as bicubic's does.
        pixels = resize_and_crop(levels, view.fit, view.flip, "bilinear")
        pixels = self._pictures.warped_alike(sample, view, pixels)
        return avg_pool2d(pixels.float(), self._factor).round().to(torch.uint8)

    def key(self, sample: Sample, view: View) -> str:
        masks = self._masks[sample.dataset]
        assert masks is not None
        content, invert = masks.content(sample.item.path), self._datasets[sample.dataset].masks.invert
        geometry = (view.fit, view.flip, self._factor)
        warped: list[object] = []
        if view.pipeline_seed is not None:  # what it does may depend on the picture's colours
            warped = [self._pictures.key(sample, view)]
        return key_of("mask", MASK_FORMAT, content, masks.alpha, invert, *geometry, *warped)

    def fill(self, samples: Iterable[Sample], config: TrainConfig, progress: Progress) -> list[Broken]:
        """Read every mask once, into the cache if there is one. Pictures whose masks cannot be read are returned."""
        wanted: dict[str, tuple[Sample, View]] = {}
        for sample in samples:
            masks = self._masks[sample.dataset]
            if masks is None or sample.item.path not in masks.items:
                continue
            if self._cache is None:
                views = [View(sample.fit)]
            else:
                views = every_view(config.seed, config.datasets[sample.dataset].augmentation, sample)
            for view in views:
                key = self.key(sample, view)
                if self._cache is None or key not in self._cache:
                    wanted.setdefault(key, (sample, view))

        def read(pair: tuple[Sample, View]) -> Tensor | Broken:
            sample, view = pair
            try:
                return self.levels(sample, view)
            except BrokenImage as error:
                return Broken(sample.dataset, sample.item.path, str(error))

        broken: dict[tuple[int, str], Broken] = {}
        with ThreadPoolExecutor(4) as pool:
            results = zip(wanted.items(), pool.map(read, wanted.values()), strict=True)
            for done, ((key, (sample, _)), result) in enumerate(results, 1):
                if isinstance(result, Broken):
                    broken[result.dataset, result.path] = result
                else:
                    self._warn_if_nothing_is_left(sample, result)
                    if self._cache is not None:
                        self._cache.add(key, {"mask": result})
                progress(done, len(wanted))
        if self._cache is not None:
            self._cache.flush()
        return list(broken.values())

    def _warn_if_nothing_is_left(self, sample: Sample, levels: Tensor) -> None:
        masks = self._masks[sample.dataset]
        assert masks is not None
        settings = self._datasets[sample.dataset].masks
        if float(weights_of(levels, settings.minimum).max()) < 2 / 255:
            log.warning(
                "Nothing is learned from %s: its mask is %s where it is used.%s",
                masks.root / masks.items[sample.item.path].path,
                "white (and inverted)" if settings.invert else "black",
                " Its levels are 0 and 1; white is 255." if int(levels.max()) == 1 and not settings.invert else "",
            )


def weights_of(levels: Tensor, minimum: float) -> Tensor:
    """Levels 0..255 as weights: minimum + (1 - minimum)·m/255, as ai-toolkit."""
    return minimum + (1 - minimum) * (levels.float() / 255)
