"""The HTTP interface as it is published: every described route on one app, with an outside in memory."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import cast
from uuid import uuid4

from aiohttp import web
from argon2 import PasswordHasher
from limits import parse

from mediaserver import __version__
from mediaserver.api.docs import Docs
from mediaserver.api.guests import Guests
from mediaserver.api.guides import GuideRoutes
from mediaserver.api.health import Health
from mediaserver.api.livekit_token import LiveKitTokens
from mediaserver.api.metrics import MetricsPage, measure
from mediaserver.api.middleware import error_middleware, set_security_headers
from mediaserver.api.openapi import Json, document
from mediaserver.api.page import Page
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.sessions import HistoryRoutes, Sessions
from mediaserver.api.users import Users
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.lockout import Lockout
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.auth.users import User
from mediaserver.caller import Caller
from mediaserver.guides import GuideShelf, load_server_guides
from mediaserver.http_route import add_routes
from mediaserver.livekit.protocol.access_token import JoinTokenIssuer
from mediaserver.metrics import Metrics
from mediaserver.registry import Capacity, Full, Registry, SessionLimit
from mediaserver.session_factory import SessionOptions
from mediaserver.store.interface import Fact, Store
from mediaserver.store.records import Entry, SessionRecord, TurnUsage
from mediaserver.webrtc.routes import Whip
from pipeline.peer import ConversationPort
from tests.support.memory_store import MemoryStore

TOKENS = Tokens("a secret of thirty-two bytes or more")
ADA = User("u-ada", "ada", is_guest=False)
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class FullSessionFactory:
    """Lets nobody in."""

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> ConversationPort:
        raise Full(SessionLimit.SERVER)


FACTS: tuple[Fact, ...] = (
    *(
        SessionRecord(name, ADA.id, name, "webrtc", "local", "local-1", "en", NOON + timedelta(hours=hour))
        for hour, name in enumerate(("s1", "s2", "s3"))
    ),
    Entry("s1", NOON, "user", "hello", 1),
    Entry("s1", NOON, "assistant", "Hello.", 1, heard_ms=300),
    TurnUsage("s1", 1, NOON, {"total": 12}),
)
"""What `ADA` has said."""


async def _is_well() -> bool:
    return True


async def _without_delay(_: float) -> None:
    return None


def published(store: Store | None = None) -> tuple[web.Application, Json]:
    """The app, and what is published about it; without a store nobody has said anything."""
    store = cast(Store, MemoryStore()) if store is None else store
    passwords = Passwords(HASHER)
    folder = Path(gettempdir(), f"guides-{uuid4().hex}")  # made with the first guide
    shelf = GuideShelf(load_server_guides(None).guides, folder)
    accounts = Accounts(store, TOKENS, passwords, lockout=Lockout(sleep=_without_delay))
    metrics, registry = Metrics(), Registry(Capacity(9, 9, 9, 9))
    limiter = SlidingWindowRateLimiter(parse("1000000/minute"))
    page = Page(engine="local", model="local-1", example_questions=("hello",))
    whip = Whip(FullSessionFactory(), TOKENS, limiter)
    users = Users(accounts, TOKENS, login_limiter=limiter, api_limiter=limiter, is_registration_open=True)
    rest = [
        *Health("local", {"engine": _is_well}).routes(),
        *MetricsPage(metrics, token=None, is_open=True).routes(),
        *Guests(accounts, limiter, are_allowed=True, loopback_only=False).routes(),
        *HistoryRoutes(registry, store, TOKENS, limiter).routes(),
        *Sessions(registry, TOKENS, limiter).routes(),
        *GuideRoutes(shelf, TOKENS, limiter).routes(),
        *LiveKitTokens(TOKENS, limiter, JoinTokenIssuer("devkey", "s" * 32), accounts.take_back).routes(),
        *whip.routes(),
        *users.routes(),
    ]

    async def close(_: web.Application) -> None:
        passwords.close()
        shutil.rmtree(folder, ignore_errors=True)

    app = web.Application(middlewares=[measure(metrics), error_middleware])
    app.on_response_prepare.append(set_security_headers)
    page.add_routes(app)
    add_routes(app, rest)
    app.on_cleanup.append(close)
    routes = [*page.routes(), *rest]
    Docs(routes).add_routes(app)
    return app, document(routes, version=__version__)
