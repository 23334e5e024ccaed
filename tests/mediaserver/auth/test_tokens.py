"""Access tokens."""

import time

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


def test_a_deleted_user_is_refused_until_all_their_tokens_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, deleted, other = Tokens(SECRET), new_guest(), new_guest()
    token = tokens.issue(deleted)
    tokens.revoke(deleted.id)
    with pytest.raises(AuthError):
        tokens.verify(token)
    assert tokens.verify(tokens.issue(other)) == other
    with monkeypatch.context() as later:
        now = time.time()
        later.setattr("mediaserver.auth.tokens.time.time", lambda: now + 3600 + 11)
        tokens.revoke(other.id)
    # An hour later only the expiry of the token itself keeps the first one out: nothing is remembered for ever.
    assert tokens.verify(token) == deleted


@given(st.text())
def test_any_text_is_a_user_or_an_auth_error(text: str) -> None:
    with pytest.raises(AuthError):
        Tokens(SECRET).verify(text)
