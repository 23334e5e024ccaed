"""A bound on the long messages of one caller that are in memory at the same time."""

from collections.abc import Callable

MAX_BYTES = 16 << 20
"""Bytes of one caller's messages, beyond what each socket may always read; the longest message has 12 MiB."""


class Account:
    """The bytes of one socket that are counted."""

    def __init__(self, budget: "MessageBudget", caller: str, on_free: Callable[[], None]):
        self.caller = caller
        self.held = 0
        self.on_free = on_free
        self._budget = budget

    def charge(self, size: int) -> bool:
        """Count bytes that are to be read; if False, try again when `on_free` is called."""
        return self._budget.charge(self, size)

    def give_back(self, size: int) -> None:
        """Stop counting bytes."""
        if size:
            self._budget.give_back(self, size)

    def close(self) -> None:
        """Give everything back, and wait no more."""
        self._budget.close(self)


class MessageBudget:
    """Counts by caller. The socket that has held bytes for longest may always read on, so that one can finish."""

    def __init__(self, limit: int = MAX_BYTES):
        self._limit = limit
        # Of each caller, in the order in which they began.
        self._holders: dict[str, dict[Account, None]] = {}
        self._waiting: dict[str, dict[Account, None]] = {}

    def open_account(self, caller: str, on_free: Callable[[], None]) -> Account:
        """Open the account of a socket, which must be closed at its end; `caller` is `Caller.counted_as`."""
        return Account(self, caller, on_free)

    def charge(self, account: Account, size: int) -> bool:
        """Count bytes of an account, or let it wait."""
        holders = self._holders.get(account.caller, {})
        is_oldest = next(iter(holders), account) is account
        if not is_oldest and sum(each.held for each in holders) + size > self._limit:
            self._waiting.setdefault(account.caller, {})[account] = None
            return False
        account.held += size
        self._holders.setdefault(account.caller, {})[account] = None
        return True

    def give_back(self, account: Account, size: int) -> None:
        """Stop counting bytes of an account, and let those that wait try again."""
        account.held = max(0, account.held - size)
        if not account.held:
            self._remove(self._holders, account)
        for waiting in self._waiting.pop(account.caller, {}):
            waiting.on_free()

    def close(self, account: Account) -> None:
        """Forget an account."""
        self._remove(self._waiting, account)
        if account.held:
            self.give_back(account, account.held)

    def __len__(self) -> int:
        return sum(map(len, (*self._holders.values(), *self._waiting.values())))

    def _remove(self, accounts: dict[str, dict[Account, None]], account: Account) -> None:
        of_caller = accounts.get(account.caller, {})
        of_caller.pop(account, None)
        if not of_caller:
            accounts.pop(account.caller, None)
