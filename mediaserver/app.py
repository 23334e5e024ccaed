"""The composition root: reads the settings, knows every class, and passes plain values down."""

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from loguru import logger

from mediaserver.api.guests import Guests
from mediaserver.api.health import Check, Health
from mediaserver.api.limiter import Limiter
from mediaserver.api.middleware import guard
from mediaserver.api.page import Page
from mediaserver.api.sessions import Sessions
from mediaserver.auth.tokens import Tokens
from mediaserver.lobby import EngineLink, House, Lobby
from mediaserver.localengine.answering import CAN_BE_ASKED, LocalBrain
from mediaserver.localengine.brain import Brain
from mediaserver.localengine.script import ScriptError, load_script
from mediaserver.localengine.server import LocalEngine
from mediaserver.registry import Registry
from mediaserver.rtc.config import Config, IceServer
from mediaserver.settings import Settings, SettingsError, secret_from
from mediaserver.webrtc.routes import Whip
from pipeline.errors import MediaError
from pipeline.gemini import LOCAL, make_client
from pipeline.media import AudioChunk
from pipeline.ocr import Ocr
from pipeline.ticker import Ticker
from pipeline.turn import TurnSettings
from pipeline.vad import SileroVad, VadModel

MAX_BODY = 1 << 20
TURN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine in use."""

    link: EngineLink
    is_well: Check
    can_be_asked: tuple[str, ...] = ()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[web.Application]:
    """A server that is ready to listen: its engine runs, its models are loaded; what it started ends with it."""
    vad = await asyncio.to_thread(VadModel)
    async with AsyncExitStack() as parts:
        engine = _gemini(settings) if settings.uses_gemini else await _local(settings, vad, parts)
        registry = Registry(max_sessions=settings.max_sessions, max_per_user=settings.max_sessions_per_user)
        lobby = Lobby(registry, engine.link, _house(settings), vad, Ticker())
        tokens = Tokens(secret_from(settings))
        whip = Whip(
            lobby,
            tokens,
            Limiter(settings.limit(settings.rate_limit_offer)),
            ice_servers=lambda: _ice_servers(settings),
            config=Config(_ice_servers(settings), lull=settings.vad_silence_ms / 1000),
        )

        async def drain(_: web.Application) -> None:
            await registry.drain(settings.shutdown_grace_seconds)
            await whip.close()

        app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
        Page(engine=engine.link.name, model=engine.link.default_model, can_be_asked=engine.can_be_asked).add_routes(app)
        Health(engine.link.name, {"engine": engine.is_well, "vad": lambda: _is_well(vad)}).add_routes(app)
        _guests(settings, tokens).add_routes(app)
        Sessions(registry, tokens, Limiter(settings.limit(settings.rate_limit_api))).add_routes(app)
        whip.add_routes(app)
        app.on_shutdown.append(drain)
        yield app


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What TLS_CERT and TLS_KEY make, or None for plain HTTP."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _gemini(settings: Settings) -> Engine:
    trusted = ssl.create_default_context(cafile=settings.gemini_ca_file) if settings.gemini_ca_file else None
    client = make_client(api_key=settings.key, base_url=settings.gemini_base_url, ssl_context=trusted)
    link = EngineLink(
        "gemini", client, settings.gemini_model, settings.gemini_voice, settings.media_resolution, settings.instructions
    )

    async def is_well() -> bool:
        return True  # the key is proven by the first session; a probe here would be billed

    return Engine(link, is_well)


async def _local(settings: Settings, vad: VadModel, parts: AsyncExitStack) -> Engine:
    brain = await _brain(settings, parts)
    local = await parts.enter_async_context(LocalEngine(brain, vad=vad))
    client = make_client(api_key="local", base_url=local.base_url, ssl_context=local.client_ssl)
    link = EngineLink("local", client, LOCAL, None, settings.media_resolution)

    async def is_well() -> bool:
        return local.is_serving()

    return Engine(link, is_well, CAN_BE_ASKED if settings.local_engine_script is None else ())


async def _brain(settings: Settings, parts: AsyncExitStack) -> Brain:
    if settings.local_engine_script is not None:
        try:
            return load_script(settings.local_engine_script)
        except (ScriptError, OSError) as error:
            raise SettingsError([f"LOCAL_ENGINE_SCRIPT: {error}"]) from None
    ocr = Ocr()
    parts.push_async_callback(ocr.close)
    brain = LocalBrain(ocr)
    parts.push_async_callback(brain.close)
    warming = asyncio.create_task(_warm(brain, ocr), name="warming the local engine")
    parts.callback(warming.cancel)
    return brain


async def _warm(brain: LocalBrain, ocr: Ocr) -> None:
    # In the background: whoever asks before it is done waits for the rest of it.
    try:
        await brain.start()
        await ocr.warm()
    except MediaError as error:
        logger.error("the local engine cannot work", reason=error.message, where=error.where)


async def _is_well(vad: VadModel) -> bool:
    try:
        list(SileroVad(vad).push(AudioChunk(bytes(1024), 16_000, 0.0)))
    except MediaError:
        return False
    return True


def _guests(settings: Settings, tokens: Tokens) -> Guests:
    allowed = settings.allow_guests
    return Guests(
        tokens,
        Limiter(settings.limit(settings.rate_limit_api)),
        are_allowed=not settings.is_production if allowed is None else allowed,
        loopback_only=allowed is None and settings.uses_gemini,
    )


def _house(settings: Settings) -> House:
    turns = TurnSettings(
        threshold=settings.vad_threshold,
        audible_threshold=max(0.7, settings.vad_threshold),
        start=settings.vad_start_ms / 1000,
        silence=settings.vad_silence_ms / 1000,
        pre_roll=settings.vad_pre_roll_ms / 1000,
    )
    return House(settings.session_idle_seconds, settings.session_max_seconds, settings.frame_max_side, turns)


def _ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    plain = tuple(IceServer((url,)) for url in settings.ice_servers)
    if not settings.turn_urls or settings.turn_secret is None:
        return plain
    # Time-limited credentials as coturn's use-auth-secret takes them (draft-uberti-behave-turn-rest-00).
    username = f"{int(time.time()) + TURN_SECONDS}:mediaserver"
    digest = hmac.new(settings.turn_secret.get_secret_value().encode(), username.encode(), hashlib.sha1).digest()
    return (*plain, IceServer(settings.turn_urls, username, base64.b64encode(digest).decode()))
