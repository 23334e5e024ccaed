"""Accounts, guests and their refresh tokens, which form one family per login."""

import asyncio
import hashlib
import secrets
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from loguru import logger

from mediaserver.auth.lockout import CredentialsError, Lockout, LoginClient
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import ACCESS_SECONDS, Tokens, new_guest
from mediaserver.auth.users import GUEST_PREFIX, AuthError, User
from mediaserver.caller import network_of
from mediaserver.store.interface import Store, StoreError, TakenError
from mediaserver.store.records import Account, Preferences, RefreshToken

REFRESH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of a login: an access token for `expires_in` seconds, and a refresh token that works once."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User
    account: Account | None


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A new password, with the current one as proof."""

    current: str
    new: str


class PasswordRequiredError(Exception):
    """This change needs the current password, and none was given."""


class Accounts:
    """Manages accounts, logins and tokens; `StoreError`, `BusyError` and `LockedOut` pass through.

    Access tokens are stateless. A logout, a new password and a deletion put the ids of logins and users on the
    revocation list of `tokens`, which refuses their tokens at once, and in the store, where it survives a restart.
    Refresh tokens exist in the store only.
    """

    def __init__(
        self,
        store: Store,
        tokens: Tokens,
        passwords: Passwords,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        lockout: Lockout | None = None,
    ):
        self._store = store
        self._tokens = tokens
        self._passwords = passwords
        self._clock = clock
        self._lockout = Lockout() if lockout is None else lockout
        # Held from the check of a token or password to the write that follows: otherwise a family that is revoked
        # between the two would survive in its newest token.
        self._lock = asyncio.Lock()

    async def register(
        self, *, username: str, email: str, full_name: str | None, password: str, guest_token: str | None = None
    ) -> Account:
        """Create an account, which adopts the guest's sessions; raises `TakenError`."""
        for field, name in (("username", username), ("email", email)):
            # Checked before the costly hash; `add_account` decides between two concurrent requests.
            if await self._store.account_named(name) is not None:
                raise TakenError(field)
        password_hash = await self._passwords.hash(password)
        account = new_account(username, email, full_name, password_hash, self._clock())
        await self._store.add_account(account)
        async with self._lock:
            await self._adopt(guest_token, account)
        return account

    async def login_client(self, name: str, address: str, refresh_token: str | None = None) -> LoginClient:
        """Find out whether a client has logged in by this name before: by its refresh token or by its network."""
        account = await self._store.account_named(name)
        owner = "" if account is None else account.id  # the same work, whether or not the name exists
        token = None if refresh_token is None else await self._usable(refresh_token)
        device = token.family if token is not None and token.owner == owner else None
        is_known = await self._store.is_known_network(owner, _network_digest(owner, address), self._clock())
        return LoginClient(address, device, is_known=is_known)

    async def login(self, name: str, password: str, *, client: LoginClient, guest_token: str | None = None) -> Grant:
        """Log in by username or email and password; raises `CredentialsError`."""
        async with self._lockout.attempt(name, client):
            account = await self._verify_password(await self._store.account_named(name), password)
        rehashed = await self._passwords.hash(password) if self._is_outdated(account) else None
        async with self._lock:
            account = await self._reload_if_unchanged(account, password)
            if rehashed is not None:
                account = replace(account, password_hash=rehashed)
                await self._store.change_account(account)
            await self._adopt(guest_token, account)
            network = _network_digest(account.id, client.address)
            await self._store.add_known_network(account.id, network, self._clock())
            return await self._grant(_user(account), account, uuid.uuid4().hex)

    async def guest(self) -> Grant:
        """Create a guest and issue its tokens."""
        return await self._grant(new_guest(), None, uuid.uuid4().hex)

    async def family_of(self, refresh_token: str) -> str | None:
        """Return the family of a refresh token, spent or not; None for an unknown one."""
        found = await self._store.token(_digest(refresh_token))
        return None if found is None else found.family

    async def refresh(self, token: str) -> Grant:
        """Exchange a refresh token for new tokens; a used one revokes its family. Raises `AuthError`."""
        async with self._lock:
            now = self._clock()
            spent = await self._store.spend_token(_digest(token), now)
            if spent is not None and spent.spent_at is not None:
                # Two clients hold it, and one of them stole it (RFC 9700 section 4.14.2).
                await self._revoke_family(spent.family)
                raise AuthError("The refresh token was used before; log in.")
            if spent is None or spent.expires_at <= now:
                raise AuthError("The refresh token is not valid (any more); log in.")
            if spent.is_guest:
                return await self._grant(User(spent.owner, spent.username, is_guest=True), None, spent.family)
            account = await self._store.account(spent.owner)
            if account is None:
                raise AuthError("This account does not exist any more.")
            return await self._grant(_user(account), account, spent.family)

    async def logout(self, token: str) -> None:
        """Revoke the family of a refresh token with its access tokens; an unknown token has no effect."""
        async with self._lock:
            spent = await self._store.spend_token(_digest(token), self._clock())
            if spent is not None:
                await self._revoke_family(spent.family)

    async def account(self, user: User) -> Account | None:
        """Return a user's account, None for a guest; raises `AuthError` if it was deleted."""
        if user.is_guest:
            return None
        account = await self._store.account(user.id)
        if account is None:
            raise AuthError("This account does not exist any more.")
        return account

    async def exists(self, user_id: str) -> bool:
        """Whether a user's account exists; True for a guest, and while the store does not answer.

        The revocation list works without the store, so an outage admits nobody who has logged out or was deleted.
        """
        if user_id.startswith(GUEST_PREFIX):
            return True
        try:
            return await self._store.account(user_id) is not None
        except StoreError as error:
            logger.warning("an account cannot be looked up", reason=str(error))
            return True

    async def change(
        self, user: User, edit: Callable[[Account], Account], *, current_password: str | None = None
    ) -> Account:
        """Change a profile; a new email needs the current password.

        Raises `PasswordRequiredError`, `CredentialsError`, `TakenError`, and `AuthError` without an account.
        """
        account = await self._require_account(user)
        is_proven = edit(account).email != account.email
        if is_proven:
            await self._prove_password(user, account, current_password)
        async with self._lock:
            if is_proven and current_password is not None:
                account = await self._reload_if_unchanged(account, current_password)
            else:
                account = await self._require_account(user)
            changed = edit(account)
            if changed.email != account.email and not is_proven:
                raise PasswordRequiredError  # the email was changed by another request since the first look
            await self._store.change_account(changed)
            return changed

    async def change_with_password(
        self, user: User, edit: Callable[[Account], Account], password: NewPassword
    ) -> Grant:
        """Change profile and password in one step and revoke all logins; returns a new one for this client.

        Raises `CredentialsError`, `TakenError`, and `AuthError` without an account.
        """
        account = await self._require_account(user)
        await self._prove_password(user, account, password.current)
        password_hash = await self._passwords.hash(password.new)
        async with self._lock:
            account = replace(
                edit(await self._reload_if_unchanged(account, password.current)), password_hash=password_hash
            )
            await self._store.change_account(account)
            self._tokens.revocations.add(await self._store.revoke_user(user.id, self._clock()))
            return await self._grant(_user(account), account, uuid.uuid4().hex)

    async def prove_password(self, user: User, password: str | None) -> None:
        """Check a user's password, unless the user is a guest, who has none.

        Raises `PasswordRequiredError`, `CredentialsError`, and `AuthError` if the account was deleted.
        """
        account = await self.account(user)
        if account is not None:
            await self._prove_password(user, account, password)

    async def delete(self, user: User) -> None:
        """Delete a user with all stored data and refuse their tokens from now on."""
        async with self._lock:
            await self._store.forget_user(user.id)
            self._tokens.revocations.add((user.id,))

    async def take_back(self, ids: Collection[str]) -> None:
        """Refuse LiveKit tokens by their revocation ids."""
        await self._store.revoke(ids, self._clock())
        self._tokens.revocations.add(ids)

    async def preferences(self, user: User) -> Preferences:
        """Return a user's session defaults; raises `AuthError` if the account was deleted."""
        await self.account(user)
        return await self._store.preferences(user.id)

    async def set_preferences(self, user: User, preferences: Preferences) -> None:
        """Replace a user's session defaults; raises `AuthError` if the account was deleted."""
        async with self._lock:
            await self.account(user)
            await self._store.set_preferences(user.id, preferences)

    async def _prove_password(self, user: User, account: Account, password: str | None) -> None:
        if password is None:
            raise PasswordRequiredError
        # The access token proves a device, so guesses with a stolen one keep nobody else out.
        client = LoginClient(device=user.login or f"without login {user.id}")
        async with self._lockout.attempt(account.username, client):
            await self._verify_password(account, password)

    async def _usable(self, refresh_token: str) -> RefreshToken | None:
        """Return a refresh token that could be exchanged now."""
        found = await self._store.token(_digest(refresh_token))
        return found if found is not None and found.spent_at is None and found.expires_at > self._clock() else None

    async def _revoke_family(self, family: str) -> None:
        await self._store.revoke_family(family, self._clock())
        self._tokens.revocations.add((family,))

    async def _verify_password(self, account: Account | None, password: str) -> Account:
        is_right = await self._passwords.matches(password, account.password_hash if account else None)
        if account is None or not is_right:
            raise CredentialsError
        return account

    def _is_outdated(self, account: Account) -> bool:
        return self._passwords.is_outdated(account.password_hash)

    async def _require_account(self, user: User) -> Account:
        account = await self.account(user)
        if account is None:
            raise AuthError("A guest has no account.")
        return account

    async def _reload_if_unchanged(self, proven: Account, password: str) -> Account:
        """Reload the account, and verify the password again if its hash has changed."""
        account = await self._store.account(proven.id)
        if account is None or account.password_hash != proven.password_hash:
            return await self._verify_password(account, password)
        return account

    async def _adopt(self, guest_token: str | None, account: Account) -> None:
        """Move a guest's sessions and preferences to an account; any other token has no effect."""
        if guest_token is None:
            return
        try:
            guest = self._tokens.verify(guest_token)
        except AuthError:
            return
        if not guest.is_guest:
            return
        await self._store.adopt(guest.id, account.id)
        if await self._store.preferences(account.id) == Preferences():
            await self._store.set_preferences(account.id, await self._store.preferences(guest.id))
        # The access token stays good for its hour: a conversation that the guest has begun goes on.
        await self._store.delete_tokens(guest.id)

    async def _grant(self, user: User, account: Account | None, family: str) -> Grant:
        token = secrets.token_urlsafe(32)
        now = self._clock()
        await self._store.add_token(
            RefreshToken(
                id=_digest(token),
                family=family,
                owner=user.id,
                username=user.username,
                is_guest=user.is_guest,
                issued_at=now,
                expires_at=now + timedelta(days=REFRESH_DAYS),
            )
        )
        user = replace(user, login=family)
        return Grant(self._tokens.issue(user), token, ACCESS_SECONDS, user, account)


def new_account(username: str, email: str, full_name: str | None, password_hash: str, now: datetime) -> Account:
    """Make a new account with a random id; it is not stored yet."""
    return Account(uuid.uuid4().hex, username, email, full_name, password_hash, now)


def _user(account: Account) -> User:
    return User(account.id, account.username, is_guest=False)


def _network_digest(account: str, address: str) -> str:
    # With the account's id: a table of digests of addresses alone would be read in minutes.
    return hashlib.sha256(f"{account} {network_of(address)}".encode()).hexdigest()


def _digest(token: str) -> str:
    # 256 random bits need no slow hash; a stored digest cannot be used to log in.
    return hashlib.sha256(token.encode()).hexdigest()
