"""What rooms are told by the composition root, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (s) whom is waited for, and how often what is done."""

    resume: float = 30.0
    """Without a socket, until a participant counts as gone."""
    grace: float = 60.0
    """Without any participant, until the conversation ends."""
    silence: float = 20.0
    """Without a word on the socket: clients ping every 5 s, as they are told to."""
    send: float = 10.0
    """For one message to be taken."""
    flush: float = 3.0
    """For all that was said before the end."""
    farewell: float = 0.3
    """Between the last event and the order to leave, which come on different ways."""
    publish: float = 0.5
    """For a client to be done with a track that it publishes."""
    hung_up: float = 1.0
    """For a client that has hung up to say that it leaves."""
    tick: float = 0.3
    quality: float = 5.0
    """Between looks at how well everybody is connected."""
    refresh: float = 300.0
    """Between new tokens."""
