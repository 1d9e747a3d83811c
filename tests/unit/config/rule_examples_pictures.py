"""Configs that the rules about pictures and masks find, and such that they leave alone; test_rules.py tries them."""

from __future__ import annotations

from typing import Any

from tests.unit.config.rule_examples import Example


def dataset(**changes: Any) -> dict[str, Any]:
    return {"datasets": [{"path": "plain"}, {"path": "photos", **changes}]}


PICTURE_EXAMPLES: dict[str, Example] = {
    "sizes_have_room": Example(
        bad=(
            ("hidream", {"batching": {"buckets": {"resolution": 1280}}}, "error", [("batching.buckets.resolution",)]),
            ("hidream", {"batching": {"buckets": {"resolution": (1344, 1024), "mode": "off"}}}, "error",
             [("batching.buckets.resolution",)]),
            ("hidream", dataset(resolutions=[512, 1536]), "error", [("datasets.1.resolutions",)]),
            ("hidream", {"sampling": {"width": 1536}}, "error", [("sampling.width", "sampling.height")]),
        ),
        good=(
            ("hidream", {"batching": {"buckets": {"resolution": (1280, 768)}}}),
            ("hidream", {"batching": {"buckets": {"resolution": 1280, "mode": "off"}}}),
            ("hidream", {"sampling": {"width": 1280, "height": 768}}),
            ("sdxl", {"batching": {"buckets": {"resolution": 1280}}}),
        ),
    ),
    "regularisation_is_balanced_with_something": Example(
        bad=(
            ("sd15", {"batching": {"balance_regularisation": True}}, "warning",
             [("batching.balance_regularisation",)]),
            ("sd15", dataset(is_regularisation=True, batch_group="b") | {"batching": {"balance_regularisation": True}},
             "error", [("datasets.1.batch_group", "batching.balance_regularisation")]),
        ),
        good=(
            ("sd15", dataset(is_regularisation=True) | {"batching": {"balance_regularisation": True}}),
            ("sd15", dataset(is_regularisation=True, batch_group="b")),
        ),
    ),
    "changed_pictures_and_cache": Example(
        bad=(
            ("sd15", dataset(augmentation={"random_crop": True, "variants": None}), "error",
             [("datasets.1.augmentation.variants", "caching.latents")]),
            ("sd15", dataset(augmentation={"zoom": 1.5, "variants": None}) | {"caching": {"latents": "memory"}},
             "error", [("datasets.1.augmentation.variants", "caching.latents")]),
            ("sd15", dataset(augmentation={"flip": True, "variants": 4}), "warning",
             [("datasets.1.augmentation.variants",)]),
            ("sd15", dataset(augmentation={"variants": None}), "warning", [("datasets.1.augmentation.variants",)]),
        ),
        good=(
            ("sd15", dataset(augmentation={"random_crop": True, "colour": True, "zoom": 2, "variants": None})
             | {"caching": {"latents": "off"}}),
            ("sd15", dataset(augmentation={"random_crop": True, "colour": True, "zoom": 2, "variants": 4})),
            ("sd15", dataset(augmentation={"flip": True, "zoom": 1.0})),
        ),
    ),
    "masks_come_from_one_place": Example(
        bad=(
            ("sd15", dataset(masks={"path": "masks", "alpha": True}), "error",
             [("datasets.1.masks.path", "datasets.1.masks.alpha")]),
            ("sd15", dataset(masks={"path": "masks", "names": "mask"}), "error", [("datasets.1.masks.names",)]),
            ("sd15", dataset(masks={"path": "masks", "names": "[name][name]"}), "error",
             [("datasets.1.masks.names",)]),
            ("sd15", dataset(masks={"path": "masks", "names": "masks/[name]"}), "error",
             [("datasets.1.masks.names",)]),
        ),
        good=(
            ("sd15", dataset(masks={"path": "masks", "names": "[name]-masklabel", "invert": True})),
            ("sd15", dataset(masks={"alpha": True})),
        ),
    ),
    "mask_options_that_do_nothing": Example(
        bad=(
            ("sd15", dataset(masks={"invert": True, "minimum": 0.5}), "warning",
             [("datasets.1.masks.invert",), ("datasets.1.masks.minimum",)]),
            ("sd15", dataset(masks={"alpha": True, "minimum": 1.0}), "warning", [("datasets.1.masks.minimum",)]),
            ("sd15", dataset(masks={"alpha": True, "names": "m_[name]"}), "warning", [("datasets.1.masks.names",)]),
            ("flux1", {"objective": {"masked_loss_mean": "mask"}}, "warning", [("objective.masked_loss_mean",)]),
        ),
        good=(
            ("sd15", dataset(masks={"alpha": True, "minimum": 0.1, "invert": True})),
            ("sd15", dataset(masks={"path": "masks", "names": "[name]_mask"})
             | {"objective": {"masked_loss_mean": "mask"}}),
        ),
    ),
}  # fmt: skip
