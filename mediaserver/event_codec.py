"""Codec between events or commands and the JSON messages of every transport."""

from typing import Any, assert_never

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.messages.commands import validate_command
from mediaserver.messages.server import (
    ErrorMessage,
    EvidenceBody,
    GuidanceMessage,
    InterruptedMessage,
    LanguageModelFields,
    PointerMessage,
    PongMessage,
    ResumedMessage,
    ScreenSeenMessage,
    ServerUnion,
    SessionEndedMessage,
    SessionStartedMessage,
    StateMessage,
    StepBody,
    TextResponseMessage,
    TranscriptMessage,
    TurnCompleteMessage,
)
from pipeline.errors import ProtocolError
from pipeline.events import (
    Command,
    Event,
    Fault,
    Guidance,
    Interrupted,
    LanguageModel,
    Pointer,
    Pong,
    Resumed,
    ScreenFrameSent,
    SessionEnded,
    SessionStarted,
    StateChanged,
    Step,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    TurnUsageReport,
)


def parse_command(text: str | bytes) -> Command:
    """Parse one message of a data channel or LiveKit data, or raise `ProtocolError` and nothing else."""
    try:
        message = parse_json(text)
    except JsonError as error:
        raise ProtocolError(f"{error} Send one JSON object per message.") from None
    if not isinstance(message, dict):
        raise ProtocolError("The message is not a JSON object with an `action`.")
    return command_from(message)


def command_from(message: dict[str, Any]) -> Command:
    """Validate one decoded client message, or raise `ProtocolError` and nothing else."""
    return validate_command(message).command


def render(event: Event, label: str) -> dict[str, Any] | None:
    """Render an event of the session `label` as a JSON object; None for events that are not sent to clients."""
    message = _message(event, label)
    return None if message is None else message.body()


def _message(event: Event, label: str) -> ServerUnion | None:
    match event:
        case Transcript():
            return TranscriptMessage(
                sessionId=label,
                turn=event.turn,
                role=event.role,
                text=event.text,
                final=event.final,
                confidence=event.confidence,
            )
        case StateChanged():
            return StateMessage(sessionId=label, state=event.state)
        case SessionStarted():
            return SessionStartedMessage(
                sessionId=label,
                id=event.id,
                engine=event.engine,
                model=event.model,
                requested_model=event.requested_model,
                language=event.language,
                limits=dict(event.limits),
                warnings=list(event.warnings),
                language_model=_language_model(event.language_model),
            )
        case Interrupted():
            return InterruptedMessage(
                sessionId=label,
                turn=event.turn,
                heard_ms=event.heard_ms,
                heard_text=event.heard_text,
                latency_ms=dict(event.latency_ms),
            )
        case Resumed():
            return ResumedMessage(sessionId=label, turn=event.turn, from_ms=event.from_ms)
        case TextResponse():
            return TextResponseMessage(sessionId=label, turn=event.turn, text=event.text, confidence=event.confidence)
        case TurnEnded():
            return TurnCompleteMessage(
                sessionId=label,
                turn=event.turn,
                heard_ms=event.heard_ms,
                latency_ms=dict(event.latency_ms),
                usage=dict(event.usage.tokens),
            )
        case ScreenFrameSent():
            return ScreenSeenMessage(sessionId=label, frame=event.frame, age_ms=event.age_ms, reason=event.reason)
        case Guidance():
            return GuidanceMessage(
                sessionId=label, title=event.title, guide=event.guide, steps=[_step(step) for step in event.steps]
            )
        case Pointer():
            return PointerMessage(sessionId=label, frame=event.frame, box=list(event.box), label=event.label)
        case Fault():
            return ErrorMessage(
                sessionId=label,
                code=event.code,
                message=event.message,
                details=dict(event.details),
                fatal=event.fatal,
            )
        case Pong():
            return PongMessage(sessionId=label, t=event.t)
        case SessionEnded():
            return SessionEndedMessage(sessionId=label, reason=event.reason)
        case TurnStarted() | TurnUsageReport():
            return None
        case _:
            assert_never(event)


def _step(step: Step) -> StepBody:
    evidence = step.evidence
    body = None
    if evidence is not None:
        body = EvidenceBody(source=evidence.source, words=evidence.words, frame=evidence.frame)
    return StepBody(id=step.id, text=step.text, state=step.state, evidence=body)


def _language_model(model: LanguageModel | None) -> LanguageModelFields | None:
    return None if model is None else LanguageModelFields(model=model.model, host=model.host)
