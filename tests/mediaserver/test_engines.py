"""The engine that the settings name."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from mediaserver.engines import start_engine
from mediaserver.localengine.responder.voice.speech_server import SpeechServerConfig
from mediaserver.localengine.responder.voice.text_to_speech import TextToSpeech, VoiceConfig
from mediaserver.settings import Settings, SettingsError, load
from pipeline.audio.vad import VadModel


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> list[VoiceConfig]:
    """The configurations that voices are made of."""
    seen: list[VoiceConfig] = []
    create = TextToSpeech.__init__

    def watch(self: TextToSpeech, config: VoiceConfig | None = None) -> None:
        assert config is not None
        seen.append(config)
        create(self, config)

    monkeypatch.setattr(TextToSpeech, "__init__", watch)
    return seen


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    script = tmp_path / "script.yaml"
    script.write_text("rules: [{when: anything, answer: [{tone: 440, seconds: 1}]}]")
    monkeypatch.setenv("ENGINE", "local")
    monkeypatch.setenv("LOCAL_ENGINE_SCRIPT", str(script))
    return load(None)


async def test_the_voice_is_the_configured_one(settings: Settings, configured: list[VoiceConfig]) -> None:
    there = {"local_tts_url": "http://localhost:1/v1", "local_tts_voice": "bella", "local_tts_key": SecretStr("key")}
    async with AsyncExitStack() as stack:
        await start_engine(settings.model_copy(update=there), VadModel(), stack)
        await start_engine(settings, VadModel(), stack)
    first, second = configured
    assert first.server == SpeechServerConfig("http://localhost:1/v1", "tts-1", "bella", "key")
    assert second == VoiceConfig()


async def test_a_folder_without_a_voice_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match=r"LOCAL_VOICE_DIR: .* holds 0 files"):
            await start_engine(settings.model_copy(update={"local_voice_dir": folder}), VadModel(), stack)
