"""Captions: what is read from which file, and how a text is varied."""

import json

import numpy as np
import pytest

from loratory.data.captions import CaptionRules, is_constant, read_caption, vary, with_class
from loratory.data.scan import Item
from loratory.errors import UserError


def item(caption_path, class_tokens=""):
    return Item("a.png", 8, 8, caption_path, 1, 1, 1, class_tokens)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", b"a dog, on grass \n", "a dog, on grass"),
        ("a.txt", b"a dog sits\r\n  on the grass.\n\nIt smiles.", "a dog sits on the grass. It smiles."),
        ("a.caption", b"\xef\xbb\xbfcaf\xc3\xa9", "café"),
        ("a.cap", "犬、草".encode(), "犬、草"),
        ("a.txt", b"", ""),
        ("a.txt", b'{"caption": "not json here"}', '{"caption": "not json here"}'),
        ("a.json", b'"a dog"', "a dog"),
        ("a.json", json.dumps({"caption": "a dog", "tags": ["grass", " sun "]}).encode(), "a dog, grass, sun"),
        ("a.json", json.dumps({"text": "a dog", "tags": "grass, sun"}).encode(), "a dog, grass, sun"),
        ("a.json", json.dumps({"prompt": "a\ndog", "other": 5}).encode(), "a dog"),
        ("a.json", json.dumps({"prompt": "third", "text": "second", "caption": "first"}).encode(), "first"),
        ("a.JSON", json.dumps({"tags": ["x", "", "y"]}).encode(), "x, y"),
    ],
)
def test_reading(tmp_path, name, content, text):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(content)
    assert read_caption(tmp_path, item(f"deep/{name}", "class")) == text


def test_without_a_caption_file_the_class_tokens_are_the_caption(tmp_path):
    assert read_caption(tmp_path, item(None, "ohwx dog")) == "ohwx dog"
    assert read_caption(tmp_path, item(None)) == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "naïve".encode("latin-1"), r"a\.txt is not UTF-8 \(byte 2\).*save it as UTF-8"),
        ("a.txt", b"\xef\xbb\xbfna\xefve", r"byte 5\)"),
        ("a.txt", "dog".encode("utf-16"), r"is UTF-16 \(byte 0\)"),
        ("a.json", b'{\n"caption": }', r"a\.json is not valid JSON \(line 2"),
        ("a.json", b"[1, 2]", "has no caption in it"),
        ("a.json", b'{"title": "x"}', "has no caption in it"),
        ("a.json", b'{"caption": 5}', "something else than texts"),
        ("a.json", b'{"tags": ["a", 5]}', "something else than texts"),
        ("a.json", b'{"tags": null}', "something else than texts"),
    ],
)
def test_unreadable_captions_name_file_and_remedy(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_caption(tmp_path, item(name))


def test_a_caption_that_has_vanished(tmp_path):
    with pytest.raises(UserError, match=r"gone\.txt cannot be read.*scan the dataset again"):
        read_caption(tmp_path, item("gone.txt"))


class NoDraws:
    """In the place of a random generator, where none may be used."""

    def __getattr__(self, name):
        raise AssertionError(f"drew {name}")


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        ({}, "a,  b ,c", "a,  b ,c"),
        ({"keep_tokens": 1}, "a,b", "a,b"),
        ({"prefix": "photo of", "suffix": "outside"}, "a dog", "photo of a dog outside"),
        ({"prefix": "photo", "suffix": "outside"}, "", "photo outside"),
        ({"trigger_word": "ohwx dog"}, "sits, grass", "ohwx dog, sits, grass"),
        ({"trigger_word": "ohwx dog"}, "an OHWX Dog sits", "an OHWX Dog sits"),
        ({"trigger_word": "ohwx"}, "ohwxy sits", "ohwx, ohwxy sits"),
        ({"trigger_word": "ohwx"}, "my_ohwx sits", "ohwx, my_ohwx sits"),
        ({"trigger_word": "ohwx"}, "a (ohwx:1.2)", "a (ohwx:1.2)"),
        ({"trigger_word": "c++"}, "like c++, c", "like c++, c"),
        ({"trigger_word": r"\1"}, "[trigger] dog", r"\1 dog"),
        ({"trigger_word": "ohwx"}, "a [trigger] and [Trigger]", "a ohwx and ohwx"),
        ({"trigger_word": "ohwx", "prefix": "photo of [trigger],"}, "sits", "photo of ohwx, sits"),
        ({"trigger_word": "ohwx", "prefix": "photo of"}, "a dog", "ohwx, photo of a dog"),
        ({"trigger_word": "ohwx"}, "", "ohwx"),
        ({"dropout_rate": 1.0, "shuffle": True, "trigger_word": "ohwx"}, "a, b", ""),
    ],
)
def test_without_chance_nothing_is_drawn(rules, text, expected):
    rules = CaptionRules(**rules)
    assert is_constant(rules)
    assert vary(text, rules, NoDraws()) == expected


@pytest.mark.parametrize("rules", [{"shuffle": True}, {"dropout_rate": 0.1}, {"tag_dropout_rate": 0.1}])
def test_rules_with_chance_are_not_constant(rules):
    assert not is_constant(CaptionRules(**rules))


def many(text, count=400, **rules):
    rules = CaptionRules(**rules)
    return [vary(text, rules, np.random.default_rng(seed)) for seed in range(count)]


def test_shuffle_keeps_the_first_tags_and_all_others():
    texts = [text.split(", ") for text in many("a,b, c ,,d,e", shuffle=True, keep_tokens=2)]
    assert all(tags[:2] == ["a", "b"] and sorted(tags) == list("abcde") for tags in texts)
    orders = [tuple(tags[2:]) for tags in texts]
    assert len(set(orders)) == 6
    # 400 draws of 6 orders: 67 each, with a deviation of 7.5.
    assert min(orders.count(order) for order in set(orders)) > 30


def test_shuffle_without_enough_tags_changes_nothing():
    assert set(many("a, b", count=20, shuffle=True, keep_tokens=5)) == {"a, b"}


def test_the_triggers_tag_never_moves_and_is_never_dropped():
    texts = many("b, c, d", shuffle=True, tag_dropout_rate=0.5, trigger_word="ohwx")
    assert all(text.split(", ")[0] == "ohwx" for text in texts)
    assert any(text == "ohwx" for text in texts)
    in_the_middle = [text.split(", ") for text in many("a, b, an ohwx dog, c", shuffle=True, trigger_word="ohwx")]
    assert all(tags[2] == "an ohwx dog" for tags in in_the_middle)
    assert len({tuple(tags) for tags in in_the_middle}) == 6
    dropped = many("a, b, an ohwx dog, c", tag_dropout_rate=1.0, trigger_word="ohwx")
    assert set(dropped) == {"an ohwx dog"}


def test_keep_tokens_counts_a_trigger_that_was_put_in_front():
    put = many("a, b, c", shuffle=True, keep_tokens=2, trigger_word="ohwx")
    typed = many("ohwx, a, b, c", shuffle=True, keep_tokens=2)
    assert put == typed
    assert all(text.startswith("ohwx, a, ") for text in put)


def test_tag_dropout_has_its_rate_and_spares_kept_tags():
    texts = [text.split(", ") for text in many("a, b, c, d", tag_dropout_rate=0.25, keep_tokens=1)]
    assert all(tags[0] == "a" and tags == sorted(tags) for tags in texts)
    left = sum(len(tags) - 1 for tags in texts) / (3 * len(texts))
    assert abs(left - 0.75) < 0.05  # 1200 draws: deviation 0.0125


def test_caption_dropout_has_its_rate_and_takes_the_trigger_along():
    texts = many("a, b", count=1000, dropout_rate=0.3, trigger_word="ohwx", prefix="p")
    assert set(texts) == {"", "ohwx, p a, b"}
    assert abs(texts.count("") / 1000 - 0.3) < 0.06  # deviation 0.0145


def test_another_separator_splits_but_does_not_join():
    texts = many("a, b; c", shuffle=True, separator=";")
    assert set(texts) == {"a, b, c", "c, a, b"}


def test_the_same_generator_gives_the_same_text():
    rules = {"shuffle": True, "dropout_rate": 0.2, "tag_dropout_rate": 0.2}
    assert many("a, b, c, d, e", **rules) == many("a, b, c, d, e", **rules)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"dropout_rate": 1.5}, "dropout_rate is 1.5"),
        ({"tag_dropout_rate": -0.1}, "tag_dropout_rate is -0.1"),
        ({"dropout_rate": float("nan")}, "between 0 and 1"),
        ({"keep_tokens": -1}, "keep_tokens is -1"),
        ({"separator": ""}, "separator is empty"),
    ],
)
def test_impossible_rules_are_refused(rules, words):
    with pytest.raises(UserError, match=words):
        CaptionRules(**rules)


@pytest.mark.parametrize(
    ("text", "trigger", "found"),
    [
        ("ohwx, sits", "ohwx", "a dog, sits"),
        ("photo of OHWX Dog. ohwx dog!", "ohwx dog", "photo of a dog. a dog!"),
        ("ohwxy sits", "ohwx", "a dog"),  # another word
        ("(c++:1.2)", "c++", "(a dog:1.2)"),
        ("sits", "ohwx", "a dog"),
        ("", "ohwx", "a dog"),
        ("sits", "", "a dog"),
    ],
)
def test_the_class_stands_in_for_the_trigger_word(text, trigger, found):
    assert with_class(text, trigger, "a dog") == found
    assert with_class("ohwx", "ohwx", r"\1") == r"\1", "the class is no pattern"
