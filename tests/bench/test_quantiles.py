"""Percentiles are values that were measured; histograms are compared between two readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench.quantiles import buckets, percentile, percentile_bound


@pytest.mark.parametrize(("share", "value"), [(0.01, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_percentiles_are_nearest_ranks(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    assert percentile(values, share) in values


def test_only_what_came_between_two_readings_counts() -> None:
    registry = CollectorRegistry()
    lag = Histogram("lag_seconds", "Lag.", buckets=(0.001, 0.01, 0.1), registry=registry)
    other = Histogram("other_seconds", "Other.", ["kind"], buckets=(5.0,), registry=registry)
    other.labels("x").observe(1)
    for _ in range(50):
        lag.observe(0.05)
    before = buckets(generate_latest(registry).decode(), "lag_seconds")
    for seconds in [0.0005] * 98 + [0.005, 3.0]:
        lag.observe(seconds)
    after = buckets(generate_latest(registry).decode(), "lag_seconds")
    assert [percentile_bound(before, after, share) for share in (0.5, 0.98, 0.99, 1.0)] == [
        0.001,
        0.001,
        0.01,
        float("inf"),
    ]


def test_a_histogram_that_is_not_there_has_no_percentile() -> None:
    assert buckets("nothing 1\n", "lag_seconds") == {}
    assert percentile_bound({}, {}, 0.5) is None


def test_a_histogram_that_stood_still_has_no_percentile() -> None:
    assert percentile_bound({0.1: 5.0}, {0.1: 5.0}, 0.5) is None
