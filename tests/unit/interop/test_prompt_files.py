"""Files of prompts as kohya's trainer and ai-toolkit have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loratory.data.prompts import Prompt
from loratory.errors import UserError
from loratory.interop.prompt_files import _HARMLESS, _REFUSED, read_prompts

KOHYA_TOML = """
[prompt]
width = 512
height = 768
sample_steps = 20
negative_prompt = "blurry"

[[prompt.subset]]
prompt = "a dog"

[[prompt.subset]]
prompt = "a cat"
height = 512
scale = 4.5
sample_sampler = "euler_a"
seed = 7
"""

KOHYA_JSON = [
    "a dog --n bad --w 64 --am 0.5",
    {"prompt": "a cat", "negative_prompt": "bad", "width": 64, "height": 128, "seed": 3, "sample_steps": 9,
     "scale": 7, "guidance_scale": 3.5, "sample_sampler": "ddim", "flow_shift": "2.5", "enum": 1,
     "additional_network_multiplier": [0.5]},
]  # fmt: skip
KOHYA_PROMPTS = [
    Prompt("a dog", "bad", 64, strength=0.5),
    Prompt("a cat", "bad", 64, 128, 3, 7.0, 9, 3.5, sampler="ddim", flow_shift=2.5, strength=0.5),
]

AITOOLKIT_YAML = """
samples:
  - prompt: "[trigger] in a boat"
    width: 1024
    height: 512
    neg: blurry
    seed: 3
    guidance_scale: 4
    sample_steps: 25
    network_multiplier: "0.8"
    fps: 16
    num_frames: 1
    do_cfg_norm: false
    ctrl_img:
  - prompt: "a cat --m 0 --d 9"
    network_multiplier: 1
"""


def write(path: Path, text: object) -> Path:
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def test_kohyas_toml(tmp_path: Path) -> None:
    """What stands in [prompt] holds for all, and each [[prompt.subset]] may say another value."""
    assert read_prompts(write(tmp_path / "a.toml", KOHYA_TOML)) == [
        Prompt("a dog", "blurry", 512, 768, steps=20),
        Prompt("a cat", "blurry", 512, 512, 7, 4.5, 20, sampler="euler_a"),
    ]


def test_a_plain_list_of_tables(tmp_path: Path) -> None:
    text = '[[prompt]]\nprompt = "a dog"\nseed = 3\n[[prompt]]\nprompt = "a cat"\n'
    assert read_prompts(write(tmp_path / "a.toml", text)) == [Prompt("a dog", seed=3), Prompt("a cat")]


def test_kohyas_json(tmp_path: Path) -> None:
    assert read_prompts(write(tmp_path / "a.json", KOHYA_JSON)) == KOHYA_PROMPTS


@pytest.mark.parametrize("guided", [False, True])
def test_aitoolkits_samples(guided: bool, tmp_path: Path) -> None:
    """Their guidance_scale is the guidance that the model has; options in a text count before those beside it."""
    expected = [
        Prompt("[trigger] in a boat", "blurry", 1024, 512, 3, None if guided else 4.0, 25, 4.0 if guided else None,
               strength=0.8),
        Prompt("a cat", seed=9, strength=0.0),
    ]  # fmt: skip
    assert read_prompts(write(tmp_path / "a.yaml", AITOOLKIT_YAML), guided=guided) == expected


def test_values_for_all_of_aitoolkits_section(tmp_path: Path) -> None:
    section = {"width": 64, "neg": False, "sampler": "flowmatch", "samples": [{"prompt": "a"}, "b --w 128"]}
    expected = [Prompt("a", "", 64, sampler="flowmatch"), Prompt("b", "", 128, sampler="flowmatch")]
    for data in (section, {"sample": section}):
        assert read_prompts(write(tmp_path / "a.json", data)) == expected
    assert read_prompts(write(tmp_path / "b.json", {"prompts": ["a", "b"]})) == [Prompt("a"), Prompt("b")]
    assert read_prompts(write(tmp_path / "c.json", {"prompt": "a", "width": 64})) == [Prompt("a", width=64)]


def test_control_pictures_lie_beside_the_file(tmp_path: Path) -> None:
    elsewhere = str(tmp_path.parent / "y.png")
    data = [{"prompt": "a", "control_image_path": ["x.png", elsewhere]}, {"prompt": "b", "ctrl_img_1": "x.png",
            "ctrl_img_2": "z.png"}, "c --ci x.png"]  # fmt: skip
    found = [prompt.control_images for prompt in read_prompts(write(tmp_path / "a.json", data))]
    x, z = str(tmp_path / "x.png"), str(tmp_path / "z.png")
    assert found == [(x, elsewhere), (x, z), (x,)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "[", "a.json is not JSON"),
        ("a.toml", "prompt =", "a.toml is not TOML"),
        ("a.yaml", "a: [", "a.yaml is not YAML"),
        ("a.json", '"a dog"', "holds no list of prompts"),
        ("a.json", "[]", "holds no prompt"),
        ("a.json", "{}", "holds no prompt"),
        ("a.toml", '[prompt]\nwidth = 64\n[[prompt.subset]]\nprompt = "a"\nsize = 3',
         "a.toml, prompt 1: unknown key 'size'"),
        ("a.json", '["a", {"prompt": "b", "width": "wide"}]', "prompt 2: has width 'wide'; it must be a whole number"),
        ("a.json", '[{"prompt": "b", "width": true}]', "prompt 1: has width True; it must be a whole number"),
        ("a.json", '[{"prompt": "b", "seed": 1.5}]', "prompt 1: has seed 1.5; it must be a whole number"),
        ("a.json", '[{"prompt": "b", "seed": 1e999}]', "prompt 1: has seed inf; it must be a whole number"),
        ("a.json", '[{"prompt": 5}]', "prompt 1: has text 5; it must be a text"),
        ("a.json", '[{"prompt": "a", "sample_steps": 0}]', "prompt 1: asks for steps 0"),
        ("a.json", '["a --x 1"]', "prompt 1: The prompt 'a --x 1' has the unknown option --x"),
        ("a.json", '[{"prompt": "a --w 8"}]', "prompt 1: asks for width 8"),
        ("a.json", "[7]", "prompt 1: 7 is neither a text nor named values"),
        ("a.json", '[{"prompt": "a", "ctrl_img": 5}]', "control_images [5]; it must be the paths of pictures"),
        ("a.json", '{"width": "x", "samples": ["a"]}', "prompt 1: has width 'x'"),
        ("a.yaml", "samples: [{prompt: a, fps: 24}]", "prompt 1: fps: samples are single pictures"),
    ],
)  # fmt: skip
def test_files_of_no_use_say_where_and_what(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_prompts(write(tmp_path / name, text))
    assert message in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("key", _REFUSED)
def test_what_cannot_have_an_effect_is_refused_unless_it_says_nothing(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"prompt 1: {key}: "):
        read_prompts(write(tmp_path / "a.json", [{"prompt": "a", key: "something"}]))
    for value in (None, *_HARMLESS.get(key, ())):
        assert read_prompts(write(tmp_path / "a.json", [{"prompt": "a", key: value}])) == [Prompt("a")]
