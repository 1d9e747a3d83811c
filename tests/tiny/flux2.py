"""A Flux.2 dev of some hundred thousand parameters; its language model is thin, but has the layers that are read."""

from pathlib import Path

import torch
from diffusers import Flux2Pipeline

from tests.tiny import _flux2, _parts

LAYOUTS, single_file, scaled = _flux2.LAYOUTS, _flux2.single_file, _flux2.scaled
original_names = _flux2.original_names
WIDTH = 8


def build(folder: Path) -> Path:
    torch.manual_seed(22)
    transformer, vae = _flux2.transformer(3 * WIDTH, guidance=True), _flux2.autoencoder()
    text_encoder = _parts.mistral3_language_model(WIDTH, layers=31)
    _parts.stir(transformer, vae, text_encoder)
    Flux2Pipeline(
        scheduler=_flux2.scheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.chat_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder
