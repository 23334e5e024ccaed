"""What stands for the rest of the server in the tests of its transports: conversations, and who counts requests."""

import asyncio
from collections.abc import Callable

from mediaserver.http_errors import HttpError
from pipeline.config import ConversationConfig, TurnSettings
from pipeline.errors import MediaError
from pipeline.events import (
    Command,
    EndReason,
    EndSession,
    Event,
    Ping,
    Pong,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
)
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import Observer, Peer


class FakeConversation:
    """A conversation that records its input, and answers commands at once."""

    def __init__(self, config: ConversationConfig) -> None:
        self.config = config
        self.is_ending = False
        self.is_used = False
        self.peers: dict[Peer, str] = {}
        self.graces: list[float] = []
        self.heard: list[AudioChunk] = []
        self.frames: list[ScreenFrame] = []
        self.commands: list[Command] = []
        self.faults: list[MediaError] = []
        self.calls: list[str] = []
        self.log: list[object] = []
        self.turns: TurnSettings | None = None
        self.speakers: dict[int, Peer] = {}
        self._observers: list[Observer] = []
        self._wakeup = asyncio.Event()

    def attach(self, peer: Peer, *, name: str = "") -> None:
        self.peers[peer] = name
        config = self.config
        peer.send_event(SessionStarted(config.id, config.label, config.engine, config.model, None, config.language, {}))
        peer.send_event(StateChanged(State.IDLE))

    def detach(self, peer: Peer, *, grace: float) -> None:
        if self.peers.pop(peer, None) is not None:
            self.graces.append(grace)
            self._wakeup.set()

    def add_observer(self, observer: Observer) -> None:
        self._observers.append(observer)

    def speaker(self, turn: int) -> Peer | None:
        return self.speakers.get(turn)

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        self.turns = turns

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        self.heard.append(chunk)
        self._note("audio")

    def end_audio(self, peer: Peer) -> None:
        self.calls.append("silence")

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        self.frames.append(frame)
        self._note("frame")

    def stop_screen_share(self, peer: Peer) -> None:
        self.calls.append("unwatch")

    def submit(self, peer: Peer, command: Command) -> None:
        self.commands.append(command)
        self._note(command)
        if isinstance(command, Ping):
            peer.send_event(Pong(command.t))
        if isinstance(command, EndSession):
            self.end(EndReason.CLIENT)

    def report_error(self, error: MediaError) -> None:
        self.faults.append(error)
        self._note(error.code.value)

    def emit(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
        for peer in self.peers:
            peer.send_event(event)

    def end(self, reason: EndReason) -> None:
        self.is_ending = True
        self.emit(SessionEnded(reason))
        peers, self.peers = self.peers, {}
        for peer in peers:
            peer.disconnect(reason)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what comes up to make it so."""
        async with asyncio.timeout(10):
            while not is_so():
                self._wakeup.clear()
                await self._wakeup.wait()

    def _note(self, what: object) -> None:
        self.log.append(what)
        self._wakeup.set()


class Counter:
    """Allows so many requests of each name."""

    def __init__(self) -> None:
        self.most = 1_000_000
        self.counts: dict[str, int] = {}

    def admit(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.counts[name] > self.most:
            raise HttpError(429, "RATE_LIMITED", "Too many.", retry_after=7)
