"""`python -m bench.stages`: measures the cost of each stage of the pipeline alone, as a Markdown table.

Each is called back to back on real input ("hot"): the mean of a round of calls, best of five rounds. In a server the
same calls cost two to six times as much, as between them the core sleeps and its caches cool.
"""

import itertools
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import av
from av.video.codeccontext import VideoCodecContext

from bench.audio_fixture import load_voice
from bench.process import machine
from bench.video_fixture import encode_share
from mediaserver.event_codec import render
from mediaserver.jsonws.codec import Output, encode, parse, render_audio
from mediaserver.rtc.inbound.video_frame import screen_frame
from pipeline.audio.resampler import Resampler
from pipeline.audio.turn_detector import TurnDetector
from pipeline.audio.vad import WINDOW_BYTES, WINDOW_SECONDS, SileroVad, VadModel, Window
from pipeline.codecs.libopus import Decoder
from pipeline.events import Role, Transcript
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk, ScreenFrame
from pipeline.playout.opus_encoder import OpusEncoder
from pipeline.playout.playout_buffer import FRAME_BYTES, SILENCE, Playout
from pipeline.screen.change_detector import ChangeDetector
from pipeline.screen.jpeg_encoder import encode_jpeg

Item = TypeVar("Item")

ROUNDS = 5
_TURN = 1
_HIGH_RATE = 48_000
_MAX_SIDE = 1280
_SPOKEN_BYTES = 2 * INPUT_SAMPLE_RATE // 50
_OUTPUTS_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage to time; `per_second` is the rate of calls while a session uses it."""

    name: str
    per_second: float
    calls: int
    call: Callable[[], object]


def stages() -> list[Stage]:
    """Return all stages, on the recording, the tone and the screen share of the benchmark."""
    packets = load_voice().speech
    low = b"".join(_decoded(packets, INPUT_SAMPLE_RATE))
    windows = _windows(low)
    frames = _pictures()
    return [
        Stage("Opus decode to 16 kHz", 50, 500, _cycle(packets, Decoder(rate=INPUT_SAMPLE_RATE).decode)),
        Stage("resample 20 ms, 48 to 16 kHz", 50, 500, _cycle(_decoded(packets, _HIGH_RATE), _resample())),
        Stage("VAD, a window of 32 ms", 1 / WINDOW_SECONDS, 300, _cycle(windows, _run_vad())),
        Stage("turn, a window", 1 / WINDOW_SECONDS, 2_000, _cycle(windows, _detect_turns())),
        Stage("playout pull, 20 ms", 50, 2_000, _pull_playout()),
        Stage("Opus encode, 20 ms of speech", 50, 500, _cycle(_speech_frames(low), OpusEncoder().encode)),
        Stage("Opus encode, 20 ms of lasting silence", 50, 5_000, _cycle([SILENCE], OpusEncoder().encode)),
        Stage("change detection, 1280x720", 1, 100, _cycle(frames, _compare(frames[0]))),
        Stage("JPEG, 1280x720", 1, 20, _cycle(frames, lambda frame: encode_jpeg(frame, max_side=_MAX_SIDE))),
        *_messages(low),
    ]


def timed(stage: Stage) -> float:
    """Return the microseconds of one call."""
    return 1e6 * min(_round(stage) for _ in range(ROUNDS)) / stage.calls


def table(rows: Sequence[tuple[Stage, float]]) -> str:
    """Format as Markdown; the last column is the cost of a session that calls it all the time."""
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


def _cycle(items: Sequence[Item], use: Callable[[Item], object]) -> Callable[[], object]:
    """Return a call on the next item, cyclically."""
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


def _messages(pcm: bytes) -> list[Stage]:
    """The JSON WebSocket's own work; 100 ms of speech make one audio_output."""
    typed = {"action": "text_input", "sessionId": "desk", "text": "Where is the save button?"}
    spoken = {
        "action": "audio_input",
        "sessionId": "desk",
        "data": b64encode(pcm[:_SPOKEN_BYTES]).decode(),
        "format": "pcm",
        "sample_rate": INPUT_SAMPLE_RATE,
        "channels": 1,
    }
    transcript = Transcript(_TURN, Role.ASSISTANT, "The save button is at the top left of the window.", final=False)
    output = Output()
    piece = bytes(2 * output.rate // _OUTPUTS_PER_SECOND)
    return [
        Stage("parse text_input", 0.1, 2_000, _cycle([json.dumps(typed).encode()], parse)),
        Stage("parse audio_input, 20 ms", 50, 2_000, _cycle([json.dumps(spoken).encode()], parse)),
        Stage("render transcript", 5, 2_000, _cycle([transcript], lambda event: encode(render(event, "desk") or {}))),
        Stage(
            "render audio_output, 100 ms",
            _OUTPUTS_PER_SECOND,
            2_000,
            _cycle([piece], lambda data: render_audio(data, "desk", turn=_TURN, seq=0, output=output)),
        ),
    ]


def _clocked() -> Iterator[float]:
    """Yield session time in steps of a window, so that no stage sees a gap."""
    return (step * WINDOW_SECONDS for step in itertools.count())


def _resample() -> Callable[[bytes], object]:
    resampler = Resampler()
    steps = itertools.count()
    return lambda pcm: list(resampler.push(AudioChunk(pcm, _HIGH_RATE, next(steps) * 0.02)))


def _run_vad() -> Callable[[bytes], object]:
    vad = SileroVad(VadModel())
    clock = _clocked()
    return lambda pcm: list(vad.push(AudioChunk(pcm, INPUT_SAMPLE_RATE, next(clock))))


def _detect_turns() -> Callable[[bytes], object]:
    detector = TurnDetector()
    clock = _clocked()
    # Three windows of four are speech, so that utterances are open most of the time.
    scores = itertools.cycle([0.9] * 60 + [0.1] * 20)
    return lambda pcm: list(detector.push(Window(pcm, next(clock), next(scores)), audible=False))


def _pull_playout() -> Callable[[], object]:
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
    """Time all stages and print the table."""
    sys.stdout.write(f"{machine()}, Python {sys.version.split()[0]}; hot, best of {ROUNDS}\n\n")
    sys.stdout.write(table([(stage, timed(stage)) for stage in stages()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
