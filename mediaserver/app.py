"""The composition root: reads the settings, knows every class, and passes plain values down."""

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import AsyncIterator
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
from mediaserver.localengine.script import ScriptedBrain
from mediaserver.localengine.server import LocalEngine
from mediaserver.registry import Registry
from mediaserver.settings import Settings, secret_from
from mediaserver.webrtc.routes import Whip
from pipeline.gemini import make_client
from pipeline.ticker import Ticker
from pipeline.turn import TurnSettings
from pipeline.vad import VadModel

MAX_BODY = 1 << 20
TURN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine in use, and what ends with the server."""

    link: EngineLink
    is_well: Check
    can_be_asked: tuple[str, ...]
    local: LocalEngine | None
    brain: LocalBrain | None

    async def close(self) -> None:
        """Stop the embedded engine, if there is one."""
        if self.local is not None:
            await self.local.close()
        if self.brain is not None:
            await self.brain.close()


async def make_app(settings: Settings) -> web.Application:
    """A server that is ready to listen: its engine runs, its models are loaded."""
    vad = await asyncio.to_thread(VadModel)
    engine = await _start_engine(settings)
    registry = Registry(max_sessions=settings.max_sessions, max_per_user=settings.max_sessions_per_user)
    lobby = Lobby(registry, engine.link, _house(settings), vad, Ticker())
    tokens = Tokens(secret_from(settings))
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)

    async def vad_is_well() -> bool:
        return True  # a server whose VAD did not load never gets here

    Page(engine=engine.link.name, model=engine.link.default_model, can_be_asked=engine.can_be_asked).add_routes(app)
    Health(engine.link.name, {"engine": engine.is_well, "vad": vad_is_well}).add_routes(app)
    allowed = settings.allow_guests
    Guests(
        tokens,
        Limiter(settings.limit(settings.rate_limit_api)),
        are_allowed=not settings.is_production if allowed is None else allowed,
        loopback_only=allowed is None and settings.uses_gemini,
    ).add_routes(app)
    Sessions(registry, tokens, Limiter(settings.limit(settings.rate_limit_api))).add_routes(app)
    whip = Whip(lobby, tokens, Limiter(settings.limit(settings.rate_limit_offer)), ice_servers=_ice_servers(settings))
    whip.add_routes(app)

    async def live(_: web.Application) -> AsyncIterator[None]:
        yield
        await engine.close()

    async def drain(_: web.Application) -> None:
        await registry.drain(settings.shutdown_grace_seconds)
        await whip.close()

    app.cleanup_ctx.append(live)
    app.on_shutdown.append(drain)
    return app


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What TLS_CERT and TLS_KEY make, or None for plain HTTP."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


async def _start_engine(settings: Settings) -> Engine:
    return _gemini(settings) if settings.uses_gemini else await _local(settings)


def _gemini(settings: Settings) -> Engine:
    trusted = ssl.create_default_context(cafile=settings.gemini_ca_file) if settings.gemini_ca_file else None
    client = make_client(api_key=settings.key, base_url=settings.gemini_base_url, ssl_context=trusted)
    link = EngineLink(
        "gemini", client, settings.gemini_model, settings.gemini_voice, settings.media_resolution, settings.instructions
    )

    async def is_well() -> bool:
        return True  # the key is proven by the first session; a probe here would be billed

    return Engine(link, is_well, (), None, None)


async def _local(settings: Settings) -> Engine:
    script = settings.local_engine_script
    brain = None if script else LocalBrain()
    local = LocalEngine(ScriptedBrain.load(script) if script else brain)
    await local.start()
    if brain is not None:
        brain.warm()
    client = make_client(api_key="local", base_url=local.base_url, ssl_context=local.client_ssl)

    async def is_well() -> bool:
        return local.is_serving

    link = EngineLink("local", client, "local", None, settings.media_resolution)
    logger.info("local engine started", at=local.base_url, scripted=script is not None)
    return Engine(link, is_well, () if script else CAN_BE_ASKED, local, brain)


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
