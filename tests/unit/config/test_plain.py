"""Files that cannot be read: each is one sentence with its place, and costs neither time nor memory."""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from loratory.config.architectures import get_spec
from loratory.config.load import load
from loratory.config.plain import DEEPEST, MOST_BYTES, MOST_VALUES, ConfigError, read_json, read_toml, read_yaml
from loratory.errors import UserError

JOB = "name: dog\nmodel: {path: some/model}\ndatasets: [{path: ./dog}]\n"


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def file(folder: Path, content: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


# What is right ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_of_the_encoding(encoding: str, tmp_path: Path) -> None:
    """`utf-16` is what PowerShell's > writes: with its mark in front."""
    assert load(file(tmp_path, JOB.replace("dog", "Käse").encode(encoding))).name == "Käse"


def test_toml_and_json_hold_the_same_jobs(tmp_path: Path) -> None:
    toml = 'name = "dog"\nmodel.path = "some/model"\n[optimizer]\nlearning_rate = 1e-4\n[[datasets]]\npath = "./dog"\n'
    text = '{"name": "dog", "model": {"path": "some/model"},\n\t"optimizer": {"learning_rate": 1e-4}, '
    text += '"datasets": [{"path": "./dog"}]}'
    jobs = [load(file(tmp_path, toml, "job.toml")), load(file(tmp_path, text, "job.json"))]
    assert jobs == [load(file(tmp_path, JOB + "optimizer: {learning_rate: 1e-4}\n"))] * 2


@pytest.mark.parametrize("rate", ["1e-4", "1E-4", "1.e-4", "0.0001", "'1e-4'", "+1e-4", ".1e-3", "1.0e-04"])
def test_a_rate_is_a_number_however_it_is_written(rate: str, tmp_path: Path) -> None:
    assert load(file(tmp_path, f"{JOB}optimizer: {{learning_rate: {rate}}}\n")).optimizer.learning_rate == 1e-4


@pytest.mark.skipif(os.name == "nt", reason="platform: there such a path is one of this machine")
@pytest.mark.parametrize("path", [r"C:\Pictures\dogs", "C:/dogs", r"\\server\share\dogs"])
def test_paths_of_windows_stay_recognisable(path: str, tmp_path: Path) -> None:
    assert (
        load(file(tmp_path, f"name: a\nmodel: {{path: x/y}}\ndatasets: [{{path: '{path}'}}]\n")).datasets[0].path
        == path
    )


def test_variables_of_the_environment_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURES", str(tmp_path / "mine"))
    text = "name: a\nmodel: {path: '${PICTURES}/model'}\ndatasets: [{path: '${PICTURES}/dog'}, {path: a$b}]\n"
    config = load(file(tmp_path, text + "sampling: {prompts: ['a ${PICTURES}']}\n"))
    assert config.datasets[0].path == str(tmp_path / "mine" / "dog")
    assert config.model.path == str(tmp_path / "mine" / "model")
    assert config.datasets[1].path == str(tmp_path / "a$b")
    assert config.sampling.prompts == ("a ${PICTURES}",), "only paths"


# What is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network:\n\trank: 4\n", r"\(line 2, column 1\); YAML wants spaces, and there is a tab"),
        ("network:\n  rank: 4\n\talpha: 2\n", r"\(line 3, column 1\); YAML wants spaces"),
        ('model: {path: "C:\\Upper\\me"}\n', r"escape .*\(line 1, .*paths of Windows in single quotes, or with /"),
        ('datasets: [{path: "C:\\x"}]\n', r"\(line 1, .*single quotes"),
        ("name: my: dog\n", r"\(line 1, column 9\); a text with a colon and a space wants quotes"),
        ("base: !include other.yaml\n", r"line 1.*include no other files"),
        ("name: [a, b\nseed: 1\n", r"line 2.*bracket or a comma missing"),
        ("name: 'a\n", r"line 2"),
        ("a: &x [*x]\n", r"a value holds itself by an alias \(line 1"),
        ("seed: 0b_\n", r"a value cannot be read"),
        (f"{JOB}include: other.yaml\n", r"include: unknown key; job files include no others; .* preset"),
        (f"{JOB}extends: [job.yaml]\n", r"extends: unknown key; job files include no others"),
    ],
)
def test_yaml(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(file(tmp_path, text))), refused(tmp_path / "job.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = dog\n", r"Invalid value \(line 1, column 8\); texts want quotes"),
        ('name = "a"\nname = "b"\n', r"line 2"),
        ('[datasets]\npath = "C:\\pics"\n', r"line 2.*paths of Windows in single quotes, or with /"),
        ("[model\n", r"line 1"),
        ("name: dog\n", r"line 1"),
    ],
)
def test_toml(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(file(tmp_path, text, "job.toml")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a",}', r"\(line 1, column 14\)"),
        ('{"name": "a", "name": "b"}', "the key 'name' is given twice"),
        ('{"model": {"path": "C:\\pics"}}', r"line 1.*paths of Windows with /"),
        ("", r"line 1"),
    ],
)
def test_json(text: str, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(file(tmp_path, text, "job.json")))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ('"C:\\new\\toys"', "holds a sign that no path has.*single quotes"),
        ("'${NOT_SET_HERE}/x'", "datasets.0.path: .*the environment variable NOT_SET_HERE is not set"),
        ("'${}/x'", r"\$\{\} is no environment variable; write \$\{NAME\}"),
        ("'${HF_TOKEN}'", "HF_TOKEN is a secret"),
        ("'${MY_API_KEY}/x'", "MY_API_KEY is a secret"),
        ("'~nobody-of-this-name/dogs'", "there is no user nobody-of-this-name"),
        ("~", "datasets.0.path: must be a text in quotes"),
    ],
)
def test_paths(path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "MY_API_KEY"):
        monkeypatch.setenv(name, "hf_abcdefgh12345678")
    said = refused(file(tmp_path, f"name: a\nmodel: {{path: x/y}}\ndatasets: [{{path: {path}}}]\n"))
    assert re.search(message, said), said
    assert "hf_abcdefgh" not in said


def test_a_path_of_the_command_line_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--set datasets\.0\.path: .*NOT_SET_HERE is not set"):
        load(file(tmp_path, JOB), ["datasets.0.path=${NOT_SET_HERE}/x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: döner\n".encode("utf-16-le"), "special characters are not allowed|not UTF-8"),
        (b"\xff\xfen\x00a\x00m", "is not UTF-16 text"),
        ("name: döner".encode("latin-1"), r"is not UTF-8 text \(byte 7\); save it as UTF-8"),
        (b"\x80\x02}q\x00.", "is not UTF-8 text"),
    ],
)
def test_bytes_that_are_no_text(content: bytes, message: str, tmp_path: Path) -> None:
    assert re.search(message, refused(file(tmp_path, content)))


@pytest.mark.parametrize("name", ["sdlx", "SD 3", "pony", "", "../sd15"])
def test_an_architecture_that_is_unknown_is_never_another_one(name: str) -> None:
    with pytest.raises(UserError, match=r"model.architecture: .* is not known; (did you mean|known are)"):
        get_spec(name)


# What is too much ---------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x0: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        (LAUGHS, read_yaml, f"more than {MOST_VALUES} values in it, aliases written out"),
        (MERGES, read_yaml, f"more than {MOST_VALUES} values"),
        (CHAIN, read_yaml, f"more than {DEEPEST} deep"),
        ("[" * 100_000, read_yaml, f"more than {DEEPEST} deep"),
        ("{a: " * 100_000, read_yaml, f"more than {DEEPEST} deep"),
        ("a: [" + "1, " * 200_000 + "]", read_yaml, f"more than {MOST_VALUES} values"),
        ("- " * 100_000, read_yaml, f"more than {DEEPEST} deep"),
        ("[" * 100_000 + "]" * 100_000, read_json, f"more than {DEEPEST} deep"),
        ("[" + "1," * 200_000 + "1]", read_json, f"more than {MOST_VALUES} values"),
        ("a = " + "[" * 100_000, read_toml, f"more than {DEEPEST} deep"),
        ("a = [" + "1," * 200_000 + "]", read_toml, f"more than {MOST_VALUES} values"),
    ],
    ids=["laughs", "merges", "chain", "brackets", "braces", "many", "dashes", "json", "json many", "toml", "toml many"],
)
def test_bombs(text: str, read: Callable[[str, str], object], message: str) -> None:
    before = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        read(text, "bomb")
    assert time.process_time() - before < 4
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", [LAUGHS, MERGES, "[" * 1000], ids=["laughs", "merges", "brackets"])
def test_bombs_take_no_memory(text: str) -> None:
    """Written out, the first two would be 9 to the power of 12 values."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError):
            read_yaml(text, "bomb")
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


def test_a_file_of_50_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    with path.open("wb") as out:
        out.truncate(50_000_000)
    tracemalloc.start()
    before = time.perf_counter()
    try:
        said = refused(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "is too long: more than 1 MB. Is it another file?" in said
    assert time.perf_counter() - before < 1
    assert peak < 5 * MOST_BYTES


def test_aliases_within_reason_are_fine(tmp_path: Path) -> None:
    text = "name: a\nmodel: {path: x/y}\ndatasets:\n- &one {path: /a, captions: &c {shuffle: true}}\n"
    text += "".join(f"- {{<<: *one, path: /b{number}, captions: *c}}\n" for number in range(500))
    assert len(load(file(tmp_path, text)).datasets) == 501
