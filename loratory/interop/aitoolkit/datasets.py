"""Their `datasets`: pictures, captions, masks, augmentations, and what they say about caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.interop.aitoolkit.context import Making, without_none
from loratory.interop.aitoolkit.notes import Section
from loratory.interop.named_files import read_named


def read_datasets(job: Making) -> None:
    datasets = job.process.sections("datasets")
    if not datasets:
        job.notes.refuse(f"{job.process.path}.datasets", "is missing: say where the pictures are")
        return
    job.data["datasets"] = [_dataset(job, each) for each in datasets]
    if len(datasets) > 1 and job.process.section("train").number("batch_size", 1) > 1:
        for number, each in enumerate(job.data["datasets"], 1):
            each["batch_group"] = str(number)  # pictures of two datasets never meet in a batch
    _sizes(job, datasets)
    _caches(job, datasets)
    if any("mask_path" in each or each.given.get("alpha_mask") for each in datasets):
        job.put("objective.masked_loss_mean", "mask")


def _dataset(job: Making, dataset: Section) -> dict[str, Any]:
    found: dict[str, Any] = {"captions": _captions(job, dataset)}
    key = next((key for key in ("folder_path", "dataset_path") if key in dataset), None)
    if key is None:
        job.notes.refuse(f"{dataset.path}.folder_path", "is missing: say where the pictures are")
    else:
        path = str(dataset.get(key))
        if Path(path).suffix.lower() in (".json", ".jsonl"):
            job.notes.refuse(f"{dataset.path}.{key}", "a list of pictures in a file is not read here; put captions "
                             "beside the pictures")  # fmt: skip
        found["path"] = job.place(path)
    trigger = str(dataset.get("trigger_word", job.process.get("trigger_word", "")))
    if trigger and not dataset.given.get("is_reg"):
        found["trigger_word"] = trigger
    augmentation = _augmentation(dataset)
    if augmentation:
        found["augmentation"] = augmentation
    masks = _masks(job, dataset)
    if masks:
        found["masks"] = masks
    return found


def _captions(job: Making, dataset: Section) -> dict[str, Any]:
    key = "caption_ext" if "caption_ext" in dataset else "caption_type"
    extension = str(dataset.get(key, "txt"))
    keep = int(dataset.number("keep_tokens", 0))
    if keep:
        dataset.say("mapped", "keep_tokens", "these tags also keep their place when tags are shuffled; there they are "
                    "kept from being left out only")  # fmt: skip
    rate = dataset.number("caption_dropout_rate", 0)
    if rate:
        dataset.say("mapped", "caption_dropout_rate", "a dropped caption is empty here; there, the trigger word stays")
    triggers = _lines(job, dataset, "random_triggers")
    most = int(dataset.number("random_triggers_max", 1)) if triggers else 1
    pairs = [line.partition("|") for line in _lines(job, dataset, "replacements")]
    if "random_triggers_max" in dataset and not triggers:
        dataset.say("ignored", "random_triggers_max", "has no effect without random_triggers")
    found: dict[str, Any] = {
        "extensions": [extension if extension.startswith(".") else f".{extension}"],
        "default": str(dataset.get("default_caption", "")) or None,
        "keep_tokens": keep or None,
        "dropout_rate": float(rate) or None,
        "random_triggers": triggers or None,
        "random_triggers_max": most if most > 1 else None,
        "replacements": {old: new for old, _, new in pairs} or None,
    }
    return without_none(found | _without_captions(job, dataset))


def _without_captions(job: Making, dataset: Section) -> dict[str, Any]:
    """What is left of captions where the text encoder was unloaded before they were read: the trigger word, or none."""
    train = job.process.section("train")
    if not train.flag("unload_text_encoder") or _texts_are_cached(job, dataset):
        return {}
    trigger = dataset.get("trigger_word", job.process.get("trigger_word", ""))
    train.say("mapped", "unload_text_encoder", "captions are not learned from, as there: every picture has the trigger "
              "word alone, or an empty caption. With cache_text_embeddings they are")  # fmt: skip
    return {"extensions": [".no-caption"], "default": trigger} if trigger else {"dropout_rate": 1.0}


def _lines(job: Making, dataset: Section, key: str) -> list[str]:
    """A list, or the lines of the file that is named in its place. Raises UserError for one that cannot be read."""
    value = dataset.get(key, [])
    if isinstance(value, list):
        return [str(each) for each in value]
    path = Path(job.place(str(value)))
    try:
        lines = read_named(path).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"{job.notes.source}: {dataset.path}.{key}: {path} cannot be read: {reason}.") from error
    return [line.strip() for line in lines if line.strip()]


def _augmentation(dataset: Section) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for step in dataset.sections("augmentations"):
        name = step.get("method")
        if name is None:
            raise UserError(f"{dataset.notes.source}: {step.path} needs a method, a class of albumentations.")
        params = step.section("params").given
        for key in params:
            dataset.notes.say("mapped", f"{step.path}.params.{key}")
        steps.append({"name": str(name), **({"arguments": dict(params)} if params else {})})
    if dataset.flag("flip_y"):
        steps.append({"name": "VerticalFlip", "arguments": {"p": 0.5}})
        dataset.say("mapped", "flip_y", "turned over at random, by albumentations; there every picture is in the list "
                    "once as it is and once turned over")  # fmt: skip
    if dataset.flag("flip_x"):
        dataset.say("mapped", "flip_x", "mirrored at random; there every picture is in the list twice, which also "
                    "doubles its dataset's share: raise num_repeats for that")  # fmt: skip
    return without_none({"flip": dataset.flag("flip_x") or None, "pipeline": steps or None})


def _masks(job: Making, dataset: Section) -> dict[str, Any]:
    """Masks; what belongs to them says nothing without them (their form always writes mask_min_value)."""
    path = dataset.get("mask_path")
    if not path and not dataset.given.get("alpha_mask"):
        for key in ("invert_mask", "mask_min_value"):
            dataset.say("ignored", key, "has no effect without masks")
        return {}
    return without_none({
        "path": job.place(str(path)) if path else None,
        "invert": dataset.flag("invert_mask") or None,
        "minimum": float(dataset.number("mask_min_value", 0)) or None,
    })  # fmt: skip


def _sizes(job: Making, datasets: list[Section]) -> None:
    """Resolutions and buckets. One size for all is the job's; else each dataset has its own."""
    sizes = []
    for dataset in datasets:
        given = dataset.get("resolution", 512)
        sizes.append(list(given) if isinstance(given, list) else [given])
    if len({tuple(each) for each in sizes}) == 1 and len(sizes[0]) == 1:
        job.put("batching.buckets.resolution", sizes[0][0])
    else:
        for ours, each in zip(job.data["datasets"], sizes, strict=True):
            ours["resolutions"] = each
    with_buckets = [dataset.flag("buckets", True) for dataset in datasets]
    job.put("batching.buckets.mode", "aitoolkit" if any(with_buckets) else "off")
    job.put("batching.buckets.step", job.arch.step)
    if any(with_buckets) and not all(with_buckets):
        for dataset in datasets:
            if not dataset.flag("buckets", True):
                dataset.say("unsupported", "buckets", "all datasets have buckets here, or none has")


def _texts_are_cached(job: Making, dataset: Section) -> bool:
    return dataset.flag("cache_text_embeddings") or job.process.section("train").flag("cache_text_embeddings")


def _caches(job: Making, datasets: list[Section]) -> None:
    """One setting for all datasets here: as soon as one asks for it."""
    on_disk, in_memory, texts = (
        any(each) for each in zip(*[
            (dataset.flag("cache_latents_to_disk"), dataset.flag("cache_latents"), _texts_are_cached(job, dataset))
            for dataset in datasets
        ], strict=True)
    )  # fmt: skip
    job.put("caching.latents", "disk" if on_disk else "memory" if in_memory else "off")
    train = job.process.section("train")
    unloaded = train.flag("unload_text_encoder")
    # What they cache, they give up the text encoders for.
    if unloaded or (texts and not train.flag("train_text_encoder")):
        job.put("memory.unload_text_encoders", True)
    job.put("caching.text_embeddings", "disk" if texts else "memory" if unloaded else "off")
