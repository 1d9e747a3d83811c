"""Every step that a caption goes through, and their order, against results worked out by hand."""

from collections import Counter

import numpy as np
import pytest

from loratory.data.captions import CaptionRules, count_free_tags, is_constant, read_caption, tags_in, vary
from loratory.data.scan import Item
from loratory.errors import UserError


class Scripted:
    """In the place of a random generator: gives what it is told, and notes what it was asked."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)
        self.asked = []

    def _next(self, asked):
        self.asked.append(asked)
        assert self.numbers, f"draws more than expected: {self.asked}"
        return self.numbers.pop(0)

    def random(self, size=None):
        return self._next("number" if size is None else f"{size} numbers")

    def integers(self, high):
        return self._next(f"below {high}")

    def permutation(self, size):
        return self._next(f"order of {size}")


# what it is, rules, caption, what is drawn (asked for, given), what becomes of it
STEPS = [
    # 1: dropout empties all, the trigger word too
    ("dropped", {"dropout_rate": 0.3, "prefix": "p", "trigger_word": "ohwx"}, "a", [("number", 0.29)], ""),
    ("not dropped", {"dropout_rate": 0.3}, "a", [("number", 0.3)], "a"),
    # 2: one of the lines
    ("second line", {"wildcards": True}, "a, b\nc\nd", [("below 3", 1)], "c"),
    ("one line", {"wildcards": True}, "a, b", [], "a, b"),
    ("no line", {"wildcards": True}, "", [], ""),
    # 3: prefix and suffix around whichever line it is
    ("around a line", {"wildcards": True, "prefix": "p,", "suffix": "s"}, "a\nb", [("below 2", 1)], "p, b s"),
    # 4: choices
    ("first choice", {"wildcards": True}, "a {red|blue} dog", [("below 2", 0)], "a red dog"),
    ("two choices", {"wildcards": True}, "{a|b} {c|d|e}", [("below 2", 1), ("below 3", 2)], "b e"),
    ("of one", {"wildcards": True}, "a {red} dog", [], "a red dog"),
    ("of nothing or something", {"wildcards": True}, "a{| red} dog", [("below 2", 0)], "a dog"),
    ("doubled braces", {"wildcards": True}, "{{a|b}} {c|d}", [("below 2", 0)], "{a|b} c"),
    ("off", {}, "{a|b} {{c}}", [], "{a|b} {{c}}"),
    ("choice in the prefix", {"wildcards": True, "prefix": "{x|y}"}, "a", [("below 2", 1)], "y a"),
    # 5: replacements, one after the other
    ("replaced", {"replacements": (("dog", "cat"), ("cat", "bird"))}, "a dog, a cat", [], "a bird, a bird"),
    ("behind choices", {"wildcards": True, "replacements": (("red", "blue"),)}, "{red|x}", [("below 2", 0)], "blue"),
    # 6: the trigger word
    ("[trigger]", {"trigger_word": "ohwx"}, "a [trigger] dog", [], "a ohwx dog"),
    ("[name]", {"trigger_word": "ohwx"}, "[Name] sits, [trigger]", [], "ohwx sits, ohwx"),
    ("replaced by it", {"trigger_word": "ohwx", "replacements": (("dog", "[trigger]"),)}, "a dog", [], "a ohwx"),
    ("put in front", {"trigger_word": "ohwx", "prefix": "p"}, "a", [], "ohwx, p a"),
    # 7: marks of kept tags go, whatever else is on
    ("marks alone", {"keep_tokens_separator": "|||"}, "a, b ||| c,d ||| e", [], "a, b, c, d, e"),
    ("no mark", {"keep_tokens_separator": "|||"}, "a,b", [], "a,b"),
    ("shuffled between", {"keep_tokens_separator": "|||", "shuffle": True}, "a, b ||| c, d, e ||| f, g",
     [("order of 3", [2, 0, 1])], "a, b, e, c, d, f, g"),
    ("keep_tokens does not count", {"keep_tokens_separator": "|||", "keep_tokens": 2, "shuffle": True},
     "a ||| b, c", [("order of 2", [1, 0])], "a, c, b"),
    ("keep_tokens counts", {"keep_tokens_separator": "|||", "keep_tokens": 1, "shuffle": True}, "a, b, c",
     [("order of 2", [1, 0])], "a, c, b"),
    ("marks without tags", {"keep_tokens_separator": "|||"}, "||| a, , |||", [], "a"),
    ("a third mark", {"keep_tokens_separator": "|||"}, "a ||| b ||| c ||| d", [], "a, b, c, d"),
    # 8: random triggers
    ("one", {"random_triggers": ("x", "y", "z")}, "a,b", [("order of 3", [2, 0, 1])], "a,b, z"),
    ("none", {"random_triggers": ("x", "y"), "random_triggers_max": 2}, "a", [("below 3", 0), ("order of 2", [1, 0])],
     "a"),
    ("all there are", {"random_triggers": ("x", "y"), "random_triggers_max": 9}, "a",
     [("below 3", 2), ("order of 2", [1, 0])], "a, y, x"),
    ("before the kept end", {"random_triggers": ("x",), "keep_tokens_separator": "|"}, "a | b | c",
     [("order of 1", [0])], "a, b, x, c"),
    ("to an empty caption", {"random_triggers": ("x",)}, "", [("order of 1", [0])], "x"),
    # 9: shuffle
    ("shuffled", {"shuffle": True, "keep_tokens": 1}, "a, b, c, d", [("order of 3", [2, 0, 1])], "a, d, b, c"),
    ("with random triggers", {"shuffle": True, "random_triggers": ("x",), "keep_tokens": 1}, "a, b",
     [("order of 1", [0]), ("order of 2", [1, 0])], "a, x, b"),
    # 10: tag dropout, behind the shuffle, spares kept tags and random triggers
    ("tags dropped", {"tag_dropout_rate": 0.5, "keep_tokens": 1}, "a, b, c, d", [("3 numbers", [0.4, 0.5, 0.1])],
     "a, c"),
    ("after the shuffle", {"tag_dropout_rate": 0.5, "shuffle": True}, "a, b, c",
     [("order of 3", [1, 2, 0]), ("3 numbers", [0.1, 0.9, 0.9])], "c, a"),
    ("random triggers stay", {"tag_dropout_rate": 0.5, "random_triggers": ("x",)}, "a",
     [("order of 1", [0]), ("1 numbers", [0.1])], "x"),
    ("kept by marks", {"tag_dropout_rate": 0.5, "keep_tokens_separator": "|"}, "a | b | c",
     [("1 numbers", [0.1])], "a, c"),
    # 11: the secondary separator
    ("tags together", {"secondary_separator": ";;;", "shuffle": True}, "a;;;b, c", [("order of 2", [1, 0])], "c, a,b"),
    ("dropped together", {"secondary_separator": ";;;", "tag_dropout_rate": 0.5}, "a;;;b, c",
     [("2 numbers", [0.1, 0.9])], "c"),
    ("without anything else", {"secondary_separator": ";;;"}, "a;;; b", [], "a, b"),
    ("of another separator", {"secondary_separator": "+", "separator": ";", "shuffle": True}, "a+b; c",
     [("order of 2", [0, 1])], "a;b, c"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "caption", "draws", "expected"), [step[1:] for step in STEPS],
                         ids=[step[0] for step in STEPS])  # fmt: skip
def test_a_step(rules, caption, draws, expected):
    random = Scripted(*(given for _, given in draws))
    assert vary(caption, CaptionRules(**rules), random) == expected
    assert random.asked == [asked for asked, _ in draws]
    assert not random.numbers


EVERYTHING = {
    "dropout_rate": 0.5, "wildcards": True, "prefix": "photo of", "suffix": "| end", "trigger_word": "ohwx",
    "replacements": (("hound", "dog"),), "keep_tokens_separator": "|", "random_triggers": ("x", "y", "z"),
    "random_triggers_max": 2, "shuffle": True, "tag_dropout_rate": 0.2, "secondary_separator": ";",
}  # fmt: skip


def test_everything_in_its_order():
    """not dropped; "[name] …" is the line; green; hound becomes dog; warm-up shows 3 of 4 free tags; y is added;
    shuffled; of the three free tags in their new order the second goes."""
    caption = "unused\n[name], a {red|green} hound | c;d, e, f, g"
    random = Scripted(0.5, 1, 1, 1, [1, 0, 2], [3, 2, 0, 1], [0.2, 0.1, 0.9])
    shown = []

    def three(count):
        shown.append(count)
        return 3

    text = vary(caption, CaptionRules(**EVERYTHING), random, three)
    assert random.asked == ["number", "below 2", "below 2", "below 3", "order of 3", "order of 4", "3 numbers"]
    assert shown == [4]
    # In words: free tags c;d, e, f and y in the order y, f, c;d, e; 0.2 keeps f, 0.1 drops c;d, 0.9 keeps e.
    assert text == "photo of ohwx, a green dog, y, f, e, end"


@pytest.mark.parametrize(
    ("shown", "rules", "expected"),
    [
        (1, {}, "a"),
        (2, {}, "a, b"),
        (4, {}, "a, b, c, d"),
        (1, {"keep_tokens": 2}, "a, b, c"),
        (1, {"trigger_word": "d"}, "a, d"),
        (0, {"keep_tokens": 1}, "a"),
    ],
)
def test_warming_up_shows_the_first_free_tags(shown, rules, expected):
    assert vary("a, b, c, d", CaptionRules(**rules), Scripted(), lambda count: shown) == expected


def test_hidden_tags_are_gone_before_the_shuffle():
    texts = {
        vary("a, b, c, d", CaptionRules(shuffle=True), np.random.default_rng(seed), lambda count: 2)
        for seed in range(50)
    }
    assert texts == {"a, b", "b, a"}


def test_free_tags_are_counted():
    rules = CaptionRules(keep_tokens=1, wildcards=True, random_triggers=("x",))
    assert count_free_tags("a, b, c", rules, Scripted([0])) == 2
    assert count_free_tags("a\na, b, c, d", rules, Scripted(1, [0])) == 3
    assert count_free_tags("", rules, Scripted([0])) == 0
    assert count_free_tags("a", CaptionRules(dropout_rate=1.0), Scripted()) == 0


@pytest.mark.parametrize("rules", [{"wildcards": True}, {"random_triggers": ("x",)}])
def test_choices_are_not_constant(rules):
    assert not is_constant(CaptionRules(**rules))


def many(caption, count=3000, **rules):
    return Counter(vary(caption, CaptionRules(**rules), np.random.default_rng(seed)) for seed in range(count))


def test_lines_and_choices_come_equally_often():
    found = many("a\nb\n{c|d}", wildcards=True)
    assert set(found) == {"a", "b", "c", "d"}
    for text, share in {"a": 1 / 3, "b": 1 / 3, "c": 1 / 6, "d": 1 / 6}.items():
        assert abs(found[text] / 3000 - share) < 0.045, text  # five deviations


def test_random_triggers_come_equally_often_and_never_twice():
    found = many("a", random_triggers=("x", "y", "z"), random_triggers_max=2)
    assert all(len(set(text.split(", "))) == len(text.split(", ")) for text in found)
    counts = Counter(len(text.split(", ")) - 1 for text in found.elements())
    assert all(abs(counts[number] / 3000 - 1 / 3) < 0.045 for number in range(3))
    for trigger in "xyz":  # one in three of one, two in three of two
        assert abs(sum(n for text, n in found.items() if trigger in text) / 3000 - 1 / 3) < 0.045
    assert set(many("a", 60, random_triggers=("x", "y"))) == {"a, x", "a, y"}


def test_an_empty_text_cannot_be_replaced():
    with pytest.raises(UserError, match="nothing to replace"):
        CaptionRules(replacements=(("", "a"),))


# Reading


def item(caption_path, class_tokens=""):
    return Item("a.png", 8, 8, caption_path, 1, 1, 1, class_tokens)


@pytest.mark.parametrize(
    ("name", "content", "lines", "line"),
    [
        ("a.txt", "a dog\r\n\n  a cat \n", "a dog\na cat", "a dog a cat"),
        ("a.txt", "", "", ""),
        ("a.json", '"a\\nb"', "a\nb", "a b"),
        ("a.json", '{"caption": "a\\nb", "tags": ["c", "d"]}', "a, c, d\nb, c, d", "a b, c, d"),
        ("a.json", '{"tags": ["c", "d"]}', "c, d", "c, d"),
    ],
)
def test_lines_are_captions_of_their_own_where_asked_for(tmp_path, name, content, lines, line):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_caption(tmp_path, item(name), lines=True) == lines
    assert read_caption(tmp_path, item(name)) == line


def test_the_default_caption_stands_for_a_missing_file_only(tmp_path):
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    assert read_caption(tmp_path, item("a.txt", "class"), "default") == ""
    assert read_caption(tmp_path, item(None, "class"), "default") == "default"
    assert read_caption(tmp_path, item(None, "class")) == "class"


def test_tags_are_counted_whatever_separates_them():
    rules = CaptionRules(keep_tokens_separator="|||", secondary_separator=";;;")
    assert tags_in("a ||| b;;;c, d\ne ,", rules) == ["a", "b", "c", "d", "e"]
