"""Speech as files of every accepted format, made by PyAV as other programs would."""

import io
import wave
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from pipeline.media import INPUT_SAMPLE_RATE

SPEECH = Path(__file__).parents[1] / "data" / "go-forward-ten-meters.wav"
"""A man, 2.8 s at 16 kHz."""


@cache
def speech() -> NDArray[np.int16]:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@cache
def recorded(
    container: str, codec: str, rate: int, layout: str = "mono", seconds: float = 3.0, options: str = ""
) -> bytes:
    """A file of the first `seconds`; `options` are the codec's, such as "application=voip"."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.layout = layout
        stream.codec_context.options = {
            "strict": "-2",
            **dict(option.split("=") for option in options.split(",") if option),
        }
        stream.codec_context.open(strict=False)
        samples = speech()[: int(seconds * INPUT_SAMPLE_RATE)].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="mono")
        frame.sample_rate = INPUT_SAMPLE_RATE
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        fifo = av.AudioFifo()
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            fifo.write(resampled)
        size = stream.codec_context.frame_size or 960
        while (piece := fifo.read(size) or fifo.read()) is not None:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return buffer.getvalue()
