import pytest
from google.genai import types

from pipeline.engine import EngineConfig
from pipeline.gemini.model_profiles import (
    FunctionCallingMode,
    ModelProfile,
    profile_of,
    reduced_profile,
    resolve_model,
    setup_of,
)
from pipeline.tools.toolbox import POINT_AT, SHOW_STEPS

DEFAULT = "gemini-3.8-live"


def setup(model: str, *, voice: str | None = "Kore", language: str | None = None) -> types.LiveConnectConfig:
    return setup_of(EngineConfig(model, voice, language, "Be brief.", "low", (POINT_AT, SHOW_STEPS)), profile_of(model))


def behaviors(config: types.LiveConnectConfig) -> set[types.Behavior | None]:
    (tool,) = config.tools or []
    assert isinstance(tool, types.Tool)
    return {declaration.behavior for declaration in tool.function_declarations or []}


def test_the_longest_prefix_wins() -> None:
    assert profile_of("gemini-3.8-live-extended-thinking").thinking is types.ThinkingLevel.LOW
    assert profile_of("gemini-3.8-live-extended-thinking-09-2026").thinking is types.ThinkingLevel.LOW
    assert profile_of("models/gemini-3.8-live-001").thinking is None


def test_the_local_engine_is_like_the_newest_model_with_its_words_in_time() -> None:
    local, newest = profile_of("local"), profile_of("gemini-3.8-live")
    assert local.timed_transcript
    assert not newest.timed_transcript
    assert (local.coverage, local.function_calling, local.takes_content) == (
        newest.coverage,
        newest.function_calling,
        newest.takes_content,
    )


def test_a_model_nobody_knows_is_sent_the_least() -> None:
    assert profile_of("gemini-9-live") == profile_of("localhost") == ModelProfile()
    config = setup("gemini-9-live")
    sent = config.model_dump(exclude_none=True)
    assert not sent.keys() & {"speech_config", "media_resolution", "thinking_config", "proactivity"}
    assert sent["realtime_input_config"].keys() == {"automatic_activity_detection", "activity_handling"}
    assert behaviors(config) == {None}


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.1-flash-live-preview", "local"])
def test_thinking_is_not_mentioned_to_models_that_refuse_it(model: str) -> None:
    sent = setup(model).model_dump(exclude_none=True)
    assert not sent.keys() & {"thinking_config", "proactivity", "enable_affective_dialog"}


def test_thinking_is_configured_where_it_must_be() -> None:
    config = setup("gemini-3.8-live-extended-thinking")
    assert config.thinking_config == types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
    assert profile_of("gemini-3.8-live-extended-thinking").function_calling is FunctionCallingMode.NON_BLOCKING
    assert behaviors(config) == {types.Behavior.NON_BLOCKING}


def test_a_model_whose_functions_block_is_not_told_otherwise() -> None:
    assert behaviors(setup("gemini-3.1-flash-live-preview")) == {None}


def test_the_language_is_asked_for_in_words() -> None:
    assert setup("local", language="de").system_instruction == (
        "Be brief.\n\nAnswer in the language 'de', whatever language you hear."
    )
    assert setup("local").system_instruction == "Be brief."


def test_without_a_voice_or_functions_none_is_sent() -> None:
    config = setup_of(EngineConfig("local", None, None, "", "high"), profile_of("local"))
    assert config.speech_config is None
    assert config.tools is None
    assert config.media_resolution is types.MediaResolution.MEDIA_RESOLUTION_HIGH


def test_a_minimal_setup_asks_for_nothing_that_a_service_might_not_know() -> None:
    config = EngineConfig("gemini-3.8-live", "Kore", None, "Be brief.", "low", (POINT_AT,))
    asked = setup_of(config, reduced_profile(profile_of(config.model)), is_minimal=True).model_dump(exclude_none=True)
    assert asked.keys() == {
        "response_modalities",
        "system_instruction",
        "tools",
        "input_audio_transcription",
        "output_audio_transcription",
        "realtime_input_config",
    }
    assert asked["realtime_input_config"].keys() == {"automatic_activity_detection", "activity_handling"}


def test_handles_are_always_asked_for_and_given_back() -> None:
    profile = profile_of("gemini-3.8-live")
    config = EngineConfig("gemini-3.8-live", None, None, "Be brief.", "low")
    assert setup_of(config, profile).session_resumption == types.SessionResumptionConfig()
    assert setup_of(config, profile, handle="h").session_resumption == types.SessionResumptionConfig(handle="h")


@pytest.mark.parametrize(
    "requested",
    [
        "gemini-1.5-flash",
        "gemini-1.5-pro",
        "gemini-2.0-flash",
        "gemini-2.5-flash",
        "gemini-3.5-pro",
        "gemini-2.0-flash-live-001",
        "gemini-live-2.5-flash-preview",
        "gemini-3.5-live-translate-preview",
        "gemini-3.5-transcribe-live",
        "gpt-4",
        "local",
        "live/../../secrets",
        "live" * 40,
    ],
)
def test_a_model_that_cannot_converse_is_replaced(requested: str) -> None:
    assert resolve_model(requested, DEFAULT) == (DEFAULT, True)


@pytest.mark.parametrize(
    "requested",
    [
        "gemini-3.8-live-extended-thinking",
        "gemini-3.1-flash-live-preview",
        "gemini-2.5-flash-native-audio-preview-12-2025",
        "gemini-live-2.5-flash-native-audio",
        "gemini-9-live",
    ],
)
def test_a_live_model_is_used_as_asked(requested: str) -> None:
    assert resolve_model(requested, DEFAULT) == (requested, False)
    assert resolve_model(f"models/{requested}", DEFAULT) == (requested, False)


@pytest.mark.parametrize("requested", [None, "", DEFAULT, f"models/{DEFAULT}"])
def test_the_default_is_no_replacement(requested: str | None) -> None:
    assert resolve_model(requested, DEFAULT) == (DEFAULT, False)


def test_the_local_engine_serves_only_its_own_model() -> None:
    assert resolve_model("gemini-3.8-live", "local") == ("local", True)
    assert resolve_model("local", "local") == ("local", False)
