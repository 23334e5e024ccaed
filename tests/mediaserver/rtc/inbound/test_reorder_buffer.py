"""Packets in order: soon, once, and never out of turn."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.rtc.inbound.reorder_buffer import CAPACITY, HALF_LIFE, MAX_WAIT, MIN_WAIT, Packet, ReorderBuffer

FRAME = 960


@dataclass
class Rig:
    """Sends numbered packets at times; time passes as the machine's own timer would let it."""

    first: int = 0
    reorder: ReorderBuffer = field(default_factory=ReorderBuffer)
    out: list[tuple[int, float, int]] = field(default_factory=list)  # number, when, how many were lost before it
    now: float = 0.0

    def send(self, number: int, now: float) -> None:
        self.wait(now)
        sequence = (self.first + number) % 65_536
        self._take(self.reorder.push(sequence, number * FRAME % 2**32, number.to_bytes(4, "big"), now))

    def wait(self, now: float) -> None:
        while self.reorder.due is not None and self.reorder.due <= now:
            self.now = max(self.now, self.reorder.due)
            self._take(self.reorder.expire(self.now))
        self.now = now

    def _take(self, packets: list[Packet]) -> None:
        for packet in packets:
            number = int.from_bytes(packet.payload, "big")
            assert packet.timestamp == number * FRAME % 2**32
            self.out.append((number, self.now, packet.lost))

    @property
    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.out]


@pytest.mark.parametrize("first", [0, 65_530])
def test_on_a_clean_link_nothing_waits(first: int) -> None:
    rig = Rig(first)
    for number in range(100):
        rig.send(number, number * 0.02)
        assert rig.reorder.due is None
    assert rig.out == [(number, number * 0.02, 0) for number in range(100)]


def test_two_packets_that_swapped_places_are_put_right_as_soon_as_both_are_there() -> None:
    rig = Rig(65_534)
    for number, now in [(0, 0.0), (2, 0.04), (3, 0.045), (1, 0.05), (4, 0.08)]:
        rig.send(number, now)
    assert rig.out == [(0, 0.0, 0), (1, 0.05, 0), (2, 0.05, 0), (3, 0.05, 0), (4, 0.08, 0)]


def test_a_lost_packet_is_waited_for_20_ms_and_told() -> None:
    rig = Rig()
    rig.send(0, 0.0)
    rig.send(2, 0.04)
    assert rig.reorder.due == pytest.approx(0.04 + MIN_WAIT)
    rig.wait(1.0)
    assert rig.numbers == [0, 2]
    assert rig.out[1][1:] == pytest.approx((0.06, 1))
    rig.send(3, 1.0)
    assert rig.out[-1] == (3, 1.0, 0)


def test_each_of_two_gaps_has_its_own_time() -> None:
    rig = Rig()
    for number, now in [(0, 0.0), (2, 0.040), (4, 0.052)]:
        rig.send(number, now)
    rig.wait(1.0)
    assert rig.numbers == [0, 2, 4]
    assert [now for _, now, _ in rig.out[1:]] == pytest.approx([0.060, 0.072])


def test_a_packet_that_comes_after_its_turn_is_dropped() -> None:
    rig = Rig()
    for number, now in [(0, 0.0), (2, 0.04), (1, 0.07), (3, 0.08)]:
        rig.send(number, now)
    assert rig.numbers == [0, 2, 3]


def test_what_comes_twice_is_given_once() -> None:
    rig = Rig()
    for number in (0, 0, 2, 2, 1, 1, 2, 3, 0):
        rig.send(number, 0.001)
    assert rig.numbers == [0, 1, 2, 3]


def test_what_comes_twice_does_not_wait_longer() -> None:
    rig = Rig()
    for number, now in [(0, 0.0), (2, 0.04), (2, 0.05), (2, 0.059)]:
        rig.send(number, now)
    assert rig.reorder.due == pytest.approx(0.06)


def test_the_wait_grows_with_the_delay_of_others_and_shrinks_again() -> None:
    rig = Rig()
    for number, now in [(0, 0.0), (2, 0.0), (1, 0.035)]:  # 35 ms late: too late this time
        rig.send(number, now)
    assert rig.numbers == [0, 2]
    for number, now in [(4, 0.1), (3, 0.135)]:
        rig.send(number, now)
    assert rig.numbers == [0, 2, 3, 4]
    rig.send(6, 0.2)
    assert rig.reorder.due == pytest.approx(0.2 + 0.045, abs=0.001)
    rig.send(5, 0.2)
    rig.send(8, 0.2 + HALF_LIFE)
    assert rig.reorder.due == pytest.approx(0.2 + HALF_LIFE + 0.0325, abs=0.001)
    rig.send(7, 0.2 + HALF_LIFE)
    rig.send(10, 0.2 + 10 * HALF_LIFE)
    assert rig.reorder.due == pytest.approx(0.2 + 10 * HALF_LIFE + MIN_WAIT, abs=0.001)


def test_delays_that_no_wait_would_bridge_teach_nothing() -> None:
    rig = Rig()
    for number, now in [(0, 0.0), (2, 0.0), (1, 0.2), (4, 0.3)]:
        rig.send(number, now)
    assert rig.reorder.due == pytest.approx(0.3 + MIN_WAIT)


def test_the_wait_has_a_bound_however_late_packets_are() -> None:
    rig = Rig()
    number, now = 0, 0.0
    rig.send(0, now)
    for lateness in (0.03, 0.05, 0.0599, 0.0599, 0.0599):
        rig.send(number + 2, now)
        rig.send(number + 1, now + lateness)
        number, now = number + 2, now + 0.1
    rig.send(number + 2, now)
    assert rig.reorder.due == pytest.approx(now + MAX_WAIT, abs=0.001)


def test_a_gap_with_a_crowd_behind_it_is_given_up_at_once() -> None:
    rig = Rig()
    rig.send(0, 0.0)
    for number in range(2, CAPACITY + 2):
        rig.send(number, 0.001)
    assert rig.numbers == [0, *range(2, CAPACITY + 2)]
    assert rig.reorder.due is None


@pytest.mark.parametrize("jump", [CAPACITY + 1, 1_000, 32_767])
def test_after_an_outage_nothing_waits(jump: int) -> None:
    rig = Rig(65_000)
    rig.send(0, 0.0)
    rig.send(jump, 5.0)
    rig.send(jump + 1, 5.02)
    assert rig.out == [(0, 0.0, 0), (jump, 5.0, jump - 1), (jump + 1, 5.02, 0)]


def test_stamps_are_not_looked_at() -> None:
    reorder = ReorderBuffer()
    stamps = [5, 4_000_000_000, 7, 7, 400]
    out = [packet for at, stamp in enumerate(stamps) for packet in reorder.push(at, stamp, b"x", 0.0)]
    assert [packet.timestamp for packet in out] == stamps


JOURNEYS = st.lists(
    st.one_of(
        st.none(),  # lost
        st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.019, 0.021, 0.04, 0.07, 0.2, 1.0]), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=120,
)
"""For each packet, how long (s) each of its copies is under way."""


@given(journeys=JOURNEYS, first=st.sampled_from([0, 65_500]), spacing=st.sampled_from([0.0, 0.01, 0.02, 0.04, 0.06]))
def test_whatever_happens_on_the_way_packets_come_out_in_order_once_and_in_time(
    journeys: list[list[float] | None], first: int, spacing: float
) -> None:
    arrivals = sorted(
        (number * spacing + delay, number) for number, copies in enumerate(journeys) for delay in copies or ()
    )
    came = {number: now for now, number in reversed(arrivals)}  # when the first copy did
    rig = Rig(first)
    for now, number in arrivals:
        rig.send(number, now)
    rig.wait(1e9)
    assert rig.numbers == sorted(set(rig.numbers))
    assert set(rig.numbers) <= set(came)
    for number, now, _ in rig.out:
        assert came[number] <= now <= came[number] + MAX_WAIT + 1e-9
    for (before, _, _), (number, _, lost) in zip(rig.out, rig.out[1:], strict=False):
        assert number == before + 1 + lost
    # Only what is late is dropped: when it came, its successors had been given out.
    for number in set(came) - set(rig.numbers):
        assert any(other > number and now <= came[number] for other, now, _ in rig.out)


@given(st.permutations(range(40)), st.sampled_from([0, 65_520]))
def test_any_order_within_the_wait_is_put_right(order: list[int], first: int) -> None:
    rig = Rig(first)
    rig.send(0, 0.0)
    for number in order[:CAPACITY]:
        if number < CAPACITY:
            rig.send(number + 1, 0.001)
    rig.wait(1.0)
    assert rig.numbers == [0, *sorted(number + 1 for number in order[:CAPACITY] if number < CAPACITY)]
