"""The pictures and their captions."""

from __future__ import annotations

from loratory.config.base import StrictModel, param
from loratory.config.masks import MasksConfig


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
    default: str = param(
        "",
        help="The caption of pictures without a caption file. Left out, the name of a folder such as `10_name class`.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        aitoolkit=("datasets.default_caption",),
        affects_cache=True,
    )
    wildcards: bool = param(
        False,
        help="Take one line of a caption file at random, and one option of each {a|b} in it; {{ and }} stand for "
        "braces. Off, line breaks become spaces.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("enable_wildcard",),
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
    keep_tokens_separator: str = param(
        "",
        help="A mark in captions, for example |||: what stands before it is kept like `keep_tokens`, and what "
        "stands behind a second one, too. Where a caption has it, `keep_tokens` does not count.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        kohya=("keep_tokens_separator",),
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
    secondary_separator: str = param(
        "",
        help="A mark between tags that stay together, for example ;;;. It becomes the separator once tags are "
        "shuffled and dropped.",
        tab="Dataset",
        group="Captions",
        level="expert",
        kohya=("secondary_separator",),
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
    replacements: dict[str, str] = param(
        {},
        help="Texts in captions and what they become, one after the other.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        aitoolkit=("datasets.replacements",),
        affects_cache=True,
    )
    random_triggers: tuple[str, ...] = param(
        (),
        help="Tags of which some are added at random, in another choice each time. They are never dropped alone.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        aitoolkit=("datasets.random_triggers",),
        affects_cache=True,
    )
    random_triggers_max: int = param(
        1,
        ge=1,
        le=255,
        help="How many of the random triggers are added at most. 1: always one; more: between none and so many.",
        tab="Dataset",
        group="Captions",
        level="advanced",
        aitoolkit=("datasets.random_triggers_max",),
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
    dropout_every_n_epochs: int | None = param(
        None,
        ge=1,
        help="In every so many-th epoch all captions are empty.",
        tab="Dataset",
        group="Captions",
        level="expert",
        kohya=("caption_dropout_every_n_epochs",),
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
    token_warmup_steps: float = param(
        0.0,
        ge=0,
        help="Over so many steps more and more tags are used, from the first on; below 1, a fraction of all steps."
        " Tags that are kept count extra. 0: all tags from the start.",
        tab="Dataset",
        group="Captions",
        level="expert",
        kohya=("token_warmup_step",),
        affects_cache=True,
    )
    token_warmup_min: int = param(
        1,
        ge=1,
        le=255,
        help="How many tags a warm-up begins with.",
        tab="Dataset",
        group="Captions",
        level="expert",
        kohya=("token_warmup_min",),
        affects_cache=True,
    )
    variants: int = param(
        8,
        ge=1,
        le=256,
        help="How many different texts a picture's caption can become when something in it is random. Each is "
        "encoded once; training with and without the cache uses the same texts.",
        tab="Dataset",
        group="Captions",
        level="expert",
        affects_cache=True,
    )

    def varies(self) -> bool:
        """Can a caption become several texts? (The empty text of caption dropout is none of them.)"""
        return self.shuffle or self.tag_dropout_rate > 0 or self.wildcards or bool(self.random_triggers)


class AugmentationStep(StrictModel):
    """One change of a picture by the library albumentations."""

    name: str = param(
        help="A class of albumentations, such as RandomBrightnessContrast, Rotate or GaussNoise. Steps that change a "
        "picture's size are refused.",
        tab="Dataset",
        group="Augmentation",
        level="expert",
        min_length=1,
        aitoolkit=("datasets.augmentations.method",),
        affects_cache=True,
    )
    arguments: dict[str, bool | int | float | str | tuple[int | float | str, ...] | None] = param(
        {},
        help="What the class is made with; `p` is the chance that the step happens.",
        tab="Dataset",
        group="Augmentation",
        level="expert",
        aitoolkit=("datasets.augmentations.params",),
        affects_cache=True,
    )


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
        help="Cut the picture at a random place instead of the centre. Little happens where a picture just fits.",
        tab="Dataset",
        group="Augmentation",
        level="advanced",
        kohya=("random_crop",),
        aitoolkit=("datasets.random_crop",),
        affects_cache=True,
    )
    colour: bool = param(
        False,
        help="Change colours a little in a third of the uses: hues by up to 16 degrees, or brightness (gamma 0.95 to "
        "1.05).",
        tab="Dataset",
        group="Augmentation",
        level="advanced",
        kohya=("color_aug",),
        affects_cache=True,
    )
    zoom: float = param(
        1.0,
        ge=1,
        le=4,
        help="Enlarge pictures by a random factor from 1 to this before they are cut. 1: off.",
        tab="Dataset",
        group="Augmentation",
        level="advanced",
        aitoolkit=("datasets.random_scale",),
        affects_cache=True,
    )

    pipeline: tuple[AugmentationStep, ...] = param(
        (),
        help="Further random changes, one after the other, by the library albumentations (pip install "
        "'loratory[augmentation]'). They come last; masks are warped with their pictures.",
        tab="Dataset",
        group="Augmentation",
        level="expert",
        aitoolkit=("datasets.augmentations",),
        affects_cache=True,
    )
    variants: int | None = param(
        8,
        ge=1,
        le=256,
        help="How many different pictures a picture can become by what is random here but mirroring. Each is encoded "
        "once and kept; training with and without the cache uses the same ones. Empty: another one in every use, "
        "which needs `caching.latents` off.",
        tab="Dataset",
        group="Augmentation",
        level="advanced",
        affects_cache=True,
    )

    def varies(self) -> bool:
        """Can a picture become several ones? (Mirroring does not count: both sides are kept.)"""
        return self.random_crop or self.colour or self.zoom > 1 or bool(self.pipeline)


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
    is_regularisation: bool = param(
        False,
        help="These pictures show what the model shall not forget, such as other dogs beside the new one. Their loss "
        "counts `objective.prior_loss_weight` times.",
        tab="Dataset",
        group="Pictures",
        level="advanced",
        kohya=("reg_data_dir", "is_reg"),
        aitoolkit=("datasets.is_reg",),
        on_resume="forbid",
    )
    loss_weight: float = param(
        1.0,
        ge=0,
        le=1000,
        help="How much the loss of these pictures counts.",
        tab="Dataset",
        group="Pictures",
        level="advanced",
        aitoolkit=("datasets.loss_multiplier",),
    )
    diff_output_preservation: bool = param(
        False,
        help="Learn from these pictures only what the bare model makes of them already: a regularisation set that "
        "cannot change how it draws. One more forward pass.",
        tab="Dataset",
        group="Pictures",
        level="advanced",
        kohya=("custom_attributes",),
        aitoolkit=("datasets.prior_reg",),
    )
    trigger_word: str = param(
        "",
        help="A word that stands for the new subject or style. It is put in front of captions that lack it and "
        "replaces [trigger] and [name] in them.",
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
    batch_group: str = param(
        "",
        max_length=100,
        help="Only pictures of datasets with the same text here come together in a batch, as those of one [[datasets]] "
        "in kohya's dataset files. Left out everywhere, all do.",
        tab="Dataset",
        group="Pictures",
        level="expert",
        on_resume="forbid",
    )
    captions: CaptionsConfig = param(
        CaptionsConfig(), help="What happens to captions.", tab="Dataset", group="Captions"
    )
    augmentation: AugmentationConfig = param(
        AugmentationConfig(), help="Random changes to pictures.", tab="Dataset", group="Augmentation"
    )
    masks: MasksConfig = param(
        MasksConfig(), help="Where in the pictures the model learns.", tab="Dataset", group="Masks"
    )
