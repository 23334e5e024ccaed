"""Faults that the local engine produces on request, for tests of its clients."""
