"""Parsing of ICE candidate lines."""

import ipaddress
import re

from aiortc import RTCIceCandidate

from pipeline.errors import ProtocolError

MAX_CANDIDATES = 12
"""Candidates per client: IPv4 and IPv6 on three interfaces, each as the host sees it and as a STUN server does.

More are ignored, as each makes the server send STUN requests to an address of the client's choice. A client that is
reached at none of them still connects by its own checks.
"""

# RFC 8839 section 5.1.
_CANDIDATE = re.compile(
    r"(?:a=)?(?:candidate:)?(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,3})"
    r" (?P<transport>[A-Za-z0-9-]{1,16}) (?P<priority>[0-9]{1,10}) (?P<address>[A-Za-z0-9.:%_-]{1,255})"
    r" (?P<port>[0-9]{1,5}) typ (?P<type>[a-z0-9-]{1,16})(?: .*)?"
)
_MDNS = re.compile(r"[A-Za-z0-9-]{1,63}\.local", re.IGNORECASE)


def parse_candidate(text: str) -> RTCIceCandidate | None:
    """Parse one candidate; None for a well-formed one that cannot be used. Raises `ProtocolError`."""
    found = _CANDIDATE.fullmatch(" ".join(text.split()))
    if found is None or int(found["port"]) > 0xFFFF:
        raise ProtocolError(
            "A candidate reads `candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>`."
        )
    # TCP candidates cannot be paired with ours, which are all UDP; component 2 is RTCP without rtcp-mux.
    if found["transport"].lower() != "udp" or found["component"] != "1" or not _is_reachable(found["address"]):
        return None
    return RTCIceCandidate(
        component=1,
        foundation=found["foundation"],
        ip=found["address"],
        port=int(found["port"]),
        priority=int(found["priority"]),
        protocol="udp",
        type=found["type"],
    )


def may_be_checked(candidate: RTCIceCandidate, client: str) -> bool:
    """Whether STUN requests may go to a candidate of the client whose requests come from the address `client`.

    Never to multicast, broadcast and reserved addresses; to loopback and link-local ones only if the client's own is
    of the same kind, and to mDNS names only if it is private: the rest of the world cannot be asked by multicast.
    """
    source = _address(client)
    if is_mdns(candidate):
        return source is None or source.is_private
    target = _address(candidate.ip)
    if target is None or target.is_multicast or target.is_unspecified or _is_reserved(target):
        return False
    if target.is_link_local:
        return source is not None and source.is_link_local
    return not target.is_loopback or (source is not None and source.is_loopback)


def is_mdns(candidate: RTCIceCandidate) -> bool:
    """Return whether the address is an mDNS name, to be resolved on the local network."""
    return candidate.ip.lower().endswith(".local")


def _is_reachable(address: str) -> bool:
    if _MDNS.fullmatch(address):
        return True
    parsed = _address(address)
    return parsed is not None and not parsed.is_unspecified


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _is_reserved(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    # 240.0.0.0/4 with 255.255.255.255. The kernel itself refuses broadcasts of the networks this machine is in.
    # Of IPv6, Python counts ::/8 as reserved, which has ::1 and the translated addresses of NAT64.
    return isinstance(address, ipaddress.IPv4Address) and address.is_reserved
