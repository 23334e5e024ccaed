"""Back-off after wrong passwords."""

import pytest

from mediaserver.auth.lockout import MAX_FAILURES_PER_NETWORK, CredentialsError, LockedOut, Lockout, network_of


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LockoutHarness:
    """A lockout with a test clock."""

    def __init__(self, capacity: int = 1000) -> None:
        self.clock = Clock()
        self.lockout = Lockout(self.clock, capacity=capacity)

    def wrong(self, name: str = "ada", address: str = "192.0.2.1") -> None:
        with pytest.raises(CredentialsError), self.lockout.attempt(name, address):
            raise CredentialsError

    def right(self, name: str = "ada", address: str = "192.0.2.1") -> None:
        with self.lockout.attempt(name, address):
            pass

    def refused(self, name: str = "ada", address: str = "192.0.2.1") -> int:
        with pytest.raises(LockedOut) as raised, self.lockout.attempt(name, address):
            pytest.fail("let in")
        return raised.value.retry_after


def test_after_five_failures_the_wait_doubles_from_one_second_to_fifteen_minutes() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        harness.wrong()
    waits = []
    for _ in range(13):
        waits.append(harness.refused())
        harness.clock.now += waits[-1]
        harness.wrong()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_a_name_is_refused_from_everywhere_and_in_every_spelling() -> None:
    harness = LockoutHarness()
    for number in range(5):
        harness.wrong("Ada", f"192.0.2.{number}")
    assert harness.refused("aDA", "198.51.100.1") == 1
    assert harness.refused("ａｄａ", "198.51.100.1") == 1
    harness.right("grace", "198.51.100.1")


def test_success_forgets_the_failures_of_the_name() -> None:
    harness = LockoutHarness()
    for _ in range(4):
        harness.wrong()
    harness.right()
    for _ in range(4):
        harness.wrong()
    harness.right()


def test_an_attempt_that_is_refused_does_not_count() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        harness.wrong()
    assert [harness.refused() for _ in range(50)] == [1] * 50


def test_an_address_that_guesses_at_many_names_is_refused_whatever_its_own_account_does() -> None:
    harness = LockoutHarness()
    for number in range(MAX_FAILURES_PER_NETWORK):
        harness.wrong(f"user{number}")
        if number < MAX_FAILURES_PER_NETWORK - 1:
            harness.right("mallory")
    assert harness.refused("another") == 1
    harness.right("another", "192.0.2.2")


def test_attempts_in_flight_count_before_they_are_known_to_fail() -> None:
    harness = LockoutHarness()
    pending = [harness.lockout.attempt("ada", f"192.0.2.{number}") for number in range(5)]
    for attempt in pending:
        attempt.__enter__()
    assert harness.refused() == 1


def test_an_attempt_that_could_not_be_decided_does_not_count() -> None:
    harness = LockoutHarness()
    for _ in range(30):
        with pytest.raises(OSError, match="down"), harness.lockout.attempt("ada", "192.0.2.1"):
            raise OSError("down")
    harness.right()


def test_failures_are_forgotten_after_a_day() -> None:
    harness = LockoutHarness()
    for _ in range(5):
        harness.wrong()
    harness.clock.now += 24 * 3600 + 1
    for _ in range(4):
        harness.wrong()
    harness.right()


def test_memory_is_bounded_and_keeps_who_failed_last() -> None:
    harness = LockoutHarness(capacity=10)
    for number in range(100):
        harness.wrong(f"user{number}", f"192.0.2.{number}")
    for _ in range(4):
        harness.wrong("user99", "198.51.100.1")
    assert harness.refused("user99") == 1
    assert len(harness.lockout) == 20


def test_a_thousand_failures_still_have_a_number_of_seconds() -> None:
    harness = LockoutHarness()
    for _ in range(1200):
        harness.wrong()
        harness.clock.now += 900
    harness.clock.now -= 1
    assert harness.refused() == 1


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_client_owns_its_whole_network(address: str, place: str) -> None:
    assert network_of(address) == place
