"""Accounts on the terminal."""

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from mediaserver.auth.accounts import Accounts
from mediaserver.auth.lockout import LoginClient
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.auth.users import AuthError
from mediaserver.cli import users as users_cli
from mediaserver.cli.arguments import parse
from mediaserver.store.interface import Store, StoreError, TakenError

PASSWORD = "correct horse battery"


@dataclass
class Terminal:
    """An operator at the keyboard."""

    store: Store
    passwords: Passwords
    typed: list[str] = field(default_factory=list)
    out: str = ""
    err: str = ""

    async def run(self, *arguments: str, password: str = PASSWORD) -> int:
        out, err = io.StringIO(), io.StringIO()

        def ask() -> str:
            self.typed.append(password)
            return password

        code = await users_cli.run(parse(["user", *arguments]), self.store, self.passwords, ask=ask, out=out, err=err)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def accounts(self) -> Accounts:
        return Accounts(self.store, Tokens("a secret of thirty-two bytes or more"), self.passwords)


@pytest.fixture
async def terminal(store: Store) -> AsyncIterator[Terminal]:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield Terminal(store, passwords)
    passwords.close()


async def test_who_is_added_can_log_in(terminal: Terminal) -> None:
    assert await terminal.run("add", "ada", "ada@example.org", "--full-name", "Ada Lovelace") == 0
    assert terminal.out.startswith("Added ada <ada@example.org>, id ")
    assert PASSWORD not in terminal.out
    grant = await terminal.accounts().login("ada", PASSWORD, client=LoginClient("here"))
    assert grant.account is not None
    assert grant.account.full_name == "Ada Lovelace"
    assert grant.account.created_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("name", "email", "message"),
    [
        ("a b", "ada@example.org", "username: accepts 3 to 32"),
        ("ada", "nobody", "email: accepts an email address"),
        ("GRACE", "ada@example.org", "An account with this username exists."),
        ("ada", "GRACE@example.org", "An account with this email exists."),
    ],
)
async def test_who_cannot_be_added_is_told_why(terminal: Terminal, name: str, email: str, message: str) -> None:
    await terminal.run("add", "grace", "grace@example.org")
    assert await terminal.run("add", name, email) == 1
    assert terminal.err.startswith(message)
    assert len(await terminal.store.accounts()) == 1


async def test_a_wrong_name_is_told_before_a_password_is_typed(terminal: Terminal) -> None:
    assert await terminal.run("add", "a b", "ada@example.org") == 1
    assert await terminal.run("password", "nobody") == 1
    assert terminal.typed == []


@pytest.mark.parametrize("arguments", [("add", "ada", "ada@example.org"), ("password", "grace")])
async def test_a_short_password_is_not_taken_and_not_shown(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    await terminal.run("add", "grace", "grace@example.org")
    assert await terminal.run(*arguments, password="short12") == 1
    assert terminal.err == "password: accepts a password of 8 to 128 characters\n"
    await terminal.accounts().login("grace", PASSWORD, client=LoginClient("here"))


async def test_a_name_taken_while_the_password_is_typed_is_told(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(_: object) -> None:
        raise TakenError("email")

    monkeypatch.setattr(terminal.store, "add_account", taken)
    assert await terminal.run("add", "ada", "ada@example.org") == 1
    assert terminal.err == "An account with this email exists.\n"


async def test_a_new_password_logs_the_user_out(terminal: Terminal) -> None:
    await terminal.run("add", "ada", "ada@example.org")
    grant = await terminal.accounts().login("ada", PASSWORD, client=LoginClient("here"))
    assert await terminal.run("password", "ADA@example.org", password="a new password") == 0
    assert terminal.out.startswith("ada has a new password")
    assert terminal.out.endswith("A running server refuses earlier tokens within 2 s.\n")
    assert await terminal.store.revoked_since(datetime.now(UTC) - timedelta(minutes=1)) == (grant.user.login,)
    with pytest.raises(AuthError):
        await terminal.accounts().refresh(grant.refresh_token)
    await terminal.accounts().login("ada", "a new password", client=LoginClient("here"))


async def test_the_list_shows_everyone_but_no_hash(terminal: Terminal) -> None:
    assert await terminal.run("list") == 0
    assert terminal.out == "There are no accounts.\n"
    await terminal.run("add", "ada", "ada@example.org", "--full-name", "Ada Lovelace")
    await terminal.run("add", "grace", "grace@example.org")
    assert await terminal.run("list") == 0
    head, *lines = terminal.out.splitlines()
    assert head.split() == ["USERNAME", "EMAIL", "FULL", "NAME", "CREATED", "ID"]
    assert [line.split()[0] for line in lines] == ["ada", "grace"]
    assert "Ada Lovelace" in lines[0]
    assert "argon2" not in terminal.out


async def test_who_is_deleted_is_gone(terminal: Terminal) -> None:
    await terminal.run("add", "ada", "ada@example.org")
    assert await terminal.run("delete", "ada") == 0
    assert terminal.out.startswith("Deleted ada ")
    assert terminal.out.endswith("A running server ends live sessions within 2 s.\n")
    assert await terminal.store.accounts() == ()
    assert await terminal.run("delete", "ada") == 1
    assert terminal.err == "There is no account named ada.\n"


async def test_a_database_that_fails_is_told_in_one_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(terminal.store, "accounts", fail)
    assert await terminal.run("list") == 1
    assert terminal.err == "The database does not answer: disk full\n"


class Keyboard(io.StringIO):
    """A stdin that somebody sits at."""

    def isatty(self) -> bool:
        return True


def typing(*passwords: str) -> Callable[[str], str]:
    left = list(passwords)
    return lambda _: left.pop(0)


def test_a_piped_password_is_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" correct horse \r\nmore"))
    assert users_cli.ask_password() == " correct horse "


def test_a_typed_password_is_typed_twice_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", typing(PASSWORD, PASSWORD))
    assert users_cli.ask_password() == PASSWORD
    monkeypatch.setattr("getpass.getpass", typing(PASSWORD, "correct hrose"))
    with pytest.raises(users_cli.CommandError, match="differ"):
        users_cli.ask_password()
