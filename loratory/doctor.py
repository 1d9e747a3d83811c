"""What this machine can do for a training, and what to mend: `loratory doctor`.

First facts are gathered (`gather`), then plain functions judge them. Nothing here fails where something is missing or
broken: that is a finding. torch is imported inside functions only.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["ok", "warning", "problem"]
Backend = Literal["cuda", "rocm", "xpu", "mps"]

SUPPORTED_PYTHON = ((3, 11), (3, 12), (3, 13))
GIB = 1024**3
# A run's caches, checkpoints and exports need some; a first download of SDXL or Flux.1 needs tens.
DISK_PROBLEM_GIB, DISK_WARNING_GIB = 2, 20
# The first driver branch of each CUDA major version; a driver runs every CUDA minor version of its major one.
OLDEST_DRIVER = {12: 525, 13: 580}
# The last torch with CUDA 12.8 wheels is 2.11, CUDA 12.6 is the only one that still knows cards before Turing (7.5).
INDEX = "https://download.pytorch.org/whl/"
PICKER = "https://pytorch.org/get-started/locally/"


@dataclass(frozen=True)
class Check:
    """One finding. `advice` says what to do and is empty where there is nothing to do."""

    name: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Device:
    """An accelerator as torch sees it. `architecture`: "sm_89" (CUDA), "gfx1100" (ROCm), "" elsewhere."""

    name: str
    memory_bytes: int = 0
    architecture: str = ""
    failure: str = ""  # what a tiny computation on it said; "" where it worked


@dataclass(frozen=True)
class TorchFacts:
    """The installed PyTorch. `backend` is what it was built for beside the CPU."""

    version: str
    backend: Backend | None = None
    backend_version: str = ""
    architectures: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    flash_attention: bool = False
    fast_bfloat16: bool = False
    threads: int = 1


@dataclass(frozen=True)
class Card:
    """A graphics card that the system knows, whatever torch says."""

    maker: Literal["nvidia", "amd"]
    name: str
    driver: str = ""
    capability: str = ""  # "12.0"
    gigabytes: float = 0.0
    """Memory in GiB; 0 where it is not known."""


@dataclass(frozen=True)
class Facts:
    """Everything the checks look at. `requirements`: what Loratory asks for; `installed`: package to version."""

    python: tuple[int, int, int] = (3, 11, 0)
    bits: int = 64
    system: str = "Linux"
    machine: str = "x86_64"
    cores: int = 1
    torch: TorchFacts | None = None
    torch_error: str = ""
    cards: tuple[Card, ...] = ()
    requirements: tuple[str, ...] = ()
    installed: Mapping[str, str] = field(default_factory=dict)
    free_bytes: Mapping[str, int] = field(default_factory=dict)


def install_torch(index: str) -> str:
    """The line that replaces torch by a build from PyTorch's own index."""
    return f'pip install --upgrade --force-reinstall "torch>=2.11" --index-url {INDEX}{index}'


def driver_branch(card: Card) -> int:
    """580 for driver 580.65.06; 0 where it is not known."""
    match = re.match(r"\d+", card.driver)
    return int(match[0]) if match else 0


def cuda_build_for(card: Card) -> str:
    """What to install for an NVIDIA card: a pip line, or what has to be done before."""
    capability = tuple(int(part) for part in card.capability.split(".")) if card.capability else (7, 5)
    driver = driver_branch(card)
    if capability < (5, 0):
        return "This card is too old for any current PyTorch: train on the CPU or another machine."
    if driver and driver < OLDEST_DRIVER[12]:
        return f"Install an NVIDIA driver of version {OLDEST_DRIVER[13]} or later, then: {install_torch('cu130')}"
    if capability < (7, 5):
        return f"PyTorch's CUDA 12.6 builds are the last for this card: {install_torch('cu126')}"
    if driver >= OLDEST_DRIVER[13]:
        return f"Install a CUDA 12.8 or later build: {install_torch('cu130')}"
    if capability >= (10, 0):
        return f"Install a CUDA 12.8 or later build: {install_torch('cu128')}"
    return f"Install a CUDA build: {install_torch('cu126')}, or update the driver to {OLDEST_DRIVER[13]} first."


def _parts(architecture: str) -> tuple[str, int, int, str] | None:
    """("sm", 12, 0, "a") for sm_120a. The last digit is the minor version."""
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    return (match[1], int(match[2]), int(match[3]), match[4]) if match else None


def runs_on(built_for: Iterable[str], architecture: str) -> bool:
    """Whether code built for these architectures runs on a device.

    NVIDIA: machine code (sm_) runs on the same major version from its own minor version on, with suffix "a" only on its
    very own; PTX (compute_) is translated for any later device. AMD: the name must be there (features after ":" aside).
    """
    device = _parts(architecture)
    if device is None:
        return architecture.partition(":")[0] in {name.partition(":")[0] for name in built_for}
    for kind, major, minor, suffix in filter(None, map(_parts, built_for)):
        exact = (major, minor) == device[1:3]
        if suffix == "a":
            works = exact
        elif kind == "compute" and not suffix:
            works = (major, minor) <= device[1:3]
        else:
            works = major == device[1] and minor <= device[2]
        if works:
            return True
    return False


def check_python(facts: Facts) -> Iterator[Check]:
    """Version and word size of Python."""
    found = ".".join(map(str, facts.python)) + f", {facts.bits} bit, {facts.system} {facts.machine}"
    if facts.python[:2] not in SUPPORTED_PYTHON:
        advice = "Install Python 3.11, 3.12 or 3.13, then run `python3 scripts/bootstrap.py` or make a new environment."
        yield Check("Python", "problem", found, advice)
    elif facts.bits != 64:
        yield Check("Python", "problem", found, "PyTorch needs a 64-bit Python: install one.")
    else:
        yield Check("Python", "ok", found)


def check_torch(facts: Facts) -> Iterator[Check]:
    """Whether torch can be imported, and what it was built for."""
    torch = facts.torch
    if torch is None:
        advice = "Install it again: `python3 scripts/bootstrap.py`, or pip install --force-reinstall torch"
        if facts.system == "Darwin" and facts.machine == "x86_64":
            advice = "PyTorch has no current builds for Macs with Intel processors: use another machine."
        yield Check("PyTorch", "problem", facts.torch_error or "cannot be imported", advice)
        return
    built = f"{torch.backend.upper()} {torch.backend_version}".strip() if torch.backend else "CPU only"
    yield Check("PyTorch", "ok", f"{torch.version}, built for {built}")


def check_accelerators(facts: Facts) -> Iterator[Check]:
    """Each device torch sees; each card it does not see, and why."""
    torch = facts.torch
    if torch is None:
        return
    for index, device in enumerate(torch.devices):
        yield _check_device(f"GPU {index}", device, torch, facts.cards)
    if torch.devices:
        return
    for card in facts.cards:
        yield _check_unseen_card(card, torch)
    if not facts.cards and torch.backend == "mps":
        yield Check("GPU", "problem", "torch was built for MPS and cannot use it", "Update macOS to 14 or later.")
    elif not facts.cards:
        advice = "Training runs on the CPU: fine for the bundled model, slow for SD 1.5, not practical above it."
        yield Check("GPU", "warning", "none", advice)


def _check_device(name: str, device: Device, torch: TorchFacts, cards: tuple[Card, ...]) -> Check:
    parts = _parts(device.architecture)
    capability = f"{parts[1]}.{parts[2]}" if parts else ""
    memory = f", {device.memory_bytes / GIB:.1f} GiB" if device.memory_bytes else ""
    kind = f", compute capability {capability}" if capability else f", {device.architecture}".rstrip(", ")
    found = f"{device.name}{memory}{kind}"
    if device.architecture and not runs_on(torch.architectures, device.architecture):
        built = ", ".join(torch.architectures) or "none"
        found += f"; torch {torch.version} was built for {built}"
        if torch.backend == "rocm":
            return Check(
                name, "problem", found,
                f"This torch was not built for your card: take the newest ROCm build from {PICKER}; for a relative "
                "of a listed card, set HSA_OVERRIDE_GFX_VERSION (10.3.0 for gfx103x, 11.0.0 for gfx110x).",
            )  # fmt: skip
        driver = next((card.driver for card in cards if card.maker == "nvidia"), "")
        advice = cuda_build_for(Card("nvidia", device.name, driver, capability))
        return Check(name, "problem", found, f"This torch was not built for your card. {advice}")
    if device.failure:
        advice = "Close other programs that use the card, restart the machine, or install torch and the driver again."
        return Check(name, "problem", f"{found}; a small computation failed: {device.failure}", advice)
    return Check(name, "ok", found)


def _check_unseen_card(card: Card, torch: TorchFacts) -> Check:
    found = card.name + (f", driver {card.driver}" if card.driver else "")
    if card.maker == "amd":
        if torch.backend == "rocm":
            advice = "Install the ROCm driver, and add your user to the groups `render` and `video`."
            return Check("GPU", "problem", f"{found}, but torch (ROCm {torch.backend_version}) sees no device", advice)
        advice = f"Install the newest ROCm build named at {PICKER}, for example: {install_torch('rocm7.2')}"
        return Check("GPU", "problem", f"{found}, but torch {torch.version} was not built for ROCm", advice)
    if torch.backend != "cuda":
        return Check("GPU", "problem", f"{found}, but torch {torch.version} has no CUDA", cuda_build_for(card))
    major = int(torch.backend_version.partition(".")[0] or 0)
    needed = OLDEST_DRIVER.get(major, 0)
    if needed and 0 < driver_branch(card) < needed:
        advice = f"Update the driver to {needed} or later, or keep it. {cuda_build_for(card)}"
        return Check("GPU", "problem", f"{found}, too old for CUDA {torch.backend_version} (needs {needed})", advice)
    advice = "Look at CUDA_VISIBLE_DEVICES; restart after a driver update; in a container, pass the GPU on."
    return Check("GPU", "problem", f"{found}, but torch (CUDA {torch.backend_version}) sees no device", advice)


def check_cpu(facts: Facts) -> Iterator[Check]:
    """Threads, and whether bfloat16 is worth using on the processor."""
    if facts.torch is None:
        return
    threads = facts.torch.threads
    bfloat16 = "in hardware" if facts.torch.fast_bfloat16 else "only emulated"
    found = f"{threads} of {facts.cores} threads, bfloat16 {bfloat16}"
    if facts.torch.devices or threads * 2 >= facts.cores:
        yield Check("CPU", "ok", found)
    else:
        yield Check("CPU", "warning", found, "OMP_NUM_THREADS holds torch back: unset it to train on the CPU.")


def check_attention(facts: Facts) -> Iterator[Check]:
    """Which attention kernels are at hand. PyTorch's own always are."""
    if facts.torch is None:
        return
    kernels = ["PyTorch's own (with flash attention)" if facts.torch.flash_attention else "PyTorch's own"]
    for package in ("xformers", "flash-attn", "sageattention"):
        if package in facts.installed:
            kernels.append(f"{package} {facts.installed[package]}")
    yield Check("Attention", "ok", ", ".join(kernels))


def check_dependencies(facts: Facts) -> Iterator[Check]:
    """Each required package against its range; those in range share one line."""
    if not facts.requirements:
        advice = "Install it: `python3 scripts/bootstrap.py`, or pip install -c constraints.txt -e ."
        yield Check("Dependencies", "problem", "Loratory itself is not installed in this Python", advice)
        return
    good = 0
    for requirement in map(Requirement, facts.requirements):
        version = facts.installed.get(requirement.name)
        if version and requirement.specifier.contains(version, prereleases=True):
            good += 1
            continue
        advice = f'Install it: pip install "{requirement.name}{requirement.specifier}"'
        yield Check(requirement.name, "problem", f"{version or 'missing'}, needed is {requirement.specifier}", advice)
    if good:
        yield Check("Dependencies", "ok", f"{good} of {len(facts.requirements)} packages in range")


def check_disk(facts: Facts) -> Iterator[Check]:
    """Free space where runs and downloads go."""
    for place, free in facts.free_bytes.items():
        found = f"{free / GIB:.1f} GiB free"
        if free < DISK_PROBLEM_GIB * GIB:
            advice = "Delete something, or set LORATORY_HOME (runs, caches) and HF_HOME (downloads) to another disk."
            yield Check(place, "problem", found, advice)
        elif free < DISK_WARNING_GIB * GIB:
            advice = "Enough for the bundled model; SDXL's and Flux.1's files take 7 to 35 GiB."
            yield Check(place, "warning", found, advice)
        else:
            yield Check(place, "ok", found)


CHECKS = (check_python, check_torch, check_accelerators, check_cpu, check_attention, check_dependencies, check_disk)


def checks(facts: Facts | None = None) -> list[Check]:
    """All findings about this machine, or about the given facts."""
    facts = gather() if facts is None else facts
    return [finding for check in CHECKS for finding in check(facts)]


def exit_code(findings: Iterable[Check]) -> int:
    """1 where there is a problem, else 0: a warning stops nobody."""
    return int(any(finding.status == "problem" for finding in findings))


def render(findings: Iterable[Check]) -> "Table":
    """The findings as a table for a terminal."""
    from rich.markup import escape
    from rich.table import Table

    colors = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    table = Table("Check", "Status", "Found", "What to do", show_lines=False, expand=False)
    for finding in findings:
        status = f"[{colors[finding.status]}]{finding.status}[/]"
        table.add_row(escape(finding.name), status, escape(finding.found), escape(finding.advice))
    return table


# From here on: looking at the machine.


def gather() -> Facts:
    """Look at this machine. Takes a second or two: torch is imported and each device computes something small."""
    torch_facts, torch_error = torch_here()
    return Facts(
        python=sys.version_info[:3],
        bits=64 if sys.maxsize > 2**32 else 32,
        system=platform.system(),
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        torch=torch_facts,
        torch_error=torch_error,
        cards=(*nvidia_cards(), *amd_cards()),
        requirements=own_requirements(),
        installed={name: version for name, version in _installed()},
        free_bytes=free_space(),
    )


def torch_here() -> tuple[TorchFacts | None, str]:
    """The installed torch, or why it cannot be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken library of torch's is an OSError
        return None, f"{type(error).__name__}: {error}"
    backend, backend_version = _backend(torch)
    facts = TorchFacts(
        version=str(torch.__version__),
        backend=backend,
        backend_version=backend_version,
        architectures=tuple(torch.cuda.get_arch_list()) if backend in ("cuda", "rocm") else (),
        devices=tuple(_devices(torch, backend)),
        flash_attention=backend in ("cuda", "rocm") and bool(torch.backends.cuda.is_flash_attention_available()),
        fast_bfloat16=_fast_bfloat16(torch),
        threads=torch.get_num_threads(),
    )
    return facts, ""


def _backend(torch: Any) -> tuple[Backend | None, str]:
    if torch.version.cuda:
        return "cuda", torch.version.cuda
    if getattr(torch.version, "hip", None):
        return "rocm", ".".join(torch.version.hip.split(".")[:2])
    if getattr(torch.version, "xpu", None):
        return "xpu", str(torch.version.xpu)
    return ("mps", "") if torch.backends.mps.is_built() else (None, "")


def _devices(torch: Any, backend: Backend | None) -> Iterator[Device]:
    if backend in ("cuda", "rocm") and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            seen = torch.cuda.get_device_properties(index)
            architecture = getattr(seen, "gcnArchName", "") if backend == "rocm" else f"sm_{seen.major}{seen.minor}"
            yield Device(seen.name, seen.total_memory, architecture, _try(torch, f"cuda:{index}"))
    elif backend == "xpu" and torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            seen = torch.xpu.get_device_properties(index)
            yield Device(seen.name, seen.total_memory, "", _try(torch, f"xpu:{index}"))
    elif backend == "mps" and torch.backends.mps.is_available():
        name = f"Apple {platform.machine()}"
        yield Device(name, int(torch.mps.recommended_max_memory()), "", _try(torch, "mps"))


def _try(torch: Any, device: str) -> str:
    """What a small matrix product on a device says: "" or the first line of its error."""
    try:
        ones = torch.ones(64, 64, device=device)
        total = float((ones @ ones).sum())
    except RuntimeError as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return "" if total == 64**3 else f"a product of ones gave {total}"


def _fast_bfloat16(torch: Any) -> bool:
    """AVX512_BF16 or AMX on x86; NEON's or SVE's bfloat16 instructions on ARM."""
    if not hasattr(torch.cpu, "get_capabilities"):  # older torch tells only this much
        return bool(torch.cpu._is_avx512_bf16_supported())
    abilities = torch.cpu.get_capabilities()
    return any(abilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def nvidia_cards() -> Iterator[Card]:
    """What NVIDIA's own tool says; nothing where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    query = [tool, "--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        yield Card("nvidia", f"an NVIDIA driver that does not answer ({type(error).__name__})")
        return
    for line in said.stdout.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == 4:
            name, driver, capability, mebibytes = values
            known = capability if re.fullmatch(r"\d+\.\d", capability) else ""
            yield Card("nvidia", name, driver, known, int(mebibytes) / 1024 if mebibytes.isdecimal() else 0.0)


def amd_cards(nodes: Path = Path("/sys/class/kfd/kfd/topology/nodes")) -> Iterator[Card]:
    """AMD cards that the Linux kernel offers for computing. Nodes without a gfx version are processors."""
    for properties in sorted(nodes.glob("*/properties")) if nodes.is_dir() else ():
        match = re.search(r"^gfx_target_version (\d+)$", properties.read_text(encoding="utf-8"), re.MULTILINE)
        if match and (version := int(match[1])):
            name = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
            yield Card("amd", f"AMD {name}", gigabytes=_amd_gigabytes(properties.parent))


def _amd_gigabytes(node: Path) -> float:
    """The memory on an AMD card, from the kernel's list of memory banks (heap types 1 and 2 are the card's own)."""
    total = 0
    for bank in node.glob("mem_banks/*/properties"):
        facts = dict(line.split(maxsplit=1) for line in bank.read_text(encoding="utf-8").splitlines() if " " in line)
        if facts.get("heap_type") in ("1", "2"):
            total += int(facts.get("size_in_bytes", 0))
    return total / 2**30


def largest_card() -> Card | None:
    """The graphics card with the most memory; None where none says how much it has. Loads no torch."""
    found = [card for card in (*nvidia_cards(), *amd_cards()) if card.gigabytes]
    return max(found, key=lambda card: card.gigabytes, default=None)


def own_requirements() -> tuple[str, ...]:
    """What the installed Loratory requires on this platform, extras aside; empty where it is not installed."""
    try:
        lines = importlib.metadata.requires("loratory") or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    wanted = map(Requirement, lines)
    return tuple(str(need) for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""}))


def _installed() -> Iterator[tuple[str, str]]:
    names = [Requirement(line).name for line in own_requirements()]
    for name in (*names, "xformers", "flash-attn", "sageattention"):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def free_space() -> dict[str, int]:
    """Bytes free where runs and where downloads go, by a readable name of the place."""
    from loratory.runs import home

    downloads = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    places = {f"Disk for runs ({home()})": home(), f"Disk for downloads ({downloads})": downloads}
    return {name: shutil.disk_usage(_existing(place)).free for name, place in places.items()}


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
