"""What cannot be done with a job; each has a code for programs."""

from __future__ import annotations

from collections.abc import Collection

from loratory.errors import UserError


class NoSuchJob(UserError):
    """There is no job with this id."""

    code = "no_job"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; it was deleted, or belongs to another home.")


class WrongState(UserError):
    """What was asked cannot be done with a job as it is now."""

    code = "wrong_state"

    def __init__(self, name: str, state: str, doing: str, possible: Collection[str]) -> None:
        self.state = state
        super().__init__(f"The job {name!r} is {state} and cannot be {doing}; that needs one that is "
                         f"{', '.join(sorted(possible))}.")  # fmt: skip


class NameIsTaken(UserError):
    """A run of this name is there. `suggestion` is a free name."""

    code = "name_taken"

    def __init__(self, name: str, suggestion: str) -> None:
        self.name, self.suggestion = name, suggestion
        super().__init__(f"There is a run {name!r} already; take another name, for example {suggestion!r}.")
