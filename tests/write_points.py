"""The write points of a training, whatever else the test's own process has imported."""

import functools
import json
import subprocess
import sys

ASK = (
    "import json, loratory.session, loratory.training.run; from loratory.files import write_points; "
    "print(json.dumps(sorted(write_points())))"
)

NOT_PASSED = frozenset({"folder", "measured", "preset", "request", "tokens", "trash"})
"""Families that belong to modules of a training and are not passed by the trainings of the tests: others write
requests, presets and tokens, `folder` belongs to folders that are neither runs nor checkpoints, the trash is for what
`--from-step` leaves behind, and only runs that are longer than these tell the planner what they took (`measured`)."""


@functools.cache
def points_of_a_training() -> frozenset[str]:
    """All that the modules declare, but for the families that no training of the tests passes."""
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    points = json.loads(said.stdout.splitlines()[-1])
    return frozenset(point for point in points if point.partition(".")[0] not in NOT_PASSED)
