"""Fixtures of the acceptance tests."""

from tests.product import open_page

__all__ = ["open_page"]
