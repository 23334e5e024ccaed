"""Field types and limits of the messages that clients send."""

import binascii
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SkipValidation,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from mediaserver.messages.refusals import not_a_string, refused
from pipeline.codecs import image_decoder
from pipeline.codecs.audio_decoder import AudioFormat
from pipeline.errors import FaultCode

MAX_MESSAGE_BYTES = 12 << 20
"""Largest message on the JSON WebSocket."""

MAX_FIRST_MESSAGE_BYTES = 1 << 16
"""Largest message on a JSON WebSocket that has had no session: `start_session` has at most 8,000 characters of text."""

MAX_FRAME_BYTES = image_decoder.MAX_BYTES
"""Largest picture, decoded from base64."""

MAX_BAD_MESSAGES = 20
"""Bad messages in a row after which a connection is closed."""

MAX_TEXT = 8_000
"""Longest typed question, in characters."""

MAX_TOKEN = 4_096
MAX_TRACKS = 16
MAX_MID = 256

_PIECE = 1 << 16  # characters of base64, a multiple of four: a long message lets other threads run in between
_NOT_BASE64 = "`data` is not base64 (RFC 4648 section 4, padded, without line breaks)."


def decode_base64(value: object) -> bytes:
    """Decode a string of base64 or a `data:` URL, as FileReader and canvas give it; else raise a pydantic error."""
    if not isinstance(value, str) or not value:
        raise refused("`data` takes base64.")
    data = value[value.find(",") + 1 :] if value.startswith("data:") else value
    try:
        pieces = [
            binascii.a2b_base64(data[start : start + _PIECE], strict_mode=True) for start in range(0, len(data), _PIECE)
        ]
    except ValueError:
        raise refused(_NOT_BASE64) from None
    if not pieces or any(len(piece) != _PIECE // 4 * 3 for piece in pieces[:-1]):
        raise refused(_NOT_BASE64)
    return b"".join(pieces)


def _decode_frame(value: object) -> bytes:
    if isinstance(value, str) and len(value) * 3 // 4 > MAX_FRAME_BYTES + 256:
        message = f"A frame may have {MAX_FRAME_BYTES} bytes, decoded from base64."
        raise refused(message, FaultCode.PAYLOAD_TOO_LARGE)
    return decode_base64(value)


def _lower(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise not_a_string()
    return value.lower()


def _output_format(value: object) -> object:
    if value is None or (isinstance(value, str) and value in ("wav", "pcm")):
        return value
    raise ValueError("not offered")


def _output_rate(value: object) -> object:
    if value is None or value in (16_000, 24_000, 48_000):
        return None if value is None else int(value)
    raise ValueError("not offered")


def _not_blank(text: str) -> str:
    # A lone surrogate passes JSON but cannot be encoded for the engine.
    stripped = text.strip()
    if not stripped or _has_surrogate(text):
        raise ValueError("blank, or no UTF-8")
    return stripped


def _echoable(stamp: float | str | None) -> float | str | None:
    """Check that a stamp can be sent back: as JSON (1e999 reads as infinity), and in UTF-8."""
    if isinstance(stamp, str):
        is_fine = len(stamp) <= MAX_TEXT and not _has_surrogate(stamp)
    else:
        is_fine = stamp is None or abs(stamp) < 1e300
    if not is_fine:
        raise ValueError("too large, or no UTF-8")
    return stamp


def _capture_time(value: float | str | None) -> float | str | None:
    if isinstance(value, str):
        if len(value) > 64:
            raise ValueError("too long")
        datetime.fromisoformat(value)
    return value


def _few_mids(mids: dict[str, str]) -> dict[str, str]:
    if len(mids) > MAX_TRACKS or any(len(mid) > MAX_MID for mid in mids):
        raise ValueError("too many, or too long")
    return mids


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


QuestionText = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT, json_schema_extra={"pattern": r"\S"}),
    AfterValidator(_not_blank),
]
Stamp = Annotated[StrictInt | StrictFloat | StrictStr | None, AfterValidator(_echoable)]
CaptureTime = Annotated[StrictInt | StrictFloat | StrictStr | None, AfterValidator(_capture_time)]
TrackNames = Annotated[
    dict[SkipValidation[str], Literal["screen", "camera"]],
    Field(json_schema_extra={"maxProperties": MAX_TRACKS}),
    AfterValidator(_few_mids),
]
AudioFormatName = Annotated[AudioFormat | None, Field(strict=False), BeforeValidator(_lower)]
PictureFormatName = Annotated[Literal["png", "jpeg", "jpg", "webp"] | None, BeforeValidator(_lower)]
OutputFormatName = Annotated[Literal["wav", "pcm"] | None, BeforeValidator(_output_format)]
OutputRate = Annotated[Literal[16_000, 24_000, 48_000] | None, BeforeValidator(_output_rate)]
Base64 = Annotated[
    bytes,
    PlainValidator(decode_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "minLength": 1}),
]
FrameBase64 = Annotated[
    bytes,
    PlainValidator(_decode_frame),
    WithJsonSchema(
        {"type": "string", "contentEncoding": "base64", "minLength": 1, "maxLength": (MAX_FRAME_BYTES + 256) * 4 // 3}
    ),
]
