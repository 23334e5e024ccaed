"""One conversation: connects its peers, the stages of its media and the engine, and handles every error."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from loguru import logger

from pipeline.audio.smart_turn import EndOfTurnModel, NoEndOfTurnModel
from pipeline.audio.vad import VadModel
from pipeline.config import ConversationConfig, TurnSettings
from pipeline.conversation.assistant_state import AssistantState
from pipeline.conversation.dialogue import Dialogue
from pipeline.conversation.floor_control import FloorControl
from pipeline.conversation.guided_conversation import NO_GUIDANCE, GuidedConversation
from pipeline.conversation.lifetime import SessionEnd, SessionLifetime
from pipeline.conversation.peer_group import PeerGroup
from pipeline.engine import (
    EngineDisconnected,
    EngineDowngraded,
    EngineEvent,
    EngineListener,
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
from pipeline.errors import FaultCode, MediaError, Severity, leaf_exceptions
from pipeline.events import (
    AudioEnd,
    Command,
    EndReason,
    EndSession,
    Event,
    Guidance,
    GuideCommand,
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
    StartGuide,
    StateChanged,
    TextInput,
    Transcript,
    TurnEnded,
    TurnUsageReport,
    fault_from,
)
from pipeline.gemini.bridge import GeminiBridge
from pipeline.guidance.coach import GuidanceConfig
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk, EncodedFrame, ScreenFrame
from pipeline.peer import Observer, Peer
from pipeline.playout.frame_clock import FrameClock
from pipeline.playout.speech_player import PlayedReply
from pipeline.screen.screen_share import ScreenShare
from pipeline.tools.executor import ToolExecutor
from pipeline.tools.toolbox import Toolbox, ToolContext

FIRST_GRACE = 10.0
"""Seconds a new conversation waits for its first peer."""

MAX_QUEUED_COMMANDS = 10_000
"""Client commands that may be queued before the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Running totals of one conversation: screen frames, VAD windows, and items dropped by its mailboxes."""

    frames_seen: int
    frames_dropped: int
    windows: int
    mailbox_dropped: int


MakeBridge = Callable[[EngineListener], GeminiBridge]
"""Makes the bridge to the engine; its events go to the listener."""


class Conversation:
    """Sends the microphones and screens of 0 to n peers to one engine, and its speech and events to all of them.

    Implements `ConversationPort` for the transports and the listener protocols of its stages. All methods but `run`
    are synchronous and return at once. No task outlives `run`.
    """

    def __init__(
        self,
        config: ConversationConfig,
        *,
        vad: VadModel,
        frame_clock: FrameClock,
        toolbox: Toolbox,
        make_bridge: MakeBridge,
        guidance: GuidanceConfig = NO_GUIDANCE,
        end_of_turn: EndOfTurnModel | None = None,
    ):
        self.config = config
        self._model = config.model
        self._peers = PeerGroup()
        self._state = AssistantState()
        self._lifetime = SessionLifetime(
            idle=config.idle_seconds, longest=config.max_seconds, grace=FIRST_GRACE, unused=config.unused_seconds
        )
        self._commands = Mailbox[tuple[Peer, Command]](MAX_QUEUED_COMMANDS)
        self._tasks: asyncio.TaskGroup | None = None  # while running
        self._dialogue = Dialogue(frame_clock, self._peers, self, timed_transcript=config.timed_transcript)
        self._bridge = make_bridge(self)
        self._guided = GuidedConversation(
            guidance,
            screenshot=lambda: self.latest_screenshot,
            submit_note=self._submit_note,
            is_quiet=self._is_quiet,
            send_event=self.send_event,
        )
        self._tools = ToolExecutor(
            toolbox,
            self._bridge,
            send_event=self._show,
            was_interrupted=self._dialogue.was_interrupted,
            change_plan=self._guided.change,
        )
        self._screen_share = ScreenShare(
            self._bridge, max_side=config.frame_max_side, send_event=self.send_event, on_error=self._fail
        )
        self._floor_control = FloorControl(
            vad,
            end_of_turn=end_of_turn or NoEndOfTurnModel(),
            dialogue=self._dialogue,
            bridge=self._bridge,
            screen_share=self._screen_share,
            listener=self,
        )

    # ConversationPort.

    def attach(self, peer: Peer, *, name: str = "") -> None:
        """Add a peer, and send it `SessionStarted` and the state at once.

        The engine is given the names when several peers have one.
        """
        self._peers.join(peer)
        self._floor_control.add_peer(peer, self.config.turns, name=name)
        self._lifetime.on_peer_attached()
        peer.send_event(self.config.session_started_event(self._model))
        peer.send_event(StateChanged(self._state.state))
        if (plan := self._guided.event) is not None:
            peer.send_event(plan)

    def detach(self, peer: Peer, *, grace: float = 15.0) -> None:
        """Remove a peer; without peers, the conversation ends after `grace` seconds unless one attaches."""
        if not self._peers.leave(peer):
            return
        self.stop_screen_share(peer)
        self._floor_control.remove_peer(peer)
        if not self.peers:
            self._interrupt()
            self._lifetime.on_peer_detached(grace=grace)
        self._refresh_state()

    def update_turn_settings(self, peer: Peer, turns: TurnSettings) -> None:
        """Replace a peer's turn detection settings and drop its open utterance."""
        self._floor_control.update_turn_settings(peer, turns)
        self._refresh_state()

    def add_observer(self, observer: Observer) -> None:
        """Pass every event from now on to `observer`."""
        self._peers.add_observer(observer)

    def push_audio(self, peer: Peer, chunk: AudioChunk) -> None:
        """Queue microphone audio of any rate; never waits, drops the oldest when full."""
        self._lifetime.mark_used()
        self._floor_control.push_audio(peer, chunk)

    def end_audio(self, peer: Peer) -> None:
        """Complete this peer's open utterance, as its microphone has ended."""
        self._floor_control.push_audio(peer, None)

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame; only the newest is kept."""
        self._lifetime.mark_used()
        self._screen_share.push_frame(peer, frame)

    def stop_screen_share(self, peer: Peer) -> None:
        """End this peer's screen share."""
        if self._screen_share.stop(peer):
            self._bridge.stop_screen_share()

    def submit(self, peer: Peer, command: Command) -> None:
        """Queue a client's command; commands run in order."""
        self._commands.put((peer, command))

    def report_error(self, error: MediaError) -> None:
        """Handle an error that a transport or a stage met in this conversation's media."""
        if error.severity is Severity.FATAL:
            self._lifetime.end(error)
        else:
            self._fail(error)

    def end(self, reason: EndReason) -> None:
        """End the conversation without an error."""
        self._lifetime.end(SessionEnd(reason))

    @property
    def is_ending(self) -> bool:
        """Whether the conversation no longer accepts peers."""
        return self._lifetime.has_ended

    @property
    def is_used(self) -> bool:
        """Whether a client has sent media, text or an action."""
        return self._lifetime.is_used

    @property
    def peers(self) -> int:
        """Number of attached peers."""
        return len(self._peers)

    @property
    def latest_screenshot(self) -> EncodedFrame | None:
        """The newest frame encoded for the engine, while a screen is shared."""
        return self._screen_share.latest_screenshot

    def speaker(self, turn: int) -> Peer | None:
        """Return the peer whose voice began this turn; None for a typed question or an old turn."""
        return self._floor_control.speaker(turn)

    def counts(self) -> Counts:
        """Return the running totals."""
        return Counts(
            frames_seen=self._screen_share.frames_seen,
            frames_dropped=self._screen_share.frames_dropped,
            windows=self._floor_control.windows,
            mailbox_dropped=self._floor_control.dropped + self._commands.dropped,
        )

    # Tasks.

    async def run(self) -> EndReason:
        """Run until the conversation ends or a fatal error; raises nothing but cancellation."""
        reason = EndReason.ERROR
        try:
            with logger.contextualize(session=self.config.id):
                reason = await self._run_tasks()
        finally:
            played = self._stop_media()
            if played is not None:
                self._dialogue.report_interruption(played)
            self._dialogue.close()
            self.send_event(SessionEnded(reason))
            self._peers.disconnect(reason)
        return reason

    async def _run_tasks(self) -> EndReason:
        logger.info("session started", engine=self.config.engine, model=self.config.model)
        reason = EndReason.ERROR
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._floor_control.run())
                tasks.create_task(self._screen_share.run())
                tasks.create_task(self._execute())
                tasks.create_task(self._bridge.run())
                tasks.create_task(self._run_deadlines())
                tasks.create_task(self._lifetime.wait())
                tasks.create_task(self._guided.run())
        except* SessionEnd as group:
            reason = next(leaf.reason for leaf in leaf_exceptions(group) if isinstance(leaf, SessionEnd))
        except* Exception as group:
            reason = EndReason.ERROR
            played = self._stop_media()
            for error in leaf_exceptions(group):
                logger.opt(exception=error).error("session failed", code=_code(error))
            self.send_event(fault_from(next(iter(leaf_exceptions(group)))))
            if played is not None:
                self._dialogue.report_interruption(played)
        logger.info(
            "session ended", reason=reason.value, turns=self._dialogue.turn, seconds=round(self._lifetime.seconds)
        )
        return reason

    async def _run_deadlines(self) -> None:
        await self._lifetime.run_deadlines(
            is_busy=lambda: self._floor_control.has_speaker or self._dialogue.is_awaiting,
            is_speaking=lambda: self._dialogue.is_speaking,
        )

    async def _execute(self) -> None:
        async for peer, command in self._commands:
            if not isinstance(command, Ping | NameTracks):  # clients send these by themselves
                self._lifetime.touch()
            match command:
                case TextInput(text):
                    await self._floor_control.submit_text(peer, text)
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
                case StartGuide() | GuideCommand():
                    await self._guided.execute(command)
                case NameTracks():
                    pass  # the transport has already applied it
                case _:
                    assert_never(command)

    # EngineListener.

    def next_turn(self) -> int:
        """Return the number of a new proactive turn."""
        return self._dialogue.next_turn()

    def on_engine_event(self, event: EngineEvent) -> None:
        """Pass an event of the engine to its stage."""
        match event:
            case EngineReady(model):
                self._model = model
                self._state.engine_ready()
                self._screen_share.resend_latest()
            case EngineDisconnected():
                self._state.engine_disconnected()
                self._tools.cancel_all()
            case EngineUnavailable(error, is_turn_lost):
                self._state.engine_failed()
                if is_turn_lost:
                    self._fail(error, is_turn_lost=True)
                elif self._dialogue.is_speaking:
                    self._state.defer(error)  # this reply has arrived completely: it is played first
                else:
                    self._report(error)
            case EngineDowngraded(error):
                self._report(error)
            case ToolCall():
                self._dialogue.on_tool_call(event.turn)
                self._run_tool(event)
            case ToolCallCancelled(ids):
                self._tools.cancel(ids)
            case ReplyEnded(turn, usage) if self._dialogue.is_over(turn):
                self._peers.notify_observers(TurnUsageReport(turn, usage))
            case ReplyEnded(turn, usage, blocked) if blocked is not None:
                self._fail(blocked)
                self._peers.notify_observers(TurnUsageReport(turn, usage))
            case ReplyCancelled(turn, usage):
                self._dialogue.record_usage(turn, usage)
                self._peers.notify_observers(TurnUsageReport(turn, usage))
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
            self._tools.start(call, context, self._tasks)

    def _show(self, shown: Event) -> None:
        """Show the result of a tool; a list of steps becomes the plan."""
        if isinstance(shown, Guidance):
            self._guided.adopt(shown)
        else:
            self.send_event(shown)

    async def _submit_note(self, note: str, is_wanted: Callable[[], bool]) -> bool:
        return await self._floor_control.submit_note(note, is_wanted=is_wanted)

    def _is_quiet(self) -> bool:
        """Whether somebody listens, and neither the user nor the assistant speaks or is about to."""
        dialogue = self._dialogue
        is_busy = self._floor_control.has_speaker or dialogue.is_awaiting or dialogue.is_speaking or dialogue.is_audible
        return self.peers > 0 and not is_busy

    # DialogueListener and FloorListener.

    @property
    def plan_note(self) -> str | None:
        """The plan in words, for a model."""
        return self._guided.note

    def send_event(self, event: Event) -> None:
        """Send an event to peers and observers, and its text to the bridge's transcript."""
        if isinstance(event, ScreenFrameSent | TurnEnded):
            self._lifetime.touch()
        match event:
            case ScreenFrameSent():
                self._guided.on_frame()
            case Transcript(turn, role, text, final=True):
                self._bridge.add_transcript(turn, role, text)
            case Interrupted(turn, _, heard_text):
                self._bridge.add_transcript(turn, Role.ASSISTANT, heard_text)
            case _:
                pass  # no text
        self._peers.send_event(event)

    def on_reply_resumed(self) -> None:
        """Stop the engine, which answers what interrupted the reply that goes on."""
        self._bridge.interrupt_reply()
        self._refresh_state()

    def on_reply_finished(self) -> None:
        """Report a deferred engine error, now that the reply was played to its end."""
        error = self._state.take_deferred()
        if error is not None:
            self._report(error)
        self._refresh_state()

    def on_playout_error(self, error: Exception) -> None:
        """Handle an error of the playout; anything but a `MediaError` ends the conversation."""
        if isinstance(error, MediaError):
            self.report_error(error)
        else:
            self._lifetime.end(error)

    def on_floor_changed(self) -> None:
        """Send the state if it has changed."""
        self._refresh_state()

    # Errors and state.

    def _interrupt(self) -> None:
        if self._dialogue.interrupt():
            self._bridge.interrupt_reply()

    def _fail(self, error: MediaError, *, is_turn_lost: bool = False) -> None:
        """Report a non-fatal error; one of TURN severity first stops all media until the next turn."""
        played = self._stop_media() if is_turn_lost or error.severity is Severity.TURN else None
        self._report(error)
        if played is not None:
            self._dialogue.report_interruption(played)
        self._refresh_state()

    def _report(self, error: MediaError) -> None:
        self._dialogue.confirm_interruption()  # after a fault nothing is taken up again
        logger.opt(exception=error).warning("fault", code=error.code.value, where=error.where)
        self.send_event(fault_from(error))

    def _stop_media(self) -> PlayedReply | None:
        played = self._dialogue.stop_playback(fades=False)
        if played is not None:
            self._bridge.interrupt_reply()
        self._floor_control.discard_utterances()
        return played

    def _refresh_state(self) -> None:
        dialogue = self._dialogue
        state = self._state.next_state(
            is_listening=self._floor_control.has_speaker,
            is_awaiting=dialogue.is_awaiting,
            is_speaking=dialogue.is_speaking,
        )
        if state is not None:
            self.send_event(StateChanged(state))


def _code(error: BaseException) -> str:
    return error.code.value if isinstance(error, MediaError) else FaultCode.INTERNAL_ERROR.value
