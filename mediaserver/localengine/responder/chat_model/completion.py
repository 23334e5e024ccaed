"""One streamed completion of an OpenAI-compatible endpoint.

The openai package is the client: it is typed, names every failure, reads server-sent events, and closes the connection
of a stream that is abandoned, all of which aiohttp would leave to this module. It takes 0.4 s of CPU time to import and
13 MB, so this package is imported only where a language model is configured.
"""

import asyncio
import ipaddress
import json
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from openai import APIError, AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient, omit
from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import BaseModel, Field

from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from mediaserver.localengine.responder.chat_model.config import ChatModelConfig
from mediaserver.localengine.responder.chat_model.sdk_errors import fault_of
from mediaserver.localengine.responder.chat_model.thoughts import ThoughtFilter
from pipeline.errors import FaultCode

FIRST_TOKEN_DEADLINE = 10.0
"""Seconds from a request to the first word or function call of the answer."""
NEXT_TOKEN_DEADLINE = 10.0
"""Seconds between two pieces of an answer."""

_LONGEST_ARGUMENTS = 100_000  # characters
_MAX_CALLS = 16
_END_DEADLINE = 1.0  # s between the last piece and the end of the stream, which only frees the connection

# At DEBUG these log requests, with what the user said.
for _name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(slots=True)
class RequestedCall:
    """A function call of the model; `arguments` is the text it wrote, which should be a JSON object."""

    id: str
    name: str
    arguments: str = ""

    def parsed_arguments(self) -> Mapping[str, object] | None:
        """Return the arguments, None if they are not a JSON object."""
        try:
            arguments = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) else None


@dataclass(slots=True)
class Completion:
    """The answer so far, while it is streamed; its calls are complete at the end."""

    text: str = ""
    calls: list[RequestedCall] = field(default_factory=list)
    is_too_long: bool = False
    """Whether the model reached its limit of tokens."""


# The openai package does not validate what it receives: any field may be missing or of another type.
class _FunctionPart(BaseModel):
    name: str | None = None
    arguments: str | dict[str, object] | None = None


class _CallPart(BaseModel):
    index: int | None = Field(None, ge=0)
    id: str | None = None
    function: _FunctionPart | None = None


class _Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallPart] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(BaseModel):
    choices: list[_Choice]


class ChatClient:
    """Asks one endpoint; all sessions share its connections."""

    def __init__(
        self,
        config: ChatModelConfig,
        *,
        first_token: float = FIRST_TOKEN_DEADLINE,
        next_token: float = NEXT_TOKEN_DEADLINE,
    ):
        self._model = config.model
        self._first_token = first_token
        self._next_token = next_token
        self._client = AsyncOpenAI(
            base_url=config.url,
            api_key=config.key or "none",  # local servers take any, and the package insists on one
            max_retries=0,  # a question is answered now or by the rules
            timeout=first_token,
            # A proxy for the internet does not reach this machine.
            http_client=DefaultAsyncHttpxClient(trust_env=not _is_loopback(config.url)),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def probe(self) -> None:
        """Ask for the list of models, which some servers lack. Raises `ChatFault` if the server cannot be used."""
        try:
            async with asyncio.timeout(self._first_token):
                await self._client.models.list()
        except TimeoutError:
            raise ChatFault(FaultCode.LLM_TIMEOUT) from None
        except APIError as error:
            fault = fault_of(error, is_answer_begun=False)
            if fault.code in (FaultCode.LLM_UNREACHABLE, FaultCode.LLM_AUTH_INVALID):
                raise fault from error
        except ValueError:
            pass  # a list of another form proves as much: somebody answers

    async def stream(
        self,
        messages: Sequence[ChatCompletionMessageParam],
        tools: Sequence[ChatCompletionFunctionToolParam],
        completion: Completion,
    ) -> AsyncGenerator[str, None]:
        """Yield the text of an answer piece by piece and add its calls to `completion`; raises `ChatFault`.

        Closing the iterator cancels the request.
        """
        deadline = asyncio.get_running_loop().time() + self._first_token
        thoughts = ThoughtFilter()
        has_begun = is_finished = False
        try:
            async with asyncio.timeout_at(deadline):
                stream = await self._client.chat.completions.create(
                    model=self._model, messages=[*messages], tools=[*tools] or omit, stream=True
                )
            async with stream:
                while (chunk := await self._next(stream, None if has_begun else deadline, is_finished)) is not None:
                    text, ended = _take(chunk, completion)
                    is_finished = is_finished or ended
                    if text := thoughts.push(text):
                        has_begun = True
                        yield text
                    has_begun = has_begun or bool(completion.calls)
        except TimeoutError:
            raise ChatFault(FaultCode.LLM_CUT_OFF if has_begun else FaultCode.LLM_TIMEOUT) from None
        except (APIError, ValueError) as error:
            raise fault_of(error, is_answer_begun=has_begun) from error
        if rest := thoughts.flush():
            has_begun = True
            yield rest
        if not is_finished:
            raise ChatFault(FaultCode.LLM_CUT_OFF if has_begun else FaultCode.LLM_PROTOCOL)
        if not has_begun:
            raise ChatFault(FaultCode.LLM_PROTOCOL)

    async def _next(
        self, stream: AsyncStream[ChatCompletionChunk], deadline: float | None, is_finished: bool
    ) -> ChatCompletionChunk | None:
        """Return the next chunk, or None at the end of the stream."""
        try:
            if is_finished:
                async with asyncio.timeout(_END_DEADLINE):
                    return await anext(stream, None)
            if deadline is not None:
                async with asyncio.timeout_at(deadline):
                    return await anext(stream, None)
            async with asyncio.timeout(self._next_token):
                return await anext(stream, None)
        except (TimeoutError, APIError):
            if is_finished:
                return None  # the answer is complete
            raise


def _take(chunk: ChatCompletionChunk, completion: Completion) -> tuple[str, bool]:
    """Return the chunk's text and whether the answer ends with it; raises ValueError if it is malformed."""
    body = chunk.model_dump(warnings=False) if isinstance(chunk, ChatCompletionChunk) else chunk
    choices = _Chunk.model_validate(body).choices
    if not choices:
        return "", False  # token counts
    delta, reason = choices[0].delta, choices[0].finish_reason
    for part in delta.tool_calls or () if delta else ():
        _add_call(part, completion.calls)
    completion.is_too_long = completion.is_too_long or reason == "length"
    text = (delta.content or delta.refusal or "") if delta else ""
    return text.encode(errors="replace").decode(), reason is not None  # JSON can hold a lone surrogate


def _add_call(part: _CallPart, calls: list[RequestedCall]) -> None:
    function = part.function or _FunctionPart()
    index = part.index or 0
    # Some servers send each call whole and number all of them 0.
    is_new = index >= len(calls) or (part.id and function.name and part.id != calls[index].id)
    if is_new:
        if len(calls) >= _MAX_CALLS or not function.name:
            raise ValueError("a function call without a name, or too many of them")
        calls.append(RequestedCall(part.id or f"call-{len(calls) + 1}", function.name))
        index = len(calls) - 1
    arguments = function.arguments or ""
    calls[index].arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)
    if len(calls[index].arguments) > _LONGEST_ARGUMENTS:
        raise ValueError("arguments that are too long")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
