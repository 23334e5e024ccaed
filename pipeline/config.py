"""The settings of one conversation and of its turn detection, fixed once they are made."""

from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.events import LanguageModel, SessionStarted


class TurnModel(StrEnum):
    """The judge of pauses: the model Smart Turn with silence as its fallback, or the length of silence alone."""

    SMART_TURN = "smart-turn"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Thresholds are probabilities, the rest seconds; `audible_threshold` guards against the assistant's echo.

    `max_utterance` is the longest utterance. `silence` ends one where `model` is SILENCE, or where Smart Turn gives no
    verdict in time.
    """

    threshold: float = 0.5
    audible_threshold: float = 0.7
    start: float = 0.192
    silence: float = 0.5
    pre_roll: float = 0.4
    model: TurnModel = TurnModel.SILENCE
    max_utterance: float = 60.0


DEFAULT_UNUSED_SECONDS = 120.0
"""Seconds after which a conversation ends that nobody has used yet."""


@dataclass(frozen=True, slots=True)
class ConversationConfig:
    """Settings of a whole conversation. `unused_seconds`, `idle_seconds` and `max_seconds` end it."""

    id: str
    label: str
    engine: str
    model: str
    requested_model: str | None
    language: str
    idle_seconds: float
    max_seconds: float
    frame_max_side: int = 1280
    timed_transcript: bool = False
    warnings: tuple[str, ...] = ()
    language_model: LanguageModel | None = None
    turns: TurnSettings = field(default_factory=TurnSettings)
    unused_seconds: float = DEFAULT_UNUSED_SECONDS

    def session_started_event(self, model: str) -> SessionStarted:
        """Build the event for a peer that joins while `model` answers."""
        return SessionStarted(
            self.id,
            self.label,
            self.engine,
            model,
            self.requested_model,
            self.language,
            {
                "idle_seconds": int(self.idle_seconds),
                "max_seconds": int(self.max_seconds),
                "unused_seconds": int(self.unused_seconds),
            },
            self.warnings,
            self.language_model,
        )
