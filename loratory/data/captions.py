"""Captions: reading them from their files, and varying them for training (shuffle, dropout, trigger word)."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from loratory.data.scan import Item
from loratory.errors import UserError

_TRIGGER_MARK = re.compile(r"\[trigger\]", re.IGNORECASE)
_TEXT_KEYS = ("caption", "text", "prompt")


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """How vary() changes a caption each time it is used.

    shuffle: tags change places. keep_tokens: the first so many tags stay where they are and are never dropped; a
    trigger word that was put in front is the first tag. separator: what tags are split at; they are joined with ", ".
    dropout_rate: how often the whole caption becomes empty. tag_dropout_rate: how often a single tag is left out.
    trigger_word: replaces "[trigger]"; if the caption lacks it, it becomes the first tag; its tag never moves and is
    never dropped alone. prefix, suffix: put around the caption with a space.
    """

    shuffle: bool = False
    keep_tokens: int = 0
    separator: str = ","
    dropout_rate: float = 0.0
    tag_dropout_rate: float = 0.0
    trigger_word: str = ""
    prefix: str = ""
    suffix: str = ""

    def __post_init__(self) -> None:
        for name in ("dropout_rate", "tag_dropout_rate"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise UserError(f"The caption setting {name} is {rate}; it must lie between 0 and 1.")
        if self.keep_tokens < 0:
            raise UserError(f"The caption setting keep_tokens is {self.keep_tokens}; it must be 0 or more.")
        if not self.separator:
            raise UserError('The caption setting separator is empty; give the sign between tags, such as ",".')


def read_caption(root: Path, item: Item) -> str:
    """The caption of an item on one line; without a caption file its class tokens, which may be "".

    Text files hold the caption itself; line breaks become spaces. JSON files hold a string, or an object with
    "caption", "text" or "prompt" (the first that is there) and/or "tags" (a list or a string), joined with ", ".
    Raises UserError, which names the file, if it cannot be read, is not UTF-8 or holds something else.
    """
    if item.caption_path is None:
        return item.class_tokens
    path = root / item.caption_path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"The caption {path} cannot be read: {error.strerror}; scan the dataset again.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "not UTF-8"
        # The decoder counts from behind the byte order mark, where there is one.
        offset = error.start + len(data) - len(error.object)
        raise UserError(
            f"The caption {path} is {kind} (byte {offset}); open it in an editor and save it as UTF-8."
        ) from error
    if path.suffix.lower() == ".json":
        text = _text_of_json(text, path)
    return _one_line(text)


def is_constant(rules: CaptionRules) -> bool:
    """Whether vary() gives the same text every time, without any random draw."""
    if rules.dropout_rate >= 1:
        return True
    return not rules.shuffle and rules.dropout_rate == 0 and rules.tag_dropout_rate == 0


def vary(text: str, rules: CaptionRules, random: np.random.Generator) -> str:
    """One variation of a caption.

    Order: prefix and suffix; trigger word; dropout (empties all, the trigger word too); split into tags; shuffle; tag
    dropout; join. Draws, each only if its rule is on: one number for dropout, one permutation, one number per tag that
    may be dropped. If nothing is drawn for tags, the text keeps its own spacing.
    """
    if rules.dropout_rate >= 1:
        return ""
    text = " ".join(part for part in (rules.prefix, text, rules.suffix) if part)
    text = _with_trigger(text, rules.trigger_word)
    if rules.dropout_rate > 0 and random.random() < rules.dropout_rate:
        return ""
    if not rules.shuffle and rules.tag_dropout_rate == 0:
        return text
    tags = [tag for part in text.split(rules.separator) if (tag := part.strip())]
    free = [
        place
        for place, tag in enumerate(tags)
        if place >= rules.keep_tokens and not (rules.trigger_word and _phrase(rules.trigger_word).search(tag))
    ]
    if rules.shuffle:
        moved = [tags[free[source]] for source in random.permutation(len(free))]
        for place, tag in zip(free, moved, strict=True):
            tags[place] = tag
    if rules.tag_dropout_rate > 0:
        draws = random.random(len(free))
        dropped = {place for place, draw in zip(free, draws, strict=True) if draw < rules.tag_dropout_rate}
        tags = [tag for place, tag in enumerate(tags) if place not in dropped]
    return ", ".join(tags)


def _with_trigger(text: str, trigger: str) -> str:
    if not trigger:
        return text
    text = _TRIGGER_MARK.sub(lambda _: trigger, text)
    if _phrase(trigger).search(text):
        return text
    return f"{trigger}, {text}" if text else trigger


@lru_cache(maxsize=256)
def _phrase(trigger: str) -> re.Pattern[str]:
    """Finds the trigger as whole words, in any letter case."""
    return re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)


def _one_line(text: str) -> str:
    return " ".join(line for part in text.splitlines() if (line := part.strip()))


def _text_of_json(text: str, path: Path) -> str:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"The caption {path} is not valid JSON (line {error.lineno}: {error.msg}); correct it."
        ) from error
    if isinstance(data, str):
        return data
    if not isinstance(data, dict) or not any(key in data for key in (*_TEXT_KEYS, "tags")):
        raise UserError(
            f'The caption {path} has no caption in it; it must be a text, or an object with "caption", "text", '
            '"prompt" or "tags".'
        )
    caption = next((data[key] for key in _TEXT_KEYS if key in data), "")
    tags = data.get("tags", [])
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(caption, str) or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UserError(f"The caption {path} holds something else than texts in its caption or tags; correct it.")
    return ", ".join(part for part in (_one_line(caption), *(_one_line(tag) for tag in tags)) if part)
