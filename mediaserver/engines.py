"""Creates the engine that the settings name: Gemini Live, or the embedded local engine."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loguru import logger

from mediaserver.localengine.packages import PackagesMissingError, check_packages
from mediaserver.session_factory import EngineClient
from mediaserver.settings import Settings, SettingsError
from pipeline.audio.vad import VadModel
from pipeline.errors import FaultCode, MediaError
from pipeline.events import Fault, LanguageModel
from pipeline.gemini.bridge import make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.screen.ocr import Ocr, is_available
from pipeline.screen.read_text import ReadText
from pipeline.tools.toolbox import MAX_LABEL, Tool, ToolContext, ToolError

if TYPE_CHECKING:
    from mediaserver.localengine.responder.chat_model.config import ChatModelConfig
    from mediaserver.localengine.responder.chat_model.model import ChatModel, ChatModelStatus
    from mediaserver.localengine.responder.interface import Responder
    from mediaserver.localengine.responder.local import LocalResponder
    from mediaserver.localengine.responder.scripted import ScriptedResponder
    from mediaserver.localengine.responder.speech_to_text import SpeechToText
    from mediaserver.localengine.responder.voice.text_to_speech import TextToSpeech


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """The engine of this server, ready for sessions."""

    client: EngineClient
    is_healthy: Callable[[], Coroutine[Any, Any, bool]]
    example_questions: tuple[str, ...] = ()
    """Questions the local engine can answer; empty where any question may be asked."""
    screen_reader: Ocr | None = None
    """The one OCR of this server, which reads frames for guides too; None without its packages."""
    read_words: Callable[[bytes], Awaitable[tuple[ReadText, ...]]] | None = None
    """Reads the text on a frame; None where the engine sees pictures."""
    language_model_status: "Callable[[], ChatModelStatus] | None" = None
    """The state of the operator's own model, if it answers."""


async def start_engine(settings: Settings, vad: VadModel, stack: AsyncExitStack) -> RunningEngine:
    """Start the engine; `stack` stops it. Raises `SettingsError` for a script that cannot be used."""
    reader = Ocr() if is_available() else None
    if reader is not None:
        stack.push_async_callback(reader.close)
    if settings.uses_gemini:
        return _gemini(settings, reader)
    return await _local(settings, vad, stack, reader)


def _gemini(settings: Settings, reader: Ocr | None) -> RunningEngine:
    trusted = ssl.create_default_context(cafile=settings.gemini_ca_file) if settings.gemini_ca_file else None
    sdk = make_client(api_key=settings.key, base_url=settings.gemini_base_url, ssl_context=trusted)
    client = EngineClient(
        "gemini", sdk, settings.gemini_model, settings.gemini_voice, settings.media_resolution, settings.instructions
    )

    async def is_healthy() -> bool:
        return True  # the first session proves the key; a probe here would be billed

    return RunningEngine(client, is_healthy, screen_reader=reader)


async def _local(settings: Settings, vad: VadModel, stack: AsyncExitStack, reader: Ocr | None) -> RunningEngine:
    try:
        check_packages()
    except PackagesMissingError as error:
        raise SettingsError([f"{error}; or set GEMINI_API_KEY"]) from None
    # Imported here, so that a server that talks to Gemini does without the packages.
    from mediaserver.localengine.responder.local import EXAMPLE_QUESTIONS
    from mediaserver.localengine.server import LocalEngine

    chat: ChatModel | None = None
    voice = _voice(settings)
    assert reader is not None  # its packages are among those that the local engine requires
    if settings.local_engine_script is not None:
        responder: Responder = _scripted(settings.local_engine_script, voice, stack)
    else:
        chat = await _chat(settings, reader, stack)
        responder = _rules(settings, reader, chat, voice, stack)
    local = await stack.enter_async_context(LocalEngine(responder, vad=vad))
    sdk = make_client(api_key="local", base_url=local.base_url, ssl_context=local.client_ssl)
    client = EngineClient(
        "local",
        sdk,
        LOCAL,
        None,
        settings.media_resolution,
        settings.instructions if chat else "",
        None if chat is None else LanguageModel(chat.status.model, chat.status.host),
    )

    async def is_healthy() -> bool:
        return local.is_serving()

    read_words = None if settings.local_engine_script is not None else reader.read
    if chat is not None:
        return RunningEngine(
            client,
            is_healthy,
            screen_reader=reader,
            read_words=read_words,
            language_model_status=lambda: chat.status,
        )
    examples = EXAMPLE_QUESTIONS if settings.local_engine_script is None else ()
    return RunningEngine(client, is_healthy, examples, reader, read_words)


def _scripted(script: Path, voice: "TextToSpeech", stack: AsyncExitStack) -> "ScriptedResponder":
    from mediaserver.localengine.responder.scripted import ScriptError, load_script

    try:
        scripted = load_script(script, voice=voice)
    except (ScriptError, OSError) as error:
        raise SettingsError([f"LOCAL_ENGINE_SCRIPT: {error}"]) from None
    stack.push_async_callback(scripted.close)
    _start_warm_up(stack, scripted.start)
    return scripted


def _rules(
    settings: Settings, ocr: Ocr, chat: "ChatModel | None", voice: "TextToSpeech", stack: AsyncExitStack
) -> "LocalResponder":
    from mediaserver.localengine.responder.local import LocalResponder

    responder = LocalResponder(ocr, chat=chat, voice=voice, speech_to_text=_speech_to_text(settings))
    stack.push_async_callback(responder.close)
    _start_warm_up(stack, responder.start, ocr.warm)
    return responder


def _speech_to_text(settings: Settings) -> "SpeechToText":
    from mediaserver.localengine.responder.speech_to_text import WhisperSpeechToText
    from mediaserver.localengine.responder.transcription_service import TranscriptionService

    if settings.local_stt_url is None or settings.local_stt_model is None:
        return WhisperSpeechToText(settings.local_stt_dir)
    logger.info(
        "speech is transcribed elsewhere", model=settings.local_stt_model, host=urlsplit(settings.local_stt_url).netloc
    )
    key = settings.local_stt_key.get_secret_value() if settings.local_stt_key else None
    return TranscriptionService(settings.local_stt_url, model=settings.local_stt_model, key=key)


def _voice(settings: Settings) -> "TextToSpeech":
    from mediaserver.localengine.responder.voice.neural import VoiceError, find_model
    from mediaserver.localengine.responder.voice.speech_server import SpeechServerConfig
    from mediaserver.localengine.responder.voice.text_to_speech import TextToSpeech, VoiceConfig

    if settings.local_voice_dir is not None:
        try:
            find_model(settings.local_voice_dir)
        except VoiceError as error:
            raise SettingsError([f"LOCAL_VOICE_DIR: {error}"]) from None
    server = None
    if settings.local_tts_url is not None:
        key = settings.local_tts_key.get_secret_value() if settings.local_tts_key else ""
        server = SpeechServerConfig(settings.local_tts_url, settings.local_tts_model, settings.local_tts_voice, key)
    return TextToSpeech(VoiceConfig(settings.local_voice_dir, server))


async def _chat(settings: Settings, ocr: Ocr, stack: AsyncExitStack) -> "ChatModel | None":
    if settings.local_llm_url is None or settings.local_llm_model is None:
        return None
    from mediaserver.localengine.responder.chat_model.config import ChatModelConfig

    key = settings.local_llm_key.get_secret_value() if settings.local_llm_key else ""
    config = ChatModelConfig(settings.local_llm_url, settings.local_llm_model, key, settings.local_llm_images)
    chat = await asyncio.to_thread(_make_chat, config, ocr)
    stack.push_async_callback(chat.close)
    _start_warm_up(stack, chat.start)
    return chat


def _make_chat(config: "ChatModelConfig", ocr: Ocr) -> "ChatModel":
    from mediaserver.localengine.responder.chat_model.model import ChatModel

    return ChatModel(config, ocr)


def engine_tools(settings: Settings) -> tuple[Tool, ...]:
    """List the functions that the engine of these settings needs of a conversation."""
    answers_by_rules_or_model = not settings.uses_gemini and settings.local_engine_script is None
    return (_FAULT_REPORT,) if answers_by_rules_or_model else ()


def _report_fault(args: Mapping[str, object], _: ToolContext) -> Fault:
    try:
        code = FaultCode(str(args.get("code")))
    except ValueError:
        raise ToolError("`code` is a fault code.") from None
    if not code.startswith(("LLM_", "STT_")):
        raise ToolError("`code` is one of those that begin with LLM_ or STT_.")
    return Fault(code, str(args.get("message", ""))[:MAX_LABEL])


# The protocol has no message for an error that is no reason to close the connection, but it has function calls.
_FAULT_REPORT = Tool(
    "report_fault",
    "Tell the user's client that the language model or the speech recognition failed.",
    {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        "required": ["code", "message"],
    },
    _report_fault,
)


def _start_warm_up(stack: AsyncExitStack, *steps: Callable[[], Awaitable[None]]) -> None:
    # In the background: a question that comes before the end of it waits for the rest.
    task = asyncio.create_task(_warm_up(steps), name="warming the local engine")
    stack.callback(task.cancel)


async def _warm_up(steps: Iterable[Callable[[], Awaitable[None]]]) -> None:
    try:
        for step in steps:
            await step()
    except MediaError as error:
        logger.error("the local engine cannot work", reason=error.message, where=error.where)
