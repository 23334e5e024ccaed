"""One client's part in one conversation, from start_session until either is over."""

import asyncio
from collections.abc import Callable

from mediaserver.jsonws.codec import AudioInput, Output, ScreenFrameInput
from mediaserver.jsonws.media_input import LatestFrameInput, MediaFeedback, PacedAudioInput
from mediaserver.jsonws.peer import JsonPeer
from mediaserver.jsonws.send_queue import SendQueue
from pipeline.events import AudioEnd, Command, EndReason, EndSession, ScreenShareEnd, TextInput
from pipeline.peer import ConversationPort

GRACE = 5.0
"""How long (s) a conversation waits for its client to come back."""

_END_DEADLINE = 5.0


class _Over(Exception):
    """Leaves the session's task group."""


class Session:
    """Attached from the beginning; `run` feeds the conversation and detaches at the end."""

    def __init__(
        self,
        host: ConversationPort,
        outbox: SendQueue,
        output: Output,
        verdict: MediaFeedback,
        workers: asyncio.Semaphore,
        *,
        on_slow: Callable[[], None],
        on_over: Callable[["Session"], None],
    ):
        self.id = host.config.id
        self.end_reason: EndReason | None = None
        """Why the conversation ended; None while it goes on."""
        self._host = host
        self._on_over = on_over
        self.peer = JsonPeer(outbox, output, on_dismissed=self._on_dismissed, on_slow=on_slow)
        self._screen = LatestFrameInput(host, self.peer, verdict, workers)
        self._voice = PacedAudioInput(host, self.peer, verdict, self._screen)
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        host.attach(self.peer)

    def is_named(self, name: str | None) -> bool:
        """Whether a message that names this session, or none, is meant for it."""
        return name in (None, self.peer.label, self.id)

    async def on_message(self, message: AudioInput | ScreenFrameInput | Command) -> None:
        """Hand a message on; waits while the client is too far ahead of real time."""
        match message:
            case AudioInput():
                await self._voice.put_audio(message)
            case ScreenFrameInput(data):
                self._screen.offer(data)
            case AudioEnd() | TextInput():
                await self._voice.put_command(message)
            case ScreenShareEnd():
                self._screen.clear()
                self._host.submit(self.peer, message)
            case EndSession():
                self._host.submit(self.peer, message)
                await self._end()
            case _:
                self._host.submit(self.peer, message)

    async def run(self) -> None:
        """Live until the conversation ends or the client has left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._screen.run())
                tasks.create_task(self._voice.run())
                await self._leaving.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self.leave()

    def leave(self) -> None:
        """Take no further part; the conversation goes on for a while without."""
        self._leaving.set()
        if not self._gone.is_set():
            self._gone.set()
            self._voice.close()
            self.peer.close()
            self._host.detach(self.peer, grace=GRACE)
            self._on_over(self)

    async def _end(self) -> None:
        # What the client sends next may begin another session, under the same label.
        try:
            async with asyncio.timeout(_END_DEADLINE):
                await self._gone.wait()
        except TimeoutError:
            return

    def _on_dismissed(self, reason: EndReason) -> None:
        self.end_reason = reason
        self._leaving.set()
