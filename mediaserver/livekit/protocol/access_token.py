"""LiveKit's access tokens: who may do what in which room, and whose conversation it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jwt

ALGORITHM = "HS256"
LEEWAY = 60
"""Seconds by which the clocks of whoever signs may differ."""

MIN_REFRESHED = 600
"""Seconds that a refreshed token is good for at least."""

MAX_TOKEN = 16_000
MAX_NAME = 256
"""Characters of an identity, a name and a room's name."""

USER_CLAIM = "user"
"""The claim in this server's own tokens that says whose conversations they open; `sub` is only a name in the room."""

STRANGER = "livekit:"
"""Begins the owner of what a participant starts whose token another server has signed; their identity follows."""

ASSISTANT = "assistant"
"""The identity of the assistant, which nobody else may have."""

SOURCES = ("camera", "microphone", "screen_share", "screen_share_audio")


class GrantError(Exception):
    """A token that does not do: the HTTP status, and a sentence for the client that says what was wrong."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class AccessTokenClaims:
    """What a valid token allows. `owner`: whose conversation it is that this participant starts."""

    identity: str
    owner: str
    key: str
    """The API key it was signed with."""
    expires_at: float
    """Seconds since the epoch."""
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
    """Names of `SOURCES`; empty for all."""
    can_update_own_metadata: bool = False
    hidden: bool = False
    recorder: bool = False
    room_create: bool = False
    room_list: bool = False
    room_admin: bool = False

    @property
    def is_external(self) -> bool:
        """Whether another server has signed it, which says who comes in where."""
        return self.owner.startswith(STRANGER)


# PyJWT casts times to int unasked (api_jwt.py, _validate_exp), and Python's JSON takes Infinity and any depth.
_NO_TOKEN = (jwt.InvalidTokenError, ValueError, OverflowError, TypeError, RecursionError)

# Claims of `video` by field; what is absent has the field's default, which are LiveKit's.
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
    """The API keys of this server and their secrets: reads what they have signed, and signs again."""

    def __init__(self, secrets: Mapping[str, str], *, is_gone: Callable[[str], bool] = lambda _: False):
        self._secrets = dict(secrets)
        self._is_gone = is_gone

    def read(self, token: str) -> AccessTokenClaims:
        """What a token allows, or `GrantError` 401."""
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
                options={"require": ["exp"], "verify_aud": False, "verify_sub": False, "verify_jti": False},
            )
        except jwt.ExpiredSignatureError:
            raise _unauthorized("it has expired") from None
        except jwt.ImmatureSignatureError:
            raise _unauthorized("it is not valid yet") from None
        except jwt.InvalidSignatureError:
            raise _unauthorized("its signature is not that of its API key's secret") from None
        except jwt.MissingRequiredClaimError as error:
            raise _unauthorized(f"it has no `{error.claim}`") from None
        except _NO_TOKEN:
            raise _unauthorized("it is no JWT signed with HS256") from None
        grant = _grant(claims, key)
        if self._is_gone(grant.owner):
            raise _unauthorized("its user is no more")
        return grant

    def refresh(self, grant: AccessTokenClaims, now: float | None = None) -> str:
        """A token for the same, good for what is left of the old one, and for 10 minutes at least."""
        now = time.time() if now is None else now
        left = max(MIN_REFRESHED, grant.expires_at - now)
        return self.sign(replace(grant, expires_at=now + left), now)

    def sign(self, grant: AccessTokenClaims, now: float) -> str:
        """Sign a token with these claims, valid from `now` (s since the epoch)."""
        return jwt.encode(_payload(grant, now), self._secrets[grant.key], ALGORITHM)


class TokenIssuer:
    """Issues tokens that let this server's own users join a room, signed with one API key."""

    def __init__(self, key: str, secret: str, clock: Callable[[], float] = time.time):
        self._key = key
        self._keys = ApiKeys({key: secret})
        self._clock = clock

    def issue(
        self,
        *,
        owner: str,
        room: str,
        identity: str,
        name: str,
        metadata: str,
        attributes: Mapping[str, str],
        lifetime: float,
    ) -> str:
        """Sign a join token for a user, good for `lifetime` seconds."""
        now = self._clock()
        claims = AccessTokenClaims(
            identity=identity,
            owner=owner,
            key=self._key,
            expires_at=int(now) + lifetime,
            name=name,
            metadata=metadata,
            attributes=attributes,
            room=room,
            room_join=True,
            can_update_own_metadata=True,
        )
        return self._keys.sign(claims, now)


def check_join(grant: AccessTokenClaims, room: str | None = None) -> None:
    """Raise `GrantError` unless a grant lets its holder into its room, which is `room` if that is named."""
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
    """Raise `GrantError` 403 unless a grant lets its holder administrate `room`."""
    if not grant.room_admin or grant.room != room:
        raise GrantError(403, "permissions denied: needs a roomAdmin grant for this room")


def check_create(grant: AccessTokenClaims) -> None:
    """Raise `GrantError` 403 unless a grant lets its holder create and delete rooms."""
    if not grant.room_create:
        raise GrantError(403, "permissions denied: needs a roomCreate grant")


def check_list(grant: AccessTokenClaims) -> None:
    """Raise `GrantError` 403 unless a grant lets its holder list rooms."""
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
        payload[USER_CLAIM] = grant.owner
    return payload


def _issuer(token: str) -> str:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except _NO_TOKEN:
        raise _unauthorized("it is no JWT signed with HS256") from None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else ""


def _grant(claims: dict[str, Any], key: str) -> AccessTokenClaims:
    video = claims.get("video")
    video = {} if video is None else video
    if not isinstance(video, dict):
        raise _malformed("video", "an object")
    said = {field: _flag(video, claim) for claim, field in _VIDEO.items() if video.get(claim) is not None}
    identity = _text(claims, "sub") or _text(claims, "jti")
    return AccessTokenClaims(
        identity=identity,
        owner=_text(claims, USER_CLAIM) or STRANGER + identity,
        key=key,
        expires_at=_moment(claims["exp"]),
        name=_text(claims, "name"),
        metadata=_metadata(claims),
        attributes=_attributes(claims),
        kind=_text(claims, "kind").lower() or "standard",
        room=_text(video, "room"),
        can_publish_sources=_sources(video),
        **said,
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


def _moment(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _malformed("exp", "seconds since 1970") from None


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
    """Whether a string can be sent on: JSON may hold half a surrogate pair, UTF-8 not."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _malformed(name: str, accepted: str) -> GrantError:
    return _unauthorized(f"its claim `{name}` must be {accepted}")


def _unauthorized(reason: str) -> GrantError:
    return GrantError(401, f"invalid authorization token: {reason}")
