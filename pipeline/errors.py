"""Fault codes, their severities, and the exception classes that carry them."""

from collections.abc import Iterable
from enum import StrEnum


class Severity(StrEnum):
    """The reach of a fault."""

    REPORT = "report"  # reported; the conversation continues audibly
    TURN = "turn"  # stops all media, then is reported; the next turn plays again
    FATAL = "fatal"  # stops all media, is reported, and ends the session


class FaultCode(StrEnum):
    """The closed list of codes that clients can get."""

    INVALID_MESSAGE = "INVALID_MESSAGE"
    UNKNOWN_ACTION = "UNKNOWN_ACTION"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    SESSION_EXISTS = "SESSION_EXISTS"
    RATE_LIMITED = "RATE_LIMITED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    FRAME_PROCESSING_ERROR = "FRAME_PROCESSING_ERROR"
    SCREEN_NOT_VISIBLE = "SCREEN_NOT_VISIBLE"
    HISTORY_UNAVAILABLE = "HISTORY_UNAVAILABLE"
    REDACTION_FAILED = "REDACTION_FAILED"
    UTTERANCE_TOO_LONG = "UTTERANCE_TOO_LONG"
    ENGINE_CONFIG_REDUCED = "ENGINE_CONFIG_REDUCED"
    ENGINE_UNSUPPORTED_OP = "ENGINE_UNSUPPORTED_OP"
    LLM_UNREACHABLE = "LLM_UNREACHABLE"
    LLM_TIMEOUT = "LLM_TIMEOUT"
    LLM_PROTOCOL = "LLM_PROTOCOL"
    LLM_CUT_OFF = "LLM_CUT_OFF"
    LLM_RATE_LIMITED = "LLM_RATE_LIMITED"
    LLM_TOOLS_REFUSED = "LLM_TOOLS_REFUSED"
    LLM_IMAGES_REFUSED = "LLM_IMAGES_REFUSED"
    LLM_AUTH_INVALID = "LLM_AUTH_INVALID"
    LLM_MODEL_UNAVAILABLE = "LLM_MODEL_UNAVAILABLE"
    LLM_REFUSED = "LLM_REFUSED"
    LLM_INTERNAL = "LLM_INTERNAL"
    STT_UNAVAILABLE = "STT_UNAVAILABLE"
    STT_BUSY = "STT_BUSY"
    STT_UNREACHABLE = "STT_UNREACHABLE"
    STT_TIMEOUT = "STT_TIMEOUT"
    STT_AUTH_INVALID = "STT_AUTH_INVALID"
    STT_MODEL_UNAVAILABLE = "STT_MODEL_UNAVAILABLE"
    STT_RATE_LIMITED = "STT_RATE_LIMITED"
    STT_REFUSED = "STT_REFUSED"
    STT_INTERNAL = "STT_INTERNAL"
    STT_PROTOCOL = "STT_PROTOCOL"

    AUDIO_PROCESSING_ERROR = "AUDIO_PROCESSING_ERROR"
    ENGINE_NETWORK = "ENGINE_NETWORK"
    ENGINE_INTERNAL = "ENGINE_INTERNAL"
    ENGINE_PROTOCOL = "ENGINE_PROTOCOL"
    ENGINE_STALLED = "ENGINE_STALLED"
    ENGINE_QUOTA = "ENGINE_QUOTA"
    ENGINE_CONTEXT_LIMIT = "ENGINE_CONTEXT_LIMIT"
    ENGINE_CONTENT_BLOCKED = "ENGINE_CONTENT_BLOCKED"
    ENGINE_DOWN = "ENGINE_DOWN"
    ENGINE_VOICE_UNAVAILABLE = "ENGINE_VOICE_UNAVAILABLE"

    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    SESSION_LIMIT = "SESSION_LIMIT"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    ENGINE_AUTH_INVALID = "ENGINE_AUTH_INVALID"
    ENGINE_MODEL_UNAVAILABLE = "ENGINE_MODEL_UNAVAILABLE"
    ENGINE_CONFIG_REJECTED = "ENGINE_CONFIG_REJECTED"
    ENGINE_FAILED = "ENGINE_FAILED"
    INTERNAL_ERROR = "INTERNAL_ERROR"

    @property
    def severity(self) -> Severity:
        """The severity of this fault."""
        return _SEVERITY[self]


_TURN = {
    FaultCode.AUDIO_PROCESSING_ERROR,
    FaultCode.ENGINE_NETWORK,
    FaultCode.ENGINE_INTERNAL,
    FaultCode.ENGINE_PROTOCOL,
    FaultCode.ENGINE_STALLED,
    FaultCode.ENGINE_QUOTA,
    FaultCode.ENGINE_CONTEXT_LIMIT,
    FaultCode.ENGINE_CONTENT_BLOCKED,
    FaultCode.ENGINE_DOWN,
    FaultCode.ENGINE_VOICE_UNAVAILABLE,
}
_FATAL = {
    FaultCode.UNAUTHORIZED,
    FaultCode.FORBIDDEN,
    FaultCode.SESSION_LIMIT,
    FaultCode.SLOW_CONSUMER,
    FaultCode.ENGINE_AUTH_INVALID,
    FaultCode.ENGINE_MODEL_UNAVAILABLE,
    FaultCode.ENGINE_CONFIG_REJECTED,
    FaultCode.ENGINE_FAILED,
    FaultCode.INTERNAL_ERROR,
}
_SEVERITY = {
    code: Severity.FATAL if code in _FATAL else Severity.TURN if code in _TURN else Severity.REPORT
    for code in FaultCode
}


class MediaError(Exception):
    """A fault with a code, a message for the client, and its origin (for the log)."""

    def __init__(self, code: FaultCode, message: str, *, where: str = "", details: dict[str, object] | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.details = details or {}

    @property
    def severity(self) -> Severity:
        """The severity of this fault."""
        return self.code.severity


class AudioError(MediaError):
    """Audio that cannot be decoded, resampled, analysed or encoded."""

    def __init__(self, message: str, *, where: str):
        super().__init__(FaultCode.AUDIO_PROCESSING_ERROR, message, where=where)


class FrameError(MediaError):
    """A picture that cannot be decoded, compared or encoded as a JPEG."""

    def __init__(self, message: str, *, where: str):
        super().__init__(FaultCode.FRAME_PROCESSING_ERROR, message, where=where)


class EngineError(MediaError):
    """A failure of the engine or of the connection to it; `code` is one of the ENGINE_ codes."""


class ProtocolError(MediaError):
    """A client's message that is not accepted: INVALID_MESSAGE or UNKNOWN_ACTION."""

    def __init__(self, message: str, *, code: FaultCode = FaultCode.INVALID_MESSAGE):
        super().__init__(code, message, where="protocol")


def leaf_exceptions(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    """Yield the exceptions of nested groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaf_exceptions(error)
        else:
            yield error
