"""Which files of a repository are fetched."""

import pytest

from loratory.hub.selection import select_files, weights_variant

# As such repositories look: a pipeline in three precisions and two other frameworks, with single files at the top.
SDXL = """
    .gitattributes LICENSE.md README.md 01.png model_index.json sd_xl_base_1.0.safetensors
    sd_xl_base_1.0_0.9vae.safetensors
    scheduler/scheduler_config.json
    text_encoder/config.json text_encoder/flax_model.msgpack text_encoder/model.fp16.safetensors
    text_encoder/model.onnx text_encoder/model.safetensors text_encoder/openvino_model.bin
    text_encoder/pytorch_model.bin
    tokenizer/merges.txt tokenizer/special_tokens_map.json tokenizer/vocab.json
    unet/config.json unet/diffusion_pytorch_model.fp16.safetensors unet/diffusion_pytorch_model.safetensors
    unet/diffusion_pytorch_model.ckpt unet/model.onnx
    vae/config.json vae/diffusion_pytorch_model.fp16.safetensors vae/diffusion_pytorch_model.safetensors
    vae_1_0/config.json vae_1_0/diffusion_pytorch_model.safetensors
    vae_decoder/model.onnx vae_decoder/config.json
""".split()
SDXL_COMPONENTS = ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]
FLUX = """
    model_index.json flux1-dev.safetensors ae.safetensors tokenizer_2/spiece.model tokenizer_2/tokenizer.json
    transformer/diffusion_pytorch_model.safetensors.index.json
    transformer/diffusion_pytorch_model-00001-of-00002.safetensors
    transformer/diffusion_pytorch_model-00002-of-00002.safetensors
    transformer/diffusion_pytorch_model.fp16-00001-of-00001.safetensors
""".split()


def weights(paths: list[str]) -> list[str]:
    return [path for path in paths if path.endswith(".safetensors")]


def test_pipeline() -> None:
    assert set(select_files(SDXL, components=SDXL_COMPONENTS)) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


def test_variant() -> None:
    assert weights(select_files(SDXL, components=SDXL_COMPONENTS, variant="fp16")) == [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    assert weights(select_files(SDXL, components=SDXL_COMPONENTS, variant="bf16")) == weights(
        select_files(SDXL, components=SDXL_COMPONENTS)
    )


def test_shards() -> None:
    files = select_files(FLUX, components=["transformer", "tokenizer_2"])
    assert "tokenizer_2/spiece.model" in files
    assert "transformer/diffusion_pytorch_model.safetensors.index.json" in files
    assert weights(files) == [f"transformer/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    assert weights(select_files(FLUX, components=["transformer"], variant="fp16")) == [
        "transformer/diffusion_pytorch_model.fp16-00001-of-00001.safetensors"
    ]


def test_only_another_variant() -> None:
    files = ["model_index.json", "unet/model.fp16.safetensors", "unet/model.bf16.safetensors"]
    assert weights(select_files(files, components=["unet"])) == ["unet/model.bf16.safetensors"]
    assert weights(select_files(files, components=["unet"], variant="fp16")) == ["unet/model.fp16.safetensors"]


def test_no_pipeline() -> None:
    files = ["config.json", "model.safetensors", "model.fp16.safetensors", "pytorch_model.bin", "sub/a.safetensors"]
    assert select_files(files) == ["config.json", "model.safetensors", "sub/a.safetensors"]


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("unet/model.safetensors", None, ("unet/model", "")),
        ("unet/model.fp16-00001-of-00002.safetensors", None, ("unet/model", "fp16")),
        ("unet/model-00001-of-00002.fp16.safetensors", None, ("unet/model", "fp16")),
        ("model.non_ema.safetensors", None, ("model", "non_ema")),
        ("sd_xl_base_1.0.safetensors", None, ("sd_xl_base_1.0", "")),
        ("v1.5/model.safetensors", None, ("v1.5/model", "")),
        ("model.mine.safetensors", None, ("model.mine", "")),
        ("model.mine.safetensors", "mine", ("model", "mine")),
    ],
)
def test_weights_variant(path: str, asked: str | None, expected: tuple[str, str]) -> None:
    assert weights_variant(path, asked) == expected
