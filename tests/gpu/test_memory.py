"""What can only be seen on a card: bytes, kernels, and number formats that a CPU does not have."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.models.common.attention import BACKENDS, check_attention, set_attention
from loratory.models.common.storage import FORMATS, pack_weights
from loratory.networks.base import inject
from loratory.training import assemble, memory, samples, swapping
from loratory.training.checkpointing import Recompute
from loratory.training.devices import set_tf32
from tests.e2e.conftest import make_job, no_flush, own_home, photos, tiny_model
from tests.e2e.jobs import Data, losses, sample_pixels, train
from tests.unit.networks.helpers import StandInComponents, StandInModel, stir
from tests.unit.training.helpers import job

__all__ = ["make_job", "no_flush", "own_home", "photos", "tiny_model"]

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

CUDA = torch.device("cuda")
HALF = torch.bfloat16


@pytest.fixture(autouse=True)
def a_cuda_card() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.skip("gpu: these look at CUDA's own kernels and counters")
    yield
    gc.collect()
    torch.cuda.empty_cache()


def flux(precision: torch.dtype = HALF) -> nn.Module:
    """A Flux transformer of 6 blocks that are large beside everything else."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=16, num_layers=3, num_single_layers=3, attention_head_dim=64, num_attention_heads=16,
        joint_attention_dim=64, pooled_projection_dim=64, axes_dims_rope=(16, 24, 24),
    ).to(precision).requires_grad_(False)  # fmt: skip


def inputs(tokens: int = 1024) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    floats = {
        "hidden_states": torch.randn(1, tokens, 16, generator=generator),
        "encoder_hidden_states": torch.randn(1, 32, 64, generator=generator),
        "pooled_projections": torch.randn(1, 64, generator=generator),
        "timestep": torch.tensor([0.5]),
    }
    ids = {"img_ids": torch.zeros(tokens, 3), "txt_ids": torch.zeros(32, 3)}
    return {name: each.to(CUDA, HALF) for name, each in floats.items()} | {n: each.to(CUDA) for n, each in ids.items()}


class Called(TorchDispatchMode):
    """The names of operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(operator.name().partition(".")[0])
        return operator(*args, **kwargs or {})


def stand_in(net: nn.Module) -> Any:
    return StandInModel(SPECS["flux1"], StandInComponents(net, {}))


def step(net: nn.Module, given: dict[str, Tensor]) -> tuple[Tensor, list[Tensor], int, int]:
    """Output, the adapters' gradients, and bytes: before the step, and at its highest point."""
    network = inject(stand_in(net), LoraConfig(rank=4), seed=0, device=CUDA).train()
    stir(network, size=0.02)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    output = net(**given, return_dict=False)[0]
    output.float().square().mean().backward()
    torch.cuda.synchronize()
    highest = torch.cuda.max_memory_allocated()
    gradients = [parameter.grad for parameter in network.parameters()]
    network.detach()
    return output.detach().float(), gradients, before, highest


def distance(found: list[Tensor], wanted: list[Tensor]) -> float:
    one, other = (torch.cat([each.flatten().float() for each in part]) for part in (found, wanted))
    return float((one - other).norm() / other.norm())


# Attention

KERNELS = {
    "flash": "aten::_scaled_dot_product_flash_attention",
    "efficient": "aten::_scaled_dot_product_efficient_attention",
    "cudnn": "aten::_scaled_dot_product_cudnn_attention",
}


@pytest.mark.parametrize("name", [name for name in BACKENDS if "hub" not in name])
def test_each_kernel_that_is_here_gives_the_same_and_is_the_one_that_is_called(name: str) -> None:
    try:
        check_attention(name, CUDA, HALF)
    except UserError as refused:
        pytest.skip(f"gpu: {refused}")
    net, given = flux().to(CUDA), inputs()
    set_attention(net, "math", CUDA, HALF)
    wanted, wanted_gradients, _, _ = step(net, given)
    set_attention(net, name, CUDA, HALF)
    found, gradients, _, _ = step(net, given)
    assert distance([found], [wanted]) < 0.02
    assert distance(gradients, wanted_gradients) < 0.05
    if name in KERNELS:
        with Called() as called, torch.no_grad():
            net(**given)
        assert KERNELS[name] in called.names
        assert not called.names & (set(KERNELS.values()) - {KERNELS[name]})


def test_kernels_that_know_no_fp32_are_refused() -> None:
    for name in ("flash", "cudnn"):
        with pytest.raises(UserError, match=rf"memory\.attention: {name} does not work \(cuda, float32"):
            check_attention(name, CUDA, torch.float32)


# Packed weights


def test_packed_weights_take_half_while_training_too() -> None:
    given = inputs(64)  # few tokens: weights are nearly all there is
    full = flux().to(CUDA)
    wanted, wanted_gradients, full_before, full_highest = step(full, given)
    del full
    gc.collect()
    packed = flux()
    paths = pack_weights(packed, FORMATS["fp8_e4m3"])
    saved = sum(packed.get_submodule(path).packed.nbytes for path in paths)
    packed.to(CUDA)
    largest = max(packed.get_submodule(path).weight.nbytes for path in paths)
    found, gradients, before, highest = step(packed, given)
    assert full_before - before > 0.9 * saved
    # For a moment the unpacked weights of one layer, and of q, k and v, are there.
    assert highest < full_highest - 0.9 * saved + 8 * largest
    assert distance([found], [wanted]) < 0.1
    assert distance(gradients, wanted_gradients) < 0.3


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_on_the_card_what_it_is_on_the_cpu(name: str) -> None:
    """Packed there or here, and unpacked there or here; by each library's own kernels."""
    weight = torch.randn(512, 768, generator=torch.Generator().manual_seed(0)).to(HALF) * 0.02
    form = FORMATS[name]
    here, there = form.pack(weight), form.pack(weight.to(CUDA))
    assert {each.device.type for each in there.values()} == {"cuda"}
    wanted = form.unpack(here, weight.shape, HALF).float()
    moved = {part: each.to(CUDA) for part, each in here.items()}
    found = form.unpack(moved, weight.shape, HALF).float().cpu()
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=0)
    # Of two numbers as near, each may take its own: that is half a place of the format, and rare.
    other = form.unpack(there, weight.shape, HALF).float().cpu()
    assert float((other - wanted).norm() / wanted.norm()) < 0.01


@pytest.mark.parametrize("name", FORMATS)
def test_layers_packed_on_the_card_leave_no_full_weight_there(name: str) -> None:
    net = flux()
    full = sum(each.nbytes for each in net.parameters())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    paths = pack_weights(net, FORMATS[name], device=CUDA)
    largest = max(net.get_submodule(path).weight.nbytes for path in paths)
    assert {each.device.type for each in [*net.parameters(), *net.buffers()]} == {"cpu"}
    assert torch.cuda.max_memory_allocated() < 12 * largest < full
    net.to(CUDA)
    found, gradients, _, _ = step(net, inputs(64))
    assert bool(found.isfinite().all()) and all(bool(each.isfinite().all()) for each in gradients)


# Recomputing


def test_each_policy_needs_less_memory_than_the_one_before_and_changes_no_gradient() -> None:
    given, highest, gradients = inputs(4096), {}, {}
    policies: dict[str, Any] = {
        "off": None,
        "every second": Recompute(2, keeps_attention=False, on_cpu=False, pin=True),
        "selective": Recompute(1, keeps_attention=True, on_cpu=False, pin=True),
        "on": Recompute(1, keeps_attention=False, on_cpu=False, pin=True),
        "offload": Recompute(1, keeps_attention=False, on_cpu=True, pin=True),
    }
    for name, policy in policies.items():
        net: Any = flux().to(CUDA)
        if policy is not None:
            net.enable_gradient_checkpointing(policy)
        _, gradients[name], _, highest[name] = step(net, given)
        del net
        gc.collect()
        torch.cuda.empty_cache()
    for name in policies:
        assert distance(gradients[name], gradients["off"]) < 1e-3, name
    assert highest["off"] > highest["every second"] > highest["on"] > highest["offload"], highest
    assert highest["off"] > highest["selective"] > highest["on"], highest


# TF32, layouts, formats


def test_tf32_rounds_to_ten_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    errors = {}
    try:
        for chosen in ("on", "off"):
            set_tf32(job(memory={"tf32": chosen}))
            found = (a.to(CUDA) @ b.to(CUDA)).double().cpu()
            errors[chosen] = float((found - exact).norm() / exact.norm())
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value
    assert errors["off"] < 2e-6
    assert 1e-4 < errors["on"] < 2e-3


CHANGES: dict[str, Data] = {
    "plain": {},
    "channels last": {"memory.channels_last": True},
    **{
        name: {"memory.denoiser_weights": name, "memory.text_encoder_weights": name}
        for name in ("fp8_e4m3", "int8", "nf4", "uint4")
    },
    "offload": {"memory.gradient_checkpointing": "offload", "memory.low_vram": True},
    "given up": {"memory.unload_text_encoders": True, "memory.blocks_to_swap": 1},
    "fp16": {"memory.precision": "fp16", "model.vae_precision": "fp16"},
    "bf16 throughout": {"model.vae_precision": "bf16"},
}


@pytest.mark.parametrize("architecture", SPECS)
def test_whole_trainings_learn_the_same(architecture: str, make_job: Callable[..., Data]) -> None:
    """On the card in every format, with samples; near what the CPU gives in fp32."""
    usual = {
        "optimizer.learning_rate": 0.01, "batching.size": 2, "duration.steps": 4,
        "sampling": {"prompts": ["a photo --w 32 --h 32 --s 2 --d 3"], "every_n_steps": 2},
    }  # fmt: skip
    wanted = losses(train(make_job(architecture, usual, output="cpu")))
    on_card = usual | {"runtime.device": "cuda", "memory.precision": "bf16"}
    for name, changes in CHANGES.items():
        run = train(make_job(architecture, on_card | changes, output=name.replace(" ", "-")))
        assert losses(run) == pytest.approx(wanted, rel=0.12 if name in ("nf4", "uint4") else 0.06), name
        pictures = sample_pixels(run)
        assert len(pictures) == 3 and all(len(set(pixels)) > 10 for pixels in pictures.values()), name


def test_nothing_is_on_the_card_that_is_not_at_work(
    make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of each visit: what is still on the card. Samples are the same pictures with and without."""
    seen: list[set[str]] = []
    original = memory.at_work

    @contextmanager
    def watched(modules: Any, device: torch.device) -> Iterator[None]:
        modules = list(modules)
        with original(modules, device):
            yield
        seen.append({parameter.device.type for module in modules for parameter in module.parameters()})

    for place in (assemble, samples, memory):
        monkeypatch.setattr(place, "at_work", watched)
    sampling = {"prompts": ["a photo --w 32 --h 32 --s 1"], "every_n_steps": 2}
    changes = {
        "runtime.device": "cuda",
        "runtime.deterministic": True,
        "memory.precision": "bf16",
        "sampling": sampling,
    }
    pictures = []
    for waits, expected in ((True, {"cpu"}), (False, {"cuda"})):
        seen.clear()
        run = train(make_job("sdxl", changes | {"memory.low_vram": waits}, output=f"out{waits}"))
        assert seen and all(found <= expected for found in seen)
        pictures.append(sample_pixels(run))
    assert len(pictures[0]) == 3 and pictures[0] == pictures[1]


# Swapped blocks


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_swapped_blocks_change_no_bit_and_take_less(recomputes: bool, packed: bool) -> None:
    given = inputs(64)  # few tokens: weights are nearly all there is
    found: dict[int, tuple[Tensor, list[Tensor], int, int]] = {}
    sizes: list[int] = []
    for count in (0, 5):
        net: Any = flux()
        if packed:
            pack_weights(net, FORMATS["fp8_e4m3"])
        if recomputes:
            net.enable_gradient_checkpointing(Recompute(1, keeps_attention=False, on_cpu=True, pin=True))
        swap = swapping.bring_denoiser(stand_in(net), job(memory={"blocks_to_swap": count}), CUDA)
        if swap is not None:
            sizes = [block.nbytes for block in swap.blocks]
            assert all(block.kept.is_pinned() for block in swap.blocks)
        step(net, given)  # the order is learned
        found[count] = step(net, given)
        if swap is not None:
            assert len(swap.present) <= 2
            swap.remove()
        del net, swap
        gc.collect()
        torch.cuda.empty_cache()
    (output, gradients, _, highest), (wanted, wanted_gradients, _, full) = found[5], found[0]
    assert torch.equal(output, wanted)
    assert all(torch.equal(one, other) for one, other in zip(gradients, wanted_gradients, strict=True))
    assert highest < full - 0.9 * (sum(sizes) - 2 * max(sizes)), (highest, full, sizes)


def test_whole_trainings_with_swapped_blocks_are_bit_equal(make_job: Callable[..., Data]) -> None:
    changes = {
        "runtime.device": "cuda", "runtime.deterministic": True, "memory.precision": "bf16", "duration.steps": 4,
        "network": {"rank": 2, "decompose": True}, "optimizer.learning_rate": 0.01,
        "sampling": {"prompts": ["a photo --w 32 --h 32 --s 2"], "every_n_steps": 2},
    }  # fmt: skip
    runs = [train(make_job("sd15", changes | {"memory.blocks_to_swap": n}, output=f"out{n}")) for n in (0, 6)]
    assert losses(runs[0]) == losses(runs[1])
    assert sample_pixels(runs[0]) == sample_pixels(runs[1]) and len(sample_pixels(runs[0])) == 3
