"""The one codec between events or commands and the JSON that clients see, on every transport."""

import json
from typing import Any, assert_never

from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import (
    AudioEnd,
    Command,
    EndSession,
    Event,
    Fault,
    Guidance,
    Interrupt,
    Interrupted,
    NameTracks,
    Ping,
    Playback,
    Pointer,
    Pong,
    ScreenFrameSent,
    ScreenShareEnd,
    SessionEnded,
    SessionStarted,
    StateChanged,
    TextInput,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    TurnUsageReport,
)

MAX_TEXT = 8_000
"""Longest typed question, in characters."""

COMMANDS = "text_input, interrupt, audio_end, screen_share_end, playback, ping, tracks, end_session"


def parse_command(text: str | bytes) -> Command:
    """Read one client message, or raise `ProtocolError` and nothing else."""
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("The message is not JSON; send one JSON object per message.") from None
    if not isinstance(message, dict):
        raise ProtocolError("The message is not a JSON object with an `action`.")
    return command_from(message)


def command_from(message: dict[str, Any]) -> Command:
    """Read one decoded client message, or raise `ProtocolError` and nothing else."""
    match message:
        case {"action": "text_input", "text": str(text)} if _is_sayable(text):
            return TextInput(text.strip())
        case {"action": "text_input"}:
            raise ProtocolError(f"text_input takes `text`: a string of 1 to {MAX_TEXT} characters, not blank.")
        case {"action": "interrupt"}:
            return Interrupt()
        case {"action": "audio_end"}:
            return AudioEnd()
        case {"action": "screen_share_end"}:
            return ScreenShareEnd()
        case {"action": "playback", "turn": int(turn), "played_ms": int() | float() as played} if _is_time(played):
            return Playback(turn, int(played))
        case {"action": "playback"}:
            raise ProtocolError("playback takes `turn` (integer) and `played_ms` (number from 0).")
        case {"action": "ping"}:
            stamp = message.get("t")
            if not _is_stamp(stamp):
                raise ProtocolError("ping takes `t`: a number or a string, or none.")
            return Ping(stamp)
        case {"action": "end_session"}:
            return EndSession()
        case {"action": "tracks", "mids": dict(mids)} if _are_mids(mids):
            return NameTracks(mids)
        case {"action": "tracks"}:
            raise ProtocolError('tracks takes `mids`: an object such as {"1": "screen", "2": "camera"}.')
        case {"action": str()}:
            raise ProtocolError(f"Unknown action; accepted here: {COMMANDS}.", code=FaultCode.UNKNOWN_ACTION)
        case _:
            raise ProtocolError("The message has no `action`.")


def render(event: Event, label: str) -> dict[str, Any] | None:
    """Say one event as a JSON object for the session `label`; None for what clients are not told in JSON."""
    body = _body(event)
    return None if body is None else {"action": body.pop("action"), "sessionId": label, **body}


def _body(event: Event) -> dict[str, Any] | None:
    match event:
        case SessionStarted():
            return {
                "action": "session_started",
                "id": event.id,
                "engine": event.engine,
                "model": event.model,
                "requested_model": event.requested_model,
                "language": event.language,
                "limits": dict(event.limits),
                "warnings": list(event.warnings),
            }
        case StateChanged(state):
            return {"action": "state", "state": state.value}
        case Transcript(turn, role, text, final):
            return {"action": "transcript", "turn": turn, "role": role.value, "text": text, "final": final}
        case Interrupted():
            return {
                "action": "interrupted",
                "turn": event.turn,
                "heard_ms": event.heard_ms,
                "heard_text": event.heard_text,
                "latency_ms": dict(event.latency_ms),
            }
        case TextResponse(turn, text, confidence):
            return {"action": "text_response", "turn": turn, "text": text, "confidence": confidence}
        case TurnEnded():
            return {
                "action": "turn_complete",
                "turn": event.turn,
                "heard_ms": event.heard_ms,
                "latency_ms": dict(event.latency_ms),
                "usage": dict(event.usage.tokens),
            }
        case ScreenFrameSent(frame, age_ms, reason):
            return {"action": "screen_seen", "frame": frame, "age_ms": age_ms, "reason": reason.value}
        case Guidance(title, steps):
            shown = [{"id": step.id, "text": step.text, "state": step.state.value} for step in steps]
            return {"action": "guidance", "title": title, "steps": shown}
        case Pointer(frame, box, label):
            return {"action": "pointer", "frame": frame, "box": list(box), "label": label}
        case Fault(code, message, details, fatal):
            return {
                "action": "error",
                "code": code.value,
                "message": message,
                "details": dict(details),
                "fatal": fatal,
            }
        case Pong(t):
            return {"action": "pong", "t": t}
        case SessionEnded(reason):
            return {"action": "session_ended", "reason": reason.value}
        case TurnStarted() | TurnUsageReport():
            return None
        case _:
            assert_never(event)


def _refuse_constant(name: str) -> float:
    # json reads NaN and Infinity, which are not JSON and could not be sent back.
    raise ValueError(name)


def _is_sayable(text: str) -> bool:
    # A lone surrogate passes JSON but cannot be encoded for the engine.
    return len(text.strip()) > 0 and len(text) <= MAX_TEXT and not _has_surrogate(text)


def _is_stamp(value: object) -> bool:
    """Whether a ping's stamp can be said back: as JSON (1e999 reads as infinity), and in UTF-8."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and not _has_surrogate(value)
    return value is None or (isinstance(value, int | float) and abs(value) < 1e300)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _is_time(value: float) -> bool:
    return not isinstance(value, bool) and 0 <= value < 1e9


def _are_mids(mids: dict[Any, Any]) -> bool:
    return len(mids) <= 16 and all(len(mid) <= 256 and name in ("screen", "camera") for mid, name in mids.items())
