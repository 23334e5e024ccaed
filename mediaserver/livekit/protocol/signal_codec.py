"""The codec of signalling messages: protobuf in binary frames, its JSON in text frames."""

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol.rtc import SignalRequest, SignalResponse

from mediaserver.bounded_json import JsonError, parse_json
from pipeline.errors import ProtocolError

MAX_MESSAGE = 512_000
"""The maximum size in bytes; an offer has some 18,000, and a resuming client sends two at once."""

MAX_SEPARATORS = 4_096
"""Most commas and opening brackets of a text frame: protobuf's JSON takes some 3 µs for each."""


def parse_request(frame: bytes | str) -> SignalRequest:
    """Parse one message of a client. Raises only `ProtocolError`.

    A message of an unknown kind has no field set.
    """
    try:
        if isinstance(frame, bytes):
            return SignalRequest.FromString(frame)
        message = parse_json(frame, max_separators=MAX_SEPARATORS)
        if not isinstance(message, dict):
            raise ProtocolError("A text frame takes one SignalRequest as a JSON object.")
        return json_format.ParseDict(message, SignalRequest(), ignore_unknown_fields=True)
    except DecodeError:
        raise ProtocolError("A binary frame takes one SignalRequest.") from None
    except JsonError as error:
        raise ProtocolError(f"{error} A text frame takes one SignalRequest.") from None
    except (json_format.ParseError, ValueError, RecursionError):
        raise ProtocolError("A text frame takes one SignalRequest in protobuf's JSON.") from None


def render_response(response: SignalResponse, *, is_text: bool) -> bytes | str:
    """Render one message for a text frame or a binary frame."""
    return json_format.MessageToJson(response, indent=None) if is_text else response.SerializeToString()
