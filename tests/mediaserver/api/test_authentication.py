"""Who sends a request."""

import pytest
from aiohttp.test_utils import make_mocked_request
from limits import parse

from mediaserver.api.authentication import authenticate, user_of
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.auth.users import User
from mediaserver.http_errors import HttpError

TOKENS = Tokens("a secret of thirty-two bytes or more")
ADA = User("1", "ada", is_guest=False)


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_request_is_from_whom_its_token_stands_for() -> None:
    assert user_of(make_mocked_request("GET", "/", bearing(TOKENS.issue(ADA))), TOKENS) == ADA


@pytest.mark.parametrize("headers", [{}, bearing("nonsense"), {"Authorization": "Basic YTpi"}])
def test_a_request_without_a_good_token_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError) as raised:
        user_of(make_mocked_request("GET", "/", headers), TOKENS)
    assert raised.value.status == 401


def test_who_has_no_good_token_is_counted_by_address_and_others_by_name() -> None:
    limiter = SlidingWindowRateLimiter(parse("2/minute"))
    bad, good = make_mocked_request("GET", "/", {}), make_mocked_request("GET", "/", bearing(TOKENS.issue(ADA)))
    statuses = []
    for _ in range(3):
        with pytest.raises(HttpError) as raised:
            authenticate(bad, TOKENS, limiter)
        statuses.append(raised.value.status)
    assert statuses == [401, 401, 429]
    assert authenticate(good, TOKENS, limiter) == ADA


def test_guests_of_one_address_are_counted_as_one() -> None:
    limiter = SlidingWindowRateLimiter(parse("2/minute"))

    def visit(remote: str) -> None:
        request = make_mocked_request("GET", "/", bearing(TOKENS.issue(new_guest()))).clone(remote=remote)
        authenticate(request, TOKENS, limiter)

    visit("2001:db8:1:2::1")
    visit("2001:db8:1:2::2")
    with pytest.raises(HttpError) as raised:
        visit("2001:db8:1:2:3::3")
    assert raised.value.status == 429
    visit("2001:db8:1:3::1")
