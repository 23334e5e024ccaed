"""The settings that a client may change during a conversation, by RPC `set_config`."""

from dataclasses import dataclass, replace

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.livekit.protocol.rpc import RpcFailure
from mediaserver.session_limits import MAX_SILENCE_MS, MIN_SILENCE_MS
from pipeline.config import TurnModel, TurnSettings

ACCEPTED = (
    'set_config takes {"audio": true or false, "vad": {"threshold": a number between 0 and 1, '
    f'"silence_ms": {MIN_SILENCE_MS} to {MAX_SILENCE_MS}, "turn_model": "smart-turn" or "silence"}}}}; '
    "each may be left out"
)
_FIXED = ("model", "language", "voice", "instructions")


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Changes of one client's settings; None leaves a setting unchanged."""

    audio: bool | None = None
    """True: the client receives the assistant's voice."""
    threshold: float | None = None
    silence_ms: int | None = None
    turn_model: TurnModel | None = None

    @property
    def changes_turns(self) -> bool:
        """Whether a setting of the voice activity or turn detection changes."""
        return any(value is not None for value in (self.threshold, self.silence_ms, self.turn_model))

    def applied(self, turns: TurnSettings) -> TurnSettings:
        """Return turn settings with these changes."""
        model = turns.model if self.silence_ms is None else TurnModel.SILENCE
        threshold = turns.threshold if self.threshold is None else self.threshold
        return replace(
            turns,
            threshold=threshold,
            audible_threshold=max(turns.audible_threshold, threshold),
            silence=turns.silence if self.silence_ms is None else self.silence_ms / 1000,
            model=self.turn_model or model,
        )


def parse_runtime_config(payload: str) -> RuntimeConfig:
    """Parse the payload of `set_config`, ignoring unknown fields. Raises only `RpcFailure`."""
    try:
        message = parse_json(payload or "{}")
    except JsonError:
        raise RpcFailure(f"{ACCEPTED}; the payload is not JSON") from None
    if not isinstance(message, dict):
        raise RpcFailure(ACCEPTED)
    for name in _FIXED:
        if name in message:
            raise RpcFailure(
                f"`{name}` is chosen when a conversation starts (model, language and voice by attributes of the token "
                "or of who joins first) and cannot be changed"
            )
    vad = message.get("vad", {})
    if not isinstance(vad, dict):
        raise RpcFailure(ACCEPTED)
    match message.get("audio"), vad.get("threshold"), vad.get("silence_ms"):
        case (None | bool()) as audio, (None | int() | float()) as threshold, (None | int()) as silence_ms if (
            _is_within(threshold, 0, 1) and _is_within(silence_ms, MIN_SILENCE_MS - 1, MAX_SILENCE_MS + 1)
        ):
            return RuntimeConfig(audio, threshold, silence_ms, _turn_model(vad.get("turn_model")))
        case _:
            raise RpcFailure(ACCEPTED)


def _turn_model(value: object) -> TurnModel | None:
    match value:
        case None:
            return None
        case "smart-turn" | "silence":
            return TurnModel(value)
        case _:
            raise RpcFailure(ACCEPTED)


def _is_within(value: float | None, low: float, high: float) -> bool:
    return value is None or (not isinstance(value, bool) and low < value < high)
