"""What a training step keeps in memory, counted on models of true size without content: exact, on any machine.

    python benchmarks/memory/run.py [--output benchmarks/results/memory.json]

Weights in bf16 and in 8 bits, and what autograd keeps for the backward pass of one picture with a LoRA of rank 16,
under each way of recomputing. Attention counts as a fused kernel does: its inputs, its output, one number per query.
While a block is recomputed its own numbers are there, too: the largest block's are added. What libraries take for
themselves (CUDA's context, workspaces, fragments of the allocator) is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.models.common.storage import FORMATS, pack_weights
from loratory.networks.base import inject
from loratory.training.checkpointing import Recompute
from scripts.module_tables import true_model
from scripts.without_content import without_content

GIB = 2**30
RANK = 16
PICTURES = (("sd15", 512), ("sdxl", 1024), ("flux1", 512), ("flux1", 1024), ("qwen_image", 512), ("qwen_image", 1024))
BLOCKS = (
    "ResnetBlock2D", "BasicTransformerBlock", "FluxTransformerBlock", "FluxSingleTransformerBlock",
    "QwenImageTransformerBlock",
)  # fmt: skip
POLICIES = {"every second block": 2, "every block": 1}


def inputs(name: str, side: int) -> dict[str, Any]:
    """What the denoiser is given for one picture."""
    latent = side // 8

    def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    if name == "flux1":
        tokens = (latent // 2) ** 2
        return {
            "hidden_states": empty(1, tokens, 64), "encoder_hidden_states": empty(1, 512, 4096),
            "pooled_projections": empty(1, 768), "timestep": empty(1), "guidance": empty(1),
            "img_ids": empty(tokens, 3, dtype=torch.float32), "txt_ids": empty(512, 3, dtype=torch.float32),
        }  # fmt: skip
    if name == "qwen_image":  # its texts have lengths of their own; a long one
        return {
            "hidden_states": empty(1, (latent // 2) ** 2, 64), "encoder_hidden_states": empty(1, 256, 3584),
            "timestep": empty(1), "img_shapes": [[(1, latent // 2, latent // 2)]],
        }  # fmt: skip
    given: dict[str, Any] = {
        "sample": empty(1, 4, latent, latent),
        "timestep": empty(1),
        "encoder_hidden_states": empty(1, 77, 2048 if name == "sdxl" else 768),
    }
    if name == "sdxl":
        given["added_cond_kwargs"] = {"text_embeds": empty(1, 1280), "time_ids": empty(1, 6)}
    return given


def kept(name: str, side: int, every: int) -> tuple[int, int, int]:
    """Bytes kept for the backward pass; of these, those of the largest block; the adapter's numbers. 0: all is kept."""
    model = true_model(SPECS[name])
    denoiser: Any = model.components.denoiser.to(torch.bfloat16).requires_grad_(False)
    network = inject(model, LoraConfig(rank=RANK), seed=0).to("meta").train()
    if every:
        denoiser.enable_gradient_checkpointing(Recompute(every, keeps_attention=False, on_cpu=False, pin=False))
    own = {each.untyped_storage()._cdata for each in [*denoiser.parameters(), *denoiser.buffers()]}
    own |= {each.untyped_storage()._cdata for each in network.parameters()}
    seen: dict[int, Any] = {}
    inside: list[int] = []
    of_block: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in seen:
            seen[storage._cdata] = storage  # held, so that no other gets its place
            if inside:
                of_block[inside[-1]] = of_block.get(inside[-1], 0) + storage.nbytes()
        return tensor

    for block in denoiser.modules():
        if type(block).__name__ in BLOCKS:
            block.register_forward_pre_hook(lambda block, _: inside.append(id(block)))
            block.register_forward_hook(lambda *_: inside.pop() and None)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        denoiser(**inputs(name, side), return_dict=False)
    numbers = sum(parameter.numel() for parameter in network.parameters())
    return sum(each.nbytes() for each in seen.values()), max(of_block.values(), default=0), numbers


def gib(size: float) -> float:
    return round(size / GIB, 2)


def bytes_of(module: nn.Module) -> int:
    return sum(each.nbytes for each in [*module.parameters(), *module.buffers()])


def weights(name: str) -> dict[str, dict[str, float]]:
    model = true_model(SPECS[name])
    found = {}
    for component, module in (
        (model.spec.denoiser, model.components.denoiser),
        *model.components.text_encoders.items(),
    ):
        module.to(torch.bfloat16)
        full = bytes_of(module)
        pack_weights(module, FORMATS["fp8_e4m3"])
        found[component] = {"bf16, GiB": gib(full), "fp8, GiB": gib(bytes_of(module))}
    return found


def steps() -> dict[str, dict[str, float]]:
    found = {}
    for name, side in PICTURES:
        whole, block, numbers = kept(name, side, 0)
        figures = {"nothing recomputed, GiB": gib(whole)}
        for policy, every in POLICIES.items():
            figures[f"{policy} recomputed, GiB"] = gib(kept(name, side, every)[0] + block)
        # The weight, its gradient and AdamW's two means, 4 bytes each.
        figures["adapter, gradients and AdamW, GiB"] = gib(16 * numbers)
        found[f"{name}, {side} pixels"] = figures
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "memory.json")
    options = parser.parse_args()
    with without_content():
        record = {"benchmark": "memory", "rank": RANK, "weights": {name: weights(name) for name in SPECS},
                  "kept for the backward pass": steps()}  # fmt: skip
    print(json.dumps(record, indent=2))
    options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
