"""Who computes attention: all can be asked for, the same comes out, and what is not there is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from diffusers.models import attention_dispatch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from loratory.config.memory import Attention
from loratory.config.network import LoraConfig
from loratory.config.rules_memory import WITHOUT_MASKS
from loratory.errors import UserError
from loratory.models.common.attention import BACKENDS, DispatchedAttention, check_attention, set_attention
from loratory.networks.base import inject
from tests.tiny import TINY
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import conditioning, noisy_input, whole_picture_sizes
from tests.unit.networks.helpers import stir

CPU = torch.device("cpu")
HERE = ("sdpa", "math", "flash")
each_architecture = pytest.mark.parametrize("architecture", TINY)


class Operators(TorchDispatchMode):
    """Counts the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[operator.name().removeprefix("aten::").partition(".")[0]] += 1
        return operator(*args, **kwargs or {})

    @property
    def fused(self) -> int:
        return self.seen["_scaled_dot_product_flash_attention_for_cpu"]

    @property
    def plain(self) -> int:
        return self.seen["_softmax"] + self.seen["_safe_softmax"]


@pytest.fixture(autouse=True)
def the_process_stays_as_it_was() -> Iterator[None]:
    before = attention_dispatch._AttentionBackendRegistry.get_active_backend()
    yield
    assert attention_dispatch._AttentionBackendRegistry.get_active_backend() == before


def gradients(model: Any) -> tuple[Tensor, list[Tensor], Operators]:
    """Of all adapters, for a fixed input; the prediction; and what computed it."""
    network = inject(model, LoraConfig(rank=2), seed=0)
    stir(network)
    noisy, times = noisy_input(model)
    with Operators() as operators:
        prediction = model.predict(noisy, times, conditioning(model), whole_picture_sizes(2))
    prediction.square().mean().backward()
    found = [parameter.grad for parameter in network.parameters()]
    network.detach()
    return prediction.detach(), found, operators


def test_every_value_of_the_config_is_known() -> None:
    assert {"auto", *BACKENDS} == set(get_args(Attention))
    known = {each.value for each in attention_dispatch.AttentionBackendName}
    assert {backend for backend, _ in BACKENDS.values()} <= known


@each_architecture
def test_each_gives_the_same_predictions_and_gradients(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    model = load_model(tiny_model(architecture))
    wanted, wanted_gradients, usual = gradients(model)
    texts = Operators()
    with texts:
        conditioning(model)
    layers = usual.fused - texts.fused
    # The gate of a mixture of experts has a softmax of its own.
    gates = sum(type(module).__name__ == "MoEGate" for module in model.components.denoiser.modules())
    assert layers > 0 and usual.plain - texts.plain == gates
    for name in HERE:
        if model.spec.masks_texts and name in WITHOUT_MASKS:  # a rule says so before anything is loaded
            with pytest.raises(ValueError, match="mask"):
                set_attention(model.components.denoiser, name, CPU, torch.float32)
                gradients(model)
            continue
        set_attention(model.components.denoiser, name, CPU, torch.float32)
        found, found_gradients, operators = gradients(model)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        for one, other in zip(found_gradients, wanted_gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
        fused, plain = operators.fused - texts.fused, operators.plain - texts.plain
        assert (fused, plain - gates) == ((0, layers) if name == "math" else (layers, 0)), name


def test_a_mask_is_seen(tiny_model: Callable[[str], Path]) -> None:
    """As diffusers' own form of attention sees it: padding may be left out."""
    unet = load_model(tiny_model("sd15")).components.denoiser
    generator = torch.Generator().manual_seed(0)
    read = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    mask = torch.ones(2, 7)
    mask[0, 3:] = 0
    given = {"sample": torch.randn(2, 4, 8, 8, generator=generator), "timestep": 5, "encoder_hidden_states": read}
    with torch.no_grad():
        plain, wanted = unet(**given).sample, unet(**given, encoder_attention_mask=mask).sample
        set_attention(unet, "math", CPU, torch.float32)
        found = unet(**given, encoder_attention_mask=mask).sample
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain[0], wanted[0], atol=1e-4)
    torch.testing.assert_close(plain[1], wanted[1], rtol=1e-4, atol=1e-5)


def test_other_models_of_the_process_keep_their_own(tiny_model: Callable[[str], Path]) -> None:
    first, second = (load_model(tiny_model("flux1")).components.denoiser for _ in range(2))
    set_attention(first, "math", CPU, torch.float32)
    backends = [
        {module.processor._attention_backend for module in net.modules() if hasattr(module, "processor")}
        for net in (first, second)
    ]
    assert backends == [{attention_dispatch.AttentionBackendName._NATIVE_MATH}, {None}]


INSTALL = {
    "flash_attn": "pip install flash-attn",
    "flash_attn_3": "FlashAttention 3",
    "flash_hub": "pip install kernels",
    "flash_3_hub": "pip install kernels",
    "xformers": "pip install xformers",
    "efficient": "NVIDIA or AMD card",
    "cudnn": "NVIDIA card",
}


@pytest.mark.parametrize("name", INSTALL)
def test_what_is_not_here_is_refused_with_what_it_needs(name: str) -> None:
    with pytest.raises(UserError) as caught:
        check_attention(name, CPU, torch.bfloat16)
    message = str(caught.value)
    assert message.startswith(f"memory.attention: {name} does not work (cpu, bfloat16, heads of 64): ")
    assert INSTALL[name] in message
    assert message.endswith("memory.attention auto works everywhere.")
    assert "\n" not in message


def test_an_attention_without_gradients_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those that quantise: q, k and v would stay untrained, and nobody would see it."""
    registry = attention_dispatch._AttentionBackendRegistry
    name = attention_dispatch.AttentionBackendName._NATIVE_MATH
    for broken, words in ((torch.zeros_like, "does not require grad"), (lambda query: query * 0, "no gradients")):
        monkeypatch.setitem(registry._backends, name, lambda query, key, value, broken=broken: broken(query))
        monkeypatch.setitem(registry._supported_arg_names, name, {"query", "key", "value"})
        with pytest.raises(UserError, match=words):
            check_attention("math", CPU, torch.float32)


def test_the_widths_of_the_models_own_heads_are_tried(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loratory.models.common import attention

    tried: list[int] = []
    monkeypatch.setattr(attention, "check_attention", lambda name, device, precision, width: tried.append(width))
    unet = load_model(tiny_model("sd15")).components.denoiser
    set_attention(unet, "math", CPU, torch.float32)
    widths = {module.to_q.out_features // module.heads for module in unet.modules() if hasattr(module, "to_q")}
    assert tried == sorted(widths)


def test_an_attention_of_another_kind_is_refused(tiny_model: Callable[[str], Path]) -> None:
    unet = load_model(tiny_model("sd15")).components.denoiser
    changed = next(module for module in unet.modules() if hasattr(module, "to_q"))
    changed.residual_connection = True
    with pytest.raises(UserError, match=r"attn1 has an attention of its own; set memory\.attention to auto"):
        set_attention(unet, "math", CPU, torch.float32)
    assert not isinstance(changed.processor, DispatchedAttention)
