"""Harnesses, fakes and drivers that tests share."""
