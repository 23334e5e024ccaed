"""Access tokens: JWT with HS256 only, issuer and audience (RFC 7519, RFC 8725)."""

import time
import uuid

import jwt

from mediaserver.auth.revocations import Revocations
from mediaserver.auth.users import GUEST_PREFIX, AuthError, User

ALGORITHM = "HS256"
ISSUER = "mediaserver"
AUDIENCE = "mediaserver"
ACCESS_SECONDS = 3600
LEEWAY_SECONDS = 10
MAX_TOKEN = 4096


class Tokens:
    """Signs and verifies access tokens with one secret; a token whose user or login is revoked is refused."""

    def __init__(self, secret: str, revocations: Revocations | None = None):
        self._secret = secret
        self.revocations = Revocations() if revocations is None else revocations

    def issue(self, user: User) -> str:
        """Issue an access token for `user` that is valid for an hour."""
        now = int(time.time())
        claims = {
            "sub": user.id,
            "name": user.username,
            "guest": user.is_guest,
            "sid": user.login,
            "iat": now,
            "exp": now + ACCESS_SECONDS,
            "jti": uuid.uuid4().hex,
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return jwt.encode(claims, self._secret, ALGORITHM)

    def verify(self, token: str) -> User:
        """Verify a token and return its user; raises `AuthError`."""
        if len(token) > MAX_TOKEN:
            raise AuthError("The token is not valid.")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_SECONDS,
                # `iat` is required and not compared: after the clock was set back, tokens from before are still good.
                options={"require": ["sub", "exp", "iat", "jti", "iss", "aud"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise AuthError("The token has expired; get a new one.") from None
        except jwt.InvalidTokenError:
            raise AuthError("The token is not valid.") from None
        match claims:
            case {"sub": str(user_id), "name": str(name), "guest": bool(is_guest)}:
                user = User(user_id, name, is_guest, _login(claims.get("sid")))
            case _:
                raise AuthError("The token is not valid.")
        self.check(user)
        return user

    def check(self, user: User) -> None:
        """Raise `AuthError` if a user whose token was verified before has been revoked since, or their login has."""
        if user.id in self.revocations or user.login in self.revocations:
            raise AuthError("The token was revoked; log in.")


def new_guest() -> User:
    """Make a guest: a user without an account, with a random id."""
    return User(f"{GUEST_PREFIX}{uuid.uuid4().hex}", "guest", is_guest=True)


def _login(claim: object) -> str:
    # Tokens from before this claim existed have none.
    return claim if isinstance(claim, str) else ""
