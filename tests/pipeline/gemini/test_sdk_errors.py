import ssl

import pytest
from google.genai import errors, types
from websockets.exceptions import ConnectionClosedError, InvalidMessage
from websockets.frames import Close

from pipeline.errors import FaultCode
from pipeline.gemini.sdk_errors import blocked_error, engine_error, is_expiry, make_engine_error


def code_of(cause: BaseException, *, is_ready: bool = True, is_local: bool = False) -> FaultCode:
    return engine_error(cause, is_ready=is_ready, is_local=is_local).code


def closed(received: Close | None = None, sent: Close | None = None) -> ConnectionClosedError:
    return ConnectionClosedError(received, sent, True if received and sent else None)


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (closed(), FaultCode.ENGINE_NETWORK),
        (closed(Close(1011, "The service is currently unavailable.")), FaultCode.ENGINE_INTERNAL),
        (closed(Close(1011, "The voice does not work: it is off.")), FaultCode.ENGINE_VOICE_UNAVAILABLE),
        (closed(sent=Close(1009, "message too big")), FaultCode.ENGINE_PROTOCOL),
        (closed(Close(1008, "BidiGenerateContent session not found")), FaultCode.ENGINE_NETWORK),
        (closed(Close(1008, "Requested entity was not found.")), FaultCode.ENGINE_UNSUPPORTED_OP),
        (ConnectionResetError(), FaultCode.ENGINE_NETWORK),
        (TimeoutError(), FaultCode.ENGINE_NETWORK),
        (ssl.SSLCertVerificationError(1, "self-signed"), FaultCode.ENGINE_NETWORK),
        (InvalidMessage("did not receive a valid HTTP response"), FaultCode.ENGINE_NETWORK),
        (errors.ClientError(401, {"code": 401}), FaultCode.ENGINE_AUTH_INVALID),
        (errors.ServerError(500, {"code": 500}), FaultCode.ENGINE_INTERNAL),
        (RecursionError(), FaultCode.ENGINE_PROTOCOL),
    ],
)
def test_every_failure_of_a_session_has_its_code(cause: BaseException, code: FaultCode) -> None:
    assert code_of(cause) is code


def test_the_cause_we_gave_for_closing_is_not_hidden_by_the_sdk() -> None:
    error = errors.APIError(1006, "abnormal closure [internal]")
    error.__context__ = closed(sent=Close(1009, "over size limit"))
    assert code_of(error) is FaultCode.ENGINE_PROTOCOL


def test_what_the_sdk_refuses_to_send_is_a_rejected_setup() -> None:
    assert code_of(ValueError("labels parameter is not supported"), is_ready=False) is FaultCode.ENGINE_CONFIG_REJECTED
    assert code_of(errors.ClientError(400, {"code": 400}), is_ready=False) is FaultCode.ENGINE_CONFIG_REJECTED


def test_only_the_local_engine_can_be_down() -> None:
    assert code_of(ConnectionRefusedError(), is_local=True) is FaultCode.ENGINE_DOWN
    assert code_of(ConnectionRefusedError()) is FaultCode.ENGINE_NETWORK


def test_an_error_of_ours_stays_what_it_is() -> None:
    error = make_engine_error(FaultCode.ENGINE_STALLED)
    assert engine_error(error, is_ready=True, is_local=False) is error


def test_the_client_is_told_no_words_of_the_server() -> None:
    error = engine_error(closed(Close(1011, "secret host 10.0.0.1 failed")), is_ready=True, is_local=False)
    assert "secret" not in error.message
    assert error.details == {"close_code": 1011}


@pytest.mark.parametrize("code", [code for code in FaultCode if code.startswith("ENGINE_")])
def test_every_code_of_the_engine_has_a_sentence(code: FaultCode) -> None:
    if code is not FaultCode.ENGINE_CONFIG_REDUCED:
        assert make_engine_error(code).message.endswith(".")


@pytest.mark.parametrize(
    ("cause", "expired"),
    [
        (errors.APIError(1011, "Deadline expired before operation could complete."), True),
        (errors.APIError(1011, "Internal error encountered."), False),
        (closed(Close(1001, "")), True),
        (closed(), False),
        (OSError(), False),
        (None, False),
    ],
)
def test_a_session_that_reached_its_age_is_told_from_one_that_broke(cause: BaseException | None, expired: bool) -> None:
    assert is_expiry(cause) is expired


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (None, None),
        ("NEED_MORE_INPUT", None),
        ("TURN_COMPLETE_REASON_UNSPECIFIED", None),
        ("MALFORMED_FUNCTION_CALL", FaultCode.ENGINE_INTERNAL),
        ("RESPONSE_REJECTED", FaultCode.ENGINE_CONTENT_BLOCKED),
        ("GENERATED_AUDIO_SAFETY", FaultCode.ENGINE_CONTENT_BLOCKED),
    ],
)
def test_why_a_turn_ended_says_whether_it_was_blocked(reason: str | None, code: FaultCode | None) -> None:
    error = blocked_error(types.TurnCompleteReason(reason) if reason else None)
    assert (error.code if error else None) == code
