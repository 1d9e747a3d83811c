"""What the queue and the index refuse, as answers with their status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from loratory.errors import UserError
from loratory.jobs.contents import Busy
from loratory.jobs.index import UnknownRun
from loratory.jobs.problems import NameIsTaken, NoSuchJob, WrongState
from loratory.runs import RunBusy
from loratory.server.problems import Refused


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the queue and the index refuse into answers with their status."""
    try:
        yield
    except NoSuchJob as error:
        raise Refused(404, error.code, str(error)) from error
    except UnknownRun as error:
        raise Refused(404, error.code, str(error)) from error
    except WrongState as error:
        raise Refused(409, error.code, str(error), state=error.state) from error
    except NameIsTaken as error:
        raise Refused(409, error.code, str(error), suggestion=error.suggestion) from error
    except (RunBusy, Busy) as error:
        raise Refused(409, error.code, str(error)) from error
    except UserError as error:
        if error.code == "other_run":
            raise Refused(409, error.code, str(error)) from error
        raise
