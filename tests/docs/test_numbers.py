"""Numbers that the documents promise are the code's."""

import re

import pytest

from mediaserver.api.health import CHECK_DEADLINE, MAX_AGE
from mediaserver.api.livekit_token import REVOCATION_RATE
from mediaserver.api.users import NAMES_PER_ADDRESS
from mediaserver.auth.accounts import REFRESH_DAYS
from mediaserver.auth.lockout import (
    MAX_DELAY,
    MAX_FAILURES_PER_CLIENT,
    MAX_FAILURES_PER_NAME,
    MAX_FAILURES_PER_NETWORK,
    MAX_LOCK,
)
from mediaserver.auth.revocations import PERIOD as REVOCATION_PERIOD
from mediaserver.auth.tokens import ACCESS_SECONDS
from mediaserver.bad_messages import PER_MINUTE
from mediaserver.bounded_json import MAX_SEPARATORS
from mediaserver.half_open import MAX_PER_ADDRESS
from mediaserver.http_server import MAX_DESCRIPTORS, ConnectionLimits
from mediaserver.ice import TURN_CREDENTIAL_SECONDS
from mediaserver.jsonws.connection import SocketLimits
from mediaserver.jsonws.pacer import MAX_AHEAD
from mediaserver.jsonws.session import GRACE as SOCKET_GRACE
from mediaserver.livekit.protocol.access_token import ABSOLUTE_LIFETIME
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.room.room import MAX_PARTICIPANTS
from mediaserver.log_flood import ERRORS, LINES
from mediaserver.log_lines import MAX_FIELD, MAX_MESSAGE
from mediaserver.logs import KEPT_FILES, ROTATION_MB
from mediaserver.messages.fields import MAX_BAD_MESSAGES, MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MAX_TEXT
from mediaserver.rtc.aiortc_patches.ice_checks import MAX_CHECKS, RETRANSMISSIONS
from mediaserver.rtc.config import RtcLimits
from mediaserver.rtc.frame_size import MAX_PIXELS as MAX_FRAME_PIXELS
from mediaserver.rtc.inbound.preconnect_audio import MAX_SECONDS, MAX_WAIT
from mediaserver.rtc.sdp.candidates import MAX_CANDIDATES
from mediaserver.store.database import READ_DEADLINE
from mediaserver.store.known_networks import KNOWN_FOR
from mediaserver.webrtc.peer import GRACE as WHIP_GRACE
from mediaserver.webrtc.routes import MAX_RECORDING
from pipeline.audio.vad import WINDOW_SECONDS
from pipeline.codecs.image_decoder import MAX_BYTES, MAX_DECODED_BYTES, MAX_PIXELS
from pipeline.config import TurnSettings
from pipeline.gemini.pending_input import MAX_PENDING_SECONDS
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.transcript_memory import MAX_CHARACTERS
from pipeline.tools.toolbox import POINT_AT
from tests.docs.documents import ROOT, prose

ENGINE = EngineTimeouts()
TURNS = TurnSettings()
CONNECTIONS = ConnectionLimits()
AN_HOUR = {3600.0: "an hour"}

PROMISES = {
    "README.md": (
        f"and {TURNS.pre_roll:g} seconds from before",
        f"newest {MAX_CHARACTERS:,} characters of the transcript",
        f"(up to {MAX_PENDING_SECONDS:g} seconds)",
    ),
    "docs/deploy.md": (
        f"the expiry, {'one hour' if TURN_CREDENTIAL_SECONDS == 3600 else TURN_CREDENTIAL_SECONDS} ahead",
        f"{WINDOW_SECONDS * 1000:g} ms windows",
        f"Up to {CONNECTIONS.total:,} TCP connections",
        f"up to {CONNECTIONS.per_address} of them",
        f"within {CONNECTIONS.first_request:g} seconds, or no other one within {CONNECTIONS.keepalive:g} seconds",
        f"to {MAX_DESCRIPTORS:,}, or to the hard limit",
        f"more than {MAX_FRAME_PIXELS // 1_000_000} megapixels",
        f"takes longer than {CHECK_DEADLINE:g} seconds has failed. Results are reused for {MAX_AGE:g} second",
        f"answer 503 after {READ_DEADLINE:g} seconds",
        f"rotated at {ROTATION_MB} MB and { {10: 'ten'}[KEPT_FILES] } old ones are kept",
        f"at most {MAX_FIELD} characters and a message {MAX_MESSAGE:,}",
        f"at most {LINES.per_address} are written for one address in {LINES.seconds:g} seconds",
        f"in {LINES.seconds:g} seconds, and {LINES.lines} in all",
        f"{ERRORS.per_address} for one address in {AN_HOUR[ERRORS.seconds]}, and {ERRORS.lines} in all",
        f"within {REVOCATION_PERIOD:g} seconds",
    ),
    "docs/events.md": (
        f"(up to {MAX_TEXT:,} characters)",
        f"{ {20: 'Twenty'}[MAX_BAD_MESSAGES] } such messages in a row",
    ),
    "docs/http.md": (
        f"valid for {'one hour' if ACCESS_SECONDS == 3600 else ACCESS_SECONDS}",
        f"for {REFRESH_DAYS} days",
        f"After { {5: 'five'}[MAX_FAILURES_PER_CLIENT] } wrong passwords",
        f"After { {10: 'ten'}[MAX_FAILURES_PER_NAME] } wrong passwords for a name",
        f"or { {20: 'twenty'}[MAX_FAILURES_PER_NETWORK] } from one network",
        f"up to {MAX_LOCK / 60:g} minutes",
        f"up to {MAX_DELAY:g} seconds to check",
        f"last {KNOWN_FOR.days} days",
    ),
    "docs/livekit.md": (
        f"for {ABSOLUTE_LIFETIME / 3600:g} hours",
        f"{REVOCATION_RATE.amount} tokens an hour",
        f"every { {300: 'five'}[int(RoomLimits().refresh)] } minutes",
        f"resumed within {RoomLimits().resume:g} seconds",
        f"for {RoomLimits().grace:g} seconds",
        f"Up to {MAX_PARTICIPANTS} people",
        f"not connected within {RoomLimits().connect:g} seconds",
    ),
    "docs/settings.md": (
        f"{ {6: 'six'}[NAMES_PER_ADDRESS] } times as many logins",
        f"windows of {WINDOW_SECONDS * 1000:g} ms",
        f"the threshold is already {TURNS.audible_threshold:g} at least",
    ),
    "docs/tools.md": (f"({POINT_AT.seconds:g} unless you say so)",),
    "docs/troubleshooting.md": (
        f"({ENGINE.response:g} seconds, or {ENGINE.slow_response:g} while it thinks",
        f"waits {ENGINE.quota_backoff[0]:g}, then {ENGINE.quota_backoff[1]:g} seconds",
        f"again for {ENGINE.max_outage:g} seconds",
    ),
    "docs/webrtc.md": (
        f"within {WHIP_GRACE:g} seconds",
        f"established within {RtcLimits().connect:g} seconds of the offer",
        f"Up to {MAX_PER_ADDRESS} connections of one address",
        f"for at most {MAX_WAIT:g} seconds",
        f"up to {MAX_RECORDING:,} bytes, and of that the first {MAX_SECONDS:g} seconds",
        f"takes {MAX_CANDIDATES} ICE candidates",
        f"at most {MAX_CHECKS} STUN checks ({RETRANSMISSIONS + 1} datagrams each",
    ),
    "docs/websocket.md": (
        f"at most {MAX_FIRST_MESSAGE_BYTES:,} bytes",
        f"at most {MAX_SEPARATORS:,} commas and opening brackets",
        f"may send {PER_MINUTE} such messages a minute",
        f"within {SocketLimits().start:g} seconds",
        f"at most {MAX_AHEAD:g} seconds ahead of real time",
        f"within {SOCKET_GRACE:g} seconds",
        f"at most {MAX_MESSAGE_BYTES >> 20} MiB",
        f"at most {MAX_BYTES >> 20} MiB and {MAX_PIXELS // 1_000_000} megapixels",
        f"at most {MAX_DECODED_BYTES // 1_000_000} MB to decode",
    ),
}


@pytest.mark.parametrize(
    ("name", "promise"), [(name, each) for name, promises in PROMISES.items() for each in promises]
)
def test_a_document_promises_what_the_code_does(name: str, promise: str) -> None:
    assert promise in re.sub(r"\s+", " ", prose(ROOT / name))
