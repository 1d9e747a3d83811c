"""Bring a model's modules into memory: from a folder in diffusers layout, or from a single file and a folder that gives
what the file lacks.

Two passes: `gather` looks at everything and makes one loader per module, so that whatever is wrong is said before the
first large tensor is read; `Gathered.load` then runs the loaders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from torch import Tensor, nn

from loratory.config.architectures import SPECS, ArchitectureSpec
from loratory.config.architectures.base import tokenizer_of
from loratory.config.identify import (
    Resolve,
    absent_text_encoders,
    check_component,
    check_tokenizer,
    has_tokenizer,
    kind_of,
    locate,
    read_json,
    weights_of,
)
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.models.base import Components, Source
from loratory.models.common.checkpoint import Checkpoint, Tensors, open_checkpoint
from loratory.models.common.pixels import PixelAutoencoder

CONFIGS = Path(__file__).parent.parent / "configs"
"""Config-only folders in diffusers layout, one for each kind of single file."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Loader = Callable[[], nn.Module]


@dataclass(frozen=True)
class Request:
    """What is to be loaded, and how."""

    spec: ArchitectureSpec
    config: ModelConfig
    precision: torch.dtype
    device: torch.device
    resolve: Resolve
    path: Path
    """The model: a folder in diffusers layout, or the single file that `checkpoint` reads."""
    checkpoint: Checkpoint | None
    source: Source
    place: Callable[[str, nn.Module], nn.Module] | None = None
    """Brings a loaded module, given with its component's name, to where it shall be; else it goes to `device`."""


@dataclass(frozen=True)
class Part:
    """One module of an architecture, as data."""

    name: str
    """Component name, for example text_encoder_2."""
    load_class: Any
    """The class of diffusers or transformers."""
    convert: Callable[[Tensors, dict[str, Any]], Tensors] | None = None
    """A single file's tensors and the module's config -> the module's own tensors. None: never in a single file."""
    prefixes: tuple[str, ...] = ()
    """Prefixes one of which a single file's names have if it holds the module; empty: every single file holds it."""
    convert_alone: Callable[[Tensors, dict[str, Any]], Tensors] = lambda tensors, _: tensors
    """The same for a file that holds nothing but this module (`model.parts`)."""
    normalises_channels: bool = False
    """Does the architecture use the mean and deviation of each channel that its autoencoder's config gives?"""
    adjust: Callable[[dict[str, Any], Checkpoint], dict[str, Any]] = lambda settings, _: settings
    """Corrects a config by what the single file itself shows, for example its number of blocks."""

    makes_large_tables: bool = False
    """Does the module compute tables at its making that files hold as well, and nothing else? They are not computed."""

    def is_in(self, checkpoint: Checkpoint | None) -> bool:
        """Does the single file hold this module?"""
        if checkpoint is None or self.convert is None:
            return False
        return not self.prefixes or any(name.startswith(self.prefixes) for name in checkpoint.shapes)


@dataclass(frozen=True)
class Gathered:
    """Everything is there and fits; nothing large has been loaded."""

    folder: Path
    """The folder in diffusers layout: the model itself, or what gives the rest of a single file."""
    shipped: Path
    """The folder of our own configs that stand in for what `folder` lacks."""
    loaders: dict[str, Loader]
    request: Request
    tokenizer_classes: dict[str, Any]
    tokenizer_folders: dict[str, Path]

    def configs(self, component: str, file: str) -> Path:
        """The folder of a component's JSON: in `folder` where it is there, else in the shipped one."""
        found = self.folder / component
        return found if (found / file).is_file() else self.shipped / component

    def load(self) -> Components:
        """Load all modules to the device, frozen and in evaluation mode, and the tokenizers."""
        modules = {name: self._placed(name) for name in self.loaders}
        spec = self.request.spec
        tokenizers = {
            name: tokenizer_class.from_pretrained(str(self.tokenizer_folders[name]), local_files_only=True)
            for name, tokenizer_class in self.tokenizer_classes.items()
        }
        return Components(
            denoiser=modules[spec.denoiser],
            text_encoders={name: modules[name] for name in spec.text_encoders if name in modules},
            vae=modules["vae"] if "vae" in modules else PixelAutoencoder(),
            tokenizers=tokenizers,
            again={name: partial(self._frozen, name) for name in spec.text_encoders if name in modules},
        )

    def _frozen(self, name: str) -> nn.Module:
        return self.loaders[name]().requires_grad_(False).eval()

    def _placed(self, name: str) -> nn.Module:
        module = self._frozen(name)
        return module.to(self.request.device) if self.request.place is None else self.request.place(name, module)


def gather(request: Request, parts: Sequence[Part], tokenizer_classes: Sequence[Any], shipped: Path) -> Gathered:
    """Find and check everything that `parts` and tokenizers (in the order of the text encoders) need.

    Text encoders that the job or the folder does without have neither loader nor tokenizer. Raises UserError for what
    is missing, broken or does not fit.
    """
    left_out = request.config.left_out()
    lacking = [
        p.name
        for p in parts
        if not p.is_in(request.checkpoint) and not _is_replaced(p, request) and p.name not in left_out
    ]
    folder = _folder(request, lacking)
    request = _with_parts_from_elsewhere(request, [name for name in lacking if not (folder / name).is_dir()])
    left_out |= absent_text_encoders(folder, request.spec) & set(lacking)
    tokenizers = {
        tokenizer_of(request.spec, name): tokenizer_class
        for name, tokenizer_class in zip(request.spec.text_encoders, tokenizer_classes, strict=True)
        if name not in left_out
    }
    places = {name: _tokenizer_folder(request, folder, name) for name in tokenizers}
    for place in places.values():
        check_tokenizer(place)
    loaders = {part.name: _loader(request, part, folder, shipped) for part in parts if part.name not in left_out}
    return Gathered(folder, shipped, loaders, request, tokenizers, places)


def _with_parts_from_elsewhere(request: Request, lacking: Sequence[str]) -> Request:
    """Parts that neither the model nor the job has, from where the spec says that they are. Raises UserError where they
    cannot be had there."""
    parts = dict(request.config.parts)
    for name in lacking:
        if name in request.spec.parts_elsewhere:
            elsewhere = request.spec.parts_elsewhere[name]
            try:
                parts[name] = str(locate(elsewhere.repository, request.resolve, "model.parts"))
            except UserError as error:
                raise UserError(
                    f"{request.spec.title} needs {name}, which its own repository lacks, and {elsewhere.repository} "
                    f"cannot be had ({str(error).rstrip('.')}). {elsewhere.advice}"
                ) from error
    return replace(request, config=request.config.model_copy(update={"parts": parts}))


def _tokenizer_folder(request: Request, folder: Path, name: str) -> Path:
    """Where a tokenizer lies: in the model's folder; else with or beside its text encoder, where that comes from
    elsewhere."""
    part = name.replace("tokenizer", "text_encoder")
    given = request.config.replaced().get(part)
    if (folder / name).is_dir() or given is None:
        return folder / name
    path = locate(given[0], request.resolve, given[1], allow_patterns=_patterns(part))
    places = (path / name, path, path.parent / name, path.parent)
    found = next((place for place in places if has_tokenizer(place)), None)
    if found is None:
        raise UserError(f"{given[1]}: {path} has no tokenizer, and the model has none for it; give a folder with both.")
    return found


def _patterns(part: str) -> list[str]:
    """What is fetched of a repository that gives one part."""
    return ["*.json", "*.safetensors", f"{part}/*", f"{part.replace('text_encoder', 'tokenizer')}/*"]


def _is_replaced(part: Part, request: Request) -> bool:
    return part.name in request.config.replaced()


def _folder(request: Request, lacking: Sequence[str]) -> Path:
    """The folder in diffusers layout; for a single file, the one that gives the modules in `lacking`."""
    if request.checkpoint is None:
        return request.path
    given = request.config.components
    text = given or request.spec.usual_repository
    field = "model.components" if given else f"model.components (left out, so {text})"
    # Configs and tokenizers are small; of the rest only what the file lacks is fetched.
    patterns = ["*.json", "*/*.json", "*/*.txt", "*/*.model", *(f"{name}/*.safetensors" for name in lacking)]
    folder = locate(text, request.resolve, field, allow_patterns=patterns)
    if not folder.is_dir():
        raise UserError(f"model.components: {folder} is not a folder; give one in diffusers layout or a Hub id.")
    _check_family(folder, request.spec)
    for name in sorted(set(lacking) - absent_text_encoders(folder, request.spec)):
        if not (folder / name).is_dir() and name in request.spec.parts_elsewhere:
            continue
        if not (folder / name).is_dir():
            raise UserError(
                f"{request.path} holds no {name}, and model.components ({text}) has none either; "
                "set model.components to a folder or Hub id that has one."
            )
        check_component(folder / name, allow_pickle=request.config.allow_pickle)
    return folder


def _check_family(folder: Path, spec: ArchitectureSpec) -> None:
    """Raise UserError where the folder that gives the rest of a single file is a model of another architecture."""
    index = folder / "model_index.json"
    found = read_json(index).get("_class_name") if index.is_file() else None
    others = [
        other.title
        for other in SPECS.values()
        if other.pipeline_class == found != spec.pipeline_class and other.usual_repository != spec.usual_repository
    ]
    if others:
        raise UserError(
            f"model.components: {folder} is a {others[0]} model, and the single file is of {spec.title}; give a folder "
            f"or Hub id of {spec.title}, such as {spec.usual_repository}."
        )


def _check_kind(part: Part, folder: Path, field: str, request: Request) -> None:
    """Raise UserError where a component's config names another kind of module: its weights would be read for nothing.

    diffusers' configs name a class, those of transformers a type; of that the first word, because CLIP's text encoder
    is also taken out of a whole CLIP (`clip` and `clip_text_model`).
    """
    config = read_json(folder / "config.json")
    if issubclass(part.load_class, transformers.PreTrainedModel):
        wanted = {part.load_class.config_class.model_type.partition("_")[0]}
        found = str(config.get("model_type", "")).partition("_")[0]
    else:
        wanted = {parent.__name__ for parent in part.load_class.__mro__}
        found = str(config.get("_class_name", ""))
    if found and found not in wanted:
        raise UserError(
            f"{field}: {folder} holds a {found}, which is not what {request.spec.title} has as its {part.name}; give "
            f"that of a {request.spec.title} model, such as {request.spec.usual_repository}."
        )


def _loader(request: Request, part: Part, folder: Path, shipped: Path) -> Loader:
    is_vae = part.name == "vae"
    precision = DTYPES[request.config.vae_precision] if is_vae else request.precision
    own = folder / part.name
    configs = own if (own / "config.json").is_file() else shipped / part.name
    if _is_replaced(part, request):
        return _replacement_loader(request, part, configs, precision)
    if is_vae:
        _check_normalisation(part, configs)
    if request.checkpoint is not None and configs == own:
        _check_kind(part, own, "model.components", request)
    if request.checkpoint is not None and part.is_in(request.checkpoint):
        return file_loader(part, request.checkpoint, configs, precision)
    return folder_loader(part.load_class, own, precision, request.config)


def _replacement_loader(request: Request, part: Part, configs: Path, precision: torch.dtype) -> Loader:
    """A part from elsewhere: a component's folder, a whole model's folder, or a file."""
    allow_pickle = request.config.allow_pickle
    text, field = request.config.replaced()[part.name]
    path = locate(text, request.resolve, field, allow_patterns=_patterns(part.name))
    if path.is_dir():
        folder = path if (path / "config.json").is_file() else path / part.name
        check_component(folder, allow_pickle=allow_pickle)
        _check_kind(part, folder, field, request)
        _check_same_widths(folder, configs, field)
        if part.name == "vae":
            _check_normalisation(part, folder)
        return folder_loader(part.load_class, folder, precision, request.config)
    mapped = not request.config.disable_mmap
    checkpoint = open_checkpoint(path, allow_pickle=allow_pickle, field=field, mapped=mapped)
    try:
        return file_loader(replace(part, convert=part.convert_alone), checkpoint, configs, precision)
    except UserError as error:
        kind, spec = kind_of(checkpoint.shapes), request.spec
        usual = {spec.denoiser: f"a {spec.title} model", "vae": "an autoencoder"}.get(part.name, "a text encoder")
        if kind and kind != usual:
            raise UserError(
                f"{field}: {path} is {kind}; it cannot be the {part.name} of a {spec.title} model."
            ) from error
        raise UserError(f"{field}: {error}") from error


_WIDTHS = {
    "latent_channels": "latent channels", "z_dim": "latent channels", "in_channels": "input channels",
    "hidden_size": "numbers for each token", "d_model": "numbers for each token",
}  # fmt: skip
"""What the parts of a model have to agree on, as their configs call it."""


def _check_same_widths(folder: Path, usual: Path, field: str) -> None:
    if not (usual / "config.json").is_file():
        return
    found, wanted = (read_json(place / "config.json") for place in (folder, usual))
    for name, words in _WIDTHS.items():
        if name in wanted and found.get(name, wanted[name]) != wanted[name]:
            raise UserError(
                f"{field}: {folder} has {found[name]} {words}, but the model needs {wanted[name]}; "
                "leave it out or give one made for this model."
            )


def _check_normalisation(part: Part, folder: Path) -> None:
    """Scaled latents are (z - shift) * scale; elsewhere a mean for each channel would be ignored in silence."""
    if not part.normalises_channels and read_json(folder / "config.json").get("latents_mean") is not None:
        raise UserError(f"{folder}: this autoencoder normalises each channel, which the model does not; use another.")


# One module


def folder_loader(load_class: Any, folder: Path, precision: torch.dtype, config: ModelConfig) -> Loader:
    """Load one component's folder, which `check_component` has passed, with the library's own loader."""
    weights = weights_of(folder, allow_pickle=config.allow_pickle)
    reading = {"disable_mmap": True} if config.disable_mmap else {}

    def load() -> nn.Module:
        # Asked for here, the number format holds for weights only; `.to(bfloat16)` would also round buffers for good.
        module, information = load_class.from_pretrained(
            str(folder),
            dtype=precision,
            variant=weights.variant,
            use_safetensors=not weights.pickle,
            local_files_only=True,
            output_loading_info=True,
            **reading,
        )
        missing = sorted(information["missing_keys"])
        if missing:  # the libraries fill them with random numbers
            raise UserError(f"{folder} lacks {_listed(missing)}; download the model again.")
        assert isinstance(module, nn.Module)
        return module

    return load


def file_loader(part: Part, checkpoint: Checkpoint, configs: Path, precision: torch.dtype) -> Loader:
    """Load one module out of a single file. The names and shapes are compared with the module's at once."""
    outlined, settings = _empty_module(part, checkpoint, configs)
    unused = [outlined]
    outline = _with_aliases(outlined, _converted(part, checkpoint.outline(), settings, checkpoint.path))
    _check_fit(outlined.state_dict(), outline, part.name, checkpoint.path)
    del outlined

    def load() -> nn.Module:
        module = unused.pop() if unused else _empty_module(part, checkpoint, configs)[0]
        tensors = _with_aliases(module, _converted(part, checkpoint.tensors(), settings, checkpoint.path))
        state = {
            name: (tensor.to(precision) if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in tensors.items()
        }
        module.load_state_dict(state, assign=True)
        return module

    return load


def _empty_module(part: Part, checkpoint: Checkpoint, configs: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The module with weights on the meta device (buffers are real unless files hold them all), and its config."""
    settings = part.adjust(read_json(configs / "config.json"), checkpoint)
    with torch.device("meta") if part.makes_large_tables else init_empty_weights(include_buffers=False):
        if issubclass(part.load_class, transformers.PreTrainedModel):
            module = part.load_class(part.load_class.config_class.from_dict(settings))
        else:
            module = part.load_class.from_config(settings)
    if isinstance(module, transformers.PreTrainedModel):
        module.tie_weights()  # which moving to the meta device has undone
    assert isinstance(module, nn.Module)
    return module, settings


def _converted(part: Part, tensors: Tensors, settings: dict[str, Any], path: Path) -> Tensors:
    assert part.convert is not None
    try:
        return part.convert(tensors, settings)
    except KeyError as error:
        raise UserError(f"{path} lacks the tensor {error.args[0]}; download it again.") from error


def _with_aliases(module: nn.Module, tensors: Tensors) -> Tensors:
    """The tensors under every name that the module has for them: files hold what is shared under one."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    found = dict(tensors)
    for shared in names.values():
        known = [name for name in shared if name in tensors]
        if known:
            found |= {name: tensors[known[0]] for name in shared if name not in tensors}
    return found


def _check_fit(wanted: dict[str, Tensor], found: Tensors, part: str, path: Path) -> None:
    """Raise UserError unless the tensors of a single file are those of the module, name by name and shape by shape."""
    advice = (
        "the file is incomplete or of another size; set model.components to a folder in diffusers layout or a Hub id "
        "whose configs describe it."
    )
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise UserError(f"{path} does not fit: its {part} lacks {_listed(missing)}; {advice}")
    extra = sorted(set(found) - set(wanted))
    if extra:
        raise UserError(f"{path} does not fit: its {part} has more than the model: {_listed(extra)}; {advice}")
    for name, tensor in wanted.items():
        if tensor.shape != found[name].shape:
            raise UserError(
                f"{path} does not fit: {name} of its {part} has the shape {tuple(found[name].shape)}, "
                f"not {tuple(tensor.shape)}; {advice}"
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} tensors ({shown}, …)" if len(names) > 3 else shown
