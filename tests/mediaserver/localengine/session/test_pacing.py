import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.interface import Call, Question, Speech
from mediaserver.localengine.session.pacing import Pacer, pieces
from mediaserver.localengine.session.token_usage import audio_tokens, call_tokens, prompt_tokens

GRID = 960  # samples of 40 ms at 24 kHz


@given(
    st.integers(0, 60_000),
    st.lists(st.integers(0, 60_000), max_size=12),
)
def test_pieces_are_the_speech_in_40_to_200_ms_with_each_word_at_its_place(samples: int, starts: list[int]) -> None:
    pcm = bytes(range(256)) * (samples * 2 // 256 + 1)
    pcm = pcm[: samples * 2]
    words = tuple((start, f"{start} ") for start in sorted(starts) if start < samples)
    cut = list(pieces(Speech(pcm, words)))
    joined = b"".join(piece for _, piece in cut)
    assert joined.startswith(pcm)
    assert len(joined) - len(pcm) < GRID * 2
    assert not joined[len(pcm) :].strip(b"\0")
    assert all(len(piece) % (GRID * 2) == 0 and 0 < len(piece) <= 9_600 for _, piece in cut)
    assert "".join(text for text, _ in cut) == "".join(text for _, text in words)
    position = 0
    for text, piece in cut:
        assert all(abs(int(word) - position) <= GRID for word in text.split())
        position += len(piece) // 2


def test_words_without_sound_are_still_said() -> None:
    assert list(pieces(Speech(b"", ((0, "hi "),)))) == [("hi ", b"")]


def test_400_ms_leave_at_once_and_the_rest_four_times_faster_than_real_time() -> None:
    pace = Pacer()
    due = [pace.due(0.2, now=10.0) for _ in range(6)]
    assert due == pytest.approx([10.0, 10.0, 10.05, 10.1, 10.15, 10.2])


def test_a_pause_earns_no_more_than_the_burst() -> None:
    pace = Pacer()
    for _ in range(6):
        pace.due(0.2, now=0.0)
    assert [pace.due(0.2, now=60.0) for _ in range(3)] == pytest.approx([60.0, 60.0, 60.05])


def test_playback_ends_when_all_that_was_sent_has_been_played() -> None:
    pace = Pacer()
    pace.sent(1.0, now=5.0)
    pace.sent(1.0, now=5.1)
    assert pace.playback_end == pytest.approx(7.0)
    pace.sent(1.0, now=20.0)
    assert pace.playback_end == pytest.approx(21.0)


def test_audio_counts_25_tokens_a_second_and_pictures_by_their_resolution() -> None:
    question = Question(bytes(32_000), "12345", b"jpeg")
    assert prompt_tokens(question, None) == {"TEXT": 2, "AUDIO": 25, "IMAGE": 256}
    assert prompt_tokens(question, "MEDIA_RESOLUTION_LOW")["IMAGE"] == 64
    assert prompt_tokens(Question(b"", "hi", None), None) == {"TEXT": 1}
    assert audio_tokens(0.04) == 1
    assert call_tokens(Call("f", {})) == 1
