"""One conversation: owns the engine link, the turn counter, playout and history; peers come and go."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

from loguru import logger

from pipeline.audio.vad import VadModel
from pipeline.config import ConversationConfig, TurnSettings
from pipeline.conversation.assistant_state import AssistantState
from pipeline.conversation.dialogue import Dialogue
from pipeline.conversation.floor_control import FloorControl
from pipeline.conversation.lifetime import SessionEnd, SessionLifetime
from pipeline.conversation.peer_group import PeerGroup
from pipeline.engine import (
    EngineDisconnected,
    EngineDowngraded,
    EngineEvent,
    EngineReady,
    EngineUnavailable,
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    ToolCallCancelled,
    UserText,
)
from pipeline.errors import FaultCode, MediaError, Severity
from pipeline.events import (
    AudioEnd,
    Command,
    EndReason,
    EndSession,
    Event,
    Interrupt,
    Interrupted,
    NameTracks,
    Ping,
    Playback,
    Pong,
    Role,
    ScreenFrameSent,
    ScreenShareEnd,
    SessionEnded,
    StateChanged,
    TextInput,
    Transcript,
    TurnEnded,
    TurnUsageReport,
    fault_from,
)
from pipeline.gemini.bridge import GeminiBridge
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk, EncodedFrame, ScreenFrame
from pipeline.peer import Observer, Peer
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.speech_player import PlayedReply
from pipeline.screen.screen_share import ScreenShare
from pipeline.tools.executor import ToolExecutor
from pipeline.tools.toolbox import Toolbox, ToolContext

FIRST_GRACE = 30.0
"""Seconds a new conversation waits for its first peer."""

MOST_COMMANDS = 10_000
"""That wait their turn; a client that sends more while one is obeyed loses its oldest."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Running totals of one conversation: screen frames, VAD windows, and what gave way in its mailboxes."""

    frames_seen: int
    frames_dropped: int
    windows: int
    mailbox_dropped: int


MakeBridge = Callable[[Callable[[EngineEvent], None], Callable[[], int]], GeminiBridge]
"""Makes the engine link from `tell` (where its events go) and `next_turn` (numbers for remarks nobody asked for)."""


class Conversation:
    """Microphones and screens of 0 to n peers go up to one engine; its voice and its events come down to all of them.

    Everything but `run` is synchronous and returns at once. Nothing outlives `run`.
    """

    def __init__(
        self,
        config: ConversationConfig,
        *,
        vad: VadModel,
        ticker: FrameClock,
        toolbox: Toolbox,
        make_bridge: MakeBridge,
    ):
        self.config = config
        self._model = config.model
        self._audience = PeerGroup()
        self._standing = AssistantState()
        self._ending = SessionLifetime(idle=config.idle_seconds, longest=config.max_seconds, grace=FIRST_GRACE)
        self._commands = Mailbox[tuple[Peer, Command]](MOST_COMMANDS)
        self._tasks: asyncio.TaskGroup | None = None  # since it lives
        self._dialogue = Dialogue(
            ticker,
            is_timed=config.timed_transcript,
            tell=self._send_event,
            play=self._audience.send_audio,
            flush=self._audience.flush_audio,
            changed=self._on_speech_signal,
            failed=self._on_voice_failed,
        )
        self._bridge = make_bridge(self._on_engine, self._dialogue.next_turn)
        self._errands = ToolExecutor(
            toolbox,
            answer=self._bridge.send_tool_response,
            tell=self._send_event,
            is_cut=self._dialogue.was_interrupted,
        )
        self._sight = ScreenShare(
            max_side=config.frame_max_side,
            is_ready=lambda: self._bridge.is_ready,
            show=self._bridge.push_frame,
            tell=self._send_event,
            fail=self._fail,
        )
        self._floor = FloorControl(
            vad,
            dialogue=self._dialogue,
            bridge=self._bridge,
            sight=self._sight,
            tell=self._send_event,
            changed=self._refresh_state,
            failed=self.report_error,
        )

    # What peers do.

    def attach(self, peer: Peer, *, name: str = "") -> None:
        """Let a peer take part: it is told `SessionStarted` and the state at once.

        Among several peers with names, the engine is told by name who speaks or writes.
        """
        self._audience.join(peer)
        self._floor.add_peer(peer, self.config.turns, name=name)
        self._ending.on_peer_attached()
        peer.send_event(self.config.session_started_event(self._model))
        peer.send_event(StateChanged(self._standing.state))

    def detach(self, peer: Peer, *, grace: float = 15.0) -> None:
        """Forget a peer; when the last has gone, the conversation waits `grace` seconds for one to come back."""
        if not self._audience.leave(peer):
            return
        self.stop_screen_share(peer)
        self._floor.remove_peer(peer)
        if not self.peers:
            self._interrupt()
            self._ending.on_peer_detached(grace=grace)
        self._refresh_state()

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Judge by other settings from now on when this peer speaks; what it is saying is forgotten."""
        self._floor.update_turn_settings(peer, turns)
        self._refresh_state()

    def add_observer(self, witness: Observer) -> None:
        """Let `witness` see every event from now on."""
        self._audience.add_observer(witness)

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio of any rate; never waits, drops the oldest when overrun."""
        self._floor.push_audio(peer, chunk)

    def end_audio(self, peer: Peer) -> None:
        """Say that this peer's microphone has ended: an open utterance is complete."""
        self._floor.push_audio(peer, None)

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame; only the newest is kept."""
        self._sight.push_frame(peer, frame)

    def stop_screen_share(self, peer: Peer) -> None:
        """Say that this peer's screen share has ended."""
        if self._sight.stop(peer):
            self._bridge.stop_screen_share()

    def submit(self, peer: Peer, command: Command) -> None:
        """Take a client's command; obeyed in order."""
        self._commands.put((peer, command))

    def report_error(self, error: MediaError) -> None:
        """Report a fault that a transport met on this conversation's media, such as a decoder's."""
        if error.severity is Severity.FATAL:
            self._ending.end(error)
        else:
            self._fail(error)

    def end(self, reason: EndReason) -> None:
        """Close the conversation politely."""
        self._ending.end(SessionEnd(reason))

    @property
    def is_ending(self) -> bool:
        """Whether it is over for whoever would join now."""
        return self._ending.has_ended

    @property
    def peers(self) -> int:
        """How many clients are attached."""
        return len(self._audience)

    @property
    def latest_screenshot(self) -> EncodedFrame | None:
        """The newest picture the engine was shown, while a screen is shared."""
        return self._sight.still

    def speaker(self, turn: int) -> Peer | None:
        """Whose voice asks in this turn; None where nobody's does, as it was typed, or when it is long ago."""
        return self._floor.speaker(turn)

    def counts(self) -> Counts:
        """What has happened so far."""
        return Counts(
            frames_seen=self._sight.frames_seen,
            frames_dropped=self._sight.frames_dropped,
            windows=self._floor.windows,
            mailbox_dropped=self._floor.dropped + self._commands.dropped,
        )

    # One life.

    async def run(self) -> EndReason:
        """Live until someone ends it, time is up or a fatal fault; raises nothing but cancellation."""
        reason = EndReason.ERROR
        try:
            with logger.contextualize(session=self.config.id):
                reason = await self._live()
        finally:
            heard = self._stop_media()
            if heard is not None:
                self._dialogue.report_interruption(heard)
            self._dialogue.close()
            self._send_event(SessionEnded(reason))
            self._audience.disconnect(reason)
        return reason

    async def _live(self) -> EndReason:
        logger.info("session started", engine=self.config.engine, model=self.config.model)
        reason = EndReason.ERROR
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._floor.run())
                tasks.create_task(self._sight.run())
                tasks.create_task(self._execute())
                tasks.create_task(self._bridge.run())
                tasks.create_task(self._run_deadlines())
                tasks.create_task(self._ending.wait())
        except* SessionEnd as group:
            reason = next(leaf.reason for leaf in leaves(group) if isinstance(leaf, SessionEnd))
        except* Exception as group:
            reason = EndReason.ERROR
            heard = self._stop_media()
            for error in leaves(group):
                logger.opt(exception=error).error("session failed", code=_code(error))
            self._send_event(fault_from(next(iter(leaves(group)))))
            if heard is not None:
                self._dialogue.report_interruption(heard)
        logger.info(
            "session ended", reason=reason.value, turns=self._dialogue.turn, seconds=round(self._ending.seconds)
        )
        return reason

    async def _run_deadlines(self) -> None:
        await self._ending.run_deadlines(
            is_busy=lambda: self._floor.has_speaker or self._dialogue.is_awaiting,
            is_speaking=lambda: self._dialogue.is_speaking,
        )

    async def _execute(self) -> None:
        async for peer, command in self._commands:
            self._ending.touch()
            match command:
                case TextInput(text):
                    await self._floor.submit_text(peer, text)
                case Interrupt():
                    self._interrupt()
                    self._refresh_state()
                case AudioEnd():
                    self.end_audio(peer)
                case ScreenShareEnd():
                    self.stop_screen_share(peer)
                case Playback(turn, played_ms):
                    self._dialogue.client_played(turn, played_ms)
                case Ping(t):
                    peer.send_event(Pong(t))
                case EndSession():
                    self.end(EndReason.CLIENT)
                case NameTracks():
                    pass  # the transport has already obeyed
                case _:
                    assert_never(command)

    # The engine.

    def _on_engine(self, event: EngineEvent) -> None:
        match event:
            case EngineReady(model):
                self._model = model
                self._standing.ready()
                self._sight.resend_latest()
            case EngineDisconnected():
                self._standing.engine_disconnected()
                self._errands.cancel_all()
            case EngineUnavailable(error, is_cut):
                self._standing.engine_failed()
                if is_cut:
                    self._fail(error, is_turn_lost=True)
                elif self._dialogue.is_speaking:
                    self._standing.defer(error)  # all of this reply has come: it is heard first
                else:
                    self._report(error)
            case EngineDowngraded(error):
                self._report(error)
            case ToolCall():
                self._run_tool(event)
            case ToolCallCancelled(ids):
                self._errands.cancel(ids)
            case ReplyEnded(turn, usage) if self._dialogue.is_over(turn):
                self._audience.notify_observers(TurnUsageReport(turn, usage))
            case ReplyEnded(turn, usage, blocked) if blocked is not None:
                self._fail(blocked)
                self._audience.notify_observers(TurnUsageReport(turn, usage))
            case ReplyCancelled(turn, usage):
                self._dialogue.record_usage(turn, usage)
                self._audience.notify_observers(TurnUsageReport(turn, usage))
            case UserText() | ReplyAudio() | ReplyText() | ReplyGenerated() | ReplyEnded():
                try:
                    self._dialogue.on_engine_event(event)
                except MediaError as error:
                    self._fail(error)
            case _:
                assert_never(event)
        self._refresh_state()

    def _run_tool(self, call: ToolCall) -> None:
        if self._tasks is not None:
            context = ToolContext(self.latest_screenshot.number if self.latest_screenshot else None)
            self._errands.start(call, context, self._tasks)

    def _interrupt(self) -> None:
        if self._dialogue.interrupt():
            self._bridge.interrupt_reply()

    def _on_speech_signal(self) -> None:
        """A reply was heard to its end."""
        error = self._standing.take_deferred()
        if error is not None:
            self._report(error)
        self._refresh_state()

    # Faults.

    def _fail(self, error: MediaError, *, is_turn_lost: bool = False) -> None:
        """A report or turn fault: the latter silences at once, and only a new turn is heard after it."""
        heard = self._stop_media() if is_turn_lost or error.severity is Severity.TURN else None
        self._report(error)
        if heard is not None:
            self._dialogue.report_interruption(heard)
        self._refresh_state()

    def _report(self, error: MediaError) -> None:
        logger.opt(exception=error).warning("fault", code=error.code.value, where=error.where)
        self._send_event(fault_from(error))

    def _stop_media(self) -> PlayedReply | None:
        heard = self._dialogue.stop_playback(softly=False)
        if heard is not None:
            self._bridge.interrupt_reply()
        self._floor.discard_utterances()
        return heard

    def _on_voice_failed(self, error: Exception) -> None:
        if isinstance(error, MediaError):
            self.report_error(error)
        else:
            self._ending.end(error)

    # Telling.

    def _send_event(self, event: Event) -> None:
        if isinstance(event, ScreenFrameSent | TurnEnded):
            self._ending.touch()
        match event:
            case Transcript(turn, role, text, final=True):
                self._bridge.add_transcript(turn, role, text)
            case Interrupted(turn, _, heard_text):
                self._bridge.add_transcript(turn, Role.ASSISTANT, heard_text)
            case _:
                pass  # nothing that was said
        self._audience.send_event(event)

    def _refresh_state(self) -> None:
        dialogue = self._dialogue
        state = self._standing.next_state(
            is_listening=self._floor.has_speaker, is_awaiting=dialogue.is_awaiting, is_speaking=dialogue.is_speaking
        )
        if state is not None:
            self._send_event(StateChanged(state))


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """The exceptions at the bottom of a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _code(error: BaseException) -> str:
    return error.code.value if isinstance(error, MediaError) else FaultCode.INTERNAL_ERROR.value
