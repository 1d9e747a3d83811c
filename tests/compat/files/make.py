"""Makes the kept LoRA files and `expected.json`: `python -m tests.compat.files.make`, from the root of the project.

Each file is in the key layout of one program that people download LoRAs from, for the tiny models of `tests/tiny`. The
tests never run this: a file that was written once must keep loading. To add one, write a function below and run the
script; it leaves files that exist as they are, unless their names are given: `… make sd15_kohya`.

`expected.json` has, for each file, the change of every weight that it holds (norm and some entries, of `formulas.py`),
where the frozen weights are those of `formulas.weight_of`. Paths are diffusers' without CLIP's `text_model.`.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.compat.files.formulas import Array, butterfly, decomposed, low_rank, tucker, turned, turns, weight_of

FOLDER = Path(__file__).parent
EXPECTED = FOLDER / "expected.json"
ENTRIES = 5

KOHYA = ("lora_down.weight", "lora_up.weight")
PEFT = ("lora_A.weight", "lora_B.weight")
ADAPTER = ("lora_A.default.weight", "lora_B.default.weight")

# Paths of the tiny UNets and shapes of their weights.
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
TO_Q, TO_K, TO_OUT = f"{BLOCK}.attn1.to_q", f"{BLOCK}.attn2.to_k", f"{BLOCK}.attn1.to_out.0"
CONV, DOWN, PROJ_IN, PROJ_OUT = (
    "down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "mid_block.attentions.0.proj_in",
    "mid_block.attentions.0.proj_out",
)  # fmt: skip
FF_OUT = f"{BLOCK}.ff.net.2"
SHAPES = {
    TO_Q: (64, 64), TO_K: (64, 32), TO_OUT: (64, 64), FF_OUT: (64, 256), CONV: (32, 32, 3, 3), DOWN: (32, 32, 3, 3),
    PROJ_IN: (64, 64, 1, 1), PROJ_OUT: (64, 64, 1, 1), "conv_in": (32, 4, 3, 3),
}  # fmt: skip
TEXT_Q, TEXT_FC1 = "encoder.layers.0.self_attn.q_proj", "encoder.layers.2.mlp.fc1"


def flat(prefix: str, path: str) -> str:
    return f"{prefix}_{path.replace('.', '_')}"


class Made:
    """One file in the making, and what is expected of it."""

    def __init__(self, name: str) -> None:
        # Where the architecture's own name has an underscore, the program stands behind two.
        self.name, self.model = name, name.partition("__" if "__" in name else "_")[0]
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.dtype = torch.float16
        self.tensors: dict[str, torch.Tensor] = {}
        self.metadata: dict[str, str] = {"format": "pt"}
        self.deltas: dict[str, Array] = {}
        self.biases: dict[str, Array] = {}

    def put(self, key: str, values: Any) -> Array:
        """Keep a tensor; the values as the file's number format has them."""
        self.tensors[key] = torch.tensor(np.asarray(values, dtype=np.float64)).to(self.dtype).contiguous()
        return self.tensors[key].double().numpy()

    def draw(self, key: str, *shape: int, size: float = 0.5) -> Array:
        return self.put(key, self.random.standard_normal(shape) * size)

    def alpha(self, name: str, value: float | None, rank: int) -> float:
        """Keep an alpha, if there is one; the scale that it makes."""
        return 1.0 if value is None else float(self.put(f"{name}.alpha", value)) / rank

    def lora(
        self, name: str, path: str, shape: tuple[int, ...], rank: int, alpha: float | None = None,
        suffixes: tuple[str, str] = KOHYA, scale: float | None = None,
    ) -> Array:  # fmt: skip
        """A pair of factors. Without an alpha the scale is 1, or `scale` where the header says so."""
        found = self.alpha(name, alpha, rank)
        down = self.draw(f"{name}.{suffixes[0]}", rank, *shape[1:])
        up = self.draw(f"{name}.{suffixes[1]}", shape[0], rank, *(1 for _ in shape[2:]))
        self.deltas[path] = low_rank(up, down, shape) * (found if scale is None else scale)
        return self.deltas[path]

    def expected(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "deltas": {path: summary(delta) for path, delta in sorted(self.deltas.items())},
            "biases": {path: summary(delta) for path, delta in sorted(self.biases.items())},
        }


def summary(delta: Array) -> dict[str, Any]:
    """The norm, and entries at places spread over the whole."""
    places = [int(place) for place in np.linspace(1, delta.size - 2, ENTRIES)]
    return {
        "shape": list(delta.shape),
        "norm": float(f"{np.sqrt((delta**2).sum()):.9g}"),
        "entries": {str(place): float(f"{delta.reshape(-1)[place]:.9g}") for place in places},
    }


FILES: dict[str, Callable[[Made], None]] = {}


def kept(function: Callable[[Made], None]) -> Callable[[Made], None]:
    """Its name is the file's."""
    FILES[function.__name__] = function
    return function


def unet(path: str) -> str:
    return flat("lora_unet", path)


# Stable Diffusion 1.5: kohya and LyCORIS


@kept
def sd15_kohya(made: Made) -> None:
    """sd-scripts: LoCon, a core in the middle, a layer without alpha, a 1x1 convolution with factors as of a Linear."""
    made.metadata |= {"ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_network_alpha": "2.0"}
    made.lora(unet(TO_Q), f"unet.{TO_Q}", SHAPES[TO_Q], 4, 2.0)
    made.lora(unet(TO_K), f"unet.{TO_K}", SHAPES[TO_K], 2)
    made.lora(unet(PROJ_IN), f"unet.{PROJ_IN}", SHAPES[PROJ_IN], 4, 2.0)
    made.lora(unet(DOWN), f"unet.{DOWN}", SHAPES[DOWN], 2, 1.0)
    made.lora(flat("lora_te_text_model", TEXT_FC1), f"text_encoder.{TEXT_FC1}", (69, 32), 4, 2.0)
    linear = made.lora(unet(PROJ_OUT), "", SHAPES[PROJ_OUT][:2], 4, 1.0)
    made.deltas[f"unet.{PROJ_OUT}"] = made.deltas.pop("")[..., None, None]
    assert linear.shape == (64, 64)
    name, shape = unet(CONV), SHAPES[CONV]
    scale = made.alpha(name, 1.0, 2)
    down, up = made.draw(f"{name}.lora_down.weight", 2, 32, 1, 1), made.draw(f"{name}.lora_up.weight", 32, 2, 1, 1)
    middle = made.draw(f"{name}.lora_mid.weight", 2, 2, 3, 3)
    made.deltas[f"unet.{CONV}"] = scale * tucker(middle, up.reshape(32, 2).T, down.reshape(2, 32)).reshape(shape)


@kept
def sd15_lycoris_loha(made: Made) -> None:
    """LoHa on a Linear, on a convolution laid out flat, and on one with cores."""
    made.dtype = torch.bfloat16
    for path, alpha in ((TO_Q, 1.0), (CONV, 2.0)):
        name, shape = unet(path), SHAPES[path]
        scale = made.alpha(name, alpha, 2)
        w1 = made.draw(f"{name}.hada_w1_a", shape[0], 2) @ made.draw(f"{name}.hada_w1_b", 2, int(np.prod(shape[1:])))
        w2 = made.draw(f"{name}.hada_w2_a", shape[0], 2) @ made.draw(f"{name}.hada_w2_b", 2, int(np.prod(shape[1:])))
        made.deltas[f"unet.{path}"] = scale * (w1 * w2).reshape(shape)
    name = unet(DOWN)
    scale = made.alpha(name, 1.0, 2)
    w1, w2 = (
        tucker(made.draw(f"{name}.hada_t{turn}", 2, 2, 3, 3), made.draw(f"{name}.hada_w{turn}_a", 2, 32),
               made.draw(f"{name}.hada_w{turn}_b", 2, 32))
        for turn in (1, 2)
    )  # fmt: skip
    made.deltas[f"unet.{DOWN}"] = scale * w1 * w2


@kept
def sd15_lycoris_lokr(made: Made) -> None:
    """LoKr with one factor in full, with both (whose alpha means nothing), with none, and with a core."""
    name = unet(TO_Q)
    scale = made.alpha(name, 1.0, 2)
    w1 = made.draw(f"{name}.lokr_w1", 8, 8)
    w2 = made.draw(f"{name}.lokr_w2_a", 8, 2) @ made.draw(f"{name}.lokr_w2_b", 2, 8)
    made.deltas[f"unet.{TO_Q}"] = scale * np.kron(w1, w2)
    name = unet(TO_K)
    made.put(f"{name}.alpha", 7.0)
    made.deltas[f"unet.{TO_K}"] = np.kron(made.draw(f"{name}.lokr_w1", 8, 4), made.draw(f"{name}.lokr_w2", 8, 8))
    name = unet(TO_OUT)
    scale = made.alpha(name, 1.0, 2)
    w1 = made.draw(f"{name}.lokr_w1_a", 4, 2) @ made.draw(f"{name}.lokr_w1_b", 2, 4)
    w2 = made.draw(f"{name}.lokr_w2_a", 16, 2) @ made.draw(f"{name}.lokr_w2_b", 2, 16)
    made.deltas[f"unet.{TO_OUT}"] = scale * np.kron(w1, w2)
    name = unet(CONV)
    scale = made.alpha(name, 2.0, 2)
    w1 = made.draw(f"{name}.lokr_w1", 4, 4)
    w2 = made.draw(f"{name}.lokr_w2_a", 8, 2) @ made.draw(f"{name}.lokr_w2_b", 2, 8 * 9)
    made.deltas[f"unet.{CONV}"] = scale * np.kron(w1[..., None, None], w2.reshape(8, 8, 3, 3))
    name = unet(DOWN)
    scale = made.alpha(name, 1.0, 2)
    w1 = made.draw(f"{name}.lokr_w1", 4, 4)
    w2 = tucker(made.draw(f"{name}.lokr_t2", 2, 2, 3, 3), made.draw(f"{name}.lokr_w2_a", 2, 8),
                made.draw(f"{name}.lokr_w2_b", 2, 8))  # fmt: skip
    made.deltas[f"unet.{DOWN}"] = scale * np.kron(w1[..., None, None], w2)


@kept
def sd15_lycoris_dora(made: Made) -> None:
    """dora_scale over the outputs of a Linear and of a convolution, and over the inputs, as older files have it."""
    for path, size in ((TO_Q, (64, 1)), (CONV, (32, 1, 1, 1)), (TO_K, (1, 32))):
        shape = SHAPES[path]
        delta = made.lora(unet(path), f"unet.{path}", shape, 2, 1.0)
        lengths = made.put(f"{unet(path)}.dora_scale", 4 + np.abs(made.random.standard_normal(size)))
        made.deltas[f"unet.{path}"] = decomposed(weight_of(shape), delta, lengths)


@kept
def sd15_lycoris_glora(made: Made) -> None:
    """GLoRA as it is stored now, and with the two letters' numbers the other way round, as before version 3."""
    name, weight = unet(TO_K), weight_of(SHAPES[TO_K])
    scale = made.alpha(name, 1.0, 2)
    a1, a2 = made.draw(f"{name}.a1.weight", 32, 2), made.draw(f"{name}.a2.weight", 2, 32)
    b1, b2 = made.draw(f"{name}.b1.weight", 64, 2), made.draw(f"{name}.b2.weight", 2, 32)
    made.deltas[f"unet.{TO_K}"] = scale * (weight @ a1 @ a2 + b1 @ b2)
    name, weight = unet(TO_Q), weight_of(SHAPES[TO_Q])
    scale = made.alpha(name, 3.0, 2)
    a1, a2 = made.draw(f"{name}.a1.weight", 2, 64), made.draw(f"{name}.a2.weight", 64, 2)
    b1, b2 = made.draw(f"{name}.b1.weight", 2, 64), made.draw(f"{name}.b2.weight", 64, 2)
    made.deltas[f"unet.{TO_Q}"] = scale * (weight @ a2 @ a1 + b2 @ b1)


@kept
def sd15_lycoris_ia3(made: Made) -> None:
    """Factors of outputs, of inputs, and of a convolution, whose factors have four axes."""
    for path, size, on_input in ((TO_K, (64,), 0), (FF_OUT, (256,), 1), (PROJ_IN, (1, 64, 1, 1), 0)):
        factors = made.draw(f"{unet(path)}.weight", *size).reshape(-1)
        made.tensors[f"{unet(path)}.on_input"] = torch.tensor(on_input)
        axes = [1] * len(SHAPES[path])
        axes[on_input] = -1
        made.deltas[f"unet.{path}"] = weight_of(SHAPES[path]) * factors.reshape(axes)


@kept
def sd15_lycoris_diag_oft(made: Made) -> None:
    """Diag-OFT without limit, with one (alpha · outputs), and with a factor for each output."""
    for path, count, constraint in ((TO_Q, 16, 0.0), (TO_K, 8, 0.02), (CONV, 8, 0.0)):
        name, weight = unet(path), weight_of(SHAPES[path])
        size = weight.shape[0] // count
        limit = float(made.put(f"{name}.alpha", constraint)) * weight.shape[0]
        changed = turned(weight, turns(made.draw(f"{name}.oft_blocks", count, size, size, size=0.2), limit))
        if path == CONV:
            factors = made.put(f"{name}.rescale", 1 + 0.2 * made.random.standard_normal((32, 1, 1, 1)))
            changed = changed * factors
        made.deltas[f"unet.{path}"] = changed - weight


@kept
def sd15_lycoris_boft(made: Made) -> None:
    """BOFT in three rounds of blocks of four, without limit and with one."""
    for path, rounds, constraint in ((TO_Q, 3, 0.0), (CONV, 2, 0.01)):
        name, weight = unet(path), weight_of(SHAPES[path])
        limit = float(made.put(f"{name}.alpha", constraint)) * weight.shape[0]
        blocks = made.draw(f"{name}.oft_blocks", rounds, weight.shape[0] // 4, 4, 4, size=0.2)
        made.deltas[f"unet.{path}"] = butterfly(weight, turns(blocks, limit)) - weight


@kept
def sd15_kohya_oft(made: Made) -> None:
    """sd-scripts' own OFT: its own prefix, and alpha · outputs is the limit."""
    for path in (TO_Q, TO_K):
        name, weight = flat("oft_unet", path), weight_of(SHAPES[path])
        limit = float(made.put(f"{name}.alpha", 0.02)) * 64
        changed = turned(weight, turns(made.draw(f"{name}.oft_blocks", 8, 8, 8, size=0.2), limit))
        made.deltas[f"unet.{path}"] = changed - weight


@kept
def sd15_old_oft_diag(made: Made) -> None:
    """Files of the first OFT hold the turns themselves."""
    made.dtype = torch.float32
    for path in (TO_Q, TO_K):
        weight = weight_of(SHAPES[path])
        rotations = turns(0.2 * made.random.standard_normal((8, 8, 8)), 0.0)
        rotations = made.put(f"{unet(path)}.oft_diag", rotations)
        made.deltas[f"unet.{path}"] = turned(weight, rotations) - weight


@kept
def sd15_lycoris_full(made: Made) -> None:
    """Differences of weights and biases, and the numbers of normalisations."""
    name = unet(TO_K)
    made.deltas[f"unet.{TO_K}"] = made.draw(f"{name}.diff", *SHAPES[TO_K])
    name = unet("conv_in")
    made.deltas["unet.conv_in"] = made.draw(f"{name}.diff", *SHAPES["conv_in"])
    made.biases["unet.conv_in"] = made.draw(f"{name}.diff_b", 32)
    for name, path, size in (
        (unet(f"{BLOCK}.norm1"), f"unet.{BLOCK}.norm1", 64),
        (unet("down_blocks.0.resnets.0.norm2"), "unet.down_blocks.0.resnets.0.norm2", 32),
        ("lora_te_text_model_encoder_layers_1_layer_norm2", "text_encoder.encoder.layers.1.layer_norm2", 32),
    ):
        made.deltas[path] = made.draw(f"{name}.w_norm", size)
        made.biases[path] = made.draw(f"{name}.b_norm", size)


@kept
def sd15_kohya_bias(made: Made) -> None:
    """A pair of factors for the weight, and a difference for the bias, as files made by distillation have it."""
    made.lora(unet(TO_OUT), f"unet.{TO_OUT}", SHAPES[TO_OUT], 2, 1.0)
    made.biases[f"unet.{TO_OUT}"] = made.draw(f"{unet(TO_OUT)}.diff_b", 64)


# Stable Diffusion 1.5: diffusers, old and new, PEFT, ComfyUI

CLIP = "text_encoder.text_model."


@kept
def sd15_diffusers(made: Made) -> None:
    """save_lora_weights without metadata: alpha is the rank of each layer."""
    for path, rank in ((TO_Q, 4), (TO_K, 2), (PROJ_IN, 4)):
        made.lora(f"unet.{path}", f"unet.{path}", SHAPES[path], rank, suffixes=PEFT)
    made.lora(f"{CLIP}{TEXT_Q}", f"text_encoder.{TEXT_Q}", (32, 32), 4, suffixes=PEFT)


@kept
def sd15_diffusers_metadata(made: Made) -> None:
    """With PEFT's settings in the header: alphas for all, by pattern, and for rank-stabilised LoRA."""
    settings = {
        "unet.r": 4, "unet.lora_alpha": 6, "unet.rank_pattern": {"attn2.to_k": 2}, "unet.use_rslora": False,
        "unet.alpha_pattern": {"attn2.to_k": 5}, "text_encoder.r": 4, "text_encoder.lora_alpha": 3,
        "text_encoder.use_rslora": True,
    }  # fmt: skip
    made.metadata["lora_adapter_metadata"] = json.dumps(settings)
    for path, rank, scale in ((TO_Q, 4, 6 / 4), (TO_K, 2, 5 / 2)):
        made.lora(f"unet.{path}", f"unet.{path}", SHAPES[path], rank, suffixes=PEFT, scale=scale)
    made.lora(f"{CLIP}{TEXT_Q}", f"text_encoder.{TEXT_Q}", (32, 32), 4, suffixes=PEFT, scale=3 / 4**0.5)


@kept
def sd15_diffusers_processor(made: Made) -> None:
    """diffusers before PEFT: the factors belong to the attention's processor."""
    made.dtype = torch.float32
    for path, leaf in ((TO_Q, "to_q"), (TO_K, "to_k"), (TO_OUT, "to_out")):
        attention = path.removesuffix(".0").removesuffix(f".{leaf}")
        name = f"unet.{attention}.processor.{leaf}_lora"
        made.lora(name, f"unet.{path}", SHAPES[path], 4, suffixes=("down.weight", "up.weight"))


@kept
def sd15_diffusers_lora(made: Made) -> None:
    """diffusers in between: `lora` as a module of each layer."""
    for path in (TO_Q, TO_OUT):
        made.lora(f"unet.{path}", f"unet.{path}", SHAPES[path], 4, suffixes=("lora.down.weight", "lora.up.weight"))


@kept
def sd15_diffusers_text(made: Made) -> None:
    """diffusers before PEFT, text encoder."""
    suffixes = ("lora_linear_layer.down.weight", "lora_linear_layer.up.weight")
    made.lora(f"{CLIP}{TEXT_Q}", f"text_encoder.{TEXT_Q}", (32, 32), 4, suffixes=suffixes)
    made.lora(f"{CLIP}{TEXT_FC1}", f"text_encoder.{TEXT_FC1}", (69, 32), 2, suffixes=suffixes)


@kept
def sd15_peft_dora(made: Made) -> None:
    """PEFT's DoRA: lengths with one axis."""
    for path, suffix in ((TO_Q, "lora_magnitude_vector"), (TO_K, "lora_magnitude_vector.weight")):
        delta = made.lora(f"unet.{path}", f"unet.{path}", SHAPES[path], 2, suffixes=PEFT)
        lengths = made.put(f"unet.{path}.{suffix}", 4 + np.abs(made.random.standard_normal(64)))
        made.deltas[f"unet.{path}"] = decomposed(weight_of(SHAPES[path]), delta, lengths)


@kept
def sd15_peft_bias(made: Made) -> None:
    """PEFT with lora_bias: the second factor has a bias, which takes part in the scale."""
    made.metadata["lora_adapter_metadata"] = json.dumps({"unet.r": 4, "unet.lora_alpha": 2, "unet.lora_bias": True})
    made.lora(f"unet.{TO_OUT}", f"unet.{TO_OUT}", SHAPES[TO_OUT], 4, suffixes=PEFT, scale=0.5)
    made.biases[f"unet.{TO_OUT}"] = 0.5 * made.draw(f"unet.{TO_OUT}.lora_B.bias", 64)


@kept
def sd15_peft_adapter_name(made: Made) -> None:
    """A state dict of PEFT's as it is, with the adapter's name in it."""
    made.lora(f"unet.{TO_Q}", f"unet.{TO_Q}", SHAPES[TO_Q], 4, suffixes=ADAPTER)
    made.lora(f"{CLIP}{TEXT_Q}", f"text_encoder.{TEXT_Q}", (32, 32), 4, suffixes=ADAPTER)


@kept
def sd15_comfyui(made: Made) -> None:
    """Original names behind `diffusion_model.`, in both pairs of words."""
    original = "diffusion_model.input_blocks.3.1.transformer_blocks.0"
    made.lora(f"{original}.attn1.to_q", f"unet.{TO_Q}", SHAPES[TO_Q], 4, 2.0)
    made.lora(f"{original}.attn2.to_k", f"unet.{TO_K}", SHAPES[TO_K], 2, suffixes=PEFT)
    made.lora("diffusion_model.input_blocks.1.0.in_layers.2", f"unet.{CONV}", SHAPES[CONV], 2, 1.0)
    made.lora("diffusion_model.input_blocks.2.0.op", f"unet.{DOWN}", SHAPES[DOWN], 2, suffixes=PEFT)
    text = f"text_encoders.clip_l.transformer.text_model.{TEXT_Q}"
    made.lora(text, f"text_encoder.{TEXT_Q}", (32, 32), 4, 2.0)


# Writing

DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def write(made: Made, path: Path) -> None:
    """The safetensors format, with a header in a fixed order, so that a file made again is the same."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(made.metadata.items()))}
    payload = b""
    for key, tensor in sorted(made.tensors.items()):
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[key] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                       "data_offsets": [len(payload), len(payload) + len(data)]}  # fmt: skip
        payload += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + payload)


def main(names: list[str]) -> int:
    from tests.compat.files import nextdit, others, relatives, stable_diffusion, transformers

    assert all(each.FILES is FILES for each in (nextdit, others, relatives, stable_diffusion, transformers))
    expected = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() else {}
    for name, function in FILES.items():
        path = FOLDER / f"{name}.safetensors"
        if path.exists() and name not in names:
            continue
        made = Made(name)
        function(made)
        write(made, path)
        expected[name] = made.expected()
    lines = [f" {json.dumps(name)}: {json.dumps(facts)}" for name, facts in sorted(expected.items())]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    # The same module under its own name, so that both files fill one table.
    from tests.compat.files import make

    sys.exit(make.main(sys.argv[1:]))
