"""Config and dataset → steps, buckets, disk, memory and time, before anything is loaded. Torch-free.

`steps` says what a run does; a training uses it, too. `counts` says the same in numbers alone, in milliseconds for any
dataset. `estimate` joins them with what the model takes (`weights`, `activations`, `memory`, `disk`, `clock`), and
`fitting` tries what would make it fit.
"""

from __future__ import annotations

from loratory.planner.steps import Plan, Sample, bucket_rule, plan, rules_of, total_steps

__all__ = ["Plan", "Sample", "bucket_rule", "plan", "rules_of", "total_steps"]
