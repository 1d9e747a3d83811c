"""What a step keeps: against true models on the meta device, and against autograd's own hooks on single layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.network_preview import TrainedLayer
from loratory.config.targets import Layer
from loratory.networks.base import inject
from loratory.planner.activations import WITHOUT_INPUT, adapter_kept
from loratory.planner.memory import activation_bytes
from tests.unit.networks.helpers import StandInComponents, StandInModel
from tests.unit.planner.helpers import job, model, numbers, peak_of_step

LONG = (pytest.mark.slow, pytest.mark.full)
POLICIES = [("off", 1), ("on", 1), ("on", 2)]
TRUE = [
    pytest.param("sd15", 512, 77, 2, id="sd15"),
    pytest.param("zimage", 1024, 256, 1, id="zimage", marks=LONG),
    *(pytest.param(name, side, tokens, 1, id=name, marks=LONG) for name, side, tokens in (
        ("sdxl", 1024, 77), ("flux1", 1024, 512), ("sd3", 1024, 333), ("qwen_image", 1024, 256),
        ("chroma", 1024, 256), ("lumina2", 1024, 256), ("flux2_klein", 1024, 512), ("omnigen2", 1024, 256),
        ("hidream", 1024, 128), ("chroma_radiance", 1024, 256), ("flux2", 1024, 512), ("sd2", 768, 77),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "side", "tokens", "pictures"), TRUE)
def test_steps_of_true_models_take_what_is_said(name: str, side: int, tokens: int, pictures: int) -> None:
    """The target is ten per cent, for each way of recomputing. Numbers of the loss are left out on both sides, and
    gradients of adapters, which come while activations go, are allowed for."""
    for policy, every in POLICIES:
        config = job(
            name, batching={"size": pictures}, network={"rank": 16, "train_text_encoders": False},
            memory={"gradient_checkpointing": policy, "checkpoint_every": every},
        )  # fmt: skip
        mine = model(config)
        assert mine.tokens == tokens
        there = peak_of_step(config, side, tokens)
        said = activation_bytes(mine, (side, side))
        gradients = 4 * numbers(mine.network_shapes)
        assert said >= there - gradients - 0.1 * there, (policy, every, said / there)
        assert said <= 1.1 * there, (policy, every, said / there)


@pytest.mark.parametrize(
    "network",
    [
        {"rank": 64, "targets": {"preset": "attn-only"}},
        {"rank": 8, "conv_rank": 8},
        {"type": "lokr", "rank": 8},
        {"rank": 4, "targets": {"blocks": "output_blocks"}},
    ],
)
def test_what_is_trained_changes_what_is_kept(network: dict[str, Any]) -> None:
    config = job("sd15", network={**network, "train_text_encoders": False})
    there, said = peak_of_step(config, 512, 77), activation_bytes(model(config), (512, 512))
    assert said == pytest.approx(there, rel=0.1)


def test_nothing_trained_in_the_denoiser_keeps_what_gradients_pass() -> None:
    only_text = job("sd15", network={"rank": 4, "train_denoiser": False, "train_text_encoders": True})
    both = job("sd15", network={"rank": 4, "train_text_encoders": True})
    alone = job("sd15", network={"rank": 4, "train_text_encoders": False})
    sizes = [activation_bytes(model(each), (512, 512)) for each in (only_text, both, alone)]
    assert sizes[1] > sizes[2] > 0.5 * sizes[1]
    assert sizes[0] > 0.7 * sizes[2]  # the text encoder's gradients come through the whole denoiser


def test_offload_leaves_only_the_block_that_is_at_work() -> None:
    def said(policy: str) -> int:
        return activation_bytes(model(job("sd15", memory={"gradient_checkpointing": policy})), (512, 512))

    assert said("offload") < said("on") < said("selective") < said("off")


def test_size_grows_with_pictures_and_pixels() -> None:
    def said(pictures: int, side: int) -> int:
        return activation_bytes(model(job("sd15", batching={"size": pictures})), (side, side))

    one = said(1, 512)
    assert said(4, 512) == pytest.approx(4 * one, rel=0.05)
    assert said(1, 1024) == pytest.approx(4 * one, rel=0.05)


# Single layers

KINDS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 8}, "dylora": {"type": "dylora", "rank": 8}, "loha": {"type": "loha", "rank": 4},
    "lokr": {"type": "lokr", "rank": 4, "factor": 8, "full_matrix": True}, "glora": {"type": "glora", "rank": 4},
    "ia3": {"type": "ia3", "targets": {"preset": "default"}}, "diag_oft": {"type": "diag_oft", "rank": 16},
    "boft": {"type": "boft", "rank": 16}, "full": {"type": "full"}, "dora": {"rank": 8, "decompose": True},
}  # fmt: skip


class One(nn.Module):
    """A denoiser of one layer that the architecture knows as attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1 = nn.ModuleDict({"to_q": nn.Linear(width, width, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        layer: nn.Module = self.attn1["to_q"]
        return layer(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_one_layer_keeps_what_its_type_says(kind: str) -> None:
    """Against autograd's hooks, in bf16: half and twice are the same order; what dominates memory is within 15 %."""
    width, rows = 256, 4096
    net = One(width).to(torch.bfloat16).requires_grad_(False)
    config = job("sd15", network=KINDS[kind]).network
    network = inject(StandInModel(SPECS["sd15"], StandInComponents(net, {})), config, seed=0).train()
    own = {each.untyped_storage()._cdata for each in [*net.parameters(), *network.parameters()]}
    seen: dict[int, Any] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage
        return tensor

    if network.draws:
        network.set_dropout_seed(1)
    x = torch.randn(1, rows, width, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = net(x)
    kept = sum(each.nbytes() for each in seen.values())
    del output
    layer = Layer("unet.attn1.to_q", "linear", (width, width))
    said = sum(adapter_kept(TrainedLayer(layer, config.type, "attention", None, {}), config, rows, 2))
    said += 0 if isinstance(config, WITHOUT_INPUT) else rows * width * 2
    network.detach()
    assert said == pytest.approx(kept, rel=0.15), (said, kept, sorted(each.nbytes() for each in seen.values()))
