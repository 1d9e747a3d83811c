"""The architectures as a person wants to see them: `loratory models`, and the page of the reference made from it.

Everything here is read from the specs and their tables, so a new architecture is in it by being there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from loratory.config.architectures import SPECS, ArchitectureSpec
from loratory.config.memory_tables import memory_table
from loratory.config.modules import layers, sizes
from loratory.config.saving import SavingConfig
from loratory.config.targets import Layer, blocks_of, summary

if TYPE_CHECKING:
    from rich.console import RenderableType

DIALECTS: tuple[str, ...] = get_args(SavingConfig.model_fields["format"].annotation)
BYTES = {"bf16": 2, "fp8": 1}
_BILLION = 1e9


@dataclass(frozen=True)
class Entry:
    """What there is to say about one architecture. In billions: the denoiser's layers, text encoders whole."""

    name: str
    title: str
    status: str
    experimental_because: str
    repository: str
    licence: str
    gated: bool
    parts: tuple[str, ...]
    """What `model.parts` and `model.vae_path` may name."""
    optional_parts: tuple[str, ...]
    denoiser_billions: tuple[float, ...]
    """Of the usual size first."""
    text_encoder_billions: dict[str, float]
    memory: dict[int, str]
    resolution: int
    size_multiple: int
    text_tokens: int | None
    text_settings: tuple[str, ...]
    objective: str
    can: dict[str, bool]
    trainable_text_encoders: tuple[str, ...]
    large_text_encoders: tuple[str, ...]
    dialects: tuple[str, ...]
    target_groups: tuple[str, ...]
    trained_groups: tuple[str, ...]
    blocks: str
    notes: tuple[str, ...]
    job: str


def entries() -> list[Entry]:
    """Every architecture, by name."""
    return [entry(spec) for spec in SPECS.values()]


def entry(spec: ArchitectureSpec) -> Entry:
    """One architecture."""
    usual = layers(spec.name)
    return Entry(
        name=spec.name,
        title=spec.title,
        status=spec.status,
        experimental_because=spec.experimental_because,
        repository=spec.usual_repository,
        licence=spec.licence,
        gated=spec.gated,
        parts=(spec.denoiser, *spec.text_encoders, *([] if spec.pixel_space else ["vae"])),
        optional_parts=spec.optional_text_encoders,
        denoiser_billions=tuple(_billions(spec.denoiser, size) for size in sizes(spec)),
        text_encoder_billions=_text_encoders(spec),
        memory=dict(sorted(spec.memory.items())),
        resolution=spec.default_resolution,
        size_multiple=spec.size_multiple,
        text_tokens=spec.text_tokens,
        text_settings=spec.text_settings,
        objective="flow matching" if spec.objective == "flow" else "noise prediction",
        can=_abilities(spec),
        trainable_text_encoders=spec.trainable_text_encoders,
        large_text_encoders=spec.large_text_encoders,
        dialects=DIALECTS,
        target_groups=tuple(dict.fromkeys(spec.layer_groups.values())),
        trained_groups=spec.trained_groups,
        blocks=summary(list(blocks_of(spec, usual).values())),
        notes=spec.notes,
        job=job(spec),
    )


def _abilities(spec: ArchitectureSpec) -> dict[str, bool]:
    """What it can do, in the words of the tables."""
    return {
        "single .safetensors file": bool(spec.signatures),
        "text encoders trained": bool(spec.trainable_text_encoders or spec.large_text_encoders),
        "negative prompts in samples": "negative" in spec.pipeline_arguments,
        "guidance embedding": "guidance" in spec.pipeline_arguments,
        "control pictures": spec.control_images > 0,
        "pixels instead of latents": spec.pixel_space,
    }


def _text_encoders(spec: ArchitectureSpec) -> dict[str, float]:
    """All of their numbers, embeddings too, as counted on the true models."""
    table = memory_table(spec.name)
    return {name: float(f"{table.text_encoders[name].numbers / _BILLION:.3g}") for name in spec.text_encoders}


def _billions(component: str, found: Iterable[Layer]) -> float:
    count = sum(math.prod(layer.shape) for layer in found if layer.path.startswith(f"{component}."))
    return float(f"{count / _BILLION:.3g}")


def job(spec: ArchitectureSpec) -> str:
    """A short job file that passes the architecture's rules without a warning."""
    lines = [
        "job: train",
        f"name: my_{spec.name}",
        "model:",
        f"  architecture: {spec.name}",
        f"  path: {spec.usual_path or spec.usual_repository}",
        "datasets: [{path: ./pictures, trigger_word: ohwx dog}]",
        "memory: {gradient_checkpointing: on}",
        f"batching: {{size: 1, buckets: {{resolution: {spec.default_resolution}}}}}",
    ]
    return "\n".join(lines) + "\n"


# In words


def _size(billions: float) -> str:
    return f"{billions:.3g} B"


def _gigabytes(billions: float, kept: str) -> str:
    return f"{billions * BYTES[kept]:.2g} GB"


def _weights(found: Entry) -> str:
    """Denoiser's sizes and what they take in bf16 and fp8."""
    shown = [
        f"{_size(size)} ({', '.join(f'{_gigabytes(size, kept)} in {kept}' for kept in BYTES)})"
        for size in found.denoiser_billions
    ]
    return "; ".join(shown)


def _access(found: Entry) -> str:
    if not found.gated:
        return "open: no account is needed"
    return (
        f"gated: accept the licence at https://huggingface.co/{found.repository}, then put HF_TOKEN=… into the "
        "environment or a file named .env"
    )


def _encoders(found: Entry) -> str:
    named = ", ".join(f"{name} ({_size(size)})" for name, size in found.text_encoder_billions.items())
    return named


def _trained_encoders(found: Entry) -> str:
    usual = ", ".join(found.trainable_text_encoders)
    large = [name for name in found.large_text_encoders if name not in found.trainable_text_encoders]
    asked = f"{', '.join(large)} only with network.train_large_text_encoders" if large else ""
    return "; ".join(filter(None, [usual, asked])) or "none: they stay as they are"


def _text(found: Entry) -> str:
    longest = f"the first {found.text_tokens} tokens are read" if found.text_tokens else ""
    settings = ", ".join(f"text.{name}" for name in found.text_settings)
    return "; ".join(filter(None, [longest, settings and f"settings: {settings}"]))


def facts(found: Entry) -> list[tuple[str, str]]:
    """Everything about one architecture as pairs of words, in the order in which it is shown."""
    can = [words for words, able in found.can.items() if able]
    cannot = [words for words, able in found.can.items() if not able]
    status = f"{found.status}: {found.experimental_because}" if found.experimental_because else found.status
    rows = [
        ("Status", status),
        ("Usual repository", found.repository),
        ("Licence", found.licence or "see the page of its repository"),
        ("Access", _access(found)),
        ("Parts", ", ".join(found.parts)),
        ("Can do without", ", ".join(found.optional_parts)),
        ("Denoiser", _weights(found)),
        ("Text encoders", _encoders(found)),
        ("Fits cards of", "; ".join(f"{size} GB: {how}" for size, how in found.memory.items())),
        ("Pictures", f"{found.resolution} pixels, sides divide by {found.size_multiple}"),
        ("Captions", _text(found)),
        ("Learns by", found.objective),
        ("Text encoders trained", _trained_encoders(found)),
        ("Can", ", ".join(can)),
        ("Cannot", ", ".join(cannot)),
        ("Key layouts of files", ", ".join(found.dialects)),
        ("Layer groups", ", ".join(f"{g} (trained)" if g in found.trained_groups else g for g in found.target_groups)),
        ("Blocks", found.blocks),
        *(("Note", note) for note in found.notes),
    ]
    return [(name, words) for name, words in rows if words]


# On the terminal


def overview(found: Iterable[Entry]) -> RenderableType:
    """The table of all, for 80 columns and more."""
    from rich.table import Table
    from rich.text import Text

    table = Table("Name", "Model, and where it is", "Denoiser")
    for each in found:
        marks = [*(["experimental"] if each.status == "experimental" else []), *(["gated"] if each.gated else [])]
        title = f"{each.title} ({', '.join(marks)})" if marks else each.title
        size = each.denoiser_billions[0]
        shown = [_size(size), f"{_gigabytes(size, 'bf16')} bf16"]
        table.add_row(each.name, Text(f"{title}\n{each.repository}", overflow="fold"), "\n".join(shown))
    return table


def page(found: Entry) -> RenderableType:
    """One architecture in full, with a job to start from."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 1), expand=False)
    for name, words in facts(found):
        table.add_row(Text(name, "bold"), Text(words))
    start = Text(f"\nA job to start from (more in the folder examples: {found.name}-….yaml):\n\n{found.job}")
    return Group(Text(f"{found.title} ({found.name})\n", "bold"), table, start)


def as_json(found: Entry) -> dict[str, Any]:
    """One architecture as plain data."""
    return asdict(found)


# In the reference


def markdown() -> str:
    """The page of the reference."""
    lines = [
        "# Every architecture",
        "",
        "Made from `loratory/config/architectures` by `make gen`; do not edit. `loratory models` shows the same in a "
        "terminal, `loratory models NAME` one of them, `--json` all of it for programs.",
        "",
        "Sizes are those of the layers; what the weights take is calculated, and a training needs memory for pictures "
        "and adapters beside them. “Fits cards of” is counted as the guide on memory does, or reported by other "
        "trainers. Repositories change: whether one is gated now stands on its page.",
        "",
        "| name | model | status | repository | denoiser | in bf16 | text encoders trained |",
        "|---|---|---|---|---|---|---|",
    ]
    everything = entries()
    for each in everything:
        size = each.denoiser_billions[0]
        where = f"[{each.repository}](https://huggingface.co/{each.repository})" + (" (gated)" if each.gated else "")
        row = [f"[{each.name}](#{each.name})", each.title, each.status, where, _size(size), _gigabytes(size, "bf16"),
               ", ".join(each.trainable_text_encoders) or "–"]  # fmt: skip
        lines.append(f"| {' | '.join(row)} |")
    for each in everything:
        lines += ["", f"## {each.name}", "", f"{each.title}.", ""]
        lines += [f"- {name}: {words}" for name, words in facts(each)]
        lines += ["", "```yaml", each.job.rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"
