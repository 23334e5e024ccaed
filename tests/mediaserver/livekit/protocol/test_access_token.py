import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from mediaserver.livekit.protocol.access_token import (
    ABSOLUTE_LIFETIME,
    AccessTokenClaims,
    ApiKeys,
    GrantError,
    JoinTokenIssuer,
    check_admin,
    check_create,
    check_join,
    check_list,
)

SECRET = "a secret of thirty-two bytes, it is"
KEYS = ApiKeys({"devkey": SECRET})


def signed(*, secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    base = {"iss": "devkey", "sub": "ada", "exp": time.time() + 3_600, "video": {"roomJoin": True, "room": "r"}}
    said = {name: value for name, value in (base | claims).items() if value is not None}
    return jwt.encode(said, secret, algorithm)


def test_what_livekits_own_library_signs_is_read() -> None:
    token = (
        api.AccessToken("devkey", SECRET)
        .with_identity("ada")
        .with_name("Ada")
        .with_metadata("m")
        .with_attributes({"a": "b"})
        .with_grants(
            api.VideoGrants(
                room_join=True,
                room="r",
                can_publish=False,
                can_publish_sources=["camera"],
                can_update_own_metadata=True,
            )
        )
        .to_jwt()
    )

    grant = KEYS.read(token)

    assert (grant.identity, grant.name, grant.metadata, grant.attributes) == ("ada", "Ada", "m", {"a": "b"})
    assert (grant.room, grant.room_join, grant.can_publish, grant.can_subscribe) == ("r", True, False, True)
    assert grant.can_publish_sources == ("camera",)
    assert grant.can_update_own_metadata


def test_what_is_not_said_is_allowed_as_livekit_does() -> None:
    grant = KEYS.read(signed())

    assert grant.can_publish
    assert grant.can_subscribe
    assert grant.can_publish_data
    assert not grant.can_update_own_metadata
    assert not grant.room_admin
    assert not grant.hidden


def test_a_token_of_this_servers_endpoint_names_whose_conversation_it_is() -> None:
    token = JoinTokenIssuer("devkey", SECRET).issue(
        owner="u-ada",
        login="login-1",
        token_id="token-1",
        room="r",
        identity="tablet",
        name="Ada",
        metadata="",
        attributes={"floor": "2"},
        lifetime=60,
    )

    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert (claims["user"], claims["sub"], claims["exp"] - claims["nbf"]) == ("u-ada", "tablet", 60)
    assert claims["video"] == {
        "room": "r",
        "roomJoin": True,
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
        "canUpdateOwnMetadata": True,
    }
    grant = KEYS.read(token)
    assert (grant.owner, grant.login, grant.token_id) == ("u-ada", "login-1", "token-1")
    assert grant.until == claims["nbf"] + ABSOLUTE_LIFETIME


def test_a_token_of_another_server_owns_by_identity() -> None:
    assert KEYS.read(signed()).owner == "livekit:ada"


def test_without_a_subject_the_id_is_the_identity() -> None:
    assert KEYS.read(signed(sub=None, jti="ada-2")).identity == "ada-2"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": None}, "`exp`"),
        ({"exp": time.time() - 61}, "expired"),
        ({"exp": 10**400}, "`exp`"),
        ({"exp": float("inf")}, "JWT"),
        ({"nbf": time.time() + 10_000}, "not valid yet"),
        ({"iss": "another"}, "`iss`"),
        ({"iss": None}, "`iss`"),
        ({"secret": "another secret of thirty-two bytes"}, "signature"),
        ({"algorithm": "HS384", "secret": SECRET * 2}, "HS256"),
        ({"video": "all"}, "`video`"),
        ({"video": {"roomJoin": "yes"}}, "`roomJoin`"),
        ({"video": {"room": 3}}, "`room`"),
        ({"video": {"canPublishSources": ["ears"]}}, "`canPublishSources`"),
        ({"attributes": {"a": 1}}, "`attributes`"),
        ({"metadata": 5}, "`metadata`"),
        ({"sub": "x" * 257}, "`sub`"),
        ({"sub": "\ud800"}, "`sub`"),
    ],
)
def test_a_token_that_does_not_do_is_refused_with_the_reason(claims: dict[str, Any], expected: str) -> None:
    with pytest.raises(GrantError, match=expected) as refused:
        KEYS.read(signed(**claims))

    assert refused.value.status == 401
    assert refused.value.message.startswith("invalid authorization token")


def test_clocks_may_differ_by_a_minute() -> None:
    assert KEYS.read(signed(exp=time.time() - 50, nbf=time.time() + 50)).identity == "ada"


def test_an_overlong_token_is_refused_unread() -> None:
    with pytest.raises(GrantError, match="longer"):
        KEYS.read("a" * 20_000)


def grant(**said: Any) -> AccessTokenClaims:
    return replace(AccessTokenClaims("ada", "u", "devkey", 0.0), **said)


def refreshed(grant: AccessTokenClaims, now: float | None = None) -> AccessTokenClaims:
    token = KEYS.refresh(grant, joined_at=time.time() if now is None else now, now=now)
    assert token is not None
    return KEYS.read(token)


@pytest.mark.parametrize(
    ("said", "room", "status", "expected"),
    [
        ({}, None, 401, "roomJoin"),
        ({"room_join": True, "identity": "", "room": "r"}, None, 400, "identity"),
        ({"room_join": True}, None, 400, "room name"),
        ({"room_join": True, "room": "r"}, "q", 401, "another room"),
        ({"room_join": True, "room": "r", "identity": "assistant"}, None, 401, "assistant"),
        ({"room_join": True, "room": "r", "kind": "agent"}, None, 401, "standard"),
    ],
)
def test_who_may_not_join_is_told_why(said: dict[str, object], room: str | None, status: int, expected: str) -> None:
    with pytest.raises(GrantError, match=expected) as refused:
        check_join(grant(**said), room)

    assert refused.value.status == status


def test_who_may_join_joins() -> None:
    check_join(grant(room_join=True, room="r"), "r")
    check_join(grant(room_join=True, room="r"), None)


def test_an_administrator_of_one_room_is_none_of_another() -> None:
    check_admin(grant(room_admin=True, room="r"), "r")
    with pytest.raises(GrantError) as refused:
        check_admin(grant(room_admin=True, room="r"), "q")
    assert refused.value.status == 403


def test_a_participant_neither_administrates_nor_makes_nor_lists_rooms() -> None:
    participant = grant(room_join=True, room="r")
    checks: list[Callable[[AccessTokenClaims], None]] = [
        lambda grant: check_admin(grant, "r"),
        check_create,
        check_list,
    ]

    for check in checks:
        with pytest.raises(GrantError) as refused:
            check(participant)
        assert refused.value.status == 403


def test_a_refreshed_token_says_the_same_and_is_good_for_ten_minutes_at_least() -> None:
    before = KEYS.read(signed(exp=time.time() + 5, user="u-ada", name="Ada", attributes={"a": "b"}))

    after = refreshed(before, now=before.expires_at - 5)

    assert after.expires_at == int(before.expires_at + 595)
    assert (after.identity, after.owner, after.name, after.attributes) == ("ada", "u-ada", "Ada", {"a": "b"})
    assert (after.room, after.room_join, after.can_publish) == ("r", True, True)


def test_a_refreshed_token_keeps_every_right_that_was_changed() -> None:
    changed = grant(
        identity="ada", room="r", room_join=True, can_publish=False, hidden=True, can_publish_sources=("camera",)
    )

    after = refreshed(changed)

    assert replace(after, expires_at=0.0, owner=changed.owner, until=0.0) == replace(changed, expires_at=0.0)


def test_a_refreshed_token_keeps_what_is_left_of_a_long_life() -> None:
    before = KEYS.read(signed(exp=time.time() + 86_400))

    assert refreshed(before).expires_at == int(before.expires_at)


def test_a_token_ends_twelve_hours_after_its_issue_however_often_it_is_refreshed() -> None:
    now = start = time.time()
    grant = KEYS.read(signed(exp=now + 3_600, user="u-ada", user_login="l", refreshed_until=start + ABSOLUTE_LIFETIME))
    while (token := KEYS.refresh(grant, joined_at=now, now=now)) is not None:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_nbf": False})
        assert (claims["user"], claims["user_login"]) == ("u-ada", "l")
        grant = replace(grant, expires_at=claims["exp"], until=claims["refreshed_until"])
        now += 300
    assert start + ABSOLUTE_LIFETIME - 300 <= now <= start + ABSOLUTE_LIFETIME + 300
    assert grant.expires_at == int(start + ABSOLUTE_LIFETIME)


def test_a_token_of_another_server_ends_twelve_hours_after_the_join_or_when_it_says() -> None:
    now = time.time()
    short, long = KEYS.read(signed(exp=now + 60)), KEYS.read(signed(exp=now + 10 * 86_400))
    assert refreshed(short, now=now).until == int(now + ABSOLUTE_LIFETIME)
    assert refreshed(long, now=now).until == int(now + 10 * 86_400)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_clock_that_is_set_back_by_a_minute_refuses_no_earlier_token(claim: str) -> None:
    later: dict[str, Any] = {claim: time.time() + 90}
    assert KEYS.read(signed(**later)).identity == "ada"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CLAIM = st.sampled_from(
    ["sub", "jti", "name", "metadata", "attributes", "kind", "video", "user", "exp", "nbf", "iat", "refreshed_until"]
)


@given(st.dictionaries(CLAIM, JSON | st.dictionaries(st.sampled_from(["room", "roomJoin", "hidden"]), JSON)))
def test_whatever_a_signed_token_claims_is_read_or_refused(claims: dict[str, Any]) -> None:
    token = jwt.encode({"iss": "devkey", "exp": 4e9} | claims, SECRET, "HS256", sort_headers=True)

    with suppress(GrantError):
        assert isinstance(KEYS.read(token), AccessTokenClaims)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{2,20}\.[A-Za-z0-9_-]{2,20}\.[A-Za-z0-9_-]{0,20}", fullmatch=True))
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(GrantError):
        KEYS.read(text)
