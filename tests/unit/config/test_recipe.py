"""What is told about a training in the header of its files."""

import pytest

from loratory.config.load import parse
from loratory.config.recipe import recipe


def told(**sections: object) -> dict[str, object]:
    data = {"name": "birds", "model": {"path": "/data/anna/models/base.safetensors"},
            "datasets": [{"path": "/data/anna/pictures/lory", "trigger_word": "lory"}], **sections}  # fmt: skip
    return recipe(parse(data, "the job"))


def test_settings_that_matter_and_no_places() -> None:
    found = told(
        network={"type": "lokr", "factor": 8}, optimizer={"learning_rate": 0.5}, runtime={"device": "cpu"},
        saving={"output_dir": "/data/anna/out"},
    )  # fmt: skip
    assert found["network.type"] == "lokr" and found["network.factor"] == 8 and found["optimizer.learning_rate"] == 0.5
    assert found["model.path"] == "base.safetensors" and found["datasets.0.trigger_word"] == "lory"
    assert "network.rank" not in found, "a default"
    assert not any("anna" in str(value) for value in found.values())
    assert not any(path.startswith(("runtime.", "saving.output")) for path in found)


@pytest.mark.parametrize(
    ("path", "shown"),
    [("stabilityai/sdxl-base", "stabilityai/sdxl-base"), ("./models/base", "base"), (r"D:\anna\base", "base"),
     ("/models/base/", "base"), ("demo", "demo"), ("models/base.safetensors", "base.safetensors")],
)  # fmt: skip
def test_paths_and_hub_ids(path: str, shown: str) -> None:
    assert told(model={"path": path})["model.path"] == shown


def test_each_of_several_paths_loses_its_folders() -> None:
    parts = {"text_encoder": "/data/anna/clip.safetensors", "vae": "owner/vae"}
    found = told(model={"path": "demo", "parts": parts})
    assert found["model.parts"] == {"text_encoder": "clip.safetensors", "vae": "owner/vae"}
