"""What a conversation was started with."""

from dataclasses import dataclass, field

from pipeline.audio.turn_detector import TurnSettings
from pipeline.events import SessionStarted


@dataclass(frozen=True, slots=True)
class ConversationConfig:
    """What holds for a whole conversation. `idle_seconds` and `max_seconds` end it."""

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
    turns: TurnSettings = field(default_factory=TurnSettings)

    def session_started_event(self, model: str) -> SessionStarted:
        """What a peer is told when it joins while `model` answers."""
        return SessionStarted(
            self.id,
            self.label,
            self.engine,
            model,
            self.requested_model,
            self.language,
            {"idle_seconds": int(self.idle_seconds), "max_seconds": int(self.max_seconds)},
            self.warnings,
        )
