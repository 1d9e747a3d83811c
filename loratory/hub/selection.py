"""Which files of a repository are worth a download."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

MODEL_INDEX = "model_index.json"
WEIGHTS_SUFFIX = ".safetensors"

# Configs, vocabularies and chat templates. Pickled weights (.bin, .ckpt, .pt), .msgpack, .onnx and pictures are not.
_SMALL_SUFFIXES = frozenset({".json", ".txt", ".model", ".jinja"})
_USUAL_VARIANT = re.compile(r"(?:fp|bf|int)[0-9]+[a-z0-9_]*|(?:non_|no_)?ema[a-z0-9_]*")
_SHARD = re.compile(r"-[0-9]{5}-of-[0-9]{5}")


def is_wanted_kind(path: str) -> bool:
    """True for a weight file in safetensors form, a config or a part of a tokenizer."""
    return PurePosixPath(path).suffix in _SMALL_SUFFIXES or path.endswith(WEIGHTS_SUFFIX)


def weights_variant(path: str, asked: str | None = None) -> tuple[str, str]:
    """What a weight file is called without its variant, and the variant ("" for none).

    `unet/model.fp16-00001-of-00002.safetensors` and `unet/model-00001-of-00002.fp16.safetensors` are both
    ("unet/model", "fp16"). A variant is a usual one or the one that is asked for: `sd_xl_1.0` has none.
    """
    stem = _SHARD.sub("", path.removesuffix(WEIGHTS_SUFFIX))
    base, _, variant = stem.rpartition(".")
    if base and (variant == asked or _USUAL_VARIANT.fullmatch(variant)):
        return base, variant
    return stem, ""


def select_files(
    files: Iterable[str], *, components: Sequence[str] | None = None, variant: str | None = None
) -> list[str]:
    """The files of a model folder that a loader needs, out of all in the repository (paths with `/`).

    `components` are the folders that the repository's model_index.json names; other folders and weights at the top,
    which are the same model once more, are left out then. None stands for a repository that is no pipeline. Of
    several variants of one weight file the asked one is taken, else the plain one, else the first in order.
    """
    wanted = [path for path in files if is_wanted_kind(path)]
    if components is not None:
        known = frozenset(components)
        wanted = [
            path
            for path in wanted
            if path.split("/")[0] in known or ("/" not in path and not path.endswith(WEIGHTS_SUFFIX))
        ]
    variants: dict[str, set[str]] = {}
    for path in wanted:
        if path.endswith(WEIGHTS_SUFFIX):
            base, found = weights_variant(path, variant)
            variants.setdefault(base, set()).add(found)
    chosen = {base: _choose(found, variant) for base, found in variants.items()}

    def is_chosen(path: str) -> bool:
        base, found = weights_variant(path, variant)
        return chosen[base] == found

    return [path for path in wanted if not path.endswith(WEIGHTS_SUFFIX) or is_chosen(path)]


def _choose(found: set[str], variant: str | None) -> str:
    for candidate in (variant or "", ""):
        if candidate in found:
            return candidate
    return min(found)
