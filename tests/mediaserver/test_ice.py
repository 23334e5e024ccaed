"""ICE servers for clients."""

import base64
import hashlib
import hmac
import time

import pytest
from pydantic import SecretStr

from mediaserver.ice import ice_servers, stun_servers
from mediaserver.rtc.config import IceServer
from mediaserver.settings import Settings

SETTINGS = Settings(
    _env_file=None,  # type: ignore[call-arg]
    ice_servers=("stun:stun.example",),
    turn_urls=("turn:turn.example",),
    turn_secret=SecretStr("shared with coturn"),
)


def test_turn_credentials_name_the_user_and_live_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.5)
    plain, turn = ice_servers(SETTINGS, "0123abcd")
    assert plain == IceServer(("stun:stun.example",))
    assert turn.username == "1003600:0123abcd"
    signature = hmac.digest(b"shared with coturn", b"1003600:0123abcd", hashlib.sha1)
    assert turn.credential == base64.b64encode(signature).decode()


@pytest.mark.parametrize("user", ["livekit:bob", 'a"; b', "a\r\nSet-Cookie: b", "é", "x" * 65])
def test_a_name_of_another_server_becomes_plain_and_stays_one_user(user: str) -> None:
    names = {str(ice_servers(SETTINGS, each)[1].username).partition(":")[2] for each in (user, user, "livekit:eve")}
    assert len(names) == 2
    assert all(len(name) == 32 and name.isalnum() and name.isascii() for name in names)


def test_without_turn_nobody_gets_credentials() -> None:
    assert stun_servers(SETTINGS) == (IceServer(("stun:stun.example",)),)
    plain = SETTINGS.model_copy(update={"turn_urls": ()})
    assert ice_servers(plain, "ann") == stun_servers(plain)
