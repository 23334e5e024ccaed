"""One conversation: owns the engine link, the turn counter, playout and history; peers come and go."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

from loguru import logger

from pipeline.audio.turn_detector import TurnSettings
from pipeline.audio.vad import VadModel
from pipeline.conversation.assistant_state import Standing
from pipeline.conversation.config import Terms
from pipeline.conversation.dialogue import Dialogue
from pipeline.conversation.floor_control import Floor
from pipeline.conversation.lifetime import Ended, Ending
from pipeline.conversation.peer_group import Audience, Witness
from pipeline.engine import (
    EngineAway,
    EngineEvent,
    EngineLost,
    EngineReady,
    EngineReduced,
    ReplyAudio,
    ReplyDropped,
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
    ScreenSeen,
    ScreenShareEnd,
    SessionEnded,
    StateChanged,
    TextInput,
    Transcript,
    TurnEnded,
    TurnSpent,
    fault_from,
)
from pipeline.gemini.bridge import GeminiBridge
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk, ScreenFrame, StillFrame
from pipeline.peer import Peer
from pipeline.playout.frame_clock import Ticker
from pipeline.playout.speech_player import HeardReply
from pipeline.screen.screen_share import Sight
from pipeline.tools.executor import Errands
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
        terms: Terms,
        *,
        vad: VadModel,
        ticker: Ticker,
        toolbox: Toolbox,
        make_bridge: MakeBridge,
    ):
        self.terms = terms
        self._model = terms.model
        self._audience = Audience()
        self._standing = Standing()
        self._ending = Ending(idle=terms.idle_seconds, longest=terms.max_seconds, grace=FIRST_GRACE)
        self._commands = Mailbox[tuple[Peer, Command]](MOST_COMMANDS)
        self._tasks: asyncio.TaskGroup | None = None  # since it lives
        self._dialogue = Dialogue(
            ticker,
            is_timed=terms.timed_transcript,
            tell=self._tell,
            play=self._audience.play,
            flush=self._audience.flush,
            changed=self._on_heard,
            failed=self._on_voice_failed,
        )
        self._bridge = make_bridge(self._on_engine, self._dialogue.next_turn)
        self._errands = Errands(toolbox, answer=self._bridge.answer, tell=self._tell, is_cut=self._dialogue.is_cut)
        self._sight = Sight(
            max_side=terms.frame_max_side,
            is_ready=lambda: self._bridge.is_ready,
            show=self._bridge.show,
            tell=self._tell,
            fail=self._fail,
        )
        self._floor = Floor(
            vad,
            dialogue=self._dialogue,
            bridge=self._bridge,
            sight=self._sight,
            tell=self._tell,
            changed=self._refresh_state,
            failed=self.blame,
        )

    # What peers do.

    def attach(self, peer: Peer, *, name: str = "") -> None:
        """Let a peer take part: it is told `SessionStarted` and the state at once.

        Among several peers with names, the engine is told by name who speaks or writes.
        """
        self._audience.join(peer)
        self._floor.join(peer, self.terms.turns, name=name)
        self._ending.join()
        peer.tell(self.terms.introduced(self._model))
        peer.tell(StateChanged(self._standing.state))

    def detach(self, peer: Peer, *, grace: float = 15.0) -> None:
        """Forget a peer; when the last has gone, the conversation waits `grace` seconds for one to come back."""
        if not self._audience.leave(peer):
            return
        self.unwatch(peer)
        self._floor.leave(peer)
        if not self.peers:
            self._cut_reply()
            self._ending.leave(grace=grace)
        self._refresh_state()

    def tune(self, peer: Peer, turns: TurnSettings) -> None:
        """Judge by other settings from now on when this peer speaks; what it is saying is forgotten."""
        self._floor.tune(peer, turns)
        self._refresh_state()

    def add_witness(self, witness: Witness) -> None:
        """Let `witness` see every event from now on."""
        self._audience.add_witness(witness)

    def hear(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio of any rate; never waits, drops the oldest when overrun."""
        self._floor.hear(peer, chunk)

    def silence(self, peer: Peer) -> None:
        """Say that this peer's microphone has ended: an open utterance is complete."""
        self._floor.hear(peer, None)

    def watch(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame; only the newest is kept."""
        self._sight.watch(peer, frame)

    def unwatch(self, peer: Peer) -> None:
        """Say that this peer's screen share has ended."""
        if self._sight.unwatch(peer):
            self._bridge.hide()

    def obey(self, peer: Peer, command: Command) -> None:
        """Take a client's command; obeyed in order."""
        self._commands.put((peer, command))

    def blame(self, error: MediaError) -> None:
        """Report a fault that a transport met on this conversation's media, such as a decoder's."""
        if error.severity is Severity.FATAL:
            self._ending.come(error)
        else:
            self._fail(error)

    def end(self, reason: EndReason) -> None:
        """Close the conversation politely."""
        self._ending.come(Ended(reason))

    @property
    def is_ending(self) -> bool:
        """Whether it is over for whoever would join now."""
        return self._ending.has_come

    @property
    def peers(self) -> int:
        """How many clients are attached."""
        return len(self._audience)

    @property
    def still(self) -> StillFrame | None:
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
            with logger.contextualize(session=self.terms.id):
                reason = await self._live()
        finally:
            heard = self._silence_all()
            if heard is not None:
                self._dialogue.tell_cut(heard)
            self._dialogue.release()
            self._tell(SessionEnded(reason))
            self._audience.dismiss(reason)
        return reason

    async def _live(self) -> EndReason:
        logger.info("session started", engine=self.terms.engine, model=self.terms.model)
        reason = EndReason.ERROR
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._floor.run())
                tasks.create_task(self._sight.run())
                tasks.create_task(self._obey())
                tasks.create_task(self._bridge.run())
                tasks.create_task(self._keep_time())
                tasks.create_task(self._ending.wait())
        except* Ended as group:
            reason = next(leaf.reason for leaf in leaves(group) if isinstance(leaf, Ended))
        except* Exception as group:
            reason = EndReason.ERROR
            heard = self._silence_all()
            for error in leaves(group):
                logger.opt(exception=error).error("session failed", code=_code(error))
            self._tell(fault_from(next(iter(leaves(group)))))
            if heard is not None:
                self._dialogue.tell_cut(heard)
        logger.info(
            "session ended", reason=reason.value, turns=self._dialogue.turn, seconds=round(self._ending.seconds)
        )
        return reason

    async def _keep_time(self) -> None:
        await self._ending.keep_time(
            is_busy=lambda: self._floor.is_taken or self._dialogue.is_awaiting,
            is_speaking=lambda: self._dialogue.is_speaking,
        )

    async def _obey(self) -> None:
        async for peer, command in self._commands:
            self._ending.touch()
            match command:
                case TextInput(text):
                    await self._floor.ask(peer, text)
                case Interrupt():
                    self._cut_reply()
                    self._refresh_state()
                case AudioEnd():
                    self.silence(peer)
                case ScreenShareEnd():
                    self.unwatch(peer)
                case Playback(turn, played_ms):
                    self._dialogue.client_played(turn, played_ms)
                case Ping(t):
                    peer.tell(Pong(t))
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
                self._sight.show_again()
            case EngineAway():
                self._standing.away()
                self._errands.cancel_all()
            case EngineLost(error, is_cut):
                self._standing.lost()
                if is_cut:
                    self._fail(error, is_turn_lost=True)
                elif self._dialogue.is_speaking:
                    self._standing.defer(error)  # all of this reply has come: it is heard first
                else:
                    self._report(error)
            case EngineReduced(error):
                self._report(error)
            case ToolCall():
                self._run_tool(event)
            case ToolCallCancelled(ids):
                self._errands.cancel(ids)
            case ReplyEnded(turn, usage) if self._dialogue.is_dead(turn):
                self._audience.note(TurnSpent(turn, usage))
            case ReplyEnded(turn, usage, blocked) if blocked is not None:
                self._fail(blocked)
                self._audience.note(TurnSpent(turn, usage))
            case ReplyDropped(turn, usage):
                self._dialogue.recount(turn, usage)
                self._audience.note(TurnSpent(turn, usage))
            case UserText() | ReplyAudio() | ReplyText() | ReplyGenerated() | ReplyEnded():
                try:
                    self._dialogue.take(event)
                except MediaError as error:
                    self._fail(error)
            case _:
                assert_never(event)
        self._refresh_state()

    def _run_tool(self, call: ToolCall) -> None:
        if self._tasks is not None:
            context = ToolContext(self.still.number if self.still else None)
            self._errands.start(call, context, self._tasks)

    def _cut_reply(self) -> None:
        if self._dialogue.cut():
            self._bridge.stop_reply()

    def _on_heard(self) -> None:
        """A reply was heard to its end."""
        error = self._standing.take_deferred()
        if error is not None:
            self._report(error)
        self._refresh_state()

    # Faults.

    def _fail(self, error: MediaError, *, is_turn_lost: bool = False) -> None:
        """A report or turn fault: the latter silences at once, and only a new turn is heard after it."""
        heard = self._silence_all() if is_turn_lost or error.severity is Severity.TURN else None
        self._report(error)
        if heard is not None:
            self._dialogue.tell_cut(heard)
        self._refresh_state()

    def _report(self, error: MediaError) -> None:
        logger.opt(exception=error).warning("fault", code=error.code.value, where=error.where)
        self._tell(fault_from(error))

    def _silence_all(self) -> HeardReply | None:
        heard = self._dialogue.hush(softly=False)
        if heard is not None:
            self._bridge.stop_reply()
        self._floor.clear()
        return heard

    def _on_voice_failed(self, error: Exception) -> None:
        if isinstance(error, MediaError):
            self.blame(error)
        else:
            self._ending.come(error)

    # Telling.

    def _tell(self, event: Event) -> None:
        if isinstance(event, ScreenSeen | TurnEnded):
            self._ending.touch()
        match event:
            case Transcript(turn, role, text, final=True):
                self._bridge.remember(turn, role, text)
            case Interrupted(turn, _, heard_text):
                self._bridge.remember(turn, Role.ASSISTANT, heard_text)
            case _:
                pass  # nothing that was said
        self._audience.tell(event)

    def _refresh_state(self) -> None:
        dialogue = self._dialogue
        state = self._standing.look(
            is_listening=self._floor.is_taken, is_awaiting=dialogue.is_awaiting, is_speaking=dialogue.is_speaking
        )
        if state is not None:
            self._tell(StateChanged(state))


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """The exceptions at the bottom of a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _code(error: BaseException) -> str:
    return error.code.value if isinstance(error, MediaError) else FaultCode.INTERNAL_ERROR.value
