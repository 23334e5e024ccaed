"""Encodes the end of a page of sessions as an opaque cursor."""

import base64
import binascii
from datetime import UTC, datetime

from mediaserver.store.interface import CursorError

MAX_CURSOR = 500


def render(started_at: datetime, session: str) -> str:
    """Encode the cursor that follows this session."""
    text = f"{started_at.astimezone(UTC).isoformat()}|{session}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse(cursor: str) -> tuple[datetime, str]:
    """Decode the start time and id of the last session before; raises `CursorError`."""
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, _, session = text.partition("|")
        started_at = datetime.fromisoformat(moment)
        if render(started_at, session) != cursor:  # one of the many other ways to write the same
            raise ValueError
    except (ValueError, OverflowError, binascii.Error):
        raise CursorError("not a cursor") from None
    return started_at, session
