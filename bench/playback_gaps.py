"""Measures how much of a reply would have been played without a gap."""

from dataclasses import dataclass

FRAME = 0.02
"""Seconds of audio in one packet."""

BUFFER = 0.06
"""Seconds between a reply's first packet and its playback: about a browser's jitter buffer on a quiet network."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet of the assistant's speech: its place by RTP time (frames), clock time (s), and whether it is loud."""

    slot: int
    at: float
    is_loud: bool


@dataclass(frozen=True, slots=True)
class Continuity:
    """`heard` of the `due` frames of a reply arrived in time; the longest run that did not lasted `largest_gap` s."""

    due: int
    heard: int
    largest_gap: float


def continuity(arrivals: list[Arrival], *, expected: int | None, buffer: float = BUFFER) -> Continuity:
    """Play a reply: frame n is due `buffer` + n * 20 ms after the arrival of the first loud packet.

    A frame counts as heard if a loud packet for its place, by RTP time, has arrived by then: lost, late and silent
    packets inside the reply are gaps. Every place from the first loud packet to the last is due, and `expected` places
    if the reply should have been that long (None for one that was interrupted).
    """
    loud = {arrival.slot: arrival.at for arrival in reversed(arrivals) if arrival.is_loud}
    if not loud:
        return Continuity(expected or 0, 0, (expected or 0) * FRAME)
    first = next(arrival for arrival in arrivals if arrival.is_loud)
    due = max(max(loud) - first.slot + 1, expected or 0)
    heard = gap = largest = 0
    for place in range(due):
        at = loud.get(first.slot + place)
        if at is not None and at <= first.at + buffer + place * FRAME:
            heard += 1
            gap = 0
        else:
            gap += 1
            largest = max(largest, gap)
    return Continuity(due, heard, largest * FRAME)
