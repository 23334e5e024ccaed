"""One conversation: owns the engine link, the turn counter, playout and history; peers come and go."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import assert_never

from loguru import logger

from pipeline.dialogue import Dialogue
from pipeline.ear import Ear
from pipeline.ear import Heard as EarHeard
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
from pipeline.errands import Errands
from pipeline.errors import FaultCode, MediaError, Severity
from pipeline.events import (
    AudioEnd,
    Command,
    EndReason,
    EndSession,
    Event,
    Interrupt,
    NameTracks,
    Ping,
    Playback,
    Pong,
    Role,
    ScreenSeen,
    ScreenShareEnd,
    SessionEnded,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    State,
    StateChanged,
    TextInput,
    Transcript,
    TurnEnded,
    TurnSpent,
    fault_from,
)
from pipeline.gemini import GeminiBridge
from pipeline.lifetime import Lifetime
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame, StillFrame
from pipeline.peer import Peer
from pipeline.sight import Sight
from pipeline.speaker import HeardReply
from pipeline.ticker import Ticker
from pipeline.tools import Toolbox, ToolContext
from pipeline.turn import TurnSettings
from pipeline.vad import VadModel

FIRST_GRACE = 30.0
"""Seconds a new conversation waits for its first peer."""

REMEMBERED_VOICES = 8
"""Turns of which it is known whose voice began them."""

MAX_NAME = 64

MICROPHONE_CHUNKS = 250
"""How many chunks (20 ms each by RTP) may wait to be heard before the oldest is dropped."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a conversation was started with. `idle_seconds` and `max_seconds` end it."""

    id: str
    label: str
    engine: str
    model: str
    requested_model: str | None
    language: str
    idle_seconds: float
    max_seconds: float
    frame_max_side: int = 1280
    timed_transcript: bool = False
    warnings: tuple[str, ...] = ()
    turns: TurnSettings = field(default_factory=TurnSettings)


@dataclass(frozen=True, slots=True)
class Counts:
    """Running totals of one conversation: screen frames, VAD windows, and what gave way in its mailboxes."""

    frames_seen: int
    frames_dropped: int
    windows: int
    mailbox_dropped: int


class _Ended(Exception):
    """Takes the conversation's TaskGroup down when the session is over."""

    def __init__(self, reason: EndReason):
        super().__init__(reason)
        self.reason = reason


MakeBridge = Callable[[Callable[[EngineEvent], None], Callable[[], int]], GeminiBridge]
"""Makes the engine link from `tell` (where its events go) and `next_turn` (numbers for remarks nobody asked for)."""


Witness = Callable[[Event], None]
"""Sees every event that peers are told, for history and metrics; returns at once and never raises."""


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
        self._witnesses: list[Witness] = []
        self._windows_of_the_gone = 0
        self._vad = vad
        self._dialogue = Dialogue(
            ticker,
            is_timed=terms.timed_transcript,
            tell=self._tell,
            play=self._play,
            flush=self._flush,
            changed=self._on_heard,
            failed=self._on_voice_failed,
        )
        self._bridge = make_bridge(self._on_engine, self._dialogue.next_turn)
        self._errands = Errands(toolbox, answer=self._bridge.answer, tell=self._tell, is_dead=self._dialogue.is_dead)
        self._tasks: asyncio.TaskGroup | None = None  # since it lives
        self._sight = Sight(
            max_side=terms.frame_max_side,
            is_ready=lambda: self._bridge.is_ready,
            show=self._bridge.show,
            tell=self._tell,
            fail=self._fail,
        )
        self._peers: dict[Peer, Ear] = {}
        self._names: dict[Peer, str] = {}
        self._voices: dict[int, Peer] = {}
        self._microphones = Mailbox[tuple[Peer, AudioChunk | None]](MICROPHONE_CHUNKS)
        self._commands = Mailbox[tuple[Peer, Command]](10_000)
        self._floor = asyncio.Lock()  # a typed question on its way to the engine is not overtaken by a spoken one
        self._utterance: tuple[Peer, int] | None = None

        self._model = terms.model
        self._is_ready = False
        self._was_ready = False
        self._is_outage = False
        self._untold: MediaError | None = None
        self._state = State.CONNECTING
        self._lifetime = Lifetime(
            idle=terms.idle_seconds, longest=terms.max_seconds, grace=FIRST_GRACE, now=time.monotonic()
        )
        self._time_news = asyncio.Event()
        self._cause: Exception | None = None
        self._over = asyncio.Event()

    # What peers do.

    def attach(self, peer: Peer, *, name: str = "") -> None:
        """Let a peer take part: it is told `SessionStarted` and the state at once.

        Among several peers with names, the engine is told by name who speaks or writes.
        """
        self._peers[peer] = Ear(self._vad, self.terms.turns)
        self._names[peer] = _sayable(name)
        self._lifetime.join()
        limits = {"idle_seconds": int(self.terms.idle_seconds), "max_seconds": int(self.terms.max_seconds)}
        terms = self.terms
        peer.tell(
            SessionStarted(
                terms.id,
                terms.label,
                terms.engine,
                self._model,
                terms.requested_model,
                terms.language,
                limits,
                terms.warnings,
            )
        )
        peer.tell(StateChanged(self._state))

    def tune(self, peer: Peer, turns: TurnSettings) -> None:
        """Judge by other settings from now on when this peer speaks; what it is saying is forgotten."""
        ear = self._peers.get(peer)
        if ear is None:
            return
        if self._owns_utterance(peer):
            self._drop_utterance()
        self._windows_of_the_gone += ear.windows
        self._peers[peer] = Ear(self._vad, turns)
        self._refresh_state()

    def add_witness(self, witness: Witness) -> None:
        """Let `witness` see every event from now on."""
        self._witnesses.append(witness)

    def counts(self) -> Counts:
        """What has happened so far."""
        return Counts(
            frames_seen=self._sight.frames_seen,
            frames_dropped=self._sight.frames_dropped,
            windows=self._windows_of_the_gone + sum(ear.windows for ear in self._peers.values()),
            mailbox_dropped=self._microphones.dropped + self._commands.dropped,
        )

    def detach(self, peer: Peer, *, grace: float = 15.0) -> None:
        """Forget a peer; when the last has gone, the conversation waits `grace` seconds for one to come back."""
        ear = self._peers.pop(peer, None)
        if ear is None:
            return
        del self._names[peer]
        self._windows_of_the_gone += ear.windows
        self.unwatch(peer)
        if self._owns_utterance(peer):
            self._drop_utterance()
        if not self._peers:
            self._cut_reply()
            self._lifetime.leave(time.monotonic(), grace=grace)
            self._time_news.set()
        self._refresh_state()

    def hear(self, peer: Peer, chunk: AudioChunk) -> None:
        """Take microphone audio of any rate; never waits, drops the oldest when overrun."""
        if self._microphones.put((peer, chunk)) and self._microphones.dropped % 50 == 1:
            logger.warning("microphone overrun", dropped=self._microphones.dropped)

    def silence(self, peer: Peer) -> None:
        """Say that this peer's microphone has ended: an open utterance is complete."""
        self._microphones.put((peer, None))

    def watch(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a screen frame; only the newest is kept."""
        self._sight.watch(peer, frame)

    def unwatch(self, peer: Peer) -> None:
        """Say that this peer's screen share has ended."""
        if self._sight.unwatch(peer):
            self._bridge.hide()

    def speaker(self, turn: int) -> Peer | None:
        """Whose voice asks in this turn; None where nobody's does, as it was typed, or when it is long ago."""
        return self._voices.get(turn)

    @property
    def still(self) -> StillFrame | None:
        """The newest picture the engine was shown, while a screen is shared."""
        return self._sight.still

    def obey(self, peer: Peer, command: Command) -> None:
        """Take a client's command; commands are never dropped."""
        self._commands.put((peer, command))

    def blame(self, error: MediaError) -> None:
        """Report a fault that a transport met on this conversation's media, such as a decoder's."""
        if error.severity is Severity.FATAL:
            self._stop(error)
        else:
            self._fail(error)

    def end(self, reason: EndReason) -> None:
        """Close the conversation politely."""
        self._stop(_Ended(reason))

    @property
    def is_ending(self) -> bool:
        """Whether it is over for whoever would join now."""
        return self._over.is_set()

    @property
    def peers(self) -> int:
        """How many clients are attached."""
        return len(self._peers)

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
            for peer in list(self._peers):
                peer.dismiss(reason)
            self._peers.clear()
            self._names.clear()
        return reason

    async def _live(self) -> EndReason:
        logger.info("session started", engine=self.terms.engine, model=self.terms.model)
        reason = EndReason.ERROR
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._listen())
                tasks.create_task(self._sight.run())
                tasks.create_task(self._obey())
                tasks.create_task(self._bridge.run())
                tasks.create_task(self._keep_time())
                tasks.create_task(self._wait_for_the_end())
        except* _Ended as group:
            reason = next(leaf.reason for leaf in leaves(group) if isinstance(leaf, _Ended))
        except* Exception as group:
            reason = EndReason.ERROR
            heard = self._silence_all()
            for error in leaves(group):
                logger.opt(exception=error).error("session failed", code=_code(error))
            self._tell(fault_from(next(iter(leaves(group)))))
            if heard is not None:
                self._dialogue.tell_cut(heard)
        logger.info(
            "session ended",
            reason=reason.value,
            turns=self._dialogue.turn,
            seconds=round(time.monotonic() - self._lifetime.began),
        )
        return reason

    async def _wait_for_the_end(self) -> None:
        await self._over.wait()
        if self._cause is not None:
            raise self._cause

    def _stop(self, cause: Exception) -> None:
        if self._cause is None:
            self._cause = cause
            self._over.set()

    async def _keep_time(self) -> None:
        while True:
            now = time.monotonic()
            if self._utterance is not None or self._dialogue.is_awaiting:
                self._lifetime.touch(now)
            reason = self._lifetime.is_up(now, is_speaking=self._dialogue.is_speaking)
            if reason is not None:
                return self.end(reason)
            self._time_news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lifetime.next_look(now)):
                    await self._time_news.wait()

    # The microphone.

    async def _listen(self) -> None:
        async for peer, chunk in self._microphones:
            ear = self._peers.get(peer)
            if ear is None:
                continue
            try:
                heard = ear.close() if chunk is None else ear.push(chunk, audible=self._dialogue.is_audible)
                async with self._floor:
                    await self._take_all(peer, ear, heard)
            except MediaError as error:
                if error.severity is Severity.FATAL:
                    raise
                self._fail(error)

    async def _take_all(self, peer: Peer, ear: Ear, heard: Iterable[EarHeard]) -> None:
        for fact in heard:
            match fact:
                case SpeechStarted():
                    if self._utterance is None:
                        self._utterance = peer, self._take_floor(time.monotonic() - (ear.pts - fact.pts))
                        self._remember_voice(peer)
                        self._introduce(peer, "is speaking")
                        self._bridge.start_utterance(self._dialogue.turn)
                        self._refresh_state()
                case AudioChunk():
                    if self._owns_utterance(peer):
                        self._bridge.hear(fact)
                case SpeechEnded(pts):
                    if self._owns_utterance(peer):
                        await self._end_utterance(time.monotonic() - (ear.pts - pts))
                case _:
                    assert_never(fact)

    def _remember_voice(self, peer: Peer) -> None:
        self._voices[self._dialogue.turn] = peer
        while len(self._voices) > REMEMBERED_VOICES:
            del self._voices[next(iter(self._voices))]

    def _introduce(self, peer: Peer, does: str) -> None:
        name = self._names.get(peer)
        if name and len({name for name in self._names.values() if name}) > 1:
            self._bridge.mention(f"[{name} {does}.]")

    def _owns_utterance(self, peer: Peer) -> bool:
        return self._utterance is not None and self._utterance[0] is peer

    async def _end_utterance(self, ended_at: float) -> None:
        # The frame that shows what is being asked about goes up inside the utterance, as its last part.
        utterance = self._utterance
        await self._sight.show_for_turn()
        if utterance is None or self._utterance is not utterance:
            return  # a fault while the frame was made has already dropped it
        self._utterance = None
        self._dialogue.ask(utterance[1], ended_at)
        self._bridge.end_utterance()
        self._refresh_state()

    def _drop_utterance(self) -> None:
        if self._utterance is not None:
            self._utterance = None
            self._bridge.cancel_utterance()

    # Commands and typed questions.

    async def _obey(self) -> None:
        async for peer, command in self._commands:
            self._lifetime.touch(time.monotonic())
            match command:
                case TextInput(text):
                    async with self._floor:
                        await self._ask(peer, text)
                case Interrupt():
                    self._cut_reply()
                    self._refresh_state()
                case AudioEnd():
                    self._microphones.put((peer, None))
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

    async def _close_utterance(self) -> None:
        if self._utterance is not None:
            ear = self._peers[self._utterance[0]]
            await self._take_all(self._utterance[0], ear, ear.close())

    async def _ask(self, peer: Peer, text: str) -> None:
        await self._close_utterance()
        turn = self._take_floor()
        self._dialogue.ask(turn, time.monotonic())
        self._tell(Transcript(turn, Role.USER, text, final=True))
        self._refresh_state()
        await self._sight.show_for_turn()
        if self._dialogue.awaits(turn):
            self._dialogue.forget_remarks()  # a question ends them in the engine too
            self._introduce(peer, "writes")
            self._bridge.ask(turn, text)

    # The engine.

    def _on_engine(self, event: EngineEvent) -> None:
        match event:
            case EngineReady(model):
                self._model = model
                self._is_ready = self._was_ready = True
                self._is_outage = False
                self._untold = None
                self._sight.show_again()
            case EngineAway():
                self._is_ready = False
                self._errands.cancel_all()
            case EngineLost(error, is_cut):
                self._is_ready = False
                self._is_outage = True
                if is_cut:
                    self._fail(error, is_turn_lost=True)
                elif self._dialogue.is_speaking:
                    self._untold = error  # all of this reply has come: it is heard first
                else:
                    self._report(error)
            case EngineReduced(error):
                self._report(error)
            case ToolCall():
                self._run_tool(event)
            case ToolCallCancelled(ids):
                self._errands.cancel(ids)
            case ReplyEnded(turn, _, blocked) if blocked is not None and not self._dialogue.is_dead(turn):
                self._fail(blocked)
            case ReplyDropped(turn, usage):
                self._witness(TurnSpent(turn, usage))
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

    # Turns.

    def _take_floor(self, since: float | None = None) -> int:
        """The user begins a turn, by voice `since` (monotonic s): whatever the assistant was saying ends here."""
        self._cut_reply(since, stop_engine=False)  # the engine stops by itself when it hears the user
        return self._dialogue.next_turn()

    def _cut_reply(self, since: float | None = None, *, stop_engine: bool = True) -> None:
        is_barge_in = self._dialogue.is_audible and since is not None
        heard = self._dialogue.hush(softly=True)
        if heard is None:
            return
        waited = time.monotonic() - since if since is not None and is_barge_in else None
        if stop_engine:
            self._bridge.stop_reply()
        self._dialogue.tell_cut(heard, {} if waited is None else {"speech_start_to_silence": round(waited * 1000)})

    def _on_heard(self) -> None:
        """A reply was heard to its end."""
        untold, self._untold = self._untold, None
        if untold is not None:
            self._report(untold)
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
        self._drop_utterance()
        for ear in self._peers.values():
            ear.reset()
        return heard

    def _on_voice_failed(self, error: Exception) -> None:
        if isinstance(error, MediaError) and error.severity is not Severity.FATAL:
            self._fail(error)
        else:
            self._stop(error)

    # Telling.

    def _tell(self, event: Event) -> None:
        if isinstance(event, ScreenSeen | TurnEnded):
            self._lifetime.touch(time.monotonic())
        if isinstance(event, Transcript) and event.final:
            self._bridge.remember(event.turn, event.role, event.text)
        self._witness(event)
        for peer in self._peers:
            peer.tell(event)

    def _witness(self, event: Event) -> None:
        for witness in self._witnesses:
            witness(event)

    def _play(self, frame: SpeechFrame) -> None:
        for peer in self._peers:
            peer.play(frame)

    def _flush(self) -> None:
        for peer in self._peers:
            peer.flush()

    def _refresh_state(self) -> None:
        state = self._what_it_does()
        if state is not self._state:
            self._state = state
            self._tell(StateChanged(state))

    def _what_it_does(self) -> State:
        if not self._was_ready:
            return State.CONNECTING
        # A session of the engine's that is replaced between two turns is nothing anyone need know.
        if not self._is_ready and (self._is_outage or self._utterance is not None or self._is_waiting):
            return State.RECONNECTING
        if self._utterance is not None:
            return State.LISTENING
        if self._dialogue.is_speaking:
            return State.SPEAKING
        return State.THINKING if self._dialogue.is_awaiting else State.IDLE

    @property
    def _is_waiting(self) -> bool:
        return self._dialogue.is_awaiting and not self._dialogue.is_speaking


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """The exceptions at the bottom of a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _sayable(name: str) -> str:
    """A name as a note to the engine can hold it: what people call themselves is no instruction."""
    return "".join(sign for sign in name if sign.isalnum() or sign in " .-'_@").strip()[:MAX_NAME]


def _code(error: BaseException) -> str:
    return error.code.value if isinstance(error, MediaError) else FaultCode.INTERNAL_ERROR.value
