"""H.264 as SDP describes it (RFC 6184 section 8): profiles, packetization modes and parameter sets."""

import base64
import binascii
import re
from collections.abc import Mapping

TAKEN_PARAMETERS = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
"""The parameters that aiortc reads for all H.264 that is taken: it knows two profiles (codecs/__init__.py:87)."""

MAX_PARAMETER_SETS = 4_096
"""Bytes of parameter sets that a description may hold."""

_MODES = ("0", "1")  # mode 2 interleaves, which aiortc cannot undo (codecs/h264.py:95)
# Baseline, main, extended and high: 8 bits, 4:2:0. FFmpeg decodes more, but into several times the memory.
_PROFILES = (0x42, 0x4D, 0x58, 0x64)
_PROFILE = re.compile(r"[0-9a-fA-F]{6}")
_START_CODE = b"\x00\x00\x00\x01"


def parse_parameters(text: str) -> dict[str, str]:
    """Parse the value of an `a=fmtp` line after its payload type; names are in lower case."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def is_decodable(parameters: Mapping[str, str]) -> bool:
    """Whether video of these parameters can be decoded; none stated means that it can."""
    profile = parameters.get("profile-level-id", "")
    is_known = not _PROFILE.fullmatch(profile) or int(profile[:2], 16) in _PROFILES
    return is_known and packetization_mode(parameters) in _MODES


def packetization_mode(parameters: Mapping[str, str]) -> str:
    """Return the packetization mode, which is 0 where none is stated."""
    return parameters.get("packetization-mode") or "0"


def answer_parameters(parameters: Mapping[str, str]) -> str:
    """Return the parameters that accept offered ones; "" if there are none to state.

    RFC 6184 section 8.2.2: mode and profile are the offer's. The level may differ where the offer allows it.
    """
    names = ("level-asymmetry-allowed", "packetization-mode", "profile-level-id")
    return ";".join(f"{name}={parameters[name]}" for name in names if parameters.get(name))


def parameter_sets(parameters: Mapping[str, str]) -> bytes:
    """Return `sprop-parameter-sets` with start codes; b"" if there are none, or none that can be read."""
    text = parameters.get("sprop-parameter-sets", "")
    try:
        units = [base64.b64decode(part + "=" * (-len(part) % 4), validate=True) for part in text.split(",") if part]
    except (binascii.Error, ValueError):
        return b""
    sets = b"".join(_START_CODE + unit for unit in units if unit)
    return sets if len(sets) <= MAX_PARAMETER_SETS else b""
