"""LiveKit's access tokens: verification, signing and permission checks."""

import math
import time
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jwt
from jwt.types import Options

ALGORITHM = "HS256"
LEEWAY = 60
"""Seconds by which the clock of another signing server may differ."""

CLOCK_STEP = 300
"""Seconds by which this server's clock may be set back: tokens from before are valid all the same."""

MIN_REFRESHED = 600
"""The minimum lifetime (s) of a refreshed token, unless its absolute lifetime ends earlier."""

ABSOLUTE_LIFETIME = 12 * 3600
"""Seconds from the issue or first use of a token to the end of all that are refreshed from it."""

MAX_TOKEN = 16_000
MAX_NAME = 256
"""The maximum length of an identity, a name and a room name, in characters."""

USER_CLAIM = "user"
"""The claim with the user's id in tokens of this server; `sub` is only the identity in the room."""

LOGIN_CLAIM, TOKEN_CLAIM, UNTIL_CLAIM = "user_login", "user_token", "refreshed_until"
"""The claims with the id of the user's login, the token's own id, and the end of its absolute lifetime."""

EXTERNAL_PREFIX = "livekit:"
"""The prefix of the owner of conversations started with another server's token; the identity follows it."""

ASSISTANT = "assistant"
"""The reserved identity of the assistant."""

SOURCES = ("camera", "microphone", "screen_share", "screen_share_audio")


UserExists = Callable[[str], Awaitable[bool]]
"""Whether the user with an id still has an account, or is a guest, who has none."""


class GrantError(Exception):
    """The token was refused: the HTTP status, and a message for the client."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class AccessTokenClaims:
    """The claims of a valid token. `owner`: the user of conversations that it starts."""

    identity: str
    owner: str
    key: str
    """The API key that signed the token."""
    expires_at: float
    """Seconds since the epoch."""
    login: str = ""
    """The id of the login that requested the token; empty in tokens of another server, as is `token_id`."""
    token_id: str = ""
    until: float = 0.0
    """The time (seconds since the epoch) after which the token is not refreshed; 0: it was not refreshed yet."""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = "standard"
    room: str = ""
    room_join: bool = False
    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    can_publish_sources: tuple[str, ...] = ()
    """Track sources out of `SOURCES`; empty allows all."""
    can_update_own_metadata: bool = False
    hidden: bool = False
    recorder: bool = False
    room_create: bool = False
    room_list: bool = False
    room_admin: bool = False

    @property
    def is_external(self) -> bool:
        """Whether another server has signed it, which then controls the access to rooms."""
        return self.owner.startswith(EXTERNAL_PREFIX)

    @property
    def origins(self) -> tuple[str, ...]:
        """The ids of what the token came from: when one of them is revoked, the token is."""
        return (self.owner, self.login, _revocation_id(self.owner, self.token_id))


# PyJWT casts times to int itself (api_jwt.py, _validate_exp), and Python's JSON accepts Infinity and any depth.
_DECODE_ERRORS = (jwt.InvalidTokenError, ValueError, OverflowError, TypeError, RecursionError)

# `nbf` and `iat` are not compared by PyJWT, whose leeway would hold for `exp` too.
_OPTIONS: Options = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_jti": False,
    "verify_nbf": False,
    "verify_sub": False,
}

# Fields by claim of `video`; an absent claim has the field's default, which is LiveKit's.
_VIDEO = {
    "roomJoin": "room_join",
    "canPublish": "can_publish",
    "canSubscribe": "can_subscribe",
    "canPublishData": "can_publish_data",
    "canUpdateOwnMetadata": "can_update_own_metadata",
    "hidden": "hidden",
    "recorder": "recorder",
    "roomCreate": "room_create",
    "roomList": "room_list",
    "roomAdmin": "room_admin",
}
_GRANTED_BY_DEFAULT = ("can_publish", "can_subscribe", "can_publish_data")


class ApiKeys:
    """Verifies and signs tokens with the API keys of this server."""

    def __init__(self, secrets: Mapping[str, str], *, revoked: Container[str] = ()):
        self._secrets = dict(secrets)
        self._revoked = revoked

    def read(self, token: str) -> AccessTokenClaims:
        """Verify a token. Raises `GrantError` 401."""
        if len(token) > MAX_TOKEN:
            raise _unauthorized(f"it is longer than {MAX_TOKEN} characters")
        key = _issuer(token)
        secret = self._secrets.get(key)
        if secret is None:
            raise _unauthorized("its `iss` is no API key of this server")
        try:
            claims = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                leeway=LEEWAY,
                options=_OPTIONS,
            )
        except jwt.ExpiredSignatureError:
            raise _unauthorized("it has expired") from None
        except jwt.InvalidSignatureError:
            raise _unauthorized("its signature is not that of its API key's secret") from None
        except jwt.MissingRequiredClaimError as error:
            raise _unauthorized(f"it has no `{error.claim}`") from None
        except _DECODE_ERRORS:
            raise _unauthorized("it is no JWT signed with HS256") from None
        if _timestamp(claims, "nbf") > time.time() + CLOCK_STEP:
            raise _unauthorized("it is not valid yet")
        grant = _grant(claims, key)
        if self.is_revoked(grant):
            raise _unauthorized("it was taken back, or its user has logged out or was deleted")
        return grant

    def is_revoked(self, grant: AccessTokenClaims) -> bool:
        """Whether the token, the login or the user that a grant came from is revoked."""
        return any(origin in self._revoked for origin in grant.origins)

    def refresh(self, grant: AccessTokenClaims, *, joined_at: float, now: float | None = None) -> str | None:
        """Sign the claims of a participant again, for the remaining lifetime but at least 10 minutes.

        Returns None once the absolute lifetime is over. `joined_at` and `now` are seconds since the epoch.
        """
        now = time.time() if now is None else now
        until = grant.until or max(grant.expires_at, joined_at + ABSOLUTE_LIFETIME)
        if now >= until:
            return None
        expires_at = min(until, max(now + MIN_REFRESHED, grant.expires_at))
        return self.sign(replace(grant, expires_at=expires_at, until=until), now)

    def sign(self, grant: AccessTokenClaims, now: float) -> str:
        """Sign a token with these claims, valid from `now` (s since the epoch)."""
        return jwt.encode(_payload(grant, now), self._secrets[grant.key], ALGORITHM)


class JoinTokenIssuer:
    """Issues tokens that let this server's own users join a room, signed with one API key."""

    def __init__(self, key: str, secret: str, clock: Callable[[], float] = time.time):
        self._key = key
        self._keys = ApiKeys({key: secret})
        self._clock = clock

    def issue(
        self,
        *,
        owner: str,
        login: str,
        token_id: str,
        room: str,
        identity: str,
        name: str,
        metadata: str,
        attributes: Mapping[str, str],
        lifetime: float,
    ) -> str:
        """Sign a join token for a user's login, good for `lifetime` seconds."""
        now = self._clock()
        claims = AccessTokenClaims(
            identity=identity,
            owner=owner,
            key=self._key,
            expires_at=int(now) + lifetime,
            login=login,
            token_id=token_id,
            until=int(now) + ABSOLUTE_LIFETIME,
            name=name,
            metadata=metadata,
            attributes=attributes,
            room=room,
            room_join=True,
            can_update_own_metadata=True,
        )
        return self._keys.sign(claims, now)

    def revocation_id(self, owner: str, token_id: str) -> str:
        """Return the id under which a user's token is revoked; a user can revoke none but their own."""
        return _revocation_id(owner, token_id)


def check_join(grant: AccessTokenClaims, room: str | None = None) -> None:
    """Raise `GrantError` unless a grant admits its holder to its room, which must be `room` if that is given."""
    if not grant.room_join:
        raise GrantError(401, "permissions denied: the token has no roomJoin grant")
    if not grant.identity:
        raise GrantError(400, "identity cannot be empty: the token needs a `sub`")
    if not grant.room:
        raise GrantError(400, "room name cannot be empty: the token's video grant needs a `room`")
    if room not in (None, "", grant.room):
        raise GrantError(401, "permissions denied: the token is for another room")
    if grant.identity == ASSISTANT:
        raise GrantError(401, f"permissions denied: the identity {ASSISTANT} is taken by the assistant of every room")
    if grant.kind != "standard":
        raise GrantError(401, "permissions denied: only participants of kind standard join; each room has its agent")


def check_admin(grant: AccessTokenClaims, room: str) -> None:
    """Raise `GrantError` 403 unless a grant allows the administration of `room`."""
    if not grant.room_admin or grant.room != room:
        raise GrantError(403, "permissions denied: needs a roomAdmin grant for this room")


def check_create(grant: AccessTokenClaims) -> None:
    """Raise `GrantError` 403 unless a grant allows the creation and deletion of rooms."""
    if not grant.room_create:
        raise GrantError(403, "permissions denied: needs a roomCreate grant")


def check_list(grant: AccessTokenClaims) -> None:
    """Raise `GrantError` 403 unless a grant allows the listing of rooms."""
    if not grant.room_list:
        raise GrantError(403, "permissions denied: needs a roomList grant")


def _payload(grant: AccessTokenClaims, now: float) -> dict[str, object]:
    values = asdict(grant)
    # Absent rights read as false, except those that LiveKit grants by default: these are always written.
    granted: dict[str, object] = {
        claim: values[field] for claim, field in _VIDEO.items() if values[field] or field in _GRANTED_BY_DEFAULT
    }
    video = granted | {"room": grant.room}
    if grant.can_publish_sources:
        video["canPublishSources"] = list(grant.can_publish_sources)
    payload: dict[str, object] = {
        "iss": grant.key,
        "sub": grant.identity,
        "nbf": int(now),
        "exp": int(grant.expires_at),
        "name": grant.name,
        "metadata": grant.metadata,
        "attributes": dict(grant.attributes),
        "kind": grant.kind,
        "video": video,
    }
    if not grant.is_external:
        payload |= {USER_CLAIM: grant.owner, LOGIN_CLAIM: grant.login, TOKEN_CLAIM: grant.token_id}
    if grant.until:
        payload[UNTIL_CLAIM] = int(grant.until)
    return payload


def _revocation_id(owner: str, token_id: str) -> str:
    return f"{owner}/{token_id}"


def _issuer(token: str) -> str:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except _DECODE_ERRORS:
        raise _unauthorized("it is no JWT signed with HS256") from None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def _grant(claims: dict[str, Any], key: str) -> AccessTokenClaims:
    video = claims.get("video")
    video = {} if video is None else video
    if not isinstance(video, dict):
        raise _malformed("video", "an object")
    rights = {field: _flag(video, claim) for claim, field in _VIDEO.items() if video.get(claim) is not None}
    identity = _text(claims, "sub") or _text(claims, "jti")
    return AccessTokenClaims(
        identity=identity,
        owner=_text(claims, USER_CLAIM) or EXTERNAL_PREFIX + identity,
        key=key,
        expires_at=_timestamp(claims, "exp"),
        login=_text(claims, LOGIN_CLAIM),
        token_id=_text(claims, TOKEN_CLAIM),
        until=_timestamp(claims, UNTIL_CLAIM),
        name=_text(claims, "name"),
        metadata=_metadata(claims),
        attributes=_attributes(claims),
        kind=_text(claims, "kind").lower() or "standard",
        room=_text(video, "room"),
        can_publish_sources=_sources(video),
        **rights,
    )


def _flag(claims: dict[str, Any], name: str) -> bool:
    value = claims[name]
    if not isinstance(value, bool):
        raise _malformed(name, "true or false")
    return value


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME or not is_encodable(value):
        raise _malformed(name, f"a string of at most {MAX_NAME} characters")
    return value


def _timestamp(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name, 0)
    if isinstance(value, int | float | str):
        with suppress(OverflowError, ValueError):
            seconds = float(value)
            if math.isfinite(seconds):
                return seconds
    raise _malformed(name, "seconds since 1970")


def _metadata(claims: dict[str, Any]) -> str:
    value = claims.get("metadata")
    if value is None:
        return ""
    if not isinstance(value, str) or not is_encodable(value):
        raise _malformed("metadata", "a string")
    return value


def _attributes(claims: dict[str, Any]) -> Mapping[str, str]:
    value = claims.get("attributes")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(text, str) and is_encodable(name) and is_encodable(text) for name, text in value.items()
    ):
        raise _malformed("attributes", "an object of strings")
    return value


def _sources(video: dict[str, Any]) -> tuple[str, ...]:
    value = video.get("canPublishSources")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name.lower() in SOURCES for name in value):
        raise _malformed("canPublishSources", f"a list of {', '.join(SOURCES)}")
    return tuple(name.lower() for name in value)


def is_encodable(text: str) -> bool:
    """Whether a string has a UTF-8 form: unlike UTF-8, JSON may contain a lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _malformed(name: str, accepted: str) -> GrantError:
    return _unauthorized(f"its claim `{name}` must be {accepted}")


def _unauthorized(reason: str) -> GrantError:
    return GrantError(401, f"invalid authorization token: {reason}")
