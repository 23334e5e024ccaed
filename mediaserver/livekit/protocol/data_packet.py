"""The packets on LiveKit's data channels: one DataPacket in each message."""

from google.protobuf.message import DecodeError
from livekit.protocol.models import DataPacket, RpcAck, RpcError, RpcResponse, UserPacket

from pipeline.errors import ProtocolError

MAX_PACKET = 64_000
"""The maximum size in bytes, which is also the clients' limit."""


def parse_packet(data: bytes) -> DataPacket:
    """Parse one message; a packet of an unknown kind has no value. Raises only `ProtocolError`."""
    if len(data) > MAX_PACKET:
        raise ProtocolError(f"A data packet is at most {MAX_PACKET} bytes long.")
    try:
        return DataPacket.FromString(data)
    except DecodeError:
        raise ProtocolError("A message on a data channel takes one DataPacket.") from None


def user_packet(payload: bytes, topic: str, *, to: tuple[str, ...] = ()) -> DataPacket:
    """Build a user packet for the named participants, or for all."""
    user = UserPacket(payload=payload, topic=topic, destination_identities=to)
    return DataPacket(user=user, destination_identities=to)


def rpc_ack(request_id: str, *, to: str) -> DataPacket:
    """Build the acknowledgement of an RPC request."""
    return DataPacket(rpc_ack=RpcAck(request_id=request_id), destination_identities=[to])


def rpc_result(request_id: str, payload: str, *, to: str) -> DataPacket:
    """Build the successful response to an RPC request."""
    return DataPacket(rpc_response=RpcResponse(request_id=request_id, payload=payload), destination_identities=[to])


def rpc_error(request_id: str, code: int, message: str, *, to: str, data: str = "") -> DataPacket:
    """Build the error response to an RPC request."""
    error = RpcError(code=code, message=message, data=data)
    return DataPacket(rpc_response=RpcResponse(request_id=request_id, error=error), destination_identities=[to])
