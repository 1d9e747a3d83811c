"""Keeping encoded pictures and captions: sd-scripts can do it only where nothing about them is random."""

from __future__ import annotations

from loratory.config.dataset import DatasetConfig
from loratory.config.targets import trained_text_encoders
from loratory.interop.kohya.writing.sheet import Sheet


def write_caching(sheet: Sheet) -> None:
    caching, datasets = sheet.config.caching, sheet.config.datasets
    changing = any(each.augmentation.random_crop or each.augmentation.colour for each in datasets)
    sheet.done(("caching.latents", "caching.text_embeddings"))
    if caching.latents != "off" and not changing:
        sheet.say("caching.latents", cache_latents=True, cache_latents_to_disk=caching.latents == "disk" or None)
    elif caching.latents != "off":
        sheet.remark("caching.latents", "sd-scripts keeps no pictures that are cropped or coloured at random.")
    sheet.say("caching.batch_size", vae_batch_size=caching.batch_size)
    if sheet.has("text_encoder_batch_size"):
        sheet.arguments["text_encoder_batch_size"] = caching.batch_size
    trained = bool(trained_text_encoders(sheet.spec, sheet.config.network))
    if caching.text_embeddings == "off" or trained:
        return
    if not sheet.has("cache_text_encoder_outputs"):
        if sheet.config.caching.text_embeddings == "memory":
            sheet.remark("caching.text_embeddings", f"{sheet.script.name} encodes captions in every step.")
    elif all(map(_is_plain, datasets)):
        to_disk = caching.text_embeddings == "disk" or None
        sheet.say(
            "caching.text_embeddings", cache_text_encoder_outputs=True, cache_text_encoder_outputs_to_disk=to_disk
        )
    else:
        sheet.remark(
            "caching.text_embeddings",
            "sd-scripts keeps captions only as they stand in their files; it encodes these in every step.",
        )


def _is_plain(dataset: DatasetConfig) -> bool:
    """Is a caption what its file says, every time? What is not, its cache refuses or forgets."""
    captions = dataset.captions
    return not (
        captions.shuffle
        or captions.dropout_rate
        or captions.dropout_every_n_epochs
        or captions.tag_dropout_rate
        or captions.token_warmup_steps
        or captions.wildcards
        or captions.prefix
        or captions.suffix
        or captions.secondary_separator
        or dataset.trigger_word
    )
