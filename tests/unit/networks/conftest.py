"""Fixtures of the tests of networks."""

from tests.tiny.fixtures import tiny_model

__all__ = ["tiny_model"]
