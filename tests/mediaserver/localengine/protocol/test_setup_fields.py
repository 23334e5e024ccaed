"""What a setup may hold, whole and by model (statement 10)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.genai import errors, types
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from mediaserver.localengine.protocol.codec import WireError, parse
from mediaserver.localengine.protocol.fields import FIELDS
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from tests.support.live_client import open_session

NEWEST = "gemini-3.8-live"
EXTENDED = "gemini-3.8-live-extended-thinking"
PREVIEW = "gemini-3.1-flash-live-preview"
SDK: dict[str, type[BaseModel]] = {
    "message": types.LiveClientMessage,
    "setup": types.LiveClientSetup,
    "generationConfig": types.GenerationConfig,
    "speechConfig": types.SpeechConfig,
    "thinkingConfig": types.ThinkingConfig,
    "systemInstruction": types.Content,
    "sessionResumption": types.SessionResumptionConfig,
    "contextWindowCompression": types.ContextWindowCompressionConfig,
    "slidingWindow": types.SlidingWindow,
    "inputAudioTranscription": types.AudioTranscriptionConfig,
    "outputAudioTranscription": types.AudioTranscriptionConfig,
    "realtimeInputConfig": types.RealtimeInputConfig,
    "automaticActivityDetection": types.AutomaticActivityDetection,
    "proactivity": types.ProactivityConfig,
    "historyConfig": types.HistoryConfig,
    "tools": types.Tool,
    "functionDeclarations": types.FunctionDeclaration,
    "clientContent": types.LiveClientContent,
    "turns": types.Content,
    "parts": types.Part,
    "inlineData": types.Blob,
    "realtimeInput": types.LiveClientRealtimeInput,
    "mediaChunks": types.Blob,
    "audio": types.Blob,
    "video": types.Blob,
    "toolResponse": types.LiveClientToolResponse,
    "functionResponses": types.FunctionResponse,
}


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(parse_script("rules: []"), vad=vad) as engine:
        yield engine


@pytest.mark.parametrize("name", sorted(SDK))
def test_every_field_of_the_sdk_is_known(name: str) -> None:
    # `setup` is what LiveConnectConfig becomes: its realtimeInputConfig is no field of the SDK's LiveClientSetup.
    assert {to_camel(field) for field in SDK[name].model_fields} <= set(FIELDS[name].split())


@pytest.mark.parametrize(
    ("setup", "where"),
    [
        ({"modle": ""}, "setup"),
        ({"generationConfig": {"modle": ""}}, "setup.generationConfig"),
        ({"generationConfig": {"speechConfig": {"modle": ""}}}, "setup.generationConfig.speechConfig"),
        ({"generationConfig": {"thinkingConfig": {"modle": ""}}}, "setup.generationConfig.thinkingConfig"),
        ({"systemInstruction": {"modle": ""}}, "setup.systemInstruction"),
        ({"systemInstruction": {"parts": [{"modle": ""}]}}, "setup.systemInstruction.parts"),
        ({"tools": [{"modle": ""}]}, "setup.tools"),
        ({"tools": [{"functionDeclarations": [{"modle": ""}]}]}, "setup.tools.functionDeclarations"),
        ({"sessionResumption": {"modle": ""}}, "setup.sessionResumption"),
        ({"contextWindowCompression": {"modle": ""}}, "setup.contextWindowCompression"),
        ({"contextWindowCompression": {"slidingWindow": {"modle": ""}}}, "contextWindowCompression.slidingWindow"),
        ({"inputAudioTranscription": {"modle": ""}}, "setup.inputAudioTranscription"),
        ({"outputAudioTranscription": {"modle": ""}}, "setup.outputAudioTranscription"),
        ({"realtimeInputConfig": {"modle": ""}}, "setup.realtimeInputConfig"),
        (
            {"realtimeInputConfig": {"automaticActivityDetection": {"modle": ""}}},
            "realtimeInputConfig.automaticActivityDetection",
        ),
        ({"proactivity": {"modle": ""}}, "setup.proactivity"),
        ({"historyConfig": {"modle": ""}}, "setup.historyConfig"),
    ],
)
def test_an_unknown_field_is_refused_by_its_name_and_place(setup: dict[str, object], where: str) -> None:
    with pytest.raises(WireError, match='Unknown name "modle"') as caught:
        parse(json.dumps({"setup": {"model": "local", **setup}}))
    assert caught.value.code == 1007
    assert where in caught.value.reason


@pytest.mark.parametrize(
    "message",
    [
        {"hello": {}},
        {"clientContent": {"hello": 1}},
        {"clientContent": {"turns": [{"hello": 1}]}},
        {"clientContent": {"turns": [{"parts": [{"hello": 1}]}]}},
        {"realtimeInput": {"hello": 1}},
        {"realtimeInput": {"audio": {"hello": 1}}},
        {"realtimeInput": {"mediaChunks": [{"hello": 1}]}},
        {"toolResponse": {"hello": 1}},
        {"toolResponse": {"functionResponses": [{"hello": 1}]}},
        {"contextUpdate": {"hello": 1}},
        {"contextUpdate": {"tools": {"hello": []}}},
    ],
)
def test_unknown_fields_of_other_messages_are_refused_too(message: dict[str, object]) -> None:
    with pytest.raises(WireError, match='Unknown name "hello"'):
        parse(json.dumps(message))


RICH = {
    "system_instruction": "Be brief.",
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40.0,
    "max_output_tokens": 1024,
    "seed": 1,
    "media_resolution": types.MediaResolution.MEDIA_RESOLUTION_LOW,
    "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}, "language_code": "en-US"},
    "tools": [{"google_search": {}}, {"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
    "session_resumption": {},
    "context_window_compression": {"trigger_tokens": 25_600, "sliding_window": {"target_tokens": 12_800}},
    "realtime_input_config": {
        "automatic_activity_detection": {
            "disabled": False,
            "start_of_speech_sensitivity": "START_SENSITIVITY_LOW",
            "end_of_speech_sensitivity": "END_SENSITIVITY_HIGH",
            "prefix_padding_ms": 20,
            "silence_duration_ms": 100,
        },
        "activity_handling": "START_OF_ACTIVITY_INTERRUPTS",
        "turn_coverage": "TURN_INCLUDES_ONLY_ACTIVITY",
    },
    "history_config": {"initial_history_in_client_content": True},
}


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("local", {}),
        (NEWEST, {"proactivity": {"proactive_audio": True}}),
        (EXTENDED, {"thinking_config": {"thinking_level": "HIGH"}}),
        (EXTENDED, {"thinking_config": {"thinking_budget": 100}}),
        (PREVIEW, {"thinking_config": {"thinking_level": "MINIMAL"}}),
        ("gemini-2.5-flash-native-audio-preview-12-2025", {"thinking_config": {"thinking_budget": 0}}),
        ("gemini-2.5-flash-native-audio-preview-12-2025", {"enable_affective_dialog": True}),
    ],
)
async def test_whatever_the_sdk_can_ask_for_is_accepted_from_a_model_that_has_it(
    engine: LocalEngine, model: str, more: dict[str, Any]
) -> None:
    wanted: dict[str, Any] = {**RICH, **more}
    async with open_session(engine, model=model, **wanted):
        pass


@pytest.mark.parametrize(
    ("model", "config", "named"),
    [
        (NEWEST, {"thinking_config": {"thinking_level": "LOW"}}, "thinkingLevel"),
        (NEWEST, {"proactivity": {"proactive_audio": False}}, "proactiveAudio"),
        (NEWEST, {"enable_affective_dialog": True}, "enableAffectiveDialog"),
        (EXTENDED, {}, "thinkingLevel"),
        (EXTENDED, {"thinking_config": {"thinking_level": "MINIMAL"}}, "thinkingLevel"),
        (EXTENDED, {"thinking_config": {"thinking_level": "LOW", "thinking_budget": 1}}, "thinkingBudget"),
        (
            EXTENDED,
            {
                "thinking_config": {"thinking_level": "LOW"},
                "tools": [{"function_declarations": [{"name": "f", "behavior": "BLOCKING"}]}],
            },
            "BLOCKING",
        ),
        (PREVIEW, {"proactivity": {"proactive_audio": True}}, "proactivity"),
        (PREVIEW, {"enable_affective_dialog": True}, "enableAffectiveDialog"),
    ],
)
async def test_what_a_model_does_not_have_is_refused_by_name(
    engine: LocalEngine, model: str, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.APIError, match=named) as caught:
        async with open_session(engine, model=model, **config):
            pass
    assert caught.value.code == 1007
