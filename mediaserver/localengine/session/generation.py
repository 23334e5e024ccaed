"""One answer: pulled from the responder, paced, sent and completed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from mediaserver.localengine.protocol.messages import (
    GenerationComplete,
    InputTranscription,
    OutputTranscription,
    ServerMessage,
    Setup,
    SpokenAudio,
    ToolCall,
    Usage,
)
from mediaserver.localengine.responder.interface import (
    Call,
    CallResult,
    Memory,
    Question,
    Recognition,
    Responder,
    Speech,
)
from mediaserver.localengine.session.pacing import Pacer, pieces
from mediaserver.localengine.session.token_usage import audio_tokens, call_tokens, prompt_tokens
from pipeline.engine import NOT_UNDERSTOOD
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE


class Generation:
    """The answer to one question.

    `call` gives a function call its id, or None if the client lacks the function; `answered` waits until the answer may
    continue after a call.
    """

    def __init__(
        self,
        question: Question,
        setup: Setup,
        *,
        send: Callable[[ServerMessage], Awaitable[None]],
        call: Callable[[Call], ToolCall | None],
        answered: Callable[[ToolCall], Awaitable[None]],
    ):
        self._question = question
        self._setup = setup
        self._send_message = send
        self._call = call
        self._answered = answered
        self._pace = Pacer()
        self._clock = asyncio.get_running_loop().time
        self._is_interrupted = False
        self._memory: Memory | None = None
        self._sent_text = ""
        self._spoken = 0.0
        self._call_tokens = 0

    async def run(self, responder: Responder, memory: Memory) -> None:
        """Send the whole answer, and return when a client in real time has played it."""
        self._memory = memory
        answer = responder.answer(self._question, memory)
        try:
            async for piece in answer:
                await self._send_piece(piece)
        finally:
            # Without this a cancelled answer would be left half way until the garbage collector finds it.
            if isinstance(answer, AsyncGenerator):
                await answer.aclose()
        self._remember_sent()
        await self._send(GenerationComplete())
        await asyncio.sleep(self._pace.playback_end - self._clock())

    def interrupt(self) -> None:
        """Send nothing more, even if the responder is slow to stop."""
        self._is_interrupted = True
        self._remember_sent()

    @property
    def is_audible(self) -> bool:
        """Whether a client in real time is playing this answer now."""
        return self._clock() < self._pace.playback_end

    @property
    def usage(self) -> Usage:
        """The tokens of this turn so far."""
        counts = {"AUDIO": audio_tokens(self._spoken), "TEXT": self._call_tokens}
        response = {kind: count for kind, count in counts.items() if count}
        return Usage(prompt_tokens(self._question, self._setup.media_resolution), response)

    async def _send_piece(self, piece: Recognition | Speech | Call) -> None:
        match piece:
            case Recognition(text, confidence, is_rejected):
                assert self._memory is not None
                self._memory.append("user", text)
                shown = NOT_UNDERSTOOD if is_rejected else text
                if shown and self._setup.transcribe_input:
                    await self._send(InputTranscription(shown, confidence, is_final=is_rejected))
            case Speech():
                await self._speak(piece)
            case Call():
                await self._make_call(piece)

    async def _make_call(self, piece: Call) -> None:
        call = None if self._is_interrupted else self._call(piece)
        if call is not None:
            self._call_tokens += call_tokens(piece)
            await self._send(call)
            await self._answered(call)
        elif piece.result is not None and not piece.result.done():
            piece.result.set_result(CallResult({"error": f"The client has no function {piece.name!r}."}))

    async def _speak(self, speech: Speech) -> None:
        if not self._setup.transcribe_output:
            # Word positions are not needed, so the audio is not split at words.
            speech = Speech(speech.pcm, ((0, "".join(text for _, text in speech.words)),))
        for text, pcm in pieces(speech):
            duration = len(pcm) / (SAMPLE_BYTES * SPEECH_SAMPLE_RATE)
            now = self._clock()
            if (wait := self._pace.due(duration, now=now) - now) > 0:
                await asyncio.sleep(wait)
            if not self._is_interrupted:
                self._sent_text += text
            if text and self._setup.transcribe_output:
                await self._send(OutputTranscription(text))
            if pcm:
                await self._send(SpokenAudio(pcm))
                self._spoken += duration
                self._pace.sent(duration, now=self._clock())

    def _remember_sent(self) -> None:
        # The history holds the part of an answer that was sent, as on Google's server.
        if self._memory is not None:
            self._memory.append("model", self._sent_text)
            self._sent_text = ""

    async def _send(self, message: ServerMessage) -> None:
        if not self._is_interrupted:
            await self._send_message(message)
