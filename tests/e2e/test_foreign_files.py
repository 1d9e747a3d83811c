"""LoRA files from elsewhere that are broken, hostile or for another model: one readable sentence, and nothing written.

And what `model.merge` does with a sound one: it is compared with weights that were merged by hand.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from loratory.runs import read_status
from tests.e2e.jobs import Data, losses, sample_pixels, train

BLOCK = "lora_unet_mid_block_attentions_0_transformer_blocks_0"
NAME = f"{BLOCK}_attn1_to_q"


def pair(name: str, outputs: int = 64, inputs: int = 64, rank: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(len(name))
    return {
        f"{name}.lora_down.weight": torch.randn(rank, inputs, generator=generator),
        f"{name}.lora_up.weight": torch.randn(outputs, rank, generator=generator),
        f"{name}.alpha": torch.tensor(1.0),
    }


def written(folder: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, folder / "foreign.safetensors")
    return folder / "foreign.safetensors"


def sound(folder: Path) -> Path:
    return written(folder, pair(NAME) | pair(f"{BLOCK}_attn2_to_k", 64, 32))


def raw(folder: Path, data: bytes) -> Path:
    (folder / "foreign.safetensors").write_bytes(data)
    return folder / "foreign.safetensors"


def with_header(folder: Path, header: bytes, payload: bytes = b"") -> Path:
    return raw(folder, len(header).to_bytes(8, "little") + header + payload)


def missing_file(folder: Path) -> Path:
    return folder / "foreign.safetensors"


def a_directory(folder: Path) -> Path:
    (folder / "foreign.safetensors").mkdir()
    return folder / "foreign.safetensors"


def an_empty_file(folder: Path) -> Path:
    return raw(folder, b"")


def a_web_page(folder: Path) -> Path:
    return raw(folder, b"<!DOCTYPE html><html><body>Log in to download</body></html>")


def a_pickle(folder: Path) -> Path:
    torch.save(pair(NAME), folder / "foreign.pt")
    return folder / "foreign.pt"


def cut_off(folder: Path) -> Path:
    return raw(folder, sound(folder).read_bytes()[:-100])


def cut_off_in_the_header(folder: Path) -> Path:
    return raw(folder, sound(folder).read_bytes()[:100])


def header_of_exabytes(folder: Path) -> Path:
    return raw(folder, (1 << 62).to_bytes(8, "little") + b"{}")


def header_that_is_no_json(folder: Path) -> Path:
    return with_header(folder, b"{'lora': 1}     ")


def deep_header(folder: Path) -> Path:
    return with_header(folder, b"[" * 200_000)


def entry(*offsets: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": list(offsets)}


def overlapping_tensors(folder: Path) -> Path:
    names = (f"{NAME}.lora_down.weight", f"{NAME}.lora_up.weight")
    header = {names[0]: entry(0, 16), names[1]: entry(8, 24)}
    return with_header(folder, json.dumps(header).encode(), bytes(24))


def a_tensor_of_another_size_than_its_shape(folder: Path) -> Path:
    header = {f"{NAME}.lora_down.weight": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 16]}}
    return with_header(folder, json.dumps(header).encode(), bytes(16))


def for_sdxl(folder: Path) -> Path:
    return written(folder, pair("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 640, 640))


def for_flux(folder: Path) -> Path:
    return written(folder, pair("lora_unet_double_blocks_18_img_attn_qkv", 9216, 3072))


def a_whole_model(folder: Path) -> Path:
    return written(folder, {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3)})


def unknown_layers(folder: Path) -> Path:
    return written(folder, pair(NAME) | pair("lora_unet_nowhere_to_q"))


def unknown_suffixes(folder: Path) -> Path:
    return written(folder, pair(NAME) | {f"{NAME}.magic": torch.ones(4), "bundle_emb.me.clip_l": torch.ones(1, 32)})


def no_tensors(folder: Path) -> Path:
    return written(folder, {})


def rank_zero(folder: Path) -> Path:
    return written(folder, pair(NAME, rank=0))


def not_a_number(folder: Path) -> Path:
    tensors = pair(NAME)
    tensors[f"{NAME}.lora_up.weight"][3, 1] = float("nan")
    return written(folder, tensors)


def infinite_alpha(folder: Path) -> Path:
    return written(folder, pair(NAME) | {f"{NAME}.alpha": torch.tensor(float("inf"))})


def alpha_with_axes(folder: Path) -> Path:
    return written(folder, pair(NAME) | {f"{NAME}.alpha": torch.tensor([1.0, 2.0])})


def alpha_of_zero(folder: Path) -> Path:
    return written(folder, pair(NAME) | {f"{NAME}.alpha": torch.tensor(0.0)})


def half_a_pair(folder: Path) -> Path:
    tensors = pair(NAME)
    del tensors[f"{NAME}.lora_up.weight"]
    return written(folder, tensors)


def another_width(folder: Path) -> Path:
    return written(folder, pair(NAME, 320, 320))


def scalar_factors(folder: Path) -> Path:
    return written(folder, {f"{NAME}.lora_down.weight": torch.tensor(1.0), f"{NAME}.lora_up.weight": torch.tensor(1.0)})


def factors_for_a_norm(folder: Path) -> Path:
    return written(folder, pair(f"{BLOCK}_norm1", 64, 1))


def a_scale_without_a_shift(folder: Path) -> Path:
    return written(folder, {f"{BLOCK}_norm1.w_norm": torch.ones(64)})


def a_bias_that_the_layer_lacks(folder: Path) -> Path:
    return written(folder, {f"{NAME}.diff": torch.ones(64, 64), f"{NAME}.diff_b": torch.ones(64)})


def one_axis_too_few(folder: Path) -> Path:
    return written(folder, {f"{NAME}.lokr_w1": torch.ones(8), f"{NAME}.lokr_w2": torch.ones(8, 8)})


def a_part_of_another_type(folder: Path) -> Path:
    return written(folder, pair(NAME) | {f"{NAME}.hada_w1_a": torch.ones(64, 2)})


def eight_bit_floats(folder: Path) -> Path:
    small = {key: tensor.to(torch.float8_e4m3fn) if tensor.ndim else tensor for key, tensor in pair(NAME).items()}
    return written(folder, small)


def peft(folder: Path, metadata: str) -> Path:
    """In diffusers' layout, with PEFT's settings in the header."""
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up, _ = pair(NAME).values()
    tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(tensors, folder / "foreign.safetensors", metadata={"lora_adapter_metadata": metadata})
    return folder / "foreign.safetensors"


def unreadable_metadata(folder: Path) -> Path:
    return peft(folder, "{")


def a_pattern_that_is_none(folder: Path) -> Path:
    return peft(folder, json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"(": 2}}))


def an_alpha_that_is_a_text(folder: Path) -> Path:
    return peft(folder, json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"to_q": "much"}}))


def one_layer_under_two_names(folder: Path) -> Path:
    other = "unet." + NAME.removeprefix("lora_unet_").replace(
        "mid_block_attentions_0_transformer_blocks_0_attn1_", "mid_block.attentions.0.transformer_blocks.0.attn1."
    )
    return written(folder, pair(NAME) | pair(other))


# What is said of each. The first that are listed are also given to a training.
Make = Callable[[Path], Path]
UNUSABLE = "is not a usable .safetensors file"
TRAINED: dict[Make, list[str]] = {
    for_sdxl: ["this LoRA is for Stable Diffusion XL, the model is Stable Diffusion 1.5"],
    cut_off: [UNUSABLE, "100 of 1,800 bytes are missing"],
    header_of_exabytes: [UNUSABLE, "its first bytes are no header"],
    header_that_is_no_json: [UNUSABLE, "its header is not JSON"],
    overlapping_tensors: [UNUSABLE, "its tensors overlap or leave gaps"],
    a_pickle: ["is a pickle, which can carry code", "model.allow_pickle"],
    a_directory: ["is not a file", "give a LoRA file that ends in .safetensors"],
    an_empty_file: [UNUSABLE],
    unknown_layers: ["3 of 6 tensors", "lora_unet_nowhere_to_q.lora_up.weight", "model lacks", "--allow-unknown"],
    rank_zero: [NAME, "do not fit the model's weight (64, 64)"],
    not_a_number: [NAME, "it contains NaN or infinity"],
    half_a_pair: [NAME, "a part is missing"],
    another_width: [NAME, "down (2, 320), up (320, 2) do not fit the model's weight (64, 64)"],
}
SHOWS_LATE = (rank_zero, not_a_number, half_a_pair, another_width)
"""What a file's names do not tell."""
CONVERTED: dict[Make, list[str]] = TRAINED | {
    a_pickle: [UNUSABLE, "it is a pickle of PyTorch"],
    missing_file: ["is not a file", "give a LoRA file that ends in .safetensors"],
    a_web_page: [UNUSABLE, "it is a web page"],
    cut_off_in_the_header: [UNUSABLE, "it is cut off inside its header"],
    deep_header: [UNUSABLE, "its header is not JSON"],
    a_tensor_of_another_size_than_its_shape: [UNUSABLE, "does not fit its shape"],
    for_flux: ["this LoRA is for ", "Flux.1", ", the model is Stable Diffusion 1.5"],
    a_whole_model: ["none of the key names of a LoRA", "input_blocks.0.0.weight"],
    unknown_suffixes: ["2 of 5 tensors", f"{NAME}.magic", "bundle_emb.me.clip_l"],
    no_tensors: ["it is empty"],
    infinite_alpha: [NAME, "it contains NaN or infinity"],
    unreadable_metadata: ["its lora_adapter_metadata is not readable"],
    alpha_with_axes: [NAME],
    scalar_factors: [NAME],
    one_axis_too_few: [NAME],
    factors_for_a_norm: [f"{BLOCK}_norm1"],
    a_pattern_that_is_none: ["lora_adapter_metadata"],
    an_alpha_that_is_a_text: ["lora_adapter_metadata"],
    a_part_of_another_type: [NAME, "hada_w1_a"],
    one_layer_under_two_names: ["there under another name, too"],
}
ADVICE = {
    for_sdxl, for_flux, header_of_exabytes, header_that_is_no_json, deep_header, overlapping_tensors, a_pickle,
    an_empty_file, a_tensor_of_another_size_than_its_shape, unknown_layers, unknown_suffixes, rank_zero, not_a_number,
    infinite_alpha, half_a_pair, another_width,
}  # fmt: skip
ADVICE = re.compile(
    r"\b(download|fetch|give|get|remove|set|use|say|choose|convert|train)\b|--allow-unknown", re.IGNORECASE
)


def cases(table: dict[Make, list[str]]) -> list[Any]:
    return [pytest.param(make, words, id=make.__name__) for make, words in table.items()]


@pytest.fixture
def convert(loratory: Callable[..., Any], tiny_model: Callable[[str], Path]) -> Callable[..., Any]:
    """`convert(source, target, …)` for the tiny model, to ComfyUI's layout."""

    def run(source: Path, target: Path, *options: str) -> Any:
        return loratory("convert", "lora", source, target, "--to", "comfyui", "--model", tiny_model("sd15"), *options)

    return run


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "home" not in path.parts}


@pytest.mark.parametrize(("make", "words"), cases(CONVERTED))
def test_convert_refuses(make: Make, words: list[str], tmp_path: Path, convert: Callable[..., Any]) -> None:
    source = make(tmp_path)
    before = files_in(tmp_path)
    said = convert(source, tmp_path / "target.safetensors")
    assert said.code == 1, said.text
    for word in (source.name, *words):
        assert word in said.error
    assert said.text.strip() == said.error, "one sentence, and nothing else"
    assert len(said.error) < 600
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("make", CONVERTED, ids=lambda make: make.__name__)
def test_the_sentence_says_what_to_do(make: Make, tmp_path: Path, convert: Callable[..., Any]) -> None:
    source = make(tmp_path)
    error = convert(source, tmp_path / "target.safetensors").error
    assert ADVICE.search(error.replace(str(source), "").replace(NAME, "")), error


WAYS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "start_from": lambda path: {"network.start_from": str(path)},
    "merge": lambda path: {"model.merge": [{"path": str(path), "strength": 0.5}]},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("make", "words"), cases(TRAINED))
def test_training_refuses(
    make: Make, words: list[str], way: str, tmp_path: Path, make_job: Callable[..., Data],
    job_file: Callable[[Data], Path], loratory: Callable[..., Any],
) -> None:  # fmt: skip
    """The run says why it failed, and there is no LoRA in it that somebody could take for the result."""
    source = make(tmp_path)
    said = loratory("train", job_file(make_job("sd15", WAYS[way](source))))
    assert said.code == 1, said.text
    for word in (source.name, *words):
        assert word in said.error
    assert len(said.error) < 600
    run = tmp_path / "out" / "run"
    if make not in SHOWS_LATE:
        assert not run.exists(), "the header tells, before a run is begun"
        return
    assert [path for path in files_in(run) if path.suffix == ".safetensors"] == []
    status = read_status(run)
    assert (status.state, status.message) == ("failed", said.error.removeprefix("Error: "))


def test_the_sentence_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed on stdout may be read by a program."""
    from loratory.cli import app

    arguments = ["convert", "lora", str(cut_off(tmp_path)), str(tmp_path / "target.safetensors"), "--to", "kohya"]
    assert app(arguments, standalone_mode=False) == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ") and "foreign.safetensors" in printed.err


@pytest.mark.slow
@pytest.mark.parametrize("make", [alpha_of_zero, a_bias_that_the_layer_lacks])
def test_a_misfit_that_shows_late_names_the_file(
    make: Make, tmp_path: Path, make_job: Callable[..., Data], job_file: Callable[[Data], Path],
    loratory: Callable[..., Any],
) -> None:  # fmt: skip
    """Several files may be merged: which of them is it? The sentence is not one of Python's, either."""
    said = loratory("train", job_file(make_job("sd15", WAYS["merge"](make(tmp_path)))))
    assert said.code == 1, said.text
    assert "foreign.safetensors" in said.error
    assert not re.match(r"Error: \w+Error:", said.error)


@pytest.mark.parametrize("make", [eight_bit_floats, a_scale_without_a_shift])
def test_what_is_unusual_is_read(make: Make, tmp_path: Path, convert: Callable[..., Any]) -> None:
    source, target = make(tmp_path), tmp_path / "target.safetensors"
    said = convert(source, target)
    assert said.code == 0, said.text
    before, after = load_file(source), load_file(target)
    for suffix, tensor in ((key.split(".", 1)[1], tensor) for key, tensor in before.items()):
        (found,) = (each for key, each in after.items() if key.endswith(suffix))
        assert torch.equal(found.float(), tensor.float())


# Unknown tensors that somebody knows of


@pytest.mark.parametrize(("make", "left"), [(unknown_layers, 3), (unknown_suffixes, 2)])
def test_unknown_tensors_are_left_out_when_that_is_wanted(
    make: Make, left: int, tmp_path: Path, convert: Callable[..., Any]
) -> None:
    target = tmp_path / "target.safetensors"
    said = convert(make(tmp_path), target, "--allow-unknown")
    assert said.code == 0, said.text
    assert f"1 layers of Stable Diffusion 1.5 in comfyui's layout. {left} unknown tensors were left out." in said.text
    layer = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"
    known = {key.replace(NAME, layer): tensor for key, tensor in pair(NAME).items()}
    found = load_file(target)
    assert found.keys() == known.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in known.items())


@pytest.mark.parametrize("make", [half_a_pair, not_a_number, cut_off, a_whole_model])
def test_what_is_broken_stays_refused(make: Make, tmp_path: Path, convert: Callable[..., Any]) -> None:
    said = convert(make(tmp_path), tmp_path / "target.safetensors", "--allow-unknown")
    assert said.code == 1 and "foreign.safetensors" in said.error
    assert not (tmp_path / "target.safetensors").exists()


# A sound one


STRENGTH = 0.5


def change(tensors: dict[str, Tensor], name: str) -> Tensor:
    """The published formula: alpha / rank · up · down."""
    down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
    return float(tensors[f"{name}.alpha"]) / down.shape[0] * up.double() @ down.double()


def merged_by_hand(model: Path, folder: Path, tensors: dict[str, Tensor]) -> Path:
    """A copy of the model's folder whose weights have half the LoRA in them. Text encoders' names lack `lora_te_`."""
    shutil.copytree(model, folder)
    layers = {key.removesuffix(".alpha") for key in tensors if key.endswith(".alpha")}
    for component, prefixes in {"unet": ("lora_unet",), "text_encoder": ("lora_te", "lora_te_text_model")}.items():
        (path,) = (folder / component).glob("*.safetensors")
        weights = load_file(path)
        for key in weights:
            names = {f"{prefix}_{key.removesuffix('.weight').replace('.', '_')}" for prefix in prefixes}
            for name in names & layers:
                weights[key] = (weights[key].double() + STRENGTH * change(tensors, name)).float()
                layers.remove(name)
        save_file(weights, path, metadata={"format": "pt"})
    assert layers == set(), "every layer found its weight"
    return folder


@pytest.mark.slow
def test_a_merged_lora_trains_as_weights_merged_by_hand(
    tmp_path: Path, make_job: Callable[..., Data], tiny_model: Callable[[str], Path]
) -> None:
    """Before the first update a fresh LoRA changes nothing: the losses and a sample are those of the base model."""
    tensors = pair(NAME) | pair(f"{BLOCK}_attn2_to_k", 64, 32)
    tensors |= pair("lora_te_text_model_encoder_layers_0_mlp_fc1", 69, 32)
    source = written(tmp_path, tensors)
    hand = merged_by_hand(tiny_model("sd15"), tmp_path / "hand", tensors)
    prompts = {"prompts": ["a photo --w 32 --h 32 --s 2 --d 3"], "before_first_step": True, "every_n_steps": None}
    wanted = {"duration.steps": 1, "sampling": prompts}
    plain = train(make_job("sd15", wanted, output="plain"))
    merged = train(make_job("sd15", wanted | WAYS["merge"](source), output="merged"))
    by_hand = train(make_job("sd15", wanted | {"model.path": str(hand)}, output="hand"))
    assert losses(merged) == pytest.approx(losses(by_hand), rel=1e-5)
    assert abs(losses(merged)[0] / losses(plain)[0] - 1) > 1e-3, "the LoRA does something"
    first, second, third = (np.frombuffer(b"".join(sample_pixels(run).values()), np.uint8).astype(int)
                            for run in (merged, by_hand, plain))  # fmt: skip
    assert len(first) and np.abs(first - second).max() <= 1
    assert np.abs(first - third).max() > 1


@pytest.mark.slow
def test_a_merge_at_half_strength_is_a_start_from_half_the_lora(tmp_path: Path, make_job: Callable[..., Data]) -> None:
    tensors = pair(NAME) | pair(f"{BLOCK}_attn2_to_k", 64, 32)
    source = written(tmp_path, tensors)
    half = tmp_path / "half.safetensors"
    save_file({key: tensor * STRENGTH if key.endswith(".alpha") else tensor for key, tensor in tensors.items()}, half)
    steps = {"duration.steps": 1}
    merged = train(make_job("sd15", steps | WAYS["merge"](source), output="merged"))
    started = train(make_job("sd15", steps | WAYS["start_from"](half), output="started"))
    assert losses(started) == pytest.approx(losses(merged), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strengths", [(0.0,), (0.75, -0.75)])
def test_merges_that_cancel_change_nothing(
    strengths: tuple[float, ...], tmp_path: Path, make_job: Callable[..., Data]
) -> None:
    source = str(sound(tmp_path))
    merges = [{"path": source, "strength": strength} for strength in strengths]
    plain = train(make_job("sd15", {"duration.steps": 1}, output="plain"))
    merged = train(make_job("sd15", {"duration.steps": 1, "model.merge": merges}, output="merged"))
    assert losses(merged) == pytest.approx(losses(plain), rel=1e-5)
