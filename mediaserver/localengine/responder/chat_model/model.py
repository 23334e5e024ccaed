"""The language model as a source of answers: asks, calls functions, and yields sentences to speak."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from loguru import logger
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionMessageParam,
)

from mediaserver.localengine.protocol.messages import Functions
from mediaserver.localengine.responder.chat_model.availability import Availability, State
from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from mediaserver.localengine.responder.chat_model.completion import ChatClient, Completion, RequestedCall
from mediaserver.localengine.responder.chat_model.config import REPORT_FAULT, ChatModelConfig
from mediaserver.localengine.responder.chat_model.prompt import (
    history_messages,
    question_message,
    system_message,
    tools_of,
)
from mediaserver.localengine.responder.chat_model.sentences import SentenceSplitter
from mediaserver.localengine.responder.chat_model.spoken_text import spoken_text
from mediaserver.localengine.responder.interface import Call, CallResult, Memory, Question, Reader
from pipeline.errors import FaultCode

MAX_ROUNDS = 6
"""Requests of one answer: the model goes on after each round of function calls."""
MAX_ANSWER = 4_000
"""Characters of an answer; the rest is not said."""
CALL_DEADLINE = 30.0
"""Seconds that a function of the client may take."""


@dataclass(frozen=True, slots=True)
class ChatModelStatus:
    """The model, its host, and whether it answered the last time; `code` is the last failure."""

    model: str
    host: str
    state: State
    code: FaultCode | None


@dataclass(slots=True)
class _Exchange:
    """One question and the rounds of its answer so far."""

    head: list[ChatCompletionMessageParam]
    question: ChatCompletionMessageParam
    functions: Functions
    rounds: list[ChatCompletionMessageParam] = field(default_factory=list)
    said: int = 0
    """Characters of the answer that were yielded."""

    @property
    def messages(self) -> list[ChatCompletionMessageParam]:
        """The messages of the next request."""
        return [*self.head, self.question, *self.rounds]


class ChatModel:
    """Answers with a language model; all sessions share it. `reader` reads the words on a frame."""

    def __init__(
        self,
        config: ChatModelConfig,
        reader: Reader,
        *,
        client: ChatClient | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ):
        self._config = config
        self._reader = reader
        self._client = client or ChatClient(config)
        self._availability = Availability(clock)
        self._now = now
        self._takes_images = config.images != "off"
        self._takes_tools = True

    async def start(self) -> None:
        """Try the endpoint, so that one that cannot be used shows before the first question; raises nothing."""
        try:
            await self._client.probe()
        except ChatFault as fault:
            self._note_failure(fault)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @property
    def status(self) -> ChatModelStatus:
        """The state of the endpoint."""
        available = self._availability
        return ChatModelStatus(self._config.model, self._config.host, available.state, available.code)

    async def answer(self, question: Question, text: str, memory: Memory) -> AsyncGenerator[str | Call, None]:
        """Yield the sentences of the answer to `text`, each with a trailing space, and function calls between them.

        Raises `ChatFault` if the endpoint fails; a sentence that has not arrived completely is never yielded. Raises
        `MediaError` if the frame cannot be read. Closing the iterator cancels the request.
        """
        self._availability.check()
        functions = {name: declared for name, declared in question.functions.items() if name != REPORT_FAULT}
        exchange = _Exchange(
            [system_message(question.instructions, now=self._now()), *history_messages(tuple(memory.history), text)],
            await self._question(question, text),
            functions,
        )
        try:
            async with aclosing(self._answer(exchange, question, text)) as pieces:
                async for piece in pieces:
                    yield piece
        except ChatFault as fault:
            fault.is_answer_begun = exchange.said > 0
            self._note_failure(fault)
            raise

    async def _answer(self, exchange: _Exchange, question: Question, text: str) -> AsyncGenerator[str | Call, None]:
        for _ in range(MAX_ROUNDS):
            completion = Completion()
            said_before = exchange.said
            while True:
                try:
                    async with aclosing(self._sentences(exchange, completion)) as sentences:
                        async for sentence in sentences:
                            exchange.said += len(sentence)
                            yield sentence
                    break
                except ChatFault as fault:
                    refusal = fault
                self._do_without(refusal)
                yield refusal.report()
                exchange.question = await self._question(question, text)
            self._availability.on_answered()
            if not completion.calls or exchange.said >= MAX_ANSWER:
                return
            results: list[CallResult | asyncio.Future[CallResult]] = []
            for requested in completion.calls:
                call = _call_of(requested, exchange.functions)
                if isinstance(call, Call):
                    yield call
                    assert call.result is not None
                    results.append(call.result)
                else:
                    results.append(call)
            settled = [await _settled(result) for result in results]
            if exchange.said > said_before and all(result.is_silent for result in settled):
                return  # what was called has only been shown, and the words for it were said
            exchange.rounds += _round_messages(completion, settled)
        if exchange.said == 0:
            raise ChatFault(FaultCode.LLM_PROTOCOL)

    async def _sentences(self, exchange: _Exchange, completion: Completion) -> AsyncGenerator[str, None]:
        tools: Sequence[ChatCompletionFunctionToolParam] = tools_of(exchange.functions) if self._takes_tools else ()
        splitter = SentenceSplitter()
        left = MAX_ANSWER - exchange.said
        async with aclosing(self._client.stream(exchange.messages, tools, completion)) as deltas:
            async for delta in deltas:
                completion.text += delta
                for sentence in splitter.push(delta):
                    if words := spoken_text(sentence):
                        left -= len(words)
                        yield f"{words} "
                    if left <= 0:
                        return
        if completion.is_too_long and left < MAX_ANSWER - exchange.said:
            return  # the last sentence has no end
        for sentence in splitter.flush():
            if words := spoken_text(sentence):
                yield f"{words} "

    async def _question(self, question: Question, text: str) -> ChatCompletionMessageParam:
        if question.screen is None:
            return question_message(text)
        if self._takes_images:
            return question_message(text, picture=question.screen)
        return question_message(text, words=await self._reader.read(question.screen))

    def _do_without(self, refusal: ChatFault) -> None:
        """Ask without tools or pictures from now on if these were refused; re-raises any other fault."""
        match refusal.code:
            case FaultCode.LLM_TOOLS_REFUSED if self._takes_tools:
                self._takes_tools = False
            case FaultCode.LLM_IMAGES_REFUSED if self._takes_images and self._config.images == "auto":
                self._takes_images = False
            case FaultCode.LLM_TOOLS_REFUSED | FaultCode.LLM_IMAGES_REFUSED:
                raise ChatFault(FaultCode.LLM_REFUSED) from refusal
            case _:
                raise refusal
        logger.warning("the language model is asked for less from now on", code=refusal.code.value)

    def _note_failure(self, fault: ChatFault) -> None:
        self._availability.on_failed(fault)
        cause = type(fault.__cause__).__name__ if fault.__cause__ else None
        logger.warning("the language model failed", code=fault.code.value, host=self._config.host, cause=cause)


def _call_of(requested: RequestedCall, functions: Functions) -> Call | CallResult:
    """Return the call to make, or an error as its result if it cannot be made."""
    arguments = requested.parsed_arguments()
    if requested.name not in functions:
        names = ", ".join(functions) or "none"
        return CallResult({"error": f"There is no function {requested.name[:100]!r}; there are: {names}."})
    if arguments is None:
        return CallResult({"error": "The arguments are not a JSON object."})
    return Call(requested.name, arguments, asyncio.get_running_loop().create_future())


async def _settled(result: CallResult | asyncio.Future[CallResult]) -> CallResult:
    if isinstance(result, CallResult):
        return result
    try:
        async with asyncio.timeout(CALL_DEADLINE):
            return await result
    except TimeoutError:
        return CallResult({"error": "The function did not answer in time."})


def _round_messages(completion: Completion, results: Sequence[CallResult]) -> list[ChatCompletionMessageParam]:
    calls: list[ChatCompletionMessageFunctionToolCallParam] = [
        {
            "id": call.id,
            "type": "function",
            # Servers parse what they are sent back, and refuse arguments that do not parse.
            "function": {"name": call.name, "arguments": json.dumps(call.parsed_arguments() or {})},
        }
        for call in completion.calls
    ]
    answers: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": json.dumps(dict(result.response))}
        for call, result in zip(completion.calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": completion.text or None, "tool_calls": calls}, *answers]
