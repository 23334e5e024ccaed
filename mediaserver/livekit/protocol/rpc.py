"""The RPC server of the assistant."""

from collections.abc import Callable, Iterator, Mapping

from livekit.protocol.models import DataPacket, RpcRequest

from mediaserver.livekit.protocol.data_packet import rpc_ack, rpc_error, rpc_result
from mediaserver.livekit.protocol.data_streams import Received, text_stream
from pipeline.errors import ProtocolError

MAX_PAYLOAD = 15_360
"""The maximum payload of a request or a response, in bytes."""

REQUEST_TOPIC = "lk.rpc_request"
RESPONSE_TOPIC = "lk.rpc_response"

UNSUPPORTED_METHOD = 1400
RECIPIENT_NOT_FOUND = 1401
REQUEST_TOO_LARGE = 1402
UNSUPPORTED_VERSION = 1404
APPLICATION_ERROR = 1500
RESPONSE_TOO_LARGE = 1504

_ID, _METHOD, _VERSION = "lk.rpc_request_id", "lk.rpc_request_method", "lk.rpc_request_version"


class RpcFailure(Exception):
    """A method has failed; the caller gets the code and the message."""

    def __init__(self, message: str, *, code: int = APPLICATION_ERROR):
        super().__init__(message)
        self.code = code
        self.message = message


Method = Callable[[str], str]
"""Maps a request payload to a response payload, without blocking. Raises `RpcFailure`."""


class RpcServer:
    """Answers a client's requests with the given methods, in packets addressed to the caller."""

    def __init__(self, methods: Mapping[str, Method]):
        self._methods = dict(methods)

    def answer(self, request: RpcRequest, caller: str) -> Iterator[DataPacket]:
        """Acknowledge and answer a request in a packet (version 1)."""
        yield rpc_ack(request.id, to=caller)
        try:
            if request.version != 1:
                raise RpcFailure("Only version 1 is taken in packets", code=UNSUPPORTED_VERSION)
            if request.compressed_payload:
                raise RpcFailure("Compressed payloads are not taken", code=UNSUPPORTED_VERSION)
            payload = self._call(request.method, request.payload)
        except RpcFailure as failure:
            yield rpc_error(request.id, failure.code, failure.message, to=caller)
        else:
            yield rpc_result(request.id, payload, to=caller)

    def answer_stream(self, stream: Received, caller: str) -> Iterator[DataPacket]:
        """Acknowledge and answer a request in a text stream (version 2)."""
        request_id = stream.attributes.get(_ID, "")
        yield rpc_ack(request_id, to=caller)
        try:
            if stream.attributes.get(_VERSION) != "2":
                raise RpcFailure("Only version 2 is taken in streams", code=UNSUPPORTED_VERSION)
            payload = self._call(stream.attributes.get(_METHOD, ""), _text(stream))
        except RpcFailure as failure:
            yield rpc_error(request_id, failure.code, failure.message, to=caller)
        else:
            yield from text_stream(RESPONSE_TOPIC, payload, {_ID: request_id}, to=(caller,))

    def _call(self, name: str, payload: str) -> str:
        method = self._methods.get(name)
        if method is None:
            known = ", ".join(sorted(self._methods))
            raise RpcFailure(f"Method not supported at destination; {known} are", code=UNSUPPORTED_METHOD)
        if len(payload.encode()) > MAX_PAYLOAD:
            raise RpcFailure("Request payload too large", code=REQUEST_TOO_LARGE)
        response = method(payload)
        if len(response.encode()) > MAX_PAYLOAD:
            raise RpcFailure("Response payload too large", code=RESPONSE_TOO_LARGE)
        return response


def _text(stream: Received) -> str:
    try:
        return stream.text
    except ProtocolError as error:
        raise RpcFailure(error.message) from None
