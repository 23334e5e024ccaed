"""Accepted models, and the setups each of them refuses, as on the real server."""

from mediaserver.localengine.protocol.codec import INVALID, INVALID_ARGUMENT, POLICY, WireError
from mediaserver.localengine.protocol.messages import Behavior, Setup

OWN = "models/local"
"""The engine's own model. The names of Gemini models are accepted too, and served alike."""

_NEWEST = "models/gemini-3.8-live"
_EXTENDED = "models/gemini-3.8-live-extended-thinking"
_OLDEST = "models/gemini-2.5-flash-native-audio-preview-12-2025"
_SEEDED_ONLY = "models/gemini-3.1-flash-live-preview"
_ACCEPTED = {
    OWN,
    _NEWEST,
    _EXTENDED,
    _SEEDED_ONLY,
    _OLDEST,
}

_LEVELS = ("LOW", "MEDIUM", "HIGH")


def takes_content(model: str) -> bool:
    """Whether client content is accepted at any time, not only as initial history."""
    return _full(model) != _SEEDED_ONLY


def is_blocking(model: str, behavior: Behavior) -> bool:
    """Whether a model stays silent until a function of this behavior has returned."""
    name = _full(model)
    if name in (_SEEDED_ONLY, _EXTENDED):
        return name == _SEEDED_ONLY  # the one knows nothing else, the other not even that
    return behavior is Behavior.BLOCKING or (name == _OLDEST and behavior is Behavior.UNSPECIFIED)


def check(setup: Setup, version: str) -> None:
    """Raise `WireError` if the model is unknown or refuses this setup."""
    model = _full(setup.model)
    if model not in _ACCEPTED:
        # A close reason has 123 bytes, and these words are what clients look for: the name gives way.
        text = f" is not found for API version {version}, or is not supported for bidiGenerateContent"
        raise WireError(POLICY, f"{model[: 120 - len(text)]}{text}")
    if any(modality.upper() != "AUDIO" for modality in setup.modalities):
        raise WireError(INVALID, "Cannot extract voices from a non-audio request.")
    if model in (_NEWEST, _EXTENDED) and (setup.proactive is False or setup.affective):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} proactiveAudio is always on, enableAffectiveDialog is gone.")
    if model == _NEWEST and setup.thinking_level is not None:
        raise WireError(INVALID, f"{INVALID_ARGUMENT} thinkingLevel is not supported.")
    if model == _EXTENDED:
        _check_extended(setup)
    if model == _SEEDED_ONLY and (setup.proactive is not None or setup.affective):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} proactivity and enableAffectiveDialog are not supported.")


def _full(model: str) -> str:
    return model if model.startswith("models/") else f"models/{model}"


def _check_extended(setup: Setup) -> None:
    if any(function.behavior is Behavior.BLOCKING for function in setup.functions.values()):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} Functions cannot be BLOCKING.")
    if (setup.thinking_level is None) != setup.has_thinking_budget:
        raise WireError(INVALID, f"{INVALID_ARGUMENT} Either thinkingLevel or thinkingBudget is required.")
    if setup.thinking_level is not None and setup.thinking_level.upper() not in _LEVELS:
        raise WireError(INVALID, f"{INVALID_ARGUMENT} thinkingLevel takes {', '.join(_LEVELS)}.")
