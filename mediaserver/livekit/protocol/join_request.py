"""The join request of a client: the query of `/rtc/v1` and of `/rtc`."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import AddTrackRequest, JoinRequest, SessionDescription, SyncState, WrappedJoinRequest

MAX_WRAPPED = 64_000
MAX_UNPACKED = 256_000
MAX_ADD_TRACKS = 32

_SDKS = {name.lower(): name for name in ClientInfo.SDK.DESCRIPTOR.values_by_name}


class JoinError(Exception):
    """The query is malformed; the message says in what."""


@dataclass(frozen=True, slots=True)
class Join:
    """A request to join, or to resume as `participant_sid`."""

    is_dual: bool
    client: ClientInfo
    auto_subscribe: bool = True
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    offer: SessionDescription | None = None
    add_tracks: tuple[AddTrackRequest, ...] = ()
    is_reconnect: bool = False
    participant_sid: str = ""
    sync_state: SyncState | None = None


def parse_join(query: Mapping[str, str], *, is_dual: bool) -> Join:
    """Parse a query, ignoring unknown fields. Raises only `JoinError`."""
    return _from_parameters(query) if is_dual else _from_request(query.get("join_request", ""))


def _from_request(text: str) -> Join:
    if not text:
        raise JoinError("`join_request` is missing: it takes a WrappedJoinRequest in base64url")
    if len(text) > MAX_WRAPPED:
        raise JoinError(f"`join_request` is longer than {MAX_WRAPPED} characters")
    # A plus becomes a space where a client did not use base64url.
    plain = text.translate({ord("-"): "+", ord("_"): "/", ord(" "): "+"}).rstrip("=")
    try:
        wrapped = WrappedJoinRequest.FromString(base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True))
        request = JoinRequest.FromString(_unpacked(wrapped))
    except (binascii.Error, ValueError, zlib.error, DecodeError):
        raise JoinError("`join_request` is no WrappedJoinRequest in base64url") from None
    if len(request.add_track_requests) > MAX_ADD_TRACKS:
        raise JoinError(f"`join_request` has more than {MAX_ADD_TRACKS} add_track_requests")
    settings = request.connection_settings
    return Join(
        is_dual=False,
        client=request.client_info,
        auto_subscribe=settings.auto_subscribe if request.HasField("connection_settings") else True,
        metadata=request.metadata,
        attributes=dict(request.participant_attributes),
        offer=request.publisher_offer if request.HasField("publisher_offer") else None,
        add_tracks=tuple(request.add_track_requests),
        is_reconnect=request.reconnect,
        participant_sid=request.participant_sid,
        sync_state=request.sync_state if request.HasField("sync_state") else None,
    )


def _unpacked(wrapped: WrappedJoinRequest) -> bytes:
    match wrapped.compression:
        case WrappedJoinRequest.NONE:
            return wrapped.join_request
        case WrappedJoinRequest.GZIP:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            data = unpacker.decompress(wrapped.join_request, MAX_UNPACKED)
            if not unpacker.eof:
                raise JoinError(f"`join_request` is cut off, or unpacks to more than {MAX_UNPACKED} bytes")
            return data
        case _:
            raise JoinError("`join_request` has an unknown compression; NONE and GZIP are accepted")


def _from_parameters(query: Mapping[str, str]) -> Join:
    client = ClientInfo(
        sdk=_SDKS.get(query.get("sdk", "").lower(), "UNKNOWN"),
        version=_text(query, "version"),
        protocol=_number(query, "protocol"),
        client_protocol=_number(query, "client_protocol"),
        os=_text(query, "os"),
        os_version=_text(query, "os_version"),
        device_model=_text(query, "device_model"),
        browser=_text(query, "browser"),
        browser_version=_text(query, "browser_version"),
        network=_text(query, "network"),
    )
    return Join(
        is_dual=True,
        client=client,
        auto_subscribe=_flag(query, "auto_subscribe", absent=True),
        is_reconnect=_flag(query, "reconnect", absent=False),
        participant_sid=_text(query, "sid"),
    )


def _text(query: Mapping[str, str], name: str) -> str:
    # Escapes of invalid UTF-8 yield surrogates, which protobuf cannot encode.
    return query.get(name, "")[:256].encode(errors="replace").decode()


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise JoinError(f"`{name}` is no number")
    return int(text)


def _flag(query: Mapping[str, str], name: str, *, absent: bool) -> bool:
    match query.get(name, "").lower():
        case "1" | "true":
            return True
        case "0" | "false":
            return False
        case "":
            return absent
        case _:
            raise JoinError(f"`{name}` takes 1 or 0")
