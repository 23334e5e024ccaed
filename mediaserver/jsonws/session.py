"""The session of one client: attaches it to a conversation, from start_session to the end of either."""

import asyncio
from collections.abc import Callable

from mediaserver.jsonws.codec import AudioInput, Output
from mediaserver.jsonws.media_input import LatestFrameInput, MediaFeedback, PacedAudioInput
from mediaserver.jsonws.peer import JsonPeer
from mediaserver.jsonws.send_queue import SendQueue
from pipeline.events import AudioEnd, Command, EndReason, EndSession, ScreenShareEnd, TextInput
from pipeline.peer import ConversationPort

GRACE = 5.0
"""Seconds that a conversation waits for its client to reconnect."""

_END_TIMEOUT = 5.0


class _SessionClosed(Exception):
    """Leaves the session's task group."""


class Session:
    """Feeds the client's media and commands to its conversation; attached until `close`."""

    def __init__(
        self,
        conversation: ConversationPort,
        send_queue: SendQueue,
        output: Output,
        feedback: MediaFeedback,
        decoder_slots: asyncio.Semaphore,
        *,
        counted_as: str,
        on_slow_consumer: Callable[[], None],
        on_closed: Callable[["Session"], None],
    ):
        self.id = conversation.config.id
        self.counted_as = counted_as
        """The name under which the caller's messages are counted, see `Caller`."""
        self.end_reason: EndReason | None = None
        """The conversation's end reason; None while it is live."""
        self._conversation = conversation
        self._on_closed = on_closed
        self.peer = JsonPeer(send_queue, output, on_disconnect=self._on_disconnect, on_slow_consumer=on_slow_consumer)
        self._frame_input = LatestFrameInput(conversation, self.peer, feedback, decoder_slots)
        self._audio_input = PacedAudioInput(conversation, self.peer, feedback, self._frame_input)
        self._closing = asyncio.Event()
        self._detached = asyncio.Event()
        conversation.attach(self.peer)

    def is_addressed_by(self, name: str | None) -> bool:
        """Whether a message with this `sessionId`, or without one, belongs to the session."""
        return name in (None, self.peer.label, self.id)

    def show(self, picture: bytes, on_done: Callable[[], None]) -> None:
        """Show a picture; `on_done` is called when it is decoded, replaced by a newer one or discarded."""
        self._frame_input.offer(picture, on_done)

    async def on_message(self, message: AudioInput | Command) -> None:
        """Pass a message on; waits while the client is too far ahead of real time."""
        match message:
            case AudioInput():
                await self._audio_input.put_audio(message)
            case AudioEnd() | TextInput():
                await self._audio_input.put_command(message)
            case ScreenShareEnd():
                self._frame_input.clear()
                self._conversation.submit(self.peer, message)
            case EndSession():
                self._conversation.submit(self.peer, message)
                await self._wait_until_detached()
            case _:
                self._conversation.submit(self.peer, message)

    async def run(self) -> None:
        """Run until the conversation ends or the client has left, then detach."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._frame_input.run())
                tasks.create_task(self._audio_input.run())
                await self._closing.wait()
                raise _SessionClosed
        except* _SessionClosed:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Detach from the conversation, which waits `GRACE` for the client to reconnect."""
        self._closing.set()
        if not self._detached.is_set():
            self._detached.set()
            self._audio_input.close()
            self.peer.close()
            self._conversation.detach(self.peer, grace=GRACE)
            self._on_closed(self)

    async def _wait_until_detached(self) -> None:
        # The next message may start another session of the same label, so this one must have left first.
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await self._detached.wait()
        except TimeoutError:
            return

    def _on_disconnect(self, reason: EndReason) -> None:
        self.end_reason = reason
        self._closing.set()
