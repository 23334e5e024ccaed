"""A JSON WebSocket as a peer of a conversation."""

import asyncio
from collections.abc import Callable

from mediaserver.event_codec import render
from mediaserver.jsonws.codec import Output, encode, render_audio
from mediaserver.jsonws.output_resampler import OutputResampler
from mediaserver.jsonws.send_queue import SendQueue
from pipeline.errors import AudioError, Severity
from pipeline.events import (
    EndReason,
    Event,
    Fault,
    Interrupted,
    SessionEnded,
    SessionStarted,
    TextResponse,
    TurnEnded,
    fault_from,
)
from pipeline.media import SpeechFrame

FRAMES_PER_MESSAGE = 5
"""Frames of 20 ms in one `audio_output`."""

MAX_BUFFERED_SECONDS = 0.12
"""Seconds that a frame waits for more speech to fill its message."""


class JsonPeer:
    """Renders events and speech for one client into its send queue."""

    def __init__(
        self,
        send_queue: SendQueue,
        output: Output,
        *,
        on_disconnect: Callable[[EndReason], None],
        on_slow_consumer: Callable[[], None],
    ):
        self.label = ""
        """The `sessionId` of every message."""
        self._send_queue = send_queue
        self._output = output
        self._on_disconnect = on_disconnect
        self._on_slow_consumer = on_slow_consumer
        self._resampler = OutputResampler(output.rate)
        self._buffer = bytearray()
        self._buffered_frames = 0
        self._turn = 0
        self._seq = 0
        self._timer: asyncio.TimerHandle | None = None
        self._session_ended_sent = False
        self._is_closed = False

    def send_event(self, event: Event) -> None:
        """Queue an event."""
        if self._is_closed:
            return
        match event:
            case SessionStarted():
                self.label = event.label
            case Interrupted():
                self._drop_queued_speech()
            case Fault(code) if code.severity is not Severity.REPORT:
                self._drop_queued_speech()
            case TextResponse() | TurnEnded():
                self._send_buffer(is_end=True)
            case SessionEnded():
                self._drop_queued_speech()
                self._session_ended_sent = True
        body = render(event, self.label)
        if body is not None:
            self._put(encode(body), is_speech=False)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Buffer 20 ms of speech; 100 ms make a message."""
        if self._is_closed or not self._output.is_enabled:
            return
        if frame.turn != self._turn:
            self._send_buffer(is_end=True)
            self._turn, self._seq = frame.turn, 0
        try:
            self._buffer += self._resampler.push(frame.pcm)
        except AudioError as error:
            self._output = Output(is_enabled=False)
            self.send_event(fault_from(error))
            return
        self._buffered_frames += 1
        if self._buffered_frames >= FRAMES_PER_MESSAGE:
            self._send_buffer()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MAX_BUFFERED_SECONDS, self._send_buffer)

    def flush_audio(self) -> None:
        """Do nothing: the event that follows, an interruption or a fault, drops the queued speech."""

    def disconnect(self, reason: EndReason) -> None:
        """Send session_ended and report the disconnect; the queue is still sent before any close."""
        if not self._session_ended_sent:
            self.send_event(SessionEnded(reason))
        if not self._is_closed:
            self.close()
            self._on_disconnect(reason)

    def close(self) -> None:
        """Stop sending; queued messages stay."""
        self._is_closed = True
        self._clear_buffer()

    def _drop_queued_speech(self) -> None:
        self._clear_buffer()
        self._resampler.reset()
        self._send_queue.drop_speech()

    def _clear_buffer(self) -> None:
        self._buffer.clear()
        self._buffered_frames = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_buffer(self, *, is_end: bool = False) -> None:
        pcm = bytes(self._buffer)
        if is_end:
            try:
                rest = self._resampler.close()
            except AudioError:
                rest = b""
            if pcm:  # 1 ms alone makes no message
                pcm += rest
        self._clear_buffer()
        if pcm:
            text = render_audio(pcm, self.label, turn=self._turn, seq=self._seq, output=self._output)
            self._seq += 1
            self._put(text, is_speech=True)

    def _put(self, text: str, *, is_speech: bool) -> None:
        if not self._send_queue.put(text, is_speech=is_speech):
            self.close()
            self._on_slow_consumer()
