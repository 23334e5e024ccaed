from dataclasses import replace

import pytest
from livekit.protocol.models import DataPacket, RpcRequest

from mediaserver.livekit.protocol.data_streams import Assembler, Received
from mediaserver.livekit.protocol.rpc import MAX_PAYLOAD, REQUEST_TOPIC, RpcFailure, RpcServer


def fail(_: str) -> str:
    raise RpcFailure("nothing to interrupt")


SERVER = RpcServer({"echo": lambda payload: payload, "fail": fail, "talk": lambda _: "x" * (MAX_PAYLOAD + 1)})


def call(method: str, payload: str = "", version: int = 1, compressed: bytes = b"") -> list[DataPacket]:
    request = RpcRequest(id="r1", method=method, payload=payload, version=version, compressed_payload=compressed)
    return list(SERVER.answer(request, "ada"))


def test_a_request_is_acknowledged_and_answered_to_its_caller_alone() -> None:
    ack, response = call("echo", "hello")

    assert ack.rpc_ack.request_id == "r1"
    assert (response.rpc_response.request_id, response.rpc_response.payload) == ("r1", "hello")
    assert list(ack.destination_identities) == list(response.destination_identities) == ["ada"]


@pytest.mark.parametrize(
    ("packets", "code"),
    [
        (call("dance"), 1400),
        (call("echo", "x" * (MAX_PAYLOAD + 1)), 1402),
        (call("echo", version=3), 1404),
        (call("echo", compressed=b"x"), 1404),
        (call("fail"), 1500),
        (call("talk"), 1504),
    ],
)
def test_what_cannot_be_answered_is_acknowledged_and_gets_its_code(packets: list[DataPacket], code: int) -> None:
    assert packets[0].rpc_ack.request_id == "r1"
    assert packets[1].rpc_response.error.code == code
    assert packets[1].rpc_response.error.message


def test_an_unknown_method_is_told_which_there_are() -> None:
    assert "echo, fail, talk" in call("dance")[1].rpc_response.error.message


def stream(method: str, version: str = "2") -> Received:
    attributes = {
        "lk.rpc_request_id": "r2",
        "lk.rpc_request_method": method,
        "lk.rpc_request_version": version,
    }
    return Received("s", "ada", REQUEST_TOPIC, "text/plain", is_text=True, content=b"hi", attributes=attributes)


def test_a_request_in_a_stream_is_answered_in_one() -> None:
    ack, *rest = SERVER.answer_stream(stream("echo"), "ada")

    assembler = Assembler({"lk.rpc_response": MAX_PAYLOAD})
    (answer,) = [done for packet in rest if (done := assembler.push(packet, 0.0))]
    assert ack.rpc_ack.request_id == "r2"
    assert (answer.text, answer.attributes["lk.rpc_request_id"]) == ("hi", "r2")


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (stream("dance"), 1400),
        (stream("echo", "1"), 1404),
        (replace(stream("echo"), content=b"\xff"), 1500),
    ],
    ids=["method", "version", "no text"],
)
def test_an_error_of_a_stream_is_a_packet(received: Received, code: int) -> None:
    ack, error = SERVER.answer_stream(received, "ada")

    assert ack.rpc_ack.request_id == "r2"
    assert (error.rpc_response.request_id, error.rpc_response.error.code) == ("r2", code)
