"""What goes up to the engine, in the order its protocol wants, and never more than it is worth keeping."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.gemini.pending_input import MAX_PENDING_SECONDS
from pipeline.media import AudioChunk, EncodedFrame

MESSAGE_SECONDS = 0.064
"""Audio is gathered up to this: a message costs the same CPU whatever its length."""

MAX_QUEUED_SECONDS = MAX_PENDING_SECONDS + 3.0
"""Audio that may wait for a slow socket: all that is kept while there is none, and a client may be 2 s ahead."""

SCREEN_SHARE_ENDED = "[The screen is no longer shared.]"
"""What the engine is told before the next question when a share has ended: the protocol has no message for it."""


@dataclass(frozen=True, slots=True)
class ActivityStart:
    """The user begins to speak."""


@dataclass(frozen=True, slots=True)
class ActivityEnd:
    """The user has finished."""


@dataclass(frozen=True, slots=True)
class Text:
    """A typed question."""

    text: str


@dataclass(frozen=True, slots=True)
class InterruptReply:
    """Whatever is being answered: stop, and wait for more."""


@dataclass(frozen=True, slots=True)
class ContextNote:
    """Something to know that wants no answer."""

    text: str


@dataclass(frozen=True, slots=True)
class InitialHistory:
    """What was said before this session began: (whether by the user, text), oldest first."""

    lines: tuple[tuple[bool, str], ...]


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """The result of a function call; `is_silent`: the model need say nothing about it."""

    id: str
    name: str
    result: Mapping[str, object]
    is_silent: bool


Control = ActivityStart | ActivityEnd | Text | InterruptReply | ContextNote | InitialHistory | ToolResponse
Item = Control | AudioChunk | EncodedFrame


class SendQueue:
    """A queue in which control is never dropped, audio gives way oldest first, and only the newest frame counts."""

    def __init__(self) -> None:
        self.dropped_seconds = 0.0
        self.is_open = False
        """Whether the user is speaking, as far as has been queued."""
        self._items: deque[Item] = deque()
        self._seconds = 0.0
        self._batch: list[AudioChunk] = []
        self._wakeup = asyncio.Event()
        self._is_activity_sent = False
        self._is_audio_sent = False
        self._held_frame: EncodedFrame | None = None

    def push_control(self, item: Control) -> None:
        """Queue what must arrive."""
        self._flush()
        match item:
            case ActivityStart():
                self.is_open = True
            case ActivityEnd():
                self.is_open = False
        self._put(item)

    def push_audio(self, chunk: AudioChunk) -> None:
        """Queue 16 kHz audio of the open window; outside of one nobody listens."""
        if not self.is_open or not chunk.pcm:
            return
        self._batch.append(chunk)
        if sum(part.duration for part in self._batch) >= MESSAGE_SECONDS:
            self._flush()

    def push_frame(self, frame: EncodedFrame) -> None:
        """Queue a frame, instead of those that no control item separates from it."""
        self._flush()
        for index in reversed(range(len(self._items))):
            match self._items[index]:
                case EncodedFrame():
                    del self._items[index]
                    break
                case AudioChunk():
                    continue
                case _:
                    break
        self._put(frame)

    async def next(self) -> Item:
        """Wait for the next item to send."""
        while (item := self.pop()) is None:
            self._wakeup.clear()
            await self._wakeup.wait()
        return item

    def pop(self) -> Item | None:
        """The next item to send now, if any."""
        if self._held_frame is not None and (self._is_audio_sent or not self._is_activity_sent):
            frame, self._held_frame = self._held_frame, None
            return frame
        while self._items:
            item = self._items.popleft()
            match item:
                case EncodedFrame() if self._is_activity_sent and not self._is_audio_sent:
                    self._held_frame = item  # a window must open with audio, or the server closes
                    continue
                case AudioChunk():
                    self._seconds -= item.duration
                    self._is_audio_sent = True
                case ActivityStart():
                    self._is_activity_sent, self._is_audio_sent = True, False
                case ActivityEnd():
                    self._is_activity_sent = False
            return item
        return None

    def _flush(self) -> None:
        if not self._batch:
            return
        first = self._batch[0]
        chunk = AudioChunk(b"".join(part.pcm for part in self._batch), first.rate, first.pts)
        self._batch.clear()
        self._seconds += chunk.duration
        self._put(chunk)
        while self._seconds > MAX_QUEUED_SECONDS:
            self._drop_oldest_audio()

    def _drop_oldest_audio(self) -> None:
        oldest = next(item for item in self._items if isinstance(item, AudioChunk))
        self._items.remove(oldest)
        self._seconds -= oldest.duration
        self.dropped_seconds += oldest.duration

    def _put(self, item: Item) -> None:
        self._items.append(item)
        self._wakeup.set()
