"""Kill a training at any moment and go on: it ends as if nothing had happened, bit for bit."""

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loratory.runs import RunFolder, read_status
from loratory.runs.status import ACTIVE_STATES, DIED, read_status_file
from tests.architectures import each
from tests.chaos.processes import KILLED, Child, start
from tests.e2e.jobs import BUSY, Data, contents, differences, events, job, kinds, leftovers
from tests.tiny import TINY
from tests.write_points import points_of_a_training

pytestmark = pytest.mark.chaos

# A checkpoint is replaced only when a finished run is trained again (see below).
ONLY_AGAIN = {"checkpoint.replacing"}
KEPT = {"exports": 2, "checkpoints": 2}


@dataclass
class Reference:
    """What a run that nothing disturbed leaves: every export and checkpoint, how long it took, what it passed."""

    contents: Data
    seconds: float
    points: dict[str, int]


@pytest.fixture(scope="module")
def seed() -> int:
    """A new one each time; LORATORY_CHAOS_SEED repeats one."""
    return int(os.environ.get("LORATORY_CHAOS_SEED") or random.SystemRandom().randrange(10**6))


@pytest.fixture(scope="module")
def reference(
    tiny_model: Callable[[str], Path], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Reference]:
    made: dict[str, Reference] = {}

    def get(architecture: str) -> Reference:
        if architecture not in made:
            folder = tmp_path_factory.mktemp(f"reference-{architecture}")
            keep_all = {"saving.keep_last_exports": None, "saving.keep_last_checkpoints": 100}
            data = job(tiny_model(architecture), photos, folder / "out", BUSY | keep_all)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LORATORY_HOME", str(folder / "home"))
                begun = time.monotonic()
                child = start(data, folder / "logs", count_points=True)
                assert child.end() == 0, child.words()
                seconds = time.monotonic() - begun
            found = contents(RunFolder.open(folder / "out" / "run"))
            assert [len(found[kind]) for kind in ("metrics", "exports", "checkpoints", "samples")] == [10, 4, 5, 2]
            # This run keeps everything; those that are killed delete 1 export and 3 checkpoints.
            made[architecture] = Reference(found, seconds, child.points() | {"delete.before_remove": 4})
        return made[architecture]

    return get


@dataclass
class Chain:
    """One run that is killed again and again. Each time it goes on from where the last kill left it."""

    data: Data
    reference: Reference
    logs: Path
    seed: int
    kills: list[str] = field(default_factory=list)

    @property
    def run_path(self) -> Path:
        return Path(self.data["saving"]["output_dir"], self.data["name"])

    def story(self) -> str:
        return f"LORATORY_CHAOS_SEED={self.seed}; killed: {', '.join(self.kills) or 'not yet'}"

    def attempt(self, what: str, begin: Callable[[], Child]) -> bool:
        """Train until killed (True) or finished (False), and look at what there is."""
        child = begin()
        code = child.end()
        assert code in (0, *KILLED), f"{self.story()}; then {what}: exit code {code}; {child.words()}"
        if code in KILLED:
            self.kills.append(what)
            self.check_whole()
        return code in KILLED

    def at_point(self, point: str, nth: int = 1, **settings: Any) -> bool:
        fault = f"{point}:{nth}=kill"
        return self.attempt(fault, lambda: start(self.data, self.logs, fault=fault, **settings))

    def after_step(self, step: int) -> bool:
        return self.attempt(f"after step {step}", lambda: start(self.data, self.logs, kill_after_step=step))

    def after_seconds(self, seconds: float) -> bool:
        def begin() -> Child:
            child = start(self.data, self.logs)
            child.process.join(seconds)
            child.process.kill()
            return child

        return self.attempt(f"after {seconds:.2f} s", begin)

    def check_whole(self) -> None:
        """Whatever is on the disk can be read and is exactly what the undisturbed run had."""
        if not self.run_path.exists():
            return
        run = RunFolder.open(self.run_path)
        assert differences(contents(run), self.reference.contents) == [], self.story()
        numbers = [event.seq for event in events(run)]
        assert numbers == list(range(1, len(numbers) + 1)), self.story()
        written, read = read_status_file(run.path).state, read_status(run.path).state
        assert read == (DIED if written in ACTIVE_STATES else written), self.story()

    def finish(self) -> None:
        child = start(self.data, self.logs)
        assert child.end() == 0, f"{self.story()}; {child.words()}"
        self.check_finished()

    def check_finished(self) -> None:
        """Nothing is missing, nothing is left over, nothing differs."""
        run = RunFolder.open(self.run_path)
        self.check_whole()
        found, expected = contents(run), self.reference.contents
        assert list(found["metrics"]) == list(expected["metrics"]), self.story()
        assert found["samples"].keys() == expected["samples"].keys(), self.story()
        assert list(found["checkpoints"]) == list(expected["checkpoints"])[-KEPT["checkpoints"] :], self.story()
        numbered = [name for name in expected["exports"] if name != "run.safetensors"]
        assert list(found["exports"]) == [*numbered[-KEPT["exports"] :], "run.safetensors"], self.story()
        assert leftovers(run) == [], self.story()
        assert read_status(run.path).state == "finished"
        assert kinds(run)[-1] == "finished"


@pytest.fixture
def chains(
    reference: Callable[[str], Reference],
    tiny_model: Callable[[str], Path],
    photos: Path,
    tmp_path: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Iterator[Chain]]:
    """`chains(architecture)`: chains without end, each with a new run and an empty home."""

    def make(architecture: str) -> Iterator[Chain]:
        known = reference(architecture)
        number = 0
        while True:
            number += 1
            folder = tmp_path / str(number)
            monkeypatch.setenv("LORATORY_HOME", str(folder / "home"))
            yield Chain(job(tiny_model(architecture), photos, folder / "out", BUSY), known, folder / "logs", seed)

    return make


# One architecture in CI; what the others have of their own has no part in it.
@pytest.mark.slow
@pytest.mark.parametrize("architecture", each(quick=("sd15",)))
def test_kills_in_a_row(architecture: str, chains: Callable, chaos_kills: int, seed: int) -> None:
    """At write points, between steps and at any moment of the clock; the run that is killed is often a resumed one."""
    draw = random.Random(f"{seed} {architecture}")
    supply = chains(architecture)
    chain, kills = next(supply), 0
    known = chain.reference
    while kills < chaos_kills:
        way = draw.choice(("point", "point", "step", "moment"))
        if way == "point":
            point = draw.choice(sorted(known.points))
            killed = chain.at_point(point, draw.randint(1, known.points[point]))
        elif way == "step":
            killed = chain.after_step(draw.randint(1, 10))
        else:
            killed = chain.after_seconds(draw.uniform(0, known.seconds))
        kills += killed
        if not killed:
            chain.check_finished()
            chain = next(supply)
    chain.finish()


@pytest.mark.full
@pytest.mark.parametrize("architecture", TINY)
def test_every_write_point(architecture: str, chains: Callable, reference: Callable, seed: int) -> None:
    """Each point once, the n-th time that it is passed, n by chance; in a new run if a resumed one does not pass it."""
    draw = random.Random(f"{seed} {architecture} points")
    counts = reference(architecture).points
    supply = chains(architecture)
    chain = next(supply)
    for point in sorted(counts.keys() - ONLY_AGAIN, key=lambda _: draw.random()):
        nth = draw.randint(1, counts[point])
        if chain.at_point(point, nth):
            continue
        chain.check_finished()
        chain = next(supply)
        # A slow machine writes its status and metrics more often, by the clock, and never more seldom than once.
        assert chain.at_point(point, 1 if point.startswith(("status.", "metrics.")) else nth), f"{point} was not passed"
    chain.finish()


@pytest.mark.slow
def test_a_training_passes_every_write_point(reference: Callable) -> None:
    """What the test above goes through is all there is: a new point joins it, or stands in the list with a reason."""
    assert points_of_a_training() - reference("sd15").points.keys() == ONLY_AGAIN


@pytest.mark.slow
def test_killed_while_a_finished_run_is_saved_again(chains: Callable) -> None:
    """Its last checkpoint is replaced then: the old or the new one is there, whole."""
    chain = next(chains("sd15"))
    chain.finish()
    assert chain.at_point("checkpoint.replacing")
    chain.finish()


@pytest.mark.slow
def test_killed_while_the_cache_is_half_filled(chains: Callable) -> None:
    """Pictures and captions are encoded several at a time, and which ones together shows in the last digits."""
    chain = next(chains("sd15"))
    for nth in (2, 12):
        assert chain.at_point("cache.before_rename", nth, shard_bytes=1)
    chain.finish()
