"""Weights, adapters and optimizers take exactly what the planner says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from loratory.config.architectures import SPECS
from loratory.config.memory_tables import memory_table
from loratory.config.modules import layers
from loratory.config.network_preview import preview
from loratory.models.common.storage import FORMATS, pack_weights
from loratory.networks.base import inject
from loratory.planner.weights import net_bytes, optimizer_bytes, packed_bytes
from loratory.training.optimizers import make_optimizer
from scripts.module_tables import true_model
from tests.architectures import each
from tests.unit.networks.helpers import true_model as kept_model
from tests.unit.planner.helpers import job
from tests.unit.training.optimizer_cases import VARIANTS

SHAPES = [(64, 128), (10, 100), (8, 5, 3, 3), (1, 7), (256, 4096)]
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def held(module: nn.Module) -> int:
    return sum(each.nbytes for each in [*module.parameters(), *module.buffers()])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_packed_weight_has_so_many_bytes(form: str, precision: str) -> None:
    for shape in SHAPES:
        weight = torch.randn(shape).to(PRECISIONS[precision])
        kept = FORMATS[form].pack(weight)
        assert packed_bytes(shape, form, precision) == sum(each.nbytes for each in kept.values()), shape


def test_a_weight_in_full_is_its_numbers() -> None:
    assert packed_bytes((10, 20), "full", "bf16") == 400
    assert packed_bytes((10, 20), "full", "fp32") == 800


@pytest.mark.slow
@pytest.mark.parametrize("name", each(SPECS))
def test_true_models_are_exact_in_full_and_packed(name: str) -> None:
    """Every component of every architecture, on the meta device: in bf16, and packed as a training packs it."""
    spec, table = SPECS[name], memory_table(name)
    found = true_model(spec)
    parts = {spec.denoiser: (found.components.denoiser, table.denoiser)}
    parts |= {each: (module, table.text_encoders[each]) for each, module in found.components.text_encoders.items()}
    for component, (module, net) in parts.items():
        module.to(torch.bfloat16)
        mine = [layer for layer in layers(name) if layer.path.startswith(f"{component}.")]
        assert sum(each.numel() for each in module.parameters()) == net.numbers
        assert net_bytes(net.numbers, net.buffer_bytes, mine, "full", "bf16") == pytest.approx(held(module), rel=1e-4)
        pack_weights(module, FORMATS["fp8_e4m3"], ("attn.to_q",))
        said = net_bytes(net.numbers, net.buffer_bytes, mine, "fp8_e4m3", "bf16", ("attn.to_q",))
        assert said == pytest.approx(held(module), rel=1e-4), component


NETWORKS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 16}, "lora with convolutions": {"rank": 8, "conv_rank": 4},
    "dora": {"rank": 4, "decompose": True}, "shared down": {"rank": 4, "shared_down": True},
    "loha": {"type": "loha", "rank": 4}, "lokr": {"type": "lokr", "rank": 8, "factor": 8},
    "glora": {"type": "glora", "rank": 4}, "dylora": {"type": "dylora", "rank": 4}, "ia3": {"type": "ia3"},
    "diag_oft": {"type": "diag_oft", "rank": 8}, "boft": {"type": "boft", "rank": 8},
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_of_true_size_have_so_many_numbers(kind: str) -> None:
    config = job(network=NETWORKS[kind]).network
    spec = SPECS["sd15"]
    network = inject(kept_model("sd15"), config, seed=0)
    try:
        assert preview(spec, layers("sd15"), config).parameters == sum(p.numel() for p in network.parameters())
    finally:
        network.detach()


TENSORS = [(16, 320), (320, 16), (320,), (4, 1024), (4, 1023), (8, 16, 3, 3), (64, 256)]


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("custom")])
def test_an_optimizer_remembers_so_many_bytes(name: str) -> None:
    """Every tensor of its state but the tables of 8-bit formats, which are the same ones for all parameters."""
    settings = {key: value for key, value in VARIANTS[name].items() if key != "min_8bit_size"}
    config = job(optimizer=settings).optimizer
    parameters = [nn.Parameter(torch.randn(shape)) for shape in TENSORS]
    optimizer: Any = make_optimizer(config, {"unet": parameters}, (), set(), {})
    if hasattr(optimizer, "train"):
        optimizer.train()
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    kept = sum(
        value.numel() * value.element_size()
        for each in parameters for key, value in optimizer.state.get(each, {}).items()
        if isinstance(value, torch.Tensor) and not key.startswith("qmap")
    )  # fmt: skip
    assert optimizer_bytes(TENSORS, config) == kept


def test_adamws_memory_by_hand() -> None:
    """Two means of 4 bytes for each number, and a counter of 4 bytes for each tensor."""
    assert optimizer_bytes([(10, 10), (5,)], job().optimizer) == 2 * 4 * 105 + 2 * 4
    eight = job(optimizer={"type": "adamw8bit"}).optimizer
    assert optimizer_bytes([(1024, 1024)], eight) == 2 * (2**20 + 4 * 2**20 // 256)


@pytest.mark.slow
@pytest.mark.full
def test_the_table_is_what_the_true_model_says() -> None:
    """One of them; the steps of true models stand for the others."""
    from loratory.config.memory_tables import FOLDER
    from scripts.memory_tables import table, text_of

    assert (FOLDER / "sd15.json").read_text(encoding="utf-8") == text_of(table(SPECS["sd15"])) + "\n"


def test_a_further_size_has_its_own_text_encoder() -> None:
    """Klein of 9 billion parameters reads with Qwen3 of 8 billion, by its published sizes; the usual one with 4."""
    from loratory.config.memory_tables import table_for
    from loratory.config.modules import sizes

    width, inner, layers, heads, words = 4096, 12288, 36, 1024, 151936
    layer = 2 * width * width + 2 * width * heads + 3 * width * inner + 2 * width + 2 * 128
    spec = SPECS["flux2_klein"]
    usual, further = (table_for(spec, size)[0].text_encoders["text_encoder"].numbers for size in sizes(spec))
    assert further == layers * layer + width + 2 * words * width == 8_190_735_360
    assert usual == 4_022_468_096
    sd3 = SPECS["sd3"]
    first, *others = (table_for(sd3, size)[0].text_encoders for size in sizes(sd3))
    assert all(each == first for each in others)


def test_each_size_of_each_architecture_has_a_table() -> None:
    from loratory.config.memory_tables import FOLDER

    names = {name for spec in SPECS.values() for name in (spec.name, *spec.other_true_configs)}
    assert {path.stem for path in FOLDER.glob("*.json")} == names
