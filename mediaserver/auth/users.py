"""The authenticated user, and the interface that verifies tokens."""

from dataclasses import dataclass, field
from typing import Protocol

GUEST_PREFIX = "guest-"
"""The beginning of every guest's id, and of no account's."""


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user; a guest has no account. `login` is the id of the login that the token came from."""

    id: str
    username: str
    is_guest: bool
    login: str = field(default="", compare=False)


def is_guest(user_id: str) -> bool:
    """Whether an id is that of a guest."""
    return user_id.startswith(GUEST_PREFIX)


class AuthError(Exception):
    """The token is missing, forged, expired, revoked or for another server; the message is for the client."""


class Verifier(Protocol):
    """Verifies access tokens for every transport."""

    def verify(self, token: str) -> User:
        """Verify a token and return its user; raises `AuthError`."""
        ...

    def check(self, user: User) -> None:
        """Raise `AuthError` if a user whose token was verified before has been revoked since, or their login has."""
        ...
