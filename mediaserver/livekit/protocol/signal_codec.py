"""Signalling messages: protobuf in binary frames, its JSON in text frames."""

import json

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol.rtc import SignalRequest, SignalResponse

from pipeline.errors import ProtocolError

MAX_MESSAGE = 512_000
"""Bytes; an offer is some 18,000, and a client that comes back sends two at once."""


def parse_request(frame: bytes | str) -> SignalRequest:
    """Read one message of a client, or raise `ProtocolError` and nothing else.

    One of a kind that is not known yet has no field set.
    """
    try:
        if isinstance(frame, bytes):
            return SignalRequest.FromString(frame)
        message = json.loads(frame)
        if not isinstance(message, dict):
            raise ProtocolError("A text frame takes one SignalRequest as a JSON object.")
        return json_format.ParseDict(message, SignalRequest(), ignore_unknown_fields=True)
    except DecodeError:
        raise ProtocolError("A binary frame takes one SignalRequest.") from None
    except (json_format.ParseError, ValueError, RecursionError):
        raise ProtocolError("A text frame takes one SignalRequest in protobuf's JSON.") from None


def render_response(response: SignalResponse, *, is_text: bool) -> bytes | str:
    """One message for a client, for a frame of the kind it has sent last."""
    return json_format.MessageToJson(response, indent=None) if is_text else response.SerializeToString()
