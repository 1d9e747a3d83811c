"""Presets and local models over HTTP, and what is remembered of files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from loratory.config.architectures import SPECS
from loratory.data.scan import Scan
from loratory.drafts import scans
from loratory.errors import UserError
from loratory.hub import inventory
from loratory.hub.local import NotHere, resolve_local, snapshot
from tests.made_runs import make_run

DRAFT: dict[str, Any] = {"data": {"name": "x", "model": {"architecture": "sdxl", "path": "/secret/model.safetensors"},
                                  "datasets": [{"path": "/secret/dogs", "captions": {"shuffle": True}}],
                                  "network": {"rank": 9}}}  # fmt: skip


def test_the_life_of_a_preset(client: TestClient, loratory_home: Path) -> None:
    made = client.post("/api/presets", json={**DRAFT, "name": "ink", "title": "Ink", "why": ["Thin lines."]})
    assert made.status_code == 201, made.text
    assert made.json()["preset"]["settings"] == {"network": {"rank": 9}, "datasets": {"captions": {"shuffle": True}}}
    assert "secret" not in made.text
    again = client.post("/api/presets", json={**DRAFT, "name": "ink"})
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    assert client.post("/api/presets", json={**DRAFT, "name": "ink", "replace": True}).status_code == 201
    listed = {each["name"]: each for each in client.get("/api/presets?architecture=sdxl").json()["presets"]}
    assert listed["ink"]["own"] and listed["ink"]["architecture"] == "sdxl"
    file = client.get("/api/presets/ink/file").json()
    taken = client.post("/api/presets/import", json={"name": "ink 2", "text": file["text"]})
    assert taken.status_code == 201 and taken.json()["settings"] == made.json()["preset"]["settings"]
    renamed = client.patch("/api/presets/ink", json={"name": "ink 3"})
    assert renamed.json()["name"] == "ink 3" and not (loratory_home / "presets" / "ink.yaml").exists()
    assert client.patch("/api/presets/ink 3", json={"name": "ink 2"}).status_code == 409
    gone = client.delete("/api/presets/ink 3").json()
    assert (loratory_home / "trash" / gone["trash_id"]).is_dir()
    assert client.delete("/api/presets/ink 3").status_code == 404
    for name in ("classic", "sdxl-style-12gb"):
        assert client.delete(f"/api/presets/{name}").status_code == 409
    (loratory_home / "presets" / "bad.yaml").write_text("settings: {name: x}", encoding="utf-8")
    listed = {each["name"]: each for each in client.get("/api/presets").json()["presets"]}
    assert "belongs to a job" in listed["bad"]["problem"]


def test_presets_for_a_card(client: TestClient) -> None:
    found = client.get("/api/presets?architecture=sdxl&memory_gib=12").json()["presets"]
    assert {each["name"] for each in found if each["proposed"]} == {
        f"sdxl-{goal}-12gb" for goal in ("character", "style", "object", "concept")
    }
    assert client.get("/api/presets?architecture=sdxk").status_code == 422


def write_header(path: Path, tensors: dict[str, list[int]], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file of F16 zeros."""
    entries: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(end))


LORA = {"lora_unet_x.lora_down.weight": [4, 8], "lora_unet_x.lora_up.weight": [8, 4], "lora_unet_x.alpha": []}


@pytest.fixture
def models(loratory_home: Path) -> Path:
    top = loratory_home / "models"
    write_header(top / "loras" / "dog.safetensors", LORA,
                 {"ss_network_dim": "4", "ss_network_alpha": "2.0", "ss_sd_model_name": "base.safetensors",
                  "ss_base_model_version": SPECS["sd15"].base_model_version,
                  "modelspec.architecture": f"{SPECS['sd15'].modelspec_architecture}/lora",
                  "modelspec.trigger_phrase": "ohwx dog"})  # fmt: skip
    write_header(top / "vae.safetensors", {"decoder.conv_in.weight": [8, 4, 3, 3]})
    (top / "broken.safetensors").write_bytes(b"<html>")
    (top / "old.ckpt").write_bytes(b"PK")
    return top


def test_what_models_are(client: TestClient, models: Path) -> None:
    listed = client.get("/api/models").json()["models"]
    found = {each["relative"]: each for each in listed}
    dog = found["loras/dog.safetensors"]
    assert (dog["kind"], dog["architecture"], dog["rank"], dog["alpha"]) == ("lora", "sd15", 4, 2.0)
    assert (dog["trigger_words"], dog["base_model"], dog["precision"]) == ("ohwx dog", "base.safetensors", "F16")
    assert found["vae.safetensors"]["kind"] == "vae"
    assert found["broken.safetensors"]["kind"] == "broken" and "web page" in found["broken.safetensors"]["problem"]
    assert found["old.ckpt"]["kind"] == "pickle" and "not opened" in found["old.ckpt"]["problem"]
    assert [each["relative"] for each in client.get("/api/models?kind=vae").json()["models"]] == ["vae.safetensors"]
    assert client.get(f"/api/models/{dog['id']}").json() == dog
    gone = client.delete(f"/api/models/{dog['id']}").json()
    assert gone["bytes"] == dog["bytes"] and not (models / "loras" / "dog.safetensors").exists()
    assert client.delete(f"/api/models/{dog['id']}").status_code == 422
    known = {each["name"]: each for each in client.get("/api/models/architectures").json()}
    assert set(known) == set(SPECS) and known["flux1"]["gated"]


def test_what_was_trained_here_is_listed(client: TestClient, loratory_home: Path) -> None:
    """Each once, also of a run in a folder of models, and of two with one name; checkpoints are not. One is deleted on
    its run's page."""
    make_run(loratory_home / "output", "parrot")
    make_run(loratory_home / "models" / "trained", "lory")
    make_run(loratory_home / "models" / "again", "lory")
    listed = client.get("/api/models").json()["models"]
    assert [(each["root"], each["relative"]) for each in listed] == [
        ("runs", "parrot/parrot_000000005.safetensors"), ("runs", "parrot/parrot.safetensors"),
        *[("runs", "lory/lory_000000005.safetensors"), ("runs", "lory/lory.safetensors")] * 2,
    ]  # fmt: skip
    assert len({each["id"] for each in listed}) == 6
    assert all(client.get(f"/api/models/{each['id']}").json()["path"] == each["path"] for each in listed)
    [final] = [each for each in listed if each["relative"] == "parrot/parrot.safetensors"]
    answer = client.delete(f"/api/models/{final['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "of_a_run")
    assert Path(final["path"]).is_file()


def test_files_are_read_once(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inventory.Inventory().all()
    read: list[Path] = []
    monkeypatch.setattr(
        inventory, "_facts", lambda path, layout: read.append(path) or inventory.Facts("other", "something")
    )
    assert inventory.Inventory().all() == first and read == []
    time.sleep(0.01)
    os.utime(models / "vae.safetensors")
    inventory.Inventory().all()
    assert read == [models / "vae.safetensors"]


def test_a_model_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    folder = tmp_path / "models--some--model"
    write_header(folder / "snapshots" / "abc" / "x.safetensors", LORA)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    assert resolve_local("some/model") == snapshot("some/model") == folder / "snapshots" / "abc"
    assert resolve_local("some/model/x.safetensors").name == "x.safetensors"
    with pytest.raises(NotHere, match="not on this machine yet"):
        resolve_local("some/other")
    for text in ("", "../x", "some/../../model", "nothing.safetensors", "/none"):
        with pytest.raises(UserError, match="There is no model at"):
            resolve_local(text)
    (found,) = inventory.Inventory().all()
    assert (found.root, found.relative, found.facts.kind) == ("hub", "some/model/x.safetensors", "lora")


def test_looks_are_remembered_until_something_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path / "home"))
    folder = tmp_path / "a"
    (folder / "inner").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "1.png")
    looks: list[Path] = []
    true_scan = scans.scan

    def counted(root: Path, *rest: Any) -> Scan:
        looks.append(root)
        return true_scan(root, *rest)

    monkeypatch.setattr(scans, "scan", counted)
    clock = [0.0]
    known = scans.Scans(now=lambda: clock[0])
    assert known.look(folder, (".txt",)) is known.look(folder, (".txt",))
    assert len(looks) == 1
    Image.new("RGB", (8, 8)).save(folder / "inner" / "2.png")
    assert len(known.look(folder, (".txt",)).items) == 2 and len(looks) == 2
    clock[0] += scans.STALE_SECONDS + 1
    known.look(folder, (".txt",))
    assert len(looks) == 3
    with pytest.raises(UserError, match="does not exist"):
        known.look(tmp_path / "none", (".txt",))
    monkeypatch.setattr(scans, "MOST_FOLDERS", 0)
    with pytest.raises(UserError, match="too many folders"):
        known.look(folder, (".txt",))
