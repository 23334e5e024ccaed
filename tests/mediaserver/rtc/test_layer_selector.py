"""Which of several streams in one section is taken."""

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.rtc.layer_selector import MAX_LAYERS, REQUEST_PERIOD, SILENCE, Choice, LayerSelector

SIZES = {1: 320 * 180, 2: 640 * 360, 3: 1280 * 720}


class Layers:
    """A selector, and the packets that were taken."""

    def __init__(self) -> None:
        self.selector = LayerSelector()
        self.now = 0.0
        self.taken: list[int] = []

    def send(self, *sources: int, are_keys: bool = False) -> None:
        for source in sources:
            size = SIZES[source] if are_keys else None
            choice = self.selector.push(source, self.now, lambda size=size: size)  # type: ignore[misc]
            if choice is not Choice.DROP:
                self.taken.append(source)
            if are_keys and source == self.selector.chosen:
                self.selector.measure(SIZES[source])

    def run(self, seconds: float, *sources: int, fps: float = 20.0) -> None:
        for _ in range(int(seconds * fps)):
            self.now += 1 / fps
            self.send(*sources)


@given(st.permutations([1, 2, 3]))
def test_the_largest_is_taken_whatever_the_order(order: list[int]) -> None:
    layers = Layers()
    layers.send(*order, are_keys=True)
    layers.run(1, *order)
    assert set(layers.taken[-10:]) == {3}


def test_one_stream_is_taken_from_its_first_packet() -> None:
    layers = Layers()
    layers.run(1, 2)
    assert len(layers.taken) == 20


def test_when_the_largest_pauses_the_next_one_is_taken_and_the_largest_again_with_its_key_frame() -> None:
    layers = Layers()
    layers.send(1, 2, 3, are_keys=True)
    layers.run(SILENCE + 0.2, 1, 2)
    assert layers.selector.chosen in (1, 2)
    layers.send(2, are_keys=True)
    assert layers.selector.chosen == 2
    layers.run(0.2, 2, 3)
    assert layers.selector.chosen == 2
    assert layers.selector.wants_keyframe(3, layers.now)
    layers.send(3, are_keys=True)
    assert layers.selector.chosen == 3


def test_a_screen_that_stands_still_changes_no_layer() -> None:
    layers = Layers()
    layers.send(1, 2, 3, are_keys=True)
    layers.run(20, 1, 2, 3, fps=1.0)
    assert set(layers.taken[5:]) == {3}


def test_a_source_that_replaces_another_is_taken_at_its_key_frame() -> None:
    layers = Layers()
    SIZES[9] = SIZES[2]
    layers.send(2, are_keys=True)
    layers.run(1, 2)
    layers.now += 0.3
    layers.send(9, are_keys=True)
    assert layers.selector.chosen == 9


def test_key_frames_are_requested_of_layers_that_may_be_larger_and_seldom() -> None:
    layers = Layers()
    layers.send(2, 1, are_keys=True)
    layers.send(3)
    assert not layers.selector.wants_keyframe(1, layers.now)
    assert layers.selector.wants_keyframe(3, layers.now)
    assert not layers.selector.wants_keyframe(3, layers.now + REQUEST_PERIOD / 2)
    assert layers.selector.wants_keyframe(3, layers.now + REQUEST_PERIOD)


def test_any_number_of_sources_is_bounded() -> None:
    layers = Layers()
    layers.send(2, are_keys=True)
    for source in range(100, 1_000):
        layers.send(source)
        layers.selector.wants_keyframe(source, layers.now)
    assert layers.selector.chosen == 2
    assert len(layers.selector._heard) <= MAX_LAYERS
    assert len(layers.selector._requested) <= MAX_LAYERS
