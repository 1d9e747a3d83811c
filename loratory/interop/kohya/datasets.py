"""The pictures: folders named `10_dog`, one file of metadata, or a dataset file (general, datasets, subsets).

An option of a subset is looked up in the subset, then in its dataset, in the general section, and among the arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loratory.data.scan import MAXIMUM_REPEATS, PICTURE_SUFFIXES
from loratory.errors import UserError
from loratory.interop.imported import Note, NoteLevel
from loratory.interop.kohya.model import caches_texts
from loratory.interop.kohya.names import number, typed
from loratory.interop.kohya.reading import Reading

_CAPTIONS: Mapping[str, str] = {
    "shuffle_caption": "shuffle", "keep_tokens": "keep_tokens", "keep_tokens_separator": "keep_tokens_separator",
    "caption_separator": "separator", "secondary_separator": "secondary_separator", "enable_wildcard": "wildcards",
    "caption_prefix": "prefix", "caption_suffix": "suffix", "caption_dropout_rate": "dropout_rate",
    "caption_dropout_every_n_epochs": "dropout_every_n_epochs", "caption_tag_dropout_rate": "tag_dropout_rate",
    "token_warmup_min": "token_warmup_min", "token_warmup_step": "token_warmup_steps",
}  # fmt: skip
_USUAL: Mapping[str, Any] = {"caption_separator": ",", "token_warmup_min": 1}
"""What these captions' options are where they are not given; all others are off."""
_AUGMENTATION = {"flip_aug": "flip", "random_crop": "random_crop", "color_aug": "colour"}

_WHOLE_DATASET = ("resolution", "batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso",
                  "bucket_reso_steps", "bucket_no_upscale", "network_multiplier", "validation_split",
                  "validation_seed")  # fmt: skip
_SUBSET = (*_CAPTIONS, *_AUGMENTATION, "num_repeats", "caption_extension", "class_tokens", "face_crop_aug_range",
           "resize_interpolation", "custom_attributes", "cache_info", "alpha_mask")  # fmt: skip
_OWN = ("image_dir", "is_reg", "metadata_file", "conditioning_data_dir")
_ARGUMENTS = {"batch_size": "train_batch_size", "num_repeats": "dataset_repeats", "metadata_file": "in_json"}
_KINDS = {"class_tokens": "text", "custom_attributes": "table", "image_dir": "text", "metadata_file": "text"}

_UNSUPPORTED = {
    "face_crop_aug_range": "pictures are not cut around faces here",
    "resize_interpolation": "pictures are resized in one way here: with antialiasing, bicubic",
    "skip_image_resolution": "small pictures are not left out here",
}
_FOLDER = re.compile(r"(\d+)_(.*)", re.DOTALL)


@dataclass(frozen=True)
class Subset:
    """One folder of pictures, and where its options are looked up."""

    reading: Reading
    levels: tuple[tuple[str, Mapping[str, Any]], ...]
    """The subset, its dataset, the general section: where each stands in the file, and what it says."""

    def get(self, name: str, default: Any = None) -> Any:
        """An option's value; it counts as taken over wherever it stands."""
        argument = _ARGUMENTS.get(name, name)
        for place, section in self.levels:
            if section.get(name) is not None:
                if name in _KINDS:
                    return section[name]
                found = typed(argument, section[name], f"{self.reading.given.source}: {place}.{name}")
                return default if found is None else found
        if name in (*_OWN, "class_tokens", "custom_attributes", "network_multiplier"):
            return default
        return self.reading.take(argument, default)

    def note(self, level: NoteLevel, name: str, message: str) -> None:
        """Say it of the place where the option stands; once."""
        place = next((place for place, section in self.levels if section.get(name) is not None), "")
        argument = _ARGUMENTS.get(name, name)
        note = Note(level, f"{place}.{name}" if place else self.reading.key(argument), message)
        if note not in self.reading.notes:
            self.reading.notes.append(note)


def read_datasets(reading: Reading, described: Mapping[str, Any] | None) -> None:
    """`described`: the content of a dataset file, if there is one. Raises UserError where nothing says what to train
    on."""
    for name in ("dataset_config", "train_data_dir", "reg_data_dir", "in_json", "masked_loss", "skip_image_resolution"):
        reading.take(name)
    if described is not None:
        for name in ("train_data_dir", "reg_data_dir", "in_json"):
            if reading.peek(name):
                reading.note("dead", name, "does not count beside a dataset file")
        datasets = _described(reading, described)
    elif reading.peek("in_json"):
        levels = (("", {"image_dir": reading.peek("train_data_dir"), "metadata_file": reading.peek("in_json")}),)
        datasets = [[Subset(reading, levels)]]
    else:
        datasets = [_folders(reading)]
    if reading.peek("skip_image_resolution"):
        reading.note("unsupported", "skip_image_resolution", _UNSUPPORTED["skip_image_resolution"])
    reading.set("datasets", _converted(reading, datasets))
    if not reading.data["datasets"]:
        raise UserError(f"{reading.given.source}: the dataset file has no subset whose pictures are used.")
    _batching(reading, [subsets[0] for subsets in datasets if subsets])


# What there is ------------------------------------------------------------------------------------------------------


def _described(reading: Reading, described: Mapping[str, Any]) -> list[list[Subset]]:
    general = _table(described.get("general", {}), "general")
    found = []
    for i, dataset in enumerate(_tables(described.get("datasets", []), "datasets")):
        place = f"datasets.{i}"
        subsets = _tables(dataset.get("subsets", []), f"{place}.subsets")
        levels = ((place, dataset), ("general", general))
        found.append([Subset(reading, ((f"{place}.subsets.{j}", each), *levels)) for j, each in enumerate(subsets)])
    _report_keys(reading, described, general)
    return found


def _report_keys(reading: Reading, described: Mapping[str, Any], general: Mapping[str, Any]) -> None:
    """A note for every key of a dataset file."""

    def report(place: str, section: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in section:
            if name in known:
                reading.notes.append(Note("mapped", f"{place}.{name}"))
            else:
                reading.notes.append(
                    Note("unknown", f"{place}.{name}", "sd-scripts refuses a dataset file with this key")
                )

    for name in described:
        if name not in ("general", "datasets"):
            reading.notes.append(Note("unknown", name, "a dataset file has general and datasets"))
    report("general", general, (*_WHOLE_DATASET, *_SUBSET))
    for i, dataset in enumerate(_tables(described.get("datasets", []), "datasets")):
        report(f"datasets.{i}", dataset, (*_WHOLE_DATASET, *_SUBSET, "subsets"))
        for j, subset in enumerate(_tables(dataset.get("subsets", []), f"datasets.{i}.subsets")):
            report(f"datasets.{i}.subsets.{j}", subset, (*_SUBSET, *_OWN))


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"The dataset file's {where} is {value!r}; keys and values were expected.")
    return value


def _tables(value: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise UserError(
            f"The dataset file's {where} is {value!r}; write it as [[{where.rsplit('.', maxsplit=1)[-1]}]]."
        )
    return [_table(each, where) for each in value]


def _folders(reading: Reading) -> list[Subset]:
    """Direct sub-folders called `<repeats>_<class>` of train_data_dir and reg_data_dir; others do not count."""
    found: list[Subset] = []
    for name, is_reg in (("train_data_dir", False), ("reg_data_dir", True)):
        given = reading.peek(name)
        if not given:
            continue
        for folder in _repeated(reading, name, Path(reading.path(str(given)))):
            found.append(Subset(reading, (("", {"is_reg": is_reg, **folder}),)))
    return found or [Subset(reading, (("", {}),))]


def _repeated(reading: Reading, name: str, parent: Path) -> Iterator[dict[str, Any]]:
    if not parent.is_dir():
        yield {"image_dir": str(parent)}  # checked with all other paths
        return
    folders = sorted(entry.name for entry in os.scandir(parent) if entry.is_dir() and not entry.name.startswith("."))
    named = [(folder, match) for folder in folders if (match := _FOLDER.fullmatch(folder))]
    left_out = [folder for folder in folders if not _FOLDER.fullmatch(folder) and _pictures(parent / folder)]
    if left_out or _pictures(parent):
        what = ", ".join((["pictures of its own"] if _pictures(parent) else []) + left_out)
        reading.note("ignored", name, f"only folders called `10_name` count in it; left out: {what}")
    if not named:
        raise UserError(
            f"{reading.where(name)}: {parent} has no folder called like 10_dog, as sd-scripts needs them; make one, or "
            "describe the pictures in a dataset file (--dataset)."
        )
    if not left_out and not _pictures(parent) and all(int(match[1]) <= MAXIMUM_REPEATS for _, match in named):
        yield {"image_dir": str(parent), "num_repeats": 1}  # the same rule holds here
        return
    for folder, match in named:
        yield {"image_dir": str(parent / folder), "num_repeats": int(match[1]), "class_tokens": match[2].strip()}


def _pictures(folder: Path) -> bool:
    return any(entry.name.rpartition(".")[2].lower() in PICTURE_SUFFIXES for entry in os.scandir(folder))


# What becomes of it -------------------------------------------------------------------------------------------------


def _converted(reading: Reading, datasets: Sequence[Sequence[Subset]]) -> list[dict[str, Any]]:
    sizes = [_resolution(subsets[0]) for subsets in datasets if subsets]
    found = []
    for number_of, subsets in enumerate(datasets):
        seen: set[str] = set()
        for subset in subsets:
            folder = subset.get("image_dir")
            if not folder and not subset.levels[0][0]:
                # A recipe without pictures, such as a preset.
                reading.note("unsupported", "train_data_dir", "is not given: name the pictures there, in a dataset "
                             "file (--dataset), or in datasets.0.path here")  # fmt: skip
                found.append(_entry(subset, ""))
                continue
            if not folder:
                raise UserError(f"{reading.given.source}: {subset.levels[0][0] or 'in_json'} has no image_dir.")
            if folder in seen:
                subset.note("ignored", "image_dir", f"{folder} is in the dataset already; the second does not count")
            elif subset.get("num_repeats", 1) < 1:
                subset.note("ignored", "num_repeats", f"leaves {folder} out, as in sd-scripts")
            else:
                entry = _entry(subset, reading.path(str(folder)))
                if len(set(sizes)) > 1:
                    size = _resolution(subset)
                    entry["resolutions"] = [] if size is None else [_shown(size)]
                if len(datasets) > 1:
                    entry["batch_group"] = str(number_of)
                found.append(entry)
            seen.add(folder)
    return found


def _entry(subset: Subset, path: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path} if path else {}
    repeats = subset.get("num_repeats", 1)
    if repeats > 1:
        entry["num_repeats"] = repeats
    if subset.get("is_reg", False):
        entry["is_regularisation"] = True
    attributes = subset.get("custom_attributes", {})
    if attributes.get("diff_output_preservation"):
        entry["diff_output_preservation"] = True
    for name in attributes:
        if name != "diff_output_preservation":
            subset.note("unknown", "custom_attributes", f"sd-scripts reads no {name} there")
    entry["captions"] = _captions(subset)
    augmentation = {ours: True for name, ours in _AUGMENTATION.items() if subset.get(name, False)}
    if augmentation.keys() - {"flip"}:
        augmentation["variants"] = None  # type: ignore[assignment]  # another picture in every use
        subset.reading.set("caching.latents", "off")
    if augmentation:
        entry["augmentation"] = augmentation
    masks = _masks(subset)
    if masks:
        entry["masks"] = masks
    for name, reason in _UNSUPPORTED.items():
        if name != "skip_image_resolution" and subset.get(name):
            subset.note("unsupported", name, reason)
    if number(subset.get("network_multiplier", 1.0), "network_multiplier") != 1:
        subset.note("unsupported", "network_multiplier", "the adapter always works with its full strength in training")
    if subset.get("metadata_file"):
        subset.note("unsupported", "metadata_file", "captions are read from files beside the pictures, not from one "
                    "file of metadata")  # fmt: skip
    _warn_of_sub_folders(subset, path)
    return entry


def _warn_of_sub_folders(subset: Subset, path: str) -> None:
    """Those of a dataset file's folders do not count there; here they do."""
    if not subset.levels[0][0] or not path or not Path(path).is_dir():
        return
    deeper = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and _pictures(Path(entry.path)))
    if deeper:
        subset.note("unsupported", "image_dir", f"pictures in sub-folders ({', '.join(deeper[:3])}) are used here and "
                    "not in sd-scripts; move them away")  # fmt: skip


def _captions(subset: Subset) -> dict[str, Any]:
    extension = str(subset.get("caption_extension", ".caption"))
    old = subset.reading.take("caption_extention")
    if old:
        extension = str(old)
    found: dict[str, Any] = {"extensions": [extension if extension.startswith(".") else f".{extension}"]}
    words = subset.get("class_tokens")
    if words:
        found["default"] = str(words)
    for name, ours in _CAPTIONS.items():
        value = subset.get(name, _USUAL.get(name))
        if name == "token_warmup_step" and value is not None:
            value = number(value, f"{subset.reading.given.source}: {name}")
        if value not in (None, False, 0, "", _USUAL.get(name)):
            found[ours] = value
    if found.keys() & {"shuffle", "wildcards", "tag_dropout_rate"} and not caches_texts(subset.reading):
        found["variants"] = 256  # there is another text in every use there
        subset.reading.set("caching.text_embeddings", "off")
    return found


def _masks(subset: Subset) -> dict[str, Any]:
    masks: dict[str, Any] = {}
    folder = subset.get("conditioning_data_dir")
    if folder and subset.reading.peek("masked_loss", False):
        masks["path"] = subset.reading.path(str(folder))
    elif folder:
        subset.note("dead", "conditioning_data_dir", "its pictures are masks with masked_loss, and otherwise belong to "
                    "ControlNet, which is not trained here")  # fmt: skip
    if subset.get("alpha_mask", False):
        masks["alpha"] = True
    return masks


# Sizes and batches --------------------------------------------------------------------------------------------------


def _resolution(subset: Subset) -> tuple[int, int] | None:
    value = subset.get("resolution")
    if value in (None, "", 0):
        return None
    parts = value if isinstance(value, list) else str(value).split(",")
    sides = [int(number(part, f"{subset.reading.given.source}: resolution")) for part in parts]
    if len(sides) not in (1, 2):
        raise UserError(
            f"{subset.reading.given.source}: resolution is {value!r}; a side, or width and height, was expected."
        )
    return sides[0], sides[-1]


def _shown(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else list(size)


def _batching(reading: Reading, datasets: Sequence[Subset]) -> None:
    """One batch size and one rule for buckets: those of the first dataset. What others have otherwise is said."""
    first = datasets[0] if datasets else Subset(reading, ())
    for name in ("batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps",
                 "bucket_no_upscale", "validation_split", "validation_seed"):  # fmt: skip
        for other in datasets[1:]:
            if other.get(name) != first.get(name):
                other.note("unsupported", name, f"all datasets have that of the first here: {first.get(name)}")
    reading.set("batching.size", first.get("batch_size", 1))
    if any(entry.get("is_regularisation") for entry in reading.data.get("datasets", [])):
        reading.set("batching.balance_regularisation", True)
    size = _resolution(first)
    if size is not None:
        reading.set("batching.buckets.resolution", _shown(size))
    else:
        first.note("mapped", "resolution", "is not given, which sd-scripts refuses; it is the architecture's own")
    _buckets(reading, first, size)
    split, seed = first.get("validation_split", 0.0), first.get("validation_seed")
    if split:
        reading.set("validation.split", number(split, "validation_split"))
    if seed is not None:
        reading.set("validation.seed", int(seed))


def _buckets(reading: Reading, dataset: Subset, size: tuple[int, int] | None) -> None:
    step = dataset.get("bucket_reso_steps", 64)
    if reading.take("sdxl_bucket_optimization", False):
        if reading.architecture == "sdxl":
            step = 32
        else:
            reading.note("dead", "sdxl_bucket_optimization", f"has no effect on {reading.trainer}")
    if step % 8:
        usual = 32 if reading.architecture in ("sdxl", "sd3") else 64
        dataset.note(
            "mapped", "bucket_reso_steps", f"{step} is refused by sd-scripts and fits no model; it became {usual}"
        )
        step = usual
    enabled, keeps_size = dataset.get("enable_bucket", False), dataset.get("bucket_no_upscale", False)
    low, high = dataset.get("min_bucket_reso", 256), dataset.get("max_bucket_reso", 1024)
    if not enabled:
        reading.set("batching.buckets.mode", "off")
        return
    reading.set("batching.buckets.step", step)
    if keeps_size:
        reading.set("batching.buckets.mode", "no_upscale")
        for name in ("min_bucket_reso", "max_bucket_reso"):
            if reading.has(name):
                reading.note("dead", name, "has no effect with bucket_no_upscale")
        return
    low, high = low // step * step, -(-high // step) * step
    if size is not None and min(size) < low:
        dataset.note("mapped", "min_bucket_reso", "is above the resolution, which sd-scripts refuses; it is lowered")
    else:
        reading.set("batching.buckets.adapt_minimum", False)
    reading.set("batching.buckets.mode", "upscale")
    reading.set("batching.buckets.minimum", low)
    reading.set("batching.buckets.maximum", high)
