"""Sequence numbers that start afresh, told from packets that are late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.rtc.inbound.restart_detector import RestartDetector


def restarts(*runs: range, spacing: float = 0.02) -> list[int]:
    """The places, among all packets, at which a restart is noticed."""
    detector, numbers = RestartDetector(), [number % 65_536 for run in runs for number in run]
    return [at for at, number in enumerate(numbers) if detector.push(number, at * spacing)]


@pytest.mark.parametrize("start", [0, 950, 990, 40_000, 64_000])
def test_a_restart_is_noticed_within_a_fifth_of_a_second(start: int) -> None:
    (found,) = restarts(range(900, 1_000), range(start, start + 200))
    assert 100 <= found < 110


@pytest.mark.parametrize("start", [995, 1_000, 20_000])
def test_numbers_that_are_soon_newer_are_none(start: int) -> None:
    assert restarts(range(900, 1_000), range(start, start + 200)) == []


@given(st.integers(0, 65_535), st.integers(0, 65_535))
def test_whatever_the_numbers_the_sender_is_soon_followed(first: int, second: int) -> None:
    assert len(restarts(range(first, first + 60), range(second, second + 60))) <= 1


def test_packets_that_come_late_in_a_burst_are_no_restart() -> None:
    assert restarts(range(100, 200), range(120, 150), range(200, 300), spacing=0.001) == []


def test_late_packets_between_newer_ones_are_no_restart() -> None:
    detector = RestartDetector()
    numbers = [number for at in range(100) for number in (1_000 + at, 500 + at)]
    assert not any(detector.push(number, at * 0.02) for at, number in enumerate(numbers))


def test_numbers_that_wrap_are_no_restart() -> None:
    assert restarts(range(65_000, 66_000)) == []
