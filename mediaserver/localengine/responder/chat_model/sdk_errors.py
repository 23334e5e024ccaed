"""Translates every failure of the openai package to a `ChatFault`."""

import re

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from pipeline.errors import FaultCode

# The servers' own words: llama.cpp "image input is not supported", vLLM "is not a multimodal model", Ollama "does not
# support tools" and "missing data required for image input", LM Studio "does not support images".
_ABOUT_TOOLS = re.compile(r"\btools?\b|tool_choice|tool.?call|function.?call", re.IGNORECASE)
_ABOUT_IMAGES = re.compile(r"\bimages?\b|image_url|multi.?modal|vision|mmproj", re.IGNORECASE)
_ABOUT_MODEL = re.compile(
    r"model.{0,80}(?:not found|not exist|not loaded)|(?:no|unknown|load) .{0,20}model", re.IGNORECASE
)
_MAX_RETRY_AFTER = 3_600.0


def fault_of(error: APIError | ValueError, *, is_answer_begun: bool) -> ChatFault:
    """Translate an exception of the openai package; a ValueError is an answer that does not parse."""
    if is_answer_begun and isinstance(error, APIConnectionError):
        return ChatFault(FaultCode.LLM_CUT_OFF)
    match error:
        case APITimeoutError():
            return ChatFault(FaultCode.LLM_TIMEOUT)
        case APIConnectionError():
            return ChatFault(FaultCode.LLM_UNREACHABLE)
        case APIStatusError():
            retry_after = _seconds(error.response.headers.get("retry-after", ""))
            return ChatFault(_code_of(error.status_code, _words_of(error)), retry_after=retry_after)
        case APIError():  # an error inside of the stream
            return ChatFault(_code_of(500, _words_of(error)))
        case _:
            return ChatFault(FaultCode.LLM_PROTOCOL)


def _code_of(status: int, words: str) -> FaultCode:
    if status in (401, 403):
        return FaultCode.LLM_AUTH_INVALID
    if status == 429:
        return FaultCode.LLM_RATE_LIMITED
    if _ABOUT_IMAGES.search(words):
        return FaultCode.LLM_IMAGES_REFUSED
    if _ABOUT_TOOLS.search(words):
        return FaultCode.LLM_TOOLS_REFUSED
    if status == 404 or _ABOUT_MODEL.search(words):
        return FaultCode.LLM_MODEL_UNAVAILABLE
    return FaultCode.LLM_INTERNAL if status >= 500 else FaultCode.LLM_REFUSED


def _words_of(error: APIError) -> str:
    return f"{error.message} {error.body}"[:2_000]


def _seconds(header: str) -> float:
    return min(float(header), _MAX_RETRY_AFTER) if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", header) else 0.0
