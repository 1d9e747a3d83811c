"""The pictures: dataset.toml, with a [[datasets]] for each size and a subset for each folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loratory.config.dataset import CaptionsConfig, DatasetConfig
from loratory.data.buckets import BucketRule
from loratory.data.scan import Item, Scan
from loratory.interop.kohya.writing.sheet import Sheet

Table = dict[str, Any]


@dataclass(frozen=True)
class _Folder:
    """Pictures that lie in one folder; sub-folders are others."""

    path: str
    repeats: int
    class_tokens: str
    items: tuple[Item, ...]


def write_datasets(sheet: Sheet) -> Table:
    """dataset.toml as plain data, and what there is to say about it."""
    config = sheet.config
    groups: dict[tuple[str, BucketRule, bool, bool], Table] = {}
    for number, (dataset, rules) in enumerate(zip(config.datasets, sheet.facts.rules, strict=True)):
        subsets = _subsets(sheet, number, dataset)
        for rule in rules:
            masked, described = dataset.masks.path is not None, dataset.captions.metadata_file is not None
            key = (dataset.batch_group, rule, masked, described)
            groups.setdefault(key, {**_table(sheet, rule), "subsets": []})["subsets"] += subsets
    _tell_groups(sheet, len(groups))
    _tell_regularisation(sheet)
    if any(masked for _, _, masked, _ in groups):
        sheet.arguments["masked_loss"] = True
    return {"datasets": list(groups.values())}


def _table(sheet: Sheet, rule: BucketRule) -> Table:
    """Size and buckets, each written out, since the defaults there are others."""
    batching = sheet.config.batching
    table: Table = {
        "resolution": list(rule.resolution),
        "batch_size": batching.size,
        "enable_bucket": rule.kind != "off",
    }
    if rule.kind != "off":
        # Where nothing is enlarged these have no effect there, but are checked all the same.
        low, high = (rule.minimum, rule.maximum) if rule.kind == "kohya" else (256, 1024)
        table |= {
            "min_bucket_reso": min(low, *rule.resolution),
            "max_bucket_reso": max(high, *rule.resolution),
            "bucket_reso_steps": rule.step,
            "bucket_no_upscale": rule.kind != "kohya",
        }
    validation = sheet.config.validation
    if validation.split:
        table |= {"validation_split": validation.split, "validation_seed": validation.seed % 2**32}
    return table


def write_batching(sheet: Sheet) -> None:
    batching = sheet.config.batching
    buckets = batching.buckets
    sheet.say("batching.gradient_accumulation_steps", gradient_accumulation_steps=batching.gradient_accumulation_steps)
    names = ("resolution", "mode", "minimum", "adapt_minimum", "maximum", "step")
    sheet.done(["batching.size", *(f"batching.buckets.{name}" for name in names)])
    sheet.arguments["train_batch_size"] = batching.size
    if buckets.mode == "aitoolkit":
        sheet.cannot("batching.buckets.mode", "sd-scripts has not ai-toolkit's rule; bucket_no_upscale is the nearest.")
    if buckets.mode == "off":
        sheet.remark(
            "batching.buckets.mode",
            "without buckets sd-scripts stops at a picture that is not of exactly the training size.",
        )
    elif buckets.step % sheet.script.step:
        sheet.cannot(
            "batching.buckets.step", f"{sheet.script.name} refuses steps that are no multiple of {sheet.script.step}."
        )


def _tell_groups(sheet: Sheet, count: int) -> None:
    datasets = sheet.config.datasets
    for number in range(len(datasets)):
        sheet.done((f"datasets.{number}.batch_group", f"datasets.{number}.resolutions"))
    if count > len({each.batch_group for each in datasets}):
        sheet.remark(
            "datasets.0.resolutions",
            "with sd-scripts pictures of several training sizes, or with and without masks, are never in one batch, "
            "even where their buckets are alike; an epoch may have a few more batches.",
        )


def _tell_regularisation(sheet: Sheet) -> None:
    balanced = sheet.config.batching.balance_regularisation
    sheet.done("batching.balance_regularisation")
    if not balanced and any(each.is_regularisation for each in sheet.config.datasets):
        sheet.cannot(
            "batching.balance_regularisation",
            "sd-scripts always repeats regularisation pictures, or leaves some out, until there are as many as others.",
        )


def _subsets(sheet: Sheet, number: int, dataset: DatasetConfig) -> list[Table]:
    scan, at = sheet.facts.scans[number], f"datasets.{number}"
    sheet.done([f"{at}.{name}" for name in ("path", "num_repeats", "is_regularisation")])
    shared = {**_captions(sheet, at, dataset), **_changes(sheet, at, dataset)}
    masks = _masks(sheet, at, dataset)
    if scan is None:
        sheet.remark(f"{at}.path", "the folder is not here; sd-scripts does not look into sub-folders, so add them.")
    elif scan.problems:
        sheet.remark(
            f"{at}.path", f"sd-scripts stops at pictures that are left out here, such as {scan.problems[0].path}."
        )
    found = []
    for folder in _folders(dataset, scan):
        subset: Table = {"image_dir": folder.path, "num_repeats": dataset.num_repeats * folder.repeats, **shared}
        subset["caption_extension"] = _extension(sheet, at, dataset.captions, folder)
        tokens = dataset.captions.default or folder.class_tokens
        if tokens and not masks:
            subset["class_tokens"] = tokens
        if masks:
            inner = Path(folder.path).relative_to(dataset.path) if scan is not None else Path()
            subset["conditioning_data_dir"] = str(Path(masks) / inner)
        elif dataset.is_regularisation:
            subset["is_reg"] = True
        if dataset.captions.metadata_file is not None:
            _describe(sheet, at, dataset, subset)
        found.append(subset)
    if masks and (tokens_lost := dataset.captions.default or dataset.is_regularisation):
        what = "captions.default" if isinstance(tokens_lost, str) else "is_regularisation"
        sheet.cannot(f"{at}.{what}", "sd-scripts has none beside masks.")
    _tell_captions(sheet, at, dataset, scan)
    return found


def _describe(sheet: Sheet, at: str, dataset: DatasetConfig, subset: Table) -> None:
    """A subset whose captions come from one file; it has fewer options."""
    subset["metadata_file"] = dataset.captions.metadata_file
    sheet.done(f"{at}.captions.metadata_file")
    for name in ("caption_extension", "class_tokens"):
        subset.pop(name, None)
    if subset.pop("is_reg", False):
        sheet.cannot(f"{at}.is_regularisation", "sd-scripts has no regularisation pictures beside a metadata_file.")
    if dataset.captions.default:
        sheet.cannot(f"{at}.captions.default", "sd-scripts has none beside a metadata_file.")
    if dataset.masks.path is not None:
        subset.pop("metadata_file")
        sheet.cannot(f"{at}.captions.metadata_file", "sd-scripts has none beside masks.")


def _folders(dataset: DatasetConfig, scan: Scan | None) -> list[_Folder]:
    if scan is None:
        return [_Folder(dataset.path, 1, "", ())]
    inside: dict[str, list[Item]] = {}
    for item in scan.items:
        inside.setdefault(item.path.rpartition("/")[0], []).append(item)
    return [
        _Folder(str(Path(dataset.path) / name) if name else dataset.path, items[0].repeats, items[0].class_tokens,
                tuple(items))
        for name, items in sorted(inside.items())
    ]  # fmt: skip


def _extension(sheet: Sheet, at: str, captions: CaptionsConfig, folder: _Folder) -> str:
    """The one ending of caption files that sd-scripts looks for."""
    endings = Counter(Path(item.caption_path).suffix for item in folder.items if item.caption_path is not None)
    path = f"{at}.captions.extensions"
    sheet.done(path)
    if not endings:
        if not folder.items and len(captions.extensions) > 1:
            sheet.remark(path, f"sd-scripts reads one kind of caption files; {captions.extensions[0]} is written.")
        return captions.extensions[0]
    usual = endings.most_common(1)[0][0]
    if len(endings) > 1:
        others = endings.total() - endings[usual]
        sheet.cannot(
            path, f"sd-scripts reads one kind of caption files, {usual}; {others} of {folder.path} are others."
        )
    if usual == ".json":
        sheet.cannot(path, f"sd-scripts cannot read captions from .json files, as those of {folder.path}.")
    return usual


def _captions(sheet: Sheet, at: str, dataset: DatasetConfig) -> Table:
    captions, trigger = dataset.captions, dataset.trigger_word
    prefix, kept = captions.prefix, captions.keep_tokens
    if trigger:
        prefix = f"{trigger}, {prefix}".rstrip()
        kept = max(kept, trigger.count(captions.separator) + 1)
        sheet.remark(
            f"{at}.trigger_word",
            "sd-scripts has none; it is written in front of every caption (caption_prefix), of those that have it "
            "already, too, and [trigger] is not replaced.",
        )
    steps = captions.token_warmup_steps
    said = {
        "default": None,
        "shuffle": {"shuffle_caption": captions.shuffle},
        "keep_tokens": {"keep_tokens": kept},
        "keep_tokens_separator": {"keep_tokens_separator": captions.keep_tokens_separator},
        "separator": {"caption_separator": captions.separator},
        "secondary_separator": {"secondary_separator": captions.secondary_separator},
        "wildcards": {"enable_wildcard": captions.wildcards},
        "prefix": {"caption_prefix": prefix},
        "suffix": {"caption_suffix": captions.suffix},
        "dropout_rate": {"caption_dropout_rate": captions.dropout_rate},
        "dropout_every_n_epochs": {"caption_dropout_every_n_epochs": captions.dropout_every_n_epochs},
        "tag_dropout_rate": {"caption_tag_dropout_rate": captions.tag_dropout_rate},
        "token_warmup_steps": {"token_warmup_step": int(steps) if steps >= 1 and steps == int(steps) else steps},
        "token_warmup_min": {"token_warmup_min": captions.token_warmup_min},
    }
    sheet.done([f"{at}.captions.{name}" for name in said])
    if not captions.random_triggers:
        sheet.done(f"{at}.captions.random_triggers_max")
    table: Table = {}
    for options in said.values():
        table |= {name: value for name, value in (options or {}).items() if value not in (None, "")}
    _tell_traps(sheet, at, captions)
    return table


def _tell_traps(sheet: Sheet, at: str, captions: CaptionsConfig) -> None:
    changes_tags = captions.shuffle or captions.tag_dropout_rate > 0 or captions.token_warmup_steps > 0
    if captions.keep_tokens_separator and not changes_tags:
        sheet.cannot(
            f"{at}.captions.keep_tokens_separator",
            "sd-scripts leaves it in the text unless tags are shuffled, dropped or warmed up.",
        )
    if captions.wildcards and (captions.prefix or captions.suffix):
        sheet.cannot(
            f"{at}.captions.wildcards",
            "of several lines sd-scripts gives the prefix to the first and the suffix to the last only.",
        )
    if captions.variants != CaptionsConfig().variants and captions.varies():
        sheet.remark(f"{at}.captions.variants", "sd-scripts makes another text in every use.")
    sheet.done(f"{at}.captions.variants")


def _tell_captions(sheet: Sheet, at: str, dataset: DatasetConfig, scan: Scan | None) -> None:
    """What sd-scripts would read otherwise in the files themselves."""
    if scan is None:
        return
    several = empty = 0
    for item in scan.items:
        if item.caption_path is None or item.caption_path.endswith(".json"):
            continue
        content = (scan.root / item.caption_path).read_bytes()
        lines = [line for line in content.splitlines() if line.strip()]
        several += len(lines) > 1 and not dataset.captions.wildcards
        empty += not content
    if several:
        sheet.cannot(f"{at}.captions", f"sd-scripts reads the first line of a caption only; {several} have more.")
    if empty:
        sheet.cannot(f"{at}.captions", f"sd-scripts stops at a caption file without a line; {empty} are empty.")


def _changes(sheet: Sheet, at: str, dataset: DatasetConfig) -> Table:
    changes = dataset.augmentation
    sheet.done([f"{at}.augmentation.{name}" for name in ("flip", "random_crop", "colour")])
    if changes.variants is not None and (changes.random_crop or changes.colour):
        sheet.remark(f"{at}.augmentation.variants", "sd-scripts makes another picture in every use.")
    sheet.done(f"{at}.augmentation.variants")
    table: Table = {"flip_aug": changes.flip, "color_aug": changes.colour}
    if dataset.masks.path is None:
        table |= {"random_crop": changes.random_crop, "alpha_mask": dataset.masks.alpha}
    elif changes.random_crop:
        sheet.cannot(f"{at}.augmentation.random_crop", "sd-scripts has none beside masks.")
    if dataset.diff_output_preservation:
        table["custom_attributes"] = {"diff_output_preservation": True}
    sheet.done(f"{at}.diff_output_preservation")
    return table


def _masks(sheet: Sheet, at: str, dataset: DatasetConfig) -> str:
    """The folder of masks."""
    masks = dataset.masks
    sheet.done([f"{at}.masks.{name}" for name in ("path", "alpha")])
    if masks.path is not None:
        sheet.remark(f"{at}.masks.path", "sd-scripts stops at a picture without a mask, or with one of another size.")
    if not masks.used():
        sheet.done([f"{at}.masks.{name}" for name in type(masks).model_fields])
    return masks.path or ""
