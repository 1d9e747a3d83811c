"""The routes of drafts: what each answers, and that nothing that is sent breaks one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

JOB: dict[str, Any] = {"name": "x", "model": {"architecture": "sdxl", "path": "a/b"}, "datasets": [{"path": "p"}]}


@pytest.fixture
def pictures(loratory_home: Path) -> Path:
    folder = loratory_home / "datasets" / "dogs"
    folder.mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", (640, 480 if number else 900)).save(folder / f"{number}.png")
    return folder


def post(client: TestClient, route: str, body: Any) -> dict[str, Any]:
    answer = client.post(f"/api/configs/{route}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_schema_is_sent_once(client: TestClient) -> None:
    first = client.get("/api/configs/schema")
    assert first.json()["$defs"]["LoraConfig"]["properties"]["rank"]["param"]["kohya"] == ["network_dim"]
    again = client.get("/api/configs/schema", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    forms = {each["architecture"]: each for each in client.get("/api/configs/architectures").json()}
    assert forms["sdxl"]["meant_by_null"]["batching.buckets.resolution"] == 1024
    assert "model.zero_terminal_snr" in forms["flux1"]["without_effect"]
    assert "model.zero_terminal_snr" not in forms["sd15"]["without_effect"]


def test_check(client: TestClient, pictures: Path) -> None:
    text = f"name: x\nmodel: {{path: demo}}\nnetwork: {{rnak: 8}}\ndatasets: [{{path: {pictures}}}]\n"
    found = post(client, "check", {"text": text})
    (error,) = [each for each in found["findings"] if each["level"] == "error"]
    assert error["sentence"] == "network.rnak: unknown key; did you mean network.rank?"
    assert error["fix"] == [
        {"path": "network.rnak", "value": None, "remove": True},
        {"path": "network.rank", "value": 8, "remove": False},
    ]
    assert (error["line"], found["valid"], found["config"], found["data"]["network"]) == (3, False, None, {"rnak": 8})
    good = post(client, "check", {"data": {**found["data"], "network": {"rank": 8}}})
    assert good["valid"] and good["architecture"] == "sd15"
    assert good["changed"]["network"] == {"rank": 8}
    assert good["config"]["network"]["alpha"] == "auto"


def test_the_yaml_says_the_same(client: TestClient, pictures: Path) -> None:
    data = {"name": "1e4", "model": {"path": "demo"}, "datasets": [{"path": str(pictures)}], "network": {"rank": 4}}
    text = post(client, "yaml", {"data": data})["text"]
    assert post(client, "check", {"text": text})["data"] == data
    assert "gradient_checkpointing" in post(client, "yaml", {"data": data, "form": "all"})["text"]
    assert "preset" not in post(client, "yaml", {"data": data | {"preset": "classic"}, "form": "changed"})["text"]


def test_plan_of_typed_pictures_and_of_real_ones(client: TestClient, pictures: Path) -> None:
    body = {"data": JOB | {"duration": {"epochs": 5}, "batching": {"size": 2}}, "typed": {"pictures": 50},
            "gpu_memory_gib": 12, "wanted_steps": 130}  # fmt: skip
    found = post(client, "plan", body)
    plan = found["plan"]
    assert plan["calculation"]["text"] == "50 images × 5 epochs ÷ 2 = 125 steps"
    assert (plan["total_steps"], plan["calculation"]["differs"]) == (125, False)
    assert found["epochs_for_steps"] == {"wanted_steps": 130, "epochs": 6, "steps": 150}
    assert plan["fit"]["enough"] and not plan["fit"]["fits"]
    # 4 of one size and 1 of another: 2 + 1 batches of two, where 5 pictures would be 2.5.
    real = JOB | {"datasets": [{"path": str(pictures)}], "duration": {"epochs": 2}, "batching": {"size": 2}}
    found = post(client, "plan", {"data": real})
    told = found["plan"]["calculation"]
    assert (told["plain_steps"], told["true_steps"], told["differs"]) == (5, 6, True)
    assert "1 places of an epoch stay empty" in told["reasons"][0]


def test_a_plan_of_a_draft_with_a_mistake(client: TestClient) -> None:
    found = post(client, "plan", {"data": JOB | {"network": {"rank": "x"}}, "typed": {"pictures": 10}})
    assert found["plan"]["pictures"] == 10 and found["whole"] is False
    found = post(client, "plan", {"data": {"name": "x"}})
    assert found["plan"] is None
    assert found["reason"] == "model: is missing, and there is no default for it"


def test_layers(client: TestClient) -> None:
    found = post(client, "layers", {"data": JOB, "every_layer": True})
    assert found["layers"] == sum(each["layers"] for each in found["groups"]) == len(found["every_layer"])
    assert found["numbers"] == sum(each["numbers"] for each in found["every_layer"])
    answer = client.post("/api/configs/layers", json={"data": JOB | {"network": {"targets": {"blocks": "no.3"}}}})
    assert answer.status_code == 422


def test_differences_and_applied_presets(client: TestClient) -> None:
    draft = JOB | {"network": {"rank": 3}, "datasets": [{"path": "p", "num_repeats": 4, "captions": {"shuffle": True}}]}
    applied = post(client, "apply-preset", {"data": draft, "preset": "sdxl-style-12gb"})
    assert applied["data"] == {"preset": "sdxl-style-12gb", "name": "x", "model": JOB["model"],
                               "datasets": [{"path": "p", "num_repeats": 4}]}  # fmt: skip
    rows = {each["path"]: (each["a"], each["b"]) for each in applied["differences"]}
    assert rows["network.rank"] == (3, 32) and rows["datasets.0.captions.shuffle"] == (True, False)
    same = {"a": {"draft": {"data": applied["data"]}}, "b": {"preset": "sdxl-style-12gb"}}
    assert post(client, "diff", same)["differences"] == []
    kept = post(client, "apply-preset", {"data": draft, "preset": "sdxl-style-12gb", "keep_own": True})
    assert kept["data"]["datasets"] == [{"path": "p", "num_repeats": 4, "captions": {"shuffle": True}}]
    assert client.post("/api/configs/diff", json={"a": {"run": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}}).status_code == 422
    assert client.post("/api/configs/apply-preset", json={"data": draft, "preset": "./x.yaml"}).status_code == 422


KOHYA = """pretrained_model_name_or_path = "{model}"
output_name = "dog"
huggingface_token = "hf_abcdefghijklmnop0123456789"
dataset_config = "{dataset}"
sample_prompts = "prompts.txt"
network_dim = 8
"""
DATASET = '[general]\n[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "./dogs"\nnum_repeats = 10\n'


def test_import_of_a_pair(client: TestClient, loratory_home: Path) -> None:
    files = [{"name": "a.toml", "text": KOHYA.format(model="demo", dataset="d.toml")},
             {"name": "d.toml", "text": DATASET}, {"name": "prompts.txt", "text": "a dog --w 512"}]  # fmt: skip
    answer = client.post("/api/configs/import", json={"files": files})
    found = answer.json()
    assert answer.status_code == 200, found
    (job,) = found["jobs"]
    assert (found["format"], job["tokens"], found["kept"]) == ("kohya", ["HF_TOKEN"], [])
    assert "hf_abcdefgh" not in answer.text and not (loratory_home / ".env").exists()
    assert job["data"]["datasets"][0]["path"] == str(loratory_home / "dogs")
    assert job["data"]["datasets"][0]["num_repeats"] == 10
    assert any(each["level"] == "secret" for each in job["notes"])
    kept = post(client, "import", {"files": files, "keep_tokens": True})["kept"]
    assert len(kept) == 1 and "HF_TOKEN" in (loratory_home / ".env").read_text()


def test_a_pair_may_come_in_either_order(client: TestClient) -> None:
    settings = {"name": "a.toml", "text": 'pretrained_model_name_or_path = "demo"\nnetwork_dim = 8\n'}
    pictures = {"name": "d.toml", "text": DATASET}
    found = [post(client, "import", {"files": files})["jobs"] for files in ([settings, pictures], [pictures, settings])]
    assert found[0] == found[1] and found[0][0]["data"]["datasets"][0]["num_repeats"] == 10


def test_what_a_sent_text_names_is_not_read(client: TestClient, tmp_path: Path, monkeypatch: Any) -> None:
    """No file of this machine, and no variable."""
    secret = tmp_path / "secret.toml"
    secret.write_text(DATASET.replace("./dogs", "/very/secret"), encoding="utf-8")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop0123456789")
    monkeypatch.setenv("SOME_WORD", "open-sesame")
    text = KOHYA.format(model="demo", dataset=secret)
    answer = client.post("/api/configs/import", json={"files": [{"name": "a.toml", "text": text}]})
    assert answer.status_code == 422 and "very/secret" not in answer.text
    assert "not sent with the file" in answer.json()["detail"]
    for variable in ("HF_TOKEN", "SOME_WORD"):
        text = f"job: extension\nconfig:\n  name: ${{{variable}}}\n  process: [{{type: sd_trainer}}]\n"
        answer = client.post("/api/configs/import", json={"files": [{"name": "a.yaml", "text": text}]})
        assert answer.status_code == 422
        assert "environment variable" in answer.json()["detail"] and "open-sesame" not in answer.text


def lora(metadata: dict[str, str]) -> str:
    header = json.dumps({"__metadata__": metadata, "a.lora_down.weight": {
        "dtype": "F16", "shape": [4, 8], "data_offsets": [0, 64]}}).encode()  # fmt: skip
    return base64.b64encode(len(header).to_bytes(8, "little") + header).decode()


def test_import_of_a_lora_file(client: TestClient) -> None:
    ours = {"loratory_config": json.dumps({"network.rank": 5, "optimizer.type": "lion", "optimizer.learning_rate": 2e-5,
            "datasets.0.captions.shuffle": True, "model.path": "base.safetensors", "model.architecture": "sdxl"}),
            "ss_output_name": "dog"}  # fmt: skip
    found = post(client, "import", {"files": [{"name": "x.safetensors", "base64": lora(ours)}]})
    data = found["jobs"][0]["data"]
    assert (found["format"], data["name"], data["network"]) == ("lora", "dog", {"rank": 5})
    assert data["optimizer"] == {"type": "lion", "learning_rate": 2e-5}
    assert data["datasets"][0]["captions"] == {"shuffle": True}
    kohya = {"ss_network_dim": "12", "ss_network_alpha": "6", "ss_network_module": "networks.lora",
             "ss_base_model_version": "sdxl_base_v1-0", "ss_sd_model_name": "base.safetensors", "ss_unet_lr": "0.0002",
             "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)", "ss_min_snr_gamma": "5.0",
             "ss_dataset_dirs": '{"10_dog": {"n_repeats": 10, "img_count": 20}}', "ss_resolution": "(1024, 1024)",
             "ss_clip_skip": "None", "ss_batch_size_per_device": "2"}  # fmt: skip
    data = post(client, "import", {"files": [{"name": "x.safetensors", "base64": lora(kohya)}]})["jobs"][0]["data"]
    assert (data["network"]["rank"], data["network"]["alpha"]) == (12, 6)
    assert data["optimizer"]["type"] == "adamw8bit" and data["optimizer"]["weight_decay"] == 0.1
    assert data["datasets"][0]["num_repeats"] == 10 and data["batching"]["size"] == 2
    assert data["model"]["architecture"] == "sdxl" and data["objective"]["min_snr_gamma"] == 5
    for metadata, said in (({}, "no metadata"), ({"title": "x"}, "nothing about a training"),
                           ({"loratory_config": '{"datasets.0.y": 2, "datasets.x": 1}'}, "no number of an entry"),
                           ({"loratory_config": "[1]"}, "cannot be read")):  # fmt: skip
        answer = client.post(
            "/api/configs/import", json={"files": [{"name": "x.safetensors", "base64": lora(metadata)}]}
        )
        assert answer.status_code == 422 and said in answer.json()["detail"], answer.text


@pytest.mark.parametrize(("to", "names"), [
    ("kohya", ["config.toml", "dataset.toml"]), ("ai-toolkit", None), ("loratory", ["x.yaml"]),
])  # fmt: skip
def test_export_and_back(client: TestClient, to: str, names: list[str] | None) -> None:
    draft = {"data": JOB | {"network": {"rank": 7}, "datasets": [{"path": "/pictures/dogs"}]}}
    files = post(client, "export", {**draft, "to": to})["files"]
    assert names is None or [each["name"] for each in files] == names
    (job,) = post(client, "import", {"files": files})["jobs"]
    assert job["data"]["network"]["rank"] == 7
    bad = client.post("/api/configs/export", json={"data": JOB | {"network": {"rank": 0}}, "to": to})
    assert bad.status_code == (200 if to == "loratory" else 422)
    assert to == "loratory" or bad.json()["findings"][0]["fields"] == ["network.rank"]


KEYS = st.sampled_from([*JOB, "network", "rank", "path", "optimizer", "type", "preset", "version", "captions", "0", "",
                        "a.b", "schedule", "sampling", "prompts", "job", "duration", "batching", "size"])  # fmt: skip
ODD = ["demo", "adamw", "dataset:x", "${HF_TOKEN}", "~nobody/x", "x" * 5000, "/dev/null", "\0", "sdxl", "classic"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(ODD)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
FEW = settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
NAMES = st.sampled_from(["a.toml", "a.yaml", "a.json", "a.sh", "a.safetensors", "a"])
STARTS = st.sampled_from(["", "pretrained_model_name_or_path", "dataset_config", "config"])


@pytest.mark.slow
@FEW
@given(data=st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_no_data_breaks_a_route(client: TestClient, data: dict[str, Any]) -> None:
    """A route that raised would fail the test: the client hands exceptions through."""
    for own in (data, JOB | data):
        content = json.dumps({"data": own}).encode("utf-8", "surrogatepass")
        for route in ("check", "plan", "yaml"):
            answer = client.post(f"/api/configs/{route}", content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (route, own)


@pytest.mark.slow
@FEW
@given(name=NAMES, data=ANYTHING, noise=st.text(max_size=30), key=STARTS)
def test_no_file_breaks_an_import(client: TestClient, name: str, data: Any, noise: str, key: str) -> None:
    plain = json.dumps({key: data} if key else data)
    command = f"a train_network.py --{noise}"
    for text in (plain, noise + plain, f"job: x\nconfig: {plain}", f"{key or 'x'} = {plain}", command):
        answer = client.post("/api/configs/import", json={"files": [{"name": name, "text": text}]})
        assert answer.status_code < 500, (name, text)
