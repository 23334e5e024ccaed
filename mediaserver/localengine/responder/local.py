"""The offline responder: speech recognition, screen reading and speech synthesis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, assert_never

from loguru import logger

from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from mediaserver.localengine.responder.guided_answers import guided_answer
from mediaserver.localengine.responder.intents import Find, Intent, intent_of
from mediaserver.localengine.responder.interface import Call, Memory, Question, Reader, Recognition, Speech
from mediaserver.localengine.responder.screen_answers import ScreenAnswer, answer_about, describe
from mediaserver.localengine.responder.screen_text import SURE, Match, find, near, place, quoted
from mediaserver.localengine.responder.speech_to_text import SpeechToText, WhisperSpeechToText
from mediaserver.localengine.responder.transcript import SpeechToTextError, Transcript
from mediaserver.localengine.responder.voice.pace import slow_down, speed_up
from mediaserver.localengine.responder.voice.text_to_speech import TextToSpeech
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText

EXAMPLE_QUESTIONS: tuple[str, ...] = (
    "What is on my screen?",
    "Where is the save button?",
    "Find settings",
    "What time is it?",
    "Say that again",
    "Help",
)
"""Example questions, understood when typed or spoken."""

MAX_SILENT_READING = 0.15
"""Seconds of screen reading after which the user is asked to wait."""

_LOOKING = "Let me look."
_NO_SCREEN = "I see no screen. Please share your screen, then ask me again."
UNCLEAR = 0.4
"""Confidence below which a sentence that asks nothing known counts as not understood."""

_NOT_UNDERSTOOD = ("I did not understand that.", "Please say it again, or type it.")
_ENGLISH_ONLY = ("I did not understand that.", "I understand spoken English only.")
_TYPE_INSTEAD = "You can type your question."
_NOT_KNOWN = (
    "I did not understand that. I am the small local engine.",
    "You can ask me where something is on your screen, what is on your screen, or what time it is.",
)
_HELP = (
    "I am the small local engine of this server, and I need no account.",
    "Share your screen, and ask: what is on my screen? Or: where is the save button?",
    "You can also ask what time it is, or say: repeat, slower, faster, stop, or goodbye.",
    "You can speak or type.",
)
_ANSWERS = {
    Intent.HELLO: ("Hello. I am the local engine.", "Share your screen and ask me where something is, or say help."),
    Intent.THANKS: ("You are welcome.",),
    Intent.BYE: ("Goodbye.",),
}

_SPEED_ANSWERS = {
    (Intent.SLOWER, True): "I will speak more slowly.",
    (Intent.SLOWER, False): "I cannot speak any slower.",
    (Intent.FASTER, True): "I will speak faster.",
    (Intent.FASTER, False): "I cannot speak any faster.",
}

Piece = str | Call
"""A sentence to say, or a call to make before the next one."""


class Chat(Protocol):
    """Answers by a language model, such as `chat_model.model.ChatModel`."""

    def answer(self, question: Question, text: str, memory: Memory) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of the answer to `text`; raises `ChatFault` or `MediaError`."""
        ...


class LayoutReader(Reader, Protocol):
    """Reads the layout of a frame too."""

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        """Return the layout of a frame; raises `MediaError`."""
        ...


@dataclass(slots=True)
class LocalMemory(Memory):
    """The state of one session: the last answer, and its subject."""

    pieces: tuple[Piece, ...] = ()
    last_find: Find | None = None
    screen: bytes | None = None
    was_unclear: bool = False
    """Whether the user knows that the last words were not understood."""


@dataclass(frozen=True, slots=True)
class _ModelSentence:
    """A sentence of the language model, in the user's language."""

    text: str


class LocalResponder:
    """Answers a few kinds of questions by speech; heavy work runs in worker processes.

    With a `chat` model, that answers instead, and the rules what they can when it fails.
    """

    def __init__(
        self,
        reader: LayoutReader,
        *,
        chat: Chat | None = None,
        voice: TextToSpeech | None = None,
        speech_to_text: SpeechToText | None = None,
        now: Callable[[], datetime] = datetime.now,
    ):
        self._reader = reader
        self._chat = chat
        self._now = now
        self._speech_to_text = speech_to_text or WhisperSpeechToText()
        self._text_to_speech = voice or TextToSpeech()

    async def start(self) -> None:
        """Load the speech models in advance; the caller warms the reader."""
        await asyncio.gather(self._speech_to_text.start(), self._text_to_speech.start())

    async def close(self) -> None:
        """Stop the speech workers."""
        await asyncio.gather(self._speech_to_text.close(), self._text_to_speech.close())

    def new_memory(self) -> LocalMemory:
        """Create the memory of a new session."""
        return LocalMemory()

    def listen_ahead(self, audio: bytes, memory: Memory) -> Callable[[], None]:
        """Begin to transcribe what may be a whole question; the function that is returned abandons it."""
        return self._speech_to_text.anticipate(audio, memory.language)

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Answer piece by piece; raises `MediaError` if OCR or synthesis fails."""
        assert isinstance(memory, LocalMemory)
        # What the rules say is English, whatever language the client asked for.
        english = memory.language if memory.language.lower().startswith("en") else "en"
        async with aclosing(self._pieces(question, memory)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, str | _ModelSentence):
                    yield piece
                    continue
                text, language = (piece, english) if isinstance(piece, str) else (piece.text, memory.language)
                async with aclosing(self._text_to_speech.stream(text, language=language, speed=memory.speed)) as parts:
                    async for speech in parts:
                        yield speech

    async def _pieces(
        self, question: Question, memory: LocalMemory
    ) -> AsyncGenerator[Recognition | Piece | _ModelSentence, None]:
        memory.turns += 1
        text = question.text
        transcript: Transcript | None = None
        if text is None:
            try:
                transcript = await self._speech_to_text.transcribe(
                    question.audio[: question.speech_bytes], memory.language
                )
            except SpeechToTextError as error:
                logger.warning("speech was not transcribed", code=error.code.value)
                yield Recognition("", is_rejected=True)
                for piece in recognition_failure(error):
                    yield piece
                return
            text = transcript.text
            yield Recognition(text, transcript.confidence, is_rejected=not text)
        if text:
            is_guided = False
            # A language model is given the plan and moves it by itself.
            async with aclosing(guided_answer(text, is_for_model=self._chat is not None)) as guided:
                async for piece in guided:
                    if isinstance(piece, str):
                        memory.pieces, memory.last_find, memory.last_answer = (piece,), None, piece
                        is_guided = True
                    yield piece
            if is_guided:
                return
        intent = intent_of(text) if text else None
        # A language model judges doubtful words by itself.
        is_unclear = not text if self._chat is not None else intent is None and _is_unclear(transcript)
        was_unclear_before, memory.was_unclear = memory.was_unclear, is_unclear
        if was_unclear_before and memory.was_unclear:
            return  # noise goes on, and need not be told twice
        if intent is Intent.STOP:
            return
        if intent is Intent.SLOWER or intent is Intent.FASTER:
            is_changed = slow_down(memory) if intent is Intent.SLOWER else speed_up(memory)
            has_spoken = bool(memory.pieces or _last_answer(memory))
            if intent is Intent.FASTER or not is_changed or not has_spoken:
                yield _SPEED_ANSWERS[intent, is_changed]
                return
            intent = Intent.REPEAT  # who wants it slower has not followed
        if intent is Intent.REPEAT:
            if memory.last_find is None or memory.screen == question.screen:
                for piece in memory.pieces or (_last_answer(memory) or "I have not said anything yet.",):
                    yield piece
                return
            intent = memory.last_find  # a pointer on a screen that has changed would mislead
        if self._chat is not None and text:
            memory.pieces, memory.last_find = (), None
            try:
                async with aclosing(self._chat.answer(question, text, memory)) as answer:
                    async for piece in answer:
                        if isinstance(piece, str):
                            memory.pieces = (*memory.pieces, piece)
                        yield _ModelSentence(piece) if isinstance(piece, str) else piece
                return
            except ChatFault as error:
                fault = error
            for piece in told(fault, can_answer=intent is not None):
                yield piece
            if fault.is_answer_begun or intent is None:
                return
        seen: tuple[ReadText, ...] | ScreenLayout | None = None
        if question.screen is not None and text and (intent in (None, Intent.DESCRIBE) or isinstance(intent, Find)):
            reading = asyncio.ensure_future(self._read(intent, question.screen))
            reading.add_done_callback(_retrieve)
            try:
                await asyncio.wait({reading}, timeout=MAX_SILENT_READING)
                if not reading.done():
                    yield _LOOKING + " "
                seen = await reading
            finally:
                reading.cancel()
        pieces = spaced(self._reply(intent, question, text or "", seen, memory))
        memory.last_find = intent if isinstance(intent, Find) else None
        memory.pieces, memory.screen = pieces, question.screen
        memory.last_answer = "".join(piece for piece in pieces if isinstance(piece, str))
        for piece in pieces:
            yield piece

    async def _read(self, intent: Intent | Find | None, screen: bytes) -> tuple[ReadText, ...] | ScreenLayout:
        return await (self._reader.read(screen) if isinstance(intent, Find) else self._reader.layout(screen))

    def _reply(
        self,
        intent: Intent | Find | None,
        question: Question,
        text: str,
        seen: tuple[ReadText, ...] | ScreenLayout | None,
        memory: LocalMemory,
    ) -> Sequence[Piece]:
        if isinstance(seen, ScreenLayout) and (answer := answer_about(seen, text)) is not None:
            return answered(answer)
        match intent:
            case None if memory.was_unclear:
                return _NOT_UNDERSTOOD if self._speech_to_text.understands(memory.language) else _ENGLISH_ONLY
            case None:
                return _NOT_KNOWN
            case Find(names):
                return found(seen, names) if isinstance(seen, tuple) else (_NO_SCREEN,)
            case Intent.DESCRIBE:
                return describe(seen) if isinstance(seen, ScreenLayout) else (_NO_SCREEN,)
            case Intent.HELP:
                return (first_steps(is_shared=question.screen is not None), *_HELP)
            case Intent.TIME:
                return (clock(self._now()),)
            case Intent.HELLO | Intent.THANKS | Intent.BYE:
                return _ANSWERS[intent]
            case Intent.STOP | Intent.REPEAT | Intent.SLOWER | Intent.FASTER:
                return ()
            case _:
                assert_never(intent)


def _is_unclear(transcript: Transcript | None) -> bool:
    if transcript is None:
        return False
    return not transcript.text or (transcript.confidence is not None and transcript.confidence < UNCLEAR)


def recognition_failure(error: SpeechToTextError) -> Sequence[Piece]:
    """Tell why speech cannot be transcribed, to the client and to the user."""
    report = Call("report_fault", {"code": error.code.value, "message": error.message})
    return report, f"{error.message} ", _TYPE_INSTEAD


def _last_answer(memory: Memory) -> str:
    # In a conversation that the client seeded.
    return next((remark.text for remark in reversed(memory.history) if remark.role == "model"), "")


def _retrieve(reading: "asyncio.Future[tuple[ReadText, ...] | ScreenLayout]") -> None:
    # After an interruption nothing awaits the reading, and asyncio would log its exception.
    if not reading.cancelled():
        reading.exception()


def found(lines: Sequence[ReadText], names: Sequence[str]) -> Sequence[Piece]:
    """Describe where something is, after a pointer to it; or that it is missing or uncertain."""
    wanted = quoted(names[0])
    matches = find(lines, names)
    sure = [match for match in matches if match.confidence >= SURE]
    if not matches:
        others = near(lines, names)
        offer = f"The nearest I can read is: {'; '.join(others)}." if others else "I look for text only, not pictures."
        return (f"I cannot find {wanted} on your screen.", offer)
    if not sure:
        return (f"I am not sure. Something {place(matches[0].box)} may say {wanted}, but I cannot read it well.",)
    best, *others_found = sure
    here = point_at(best)
    if not best.is_literal:
        return (f"I cannot find {wanted}.", here, f"But {best.label} is {place(best.box)}.")
    if not others_found:
        return (here, f"{best.label} is {place(best.box)}.")
    more = dict.fromkeys(place(match.box) for match in others_found[:2])
    return (
        here,
        f"I can read {best.label} in {len(sure)} places.",
        f"The likeliest is {place(best.box)}.",
        f"{'The other is' if len(sure) == 2 else 'There is also one'} {', and one '.join(more)}.",
    )


def answered(answer: ScreenAnswer) -> Sequence[Piece]:
    """Say an answer about the screen, after a pointer to the place that it is about."""
    if answer.box is None:
        return answer.sentences
    return (Call("point_at", {"box_2d": list(answer.box), "label": answer.label}), *answer.sentences)


def told(fault: ChatFault, *, can_answer: bool) -> Sequence[Piece]:
    """Report the failure of the language model, unless it is known and the rules can answer."""
    if fault.is_known:
        return () if can_answer else (fault.message,)
    return fault.report(), f"{fault.message} "


def point_at(match: Match) -> Call:
    """Return a call that points at a place on the frame."""
    return Call("point_at", {"box_2d": list(match.box), "label": match.label})


def first_steps(*, is_shared: bool) -> Call:
    """Return a call that shows the first steps."""
    steps = [
        {"text": "Share your screen", "state": "done" if is_shared else "current"},
        {"text": "Ask what is on it", "state": "current" if is_shared else "todo"},
        {"text": "Ask where something is, such as the save button", "state": "todo"},
    ]
    return Call("show_steps", {"title": "First steps", "steps": steps})


def clock(now: datetime) -> str:
    """Return a sentence with the time of day."""
    return f"It is {now.hour % 12 or 12}:{now.minute:02} {'AM' if now.hour < 12 else 'PM'}."


def spaced(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """End every sentence but the last with a space, so that joined they form a text."""
    last = max((index for index, piece in enumerate(pieces) if isinstance(piece, str)), default=-1)
    return tuple(
        f"{piece} " if isinstance(piece, str) and index != last else piece for index, piece in enumerate(pieces)
    )
