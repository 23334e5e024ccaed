"""One answer on its way out: drawn from the brain, paced, and at its end declared complete."""

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
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Responder, Speech
from mediaserver.localengine.session.pacing import Pacer, pieces
from mediaserver.localengine.session.token_usage import audio_tokens, call_tokens, prompt_tokens
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE


class Generation:
    """The answer to one question.

    `call` gives a function call its id, or None if the client lacks the function; `answered` waits until the answer may
    go on after a call.
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
        self._is_cut = False
        self._memory: Memory | None = None
        self._said = ""
        self._spoken = 0.0
        self._call_tokens = 0

    async def run(self, brain: Responder, memory: Memory) -> None:
        """Send the whole answer and return when the client has had the time to play it."""
        self._memory = memory
        answer = brain.answer(self._question, memory)
        try:
            async for piece in answer:
                await self._send_piece(piece)
        finally:
            # Without this a cancelled answer would be left half way until the garbage collector finds it.
            if isinstance(answer, AsyncGenerator):
                await answer.aclose()
        self._note_said()
        await self._send(GenerationComplete())
        await asyncio.sleep(self._pace.playback_end - self._clock())

    def interrupt(self) -> None:
        """Say nothing from now on, however long the brain takes to stop."""
        self._is_cut = True
        self._note_said()

    @property
    def is_audible(self) -> bool:
        """Whether a client that plays in real time is playing this answer now."""
        return self._clock() < self._pace.playback_end

    @property
    def usage(self) -> Usage:
        """What this turn has cost so far."""
        counts = {"AUDIO": audio_tokens(self._spoken), "TEXT": self._call_tokens}
        response = {kind: count for kind, count in counts.items() if count}
        return Usage(prompt_tokens(self._question, self._setup.media_resolution), response)

    async def _send_piece(self, piece: Recognition | Speech | Call) -> None:
        match piece:
            case Recognition(text):
                assert self._memory is not None
                self._memory.append("user", text)
                if text and self._setup.transcribe_input:
                    await self._send(InputTranscription(text))
            case Speech():
                await self._speak(piece)
            case Call():
                if not self._is_cut and (call := self._call(piece)) is not None:
                    self._call_tokens += call_tokens(piece)
                    await self._send(call)
                    await self._answered(call)

    async def _speak(self, speech: Speech) -> None:
        if not self._setup.transcribe_output:
            # Nobody needs to know where a word begins, and the audio is not cut there.
            speech = Speech(speech.pcm, ((0, "".join(text for _, text in speech.words)),))
        for text, pcm in pieces(speech):
            duration = len(pcm) / (SAMPLE_BYTES * SPEECH_SAMPLE_RATE)
            now = self._clock()
            if (wait := self._pace.due(duration, now=now) - now) > 0:
                await asyncio.sleep(wait)
            if not self._is_cut:
                self._said += text
            if text and self._setup.transcribe_output:
                await self._send(OutputTranscription(text))
            if pcm:
                await self._send(SpokenAudio(pcm))
                self._spoken += duration
                self._pace.sent(duration, now=self._clock())

    def _note_said(self) -> None:
        # What the client was sent of an answer is what the conversation goes on from, as with Google's server.
        if self._memory is not None:
            self._memory.append("model", self._said)
            self._said = ""

    async def _send(self, message: ServerMessage) -> None:
        if not self._is_cut:
            await self._send_message(message)
