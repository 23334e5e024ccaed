"""The composition root: creates every subsystem from the settings and joins them into one application."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from mediaserver.api.cors import allow_origins, origin_is_allowed
from mediaserver.api.docs import Docs
from mediaserver.api.guests import Guests
from mediaserver.api.guides import GuideRoutes
from mediaserver.api.health import Health
from mediaserver.api.livekit_token import LiveKitTokens
from mediaserver.api.metrics import MetricsPage, measure
from mediaserver.api.middleware import error_middleware, set_security_headers
from mediaserver.api.page import Page
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.sessions import HistoryRoutes, Sessions
from mediaserver.api.users import Users
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.revocations import RevocationReader
from mediaserver.auth.tokens import Tokens
from mediaserver.bad_messages import BadMessageBudget
from mediaserver.engines import RunningEngine, engine_tools, start_engine
from mediaserver.guides import GuideShelf, load_server_guides
from mediaserver.half_open import PER_SESSION, HalfOpenConnections
from mediaserver.history_service import HistoryService
from mediaserver.http_route import Route, add_routes
from mediaserver.ice import ice_servers, stun_servers
from mediaserver.jsonws.connection import SharedBounds
from mediaserver.jsonws.routes import JsonSocket
from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.livekit.media.media_link import MediaLink
from mediaserver.livekit.protocol.access_token import JoinTokenIssuer
from mediaserver.livekit.service.server import LiveKit
from mediaserver.metrics import LoopLag, Metrics
from mediaserver.plugins import load_toolbox
from mediaserver.registry import Capacity, Registry
from mediaserver.rtc.config import Config
from mediaserver.session_factory import ObserverFactory, ServerDefaults, SessionFactory
from mediaserver.settings import Settings, SettingsError, livekit_keys, secret_from
from mediaserver.store.sql_store import open_store
from mediaserver.webrtc.routes import Whip
from pipeline.audio.smart_turn import SmartTurn
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.config import TurnModel, TurnSettings
from pipeline.conversation.conversation import Conversation
from pipeline.errors import MediaError
from pipeline.events import Event, SessionEnded, StateChanged
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk
from pipeline.peer import Observer
from pipeline.playout.frame_clock import FrameClock

if TYPE_CHECKING:
    pass

MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class _Services:
    """The subsystems below HTTP, which run while the server does."""

    metrics: Metrics
    registry: Registry
    history: HistoryService
    engine: RunningEngine
    vad: VadModel
    session_factory: SessionFactory
    half_open: HalfOpenConnections
    bad_messages: BadMessageBudget
    guides: GuideShelf


@dataclass(frozen=True, slots=True)
class _Access:
    """Authentication and rate limits, shared by the transports and the API."""

    tokens: Tokens
    accounts: Accounts
    api_limiter: SlidingWindowRateLimiter
    offer_limiter: SlidingWindowRateLimiter
    livekit_key: tuple[str, str] | None
    """LiveKit's API key and secret; None where LiveKit is off."""


@dataclass(frozen=True, slots=True)
class _Transports:
    """The ways into a conversation; LiveKit may be off."""

    whip: Whip
    json_socket: JsonSocket
    livekit: LiveKit | None

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(self.whip.close(), self.json_socket.close())
        if self.livekit is not None:
            await self.livekit.close()


@asynccontextmanager
async def running_application(settings: Settings) -> AsyncIterator[web.Application]:
    """Run every service of a server and yield its application, ready to listen.

    Raises `SettingsError`, `StoreError` or `MediaError` when a service cannot start.
    """
    vad = await asyncio.to_thread(VadModel)
    async with AsyncExitStack() as stack:
        services = await _start_services(settings, vad, stack)
        access = await _access(settings, services, stack)
        yield _application(settings, services, access, _transports(settings, services, access))


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Load TLS_CERT and TLS_KEY; None means plain HTTP."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


async def _start_services(settings: Settings, vad: VadModel, stack: AsyncExitStack) -> _Services:
    metrics = Metrics()
    await stack.enter_async_context(LoopLag(metrics))
    toolbox = load_toolbox(settings.tools, engine_tools(settings))
    guides = _guides(settings)
    registry = Registry(_capacity(settings))
    half_open = HalfOpenConnections(max_established=PER_SESSION * settings.max_sessions_per_address)
    history = await _history(settings, registry, stack)
    engine = await start_engine(settings, vad, stack)
    session_factory = SessionFactory(
        registry,
        engine.client,
        _server_defaults(settings),
        vad,
        FrameClock(),
        end_of_turn=await stack.enter_async_context(SmartTurn()),
        toolbox=toolbox,
        load_defaults=history.defaults,
        observer_factories=(*history.observer_factories, _metrics_observer(metrics)),
        half_open=half_open,
        load_guides=guides.library,
        screen_reader=engine.screen_reader,
    )
    return _Services(metrics, registry, history, engine, vad, session_factory, half_open, BadMessageBudget(), guides)


def _guides(settings: Settings) -> GuideShelf:
    loaded = load_server_guides(settings.guides_dir)
    if loaded.faults:
        raise SettingsError([f"GUIDES_DIR: {fault}" for fault in loaded.faults])
    return GuideShelf(loaded.guides, settings.data_dir / "guides")


def _capacity(settings: Settings) -> Capacity:
    return Capacity(
        total=settings.max_sessions,
        guests=max(1, int(settings.max_sessions * settings.max_guest_share)),
        per_user=settings.max_sessions_per_user,
        per_address=settings.max_sessions_per_address,
        counts_accounts_by_address=_is_registration_open(settings),
    )


async def _history(settings: Settings, registry: Registry, stack: AsyncExitStack) -> HistoryService:
    store = await open_store(settings.database_url, data_dir=settings.data_dir)
    stack.push_async_callback(store.close)
    return await stack.enter_async_context(HistoryService(store, registry, days=settings.history_days))


def _metrics_observer(metrics: Metrics) -> ObserverFactory:
    def observe(_: str, transport: str, conversation: Conversation) -> Observer:
        gauge = metrics.open_session(transport)

        def count(event: Event) -> None:
            gauge.observe(event)
            if isinstance(event, StateChanged | SessionEnded):
                gauge.totals(**asdict(conversation.counts()))

        return count

    return observe


def _server_defaults(settings: Settings) -> ServerDefaults:
    turns = TurnSettings(
        threshold=settings.vad_threshold,
        audible_threshold=max(0.7, settings.vad_threshold),
        start=settings.vad_start_ms / 1000,
        silence=settings.vad_silence_ms / 1000,
        pre_roll=settings.vad_pre_roll_ms / 1000,
        model=TurnModel(settings.turn_model),
        max_utterance=settings.max_utterance_seconds,
    )
    return ServerDefaults(
        settings.session_idle_seconds,
        settings.session_max_seconds,
        settings.frame_max_side,
        turns,
        remarks=settings.guide_remarks,
        unused_seconds=settings.session_unused_seconds,
    )


async def _access(settings: Settings, services: _Services, stack: AsyncExitStack) -> _Access:
    tokens = Tokens(secret_from(settings))
    passwords = Passwords()
    stack.callback(passwords.close)
    store, registry = services.history.store, services.registry
    await stack.enter_async_context(RevocationReader(store, tokens.revocations, on_revoked=registry.end_sessions_of))
    return _Access(
        tokens,
        Accounts(store, tokens, passwords),
        api_limiter=SlidingWindowRateLimiter(settings.limit(settings.rate_limit_api)),
        offer_limiter=SlidingWindowRateLimiter(settings.limit(settings.rate_limit_offer)),
        livekit_key=livekit_keys(settings),
    )


def _transports(settings: Settings, services: _Services, access: _Access) -> _Transports:
    whip = Whip(
        services.session_factory,
        access.tokens,
        access.offer_limiter,
        ice_servers=lambda user: ice_servers(settings, user),
        config=_rtc_config(settings),
        half_open=services.half_open,
        bad_messages=services.bad_messages,
    )
    json_socket = JsonSocket(
        services.session_factory,
        access.tokens,
        access.offer_limiter,
        origin_is_allowed=lambda request: origin_is_allowed(request, settings.cors_origins),
        bounds=SharedBounds(services.bad_messages),
    )
    return _Transports(whip, json_socket, _livekit(settings, services, access))


def _livekit(settings: Settings, services: _Services, access: _Access) -> LiveKit | None:
    if access.livekit_key is None:
        return None
    key, secret = access.livekit_key
    config = _rtc_config(settings)
    logs = TranscriptLogs()
    services.session_factory.add_observer_factory(lambda _owner, _transport, conversation: logs.observe(conversation))
    return LiveKit(
        services.session_factory,
        access.offer_limiter,
        keys={key: secret},
        transcript_logs=logs,
        revoked=access.tokens.revocations,
        user_exists=access.accounts.exists,
        are_rooms_shared=settings.livekit_rooms == "shared"
        or (settings.livekit_rooms is None and not settings.is_production),
        make_link=lambda events, is_dual, client: MediaLink(events, is_dual=is_dual, config=config, client=client),
        ice_servers=lambda user: ice_servers(settings, user),
        half_open=services.half_open,
        bad_messages=services.bad_messages,
    )


def _rtc_config(settings: Settings) -> Config:
    return Config(stun_servers(settings), lull=settings.vad_silence_ms / 1000)


def _application(settings: Settings, services: _Services, access: _Access, transports: _Transports) -> web.Application:
    async def shut_down(_: web.Application) -> None:
        await services.registry.drain(settings.shutdown_grace_seconds)
        await transports.close()

    app = web.Application(middlewares=[measure(services.metrics), error_middleware], client_max_size=MAX_BODY)
    app.on_response_prepare.append(set_security_headers)
    page = _page(settings, services)
    routes = [
        *_server_routes(settings, services),
        *_user_routes(settings, services, access),
        *_session_routes(services, access, transports.whip),
    ]
    page.add_routes(app)
    add_routes(app, routes)
    transports.json_socket.add_routes(app)
    if transports.livekit is not None:
        transports.livekit.add_routes(app)
    Docs([*page.routes(), *routes]).add_routes(app)
    allow_origins(app, settings.cors_origins, open_to_all=("/", "/rtc", "/twirp/"))
    app.on_shutdown.append(shut_down)
    return app


def _page(settings: Settings, services: _Services) -> Page:
    engine = services.engine
    return Page(
        engine=engine.client.name,
        model=engine.client.default_model,
        language_model=engine.client.language_model,
        example_questions=engine.example_questions,
        is_registration_open=_is_registration_open(settings),
        history_days=settings.history_days,
    )


def _server_routes(settings: Settings, services: _Services) -> tuple[Route, ...]:
    checks = {
        "database": services.history.is_healthy,
        "engine": services.engine.is_healthy,
        "vad": lambda: _is_vad_healthy(services.vad),
    }
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    is_open = not settings.is_production and token is None
    return (
        *Health(services.engine.client.name, checks, services.engine.language_model_status).routes(),
        *MetricsPage(services.metrics, token=token, is_open=is_open).routes(),
    )


async def _is_vad_healthy(vad: VadModel) -> bool:
    if not vad.is_failing:
        return True
    # Without sessions only a window of our own can show that it works again.
    try:
        list(SileroVad(vad).push(AudioChunk(bytes(1024), INPUT_SAMPLE_RATE, 0.0)))
    except MediaError:
        return False
    return True


def _user_routes(settings: Settings, services: _Services, access: _Access) -> tuple[Route, ...]:
    allowed = settings.allow_guests
    guests = Guests(
        access.accounts,
        SlidingWindowRateLimiter(settings.limit(settings.rate_limit_api)),
        are_allowed=not settings.is_production if allowed is None else allowed,
        loopback_only=allowed is None and settings.uses_gemini,
    )

    async def after_delete(user: str) -> None:
        await services.registry.end_sessions_of(user)
        await services.guides.forget(user)

    users = Users(
        access.accounts,
        access.tokens,
        login_limiter=SlidingWindowRateLimiter(settings.limit(settings.rate_limit_login)),
        api_limiter=access.api_limiter,
        is_registration_open=_is_registration_open(settings),
        after_delete=after_delete,
    )
    return *guests.routes(), *users.routes()


def _is_registration_open(settings: Settings) -> bool:
    return settings.registration == "open" or (settings.registration is None and not settings.is_production)


def _session_routes(services: _Services, access: _Access, whip: Whip) -> tuple[Route, ...]:
    registry, history, tokens, limiter = services.registry, services.history, access.tokens, access.api_limiter
    issuer = None if access.livekit_key is None else JoinTokenIssuer(*access.livekit_key)
    return (
        *HistoryRoutes(registry, history.store, tokens, limiter, flush=history.writer.flush).routes(),
        *Sessions(registry, tokens, limiter, read_words=services.engine.read_words).routes(),
        *GuideRoutes(services.guides, tokens, limiter).routes(),
        *LiveKitTokens(tokens, limiter, issuer, access.accounts.take_back).routes(),
        *whip.routes(),
    )
