"""Capabilities of each model, so that no setup holds a setting that its model refuses."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from google.genai import types

from pipeline.engine import EngineConfig, Function

LOCAL = "local"
"""The id of the embedded engine's model."""


class FunctionCallingMode(Enum):
    """Modes of function calling."""

    PLAIN = auto()  # blocking, or as the model prefers: the setup does not say
    NON_BLOCKING = auto()  # the model continues to speak, but takes no scheduling of responses
    SCHEDULED = auto()  # the model continues to speak, and says nothing about SILENT responses


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Capabilities of one family of models. The defaults are the least that works with all of them."""

    coverage: types.TurnCoverage | None = None
    takes_resolution: bool = False
    takes_voice: bool = False
    thinking: types.ThinkingLevel | None = None
    function_calling: FunctionCallingMode = FunctionCallingMode.PLAIN
    takes_content: bool = False
    """Whether client_content is allowed at any time, and interrupts."""
    takes_history: bool = False
    """Whether client_content may begin a session with its history."""
    timed_transcript: bool = False
    """Whether the reply's text arrives between its audio exactly where the words begin."""
    sends_confidence: bool = False
    """Whether grounding metadata beside the user's transcript holds the transcript's confidence."""


_ALL_VIDEO = types.TurnCoverage.TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO

_PROFILES = {
    LOCAL: ModelProfile(
        coverage=_ALL_VIDEO,
        takes_resolution=True,
        takes_voice=True,
        function_calling=FunctionCallingMode.SCHEDULED,
        takes_content=True,
        takes_history=True,
        timed_transcript=True,
        sends_confidence=True,
    ),
    "gemini-3.8-live": ModelProfile(
        coverage=_ALL_VIDEO,
        takes_resolution=True,
        takes_voice=True,
        function_calling=FunctionCallingMode.SCHEDULED,
        takes_content=True,
        takes_history=True,
    ),
    "gemini-3.8-live-extended-thinking": ModelProfile(
        coverage=_ALL_VIDEO,
        takes_resolution=True,
        takes_voice=True,
        thinking=types.ThinkingLevel.LOW,  # required; a higher level means longer silence
        function_calling=FunctionCallingMode.NON_BLOCKING,
        takes_content=True,
        takes_history=True,
    ),
    # With the default coverage this model got no input when the client marks the activity.
    "gemini-3.1-flash-live": ModelProfile(
        coverage=types.TurnCoverage.TURN_INCLUDES_ALL_INPUT,
        takes_resolution=True,
        takes_voice=True,
        takes_history=True,
    ),
    "gemini-2.5-flash-native-audio": ModelProfile(
        coverage=types.TurnCoverage.TURN_INCLUDES_ALL_INPUT,
        takes_resolution=True,
        takes_voice=True,
        function_calling=FunctionCallingMode.SCHEDULED,
    ),
}

# Shut down, or for translation and transcription only.
_UNFIT = ("gemini-2.0-flash-live", "gemini-live-2.5-flash-preview", "gemini-1.", "translate", "transcribe")
_LIVE_ID = re.compile(r"(?=.*(live|native-audio))[a-z0-9][a-z0-9._-]{0,99}")

# Google's own example of a cap: without explicit values nothing is ever compressed, and the whole context is billed
# again with every turn.
_TRIGGER_TOKENS = 25_600
_TARGET_TOKENS = 12_800
_COMPRESSION = types.ContextWindowCompressionConfig(
    trigger_tokens=_TRIGGER_TOKENS, sliding_window=types.SlidingWindow(target_tokens=_TARGET_TOKENS)
)


def profile_of(model: str) -> ModelProfile:
    """Return the profile with the longest id that `model` begins with; an unknown model gets the least."""
    known = [prefix for prefix in _PROFILES if _name(model).startswith(prefix) and _is_known(model, prefix)]
    return _PROFILES[max(known, key=len)] if known else ModelProfile()


def resolve_model(requested: str | None, default: str) -> tuple[str, bool]:
    """Return the model to use, and whether it replaces a retired or unfit one that was requested."""
    if not requested or _name(requested) == _name(default):
        return default, False
    name = _name(requested)
    is_fit = _LIVE_ID.fullmatch(name) is not None and not any(part in name for part in _UNFIT)
    # The embedded engine serves its own model only, and Google does not serve that one.
    if not is_fit or LOCAL in (name, _name(default)):
        return default, True
    return name, False


def reduced_profile(profile: ModelProfile) -> ModelProfile:
    """Return the profile for a service that has refused all of it: only what no session can do without."""
    return ModelProfile(
        thinking=profile.thinking,
        timed_transcript=profile.timed_transcript,
        sends_confidence=profile.sends_confidence,
    )


def check_declaration(function: Function) -> None:
    """Raise ValueError or AttributeError if `function` uses more of JSON Schema than functions may."""
    # pydantic's ValidationError is a ValueError; on a list of types the SDK raises AttributeError.
    _declaration(function, None)


def setup_of(
    config: EngineConfig,
    profile: ModelProfile,
    *,
    handle: str | None = None,
    recap: str = "",
    has_history: bool = False,
    is_minimal: bool = False,
) -> types.LiveConnectConfig:
    """Build the setup of one session: the settings of `config`, as far as `profile` takes them.

    `handle` resumes an older session; `recap` is added to the instructions; `has_history` announces the history as the
    first content; `is_minimal` leaves out everything that a service might not know.
    """
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        system_instruction="\n\n".join(filter(None, (_instructions(config), recap))),
        speech_config=_speech(config.voice) if profile.takes_voice else None,
        media_resolution=_resolution(config.media_resolution) if profile.takes_resolution else None,
        thinking_config=types.ThinkingConfig(thinking_level=profile.thinking) if profile.thinking else None,
        tools=_tools(config.tools, profile),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(disabled=True),
            activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
            turn_coverage=profile.coverage,
        ),
        # Even an empty config requests handles.
        session_resumption=None if is_minimal else types.SessionResumptionConfig(handle=handle),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if has_history else None,
        context_window_compression=None if is_minimal else _COMPRESSION,
    )


def _name(model: str) -> str:
    return model.strip().lower().removeprefix("models/")


def _is_known(model: str, prefix: str) -> bool:
    # "local" is a whole name; "gemini-3.8-live" begins dated and tuned ones too.
    return prefix != LOCAL or _name(model) == LOCAL


def _instructions(config: EngineConfig) -> str:
    # Live models follow no language code, but an instruction in words.
    if not config.language:
        return config.instructions
    return f"{config.instructions}\n\nAnswer in the language {config.language!r}, whatever language you hear.".strip()


def _speech(voice: str | None) -> types.SpeechConfig | None:
    if not voice:
        return None
    return types.SpeechConfig(
        voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice))
    )


def _resolution(name: str) -> types.MediaResolution:
    return types.MediaResolution(f"MEDIA_RESOLUTION_{name.upper()}")


def _tools(functions: tuple[Function, ...], profile: ModelProfile) -> types.ToolListUnion | None:
    if not functions:
        return None
    behavior = None if profile.function_calling is FunctionCallingMode.PLAIN else types.Behavior.NON_BLOCKING
    return [types.Tool(function_declarations=[_declaration(function, behavior) for function in functions])]


def _declaration(function: Function, behavior: types.Behavior | None) -> types.FunctionDeclaration:
    # `parameters` and not `parameters_json_schema`: every model takes it.
    return types.FunctionDeclaration(
        name=function.name,
        description=function.description,
        parameters=types.Schema.model_validate(function.parameters),
        behavior=behavior,
    )
