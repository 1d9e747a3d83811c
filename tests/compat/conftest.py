"""Fixtures of the tests against other programs' readers and writers."""

from tests.tiny.fixtures import tiny_model

__all__ = ["tiny_model"]
