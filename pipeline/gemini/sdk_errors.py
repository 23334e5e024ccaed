"""Translates every failure of the engine's SDK to a fault code and a message for the user."""

from google.genai import errors
from google.genai.types import TurnCompleteReason
from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from pipeline.errors import EngineError, FaultCode

CONNECT_FAILURES = (errors.APIError, WebSocketException, OSError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions of opening a session. The SDK raises the last four on messages it does not expect (live.py, `_receive`:
an unknown message compares None with an int, a JSON list has no `get`).
"""

RECEIVE_FAILURES = CONNECT_FAILURES
"""Exceptions of waiting for a message."""

SEND_FAILURES = (WebSocketException, OSError)
"""Exceptions of sending; any other is a bug of ours."""

_MESSAGES = {
    FaultCode.ENGINE_AUTH_INVALID: "The assistant's service did not accept the API key. Check GEMINI_API_KEY.",
    FaultCode.ENGINE_MODEL_UNAVAILABLE: "The chosen model is not available. Choose another one.",
    FaultCode.ENGINE_CONFIG_REJECTED: "The assistant's service did not accept this session's settings.",
    FaultCode.ENGINE_CONTEXT_LIMIT: "The conversation grew too long and starts afresh.",
    FaultCode.ENGINE_QUOTA: "The assistant's service has reached its usage limit.",
    FaultCode.ENGINE_UNSUPPORTED_OP: "The assistant's service refused something this model cannot do.",
    FaultCode.ENGINE_INTERNAL: "The assistant's service had a problem.",
    FaultCode.ENGINE_NETWORK: "The connection to the assistant was lost.",
    FaultCode.ENGINE_PROTOCOL: "The assistant's service said something that could not be understood.",
    FaultCode.ENGINE_CONTENT_BLOCKED: "The assistant cannot answer that.",
    FaultCode.ENGINE_STALLED: "The assistant did not answer in time.",
    FaultCode.ENGINE_DOWN: "The local engine is not available.",
    FaultCode.ENGINE_VOICE_UNAVAILABLE: "The local engine's voice does not work now.",
    FaultCode.ENGINE_FAILED: "The assistant could not be reached again, so this session ends.",
}
_WITHOUT_RETRY = {
    FaultCode.ENGINE_AUTH_INVALID,
    FaultCode.ENGINE_MODEL_UNAVAILABLE,
    FaultCode.ENGINE_CONFIG_REJECTED,
    FaultCode.ENGINE_CONTENT_BLOCKED,
    FaultCode.ENGINE_FAILED,
}

_HTTP = {
    400: FaultCode.ENGINE_CONFIG_REJECTED,
    401: FaultCode.ENGINE_AUTH_INVALID,
    403: FaultCode.ENGINE_AUTH_INVALID,
    404: FaultCode.ENGINE_MODEL_UNAVAILABLE,
    429: FaultCode.ENGINE_QUOTA,
}
_QUOTA_WORDS = ("quota", "resource_exhausted", "resource has been exhausted", "rate limit")
_NO_MODEL_WORDS = ("is not found for api version", "not supported for bidigeneratecontent")
_VOICE_WORDS = ("the voice does not work",)  # the local engine's own
_EXPIRED_WORDS = ("deadline expired", "session not found")
_HARMLESS_REASONS = {
    TurnCompleteReason.TURN_COMPLETE_REASON_UNSPECIFIED,
    TurnCompleteReason.NEED_MORE_INPUT,
}


def make_engine_error(code: FaultCode, **details: object) -> EngineError:
    """Make an engine error with its message."""
    retry_hint = "" if code in _WITHOUT_RETRY else " Please ask again."
    return EngineError(code, _MESSAGES[code] + retry_hint, where="engine", details=details or None)


def as_retried(error: EngineError) -> EngineError:
    """Copy an error for a question that will be sent again by itself."""
    details = {**error.details, "kept": True}
    message = f"{_MESSAGES[error.code]} What you say is kept and asked as soon as it is back."
    copy = EngineError(error.code, message, where=error.where, details=details)
    copy.__cause__ = error.__cause__
    return copy


def downgraded_error(message: str, error: EngineError) -> EngineError:
    """Make the error that reports a downgrade after `error`."""
    copy = EngineError(FaultCode.ENGINE_CONFIG_REDUCED, message, where=error.where, details=error.details)
    copy.__cause__ = error.__cause__
    return copy


def close_code(error: EngineError) -> int | None:
    """Return the WebSocket close code behind an error, or None."""
    code = error.details.get("close_code")
    return code if isinstance(code, int) else None


def engine_error(cause: BaseException, *, is_ready: bool, is_local: bool) -> EngineError:
    """Translate an SDK exception. `is_ready`: the session was set up; `is_local`: the engine is the embedded one."""
    if isinstance(cause, EngineError):
        return cause
    error = _classify(cause, is_ready=is_ready, is_local=is_local)
    error.__cause__ = cause
    return error


def is_expiry(cause: BaseException | None) -> bool:
    """Whether the session only reached the maximum age of the server."""
    match cause:
        case errors.APIError():
            code, reason = _close_of_api_error(cause)
        case ConnectionClosed():
            code, reason = _close_of(cause)
        case _:
            return False
    return code == 1001 or any(words in reason.lower() for words in _EXPIRED_WORDS)


def blocked_error(reason: TurnCompleteReason | None) -> EngineError | None:
    """Return the error of a turn that ended without an answer, or None."""
    if reason is None or reason in _HARMLESS_REASONS:
        return None
    if reason is TurnCompleteReason.MALFORMED_FUNCTION_CALL:
        return make_engine_error(FaultCode.ENGINE_INTERNAL)
    return make_engine_error(FaultCode.ENGINE_CONTENT_BLOCKED)


def _classify(cause: BaseException, *, is_ready: bool, is_local: bool) -> EngineError:
    match cause:
        case InvalidStatus():
            status = cause.response.status_code
            return make_engine_error(_by_status(status), http_status=status)
        case errors.ClientError() | errors.ServerError():
            return make_engine_error(_by_message(cause, is_ready=is_ready))
        case errors.APIError():
            return _by_close(*_close_of_api_error(cause), is_ready=is_ready)
        case ConnectionClosed():
            return _by_close(*_close_of(cause), is_ready=is_ready)
        case ConnectionRefusedError() if is_local:
            return make_engine_error(FaultCode.ENGINE_DOWN)
        case OSError() | WebSocketException():  # timeouts and TLS too
            return make_engine_error(FaultCode.ENGINE_NETWORK)
        case ValueError() if not is_ready and not _is_about_a_message(cause):
            return make_engine_error(FaultCode.ENGINE_CONFIG_REJECTED)  # the SDK itself refused to send it
        case _:
            return make_engine_error(FaultCode.ENGINE_PROTOCOL)


def _by_status(status: int) -> FaultCode:
    if status >= 500:
        return FaultCode.ENGINE_INTERNAL
    return _HTTP.get(status, FaultCode.ENGINE_PROTOCOL)


def _by_message(error: errors.APIError, *, is_ready: bool) -> FaultCode:
    if error.code == 400 and is_ready:
        return FaultCode.ENGINE_PROTOCOL
    return _by_status(error.code)


def _by_close(code: int, reason: str, *, is_ready: bool) -> EngineError:
    return make_engine_error(_close_code(code, reason.lower(), is_ready=is_ready), close_code=code)


def _close_code(code: int, reason: str, *, is_ready: bool) -> FaultCode:
    if "api key" in reason:
        return FaultCode.ENGINE_AUTH_INVALID
    if any(words in reason for words in _QUOTA_WORDS):
        return FaultCode.ENGINE_QUOTA
    match code:
        case 1007:
            return FaultCode.ENGINE_CONTEXT_LIMIT if is_ready else FaultCode.ENGINE_CONFIG_REJECTED
        case 1008 if any(words in reason for words in _NO_MODEL_WORDS):
            return FaultCode.ENGINE_MODEL_UNAVAILABLE
        case 1008 if "session not found" in reason:
            return FaultCode.ENGINE_NETWORK
        case 1008 if "not found" in reason and not is_ready:
            return FaultCode.ENGINE_MODEL_UNAVAILABLE
        case 1008:
            return FaultCode.ENGINE_UNSUPPORTED_OP
        case 1009:
            return FaultCode.ENGINE_PROTOCOL
        case 1011 if any(words in reason for words in _VOICE_WORDS):
            return FaultCode.ENGINE_VOICE_UNAVAILABLE
        case 1011 if "deadline expired" not in reason:
            return FaultCode.ENGINE_INTERNAL
        case _:
            return FaultCode.ENGINE_NETWORK


def _close_of_api_error(error: errors.APIError) -> tuple[int, str]:
    # The SDK reports 1006 when this side has closed, such as for a message beyond max_size (1009): the real code is
    # in the exception it caught.
    if isinstance(error.__context__, ConnectionClosed):
        return _close_of(error.__context__)
    return error.code, str(error.details)


def _close_of(closed: ConnectionClosed) -> tuple[int, str]:
    frame = closed.rcvd or closed.sent
    return (frame.code, frame.reason) if frame else (1006, "")


def _is_about_a_message(error: ValueError) -> bool:
    # live.py raises a bare ValueError for a reply that is not JSON; its other ValueErrors are about the setup.
    return isinstance(error, ValidationError | UnicodeDecodeError) or "parse response" in str(error)
