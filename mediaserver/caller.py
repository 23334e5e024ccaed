"""The caller of a request: its user, and the network it comes from."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a request, and the IP address that sent it ("" if unknown)."""

    user: str
    is_guest: bool
    address: str = ""

    @property
    def network(self) -> str:
        """The IPv4 address, or the IPv6 /64 network: one customer has a whole /64."""
        return network_of(self.address)

    @property
    def counted_as(self) -> str:
        """The name under which requests are counted: guests of one network are one, as new guests cost nothing."""
        return (self.network or "unknown") if self.is_guest else self.user


def address_of_request(request: web.Request) -> str:
    """Return the IP address that sent a request, or "unknown"."""
    return request.remote or "unknown"


def network_of_request(request: web.Request) -> str:
    """Return the network of a request without a known user, or "unknown"."""
    return network_of(request.remote or "") or "unknown"


def network_of(address: str) -> str:
    """Return an IPv4 address itself, and an IPv6 address's /64 network; "" for what is no IP address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
        return str(parsed.ipv4_mapped)
    return str(parsed)
