"""The caller of a request."""

import pytest

from mediaserver.caller import Caller, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("/run/server.sock", ""),
    ],
)
def test_an_ipv6_address_counts_with_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_guests_count_by_network_and_accounts_by_themselves() -> None:
    guests = [Caller(f"guest-{number}", is_guest=True, address=f"2001:db8::{number}") for number in range(1, 9)]
    assert {guest.counted_as for guest in guests} == {"2001:db8::/64"}
    assert Caller("ada", is_guest=False, address="2001:db8::1").counted_as == "ada"
    assert Caller("guest-1", is_guest=True).counted_as == "unknown"
