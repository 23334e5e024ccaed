"""Commands that clients send, as models: `SharedCommandUnion` on every transport, `tracks` on data channels only.

A new command needs a dataclass in `pipeline/events.py` (`Command`), a model in `SharedCommandUnion`, and a case in
`Conversation`. On the JSON WebSocket, one that must keep its place behind audio also needs a case in
`jsonws/session.py`. In each model null means the same as a field left out, and unknown fields are ignored.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, TypeAdapter, ValidationError

from mediaserver.messages.fields import MAX_TEXT, QuestionText, Stamp, TrackNames
from mediaserver.messages.refusals import Refusal, action_of, protocol_error
from mediaserver.session_limits import GUIDE, GuideId, Label
from pipeline import events


class ClientMessage(BaseModel):
    """A message that a client sends."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)

    # The JSON WebSocket checks it before the action; elsewhere a connection has one session, and it is ignored.
    session_id: SkipValidation[Label | None] = Field(
        default=None, alias="sessionId", description="the client's own label of the session, or the server's `id`"
    )


class CommandMessage(ClientMessage, ABC):
    """A message that is a command to the conversation."""

    @property
    @abstractmethod
    def command(self) -> events.Command:
        """The command that the conversation executes."""
        ...


_TEXT = Refusal(f"text_input takes `text`: a string of 1 to {MAX_TEXT} characters, not blank.")
_PLAYBACK = Refusal("playback takes `turn` (integer) and `played_ms` (number from 0).")
_PING = Refusal("ping takes `t`: a number or a string, or none.")
_GUIDE = Refusal(f"start_guide takes `guide`: {GUIDE.description}.")
_COMMAND = Refusal(f"guide_command takes `command`: {', '.join(events.GuideAction)}.")
_TRACKS = Refusal('tracks takes `mids`: an object such as {"1": "screen", "2": "camera"}.')


class TextInputMessage(CommandMessage):
    """Ask a typed question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "text_input", "sessionId": "session456", "text": "where is the save button?"}]
        }
    )

    action: Literal["text_input"]
    text: Annotated[QuestionText, _TEXT] = Field(description="the question; it must not be blank")

    @property
    def command(self) -> events.TextInput:
        """The question, without the spaces around it."""
        return events.TextInput(self.text)


class InterruptMessage(CommandMessage):
    """Cut the assistant's reply short."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "interrupt", "sessionId": "session456"}]})

    action: Literal["interrupt"]

    @property
    def command(self) -> events.Interrupt:
        """The barge-in."""
        return events.Interrupt()


class AudioEndMessage(CommandMessage):
    """Close the utterance now, without waiting for silence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "audio_end", "sessionId": "session456"}]})

    action: Literal["audio_end"]

    @property
    def command(self) -> events.AudioEnd:
        """The end of the utterance."""
        return events.AudioEnd()


class ScreenShareEndMessage(CommandMessage):
    """Stop sharing the screen: the last frame is used no more."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "screen_share_end", "sessionId": "session456"}]}
    )

    action: Literal["screen_share_end"]

    @property
    def command(self) -> events.ScreenShareEnd:
        """The end of the share."""
        return events.ScreenShareEnd()


class PlaybackMessage(CommandMessage):
    """Report how much of a reply was really played; without reports real time is assumed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "playback", "sessionId": "session456", "turn": 3, "played_ms": 1240}]
        }
    )

    action: Literal["playback"]
    turn: Annotated[int, _PLAYBACK] = Field(description="the turn whose reply was played")
    played_ms: Annotated[float, Field(ge=0, lt=1e9), _PLAYBACK] = Field(description="milliseconds played so far")

    @property
    def command(self) -> events.Playback:
        """The report, in whole milliseconds."""
        return events.Playback(self.turn, int(self.played_ms))


class PingMessage(CommandMessage):
    """Ask for a pong; it does not count as activity of the user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "ping", "t": 1}]})

    action: Literal["ping"]
    t: Annotated[Stamp, _PING] = Field(default=None, description="sent back with the pong")

    @property
    def command(self) -> events.Ping:
        """The ping with its stamp."""
        return events.Ping(self.t)


class EndSessionMessage(CommandMessage):
    """End the session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "end_session", "sessionId": "session456"}]})

    action: Literal["end_session"]

    @property
    def command(self) -> events.EndSession:
        """The end of the session."""
        return events.EndSession()


class StartGuideMessage(CommandMessage):
    """Follow a guide; `GET /api/v1/guides` lists them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "start_guide", "sessionId": "session456", "guide": "demo-page"}]}
    )

    action: Literal["start_guide"]
    guide: Annotated[GuideId, _GUIDE]

    @property
    def command(self) -> events.StartGuide:
        """The start of the guide."""
        return events.StartGuide(self.guide)


class GuideCommandMessage(CommandMessage):
    """Move the plan, or hear where it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "guide_command", "sessionId": "session456", "command": "next"}]}
    )

    action: Literal["guide_command"]
    command_name: Annotated[events.GuideAction, Field(alias="command", strict=False), _COMMAND]

    @property
    def command(self) -> events.GuideCommand:
        """The move."""
        return events.GuideCommand(self.command_name)


class TracksMessage(CommandMessage):
    """Name the video tracks of a connection; unnamed, the first is the screen."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "tracks", "mids": {"1": "screen", "2": "camera"}}]}
    )

    action: Literal["tracks"]
    mids: Annotated[TrackNames, _TRACKS] = Field(description="the content of each video section, by its mid")

    @property
    def command(self) -> events.NameTracks:
        """The names of the tracks."""
        return events.NameTracks(self.mids)


SharedCommandUnion = (
    TextInputMessage
    | InterruptMessage
    | AudioEndMessage
    | ScreenShareEndMessage
    | PlaybackMessage
    | PingMessage
    | EndSessionMessage
    | StartGuideMessage
    | GuideCommandMessage
)
CommandUnion = SharedCommandUnion | TracksMessage
COMMAND_MODELS: tuple[type[CommandMessage], ...] = get_args(CommandUnion)
"""Accepted on the data channel `events` and as LiveKit data."""

COMMANDS = ", ".join(action_of(model) for model in COMMAND_MODELS)
"""Their actions, for error messages."""

_ADAPTER: TypeAdapter[CommandUnion] = TypeAdapter(Annotated[CommandUnion, Field(discriminator="action")])


def validate_command(message: dict[str, Any]) -> CommandMessage:
    """Validate a decoded message of a data channel or of LiveKit data, or raise `ProtocolError` and nothing else."""
    try:
        return _ADAPTER.validate_python(message)
    except ValidationError as error:
        raise protocol_error(error, COMMAND_MODELS, COMMANDS) from None
