"""A server is killed in the middle of a bulk edit of captions, wherever; the next one finishes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loratory.datasets.edits import plan_edit
from loratory.datasets.journal import Journal
from loratory.datasets.operations import Trigger
from loratory.datasets.workbench import Workbench
from tests.chaos.processes import KILLED, ROOT
from tests.unit.datasets.folders import contents, make_dataset, open_dataset

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

COUNT = 30
CARRY_OUT = """
import sys
from loratory.datasets.edits import apply_edit
from loratory.datasets.workbench import Workbench
opened = Workbench().open(sys.argv[1])
print("carrying out", flush=True)
apply_edit(opened, sys.argv[2])
"""


@pytest.mark.parametrize(
    "fault",
    ["edit.applying", "caption.before_write", "caption.before_rename:7", "caption.after_rename:30", "edit.written",
     "edit.done"],
)  # fmt: skip
def test_a_killed_edit_is_finished(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORATORY_HOME", str(tmp_path))
    captions = {
        f"{number % 3 + 1}_dog/p{number:02}": None if number % 5 == 0 else f"dog {number}" for number in range(COUNT)
    }
    dataset = make_dataset("dogs", captions, width=8, height=8)
    opened = open_dataset(dataset)
    old = contents(dataset.path)
    step = plan_edit(opened, range(COUNT), [Trigger(op="trigger", word="ohwx")], "me")
    done = subprocess.run(
        [sys.executable, "-c", CARRY_OUT, dataset.id, step.id], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"LORATORY_FAULT": f"{fault}=kill", "PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.returncode in KILLED, done.stdout + done.stderr
    now = contents(dataset.path)
    written = {name for name, data in now.items() if data.startswith(b"ohwx")}
    assert {name: data for name, data in now.items() if name not in written} == {
        name: data for name, data in old.items() if name not in written
    }, "a caption is the old one or the new one"
    bench = Workbench()
    bench.begin()
    bench.end()
    new = contents(dataset.path)
    assert len(new) == step.count
    assert all(data == b"ohwx, " + old[name] if name in old else data == b"ohwx" for name, data in new.items())
    assert Journal(dataset).step(step.id).state == "done"
    assert [path for path in dataset.path.rglob(".tmp-*")] == []
