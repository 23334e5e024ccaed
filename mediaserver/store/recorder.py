"""Records the history of one conversation from its events."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from mediaserver.store.records import Entry, SessionRecord, TurnUsage
from mediaserver.store.writer import HistoryWriter
from pipeline.events import (
    EndReason,
    Event,
    Evidence,
    EvidenceSource,
    Fault,
    Guidance,
    Interrupted,
    Pointer,
    Pong,
    Resumed,
    Role,
    ScreenFrameSent,
    SessionEnded,
    SessionStarted,
    StateChanged,
    Step,
    StepState,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    TurnUsageReport,
    Usage,
)

SYSTEM = "system"


class Recorder:
    """Observes one conversation and writes an entry per turn and role.

    An entry is written with its first text and again with every update, so that a crash during a long reply does not
    lose its beginning.
    """

    def __init__(self, writer: HistoryWriter, *, owner: str, transport: str, clock: Callable[[], datetime]):
        self._writer = writer
        self._owner = owner
        self._transport = transport
        self._clock = clock
        self._record: SessionRecord | None = None
        self._turns: set[int] = set()
        self._entries: dict[tuple[int, str], Entry] = {}

    def begin(self, session: str, *, label: str, engine: str, model: str, language: str) -> None:
        """Write the session record; later calls have no effect."""
        if self._record is None:
            self._write_record(
                SessionRecord(session, self._owner, label, self._transport, engine, model, language, self._clock())
            )

    def __call__(self, event: Event) -> None:
        """Record an event; events before the session record are ignored."""
        if isinstance(event, SessionStarted):
            self.begin(event.id, label=event.label, engine=event.engine, model=event.model, language=event.language)
        elif self._record is not None:
            self._observe(event, self._record)

    def _observe(self, event: Event, record: SessionRecord) -> None:
        match event:
            case Transcript(turn, role, text):
                entry = self._entry(record, turn, role)
                self._write_entry(replace(entry, text=text))
            case Interrupted(turn, heard_ms, heard_text):
                # A noise can start and end a turn without any text.
                if heard_text or heard_ms or turn in self._turns:
                    entry = self._entry(record, turn, Role.ASSISTANT)
                    self._write_entry(replace(entry, text=heard_text, interrupted=True, heard_ms=heard_ms))
            case Resumed(turn):
                entry = self._entry(record, turn, Role.ASSISTANT)
                self._write_entry(replace(entry, interrupted=False, heard_ms=None))
            case TurnEnded(turn, heard_ms, _, usage):
                if heard_ms or (turn, Role.ASSISTANT) in self._entries:
                    self._write_entry(replace(self._entry(record, turn, Role.ASSISTANT), heard_ms=heard_ms))
                self._write_usage(record, turn, usage)
            case TurnUsageReport(turn, usage):
                self._write_usage(record, turn, usage)
            case Fault(code, message, fatal=True):
                entry = self._entry(record, max(self._turns, default=0), SYSTEM)
                fault = f"{code.value}: {message}"
                self._write_entry(replace(entry, text=f"{entry.text}\n{fault}" if entry.text else fault))
            case Guidance():
                self._write_plan(record, event)
            case SessionEnded(reason):
                self._end(reason)
            case (
                SessionStarted()
                | StateChanged()
                | TurnStarted()
                | TextResponse()
                | ScreenFrameSent()
                | Pointer()
                | Fault()
                | Pong()
            ):
                pass
            case _:
                assert_never(event)

    def _entry(self, record: SessionRecord, turn: int, role: str) -> Entry:
        return self._entries.get((turn, role)) or Entry(record.id, self._clock(), str(role), "", turn)

    def _write_entry(self, entry: Entry) -> None:
        self._entries[entry.turn, entry.role] = entry
        if self._record is not None and entry.role != SYSTEM and entry.turn not in self._turns:
            self._turns.add(entry.turn)
            self._write_record(replace(self._record, turns=len(self._turns)))
        self._writer.record(entry)

    def _write_plan(self, record: SessionRecord, plan: Guidance) -> None:
        """Write the plan as a system entry of the newest turn, which holds the plan's last state in that turn."""
        entry = self._entry(record, max(self._turns, default=0), SYSTEM)
        self._write_entry(replace(entry, text=plan_as_text(plan)))

    def _write_record(self, record: SessionRecord) -> None:
        self._record = record
        self._writer.record(record)

    def _write_usage(self, record: SessionRecord, turn: int, usage: Usage) -> None:
        if usage.tokens:
            self._writer.record(TurnUsage(record.id, turn, self._clock(), dict(usage.tokens)))

    def _end(self, reason: EndReason) -> None:
        for entry in list(self._entries.values()):
            if entry.role == Role.ASSISTANT and entry.heard_ms is None:
                self._write_entry(replace(entry, interrupted=True))
        if self._record is not None:
            self._write_record(replace(self._record, ended_at=self._clock(), end_reason=reason.value))


def plan_as_text(plan: Guidance) -> str:
    """Render a plan as a Markdown list with the evidence of each step that is done."""
    if not plan.steps:
        return "The guide was closed."
    return "\n".join((plan.title, *(_step_as_text(step) for step in plan.steps)))


def _step_as_text(step: Step) -> str:
    mark = "x" if step.state is StepState.DONE else " "
    current = " (current)" if step.state is StepState.CURRENT else ""
    return f"- [{mark}] {step.id}. {step.text}{current}{_evidence_as_text(step.evidence)}"


def _evidence_as_text(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    if evidence.source is EvidenceSource.USER:
        return " (the user said so)"
    seen = f'"{evidence.words}"' if evidence.words else "the text is gone"
    place = "" if evidence.frame is None else f" on frame {evidence.frame}"
    return f" (seen{place}: {seen})"
