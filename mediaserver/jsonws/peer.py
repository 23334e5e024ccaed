"""One JSON socket as a peer of a conversation."""

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

GATHERED = 5
"""Frames of 20 ms that make one `audio_output`."""

LONGEST_WAIT = 0.12
"""How long (s) a frame waits for others when speech has run dry."""


class JsonPeer:
    """Renders for one client; says when it is dismissed and when its client does not read."""

    def __init__(
        self,
        outbox: SendQueue,
        output: Output,
        *,
        on_dismissed: Callable[[EndReason], None],
        on_slow: Callable[[], None],
    ):
        self.label = ""
        """What the session is called in every message."""
        self._outbox = outbox
        self._output = output
        self._on_dismissed = on_dismissed
        self._on_slow = on_slow
        self._converter = OutputResampler(output.rate)
        self._gathered = bytearray()
        self._frames = 0  # in what is gathered
        self._turn = 0
        self._seq = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_farewell = False
        self._is_over = False

    def send_event(self, event: Event) -> None:
        """Queue an event."""
        if self._is_over:
            return
        match event:
            case SessionStarted():
                self.label = event.label
            case Interrupted():
                self._drop_speech()
            case Fault(code) if code.severity is not Severity.REPORT:
                self._drop_speech()
            case TextResponse() | TurnEnded():
                self._send_gathered(is_end=True)
            case SessionEnded():
                self._drop_speech()
                self._has_farewell = True
        body = render(event, self.label)
        if body is not None:
            self._put(encode(body), is_speech=False)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Gather speech; 100 ms make a message."""
        if self._is_over or not self._output.is_wanted:
            return
        if frame.turn != self._turn:
            self._send_gathered(is_end=True)
            self._turn, self._seq = frame.turn, 0
        try:
            self._gathered += self._converter.push(frame.pcm)
        except AudioError as error:
            self._output = Output(is_wanted=False)
            self.send_event(fault_from(error))
            return
        self._frames += 1
        if self._frames >= GATHERED:
            self._send_gathered()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, self._send_gathered)

    def flush_audio(self) -> None:
        """Do nothing yet: a reply that was heard to its end is flushed too, and what is told next says which it was."""

    def disconnect(self, reason: EndReason) -> None:
        """Say goodbye; the socket closes, if it does, once it has sent everything."""
        if not self._has_farewell:
            self.send_event(SessionEnded(reason))
        if not self._is_over:
            self.close()
            self._on_dismissed(reason)

    def close(self) -> None:
        """Send nothing more."""
        self._is_over = True
        self._forget_gathered()

    def _drop_speech(self) -> None:
        self._forget_gathered()
        self._converter.reset()
        self._outbox.drop_speech()

    def _forget_gathered(self) -> None:
        self._gathered.clear()
        self._frames = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_gathered(self, *, is_end: bool = False) -> None:
        pcm = bytes(self._gathered)
        if is_end:
            try:
                rest = self._converter.close()
            except AudioError:
                rest = b""
            if pcm:  # that millisecond alone is worth no message
                pcm += rest
        self._forget_gathered()
        if pcm:
            text = render_audio(pcm, self.label, turn=self._turn, seq=self._seq, output=self._output)
            self._seq += 1
            self._put(text, is_speech=True)

    def _put(self, text: str, *, is_speech: bool) -> None:
        if not self._outbox.put(text, is_speech=is_speech):
            self.close()
            self._on_slow()
