"""Accounts and the families of refresh tokens."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from argon2 import PasswordHasher

from mediaserver.auth.accounts import Accounts, Grant, NewPassword
from mediaserver.auth.lockout import CredentialsError, LockedOut, Lockout, LoginClient
from mediaserver.auth.passwords import BusyError, Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.auth.users import AuthError, User
from mediaserver.store.interface import Store, TakenError
from mediaserver.store.records import Account, Preferences, RefreshToken, SessionRecord

SECRET = "a secret of thirty-two bytes or more"
PASSWORD = "correct horse battery"
HERE = "192.0.2.1"


class CountingHasher(PasswordHasher):
    """Cheap, and counts its work."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.hashed = 0
        self.verified = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's own name
        self.verified += 1
        return super().verify(hash, password)


@dataclass
class Clock:
    """A day that passes when it is told to."""

    now: datetime = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class AccountsHarness:
    """Accounts on a store, with what they were made of."""

    store: Store
    clock: Clock
    hasher: CountingHasher
    tokens: Tokens
    passwords: Passwords
    accounts: Accounts

    def restarted(self) -> Accounts:
        return Accounts(self.store, Tokens(SECRET), self.passwords, self.clock)

    async def ada(self) -> Account:
        return await self.accounts.register(
            username="Ada", email="ada@example.org", full_name="Ada L.", password=PASSWORD
        )

    async def login(self, name: str = "ada", password: str = PASSWORD) -> Grant:
        return await self.accounts.login(name, password, client=LoginClient(HERE))


@pytest.fixture
def harness(store: Store) -> Iterator[AccountsHarness]:
    clock, hasher, tokens = Clock(), CountingHasher(), Tokens(SECRET)
    passwords = Passwords(hasher)
    accounts = Accounts(store, tokens, passwords, clock, lockout=Lockout(lambda: 0.0))
    yield AccountsHarness(store, clock, hasher, tokens, passwords, accounts)
    passwords.close()


async def is_alive(accounts: Accounts, token: str) -> bool:
    try:
        await accounts.refresh(token)
    except AuthError:
        return False
    return True


def same(account: Account) -> Account:
    return account


async def test_username_and_email_let_in_in_any_case(harness: AccountsHarness) -> None:
    ada = await harness.ada()
    for name in ("Ada", "aDA", "ADA@example.org"):
        grant = await harness.login(name)
        assert grant.account == ada
        assert harness.tokens.verify(grant.access_token) == User(ada.id, "Ada", is_guest=False)


async def test_a_password_is_kept_as_argon2id_only(harness: AccountsHarness) -> None:
    ada = await harness.ada()
    assert ada.password_hash.startswith("$argon2id$")
    assert PASSWORD not in str(ada)


async def test_an_unknown_name_costs_the_work_of_a_wrong_password(harness: AccountsHarness) -> None:
    await harness.ada()
    work = []
    for name in ("ada", "nobody", "ada@example.org", "nobody@example.org"):
        before = (harness.hasher.hashed, harness.hasher.verified)
        with pytest.raises(CredentialsError):
            await harness.login(name, "wrong password")
        work.append((harness.hasher.hashed - before[0], harness.hasher.verified - before[1]))
    assert work == [(0, 1)] * 4


async def test_lockout_does_not_tell_whether_a_name_exists(store: Store) -> None:
    passwords = Passwords(CountingHasher())
    now = [0.0]
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    accounts = Accounts(store, Tokens(SECRET), passwords, lockout=Lockout(lambda: now[0], sleep=sleep))
    await accounts.register(username="ada", email="ada@example.org", full_name=None, password=PASSWORD)

    async def outcomes(name: str, block: int) -> list[object]:
        raised: list[object] = []
        delays.clear()
        for attempt in range(20):
            client = await accounts.login_client(name, f"10.{block}.0.{attempt // 7}")
            try:
                await accounts.login(name, "wrong password", client=client)
            except (CredentialsError, LockedOut) as error:
                raised.append((type(error), error.args))
            now[0] += 1.0
        return [*raised, *delays]

    somebody, nobody = await outcomes("ada", 1), await outcomes("nobody", 2)
    assert somebody == nobody
    assert (LockedOut, ("locked for 1 s",)) in somebody
    assert 1.0 in somebody
    passwords.close()


async def test_a_locked_name_is_refused_without_work_even_with_the_right_password(harness: AccountsHarness) -> None:
    await harness.ada()
    for _ in range(5):
        with pytest.raises(CredentialsError):
            await harness.login("ada", "wrong password")
    before = harness.hasher.verified
    with pytest.raises(LockedOut):
        await harness.login()
    assert harness.hasher.verified == before


async def test_a_taken_name_is_told_apart_before_any_hashing(harness: AccountsHarness) -> None:
    await harness.ada()
    before = harness.hasher.hashed
    for username, email, field in (("ADA", "new@example.org", "username"), ("new", "ADA@example.org", "email")):
        with pytest.raises(TakenError) as raised:
            await harness.accounts.register(username=username, email=email, full_name=None, password=PASSWORD)
        assert raised.value.field == field
    assert harness.hasher.hashed == before


async def test_of_two_who_register_one_name_at_once_one_gets_it(harness: AccountsHarness) -> None:
    both = await asyncio.gather(harness.ada(), harness.ada(), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in both) == ["Account", "TakenError"]


async def test_a_password_of_old_parameters_is_hashed_anew_at_login(harness: AccountsHarness) -> None:
    ada = await harness.ada()
    stronger = Passwords(CountingHasher(time_cost=2))
    accounts = Accounts(harness.store, harness.tokens, stronger, harness.clock)
    both = await asyncio.gather(*(accounts.login("ada", PASSWORD, client=LoginClient(HERE)) for _ in range(2)))
    kept = await harness.store.account(ada.id)
    assert kept is not None
    assert not stronger.is_outdated(kept.password_hash)
    assert all(grant.account is not None for grant in both)
    await accounts.login("ada", PASSWORD, client=LoginClient(HERE))
    stronger.close()


async def test_a_refresh_token_works_once_and_its_successor_after_it(harness: AccountsHarness) -> None:
    await harness.ada()
    first = await harness.login()
    second = await harness.accounts.refresh(first.refresh_token)
    third = await harness.accounts.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert harness.tokens.verify(third.access_token).username == "Ada"


async def test_reuse_of_a_spent_token_ends_its_family_and_no_other(harness: AccountsHarness) -> None:
    await harness.ada()
    stolen, other = await harness.login(), await harness.login()
    newest = await harness.accounts.refresh(stolen.refresh_token)
    with pytest.raises(AuthError, match="used before"):
        await harness.accounts.refresh(stolen.refresh_token)
    assert not await is_alive(harness.accounts, newest.refresh_token)
    assert await is_alive(harness.accounts, other.refresh_token)


async def test_of_two_who_spend_one_token_at_once_none_keeps_the_family(
    harness: AccountsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.ada()
    grant = await harness.login()
    add_token, is_spent, go = harness.store.add_token, asyncio.Event(), asyncio.Event()

    async def add_late(token: RefreshToken) -> None:
        is_spent.set()
        await go.wait()
        await add_token(token)

    monkeypatch.setattr(harness.store, "add_token", add_late)
    first = asyncio.create_task(harness.accounts.refresh(grant.refresh_token))
    await is_spent.wait()
    second = asyncio.create_task(harness.accounts.refresh(grant.refresh_token))
    await asyncio.wait([second], timeout=0.1)  # long enough to be told of the reuse, if it did not wait its turn
    go.set()
    newest = await first
    with pytest.raises(AuthError, match="used before"):
        await second
    assert not await is_alive(harness.accounts, newest.refresh_token)


async def test_a_restart_keeps_families_and_revives_none(harness: AccountsHarness) -> None:
    await harness.ada()
    kept, reused, left = await harness.login(), await harness.login(), await harness.login()
    newest = await harness.accounts.refresh(reused.refresh_token)
    assert not await is_alive(harness.accounts, reused.refresh_token)
    await harness.accounts.logout(left.refresh_token)
    again = harness.restarted()
    for token in (reused.refresh_token, newest.refresh_token, left.refresh_token):
        assert not await is_alive(again, token)
    assert await is_alive(again, kept.refresh_token)


async def test_a_token_spent_before_a_restart_ends_its_family_after_it(harness: AccountsHarness) -> None:
    await harness.ada()
    first = await harness.login()
    second = await harness.accounts.refresh(first.refresh_token)
    again = harness.restarted()
    assert not await is_alive(again, first.refresh_token)
    assert not await is_alive(again, second.refresh_token)


@pytest.mark.parametrize("who", ["account", "guest"])
async def test_refresh_tokens_expire_after_thirty_days_of_disuse(harness: AccountsHarness, who: str) -> None:
    await harness.ada()
    grant = await (harness.login() if who == "account" else harness.accounts.guest())
    harness.clock.now += timedelta(days=29)
    grant = await harness.accounts.refresh(grant.refresh_token)
    harness.clock.now += timedelta(days=30)
    assert not await is_alive(harness.accounts, grant.refresh_token)


async def test_a_guest_stays_the_same_guest(harness: AccountsHarness) -> None:
    guest = await harness.accounts.guest()
    later = await harness.accounts.refresh(guest.refresh_token)
    assert later.user == guest.user
    assert harness.tokens.verify(later.access_token) == guest.user
    assert later.account is None


async def test_refresh_tells_the_name_as_it_is_now(harness: AccountsHarness) -> None:
    await harness.ada()
    grant = await harness.login()
    await harness.accounts.change(grant.user, lambda account: replace(account, username="Countess"))
    later = await harness.accounts.refresh(grant.refresh_token)
    assert later.user.username == "Countess"


async def test_logout_ends_one_family_and_forgives_nonsense(harness: AccountsHarness) -> None:
    await harness.ada()
    here, there = await harness.login(), await harness.login()
    await harness.accounts.logout(here.refresh_token)
    await harness.accounts.logout(here.refresh_token)
    await harness.accounts.logout("nonsense")
    assert not await is_alive(harness.accounts, here.refresh_token)
    assert await is_alive(harness.accounts, there.refresh_token)


async def test_a_new_password_logs_out_everywhere_else(harness: AccountsHarness) -> None:
    await harness.ada()
    here, there = await harness.login(), await harness.login()
    password = NewPassword(PASSWORD, "a new password")
    grant = await harness.accounts.change_with_password(here.user, same, password)
    for token in (here.refresh_token, there.refresh_token):
        assert not await is_alive(harness.accounts, token)
    assert await is_alive(harness.accounts, grant.refresh_token)
    with pytest.raises(CredentialsError):
        await harness.login()
    assert await harness.login(password="a new password")


async def test_a_new_password_needs_the_current_one_and_guesses_at_it_are_counted(harness: AccountsHarness) -> None:
    await harness.ada()
    here = await harness.login()
    wrong = NewPassword("wrong password", "a new password")
    for _ in range(5):
        with pytest.raises(CredentialsError):
            await harness.accounts.change_with_password(here.user, same, wrong)
    with pytest.raises(LockedOut):
        await harness.accounts.change_with_password(here.user, same, wrong)
    assert await is_alive(harness.accounts, here.refresh_token)


async def test_who_loses_the_race_to_change_a_password_is_refused(harness: AccountsHarness) -> None:
    await harness.ada()
    here = await harness.login()
    outcomes = await asyncio.gather(
        *(
            harness.accounts.change_with_password(here.user, same, NewPassword(PASSWORD, new))
            for new in ("the first password", "the second password")
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CredentialsError", "Grant"]


async def test_a_login_with_a_password_that_is_changed_meanwhile_is_refused(harness: AccountsHarness) -> None:
    proven, go = threading.Event(), threading.Event()

    class StandingHasher(CountingHasher):
        """Stands still before it hashes anew, when the password is proven already."""

        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            proven.set()
            go.wait()
            return super().hash(password, salt=salt)

    ada = await harness.ada()
    changed = replace(ada, password_hash=await harness.passwords.hash("a new password"))
    passwords = Passwords(StandingHasher(time_cost=2))
    accounts = Accounts(harness.store, harness.tokens, passwords, harness.clock)
    login = asyncio.create_task(accounts.login("ada", PASSWORD, client=LoginClient(HERE)))
    await asyncio.to_thread(proven.wait)
    await harness.store.change_account(changed)
    go.set()
    with pytest.raises(CredentialsError):
        await login
    assert await harness.store.account(ada.id) == changed
    passwords.close()


async def test_a_deleted_user_is_refused_at_once(harness: AccountsHarness) -> None:
    await harness.ada()
    grant, other = await harness.login(), await harness.accounts.guest()
    await harness.accounts.set_preferences(grant.user, Preferences(voice="Puck"))
    await harness.accounts.delete(grant.user)
    with pytest.raises(AuthError):
        harness.tokens.verify(grant.access_token)
    assert not await is_alive(harness.accounts, grant.refresh_token)
    assert await harness.store.accounts() == ()
    assert await harness.store.preferences(grant.user.id) == Preferences()
    assert harness.tokens.verify(other.access_token) == other.user


async def test_a_deleted_user_whose_token_survives_a_restart_has_no_account(harness: AccountsHarness) -> None:
    await harness.ada()
    grant = await harness.login()
    await harness.accounts.delete(grant.user)
    again = harness.restarted()
    user = Tokens(SECRET).verify(grant.access_token)
    with pytest.raises(AuthError):
        await again.account(user)
    with pytest.raises(AuthError):
        await again.preferences(user)
    with pytest.raises(AuthError):
        await again.set_preferences(user, Preferences(voice="Puck"))
    with pytest.raises(AuthError):
        await again.change(user, same)


async def test_a_guest_has_no_account_to_change(harness: AccountsHarness) -> None:
    guest = await harness.accounts.guest()
    with pytest.raises(AuthError):
        await harness.accounts.change(guest.user, same)


@pytest.mark.parametrize("way", ["login", "register"])
async def test_an_account_takes_over_what_the_guest_did(harness: AccountsHarness, way: str) -> None:
    guest, stranger = await harness.accounts.guest(), await harness.accounts.guest()
    now = harness.clock.now
    for name, owner in (("mine", guest), ("theirs", stranger)):
        await harness.store.write(
            [SessionRecord(name, owner.user.id, name, "whip", "local", "local", "en", started_at=now)]
        )
    await harness.accounts.set_preferences(guest.user, Preferences(language="de"))
    if way == "register":
        ada = await harness.accounts.register(
            username="ada", email="ada@example.org", full_name=None, password=PASSWORD, guest_token=guest.access_token
        )
    else:
        ada = await harness.ada()
        await harness.accounts.login("ada", PASSWORD, client=LoginClient(HERE), guest_token=guest.access_token)
    page = await harness.store.sessions(ada.id, limit=10, cursor=None)
    assert [record.id for record in page.sessions] == ["mine"]
    assert await harness.store.preferences(ada.id) == Preferences(language="de")
    assert not await is_alive(harness.accounts, guest.refresh_token)
    assert await is_alive(harness.accounts, stranger.refresh_token)


async def test_adoption_keeps_the_preferences_an_account_has(harness: AccountsHarness) -> None:
    ada = await harness.ada()
    guest = await harness.accounts.guest()
    await harness.accounts.set_preferences(guest.user, Preferences(language="de"))
    await harness.store.set_preferences(ada.id, Preferences(language="fr"))
    await harness.accounts.login("ada", PASSWORD, client=LoginClient(HERE), guest_token=guest.access_token)
    assert await harness.store.preferences(ada.id) == Preferences(language="fr")


async def test_only_a_guests_own_token_gives_anything_away(harness: AccountsHarness) -> None:
    await harness.ada()
    grace = await harness.accounts.register(
        username="grace", email="grace@example.org", full_name=None, password=PASSWORD
    )
    record = SessionRecord("hers", grace.id, "hers", "whip", "local", "local", "en", started_at=harness.clock.now)
    await harness.store.write([record])
    login = await harness.login("grace")
    hers = login.access_token
    forged = Tokens("another secret of thirty-two bytes").issue(User(grace.id, "guest", is_guest=True))
    for token in (hers, forged, "nonsense", ""):
        await harness.accounts.login("ada", PASSWORD, client=LoginClient(HERE), guest_token=token)
    page = await harness.store.sessions(grace.id, limit=10, cursor=None)
    assert [session.id for session in page.sessions] == ["hers"]
    assert await is_alive(harness.accounts, login.refresh_token)


async def test_a_server_too_busy_to_check_counts_no_failure(harness: AccountsHarness) -> None:
    await harness.ada()
    full = Passwords(harness.hasher, max_threads=1, max_waiting=-1)
    accounts = Accounts(harness.store, harness.tokens, full, harness.clock)
    for _ in range(10):
        with pytest.raises(BusyError):
            await accounts.login("ada", PASSWORD, client=LoginClient(HERE))
    full.close()
