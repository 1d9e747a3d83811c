"""Stop a training in every way there is, and go on: by itself, bit-equal, and only where the config allows it."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.runs import RunFolder, read_status, request
from loratory.training.checkpoint import FORMAT
from tests.e2e.jobs import BUSY, Data, changed, contents, differences, events, job, kinds, losses, metrics, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tiny_model: Callable[[str], Path], photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """What the busy job leaves when nothing happens to it; it keeps every checkpoint and export."""
    folder = tmp_path_factory.mktemp("undisturbed")
    keep = {"saving.keep_last_exports": None, "saving.keep_last_checkpoints": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORATORY_HOME", str(folder / "home"))
        return contents(train(job(tiny_model("sd15"), photos, folder / "out", BUSY | keep)))


def interrupt(_training: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_twice(_training: Any) -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def end(_training: Any) -> None:
    signal.raise_signal(signal.SIGTERM)


def ask_to_stop(training: Any) -> None:
    request(training.run.path, "stop")


@pytest.mark.parametrize(
    ("way", "code", "last_checkpoint", "says"),
    [
        (interrupt, 130, 5, "Finishing this step and saving. Ctrl+C again leaves at once."),
        (interrupt_twice, 130, 4, "Left at once. To go on from the last checkpoint: loratory train "),
        (end, 0, 5, "the system asked the process to end"),
        (ask_to_stop, 0, 5, "a stop request"),
    ],
)
def test_stop(
    way: Callable, code: int, last_checkpoint: int, says: str, make_job: Callable, job_file: Callable,
    loratory: Callable, at_step: Callable, undisturbed: Data, tmp_path: Path,
) -> None:  # fmt: skip
    """It finishes the step, saves, says how to go on; and goes on as if it had not stopped."""
    handler = signal.getsignal(signal.SIGINT)
    path = job_file(make_job("sd15", BUSY))
    at_step(5, way)
    said = loratory("train", path)
    assert (said.code, signal.getsignal(signal.SIGINT)) == (code, handler), said.text
    assert says in said.text
    run = RunFolder.open(tmp_path / "out" / "run")
    assert [each.step for each in run.checkpoints()][-1] == last_checkpoint
    assert read_status(run.path).state == "stopped"
    assert "stopped" in kinds(run)
    assert not list(run.control_path.iterdir())
    assert "run.safetensors" not in {export.path.name for export in run.exports()}
    if way is not interrupt_twice:
        reason = "Ctrl+C" if code else says
        assert f"Stopped after step 5 of 10 ({reason}); everything is saved." in said.text
        assert f"To go on: loratory train {run.path}\n" in said.text

    at_step(0, lambda training: None)
    said = loratory("train", run.path if code else path)  # by its folder, or by the same job file
    assert said.code == 0, said.text
    found = contents(run)
    found["checkpoints"].pop(5, None)
    assert differences(found, undisturbed) == []
    assert list(found["metrics"]) == list(range(1, 11))
    assert next(event.data["step"] for event in events(run) if event.kind == "resumed") == last_checkpoint
    assert kinds(run)[-1] == "finished"


@pytest.mark.parametrize(
    ("caching", "by_request"),
    [({"batch_size": 1}, False), ({"batch_size": 1, "latents": "off"}, False), ({"batch_size": 1}, True)],
)
def test_stop_while_the_caches_are_filled(
    caching: Data, by_request: bool, make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """That may take hours: nobody waits for its end, and what is encoded already is not encoded again."""
    from loratory.training import cache

    used: list[str] = []
    real = cache.Pictures.pixels

    def pixels(self: Any, sample: Any, view: Any) -> Any:
        used.append(sample.item.path)
        if len(used) == 2 and by_request:
            request(tmp_path / "out" / "run", "sample")  # nothing to sample with yet: it waits
            request(tmp_path / "out" / "run", "stop")
        elif len(used) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, sample, view)

    monkeypatch.setattr(cache.Pictures, "pixels", pixels)
    path = job_file(make_job("sd15", {"caching": caching}))
    said = loratory("train", path)
    assert said.code == (0 if by_request else 130), said.text
    reason = "a stop request" if by_request else "Ctrl+C"
    assert f"Stopped after step 0 of 4 ({reason}); everything is saved. To go on: loratory train " in said.text
    run = RunFolder.open(tmp_path / "out" / "run")
    waiting = [path.stem.partition("-")[2] for path in run.control_path.iterdir()]
    assert waiting == (["sample"] if by_request else [])
    assert read_status(run.path).state == "stopped"
    assert run.checkpoints() == []
    if "latents" not in caching:
        stored = len(used)
        assert loratory("train", path).code == 0
        assert 0 < len(used) - stored < 5, "some were encoded before"
    else:
        assert loratory("train", path).code == 0
    assert losses(run) == losses(train(make_job("sd15", {"caching": caching}, output="plain")))


def test_requests_while_training(make_job: Callable, at_step: Callable) -> None:
    """Save, sample and new prompts are done between two steps and change nothing of the training."""

    def ask(training: Any) -> None:
        request(training.run.path, "save")
        request(training.run.path, "sample")
        request(training.run.path, "prompts", {"prompts": ["a dog --w 16 --h 16 --s 1"]})
        request(training.run.path, "prompts", {"prompts": ["a dog --x 7"]})
        request(training.run.path, "prompts", {"prompts": "no list"})
        (training.run.control_path / "nonsense.json").write_text("{}", encoding="utf-8")

    prompts = {"sampling": {"prompts": ["a cat --w 32 --h 32 --s 1"], "every_n_steps": 4, "before_first_step": False}}
    plain = train(make_job("sd15", prompts, output="plain"))
    at_step(2, ask)
    run = train(make_job("sd15", prompts))
    assert losses(run) == losses(plain)
    assert [export.step for export in run.exports()] == [2, None]
    assert [each.step for each in run.checkpoints()] == [2, 4]
    samples = sorted(path.name for path in run.samples_path.iterdir())
    assert [name[:9] for name in samples] == ["000000002", "000000004"]
    assert samples[0][9:] != samples[1][9:], "the second is of the new prompt"
    answers = [event.data for event in events(run) if event.kind == "request_answered"]
    assert [answer["ok"] for answer in answers] == [False, True, True, True, False, False]
    assert [answer.get("prompts") for answer in answers[3:]] == [["a dog --w 16 --h 16 --s 1"], None, None]
    assert "--x" in answers[4]["message"]
    assert '{"prompts": [' in answers[5]["message"]
    assert not list(run.control_path.iterdir())


def stopped_at_3(data: Data, at_step: Callable) -> RunFolder:
    at_step(3, lambda training: training.stop.ask("the test"))
    run = train(data)
    at_step(0, lambda training: None)
    assert [each.step for each in run.checkpoints()] == [3]
    return run


def test_weights_only_starts_the_optimizer_fresh(
    make_job: Callable, job_file: Callable, loratory: Callable, at_step: Callable
) -> None:
    data = make_job("sd15", {"optimizer.learning_rate": 0.01, "duration.steps": 6})
    whole = train(changed(data, {"saving.output_dir": data["saving"]["output_dir"] + "-whole"}))
    run = stopped_at_3(data, at_step)
    said = loratory("train", job_file(data), "--weights-only")
    assert said.code == 0, said.text
    assert [event.data["weights_only"] for event in events(run) if event.kind == "resumed"] == [True]
    assert losses(run)[:4] == losses(whole)[:4], "the fourth step still begins with the same weights"
    assert losses(run)[4:] != losses(whole)[4:]
    from safetensors.torch import load_file

    counts = load_file(run.checkpoints()[-1].path / "optimizer.safetensors")
    assert {float(tensor) for name, tensor in counts.items() if name.endswith(".step")} == {3.0}


def test_checkpoint_of_another_version(
    make_job: Callable, job_file: Callable, loratory: Callable, at_step: Callable
) -> None:
    """It is refused with a way out, and the way out leads out."""
    data = make_job("sd15")
    run = stopped_at_3(data, at_step)
    state = run.checkpoints()[0].path / "state.json"
    text = state.read_text(encoding="utf-8")
    assert text.count(f'"format": {FORMAT},') == 1
    state.write_text(text.replace(f'"format": {FORMAT},', '"format": 9,'), encoding="utf-8")
    said = loratory("train", job_file(data))
    assert said.code == 1
    assert f"has format 9, this Loratory reads {FORMAT}" in said.error
    assert "--weights-only" in said.error
    assert loratory("train", job_file(data), "--weights-only").code == 0
    assert len(losses(run)) == 4


@pytest.mark.parametrize(
    ("changes", "refused", "warned"),
    [
        ({"network.rank": 4, "seed": 7}, ["network.rank was 2 and is now 4", "seed was 42 and is now 7"], []),
        ({"datasets.0.num_repeats": 3}, ["datasets.0.num_repeats was 1 and is now 3"], []),
        ({"optimizer": {"type": "sgd"}}, ["optimizer.type was 'adamw' and is now 'sgd'"], []),
        ({"optimizer.learning_rate": 0.5}, [], ["optimizer.learning_rate was 0.0001 and is now 0.5"]),
        ({"saving.comment": "other", "saving.precision": "fp32", "runtime.prefetch": 0}, [], []),
    ],
)
def test_resume_with_another_config(
    changes: Data, refused: list[str], warned: list[str], make_job: Callable, job_file: Callable, loratory: Callable,
    at_step: Callable,
) -> None:  # fmt: skip
    """What must not differ is named and nothing is touched; what may differ is said; what does not matter is not."""
    data = make_job("sd15")
    run = stopped_at_3(data, at_step)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    said = loratory("train", job_file(changed(data, changes)))
    if refused:
        assert said.code == 1
        assert all(words in said.error for words in refused), said.error
        assert "another name" in said.error
        now = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
        assert now == before
    else:
        assert said.code == 0, said.text
        assert [line for line in said.text.splitlines() if "Changed since the run began" in line] == [
            line for words in warned for line in said.text.splitlines() if line.endswith(words)
        ]
        assert [event.data["changed"] for event in events(run) if event.kind == "resumed"] == [warned]
        assert len(losses(run)) == 4


def test_finished_run_again(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    """It says that all is done; with more steps it goes on, as the longer run would have from the start."""
    data = make_job("sd15", {"optimizer.learning_rate": 0.01})
    longer = changed(data, {"duration.steps": 7})
    whole = contents(train(changed(longer, {"saving.output_dir": data["saving"]["output_dir"] + "-whole"})))
    run = train(data)
    before = contents(run)
    said = loratory("train", job_file(data))
    assert said.code == 0
    assert "All 4 steps are done already." in said.text
    assert contents(run) == before

    said = loratory("train", job_file(longer))
    assert said.code == 0, said.text
    assert "duration.steps was 4 and is now 7" in said.text
    found = contents(run)
    assert found["metrics"] == whole["metrics"]
    assert found["exports"] == whole["exports"]
    assert found["checkpoints"][7] == whole["checkpoints"][7]


def test_pictures_that_changed_are_said(
    make_job: Callable, photos: Path, tmp_path: Path, job_file: Callable, loratory: Callable, at_step: Callable
) -> None:
    import shutil

    mine = shutil.copytree(photos, tmp_path / "mine")
    data = make_job("sd15", {"datasets.0.path": str(mine)})
    run = stopped_at_3(data, at_step)
    next(mine.glob("*_coffee.png")).unlink()
    said = loratory("train", job_file(data))
    assert said.code == 0, said.text
    assert "The pictures are not the same as before the pause" in said.text
    assert "dataset_changed" in kinds(run)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("sd15", {"optimizer": {"type": "sgd", "learning_rate": 0.5, "momentum": 0.0}}),
        ("sd15", {"optimizer": {"type": "sgd", "learning_rate": 0.5, "momentum": 0.9}}),
        ("sdxl", {"network.train_text_encoders": True, "network.dropout": 0.2}),  # some weights get no gradient
        ("flux1", {"network.train_text_encoders": True, "memory.gradient_checkpointing": True}),
        ("sd15", {"memory.precision": "bf16", "network.conv_rank": 2, "caching.latents": "off"}),
    ],
)
def test_whatever_is_trained_resumes(architecture: str, changes: Data, make_job: Callable, at_step: Callable) -> None:
    """The settings that bring a state of their own and are in no other test here."""
    data = make_job(architecture, changes)
    whole = contents(train(changed(data, {"saving.output_dir": data["saving"]["output_dir"] + "-whole"})))
    run = stopped_at_3(data, at_step)
    train(data)
    found = contents(run)
    found["checkpoints"].pop(3)
    assert differences(found, whole) == []
    assert found["metrics"].keys() == whole["metrics"].keys()


def test_logged_seldom(make_job: Callable, at_step: Callable) -> None:
    """Steps between two logged ones leave no gap and no doubles after a resume."""
    data = make_job("sd15", {"logging.every_n_steps": 2, "duration.steps": 5})
    run = stopped_at_3(data, at_step)
    train(data)
    assert [line["step"] for line in metrics(run)] == [2, 4, 5]
    assert torch.tensor(losses(run)).isfinite().all()
