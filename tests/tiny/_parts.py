"""Tiny tokenizers, text encoders and autoencoders. Weights come from torch's generator: seed it first."""

import string

import torch
from diffusers import AutoencoderKL
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

CLIP_START, CLIP_END, CLIP_WORDS = 512, 513, 514


def _byte_characters() -> list[str]:
    """The 256 printable characters that stand for bytes in CLIP's vocabulary."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + number) for number in range(len(others))]


def clip_tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """One token per character."""
    characters = _byte_characters()
    words = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77,
                         pad_token=pad)  # fmt: skip


def clip_text_encoder(
    width: int, *, projection: int | None = None, hidden_act: str | None = None, positions: int = 77
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """Three layers; with a projection of the end token if `projection` says how wide."""
    config = CLIPTextConfig(
        vocab_size=CLIP_WORDS,
        hidden_size=width,
        intermediate_size=2 * width + 5,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=positions,
        projection_dim=projection or width,
        bos_token_id=CLIP_START,
        eos_token_id=CLIP_END,
        pad_token_id=CLIP_END,
        hidden_act=hidden_act or ("gelu" if projection else "quick_gelu"),
    )
    return CLIPTextModelWithProjection(config).eval() if projection else CLIPTextModel(config).eval()


CHAT_WORDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def chat_tokenizer() -> Qwen2Tokenizer:
    """One token per byte, and a template of conversations in the manner of Qwen."""
    words = {word: number for number, word in enumerate([*_byte_characters(), *CHAT_WORDS])}
    tokenizer = Qwen2Tokenizer(
        vocab=words, merges=[], additional_special_tokens=list(CHAT_WORDS[1:]), model_max_length=2048
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _language_model(width: int, layers: int) -> dict[str, object]:
    return {
        "vocab_size": 256 + len(CHAT_WORDS),
        "hidden_size": width,
        "intermediate_size": 2 * width - 3,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 2048,
    }


def llama_language_model(width: int, layers: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(**_language_model(width, layers), bos_token_id=None, eos_token_id=None)).eval()


def qwen3_language_model(width: int, layers: int, *, tied: bool = True) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(Qwen3Config(**_language_model(width, layers), tie_word_embeddings=tied)).eval()


def qwen25_vl_language_model(width: int, layers: int = 2, *, tied: bool = False) -> Qwen2_5_VLForConditionalGeneration:
    """With eyes, which no text needs."""
    facts = _language_model(width, layers) | {"num_attention_heads": width // 8, "tie_word_embeddings": tied}
    sections = [2, 1, 1]  # of half a head
    config = Qwen2_5_VLConfig(
        text_config=facts | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections}},
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 12, "num_heads": 2, "out_hidden_size": width,
            "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [0],
        },
        image_token_id=256 + CHAT_WORDS.index("<|image_pad|>"),
        video_token_id=256 + CHAT_WORDS.index("<|video_pad|>"),
        vision_start_token_id=256 + CHAT_WORDS.index("<|endoftext|>"),
        vision_end_token_id=256 + CHAT_WORDS.index("<|endoftext|>"),
        tie_word_embeddings=tied,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def mistral3_language_model(width: int, layers: int) -> Mistral3ForConditionalGeneration:
    """With eyes, which no text needs."""
    config = Mistral3Config(
        text_config=MistralConfig(**_language_model(width, layers)),
        vision_config=PixtralVisionConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28,
            patch_size=14, head_dim=8,
        ),
        image_token_index=256 + CHAT_WORDS.index("<|image_pad|>"),
    )  # fmt: skip
    return Mistral3ForConditionalGeneration(config).eval()


def gemma_tokenizer() -> GemmaTokenizer:
    """One token per printable character; others are several bytes. It pads on the left unless it is told."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    words = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *string.printable.strip()]
    vocab = {word: number for number, word in enumerate(words)}
    return GemmaTokenizer(vocab=vocab, merges=[], model_max_length=2048, add_bos_token=True)


def gemma2_text_encoder(width: int) -> Gemma2Model:
    """Three layers."""
    config = Gemma2Config(
        vocab_size=6 + 256 + len(string.printable.strip()),
        hidden_size=width,
        intermediate_size=2 * width - 3,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        query_pre_attn_scalar=8,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    return Gemma2Model(config).eval()


def t5_tokenizer() -> T5TokenizerFast:
    """One token per printable character."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    characters = [(character, -3.0) for character in string.printable.strip()]
    return T5TokenizerFast(vocab=[*special, *characters], extra_ids=0, model_max_length=512)


def t5_text_encoder(width: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=128,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    return T5EncoderModel(config).eval()


def autoencoder(
    *, latent_channels: int, scale: float, shift: float | None = None, quantised: bool = True
) -> AutoencoderKL:
    """Four levels, so that 8 pixels make one latent, as in the real ones."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=scale,
        shift_factor=shift,
        use_quant_conv=quantised,
        use_post_quant_conv=quantised,
    ).eval()


def stir(*modules: torch.nn.Module) -> None:
    """Make the parameters that start as constants (norms, biases) differ, so that no two can be mixed up."""
    for module in modules:
        for parameter in module.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.data += 0.1 * torch.randn_like(parameter)
