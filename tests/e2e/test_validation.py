"""Kept-back pictures from the job to the file: no leak, no influence, resumes, early stop, the best file."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loratory.networks.metadata import payload_sha256, read_lora
from loratory.runs import RunFolder, read_status, request
from tests.e2e.jobs import Data, changed, contents, differences, events, kinds, losses, metrics, train, validations
from tests.photos import write_photos

pytestmark = pytest.mark.slow

LEARNING = {"optimizer.learning_rate": 0.02}


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures that no job of these tests trains on: smaller ones, in two shapes."""
    return write_photos(tmp_path_factory.mktemp("kept") / "kept", 3, 80)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainings, as they were before their first step."""
    from loratory.training import assemble

    seen: list[Any] = []
    original = assemble.make_training

    def make(*arguments: Any) -> Any:
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(assemble, "make_training", make)
    return seen


def test_a_split_never_leaks(make_job: Callable[..., Data], photos: Path, tmp_path: Path, look: list[Any]) -> None:
    """One picture under two names in two datasets, one of them repeated and one cut otherwise; then after a resume."""
    twins = tmp_path / "twins"
    for number, path in enumerate(sorted(photos.glob("*.png"))):
        folder = twins / f"{number + 2}_twin"
        folder.mkdir(parents=True)
        shutil.copy(path, folder / f"other {number}.png")
    datasets = [{"path": str(photos)}, {"path": str(twins), "resolutions": [96], "num_repeats": 2}]
    data = make_job("sd15", {"datasets": datasets, "validation": {"split": 0.5, "every_n_steps": 2}})
    train(data)
    train(changed(data, {"duration.steps": 6}))
    roots = [photos, twins]
    for training in look:
        held = training.validation._held
        measured = {(roots[each.dataset] / each.item.path).read_bytes() for each in held.samples}
        trained = {(roots[each.dataset] / each.item.path).read_bytes() for each in training.plan.samples}
        assert measured and trained and not measured & trained
        assert len(measured | trained) == 5 and len(held.samples) == len(measured)
    assert look[0].plan.fingerprint() == look[1].plan.fingerprint()


@pytest.mark.parametrize(
    "architecture", ["flux1", *(pytest.param(each, marks=pytest.mark.full) for each in ("sd15", "sdxl"))]
)
def test_the_number_is_that_of_the_file_and_nothing_else(
    architecture: str, make_job: Callable[..., Data], kept: Path
) -> None:
    """Measuring changes nothing; batches, caches, dropout, seeds and chance in captions change the number by rounding;
    a file that is loaded again has the number that it was kept for."""
    noisy = {"datasets.0.captions": {"shuffle": True, "dropout_rate": 0.3}, "datasets.0.augmentation.flip": True,
             "network.dropout": 0.3, "batching.size": 2, "ema.decay": 0.9}  # fmt: skip
    job = LEARNING | noisy | {"validation.path": str(kept), "validation.every_n_steps": 2}
    run = train(make_job(architecture, job))
    plain = train(make_job(architecture, {**job, "validation": {}}, output="plain"))
    assert metrics(run) == metrics(plain)
    assert payload_sha256(run.final_export_path) == payload_sha256(plain.final_export_path)
    measured = validations(run)
    assert [line["step"] for line in measured] == [0, 2, 4]
    assert len({line["validation_loss"] for line in measured}) == 3
    bands = {name: value for name, value in measured[0].items() if "band" in name}
    assert len(bands) == 4
    assert sum(bands.values()) / 4 == pytest.approx(measured[0]["validation_loss"], rel=1e-6)
    assert read_status(run.path).validation_loss == measured[-1]["validation_loss"]

    again = {**job, "network.start_from": str(run.final_export_path), "seed": 7, "batching.size": 1,
             "caching": {"latents": "off", "text_embeddings": "off"}, "ema": {}, "duration.steps": 1}  # fmt: skip
    other = validations(train(make_job(architecture, again | {"saving.precision": "fp32"}, output="again")))[0]
    last = measured[-1]
    assert other["step"] == 0
    for name, value in last.items():
        if name != "step":
            assert other[name] == pytest.approx(value, rel=2e-3), "the file is in bf16"


@pytest.fixture
def busy(make_job: Callable[..., Data], kept: Path) -> Data:
    """Everything with a state that has to do with it."""
    validation = {"path": str(kept), "every_n_steps": 2, "timesteps": 2, "early_stop_after": 40}
    return make_job(
        "sd15",
        LEARNING
        | {"validation": validation, "duration.steps": 7, "ema.decay": 0.8, "saving.checkpoint_every_n_steps": 3,
           "saving.keep_last_checkpoints": 9, "batching.size": 2, "logging.csv": True},
    )  # fmt: skip


def in_the_middle(monkeypatch: pytest.MonkeyPatch, nth: int, do: Callable[[], object]) -> None:
    """Call `do` when the n-th batch of validation is measured."""
    from loratory.training import validation

    real, count = validation._Group.losses, [0]

    def measured(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] == nth:
            do()
        return real(*arguments)

    monkeypatch.setattr(validation._Group, "losses", measured)


def test_a_resume_repeats(
    busy: Data, at_step: Callable, monkeypatch: pytest.MonkeyPatch, job_file: Callable, loratory: Callable
) -> None:
    """Stopped between two, right before one that is due, in the middle of one, and killed behind one."""
    elsewhere = changed(busy, {"saving.output_dir": busy["saving"]["output_dir"] + "-whole"})
    whole = contents(train(elsewhere))
    assert list(whole["validations"]) == [0, 2, 4, 6, 7]
    table = (Path(elsewhere["saving"]["output_dir"]) / "run" / "metrics_run.csv").read_text().splitlines()

    def kill(_training: Any) -> None:
        raise KeyboardInterrupt

    path = Path(busy["saving"]["output_dir"]) / "run"
    ways = [
        (0, lambda: in_the_middle(monkeypatch, 3, lambda: request(path, "stop"))),  # before the first step
        (0, lambda: in_the_middle(monkeypatch, 6, lambda: signal.raise_signal(signal.SIGINT))),  # after step 2
        (4, lambda: at_step(4, lambda training: training.stop.ask("the test"))),  # when it is due
        (5, lambda: at_step(5, kill)),  # back to the checkpoint after step 4
        (7, lambda: at_step(7, kill)),
    ]  # fmt: skip
    for number, (_, arrange) in enumerate(ways):
        at_step(0, lambda training: None)
        arrange()
        assert loratory("train", job_file(busy)).code in (0, 130), number
        found = contents(RunFolder.open(path))
        assert differences(found | {"exports": {}, "checkpoints": {}}, whole) == [], number
    at_step(0, lambda training: None)
    train(busy)
    found = contents(RunFolder.open(path))
    assert found["metrics"] == whole["metrics"] and found["validations"] == whole["validations"]
    assert found["exports"] == whole["exports"], "the best one and the final one"
    for step in (3, 6, 7):
        assert found["checkpoints"][step] == whole["checkpoints"][step]
    again = (path / "metrics_run.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in again] == [row.split(",")[0] for row in table]


def test_early_stop_and_the_best_file(
    make_job: Callable[..., Data], kept: Path, job_file: Callable, loratory: Callable, tmp_path: Path
) -> None:
    """Nothing is better by enough than the first: the run ends with a reason; the best file is always the best one."""
    data = make_job(
        "sd15",
        {"optimizer.learning_rate": 2.0, "duration.steps": 30,
         "validation": {"path": str(kept), "every_n_steps": 2, "early_stop_after": 3, "min_improvement": 0.9},
         "saving.export_every_n_steps": 1, "saving.keep_last_exports": 1, "saving.keep_every_n_steps": 2},
    )  # fmt: skip
    run_path = tmp_path / "out" / "run"

    def check(said: Any, ended_at: int) -> None:
        assert said.code == 0, said.text
        run, status = RunFolder.open(run_path), read_status(run_path)
        measured = {line["step"]: line["validation_loss"] for line in validations(run)}
        best = min((step for step in measured if step), key=lambda step: measured[step])
        assert (status.state, status.step) == ("finished", ended_at)
        assert (status.best_step, status.best_validation_loss) == (best, measured[best])
        assert status.message and "validations in a row brought nothing better" in status.message
        ended = [event.data for event in events(run) if event.kind == "finished"][-1]
        assert (ended["step"], ended["reason"]) == (ended_at, status.message)
        assert run.final_export_path.is_file()
        assert payload_sha256(run.best_export_path) == payload_sha256(run.export_path(best))
        assert read_lora(run.best_export_path)[1]["ss_steps"] == str(best)
        assert payload_sha256(run.best_export_path) != payload_sha256(run.export_path(2 if best > 2 else 4))

    check(loratory("train", job_file(data)), ended_at=8)
    again = loratory("train", job_file(data))
    assert "The run has ended early: 3 validations in a row" in again.text
    check(again, ended_at=8)
    check(loratory("train", job_file(changed(data, {"validation.early_stop_after": 5}))), ended_at=12)
    deleted = [event.data["file"] for event in events(RunFolder.open(run_path)) if event.kind == "deleted"]
    assert deleted and "run_best.safetensors" not in deleted


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"split": 1e-9}, "keeps none of 5 pictures back"),
        ({"split": 0.999999999}, "keeps all 5 pictures back"),
        ({"path": "PHOTOS"}, "all 5 pictures in"),
        ({"path": "no such folder"}, "does not exist"),
    ],
)
def test_nothing_on_one_side_is_said_before_the_model_is_loaded(
    validation: Data, words: str, make_job: Callable[..., Data], photos: Path, job_file: Callable, loratory: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from loratory.training import assemble

    monkeypatch.setattr(assemble, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    path = job_file(make_job("sd15", {"validation": json.loads(json.dumps(validation).replace("PHOTOS", str(photos)))}))
    for command in (("train", path), ("config", "check", path)):
        said = loratory(*command)
        assert said.code == 1
        assert words in said.error


def test_trained_text_encoders_are_measured_as_they_are(make_job: Callable[..., Data], kept: Path) -> None:
    """Captions are encoded in place, in evaluation mode; the same number at a rate of zero."""
    changes = {"network": {"rank": 2, "train_text_encoders": True, "dropout": 0.5}, "optimizer.learning_rate": 0.05,
               "validation": {"path": str(kept), "every_n_steps": 2}}  # fmt: skip
    run = train(make_job("sd15", changes))
    found = [line["validation_loss"] for line in validations(run)]
    assert len(set(found)) == 3
    frozen = train(
        make_job("sd15", changes | {"network": {"rank": 2}, "optimizer.learning_rate": 1e-12}, output="frozen")
    )
    still = {line["validation_loss"] for line in validations(frozen)}
    assert [*still] == pytest.approx([found[0]] * len(still), rel=1e-5), "caches or not"


def test_numbers_of_training_by_band(make_job: Callable[..., Data]) -> None:
    """With one picture in a step its band has the step's loss, if nothing weighs it; a weight leaves the band alone."""
    lines = metrics(train(make_job("sd15", {"duration.steps": 12})))
    weighed = metrics(train(make_job("sd15", {"duration.steps": 12, "datasets.0.loss_weight": 0.5}, output="half")))
    names = set()
    for line in lines:
        (band,) = (name for name in line if name.startswith("loss_band_"))
        names.add(band)
        assert line[band] == line["loss"]
    assert len(names) >= 3
    first = next(name for name in weighed[0] if name.startswith("loss_band_"))
    assert weighed[0][first] == lines[0][first]
    assert weighed[0]["loss"] == pytest.approx(lines[0]["loss"] / 2)


def test_what_is_recorded_and_shown(
    make_job: Callable[..., Data], job_file: Callable, loratory: Callable, tmp_path: Path
) -> None:
    """Seconds, memory and speed in the lines; the seconds of the whole run in its last event; the terminal."""
    prompts = {"sampling": {"prompts": ["a cat --w 32 --h 32 --s 1"], "every_n_steps": 4, "before_first_step": False}}
    data = make_job("sd15", prompts | {"saving.checkpoint_every_n_steps": 2})
    said = loratory("train", job_file(data))
    run = RunFolder.open(tmp_path / "out" / "run")
    raw = [json.loads(text) for text in run.metrics_path.read_text().splitlines()[1:]]
    for line in raw:
        parts = [line[f"seconds/{name}"] for name in ("data", "forward", "backward", "optimizer", "other")]
        assert all(part >= 0 for part in parts) and line["seconds/forward"] > 0
        assert line["memory/process_mib"] > 100
        assert line["timestamp"].startswith("20") and line["timestamp"].endswith("+00:00")
    assert raw[-1]["iterations_per_second"] > 0
    seconds = events(run)[-1].data["seconds"]
    assert seconds["sample"] > 0 and seconds["save"] > 0
    assert sum(line["seconds/forward"] for line in raw) == pytest.approx(seconds["forward"], abs=0.01)
    assert "Checkpoint after step 2" in said.text
    quiet = loratory("train", job_file(changed(data, {"name": "quiet", "logging.level": "warning"})))
    assert "Checkpoint after step 2" not in quiet.text
    assert "Checkpoint after step 2" in (tmp_path / "out" / "quiet" / "log.txt").read_text(encoding="utf-8")


def test_samples_and_numbers_reach_a_tracker(make_job: Callable[..., Data], at_step: Callable) -> None:
    """TensorBoard's own reader finds the samples and the validation of a run that was stopped on its way."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    prompts = {"sampling": {"prompts": ["a cat --w 32 --h 32 --s 1"], "every_n_steps": 2, "before_first_step": True}}
    data = make_job("sd15", prompts | {"logging.tensorboard": True, "validation": {"split": 0.5, "every_n_steps": 2}})
    at_step(3, lambda training: training.stop.ask("the test"))
    train(data)
    at_step(0, lambda training: None)
    run = train(data)
    read = EventAccumulator(str(run.path / "tensorboard"))
    read.Reload()
    assert [event.step for event in read.Images("samples/00")] == [0, 2, 4]
    assert [event.value for event in read.Scalars("loss")] == pytest.approx(losses(run))
    expected = [line["validation_loss"] for line in validations(run)]
    assert [event.value for event in read.Scalars("validation_loss")] == pytest.approx(expected)
    assert "tracker_failed" not in kinds(run)
