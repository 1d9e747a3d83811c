"""The pictures and their captions."""

from __future__ import annotations

from loratory.config.base import StrictModel, param


class CaptionsConfig(StrictModel):
    """What happens to a caption before it is encoded. Every choice follows from the seed, so a resume repeats it."""

    extensions: tuple[str, ...] = param(
        (".txt", ".caption", ".cap", ".json"),
        min_length=1,
        help="Caption file endings; for each picture the first that exists is used.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("caption_extension",),
        aitoolkit=("datasets.caption_ext",),
        affects_cache=True,
    )
    shuffle: bool = param(
        False,
        help="Put the tags in another order each time.",
        tab="Dataset",
        group="Captions",
        kohya=("shuffle_caption",),
        aitoolkit=("datasets.shuffle_tokens",),
        affects_cache=True,
    )
    keep_tokens: int = param(
        0,
        ge=0,
        le=255,
        help="This many tags at the start stay where they are and are never dropped.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("keep_tokens",),
        affects_cache=True,
    )
    separator: str = param(
        ",",
        min_length=1,
        help="What stands between tags.",
        tab="Dataset",
        group="Captions",
        level="expert",
        kohya=("caption_separator",),
        affects_cache=True,
    )
    prefix: str = param(
        "",
        help="Text put before every caption.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("caption_prefix",),
        affects_cache=True,
    )
    suffix: str = param(
        "",
        help="Text put after every caption.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("caption_suffix",),
        affects_cache=True,
    )
    dropout_rate: float = param(
        0.0,
        ge=0,
        le=1,
        help="Chance that a caption is left empty, which keeps the model's guidance working. 0.05 is usual.",
        tab="Dataset",
        group="Captions",
        kohya=("caption_dropout_rate",),
        aitoolkit=("datasets.caption_dropout_rate",),
        affects_cache=True,
    )
    tag_dropout_rate: float = param(
        0.0,
        ge=0,
        le=1,
        help="Chance for each tag behind the kept ones to be left out.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("caption_tag_dropout_rate",),
        aitoolkit=("datasets.token_dropout_rate",),
        affects_cache=True,
    )
    variants: int = param(
        8,
        ge=1,
        le=256,
        help="How many different texts a picture's caption can become when tags are shuffled or dropped. Each is "
        "encoded once; training with and without the cache uses the same texts.",
        tab="Dataset",
        group="Captions",
        level="expert",
        affects_cache=True,
    )

    def varies(self) -> bool:
        """Can a caption become several texts? (The empty text of caption dropout is none of them.)"""
        return self.shuffle or self.tag_dropout_rate > 0


class AugmentationConfig(StrictModel):
    """Changes to a picture that make a small dataset look larger."""

    flip: bool = param(
        False,
        help="Mirror pictures left to right at random. Not for faces, writing or anything with a side.",
        tab="Dataset",
        group="Augmentation",
        kohya=("flip_aug",),
        aitoolkit=("datasets.flip_x",),
        affects_cache=True,
    )
    random_crop: bool = param(
        False,
        help="Cut the picture at a random place instead of the centre. Latents can then not be cached.",
        tab="Dataset",
        group="Augmentation",
        level="advanced",
        kohya=("random_crop",),
        aitoolkit=("datasets.random_crop",),
    )


class DatasetConfig(StrictModel):
    """One folder of pictures."""

    path: str = param(
        path=True,
        help="A folder of pictures (jpg, jpeg, png, webp, bmp), with captions beside them. Sub-folders are included; "
        "`10_name class` repeats its pictures ten times.",
        tab="Dataset",
        group="Pictures",
        min_length=1,
        owner="job",
        on_resume="forbid",
        kohya=("train_data_dir", "image_dir"),
        aitoolkit=("datasets.folder_path",),
    )
    num_repeats: int = param(
        1,
        ge=1,
        le=10_000,
        help="How often each picture is used in one epoch. Multiplies a folder's own number.",
        tab="Dataset",
        group="Pictures",
        kohya=("num_repeats", "dataset_repeats"),
        aitoolkit=("datasets.num_repeats",),
        on_resume="forbid",
    )
    trigger_word: str = param(
        "",
        help="A word that stands for the new subject or style. It is put in front of captions that lack it and "
        "replaces [trigger] in them.",
        tab="Dataset",
        group="Captions",
        aitoolkit=("trigger_word",),
        affects_cache=True,
    )
    resolutions: tuple[int | tuple[int, int], ...] = param(
        (),
        help="Sizes in pixels at which every picture is used: a number for a square's side, or [width, height]. "
        "Several sizes multiply the pictures. Left out, the one of `batching.buckets`.",
        tab="Dataset",
        group="Pictures",
        level="advanced",
        kohya=("resolution",),
        aitoolkit=("datasets.resolution",),
        on_resume="forbid",
        affects_cache=True,
    )
    captions: CaptionsConfig = param(
        CaptionsConfig(), help="What happens to captions.", tab="Dataset", group="Captions"
    )
    augmentation: AugmentationConfig = param(
        AugmentationConfig(), help="Random changes to pictures.", tab="Dataset", group="Augmentation"
    )
