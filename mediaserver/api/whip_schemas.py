"""Schemas and routes of the WHIP endpoint."""

from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field

from mediaserver.api.route import Route
from mediaserver.session_limits import LABEL, LANGUAGE, MODEL, VOICE, Label, Language, Model, Voice

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

_TAGS = ("webrtc",)
_ID = {"id": "what `Location` named"}
_TAG = {"ETag": "The ICE session, for `If-Match`."}


class WhipQuery(BaseModel):
    """Session options in the query of a WHIP offer."""

    session: Label | None = Field(None, description=f"the client's own label: {LABEL.description}")
    model: Model | None = Field(None, description=MODEL.description)
    language: Language | None = Field(None, description=LANGUAGE.description)
    voice: Voice | None = Field(None, description=VOICE.description)


def whip_routes(*, offer: Handler, trickle: Handler, leave: Handler, options: Handler) -> tuple[Route, ...]:
    """List the routes of WHIP (RFC 9725) with their handlers."""
    return (
        Route(
            method="POST",
            path="/whip",
            handler=offer,
            summary="Start or join a session: an SDP offer in, an SDP answer out",
            tags=_TAGS,
            body=SDP,
            query=WhipQuery,
            needs_token=True,
            answers={201: SDP},
            errors=(400, 408, 413, 415, 429, 503),
            headers={"Location": "The connection, for PATCH and DELETE.", **_TAG, "Link": "ICE servers to use."},
        ),
        Route(
            method="OPTIONS",
            path="/whip",
            handler=options,
            summary="What is accepted here",
            tags=_TAGS,
            answers={204: None},
            headers={"Accept-Post": SDP},
        ),
        Route(
            method="PATCH",
            path="/whip/{id}",
            handler=trickle,
            summary="Add ICE candidates",
            tags=_TAGS,
            body=FRAGMENT,
            parameters=_ID,
            needs_token=True,
            answers={204: None},
            errors=(400, 404, 408, 412, 413, 415, 422),
            headers=_TAG,
        ),
        Route(
            method="DELETE",
            path="/whip/{id}",
            handler=leave,
            summary="Close the connection",
            tags=_TAGS,
            parameters=_ID,
            needs_token=True,
            answers={200: None},
            errors=(404,),
        ),
        Route(
            method="OPTIONS",
            path="/whip/{id}",
            handler=options,
            summary="What is accepted here",
            tags=_TAGS,
            parameters=_ID,
            answers={204: None},
            headers={"Accept-Post": SDP, "Accept-Patch": FRAGMENT},
        ),
    )
