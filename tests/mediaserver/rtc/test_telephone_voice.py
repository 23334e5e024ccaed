"""The assistant's speech at 8 kHz."""

import numpy as np
import pytest

from mediaserver.rtc.telephone_voice import TelephoneVoice
from pipeline.codecs.g711 import G711, Law


def heard(law: Law, frequency: float) -> float:
    """How loud a tone of that frequency (Hz) and the amplitude 8,000 is after it."""
    voice, codec = TelephoneVoice(law), G711(law)
    tone = (8_000 * np.sin(2 * np.pi * frequency * np.arange(24_000) / 24_000)).astype(np.int16)
    payloads = [voice.encode(tone[at : at + 480].tobytes()) for at in range(0, 24_000, 480)]
    assert {len(payload) for payload in payloads} == {160}
    pcm = np.frombuffer(b"".join(map(codec.decode, payloads)), np.int16)
    return float(pcm[800:].astype(float).std() * np.sqrt(2))


@pytest.mark.parametrize("law", Law)
def test_speech_stays_and_what_8_khz_cannot_hold_is_removed(law: Law) -> None:
    assert heard(law, 1_000) == pytest.approx(8_000, rel=0.05)
    assert heard(law, 6_000) < 200


@pytest.mark.parametrize("law", Law)
def test_silence_is_silent(law: Law) -> None:
    voice = TelephoneVoice(law)
    assert len(voice.silence) == 160
    assert np.abs(np.frombuffer(G711(law).decode(voice.silence), np.int16)).max() <= 8
    assert voice.encode(bytes(960)) == voice.silence
