"""Everything a training imports, so that a server which has imported this starts a training by a mere fork."""

import importlib
import os

import diffusers
import torch

import loratory.cli
import loratory.session
import loratory.training.run
from loratory.config.architectures import get_spec
from tests.tiny import TINY

for _architecture in TINY:
    _spec = get_spec(_architecture)
    importlib.import_module(_spec.code.partition(":")[0])
    getattr(diffusers, _spec.pipeline_class, None)  # imports it, where diffusers has it

# Threads of this process would be missing in the forked ones. Whoever imports torch or NumPy with one thread has none.
assert torch.get_num_threads() == 1, "set OMP_NUM_THREADS=1"

IMPORTED_BY = os.getpid()

__all__ = ["IMPORTED_BY", "loratory"]
