"""The offline responder: speech recognition, screen reading and speech synthesis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, assert_never

from mediaserver.localengine.responder.guided_answers import guided_answer
from mediaserver.localengine.responder.intents import Find, Intent, intent_of
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.responder.screen_answers import ScreenAnswer, answer_about, describe
from mediaserver.localengine.responder.screen_text import SURE, Match, find, near, place, quoted
from mediaserver.localengine.responder.speech_to_text import SpeechToText
from mediaserver.localengine.responder.text_to_speech import TextToSpeech
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
_NOT_UNDERSTOOD = (
    "I did not understand that. By voice I know only a few sentences, such as: where is save?",
    "You can also type your question.",
)
_NOT_READ = (
    "I did not understand that. I am the small local engine.",
    "You can ask me where something is on your screen, what is on your screen, or what time it is.",
)
_HELP = (
    "I am the small local engine of this server, and I work without the internet.",
    "Share your screen, and ask: what is on my screen? Or: where is the save button?",
    "You can also ask what time it is, or say: repeat, stop, or goodbye.",
    "By voice I know only a fixed list of sentences. Typed, I can look for any words.",
)
_ANSWERS = {
    Intent.HELLO: ("Hello. I am the local engine.", "Share your screen and ask me where something is, or say help."),
    Intent.THANKS: ("You are welcome.",),
    Intent.BYE: ("Goodbye.",),
}

Piece = str | Call
"""A sentence to say, or a call to make before the next one."""


class Reader(Protocol):
    """Reads the text on a frame, such as `pipeline.screen.ocr.Ocr`."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        """Return the lines of text on a frame; raises `MediaError`."""
        ...

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        """Return the layout of a frame; raises `MediaError`."""
        ...


@dataclass(slots=True)
class LocalMemory(Memory):
    """The state of one session: the last answer, and its subject."""

    pieces: tuple[Piece, ...] = ()
    last_find: Find | None = None
    screen: bytes | None = None


class LocalResponder:
    """Answers a few kinds of questions by speech; heavy work runs in worker processes."""

    def __init__(self, reader: Reader, *, now: Callable[[], datetime] = datetime.now):
        self._reader = reader
        self._now = now
        self._speech_to_text = SpeechToText()
        self._text_to_speech = TextToSpeech()

    async def start(self) -> None:
        """Load the speech models in advance; the caller warms the reader."""
        await asyncio.gather(self._speech_to_text.start(), self._text_to_speech.start())

    async def close(self) -> None:
        """Stop the speech workers."""
        await asyncio.gather(self._speech_to_text.close(), self._text_to_speech.close())

    def new_memory(self) -> LocalMemory:
        """Create the memory of a new session."""
        return LocalMemory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Answer piece by piece; raises `MediaError` if OCR, recognition or synthesis fails."""
        assert isinstance(memory, LocalMemory)
        memory.turns += 1
        text = question.text
        if text is None:
            text = await self._speech_to_text.transcribe(question.audio)
            yield Recognition(text or "")
        if text:
            async with aclosing(guided_answer(text)) as answer:
                async for piece in answer:
                    if isinstance(piece, str):
                        memory.pieces, memory.last_find, memory.last_answer = (piece,), None, piece
                        text = None
                    yield await self._uttered(piece, memory)
            if text is None:
                return
        intent = intent_of(text) if text else None
        if intent is Intent.STOP:
            return
        if intent is Intent.REPEAT:
            if memory.last_find is None or memory.screen == question.screen:
                for piece in memory.pieces or (_last_answer(memory) or "I have not said anything yet.",):
                    yield await self._uttered(piece, memory)
                return
            intent = memory.last_find  # a pointer on a screen that has changed would mislead
        seen: tuple[ReadText, ...] | ScreenLayout | None = None
        if question.screen is not None and text and (intent in (None, Intent.DESCRIBE) or isinstance(intent, Find)):
            reading = asyncio.ensure_future(self._read(intent, question.screen))
            reading.add_done_callback(_retrieve)
            try:
                await asyncio.wait({reading}, timeout=MAX_SILENT_READING)
                if not reading.done():
                    yield await self._uttered(_LOOKING + " ", memory)
                seen = await reading
            finally:
                reading.cancel()
        pieces = spaced(self._reply(intent, question, text or "", seen))
        memory.last_find = intent if isinstance(intent, Find) else None
        memory.pieces, memory.screen = pieces, question.screen
        memory.last_answer = "".join(piece for piece in pieces if isinstance(piece, str))
        for piece in pieces:
            yield await self._uttered(piece, memory)

    async def _read(self, intent: Intent | Find | None, screen: bytes) -> tuple[ReadText, ...] | ScreenLayout:
        return await (self._reader.read(screen) if isinstance(intent, Find) else self._reader.layout(screen))

    def _reply(
        self,
        intent: Intent | Find | None,
        question: Question,
        text: str,
        seen: tuple[ReadText, ...] | ScreenLayout | None,
    ) -> Sequence[Piece]:
        if isinstance(seen, ScreenLayout) and (answer := answer_about(seen, text)) is not None:
            return answered(answer)
        match intent:
            case None:
                return _NOT_UNDERSTOOD if question.text is None else _NOT_READ
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
            case Intent.STOP | Intent.REPEAT:
                return ()
            case _:
                assert_never(intent)

    async def _uttered(self, piece: Piece, memory: Memory) -> Speech | Call:
        if isinstance(piece, Call):
            return piece
        # What is said is English, whatever language the client asked for.
        language = memory.language if memory.language.lower().startswith("en") else "en"
        return await self._text_to_speech.synthesize(piece, language=language)


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
