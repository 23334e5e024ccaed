"""Access tokens."""

import time
from dataclasses import replace

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.auth.users import AuthError, User

SECRET = "a secret of thirty-two bytes or more"
CLAIMS = {
    "sub": "u1",
    "name": "ada",
    "guest": False,
    "jti": "1",
    "iss": "mediaserver",
    "aud": "mediaserver",
}


def forge(secret: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    now = {"iat": int(time.time()), "exp": int(time.time()) + 3600}
    claims = {name: value for name, value in {**CLAIMS, **now, **changes}.items() if value is not None}
    return jwt.encode(claims, secret, algorithm)


def test_a_token_stands_for_the_user_it_was_issued_to() -> None:
    tokens = Tokens(SECRET)
    guest = new_guest()
    assert tokens.verify(tokens.issue(guest)) == guest
    assert tokens.verify(forge()) == User("u1", "ada", is_guest=False)


def test_two_guests_are_two_people() -> None:
    assert new_guest().id != new_guest().id


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        "a" * 5000,
        forge("another secret of thirty-two bytes or more"),
        forge(aud="somebody else"),
        forge(iss="somebody else"),
        forge(sub=None),
        forge(exp=None),
        forge(jti=None),
        forge(guest="yes"),
        forge("", "none"),
        forge(SECRET * 2, "HS512"),
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(AuthError):
        Tokens(SECRET).verify(token)


def test_an_expired_token_is_told_to_be_expired() -> None:
    with pytest.raises(AuthError, match="expired"):
        Tokens(SECRET).verify(forge(exp=int(time.time()) - 60))


@pytest.mark.parametrize("revoked", ["id", "login"])
def test_a_token_is_refused_once_its_user_or_its_login_is_revoked(revoked: str) -> None:
    tokens, user, other = Tokens(SECRET), replace(new_guest(), login="l1"), replace(new_guest(), login="l2")
    token = tokens.issue(user)
    assert tokens.verify(token).login == "l1"
    tokens.revocations.add((getattr(user, revoked),))
    with pytest.raises(AuthError, match="revoked"):
        tokens.verify(token)
    assert tokens.verify(tokens.issue(other)) == other


def test_a_token_without_a_login_is_of_no_login() -> None:
    tokens = Tokens(SECRET)
    tokens.revocations.add(("l1",))
    assert tokens.verify(forge()).login == tokens.verify(forge(sid=7)).login == ""


@pytest.mark.parametrize("step", [60, 24 * 3600])
def test_a_clock_that_is_set_back_refuses_no_earlier_token(step: int) -> None:
    before = forge(iat=int(time.time()) + step, exp=int(time.time()) + step + 3600)
    assert Tokens(SECRET).verify(before).id == "u1"


@given(st.text())
def test_any_text_is_a_user_or_an_auth_error(text: str) -> None:
    with pytest.raises(AuthError):
        Tokens(SECRET).verify(text)
