"""The composition root: reads the settings, knows every class, and passes plain values down."""

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from loguru import logger

from mediaserver.api.cors import allow_origins, origin_is_allowed
from mediaserver.api.docs import Docs
from mediaserver.api.guests import Guests
from mediaserver.api.health import Check, Health
from mediaserver.api.livekit_token import LiveKitTokens
from mediaserver.api.metrics import MetricsPage, measure
from mediaserver.api.middleware import error_middleware
from mediaserver.api.page import Page
from mediaserver.api.rate_limit import Limiter
from mediaserver.api.route import add_routes
from mediaserver.api.sessions import History as HistoryRoutes
from mediaserver.api.sessions import Sessions
from mediaserver.api.users import Users
from mediaserver.api.whip_schemas import whip_routes
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.history_service import HistoryService
from mediaserver.jsonws.routes import JsonSocket
from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.livekit.media.media_link import MediaLink
from mediaserver.livekit.service.server import LiveKit
from mediaserver.localengine.packages import PackagesMissingError, check_packages
from mediaserver.metrics import LoopLag, Metrics
from mediaserver.plugins import load_toolbox
from mediaserver.registry import Registry
from mediaserver.rtc.config import Config, IceServer
from mediaserver.session_factory import EngineClient, Observe, ServerDefaults, SessionFactory
from mediaserver.settings import Settings, SettingsError, livekit_keys, secret_from
from mediaserver.store.sql_store import open_store
from mediaserver.webrtc.routes import Whip
from pipeline.audio.turn_detector import TurnSettings
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.conversation.conversation import Conversation
from pipeline.conversation.peer_group import Observer
from pipeline.errors import MediaError
from pipeline.events import Event, SessionEnded, StateChanged
from pipeline.gemini.bridge import make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.media import AudioChunk
from pipeline.playout.frame_clock import FrameClock
from pipeline.screen.ocr import Ocr

if TYPE_CHECKING:
    from mediaserver.localengine.responder.interface import Responder

MAX_BODY = 1 << 20
TURN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine in use."""

    link: EngineClient
    is_well: Check
    can_be_asked: tuple[str, ...] = ()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[web.Application]:
    """A server that is ready to listen: its engine runs, its models are loaded; what it started ends with it.

    Raises `SettingsError`, `StoreError` or `MediaError` when it cannot be made.
    """
    vad = await asyncio.to_thread(VadModel)
    async with AsyncExitStack() as parts:
        metrics = Metrics()
        await parts.enter_async_context(LoopLag(metrics))
        toolbox = load_toolbox(settings.tools)
        registry = Registry(max_sessions=settings.max_sessions, max_per_user=settings.max_sessions_per_user)
        history = await _history(settings, registry, parts)
        engine = _gemini(settings) if settings.uses_gemini else await _local(settings, vad, parts)
        lobby = SessionFactory(
            registry,
            engine.link,
            _server_defaults(settings),
            vad,
            FrameClock(),
            toolbox=toolbox,
            defaults=history.defaults,
            observers=(*history.observers, _counting(metrics)),
        )
        yield _application(settings, parts, lobby, registry, engine, history, metrics, vad)


def _application(
    settings: Settings,
    parts: AsyncExitStack,
    lobby: SessionFactory,
    registry: Registry,
    engine: Engine,
    history: HistoryService,
    metrics: Metrics,
    vad: VadModel,
) -> web.Application:
    tokens = Tokens(secret_from(settings))
    passwords = Passwords()
    parts.callback(passwords.close)
    accounts = Accounts(history.store, tokens, passwords)
    api_limiter = Limiter(settings.limit(settings.rate_limit_api))
    offer_limiter = Limiter(settings.limit(settings.rate_limit_offer))
    whip = Whip(
        lobby,
        tokens,
        offer_limiter,
        ice_servers=lambda: _ice_servers(settings),
        config=Config(_ice_servers(settings), lull=settings.vad_silence_ms / 1000),
    )
    sockets = JsonSocket(
        lobby,
        tokens,
        offer_limiter,
        origin_is_allowed=lambda request: origin_is_allowed(request, settings.cors_origins),
    )
    livekit_key, livekit_secret = livekit_keys(settings) or (None, None)
    livekit: LiveKit | None = None
    if livekit_key is not None and livekit_secret is not None:
        livekit = _livekit(settings, lobby, offer_limiter, tokens, livekit_key, livekit_secret)

    async def drain(_: web.Application) -> None:
        await registry.drain(settings.shutdown_grace_seconds)
        await asyncio.gather(whip.close(), sockets.close())
        if livekit is not None:
            await livekit.close()

    app = web.Application(middlewares=[measure(metrics), error_middleware], client_max_size=MAX_BODY)
    page = Page(
        engine=engine.link.name,
        model=engine.link.default_model,
        can_be_asked=engine.can_be_asked,
        is_registration_open=_is_registration_open(settings),
        history_days=settings.history_days,
    )
    checks = {"database": history.is_well, "engine": engine.is_well, "vad": lambda: _is_healthy(vad)}
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    is_open = not settings.is_production and token is None
    users = Users(
        accounts,
        tokens,
        login_limiter=Limiter(settings.limit(settings.rate_limit_login)),
        api_limiter=api_limiter,
        is_registration_open=_is_registration_open(settings),
        on_leaving=history.end_sessions_of,
    )
    routes = [
        *Health(engine.link.name, checks).routes(),
        *MetricsPage(metrics, token=token, is_open=is_open).routes(),
        *_guests(settings, accounts).routes(),
        *users.routes(),
        *HistoryRoutes(registry, history.store, tokens, api_limiter, flush=history.writer.flush).routes(),
        *Sessions(registry, tokens, api_limiter).routes(),
        *LiveKitTokens(tokens, api_limiter, api_key=livekit_key, api_secret=livekit_secret).routes(),
        *whip_routes(offer=whip.offer, trickle=whip.trickle, leave=whip.leave, options=whip.options),
    ]
    page.add_routes(app)
    add_routes(app, routes)
    sockets.add_routes(app)
    if livekit is not None:
        livekit.add_routes(app)
    Docs([*page.routes(), *routes]).add_routes(app)
    allow_origins(app, settings.cors_origins, open_to_all=("/", "/rtc", "/twirp/"))
    app.on_shutdown.append(drain)
    return app


def _livekit(
    settings: Settings, lobby: SessionFactory, limiter: Limiter, tokens: Tokens, key: str, secret: str
) -> LiveKit:
    config = Config(_ice_servers(settings), lull=settings.vad_silence_ms / 1000)
    chronicles = TranscriptLogs()
    lobby.add_observer(lambda _owner, _transport, conversation: chronicles.observe(conversation))
    return LiveKit(
        lobby,
        limiter,
        keys={key: secret},
        chronicles=chronicles,
        is_gone=tokens.is_refused,
        are_rooms_shared=settings.livekit_rooms == "shared"
        or (settings.livekit_rooms is None and not settings.is_production),
        make_link=lambda events, is_dual: MediaLink(events, is_dual=is_dual, config=config),
        ice_servers=lambda: _ice_servers(settings),
    )


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
    link = EngineClient(
        "gemini", client, settings.gemini_model, settings.gemini_voice, settings.media_resolution, settings.instructions
    )

    async def is_well() -> bool:
        return True  # the key is proven by the first session; a probe here would be billed

    return Engine(link, is_well)


async def _local(settings: Settings, vad: VadModel, parts: AsyncExitStack) -> Engine:
    try:
        check_packages()
    except PackagesMissingError as error:
        raise SettingsError([f"{error}; or set GEMINI_API_KEY"]) from None
    # Imported here, so that a server that talks to Gemini does without the packages.
    from mediaserver.localengine.responder.local import CAN_BE_ASKED
    from mediaserver.localengine.server import LocalEngine

    brain = await _responder(settings, parts)
    local = await parts.enter_async_context(LocalEngine(brain, vad=vad))
    client = make_client(api_key="local", base_url=local.base_url, ssl_context=local.client_ssl)
    link = EngineClient("local", client, LOCAL, None, settings.media_resolution)

    async def is_well() -> bool:
        return local.is_serving()

    return Engine(link, is_well, CAN_BE_ASKED if settings.local_engine_script is None else ())


async def _responder(settings: Settings, parts: AsyncExitStack) -> "Responder":
    from mediaserver.localengine.responder.local import LocalResponder
    from mediaserver.localengine.responder.scripted import ScriptError, load_script

    if settings.local_engine_script is not None:
        try:
            scripted = load_script(settings.local_engine_script)
        except (ScriptError, OSError) as error:
            raise SettingsError([f"LOCAL_ENGINE_SCRIPT: {error}"]) from None
        parts.push_async_callback(scripted.close)
        _warm_up(parts, scripted.start)
        return scripted
    ocr = Ocr()
    parts.push_async_callback(ocr.close)
    brain = LocalResponder(ocr)
    parts.push_async_callback(brain.close)
    _warm_up(parts, brain.start, ocr.warm)
    return brain


def _warm_up(parts: AsyncExitStack, *steps: Callable[[], Awaitable[None]]) -> None:
    # In the background: whoever asks before it is done waits for the rest of it.
    warming = asyncio.create_task(_warm(steps), name="warming the local engine")
    parts.callback(warming.cancel)


async def _warm(steps: Iterable[Callable[[], Awaitable[None]]]) -> None:
    try:
        for step in steps:
            await step()
    except MediaError as error:
        logger.error("the local engine cannot work", reason=error.message, where=error.where)


async def _history(settings: Settings, registry: Registry, parts: AsyncExitStack) -> HistoryService:
    store = await open_store(settings.database_url, data_dir=settings.data_dir)
    parts.push_async_callback(store.close)
    return await parts.enter_async_context(HistoryService(store, registry, days=settings.history_days))


async def _is_healthy(vad: VadModel) -> bool:
    try:
        list(SileroVad(vad).push(AudioChunk(bytes(1024), 16_000, 0.0)))
    except MediaError:
        return False
    return True


def _is_registration_open(settings: Settings) -> bool:
    return settings.registration == "open" or (settings.registration is None and not settings.is_production)


def _counting(metrics: Metrics) -> Observe:
    def observe(_: str, transport: str, conversation: Conversation) -> Observer:
        gauge = metrics.open_session(transport)

        def witness(event: Event) -> None:
            gauge.observe(event)
            if isinstance(event, StateChanged | SessionEnded):
                gauge.totals(**asdict(conversation.counts()))

        return witness

    return observe


def _guests(settings: Settings, accounts: Accounts) -> Guests:
    allowed = settings.allow_guests
    return Guests(
        accounts,
        Limiter(settings.limit(settings.rate_limit_api)),
        are_allowed=not settings.is_production if allowed is None else allowed,
        loopback_only=allowed is None and settings.uses_gemini,
    )


def _server_defaults(settings: Settings) -> ServerDefaults:
    turns = TurnSettings(
        threshold=settings.vad_threshold,
        audible_threshold=max(0.7, settings.vad_threshold),
        start=settings.vad_start_ms / 1000,
        silence=settings.vad_silence_ms / 1000,
        pre_roll=settings.vad_pre_roll_ms / 1000,
    )
    return ServerDefaults(settings.session_idle_seconds, settings.session_max_seconds, settings.frame_max_side, turns)


def _ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    plain = tuple(IceServer((url,)) for url in settings.ice_servers)
    if not settings.turn_urls or settings.turn_secret is None:
        return plain
    # Time-limited credentials as coturn's use-auth-secret takes them (draft-uberti-behave-turn-rest-00).
    username = f"{int(time.time()) + TURN_SECONDS}:mediaserver"
    digest = hmac.new(settings.turn_secret.get_secret_value().encode(), username.encode(), hashlib.sha1).digest()
    return (*plain, IceServer(settings.turn_urls, username, base64.b64encode(digest).decode()))
