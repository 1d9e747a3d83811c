"""What the NextDiT transformers have in common: names in files, numbers of blocks."""

from __future__ import annotations

import re

from loratory.config.architectures import Shapes
from loratory.config.architectures.header import PREFIXES, strip_prefix
from loratory.config.architectures.nextdit import Names
from loratory.models.common.checkpoint import Tensors
from loratory.models.common.convert import with_prefix


def transformer_tensors(tensors: Tensors, names: Names) -> Tensors:
    """The transformer of a single file under diffusers' names, whatever its widths; those are left as they are."""
    converted: Tensors = {}
    for name, value in (with_prefix(tensors, PREFIXES) or tensors).items():
        module, _, leaf = name.rpartition(".")
        layers = names.ours(module)
        if module == "norm_final":
            continue  # in many files, and used by nobody
        if not module:
            converted[name] = value
        elif len(layers) == 1:
            converted[f"{layers[0]}.{leaf}"] = value
        else:
            # Queries are as wide as what they are made of; keys and values share the rest.
            queries = value.shape[1]
            rest = (value.shape[0] - queries) // 2
            parts = value.split([queries, rest, rest])
            converted |= {f"{layer}.{leaf}": part for layer, part in zip(layers, parts, strict=True)}
    return converted


def text_encoder_file(tensors: Tensors) -> Tensors:
    """A language model without its head, of a file that holds nothing else; such files may hold a tokenizer, too."""
    known = {name.removeprefix("model."): value for name, value in tensors.items()}
    return {
        name: value
        for name, value in known.items()
        if name.partition(".")[0] not in ("lm_head", "spiece_model", "tokenizer_json")
    }


def block_counts(shapes: Shapes) -> tuple[int, int]:
    """Numbers of blocks, and of those that refine noise and texts, as a file has them."""
    names = "\n".join(strip_prefix(shapes))
    layers, refiners = (re.findall(rf"^{kind}\.(\d+)\.", names, re.MULTILINE) for kind in ("layers", "noise_refiner"))
    return max(map(int, layers), default=-1) + 1, max(map(int, refiners), default=-1) + 1
