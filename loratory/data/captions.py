"""Captions: reading them from their files, and varying them for training, step by step (docs/guide/captions.md)."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from loratory.data.scan import Item
from loratory.errors import UserError

Shown = Callable[[int], int]
"""How many of so many free tags are shown, counted from the first; for warming up."""

_TRIGGER_MARK = re.compile(r"\[(?:trigger|name)\]", re.IGNORECASE)
# Doubled braces stand for themselves; a choice holds no other choice.
_CHOICE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_TEXT_KEYS = ("caption", "text", "prompt")


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """How vary() changes a caption each time it is used.

    shuffle: tags change places. keep_tokens: the first so many tags stay where they are and are never dropped; a
    trigger word that was put in front is the first tag. keep_tokens_separator: where a caption has it, it parts kept
    tags from free ones, and a second one parts those from more kept ones; keep_tokens does not count then. separator:
    what tags are split at; they are joined with ", ". secondary_separator: tags it stands between stay together; it
    becomes the separator at the end. dropout_rate: how often the whole caption becomes empty. tag_dropout_rate: how
    often a single tag is left out. wildcards: one line of the caption is taken, and one option of each {a|b}.
    replacements: texts and what they become, one after the other. trigger_word: replaces "[trigger]" and "[name]"; if
    the caption lacks it, it becomes the first tag; its tag never moves and is never dropped alone. random_triggers: one
    of them is added, or with random_triggers_max above 1 between none and so many different ones; they are shuffled
    with the other tags and never dropped. prefix, suffix: put around the caption with a space.
    """

    shuffle: bool = False
    keep_tokens: int = 0
    separator: str = ","
    dropout_rate: float = 0.0
    tag_dropout_rate: float = 0.0
    trigger_word: str = ""
    prefix: str = ""
    suffix: str = ""
    keep_tokens_separator: str = ""
    secondary_separator: str = ""
    wildcards: bool = False
    replacements: tuple[tuple[str, str], ...] = ()
    random_triggers: tuple[str, ...] = ()
    random_triggers_max: int = 1

    def __post_init__(self) -> None:
        for name in ("dropout_rate", "tag_dropout_rate"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise UserError(f"The caption setting {name} is {rate}; it must lie between 0 and 1.")
        if self.keep_tokens < 0:
            raise UserError(f"The caption setting keep_tokens is {self.keep_tokens}; it must be 0 or more.")
        if not self.separator:
            raise UserError('The caption setting separator is empty; give the sign between tags, such as ",".')
        if any(not old for old, _ in self.replacements):
            raise UserError("A caption replacement has nothing to replace; give the text that is to be found.")


def read_caption(root: Path, item: Item, default: str = "", *, lines: bool = False) -> str:
    """The caption of an item on one line; without a caption file `default` or else its class tokens, which may be "".

    Text files hold the caption itself; line breaks become spaces. JSON files hold a string, or an object with
    "caption", "text" or "prompt" (the first that is there) and/or "tags" (a list or a string), joined with ", ".
    `lines`: each line is a caption of its own (tags belong to all of them); they are returned with line breaks between.
    Raises UserError, which names the file, if it cannot be read, is not UTF-8 or holds something else.
    """
    if item.caption_path is None:
        return default or item.class_tokens
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
    tags: list[str] = []
    if path.suffix.lower() == ".json":
        text, tags = _text_of_json(text, path)
    captions = [line for part in text.splitlines() if (line := part.strip())]
    if not lines or not captions:
        captions = [" ".join(captions)]
    return "\n".join(", ".join(part for part in (caption, *map(_one_line, tags)) if part) for caption in captions)


def is_constant(rules: CaptionRules) -> bool:
    """Whether vary() gives the same text every time, without any random draw."""
    if rules.dropout_rate >= 1:
        return True
    choices = rules.wildcards or bool(rules.random_triggers)
    return not choices and not rules.shuffle and rules.dropout_rate == 0 and rules.tag_dropout_rate == 0


def vary(text: str, rules: CaptionRules, random: np.random.Generator, shown: Shown | None = None) -> str:
    """One variation of a caption.

    Order: dropout (empties all, the trigger word too); one of the lines; prefix and suffix; choices; replacements;
    trigger word; split into tags; warm-up; random triggers; shuffle; tag dropout; join; secondary separator. Draws,
    each only if there is something to draw: one number for dropout, the line, each choice, how many and which random
    triggers, one permutation, one number per tag that may be dropped. If nothing is done to tags, the text keeps its
    own spacing. `shown` says how many of the free tags a warm-up shows; the others are left out before the shuffle.
    """
    if rules.dropout_rate >= 1 or (rules.dropout_rate > 0 and random.random() < rules.dropout_rate):
        return ""
    if rules.wildcards:
        text = _pick(text.splitlines() or [""], random)
    text = " ".join(part for part in (rules.prefix, text, rules.suffix) if part)
    if rules.wildcards:
        text = _CHOICE.sub(lambda match: _chosen(match, random), text)
    for old, new in rules.replacements:
        text = text.replace(old, new)
    text = _with_trigger(text, rules.trigger_word)
    text = _arranged(text, rules, random, shown)
    return text.replace(rules.secondary_separator, rules.separator) if rules.secondary_separator else text


def _pick(options: list[str], random: np.random.Generator) -> str:
    return options[int(random.integers(len(options)))] if len(options) > 1 else options[0]


def _chosen(match: re.Match[str], random: np.random.Generator) -> str:
    """What a choice, or a brace that stands for itself, becomes."""
    options = match[1]
    return match[0][0] if options is None else _pick(options.split("|"), random)


def _random_triggers(rules: CaptionRules, random: np.random.Generator) -> list[str]:
    """As ai-toolkit: one where the maximum is 1, else between none and the maximum; no trigger twice."""
    if not rules.random_triggers:
        return []
    most = min(rules.random_triggers_max, len(rules.random_triggers))
    count = most if rules.random_triggers_max == 1 else int(random.integers(most + 1))
    return [rules.random_triggers[number] for number in random.permutation(len(rules.random_triggers))[:count]]


@dataclass(slots=True)
class _Tag:
    """A tag, and what may happen to it."""

    text: str
    moves: bool
    drops: bool


def _arranged(text: str, rules: CaptionRules, random: np.random.Generator, shown: Shown | None) -> str:
    """All that is done to single tags."""
    added = [_Tag(trigger, moves=True, drops=False) for trigger in _random_triggers(rules, random)]
    marked = bool(rules.keep_tokens_separator) and rules.keep_tokens_separator in text
    if not (rules.shuffle or rules.tag_dropout_rate > 0 or marked or shown is not None):
        return ", ".join(part for part in (text, *(tag.text for tag in added)) if part)
    tags, ending = _split(text, rules, marked)
    if shown is not None:
        free = [tag for tag in tags if tag.drops]
        hidden = {id(tag) for tag in free[shown(len(free)) :]}
        tags = [tag for tag in tags if id(tag) not in hidden]
    tags += added
    if rules.shuffle:
        places = [place for place, tag in enumerate(tags) if tag.moves]
        moved = [tags[places[source]] for source in random.permutation(len(places))]
        for place, tag in zip(places, moved, strict=True):
            tags[place] = tag
    if rules.tag_dropout_rate > 0:
        draws = iter(random.random(sum(tag.drops for tag in tags)))
        tags = [tag for tag in tags if not tag.drops or next(draws) >= rules.tag_dropout_rate]
    return ", ".join(tag.text for tag in (*tags, *ending))


def _split(text: str, rules: CaptionRules, marked: bool) -> tuple[list[_Tag], list[_Tag]]:
    """The tags, and those kept at the end. Where no mark says what is kept, the first `keep_tokens` are."""

    def tags_of(part: str, kept: int) -> list[_Tag]:
        found = [tag for piece in part.split(rules.separator) if (tag := piece.strip())]
        trigger = _phrase(rules.trigger_word) if rules.trigger_word else None
        free = [place >= kept and not (trigger and trigger.search(tag)) for place, tag in enumerate(found)]
        return [_Tag(tag, is_free, is_free) for tag, is_free in zip(found, free, strict=True)]

    if not marked:
        return tags_of(text, rules.keep_tokens), []
    mark = rules.keep_tokens_separator
    start, middle, *rest = text.split(mark, 2)
    # More marks than two say nothing more.
    end = rest[0].replace(mark, rules.separator) if rest else ""
    return tags_of(start, len(start)) + tags_of(middle, 0), tags_of(end, len(end))


def count_free_tags(text: str, rules: CaptionRules, random: np.random.Generator) -> int:
    """How many tags of the variation that `random` gives may be left out while warming up."""
    counts: list[int] = []

    def look(count: int) -> int:
        counts.append(count)
        return count

    vary(text, rules, random, look)
    return counts[0] if counts else 0


def fill_in(text: str, trigger: str) -> str:
    """With the trigger word for "[trigger]" and "[name]"; as it is if there is none."""
    return _TRIGGER_MARK.sub(lambda _: trigger, text) if trigger else text


def has_mark(text: str) -> bool:
    """Does it still hold a mark that a trigger word should have replaced?"""
    return _TRIGGER_MARK.search(text) is not None


def with_class(text: str, trigger: str, class_words: str) -> str:
    """The caption of any member of the class: its words in place of the trigger word; alone where that is missing."""
    if not trigger or not _phrase(trigger).search(text):
        return class_words
    return _phrase(trigger).sub(lambda _: class_words, text)


def tags_in(caption: str, rules: CaptionRules) -> list[str]:
    """The tags as they were written, in every line, whatever separates them; for counting."""
    for mark in (rules.keep_tokens_separator, rules.secondary_separator, "\n"):
        if mark:
            caption = caption.replace(mark, rules.separator)
    return [tag for part in caption.split(rules.separator) if (tag := part.strip())]


def _with_trigger(text: str, trigger: str) -> str:
    if not trigger:
        return text
    text = fill_in(text, trigger)
    if _phrase(trigger).search(text):
        return text
    return f"{trigger}, {text}" if text else trigger


@lru_cache(maxsize=256)
def _phrase(trigger: str) -> re.Pattern[str]:
    """Finds the trigger as whole words, in any letter case."""
    return re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)


def _one_line(text: str) -> str:
    return " ".join(line for part in text.splitlines() if (line := part.strip()))


def _text_of_json(text: str, path: Path) -> tuple[str, list[str]]:
    """The caption and its tags."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"The caption {path} is not valid JSON (line {error.lineno}: {error.msg}); correct it."
        ) from error
    if isinstance(data, str):
        return data, []
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
    return caption, tags
