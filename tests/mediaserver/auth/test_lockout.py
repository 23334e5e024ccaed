"""Limits on wrong passwords."""

from contextlib import AsyncExitStack

import pytest

from mediaserver.auth.lockout import (
    MAX_DELAY,
    MAX_FAILURES_PER_NAME,
    MAX_FAILURES_PER_NETWORK,
    CredentialsError,
    LockedOut,
    Lockout,
    LoginClient,
)

HERE, ELSEWHERE = LoginClient("192.0.2.1"), LoginClient("198.51.100.1")
KNOWN = LoginClient("192.0.2.1", is_known=True)
DEVICE = LoginClient("192.0.2.1", device="login-1", is_known=True)


def strangers(amount: int) -> list[LoginClient]:
    return [LoginClient(f"203.0.113.{number}") for number in range(amount)]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LockoutHarness:
    """A lockout with a test clock, and the delays it asked for."""

    def __init__(self, capacity: int = 1000) -> None:
        self.clock = Clock()
        self.delays: list[float] = []
        self.lockout = Lockout(self.clock, sleep=self._sleep, capacity=capacity)

    async def wrong(self, name: str = "ada", client: LoginClient = HERE) -> None:
        with pytest.raises(CredentialsError):
            async with self.lockout.attempt(name, client):
                raise CredentialsError

    async def right(self, name: str = "ada", client: LoginClient = HERE) -> None:
        async with self.lockout.attempt(name, client):
            pass

    async def refused(self, name: str = "ada", client: LoginClient = HERE) -> int:
        with pytest.raises(LockedOut) as raised:
            async with self.lockout.attempt(name, client):
                pytest.fail("let in")
        return raised.value.retry_after

    async def _sleep(self, seconds: float) -> None:
        self.delays.append(seconds)


async def test_after_five_failures_the_wait_doubles_from_one_second_to_fifteen_minutes() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        await harness.wrong()
    waits = []
    for _ in range(13):
        waits.append(await harness.refused())
        harness.clock.now += waits[-1]
        await harness.wrong()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


async def test_a_client_is_locked_out_of_one_name_in_every_spelling_and_of_no_other() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        await harness.wrong("Ada")
    assert await harness.refused("aDA") == 1
    assert await harness.refused("ａｄａ") == 1
    await harness.right("grace")


async def test_a_name_is_never_locked_for_others_only_slowed_for_clients_that_are_not_known() -> None:
    harness = LockoutHarness()
    for stranger in strangers(100):
        await harness.wrong("ada", stranger)
    harness.delays.clear()
    await harness.right("ada", KNOWN)
    await harness.wrong("ada", DEVICE)
    assert harness.delays == []
    for stranger in strangers(100):
        await harness.wrong("ada", stranger)
    harness.delays.clear()
    await harness.right("ada", ELSEWHERE)
    assert harness.delays == [MAX_DELAY]


async def test_the_delay_of_a_name_doubles_up_to_its_bound() -> None:
    harness = LockoutHarness()
    for stranger in strangers(MAX_FAILURES_PER_NAME + 7):
        await harness.wrong("ada", stranger)
    assert harness.delays == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


async def test_a_known_network_is_slowed_and_not_locked_because_others_may_guess_from_it() -> None:
    harness = LockoutHarness()
    for _ in range(50):
        await harness.wrong("ada", KNOWN)
    assert harness.delays[:6] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    await harness.right("ada", KNOWN)


async def test_a_device_is_free_of_all_failures_but_its_own() -> None:
    harness = LockoutHarness()
    for client in (HERE, KNOWN):
        for _ in range(5):
            await harness.wrong("ada", client)
    harness.delays.clear()
    for _ in range(5):
        await harness.wrong("ada", DEVICE)
    assert await harness.refused("ada", DEVICE) == 1
    await harness.right("ada", LoginClient("192.0.2.1", device="login-2"))
    assert harness.delays == []


async def test_success_forgets_the_failures_of_the_name() -> None:
    harness = LockoutHarness()
    for _ in range(4):
        await harness.wrong()
    await harness.right()
    for _ in range(4):
        await harness.wrong()
    await harness.right()


async def test_an_attempt_that_is_refused_does_not_count() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        await harness.wrong()
    assert [await harness.refused() for _ in range(50)] == [1] * 50


async def test_a_network_that_guesses_at_many_names_is_slowed_whatever_its_own_account_does() -> None:
    harness = LockoutHarness()
    for number in range(MAX_FAILURES_PER_NETWORK):
        await harness.wrong(f"user{number}")
        await harness.right("mallory")
    harness.delays.clear()
    await harness.right("another")
    assert harness.delays == [0.25]
    await harness.right("another", ELSEWHERE)
    await harness.right("resident", KNOWN)
    assert harness.delays == [0.25]


async def test_attempts_in_flight_count_before_they_are_known_to_fail() -> None:
    harness = LockoutHarness()
    async with AsyncExitStack() as pending:
        for _ in range(5):
            await pending.enter_async_context(harness.lockout.attempt("ada", HERE))
        assert await harness.refused() == 1


async def test_an_attempt_that_could_not_be_decided_does_not_count() -> None:
    harness = LockoutHarness()
    for _ in range(30):
        with pytest.raises(OSError, match="down"):
            async with harness.lockout.attempt("ada", HERE):
                raise OSError("down")
    await harness.right()
    assert harness.delays == []


async def test_failures_are_forgotten_after_a_day() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        await harness.wrong()
    for stranger in strangers(20):
        await harness.wrong("ada", stranger)
    harness.delays.clear()
    harness.clock.now += 24 * 3600 + 1
    for _ in range(4):
        await harness.wrong()
    await harness.right()
    assert harness.delays == []


async def test_memory_is_bounded_and_keeps_who_failed_last() -> None:
    harness = LockoutHarness(capacity=10)
    for number in range(100):
        await harness.wrong(f"user{number}", LoginClient(f"192.0.2.{number}"))
    for _ in range(5):
        await harness.wrong("user99", ELSEWHERE)
    assert await harness.refused("user99", ELSEWHERE) == 1
    assert len(harness.lockout) == 30


async def test_a_thousand_failures_still_have_a_number_of_seconds() -> None:
    harness = LockoutHarness()
    for _ in range(1200):
        await harness.wrong()
        harness.clock.now += 900
    harness.clock.now -= 1
    assert await harness.refused() == 1
