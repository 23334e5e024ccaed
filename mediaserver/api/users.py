"""Accounts over HTTP: registration, login, logout, profile and settings."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, SecretStr

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_body
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.user_schemas import (
    ChangedProfile,
    Credentials,
    Deletion,
    LoginResponse,
    Profile,
    ProfileChange,
    RefreshBody,
    Registered,
    Registration,
    UserSettings,
)
from mediaserver.auth.accounts import Accounts, NewPassword, PasswordRequiredError
from mediaserver.auth.lockout import CredentialsError, LockedOut, LoginClient, name_digest
from mediaserver.auth.passwords import BusyError
from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.caller import address_of_request, network_of, network_of_request
from mediaserver.http_errors import HttpError, bearer
from mediaserver.http_route import Route
from mediaserver.store.database import read_in_time
from mediaserver.store.interface import StoreError, TakenError

_RETRY_STORE = 5
_RETRY_BUSY = 2
_TAGS = ("users",)

NAMES_PER_ADDRESS = 6
"""The login rate of an address in all, as a multiple of that for one name; clients that logged in before are exempt."""

_ME = "/api/v1/users/me"
_SETTINGS = "/api/v1/users/me/settings"


M = TypeVar("M", bound=BaseModel)


async def _do_nothing(_: str) -> None:
    return None


class Users:
    """Handles `/api/v1/users/...`; `after_delete` is awaited with the id of a user who was deleted."""

    def __init__(
        self,
        accounts: Accounts,
        verifier: Verifier,
        *,
        login_limiter: SlidingWindowRateLimiter,
        api_limiter: SlidingWindowRateLimiter,
        is_registration_open: bool,
        after_delete: Callable[[str], Awaitable[None]] = _do_nothing,
    ):
        self._accounts = accounts
        self._verifier = verifier
        self._login_limiter = login_limiter
        self._api_limiter = api_limiter
        self._is_registration_open = is_registration_open
        self._after_delete = after_delete

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route(
                method="POST",
                path="/api/v1/users/register",
                handler=self.register,
                summary="Make an account",
                tags=_TAGS,
                body=Registration,
                answers={201: Registered},
                errors=(403, 409, 429, 503),
            ),
            Route(
                method="POST",
                path="/api/v1/users/login",
                handler=self.login,
                summary="Log in with a username or an email",
                tags=_TAGS,
                body=Credentials,
                answers={200: LoginResponse},
                errors=(401, 429, 503),
            ),
            Route(
                method="POST",
                path="/api/v1/users/refresh",
                handler=self.refresh,
                summary="Exchange a refresh token for new tokens; it works once",
                tags=_TAGS,
                body=RefreshBody,
                answers={200: LoginResponse},
                errors=(401, 429, 503),
            ),
            Route(
                method="POST",
                path="/api/v1/users/logout",
                handler=self.logout,
                summary="Revoke a refresh token and all tokens of the same login",
                tags=_TAGS,
                body=RefreshBody,
                answers={204: None},
                errors=(429, 503),
            ),
            Route(
                method="GET",
                path=_ME,
                handler=self.show,
                summary="Who I am",
                tags=_TAGS,
                answers={200: Profile},
                needs_token=True,
                errors=(429, 503),
            ),
            Route(
                method="PATCH",
                path=_ME,
                handler=self.change,
                summary="Change my profile or password",
                tags=_TAGS,
                body=ProfileChange,
                answers={200: ChangedProfile},
                needs_token=True,
                errors=(403, 409, 429, 503),
            ),
            Route(
                method="DELETE",
                path=_ME,
                handler=self.delete,
                summary="Delete me with all that is stored of me; an account needs its password",
                tags=_TAGS,
                body=Deletion,
                is_body_optional=True,
                answers={204: None},
                needs_token=True,
                errors=(403, 429, 503),
            ),
            Route(
                method="GET",
                path=_SETTINGS,
                handler=self.show_settings,
                summary="The defaults of my sessions",
                tags=_TAGS,
                answers={200: UserSettings},
                needs_token=True,
                errors=(429, 503),
            ),
            Route(
                method="PUT",
                path=_SETTINGS,
                handler=self.replace_settings,
                summary="Replace the defaults of my sessions",
                tags=_TAGS,
                body=UserSettings,
                answers={200: UserSettings},
                needs_token=True,
                errors=(429, 503),
            ),
        )

    async def register(self, request: web.Request) -> web.Response:
        """Create an account, 201; 409 for a taken name or email; 403 where registration is closed."""
        self._login_limiter.admit(f"register {network_of_request(request)}")
        if not self._is_registration_open:
            raise HttpError(403, "FORBIDDEN", "This server takes no registrations; ask its operator for an account.")
        body = await read_body(request, Registration)
        with store_errors_as_http():
            account = await self._accounts.register(
                username=body.username,
                email=body.email,
                full_name=body.full_name,
                password=body.password.get_secret_value(),
                guest_token=_guest_token(request, body.guest_token),
            )
        return json_response(Registered.of(account), 201)

    async def login(self, request: web.Request) -> web.Response:
        """Issue tokens, 200; the same 401 for a wrong name and a wrong password."""
        body = await self._read(request, Credentials)
        with store_errors_as_http():
            client = await self._accounts.login_client(
                body.username, address_of_request(request), _revealed(body.refresh_token)
            )
            self._admit_login(body.username, client)
            grant = await self._accounts.login(
                body.username,
                body.password.get_secret_value(),
                client=client,
                guest_token=_guest_token(request, body.guest_token),
            )
        return json_response(LoginResponse.of(grant))

    async def refresh(self, request: web.Request) -> web.Response:
        """Exchange a refresh token for new tokens, 200; 401 if it is unknown, expired or used."""
        body = await self._read(request, RefreshBody)
        with store_errors_as_http():
            await self._admit_token(request, body, self._login_limiter)
            grant = await self._accounts.refresh(body.refresh_token.get_secret_value())
        return json_response(LoginResponse.of(grant))

    async def logout(self, request: web.Request) -> web.Response:
        """Revoke a refresh token; 204 for any token, valid or not."""
        body = await self._read(request, RefreshBody)
        with store_errors_as_http():
            await self._admit_token(request, body, self._api_limiter)
            await self._accounts.logout(body.refresh_token.get_secret_value())
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.Response:
        """Return the user's profile."""
        user = self._user(request)
        with store_errors_as_http():
            return json_response(Profile.of(user, await read_in_time(self._accounts.account(user))))

    async def change(self, request: web.Request) -> web.Response:
        """Change the profile and return it; 403 for guests and for a wrong current password."""
        user = self._user(request)
        body = await read_body(request, ProfileChange)
        if user.is_guest:
            raise HttpError(403, "FORBIDDEN", "A guest has no account to change; register one.")
        current = _revealed(body.current_password)
        with store_errors_as_http(), _password_errors_as_http():
            if body.password is None:
                account = await self._accounts.change(user, body.apply, current_password=current)
                return json_response(ChangedProfile(**Profile.of(user, account).model_dump(), tokens=None))
            if current is None:
                raise PasswordRequiredError
            password = NewPassword(current, body.password.get_secret_value())
            grant = await self._accounts.change_with_password(user, body.apply, password)
        tokens = LoginResponse.of(grant)
        return json_response(ChangedProfile(**tokens.user.model_dump(), tokens=tokens))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the user with all stored data; respond 204, or 403 for a wrong password."""
        user = self._user(request)
        body = await read_body(request, Deletion) if request.body_exists else Deletion()
        with store_errors_as_http(), _password_errors_as_http():
            await self._accounts.prove_password(user, _revealed(body.current_password))
            await self._accounts.delete(user)
        # Now that no token of the user starts another session.
        await self._after_delete(user.id)
        return web.Response(status=204)

    async def show_settings(self, request: web.Request) -> web.Response:
        """Return the session defaults; null means the server's default."""
        user = self._user(request)
        with store_errors_as_http():
            return json_response(UserSettings.of(await read_in_time(self._accounts.preferences(user))))

    async def replace_settings(self, request: web.Request) -> web.Response:
        """Replace the session defaults and return them; a field that is left out is null."""
        user = self._user(request)
        body = await read_body(request, UserSettings)
        with store_errors_as_http():
            await self._accounts.set_preferences(user, body.preferences())
        return json_response(body)

    def _user(self, request: web.Request) -> User:
        return authenticate(request, self._verifier, self._api_limiter)

    async def _read(self, request: web.Request, model: type[M]) -> M:
        """Read a body, and count it by address if it is invalid."""
        try:
            return await read_body(request, model)
        except HttpError:
            self._login_limiter.admit(f"invalid {network_of_request(request)}")
            raise

    def _admit_login(self, name: str, client: LoginClient) -> None:
        """Count a login by its device, else by network if it has not logged in before, and by name and network."""
        if client.device is not None:
            self._login_limiter.admit(f"device {client.device}")
            return
        network = network_of(client.address)
        if not client.is_known:
            self._login_limiter.admit(f"logins {network}", NAMES_PER_ADDRESS)
        self._login_limiter.admit(f"login {network} {name_digest(name)}")

    async def _admit_token(self, request: web.Request, body: RefreshBody, limiter: SlidingWindowRateLimiter) -> None:
        """Count a refresh token by its login, and an unknown one by address."""
        family = await self._accounts.family_of(body.refresh_token.get_secret_value())
        limiter.admit(f"unknown {network_of_request(request)}" if family is None else f"family {family}")


@contextmanager
def store_errors_as_http() -> Iterator[None]:
    """Translate errors of accounts and the store to `HttpError`."""
    try:
        yield
    except CredentialsError:
        raise HttpError(401, "INVALID_CREDENTIALS", "The name or the password is wrong.") from None
    except AuthError as error:
        raise HttpError(401, "UNAUTHORIZED", str(error)) from None
    except TakenError as error:
        message = f"An account with this {error.field} exists."
        raise HttpError(409, f"{error.field.upper()}_TAKEN", message, details={"field": error.field}) from None
    except LockedOut as error:
        message = f"Too many wrong passwords. Try again in {error.retry_after} s."
        raise HttpError(429, "RATE_LIMITED", message, retry_after=error.retry_after) from None
    except BusyError:
        message = "Too many people are logging in. Try again soon."
        raise HttpError(503, "BUSY", message, retry_after=_RETRY_BUSY) from None
    except StoreError:
        message = "The database does not answer. Try again soon."
        raise HttpError(503, "STORE_UNAVAILABLE", message, retry_after=_RETRY_STORE) from None


@contextmanager
def _password_errors_as_http() -> Iterator[None]:
    """Translate the errors of `current_password`."""
    try:
        yield
    except PasswordRequiredError:
        message = "Required to change the email or the password, and to delete the account: the password until now."
        raise HttpError(
            422,
            "INVALID_FIELDS",
            f"`current_password`: {message}",
            details={"fields": [{"field": "current_password", "message": message}]},
        ) from None
    except CredentialsError:
        # Not 401: the bearer token is good.
        raise HttpError(403, "WRONG_PASSWORD", "`current_password` is not your password.") from None


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _guest_token(request: web.Request, field: SecretStr | None) -> str | None:
    """Read the guest token to adopt: from the body, else the bearer token; None without either."""
    if field is not None:
        return field.get_secret_value()
    if "Authorization" not in request.headers:
        return None
    try:
        return bearer(request)
    except HttpError:
        return None
