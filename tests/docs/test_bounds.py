"""Each bound of docs/security.md is the code's, or a setting's default."""

from mediaserver import app, bad_messages, bounded_json, guides, half_open, http_route, http_server, ice
from mediaserver.api import health, json_http
from mediaserver.http_server import ConnectionLimits
from mediaserver.jsonws import message_budget
from mediaserver.livekit.agent import participant_peer
from mediaserver.livekit.media import data_transport
from mediaserver.livekit.protocol import data_packet, data_streams, join_request, signal_codec, twirp
from mediaserver.livekit.room import room
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.service import signal_socket
from mediaserver.log_flood import ERRORS, LINES
from mediaserver.log_lines import MAX_FIELD
from mediaserver.messages.fields import MAX_BAD_MESSAGES, MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES
from mediaserver.rtc import decoder_budget, frame_size
from mediaserver.rtc.aiortc_patches import ice_checks, transceivers
from mediaserver.rtc.config import RtcLimits
from mediaserver.rtc.sdp import candidates, offer
from mediaserver.settings import Settings
from mediaserver.store import database, writer
from mediaserver.webrtc import peer
from pipeline.codecs import image_decoder
from pipeline.guidance import guide
from pipeline.playout import playout_buffer
from tests.docs.documents import quoted, rows

CONNECTIONS = ConnectionLimits()

FIXED: dict[str, tuple[float, str]] = {
    "TCP connections": (CONNECTIONS.total, ""),
    "TCP connections of one address (IPv6: one /64 network)": (CONNECTIONS.per_address, ""),
    "Time to the end of the first request's headers": (CONNECTIONS.first_request, "s"),
    "Time between an answer and the next request": (CONNECTIONS.keepalive, "s"),
    "Time for the body of a request": (http_route.READ_TIMEOUT, "s"),
    "Request line": (http_server.MAX_REQUEST_LINE, "bytes"),
    "Body of a request, at any address": (app.MAX_BODY, "bytes"),
    "JSON body of a request": (json_http.MAX_BODY, "bytes"),
    "SDP offer": (offer.MAX_BYTES, "bytes"),
    "WebRTC connections of one address that are not established": (half_open.MAX_PER_ADDRESS, ""),
    "Established WebRTC connections of one account at one address, or of its guests, for each of "
    "`MAX_SESSIONS_PER_ADDRESS`": (half_open.PER_SESSION, ""),
    "Time in which a WebRTC connection must be established": (RtcLimits().connect, "s"),
    "ICE candidates of a client that are used": (candidates.MAX_CANDIDATES, ""),
    "ICE checks of one connection to addresses that have sent nothing": (ice_checks.MAX_CHECKS, ""),
    "Addresses of a client whose ICE checks are answered by a check": (ice_checks.MAX_SENDERS, ""),
    "TURN credentials": (ice.TURN_CREDENTIAL_SECONDS, "s"),
    "Pixels of a video frame, read from its header": (frame_size.MAX_PIXELS, ""),
    "Pixels of all videos that are decoded for one address that media comes from": (
        decoder_budget.MAX_PIXELS_PER_NETWORK,
        "",
    ),
    "Pixels of a picture, read from its header": (image_decoder.MAX_PIXELS, ""),
    "Bytes of a picture": (image_decoder.MAX_BYTES, ""),
    "Memory of the pictures that are decoded at the same time, and of one alone": (
        image_decoder.MAX_DECODED_BYTES,
        "bytes",
    ),
    "Bytes of data channel messages whose end has not come, beyond the announced window": (
        transceivers.MAX_REASSEMBLY,
        "",
    ),
    "Message of a WebRTC data channel": (peer.MAX_MESSAGE, "bytes"),
    "People in a LiveKit room": (room.MAX_PARTICIPANTS, ""),
    "Time in which who joins a LiveKit room must connect media": (RoomLimits().connect, "s"),
    "Message of LiveKit's signalling": (signal_codec.MAX_MESSAGE, "bytes"),
    "Messages of LiveKit's signalling in a second, on one connection; each 1,024 bytes count as one more": (
        signal_socket.RATE,
        "",
    ),
    "LiveKit data packets in a second, on one connection": (data_transport.RATE, ""),
    "LiveKit data packet": (data_packet.MAX_PACKET, "bytes"),
    "LiveKit stream of chat, events or an RPC, unpacked": (participant_peer.MAX_COMMAND, "bytes"),
    "LiveKit streams that are open at the same time, on one connection": (data_streams.MAX_BYTES, "bytes"),
    "Compressed LiveKit streams in a second, unpacked": (data_streams.UNPACKED_RATE, "bytes"),
    "Join request of LiveKit, unpacked": (join_request.MAX_UNPACKED, "bytes"),
    "Body of a RoomService request": (twirp.MAX_BODY, "bytes"),
    "Message on the JSON WebSocket": (MAX_MESSAGE_BYTES, "bytes"),
    "Message on the JSON WebSocket before its first session": (MAX_FIRST_MESSAGE_BYTES, "bytes"),
    "Longer messages of one account, or of one address's guests, that are read or handled at the same time": (
        message_budget.MAX_BYTES,
        "bytes",
    ),
    "Commas and opening brackets outside strings in JSON": (bounded_json.MAX_SEPARATORS, ""),
    "Commas and opening brackets outside strings in JSON of LiveKit's signalling and RoomService": (
        signal_codec.MAX_SEPARATORS,
        "",
    ),
    "Bad messages in a row on one connection": (MAX_BAD_MESSAGES, ""),
    "Bad messages of one address in a minute": (bad_messages.PER_MINUTE, ""),
    "Guides of one account": (guides.MAX_OWN_GUIDES, ""),
    "One guide": (guide.MAX_GUIDE, "characters"),
    "Steps of a guide or a plan": (guide.MAX_STEPS, ""),
    "Assistant's speech that waits to be played": (playout_buffer.MAX_QUEUED_SECONDS, "s"),
    "History that waits while the database is down": (writer.MAX_QUEUED_SIZE, "characters"),
    "Time of a database transaction that writes": (database.DEADLINE, "s"),
    "Time of a read from the database": (database.READ_DEADLINE, "s"),
    "Time of one check of `/health`": (health.CHECK_DEADLINE, "s"),
    "Age of the results of `/health`": (health.MAX_AGE, "s"),
    "Field of a log line": (MAX_FIELD, "characters"),
    f"Log lines of one kind in {LINES.seconds:g} s, in all": (LINES.lines, ""),
    f"Log lines of one kind in {LINES.seconds:g} s, of one address": (LINES.per_address, ""),
    "Errors of one kind in an hour, in all": (ERRORS.lines, ""),
    "Errors of one kind in an hour, of one address": (ERRORS.per_address, ""),
}


def shown(value: object, unit: str) -> str:
    is_whole = isinstance(value, int | float) and value == int(value)
    number = f"{value:,.0f}" if is_whole else str(value)
    return f"{number} {unit}".strip()


def test_every_fixed_bound_is_in_the_table_with_the_codes_number() -> None:
    table = {bound: number for bound, number, setting in rows("docs/security.md", "bounds") if not setting}
    assert table == {bound: shown(*value) for bound, value in FIXED.items()}
    assert ERRORS.seconds == 3600
    assert signal_codec.MAX_SEPARATORS == twirp.MAX_SEPARATORS
    assert {peer.MAX_BAD_MESSAGES, participant_peer.MAX_BAD_MESSAGES, signal_socket.MAX_BAD_MESSAGES} == {
        MAX_BAD_MESSAGES
    }


def test_every_bound_with_a_setting_has_the_settings_default() -> None:
    with_setting = [row for row in rows("docs/security.md", "bounds") if row[2]]
    assert len(with_setting) > 5
    for bound, number, cell in with_setting:
        (setting,) = quoted(cell)
        default = Settings.model_fields[setting.lower()].default
        assert number in {shown(default, unit) for unit in ("", "s", "pixels")}, bound
