"""kohya's prompt lines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from loratory.data.prompts import REFUSED, Prompt, parse_prompt, parse_prompts
from loratory.errors import UserError
from loratory.interop.prompt_files import read_prompts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a dog", Prompt("a dog")),
        ("  a dog  ", Prompt("a dog")),
        ("", Prompt("")),
        ("a dog --n blurry, low quality", Prompt("a dog", negative="blurry, low quality")),
        (
            "a dog --n bad --w 768 --h 512 --d 7 --l 7.5 --s 30 --g 3.5",
            Prompt("a dog", "bad", 768, 512, 7, 7.5, 30, 3.5),
        ),
        # Any order, any case; tabs and several spaces.
        ("a dog --s 30 --D 7 --H 512 --N bad --W 768", Prompt("a dog", "bad", 768, 512, 7, steps=30)),
        ("a dog\t--w\t64   --h   128", Prompt("a dog", width=64, height=128)),
        # The last one counts.
        ("a dog --w 64 --w 128 --n one --n two", Prompt("a dog", "two", 128)),
        # Nothing before the options, and an empty value.
        ("--w 64 --h 64", Prompt("", width=64, height=64)),
        ("a dog --n --w 64", Prompt("a dog", "", 64)),
        ("a dog --n", Prompt("a dog", "")),
        # kohya's and ai-toolkit's other options.
        ("a dog --ss euler_a --am 0.5 --fs 3", Prompt("a dog", sampler="euler_a", strength=0.5, flow_shift=3.0)),
        ("a dog --m -1 --cfg 2 --steps 9 --seed 4", Prompt("a dog", strength=-1.0, scale=2.0, steps=9, seed=4)),
        ("a dog --network_multiplier 0 --gr .7", Prompt("a dog", strength=0.0, rescale=0.7)),
        ("a dog --ci a b.png --w 64 --ctrl_img c.png", Prompt("a dog", width=64, control_images=("a b.png", "c.png"))),
        # Numbers below zero, and numbers as people write them.
        ("a dog --l -1.5", Prompt("a dog", scale=-1.5)),
        ("a dog --l 7", Prompt("a dog", scale=7.0)),
        ("a dog --l 1e1 --g .5", Prompt("a dog", scale=10.0, guidance=0.5)),
        ("a dog --d 0", Prompt("a dog", seed=0)),
        (f"a dog --d {2**63 - 1}", Prompt("a dog", seed=2**63 - 1)),
        # Dashes that are no options.
        ("a well-known dog - sitting -- again", Prompt("a well-known dog - sitting -- again")),
        ("a--w 64", Prompt("a--w 64")),
        ("a dog --n no -- no --w 64", Prompt("a dog", "no -- no", 64)),
        (
            "a dog --n weights (bad:1.2) {x|y} # not a comment",
            Prompt("a dog", "weights (bad:1.2) {x|y} # not a comment"),
        ),
        ("ein Hund, 犬 --n schlecht, 悪い", Prompt("ein Hund, 犬", "schlecht, 悪い")),
    ],
)
def test_lines_that_can_be_read(line: str, expected: Prompt) -> None:
    found = parse_prompt(line)
    assert found == expected
    for field in ("width", "height", "seed", "steps"):
        assert isinstance(getattr(found, field), int | None)
    for field in ("scale", "guidance"):
        assert isinstance(getattr(found, field), float | None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a dog --x 5", "unknown option --x; known: --n, --w, --h, --d, "),
        ("a dog --am 1,0.5", "has --am '1,0.5'; it must be a number"),
        ("a dog --gr 2", "asks for rescale 2.0; it must lie in 0 to 1"),
        ("a dog --fs 0", "asks for flow_shift 0.0"),
        *[(f"a dog --{key} 1", f"has --{key}: {reason}; take it out") for key, reason in REFUSED.items()],
        ("a dog --ww 5", "unknown option --ww"),
        ("a dog --width 512", "unknown option --width"),
        ("a dog --w wide", "has --w 'wide'; it must be a whole number"),
        ("a dog --w 512.5", "has --w '512.5'; it must be a whole number"),
        ("a dog --w", "has --w ''; it must be a whole number"),
        ("a dog --l strong", "has --l 'strong'; it must be a number"),
        ("a dog --l nan", "has --l 'nan'; it must be a number"),
        ("a dog --g inf", "has --g 'inf'; it must be a number"),
        ("a dog --w 0", "asks for width 0; it must lie in 16 to 16384"),
        ("a dog --h -64", "asks for height -64"),
        ("a dog --w 100000", "asks for width 100000"),
        ("a dog --d -1", "asks for seed -1; it must lie in 0 to"),
        (f"a dog --d {2**63}", "asks for seed"),
        ("a dog --s 0", "asks for steps 0; it must lie in 1 to 1000"),
    ],
)
def test_lines_that_cannot(line: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_prompt(line)
    assert message in str(caught.value)
    assert repr(line) in str(caught.value)


def test_comments_and_blank_lines_are_left_out() -> None:
    lines = ["# all of them", "", "a dog --w 64", "   ", "\t# indented", "  a cat # stays  "]
    assert parse_prompts(lines) == [Prompt("a dog", width=64), Prompt("a cat # stays")]
    assert parse_prompts([]) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(end.join(["# prompts", "ein Häuschen --d 3", "", "a cat"]).encode(encoding))
    assert read_prompts(path) == [Prompt("ein Häuschen", seed=3), Prompt("a cat")]


def test_files_that_are_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    with pytest.raises(UserError, match=r"prompts\.txt cannot be read"):
        read_prompts(path)
    path.write_bytes("Häuschen".encode("utf-16"))
    with pytest.raises(UserError, match=r"prompts\.txt cannot be read as UTF-8"):
        read_prompts(path)
    path.write_text("# nothing\n\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no prompt"):
        read_prompts(path)
    path.write_text("a dog\n\na cat --w wide\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"prompts\.txt, line 3: .*a cat --w wide"):
        read_prompts(path)


def test_the_digest_tells_prompts_apart() -> None:
    """It names files, so it must be the same in every process."""
    plain = Prompt("a dog", seed=1)
    changes = [
        {"text": "a cat"}, {"negative": "x"}, {"width": 64}, {"height": 64}, {"seed": 2}, {"scale": 1.0}, {"steps": 5},
        {"guidance": 2.0}, {"rescale": 0.7}, {"strength": 0.0}, {"sampler": "ddim"}, {"flow_shift": 3.0},
        {"control_images": ("a.png",)},
    ]  # fmt: skip
    assert {name for change in changes for name in change} == {field.name for field in dataclasses.fields(Prompt)}
    digests = {dataclasses.replace(plain, **change).digest() for change in changes} | {plain.digest()}
    assert len(digests) == 14
    assert dataclasses.replace(plain, strength=1.0).digest() == plain.digest(), "what is usual is not in names"
    assert plain.digest() == Prompt("a dog", seed=1).digest() == "2048f12e"
