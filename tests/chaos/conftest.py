"""Fixtures of the tests that kill."""

from tests.e2e.conftest import make_job, no_flush, own_home, photos
from tests.tiny.fixtures import tiny_file, tiny_model

__all__ = ["make_job", "no_flush", "own_home", "photos", "tiny_file", "tiny_model"]
