"""Fixtures of the end-to-end tests."""

from tests.product import open_page, server

__all__ = ["open_page", "server"]
