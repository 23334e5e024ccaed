"""Benchmarks the server as its users start it: `make bench`, and `python -m bench.stages` for single stages."""
