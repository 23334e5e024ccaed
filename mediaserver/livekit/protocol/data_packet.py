"""What goes over LiveKit's data channels: one DataPacket in each message."""

from google.protobuf.message import DecodeError
from livekit.protocol.models import DataPacket, RpcAck, RpcError, RpcResponse, UserPacket

from pipeline.errors import ProtocolError

MAX_PACKET = 64_000
"""Bytes; clients send and take no larger ones."""


def parse_packet(data: bytes) -> DataPacket:
    """Read one message, or raise `ProtocolError` and nothing else; one of an unknown kind has no value."""
    if len(data) > MAX_PACKET:
        raise ProtocolError(f"A data packet is at most {MAX_PACKET} bytes long.")
    try:
        return DataPacket.FromString(data)
    except DecodeError:
        raise ProtocolError("A message on a data channel takes one DataPacket.") from None


def user_packet(payload: bytes, topic: str, *, to: tuple[str, ...] = ()) -> DataPacket:
    """A user packet for the participants named, or for all."""
    user = UserPacket(payload=payload, topic=topic, destination_identities=to)
    return DataPacket(user=user, destination_identities=to)


def rpc_ack(request_id: str, *, to: str) -> DataPacket:
    """Says that a request has arrived."""
    return DataPacket(rpc_ack=RpcAck(request_id=request_id), destination_identities=[to])


def rpc_result(request_id: str, payload: str, *, to: str) -> DataPacket:
    """Says what came of a request."""
    return DataPacket(rpc_response=RpcResponse(request_id=request_id, payload=payload), destination_identities=[to])


def rpc_error(request_id: str, code: int, message: str, *, to: str, data: str = "") -> DataPacket:
    """Says why nothing came of a request."""
    error = RpcError(code=code, message=message, data=data)
    return DataPacket(rpc_response=RpcResponse(request_id=request_id, error=error), destination_identities=[to])
