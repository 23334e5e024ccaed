"""Who a token stands for."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may start sessions; a guest has no account."""

    id: str
    username: str
    is_guest: bool


class AuthError(Exception):
    """A token that is missing, forged, expired or not for this server; the message is meant for the client."""


class Verifier(Protocol):
    """The seam every transport authenticates through."""

    def verify(self, token: str) -> User:
        """The user a token stands for, or `AuthError`."""
        ...
