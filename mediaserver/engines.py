"""Creates the engine that the settings name: Gemini Live, or the embedded local engine."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loguru import logger

from mediaserver.localengine.packages import PackagesMissingError, check_packages
from mediaserver.session_factory import EngineClient
from mediaserver.settings import Settings, SettingsError
from pipeline.audio.vad import VadModel
from pipeline.errors import MediaError
from pipeline.gemini.bridge import make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.screen.ocr import Ocr, is_available

if TYPE_CHECKING:
    from mediaserver.localengine.responder.interface import Responder


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """The engine of this server, ready for sessions."""

    client: EngineClient
    is_healthy: Callable[[], Coroutine[Any, Any, bool]]
    example_questions: tuple[str, ...] = ()
    """Questions the local engine can answer; empty where any question may be asked."""
    screen_reader: Ocr | None = None
    """The one OCR of this server, which reads frames for guides too; None without its packages."""


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

    responder = await _responder(settings, stack, reader)
    local = await stack.enter_async_context(LocalEngine(responder, vad=vad))
    sdk = make_client(api_key="local", base_url=local.base_url, ssl_context=local.client_ssl)
    client = EngineClient("local", sdk, LOCAL, None, settings.media_resolution)

    async def is_healthy() -> bool:
        return local.is_serving()

    questions = EXAMPLE_QUESTIONS if settings.local_engine_script is None else ()
    return RunningEngine(client, is_healthy, questions, screen_reader=reader)


async def _responder(settings: Settings, stack: AsyncExitStack, reader: Ocr | None) -> "Responder":
    from mediaserver.localengine.responder.local import LocalResponder
    from mediaserver.localengine.responder.scripted import ScriptError, load_script

    if settings.local_engine_script is not None:
        try:
            scripted = load_script(settings.local_engine_script)
        except (ScriptError, OSError) as error:
            raise SettingsError([f"LOCAL_ENGINE_SCRIPT: {error}"]) from None
        stack.push_async_callback(scripted.close)
        _start_warm_up(stack, scripted.start)
        return scripted
    assert reader is not None  # its packages are among those that the local engine requires
    responder = LocalResponder(reader)
    stack.push_async_callback(responder.close)
    _start_warm_up(stack, responder.start, reader.warm)
    return responder


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
