"""Account management on the terminal: add, password, list, delete."""

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TextIO

from pydantic import BaseModel, ValidationError

from mediaserver.api.user_schemas import Password, Registration
from mediaserver.auth.accounts import new_account
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.revocations import PERIOD
from mediaserver.store.interface import Store, StoreError, TakenError
from mediaserver.store.records import Account


class CommandError(Exception):
    """The command cannot be carried out; the message is for the operator."""


class _NewPassword(BaseModel):
    password: Password


def ask_password() -> str:
    """Read a password from the terminal, twice and hidden, or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("The two passwords differ; nothing was changed.")
    return password


async def run(
    options: argparse.Namespace,
    store: Store,
    passwords: Passwords,
    *,
    ask: Callable[[], str] = ask_password,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run one command; returns 0 when done, 1 when it failed."""
    out, err = out or sys.stdout, err or sys.stderr
    try:
        match options.action:
            case "add":
                output = await _add(store, passwords, options, ask)
            case "password":
                output = await _set_password(store, passwords, options.name, ask)
            case "list":
                output = _table(await store.accounts())
            case _:
                output = await _delete(store, options.name)
    except CommandError as refused:
        err.write(f"{refused}\n")
        return 1
    except StoreError as error:
        err.write(f"The database does not answer: {error}\n")
        return 1
    out.write(output)
    return 0


async def _add(store: Store, passwords: Passwords, options: argparse.Namespace, ask: Callable[[], str]) -> str:
    given = {"username": options.name, "email": options.email, "full_name": options.full_name}
    try:
        # First with a valid password, so that the operator types none for an invalid name.
        Registration.model_validate({**given, "password": "x" * 8})
        body = Registration.model_validate({**given, "password": ask()})
    except ValidationError as error:
        raise CommandError(_faults(error, Registration)) from None
    for field, name in (("username", body.username), ("email", body.email)):
        if await store.account_named(name) is not None:
            raise _taken(field)
    password_hash = await passwords.hash(body.password.get_secret_value())
    account = new_account(body.username, body.email, body.full_name, password_hash, datetime.now(UTC))
    try:
        await store.add_account(account)
    except TakenError as error:
        raise _taken(error.field) from None
    return f"Added {account.username} <{account.email}>, id {account.id}.\n"


async def _set_password(store: Store, passwords: Passwords, name: str, ask: Callable[[], str]) -> str:
    account = await _named(store, name)
    try:
        body = _NewPassword.model_validate({"password": ask()})
    except ValidationError as error:
        raise CommandError(_faults(error, Registration)) from None
    password_hash = await passwords.hash(body.password.get_secret_value())
    await store.change_account(replace(account, password_hash=password_hash))
    await store.revoke_user(account.id, datetime.now(UTC))
    noticed = f"A running server refuses earlier tokens within {PERIOD:.0f} s."
    return f"{account.username} has a new password and is logged out everywhere. {noticed}\n"


async def _delete(store: Store, name: str) -> str:
    account = await _named(store, name)
    await store.forget_user(account.id)
    noticed = f"A running server ends live sessions within {PERIOD:.0f} s."
    return f"Deleted {account.username} with all sessions and settings. {noticed}\n"


async def _named(store: Store, name: str) -> Account:
    account = await store.account_named(name)
    if account is None:
        raise CommandError(f"There is no account named {name}.")
    return account


def _table(accounts: Sequence[Account]) -> str:
    if not accounts:
        return "There are no accounts.\n"
    rows = [("USERNAME", "EMAIL", "FULL NAME", "CREATED", "ID")]
    for account in accounts:
        created = f"{account.created_at:%Y-%m-%d %H:%M}"
        rows.append((account.username, account.email, account.full_name or "-", created, account.id))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _taken(field: str) -> CommandError:
    return CommandError(f"An account with this {field} exists.")


def _faults(error: ValidationError, model: type[BaseModel]) -> str:
    names = dict.fromkeys(str(fault["loc"][0]) for fault in error.errors(include_input=False))
    return "\n".join(f"{name}: accepts {model.model_fields[name].description}" for name in names)
