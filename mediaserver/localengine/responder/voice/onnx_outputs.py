"""Makes an inner tensor of an ONNX model one of its outputs."""

_LENGTH_DELIMITED = 2  # protobuf's wire type
_MODEL_GRAPH = 7  # onnx.proto: ModelProto.graph
_GRAPH_OUTPUT = 12  # GraphProto.output
_VALUE_NAME = 1  # ValueInfoProto.name


def with_output(model: bytes, tensor: str) -> bytes:
    """Return the model with `tensor` as a further, last output; onnxruntime refuses it if there is no such tensor.

    A protobuf message followed by another of its type is one message with the repeated fields of both
    (protobuf.dev/programming-guides/encoding, "Last One Wins"), so the model need not be parsed.
    """
    return model + _field(_MODEL_GRAPH, _field(_GRAPH_OUTPUT, _field(_VALUE_NAME, tensor.encode())))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
