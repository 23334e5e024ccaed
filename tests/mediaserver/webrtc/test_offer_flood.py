"""A thousand offers a minute from one address."""

from collections import Counter

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from limits import parse

from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.caller import Caller
from mediaserver.http_route import add_routes
from mediaserver.session_factory import SessionOptions
from mediaserver.webrtc.routes import Whip
from pipeline.peer import ConversationPort

TOKENS = Tokens("a secret of thirty-two bytes or more")


class ClosedSessionFactory:
    """Nobody may get this far with garbage."""

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> ConversationPort:
        raise AssertionError("garbage started a conversation")


async def test_offers_beyond_the_rate_are_told_to_wait_whoever_the_guest_says_it_is() -> None:
    app = web.Application(middlewares=[error_middleware])
    add_routes(app, Whip(ClosedSessionFactory(), TOKENS, SlidingWindowRateLimiter(parse("30/minute"))).routes())
    async with TestClient(TestServer(app)) as client:
        statuses: Counter[int] = Counter()
        for _ in range(1000):
            headers = {"Authorization": f"Bearer {TOKENS.issue(new_guest())}", "Content-Type": "application/sdp"}
            response = await client.post("/whip", data="v=garbage", headers=headers)
            statuses[response.status] += 1
            if response.status == 429:
                assert int(response.headers["Retry-After"]) >= 1
    assert statuses.total() == 1_000
    assert 30 <= statuses[400] <= 33, "one more every two seconds, as the minute slides on"
