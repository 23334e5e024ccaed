"""G.711, against the values that ITU-T states."""

import numpy as np
import pytest

from pipeline.codecs.g711 import G711, Law


@pytest.mark.parametrize(("law", "quiet", "loudest"), [(Law.MU, b"\xff", 32_124), (Law.A, b"\xd5", 32_256)])
def test_silence_and_the_loudest_values_are_the_standards(law: Law, quiet: bytes, loudest: int) -> None:
    codec = G711(law)
    assert codec.encode(bytes(4)) == quiet * 2
    assert np.abs(np.frombuffer(codec.decode(bytes(range(256))), np.int16).astype(int)).max() == loudest


@pytest.mark.parametrize("law", Law)
def test_what_is_decoded_is_what_was_encoded_to_within_a_step(law: Law) -> None:
    codec = G711(law)
    pcm = np.arange(-32_000, 32_000, 7, dtype=np.int16)
    back = np.frombuffer(codec.decode(codec.encode(pcm.tobytes())), np.int16)
    assert (np.abs(back.astype(int) - pcm) <= 16 + np.abs(pcm.astype(int)) // 16).all()
    assert codec.decode(codec.encode(codec.decode(bytes(range(256))))) == codec.decode(bytes(range(256)))
