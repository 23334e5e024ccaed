"""Parsing of ICE candidate lines."""

import ipaddress
import re

from aiortc import RTCIceCandidate

from pipeline.errors import ProtocolError

MAX_CANDIDATES = 40
"""Candidates per client; more are ignored, as each is checked against every local address."""

# RFC 8839 section 5.1.
_CANDIDATE = re.compile(
    r"(?:a=)?(?:candidate:)?(?P<foundation>[A-Za-z0-9+/]{1,32}) (?P<component>[0-9]{1,3})"
    r" (?P<transport>[A-Za-z0-9-]{1,16}) (?P<priority>[0-9]{1,10}) (?P<address>[A-Za-z0-9.:%_-]{1,255})"
    r" (?P<port>[0-9]{1,5}) typ (?P<type>[a-z0-9-]{1,16})(?: .*)?"
)
_MDNS = re.compile(r"[A-Za-z0-9-]{1,63}\.local", re.IGNORECASE)


def parse_candidate(text: str) -> RTCIceCandidate | None:
    """Parse one candidate; None for a well-formed one that cannot be used. Raises `ProtocolError`."""
    found = _CANDIDATE.fullmatch(text.strip())
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


def is_mdns(candidate: RTCIceCandidate) -> bool:
    """Return whether the address is an mDNS name, to be resolved on the local network."""
    return candidate.ip.lower().endswith(".local")


def _is_reachable(address: str) -> bool:
    if _MDNS.fullmatch(address):
        return True
    try:
        return not ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False
