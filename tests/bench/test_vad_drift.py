"""The onset of speech in lasting room noise."""

from bench.vad_drift import onset_delays
from pipeline.audio.vad import VadModel


def test_a_sentence_is_heard_as_soon_after_minutes_of_noise_as_at_first() -> None:
    kept, server = (onset_delays(minutes=5, forgets=forgets, vad=VadModel()) for forgets in (False, True))
    assert len(server) == 15
    assert max(server) - min(server) < 0.05
    assert max(kept) - min(kept) > 0.05, "without it, noise makes the detector later"
