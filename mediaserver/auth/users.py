"""The authenticated user, and the interface that verifies tokens."""

from dataclasses import dataclass
from typing import Protocol

GUEST_PREFIX = "guest-"
"""The beginning of every guest's id, and of no account's."""


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user; a guest has no account."""

    id: str
    username: str
    is_guest: bool


def is_guest(user_id: str) -> bool:
    """Whether an id is that of a guest."""
    return user_id.startswith(GUEST_PREFIX)


class AuthError(Exception):
    """The token is missing, forged, expired or for another server; the message is for the client."""


class Verifier(Protocol):
    """Verifies access tokens for every transport."""

    def verify(self, token: str) -> User:
        """Verify a token and return its user; raises `AuthError`."""
        ...
