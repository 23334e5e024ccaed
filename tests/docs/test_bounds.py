"""Each bound of docs/security.md is the code's, or a setting's default."""

from mediaserver import app, guides, http_route, http_server
from mediaserver.api import health, json_http
from mediaserver.http_server import ConnectionLimits
from mediaserver.livekit.protocol import signal_codec
from mediaserver.livekit.room import room
from mediaserver.log_flood import ERRORS, LINES
from mediaserver.log_lines import MAX_FIELD
from mediaserver.messages.fields import MAX_BAD_MESSAGES
from mediaserver.rtc import frame_size
from mediaserver.rtc.aiortc_patches import transceivers
from mediaserver.rtc.sdp import offer
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
    "Pixels of a video frame, read from its header": (frame_size.MAX_PIXELS, ""),
    "Pixels of a picture, read from its header": (image_decoder.MAX_PIXELS, ""),
    "Bytes of a picture": (image_decoder.MAX_BYTES, ""),
    "Bytes of data channel messages whose end has not come, beyond the announced window": (
        transceivers.MAX_REASSEMBLY,
        "",
    ),
    "Message of a WebRTC data channel": (peer.MAX_MESSAGE, "bytes"),
    "People in a LiveKit room": (room.MAX_PARTICIPANTS, ""),
    "Message of LiveKit's signalling": (signal_codec.MAX_MESSAGE, "bytes"),
    "Bad messages in a row on one connection": (MAX_BAD_MESSAGES, ""),
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
    number = f"{value:,.0f}" if isinstance(value, int | float) else str(value)
    return f"{number} {unit}".strip()


def test_every_fixed_bound_is_in_the_table_with_the_codes_number() -> None:
    table = {bound: number for bound, number, setting in rows("docs/security.md", "bounds") if not setting}
    assert table == {bound: shown(*value) for bound, value in FIXED.items()}
    assert ERRORS.seconds == 3600


def test_every_bound_with_a_setting_has_the_settings_default() -> None:
    with_setting = [row for row in rows("docs/security.md", "bounds") if row[2]]
    assert len(with_setting) > 5
    for bound, number, cell in with_setting:
        (setting,) = quoted(cell)
        default = Settings.model_fields[setting.lower()].default
        assert number in {shown(default, unit) for unit in ("", "s", "pixels")}, bound
