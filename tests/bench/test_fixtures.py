"""What simulated users send is what the server takes for speech, silence and a screen."""

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from bench.audio_fixture import FRAME, Voice, load_voice, trimmed
from bench.video_fixture import FPS, HEIGHT, SECONDS, WIDTH, encode_share
from pipeline.audio.turn_detector import TurnDetector
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.codecs.libopus import Decoder
from pipeline.config import TurnSettings
from pipeline.events import SpeechEnded, SpeechStarted
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk


@pytest.fixture(scope="module")
def voice() -> Voice:
    return load_voice()


def test_the_utterance_is_one_utterance_and_the_room_is_none(voice: Voice) -> None:
    decoder, vad = Decoder(rate=INPUT_SAMPLE_RATE), SileroVad(VadModel())
    turns = TurnDetector(TurnSettings())
    packets = [*voice.quiet[:50], *voice.speech, *voice.quiet[:100], *voice.quiet]
    found = [
        event
        for place, packet in enumerate(packets)
        for window in vad.push(AudioChunk(decoder.decode(packet), INPUT_SAMPLE_RATE, place * 0.02))
        for event in turns.push(window, audible=True)
        if isinstance(event, SpeechStarted | SpeechEnded)
    ]
    assert [type(event) for event in found] == [SpeechStarted, SpeechEnded]
    assert found[0].pts == pytest.approx(1.0, abs=0.1)
    assert found[1].pts == pytest.approx(1.0 + len(voice.speech) * 0.02, abs=0.15)


def test_trimming_leaves_what_is_between_the_loud_ends() -> None:
    quiet, loud = np.full(50 * FRAME, 5.0), np.full(25 * FRAME, 1_000.0)
    spoken = np.concatenate([loud, quiet[: 10 * FRAME], loud])
    assert np.array_equal(trimmed(np.concatenate([quiet, spoken, quiet])), spoken)


def test_the_share_decodes_whole_and_begins_with_its_only_key_frame_before_it_changes() -> None:
    pictures = encode_share()
    codec = av.CodecContext.create("vp8", "r")
    assert isinstance(codec, VideoCodecContext)
    decoded = [frame for picture in pictures for frame in codec.decode(av.Packet(picture))]
    assert len(pictures) == len(decoded) == FPS * SECONDS
    assert {(frame.width, frame.height) for frame in decoded} == {(WIDTH, HEIGHT)}
    assert pictures[0][0] & 1 == 0  # RFC 6386 section 9.1: a key frame
    assert len(pictures[0]) > 10 * len(pictures[1])
