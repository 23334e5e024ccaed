"""`python -m bench.stages`: what each stage of the pipeline costs when nothing else runs, as a Markdown table.

Each is called back to back on real input ("hot"): the mean of a round of calls, best of five rounds. In a server the
same calls cost two to six times as much, as between them the core sleeps and its caches cool.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import av
from av.video.codeccontext import VideoCodecContext

from bench.audio_fixture import load_voice
from bench.process import machine
from bench.video_fixture import encode_share
from mediaserver.rtc.inbound.video_frame import screen_frame
from pipeline.audio.resampler import Resampler
from pipeline.audio.turn_detector import TurnDetector
from pipeline.audio.vad import WINDOW_BYTES, WINDOW_SECONDS, SileroVad, VadModel, Window
from pipeline.codecs.libopus import Decoder
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk, ScreenFrame
from pipeline.playout.opus_encoder import OpusEncoder
from pipeline.playout.playout_buffer import FRAME_BYTES, SILENCE, Playout
from pipeline.screen.deduplicator import ChangeDetector, encode_jpeg

Item = TypeVar("Item")

ROUNDS = 5
_TURN = 1
_HIGH_RATE = 48_000
_MAX_SIDE = 1280


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing to time; `per_second` is how often a session does it while it happens at all."""

    name: str
    per_second: float
    calls: int
    call: Callable[[], object]


def stages() -> list[Stage]:
    """Everything that is timed, on the recording, the tone and the share that the bench sends."""
    packets = load_voice().speech
    low = b"".join(_decoded(packets, INPUT_SAMPLE_RATE))
    windows = _windows(low)
    frames = _pictures()
    return [
        Stage("Opus decode to 16 kHz", 50, 500, _over(packets, Decoder(rate=INPUT_SAMPLE_RATE).decode)),
        Stage("resample 20 ms, 48 to 16 kHz", 50, 500, _over(_decoded(packets, _HIGH_RATE), _resample())),
        Stage("VAD, a window of 32 ms", 1 / WINDOW_SECONDS, 300, _over(windows, _judge())),
        Stage("turn, a window", 1 / WINDOW_SECONDS, 2_000, _over(windows, _follow())),
        Stage("playout pull, 20 ms", 50, 2_000, _play()),
        Stage("Opus encode, 20 ms of speech", 50, 500, _over(_speech_frames(low), OpusEncoder().encode)),
        Stage("Opus encode, 20 ms of lasting silence", 50, 5_000, _over([SILENCE], OpusEncoder().encode)),
        Stage("change detection, 1280x720", 1, 100, _over(frames, _compare(frames[0]))),
        Stage("JPEG, 1280x720", 1, 20, _over(frames, lambda frame: encode_jpeg(frame, max_side=_MAX_SIDE))),
    ]


def timed(stage: Stage) -> float:
    """Microseconds for one call."""
    return 1e6 * min(_round(stage) for _ in range(ROUNDS)) / stage.calls


def table(rows: Sequence[tuple[Stage, float]]) -> str:
    """Markdown; the last column is what a session that does it all the time would need."""
    lines = ["| stage | us each | per second | ms per second |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {stage.name} | {cost:.{0 if cost >= 100 else 1}f} | {stage.per_second:g} | "
        f"{cost * stage.per_second / 1_000:.2f} |"
        for stage, cost in rows
    ]
    return "\n".join(lines) + "\n"


def _round(stage: Stage) -> float:
    began = time.perf_counter()
    for _ in range(stage.calls):
        stage.call()
    return time.perf_counter() - began


def _over(items: Sequence[Item], use: Callable[[Item], object]) -> Callable[[], object]:
    """Use the next item, round and round."""
    endless = itertools.cycle(items)
    return lambda: use(next(endless))


def _decoded(packets: Sequence[bytes], rate: int) -> list[bytes]:
    decoder = Decoder(rate=rate)
    return [decoder.decode(packet) for packet in packets]


def _windows(pcm: bytes) -> list[bytes]:
    return [pcm[start : start + WINDOW_BYTES] for start in range(0, len(pcm) - WINDOW_BYTES + 1, WINDOW_BYTES)]


def _speech_frames(pcm: bytes) -> list[bytes]:
    # 16 kHz samples taken for 24 kHz ones: a higher voice, which costs the encoder as much.
    return [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def _pictures() -> list[ScreenFrame]:
    codec = av.CodecContext.create("vp8", "r")
    assert isinstance(codec, VideoCodecContext)
    return [screen_frame(frame, 0.0) for picture in encode_share() for frame in codec.decode(av.Packet(picture))]


def _clocked() -> Iterator[float]:
    """Session time in steps of a window, so that no stage sees a gap."""
    return (step * WINDOW_SECONDS for step in itertools.count())


def _resample() -> Callable[[bytes], object]:
    resampler = Resampler()
    steps = itertools.count()
    return lambda pcm: list(resampler.push(AudioChunk(pcm, _HIGH_RATE, next(steps) * 0.02)))


def _judge() -> Callable[[bytes], object]:
    vad = SileroVad(VadModel())
    clock = _clocked()
    return lambda pcm: list(vad.push(AudioChunk(pcm, INPUT_SAMPLE_RATE, next(clock))))


def _follow() -> Callable[[bytes], object]:
    detector = TurnDetector()
    clock = _clocked()
    # Three windows of four are speech, so that utterances are open most of the time.
    scores = itertools.cycle([0.9] * 60 + [0.1] * 20)
    return lambda pcm: list(detector.push(Window(pcm, next(clock), next(scores)), audible=False))


def _play() -> Callable[[], object]:
    playout = Playout()
    playout.open(_TURN)
    second = bytes(range(1, 241)) * 200

    def pull() -> bytes:
        if playout.queued < 1:
            playout.push(_TURN, second)
        return playout.pull()

    return pull


def _compare(frame: ScreenFrame) -> Callable[[ScreenFrame], object]:
    detector = ChangeDetector()
    detector.remember(frame)
    return detector.has_changed


def main() -> int:
    """Time everything and print the table."""
    sys.stdout.write(f"{machine()}, Python {sys.version.split()[0]}; hot, best of {ROUNDS}\n\n")
    sys.stdout.write(table([(stage, timed(stage)) for stage in stages()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
