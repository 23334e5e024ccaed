"""One conversation: owns the engine link, the turn counter, playout and history; peers come and go."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from loguru import logger

from pipeline.ear import Ear
from pipeline.ear import Heard as EarHeard
from pipeline.engine import (
    EngineEvent,
    EngineLost,
    EngineReady,
    ReplyAudio,
    ReplyEnded,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    ToolCallCancelled,
    UserText,
)
from pipeline.errors import FaultCode, MediaError, Severity
from pipeline.events import (
    AssistantSpeech,
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
    SeenReason,
    SessionEnded,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    State,
    StateChanged,
    TextInput,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    Usage,
    fault_from,
)
from pipeline.gemini import GeminiBridge
from pipeline.mailbox import Mailbox
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame, StillFrame
from pipeline.peer import Peer
from pipeline.screen import Deduplicator, encode_jpeg
from pipeline.speaker import HeardReply, Speaker
from pipeline.ticker import Ticker
from pipeline.tools import Toolbox, ToolContext, ToolError
from pipeline.turn import TurnSettings
from pipeline.vad import VadModel

MICROPHONE_CHUNKS = 250
"""How many chunks (20 ms each by RTP) may wait to be heard before the oldest is dropped."""

LAST_WORDS_SECONDS = 15.0
"""How long a reply may go on past the end of the session's time."""


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
    turns: TurnSettings = field(default_factory=TurnSettings)


@dataclass(slots=True)
class _Exchange:
    """What the user asked last: its turn, when the question ended (monotonic s), and what is known of the reply."""

    turn: int
    ended_at: float | None = None
    latency_ms: dict[str, int] = field(default_factory=dict)
    usage: Usage | None = None  # set once the engine has nothing more to say


@dataclass(frozen=True, slots=True)
class _Typed:
    turn: int
    text: str


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
        witnesses: Sequence[Witness] = (),
    ):
        self.terms = terms
        self._witnesses = tuple(witnesses)
        self.still: StillFrame | None = None
        """The newest frame the engine was sent, while a screen is shared."""
        self._vad = vad
        self._toolbox = toolbox
        self._bridge = make_bridge(self._on_engine, self._next_turn)
        self._speaker = Speaker(
            ticker, play=self._play, flush=self._flush, over=self._on_played_out, failed=self._on_speaker_failed
        )
        self._peers: dict[Peer, Ear] = {}
        self._microphones = Mailbox[tuple[Peer, AudioChunk | None]](MICROPHONE_CHUNKS)
        self._commands = Mailbox[tuple[Peer, Command]](10_000)
        self._typed = Mailbox[_Typed](100)
        self._screen = Deduplicator()
        self._screen_owner: Peer | None = None
        self._screen_news = asyncio.Event()
        self._screen_lock = asyncio.Lock()
        self._frames_sent = 0

        self._turn = 0
        self._utterance: tuple[Peer, int] | None = None
        self._exchange: _Exchange | None = None
        self._user_text: dict[int, str] = {}
        self._deferred: deque[EngineEvent] = deque()
        self._dead_turn = 0

        self._is_ready = asyncio.Event()
        self._was_ready = False
        self._state = State.CONNECTING
        self._started = time.monotonic()
        self._active = self._started
        self._alone_since: float | None = self._started
        self._grace = 30.0
        self._time_news = asyncio.Event()
        self._cause: Exception | None = None
        self._over = asyncio.Event()

    # What peers do.

    def attach(self, peer: Peer) -> None:
        """Let a peer take part: it is told `SessionStarted` and the state at once."""
        self._peers[peer] = Ear(self._vad, self.terms.turns)
        self._alone_since = None
        limits = {"idle_seconds": int(self.terms.idle_seconds), "max_seconds": int(self.terms.max_seconds)}
        terms = self.terms
        peer.tell(
            SessionStarted(
                terms.id, terms.label, terms.engine, terms.model, terms.requested_model, terms.language, limits
            )
        )
        peer.tell(StateChanged(self._state))

    def detach(self, peer: Peer, *, grace: float = 15.0) -> None:
        """Forget a peer; when the last has gone, the conversation waits `grace` seconds for one to come back."""
        if self._peers.pop(peer, None) is None:
            return
        if self._screen_owner is peer:
            self.unwatch(peer)
        if self._utterance is not None and self._utterance[0] is peer:
            self._drop_utterance()
        if not self._peers:
            self._cut_reply()
            self._alone_since = time.monotonic()
            self._grace = grace
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
        self._screen_owner = peer
        self._screen.offer(frame)
        self._screen_news.set()

    def unwatch(self, peer: Peer) -> None:
        """Say that this peer's screen share has ended."""
        if self._screen_owner is peer:
            self._screen_owner = None
            self._screen.clear()
            self.still = None
            self._bridge.hide()

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
            self._silence_all()
            self._tell(SessionEnded(reason))
            for peer in list(self._peers):
                peer.dismiss(reason)
            self._peers.clear()
        return reason

    async def _live(self) -> EndReason:
        logger.info("session started", engine=self.terms.engine, model=self.terms.model)
        reason = EndReason.ERROR
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._watch())
                tasks.create_task(self._obey())
                tasks.create_task(self._ask())
                tasks.create_task(self._bridge.run())
                tasks.create_task(self._keep_time())
                tasks.create_task(self._wait_for_the_end())
        except* _Ended as group:
            reason = next(leaf.reason for leaf in leaves(group) if isinstance(leaf, _Ended))
        except* Exception as group:
            reason = EndReason.ERROR
            self._silence_all()
            for error in leaves(group):
                logger.opt(exception=error).error("session failed", code=_code(error))
            self._tell(fault_from(next(iter(leaves(group)))))
        logger.info("session ended", reason=reason.value, turns=self._turn, seconds=round(self._age()))
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
            if self._is_busy():
                self._active = now
            reason = self._why_time_is_up(now)
            if reason is not None:
                return self.end(reason)
            self._time_news.clear()
            try:
                async with asyncio.timeout(self._next_deadline(now) - now):
                    await self._time_news.wait()
            except TimeoutError:
                pass

    def _why_time_is_up(self, now: float) -> EndReason | None:
        if self._alone_since is not None and now >= self._alone_since + self._grace:
            return EndReason.CLIENT
        if now >= self._active + self.terms.idle_seconds:
            return EndReason.IDLE
        last_words = LAST_WORDS_SECONDS if self._state is State.SPEAKING else 0.0
        return EndReason.LIMIT if now >= self._started + self.terms.max_seconds + last_words else None

    def _next_deadline(self, now: float) -> float:
        deadlines = [self._active + self.terms.idle_seconds, self._started + self.terms.max_seconds]
        if self._alone_since is not None:
            deadlines.append(self._alone_since + self._grace)
        # Past the session's time a reply is still being spoken: look again soon.
        return max(now + 0.25, min(deadlines))

    def _is_busy(self) -> bool:
        return self._utterance is not None or self._exchange is not None or self._speaker.turn is not None

    def _age(self) -> float:
        return time.monotonic() - self._started

    # The microphone.

    async def _listen(self) -> None:
        async for peer, chunk in self._microphones:
            ear = self._peers.get(peer)
            if ear is None:
                continue
            try:
                heard = ear.close() if chunk is None else ear.push(chunk, audible=self._speaker.is_audible)
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
                        self._bridge.start_utterance(self._turn)
                        self._refresh_state()
                case AudioChunk():
                    if self._owns_utterance(peer):
                        self._bridge.hear(fact)
                case SpeechEnded(pts):
                    if self._owns_utterance(peer):
                        await self._end_utterance(time.monotonic() - (ear.pts - pts))
                case _:
                    assert_never(fact)

    def _owns_utterance(self, peer: Peer) -> bool:
        return self._utterance is not None and self._utterance[0] is peer

    async def _end_utterance(self, ended_at: float) -> None:
        # The frame that shows what is being asked about goes up inside the utterance, as its last part.
        utterance = self._utterance
        await self._show(self._screen.for_turn)
        if utterance is None or self._utterance is not utterance:
            return  # a fault while the frame was made has already dropped it
        self._utterance = None
        self._exchange = _Exchange(utterance[1], ended_at)
        self._bridge.end_utterance()
        self._active = time.monotonic()
        self._refresh_state()

    def _drop_utterance(self) -> None:
        if self._utterance is not None:
            self._utterance = None
            self._bridge.cancel_utterance()

    # The screen.

    async def _watch(self) -> None:
        while True:
            await self._screen_news.wait()
            await asyncio.sleep(max(0.0, self._screen.slot - time.monotonic()))
            self._screen_news.clear()
            await self._show(self._screen.due)

    async def _show(self, why: Callable[[float], SeenReason | None]) -> None:
        async with self._screen_lock:
            frame = self._screen.latest
            if frame is None or not self._bridge.is_ready:
                return
            try:
                reason = why(time.monotonic())
                if reason is None:
                    return
                self._screen.sent(frame, time.monotonic())
                jpeg, width, height = await asyncio.to_thread(encode_jpeg, frame, max_side=self.terms.frame_max_side)
            except MediaError as error:
                self._screen.forget_sent()
                self._fail(error)
                return
            if self._screen.latest is None:
                return  # the share ended while the picture was made
            self._frames_sent += 1
            now = self._active = time.monotonic()
            self.still = StillFrame(jpeg, width, height, self._frames_sent, frame.arrived)
            self._bridge.show(self.still)
            self._tell(ScreenSeen(self._frames_sent, round((now - frame.arrived) * 1000), reason))

    def _show_again(self) -> None:
        """A fresh engine has seen nothing: it gets the newest picture at once, before what has waited for it."""
        if self.still is not None:
            self._bridge.show(self.still)
            age = time.monotonic() - self.still.arrived
            self._tell(ScreenSeen(self.still.number, round(age * 1000), SeenReason.FIRST))
        elif self._screen.latest is not None:
            self._screen.forget_sent()
            self._screen_news.set()

    # Commands and typed questions.

    async def _obey(self) -> None:
        async for peer, command in self._commands:
            self._active = time.monotonic()
            match command:
                case TextInput(text):
                    await self._close_utterance()
                    turn = self._take_floor()
                    self._exchange = _Exchange(turn, time.monotonic())
                    self._tell(Transcript(turn, Role.USER, text, final=True))
                    self._typed.put(_Typed(turn, text))
                    self._refresh_state()
                case Interrupt():
                    self._cut_reply()
                    self._refresh_state()
                case AudioEnd():
                    self._microphones.put((peer, None))
                case ScreenShareEnd():
                    self.unwatch(peer)
                case Playback(turn, played_ms):
                    self._speaker.client_played(turn, played_ms)
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

    async def _ask(self) -> None:
        async for typed in self._typed:
            await self._is_ready.wait()
            await self._show(self._screen.for_turn)
            if self._exchange is not None and self._exchange.turn == typed.turn:
                self._bridge.ask(typed.turn, typed.text)

    # The engine.

    def _on_engine(self, event: EngineEvent) -> None:
        match event:
            case EngineReady():
                self._is_ready.set()
                self._was_ready = True
                self._show_again()
            case EngineLost(error):
                self._is_ready.clear()
                self._fail(error, is_turn_lost=True)
            case UserText(turn, text):
                self._user_text[turn] = self._user_text.get(turn, "") + text
                self._tell(Transcript(turn, Role.USER, self._user_text[turn].strip(), final=False))
            case ToolCall():
                self._run_tool(event)
            case ToolCallCancelled():
                pass  # every call is answered at once: none is left to cancel
            case ReplyAudio() | ReplyText() | ReplyGenerated() | ReplyEnded():
                self._take_reply(event)
            case _:
                assert_never(event)
        self._refresh_state()

    def _take_reply(self, event: ReplyAudio | ReplyText | ReplyGenerated | ReplyEnded) -> None:
        if event.turn <= self._dead_turn:
            return
        if self._speaker.turn is not None and self._speaker.turn != event.turn:
            # A remark nobody asked for waits until the reply before it was heard.
            self._deferred.append(event)
            return
        match event:
            case ReplyAudio(turn, chunk):
                self._open_reply(turn)
                self._speaker.add_audio(turn, chunk)
                self._tell(AssistantSpeech(turn, chunk))
            case ReplyText(turn, text):
                self._open_reply(turn)
                self._speaker.add_text(turn, text)
                self._tell(Transcript(turn, Role.ASSISTANT, self._speaker.text, final=False))
            case ReplyGenerated(turn):
                self._speaker.finish(turn)
            case ReplyEnded(turn, usage, blocked):
                self._end_reply(turn, usage, blocked)
            case _:
                assert_never(event)

    def _open_reply(self, turn: int) -> None:
        if self._speaker.turn == turn:
            return
        if self._exchange is None or self._exchange.turn != turn:
            self._exchange = _Exchange(turn)
        self._finish_user_text(turn)
        self._speaker.open(turn, timed=self.terms.timed_transcript)
        self._tell(TurnStarted(turn))

    def _end_reply(self, turn: int, usage: Usage, blocked: MediaError | None) -> None:
        if blocked is not None:
            self._fail(blocked)
            return
        if self._exchange is None or self._exchange.turn != turn:
            return
        self._exchange.usage = usage
        self._speaker.finish(turn)
        if self._speaker.turn is None or self._speaker.is_over:
            self._on_played_out()

    def _on_played_out(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.usage is None:
            return  # the engine has not closed the turn yet, and may have more to say
        self._exchange = None
        self._dead_turn = exchange.turn
        self._finish_user_text(exchange.turn)
        text = self._speaker.text
        heard = self._speaker.close(softly=False) or HeardReply(exchange.turn, 0, "")
        if text:
            self._tell(Transcript(exchange.turn, Role.ASSISTANT, text, final=True))
            self._tell(TextResponse(exchange.turn, text, None))
        self._tell(TurnEnded(exchange.turn, heard.ms, exchange.latency_ms, exchange.usage))
        logger.info("turn complete", turn=exchange.turn, heard_ms=heard.ms, **exchange.latency_ms)
        self._active = time.monotonic()
        deferred, self._deferred = self._deferred, deque()
        for event in deferred:
            self._on_engine(event)
        self._refresh_state()

    def _finish_user_text(self, turn: int) -> None:
        text = self._user_text.pop(turn, "").strip()
        if text:
            self._tell(Transcript(turn, Role.USER, text, final=True))

    def _run_tool(self, call: ToolCall) -> None:
        if call.turn <= self._dead_turn:
            self._bridge.answer(call, {"error": "The user has interrupted."})
            return
        context = ToolContext(self.still.number if self.still else None)
        try:
            self._tell(self._toolbox.run(call.name, call.args, context))
        except ToolError as error:
            self._bridge.answer(call, {"error": str(error)})
        else:
            self._bridge.answer(call, {"result": "shown"})

    # Turns.

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _take_floor(self, since: float | None = None) -> int:
        """The user begins a turn, by voice `since` (monotonic s): whatever the assistant was saying ends here."""
        self._cut_reply(since, stop_engine=False)  # the engine stops by itself when it hears the user
        return self._next_turn()

    def _cut_reply(self, since: float | None = None, *, stop_engine: bool = True) -> None:
        was_audible = self._speaker.is_audible
        heard = self._hush(softly=True)
        if heard is not None:
            if stop_engine:
                self._bridge.stop_reply()
            waited = {"speech_start_to_silence": round((time.monotonic() - since) * 1000)} if since else {}
            self._tell_cut(heard, waited if was_audible else {})

    def _hush(self, *, softly: bool) -> HeardReply | None:
        """Fall silent at once; tells the reply that was cut, or None if none was spoken or awaited."""
        heard = self._speaker.close(softly=softly)
        exchange, self._exchange = self._exchange, None
        self._deferred.clear()
        self._dead_turn = self._turn
        if heard is None and exchange is not None:
            heard = HeardReply(exchange.turn, 0, "")
        return heard

    def _tell_cut(self, heard: HeardReply, latency_ms: Mapping[str, int] = MappingProxyType({})) -> None:
        self._finish_user_text(heard.turn)
        self._tell(Interrupted(heard.turn, heard.ms, heard.text, latency_ms))
        if heard.text:
            self._tell(Transcript(heard.turn, Role.ASSISTANT, heard.text, final=True))
        self._tell(TextResponse(heard.turn, heard.text, None))
        logger.info("turn interrupted", turn=heard.turn, heard_ms=heard.ms, **latency_ms)

    # Faults.

    def _fail(self, error: MediaError, *, is_turn_lost: bool = False) -> None:
        """A report or turn fault: the latter silences at once, and only a new turn is heard after it."""
        heard = self._silence_all() if is_turn_lost or error.severity is Severity.TURN else None
        logger.opt(exception=error).warning("fault", code=error.code.value, where=error.where)
        self._tell(fault_from(error))
        if heard is not None:
            self._tell_cut(heard)
        self._refresh_state()

    def _silence_all(self) -> HeardReply | None:
        heard = self._hush(softly=False)
        if heard is not None:
            self._bridge.stop_reply()
        self._drop_utterance()
        for ear in self._peers.values():
            ear.reset()
        return heard

    def _on_speaker_failed(self, error: Exception) -> None:
        if isinstance(error, MediaError) and error.severity is not Severity.FATAL:
            self._fail(error)
        else:
            self._stop(error)

    # Telling.

    def _tell(self, event: Event) -> None:
        for witness in self._witnesses:
            witness(event)
        for peer in self._peers:
            peer.tell(event)

    def _play(self, frame: SpeechFrame) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.ended_at is not None and not exchange.latency_ms:
            waited = time.monotonic() - exchange.ended_at
            exchange.latency_ms["speech_end_to_first_audio"] = max(0, round(waited * 1000))
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
        if not self._is_ready.is_set():
            return State.RECONNECTING if self._was_ready else State.CONNECTING
        if self._utterance is not None:
            return State.LISTENING
        if self._speaker.turn is not None:
            return State.SPEAKING
        return State.IDLE if self._exchange is None else State.THINKING


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """The exceptions at the bottom of a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _code(error: BaseException) -> str:
    return error.code.value if isinstance(error, MediaError) else FaultCode.INTERNAL_ERROR.value
