"""Access tokens: JWT with HS256 only, issuer and audience (RFC 7519, RFC 8725)."""

import time
import uuid

import jwt

from mediaserver.auth.users import GUEST_PREFIX, AuthError, User

ALGORITHM = "HS256"
ISSUER = "mediaserver"
AUDIENCE = "mediaserver"
ACCESS_SECONDS = 3600
LEEWAY_SECONDS = 10
MAX_TOKEN = 4096


class Tokens:
    """Signs and verifies access tokens with one secret."""

    def __init__(self, secret: str):
        self._secret = secret
        self._refused: dict[str, float] = {}

    def issue(self, user: User) -> str:
        """Issue an access token for `user` that is valid for an hour."""
        now = int(time.time())
        claims = {
            "sub": user.id,
            "name": user.username,
            "guest": user.is_guest,
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
                options={"require": ["sub", "exp", "iat", "jti", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise AuthError("The token has expired; get a new one.") from None
        except jwt.InvalidTokenError:
            raise AuthError("The token is not valid.") from None
        match claims:
            case {"sub": str(user_id), "name": str(name), "guest": bool(is_guest)} if not self.is_refused(user_id):
                return User(user_id, name, is_guest)
            case _:
                raise AuthError("The token is not valid.")

    def revoke(self, user_id: str) -> None:
        """Refuse the tokens of a deleted user; held in memory until the last of them has expired."""
        now = time.time()
        for known, until in list(self._refused.items()):
            if until < now:
                del self._refused[known]
        self._refused[user_id] = now + ACCESS_SECONDS + LEEWAY_SECONDS

    def is_refused(self, user_id: str) -> bool:
        """Whether the tokens of this user are refused because the user was deleted."""
        return user_id in self._refused


def new_guest() -> User:
    """Make a guest: a user without an account, with a random id."""
    return User(f"{GUEST_PREFIX}{uuid.uuid4().hex}", "guest", is_guest=True)
