"""What a client may change while a conversation goes on: RPC `set_config`."""

import json
from dataclasses import dataclass, replace

from mediaserver.livekit.protocol.rpc import RpcFailure
from pipeline.config import TurnSettings

ACCEPTED = (
    'set_config takes {"audio": true or false, "vad": {"threshold": a number between 0 and 1, '
    '"silence_ms": 96 to 5000}}; each may be left out'
)
_FROM_THE_START = ("model", "language", "voice", "instructions")


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Changes to one client's part; None leaves it as it is."""

    audio: bool | None = None
    """Whether it is sent the assistant's voice."""
    threshold: float | None = None
    silence_ms: int | None = None

    @property
    def is_of_microphone(self) -> bool:
        """Whether anything changes in how its voice is judged."""
        return self.threshold is not None or self.silence_ms is not None

    def applied(self, turns: TurnSettings) -> TurnSettings:
        """The settings with these changes."""
        threshold = turns.threshold if self.threshold is None else self.threshold
        return replace(
            turns,
            threshold=threshold,
            audible_threshold=max(turns.audible_threshold, threshold),
            silence=turns.silence if self.silence_ms is None else self.silence_ms / 1000,
        )


def parse_runtime_config(payload: str) -> RuntimeConfig:
    """Read the payload of `set_config`, or raise `RpcFailure` and nothing else; what is unknown is ignored."""
    try:
        message = json.loads(payload or "{}")
    except (ValueError, RecursionError):
        raise RpcFailure(f"{ACCEPTED}; the payload is not JSON") from None
    if not isinstance(message, dict):
        raise RpcFailure(ACCEPTED)
    for name in _FROM_THE_START:
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
            _is_within(threshold, 0, 1) and _is_within(silence_ms, 95, 5001)
        ):
            return RuntimeConfig(audio, threshold, silence_ms)
        case _:
            raise RpcFailure(ACCEPTED)


def _is_within(value: float | None, low: float, high: float) -> bool:
    return value is None or (not isinstance(value, bool) and low < value < high)
