"""Find out which architecture a model is and whether its files can be used, from names and headers only, without torch.

`identify` is quick and needs little of the model; `inspect` looks at every file that a load would need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from loratory import demo
from loratory.config.architectures import SPECS, detect_header, get_spec, known_architectures
from loratory.config.architectures.base import ArchitectureSpec, Shapes, TensorTest, tokenizer_of
from loratory.config.architectures.header import read_header, strip_prefix
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.files import DiskFull


class Resolve(Protocol):
    """Turns a Hub id or a path into a local path; raises UserError when it cannot.

    The keywords are given only where they are needed: a revision where the config names one, patterns (as the Hub's
    client takes them) where a few files of a repository are enough.
    """

    def __call__(
        self, path_or_id: str, /, *, revision: str | None = ..., allow_patterns: Sequence[str] | None = ...
    ) -> Path: ...


PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")

_LORA_ENDINGS = (
    ".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".lora.down.weight", "_lora.down.weight",
    ".lora_linear_layer.down.weight", ".hada_w1_a", ".lokr_w1", ".lokr_w1_a", ".oft_blocks", ".oft_diag",
)  # fmt: skip
_QUANTISED_ENDINGS = (".scale_weight", ".weight_scale", ".absmax", ".quant_state.bitsandbytes__nf4", "scaled_fp8")
_INSTEAD_OF_A_MODEL = "give a whole model as model.path"
_NOT_TRAINABLE = "it cannot be trained here"

# What a file may be instead, and what to do, in the order in which it is looked for. Each needs only one test to hold,
# or one group of tests.
_OTHER_KINDS: tuple[tuple[str, str, tuple[TensorTest | tuple[TensorTest, ...], ...]], ...] = (
    (
        "an inpainting model (9 input channels)",
        "take the ordinary text-to-image model it was made from",
        (TensorTest("input_blocks.0.0.weight", 1, 9), TensorTest("conv_in.weight", 1, 9)),
    ),
    (
        "an editing or video model (8 input channels)",
        _NOT_TRAINABLE,
        (TensorTest("input_blocks.0.0.weight", 1, 8), TensorTest("conv_in.weight", 1, 8)),
    ),
    (
        "the SDXL refiner",
        "take the SDXL base model",
        (TensorTest("label_emb.0.0.weight", 1, 2560), TensorTest("add_embedding.linear_1.weight", 1, 2560)),
    ),
    (
        "a Stable Diffusion 2 depth model (5 input channels)",
        "take Stable Diffusion 2.1",
        (TensorTest("input_blocks.0.0.weight", 1, 5), TensorTest("conv_in.weight", 1, 5)),
    ),
    (
        "a Stable Diffusion 2 unCLIP model, which is told a picture",
        "take Stable Diffusion 2.1",
        (
            TensorTest("label_emb.0.0.weight", 1, 1536),
            TensorTest("label_emb.0.0.weight", 1, 2048),
            TensorTest("class_embedding.linear_1.weight"),
        ),
    ),
    (
        "an SDXL model trained with the EDM schedule (Playground, CosXL)",
        _NOT_TRAINABLE,
        (TensorTest("edm_mean"), TensorTest("edm_vpred.sigma_max")),
    ),
    (
        "a Flux.1 Fill, Depth or Canny model (extra input channels)",
        "take FLUX.1-dev",
        tuple(
            (TensorTest(name, 1, size), TensorTest(pooled))
            for name, pooled in (
                ("img_in.weight", "vector_in.in_layer.weight"),
                ("x_embedder.weight", "time_text_embed.text_embedder.linear_1.weight"),
            )
            for size in (128, 384)
        ),
    ),
    ("a Wan model", _NOT_TRAINABLE, (TensorTest("head.modulation"),)),
    ("a NewBie model, which reads CLIP as well", _NOT_TRAINABLE, (TensorTest("clip_text_pooled_proj.1.weight"),)),
    ("a Z-Image Omni or Edit model", "take Z-Image or Z-Image-Turbo", (TensorTest("siglip_embedder.1.weight"),)),
    (
        "a Qwen-Image model for layers or for editing (2511)",
        "take Qwen-Image or Qwen-Image-2512",
        (TensorTest("time_text_embed.addition_t_embedding.weight"), TensorTest("__index_timestep_zero__")),
    ),
    (
        "a HunyuanVideo or HunyuanImage model",
        _NOT_TRAINABLE,
        (TensorTest("txt_in.individual_token_refiner.blocks.0.norm1.weight"),),
    ),
    (
        "a ControlNet",
        _INSTEAD_OF_A_MODEL,
        (
            TensorTest("control_model.input_blocks.0.0.weight"),
            TensorTest("controlnet_cond_embedding.conv_in.weight"),
        ),
    ),
    (
        "an autoencoder",
        "give it as model.vae_path, and " + _INSTEAD_OF_A_MODEL,
        (TensorTest("decoder.conv_in.weight"),),
    ),
    (
        "a text encoder",
        _INSTEAD_OF_A_MODEL,
        (
            TensorTest("text_model.embeddings.token_embedding.weight"),
            TensorTest("encoder.block.0.layer.0.SelfAttention.q.weight"),
        ),
    ),
    (
        "a textual-inversion embedding",
        _INSTEAD_OF_A_MODEL,
        (TensorTest("emb_params"), TensorTest("clip_l"), TensorTest("clip_g")),
    ),
)


@dataclass(frozen=True)
class Found:
    """What a model's path leads to."""

    path: Path
    kind: Literal["folder", "file", "pickle"]
    architecture: str | None
    """None only for a pickle that the job names no architecture for: its content has to be loaded to know."""


@dataclass(frozen=True)
class Weights:
    """The weight files of one component in a diffusers folder."""

    files: tuple[Path, ...]
    variant: str | None
    """For example fp16, from `diffusion_pytorch_model.fp16.safetensors`."""
    pickle: bool


def identify(config: ModelConfig, resolve: Resolve) -> str:
    """The architecture's name, from model_index.json or the file's header. Raises UserError when it cannot be said."""
    found = _look(config, resolve)
    if found.architecture is None:
        raise UserError(
            f"{found.path} is a pickle: what it holds is only known once it is loaded. Say what it is with "
            f"model.architecture; known are {known_architectures()}."
        )
    return found.architecture


def spec_of(config: ModelConfig, resolve: Resolve) -> ArchitectureSpec:
    """The architecture that a job names; only where it names none its model is looked at. Raises UserError."""
    return get_spec(config.architecture if config.architecture is not None else identify(config, resolve))


def inspect(config: ModelConfig, resolve: Resolve) -> Found:
    """`identify`, and every file of a folder that a load needs is looked at too. Raises UserError for what is wrong."""
    found = _look(config, resolve)
    if found.kind == "folder":
        assert found.architecture is not None
        spec = get_spec(found.architecture)
        absent = config.left_out() | (absent_text_encoders(found.path, spec) - set(config.replaced()))
        absent |= {name for name in spec.parts_elsewhere if not (found.path / name).is_dir()}
        check_folder(found.path, spec, allow_pickle=config.allow_pickle, without=set(config.replaced()), absent=absent)
    return found


def locate(
    text: str,
    resolve: Resolve,
    field: str,
    *,
    revision: str | None = None,
    allow_patterns: Sequence[str] | None = None,
) -> Path:
    """The local path for what a config field says; `demo` is the bundled model. Raises UserError when there is none."""
    wanted: dict[str, Any] = {"revision": revision, "allow_patterns": allow_patterns}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    try:
        path = demo.MODEL_FOLDER if text == "demo" else resolve(text, **wanted)
    except DiskFull:
        raise
    except UserError as error:
        raise UserError(f"{field}: {error}", code=error.code) from error
    if not path.exists():
        raise UserError(
            f"{field}: {path} does not exist; give a folder, a .safetensors file or a Hub id.", code="missing_model"
        )
    return path


def _look(config: ModelConfig, resolve: Resolve) -> Found:
    wanted = get_spec(config.architecture).name if config.architecture else None
    path = locate(config.path, resolve, "model.path", revision=config.revision)
    if path.is_dir():
        return Found(path, "folder", _identify_folder(path, wanted))
    if path.suffix.lower() in PICKLE_SUFFIXES:
        check_pickle_allowed(path, config.allow_pickle, "model.path")
        return Found(path, "pickle", wanted)
    check_suffix(path, "model.path")
    shapes, _, _ = read_header(path)
    return Found(path, "file", recognise(shapes, str(path), wanted))


def check_suffix(path: Path, field: str) -> None:
    """Raise UserError for a file that is no .safetensors file."""
    if path.suffix.lower() == ".gguf":
        raise UserError(f"{field}: {path} is quantised (GGUF), which cannot be trained; take the .safetensors file.")
    if path.suffix.lower() != ".safetensors":
        raise UserError(f"{field}: {path} is not a .safetensors file; give one, or a folder in diffusers layout.")


def check_pickle_allowed(path: Path, allow_pickle: bool, field: str) -> None:
    """Raise UserError for a pickle that was not asked for."""
    if not allow_pickle:
        raise UserError(
            f"{field}: {path} is a pickle, which can carry code; take a .safetensors file, or set "
            "model.allow_pickle: true if you trust it."
        )


# Single files


def recognise(shapes: Shapes, where: str, wanted: str | None = None) -> str:
    """The architecture of a single file's tensors. Raises UserError for anything else, or for one that is not `wanted`.

    `where` names the file in the message.
    """
    if any(name.endswith(_LORA_ENDINGS) for name in shapes):
        raise UserError(f"{where} is a LoRA file, not a model; {_INSTEAD_OF_A_MODEL} and train on that.")
    if any(name.endswith(_QUANTISED_ENDINGS) for name in shapes):
        raise UserError(f"{where} is quantised, which cannot be loaded here; take its bf16 or fp16 file.")
    found = detect_header(shapes)
    for kind, advice in _others(shapes):
        raise UserError(f"{where} is {kind}; {advice}.")
    if not found:
        first = ", ".join(sorted(shapes)[:3]) or "none at all"
        raise UserError(f"{where} holds no model that is known here (tensors: {first}, …); known are "
                        f"{known_architectures()}.")  # fmt: skip
    if len(found) > 1:
        raise UserError(f"{where} holds more than one model ({', '.join(found)}); give a file with one.")
    _check_wanted(found[0], wanted, where)
    return found[0]


def kind_of(shapes: Shapes) -> str:
    """What a file's tensors are, in words for a message; nothing where that is not known."""
    if any(name.endswith(_LORA_ENDINGS) for name in shapes):
        return "a LoRA file"
    if any(name.endswith(_QUANTISED_ENDINGS) for name in shapes):
        return "a quantised file (take its bf16 or fp16 version)"
    for name in detect_header(shapes):
        return f"a {SPECS[name].title} model"
    return next((kind for kind, _ in _others(shapes)), "")


def _others(shapes: Shapes) -> Iterator[tuple[str, str]]:
    """What the tensors may be that is no model of ours, and what to do."""
    stripped = strip_prefix(shapes)
    for kind, advice, tests in _OTHER_KINDS:
        groups = (test if isinstance(test, tuple) else (test,) for test in tests)
        if any(all(test.holds(stripped) for test in group) for group in groups):
            yield kind, advice


def _check_wanted(found: str, wanted: str | None, where: str) -> None:
    if wanted is not None and found != wanted:
        raise UserError(
            f"{where} is a {SPECS[found].title} model, but the job says {wanted}; leave model.architecture out or set "
            f"it to {found}."
        )


# Folders in diffusers layout


def _identify_folder(folder: Path, wanted: str | None) -> str:
    if not (folder / "model_index.json").is_file():
        raise UserError(_not_a_model(folder))
    found = detect_folder(folder)
    _check_wanted(found, wanted, str(folder))
    denoiser = folder / SPECS[found].denoiser
    if any(denoiser.glob("*.safetensors")):
        # Other models share the pipeline's class (inpainting before it had its own): the tensors tell.
        shapes = _shapes_of(weights_of(denoiser, allow_pickle=True))
        held = recognise(shapes, str(denoiser)) if shapes else found
        if held != found:
            raise UserError(
                f"{denoiser} holds the weights of a {SPECS[held].title} model, but the folder describes "
                f"{SPECS[found].title}; download the model again."
            )
    return found


def detect_folder(folder: Path) -> str:
    """Which architecture a folder in diffusers layout says that it is: by its pipeline's class and, where several have
    that one, by the denoiser's config. Raises UserError when it is none of ours.
    """
    pipeline_class = read_json(folder / "model_index.json").get("_class_name")
    for spec in SPECS.values():
        if spec.pipeline_class == pipeline_class and _has_config_of(spec, folder):
            return spec.name
    raise UserError(
        f"{folder}: The model is made for {pipeline_class or 'an unnamed pipeline'}, which cannot be trained here; "
        f"known are {known_architectures()}."
    )


def _has_config_of(spec: ArchitectureSpec, folder: Path) -> bool:
    if not spec.denoiser_config:
        return True
    config = read_json(folder / spec.denoiser / "config.json")
    return all(config.get(name) in values for name, values in spec.denoiser_config.items())


def _not_a_model(folder: Path) -> str:
    entries = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    content = ", ".join(entries[:6]) + (", …" if len(entries) > 6 else "") if entries else "nothing"
    start = f"model.path: the folder {folder} is not a model in diffusers layout: it has no model_index.json, "
    files = [name for name in entries if name.endswith(".safetensors")]
    if (folder / "config.json").is_file():
        return f"{start}only one part of a model ({content}); give the folder above it."
    if files:
        return f"{start}but it holds {content}; to use a single file, give its path, for example {folder / files[0]}."
    return f"{start}and holds {content}; give the folder that has model_index.json, or one .safetensors file."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UserError when the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the model's folder is incomplete.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); download the model again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold a JSON object; download the model again.")
    return content


def absent_text_encoders(folder: Path, spec: ArchitectureSpec) -> set[str]:
    """Text encoders that a folder in diffusers layout does without; its index names them null, or not at all."""
    index = folder / "model_index.json"
    listed = read_json(index) if index.is_file() else {}
    return {
        name for name in spec.optional_text_encoders if not (folder / name).is_dir() and not any(listed.get(name) or ())
    }


def check_folder(
    folder: Path,
    spec: ArchitectureSpec,
    *,
    allow_pickle: bool,
    without: Collection[str] = frozenset(),
    absent: Collection[str] = frozenset(),
) -> None:
    """Look at everything in a diffusers folder that a load needs, except the components in `without`, which come from
    elsewhere, and those in `absent`, which the model does without.

    Raises UserError for a missing or broken file.
    """
    for component in (spec.denoiser, *spec.text_encoders, *([] if spec.pixel_space else ["vae"])):
        if component not in without and component not in absent:
            check_component(folder / component, allow_pickle=allow_pickle)
    for text_encoder in set(spec.text_encoders) - set(absent):
        check_tokenizer(folder / tokenizer_of(spec, text_encoder))
    if "scheduler" not in without:
        read_json(folder / "scheduler" / "scheduler_config.json")


def check_component(folder: Path, *, allow_pickle: bool) -> None:
    """Raise UserError unless the folder of one component has its config and whole weights."""
    if not folder.is_dir():
        field = "model.vae_path" if folder.name == "vae" else f"model.parts.{folder.name}"
        raise UserError(
            f"The model in {folder.parent} lacks its component {folder.name}; download it again, or give {field}."
        )
    read_json(folder / "config.json")
    _shapes_of(weights_of(folder, allow_pickle=allow_pickle))


def has_tokenizer(folder: Path) -> bool:
    """Does the folder have the files of a tokenizer?"""
    return any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "spiece.model"))


def check_tokenizer(folder: Path) -> None:
    """Raise UserError unless the folder has the files of a tokenizer."""
    if not has_tokenizer(folder):
        raise UserError(f"{folder.parent} lacks its component {folder.name}; download it again.")


def weights_of(folder: Path, *, allow_pickle: bool) -> Weights:
    """Which files of a component's folder to load: whole before sharded, the plain ones before a variant such as fp16.

    Raises UserError when there are none, or only pickles and those are not allowed.
    """
    for stem, suffix in _WEIGHT_NAMES:
        for variant in (None, *_variants(folder, stem, suffix)):
            files = _files(folder, stem, suffix, variant)
            if files:
                if suffix == ".bin":
                    check_pickle_allowed(files[0], allow_pickle, "model.path")
                return Weights(files, variant, pickle=suffix == ".bin")
    raise UserError(f"{folder} holds no weights (no .safetensors file); download the model again.")


_WEIGHT_NAMES = (
    ("diffusion_pytorch_model", ".safetensors"),
    ("model", ".safetensors"),
    ("diffusion_pytorch_model", ".bin"),
    ("pytorch_model", ".bin"),
)


def _variants(folder: Path, stem: str, suffix: str) -> list[str]:
    """fp16 and the like: what stands between stem and suffix, or in the name of an index before `.json`."""
    found = set()
    whole, index = (re.escape(text) for text in (suffix, f"{suffix}.index"))
    for path in folder.glob(f"{stem}.*"):
        match = re.fullmatch(rf"{stem}(?:\.(\w+){whole}|{index}\.(\w+)\.json)", path.name)
        if match:
            found.add(match[1] or match[2])
    return sorted(found)


def _files(folder: Path, stem: str, suffix: str, variant: str | None) -> tuple[Path, ...]:
    middle = f".{variant}" if variant else ""
    whole = folder / f"{stem}{middle}{suffix}"
    if whole.is_file():
        return (whole,)
    index = folder / f"{stem}{suffix}.index{middle}.json"
    if not index.is_file():
        return ()
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise UserError(f"{index} lists no files; download the model again.")
    files = tuple(folder / Path(str(name)).name for name in sorted(set(shard_of.values())))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)}, which {index.name} lists; download the model again.")
    return files


def _shapes_of(weights: Weights) -> dict[str, tuple[int, ...]]:
    """All tensors of a component by their headers; none for pickles, which have no header."""
    shapes: dict[str, tuple[int, ...]] = {}
    if not weights.pickle:
        for file in weights.files:
            shapes.update(read_header(file)[0])
    return shapes
