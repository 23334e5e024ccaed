"""Settings: what is accepted, and what is told when it is not."""

import re
from pathlib import Path

import pytest

from mediaserver.settings import Settings, SettingsError, load, secret_from, warnings

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "redis_url"):
        monkeypatch.delenv(name.upper(), raising=False)


def test_development_needs_nothing() -> None:
    settings = load(None)
    assert not settings.is_production
    assert not settings.uses_gemini


def test_a_key_makes_gemini_answer_unless_local_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert load(None).uses_gemini
    monkeypatch.setenv("ENGINE", "local")
    assert not load(None).uses_gemini


def test_all_faults_are_told_at_once_by_name_and_without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "http", "VAD_THRESHOLD": "7", "RATE_LIMIT_OFFER": "often", "ENGINE": "gpt"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(None)
    named = [fault.partition(":")[0] for fault in caught.value.faults]
    assert named == ["PORT", "ENGINE", "VAD_THRESHOLD", "RATE_LIMIT_OFFER"]
    assert all("accepts" in fault for fault in caught.value.faults)
    assert "often" not in str(caught.value)
    assert "gpt" not in str(caught.value)


def test_production_wants_a_key_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(SettingsError) as caught:
        load(None)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["SECRET_KEY", "GEMINI_API_KEY"]


def test_a_short_secret_is_refused_in_production_and_warned_of_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "short")
    monkeypatch.setenv("ENGINE", "local")
    assert "SECRET_KEY" in warnings(load(None), None)
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        load(None)
    monkeypatch.setenv("SECRET_KEY", SECRET)
    assert not warnings(load(None), None)


def test_a_name_in_the_env_file_that_is_no_setting_is_warned_of_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("port=8001\nGEMINI_APIKEY=k\nexport VAD_SILENCE=400\n# HOTS=x\nNIGHTINGALE={1}\n")
    shown = warnings(load(str(file)), str(file))
    assert shown == {
        "GEMINI_APIKEY": f"in {file} is no setting; GEMINI_API_KEY is",
        "VAD_SILENCE": f"in {file} is no setting; VAD_SILENCE_MS is",
        "NIGHTINGALE": f"in {file} is no setting",
    }


@pytest.mark.parametrize("example", ["config/env.development", "config/env.production"])
def test_an_example_environment_is_not_warned_of(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert warnings(load(example), example) == {}


def test_redis_is_said_to_have_no_use_wherever_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("REDIS_URL=redis://localhost\n")
    assert "no use yet" in warnings(load(str(file)), str(file))["REDIS_URL"]
    file.write_text("REDIS_URL=\n")
    assert warnings(load(str(file)), str(file)) == {}
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    assert "no use yet" in warnings(load(None), None)["REDIS_URL"]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("TLS_CERT", "TLS_KEY"),
        ("TLS_KEY", "TLS_CERT"),
        ("TURN_URLS", "TURN_SECRET"),
        ("LOCAL_STT_URL", "LOCAL_STT_MODEL"),
    ],
)
def test_half_a_pair_is_told_its_other_half(monkeypatch: pytest.MonkeyPatch, name: str, missing: str) -> None:
    values = {"TURN_URLS": "turn:example.org", "LOCAL_STT_URL": "http://localhost:8001/v1"}
    monkeypatch.setenv(name, values.get(name, __file__))
    with pytest.raises(SettingsError, match=missing):
        load(None)


def test_the_address_of_a_speech_server_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "localhost:8880",
        "ftp://host/v1",
        "http://user:secret@host/v1",
        "http://host/v1?key=secret",
        "http://",
    ):
        monkeypatch.setenv("LOCAL_TTS_URL", url)
        with pytest.raises(SettingsError, match="LOCAL_TTS_URL: accepts") as refused:
            load(None)
        assert "secret" not in str(refused.value)
    monkeypatch.setenv("LOCAL_TTS_URL", "http://localhost:8880/v1")
    assert load(None).local_tts_url == "http://localhost:8880/v1"


def test_a_language_model_needs_a_name_and_is_said_to_be_unused_beside_gemini(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_LLM_URL", "http://localhost:11434/v1/")
    with pytest.raises(SettingsError, match="LOCAL_LLM_MODEL: accepts"):
        load(None)
    monkeypatch.setenv("LOCAL_LLM_MODEL", "qwen")
    settings = load(None)
    assert (settings.local_llm_url, settings.uses_language_model) == ("http://localhost:11434/v1", True)
    assert "LOCAL_LLM_URL" not in warnings(settings, None)
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert not load(None).uses_language_model
    assert warnings(load(None), None)["LOCAL_LLM_URL"] == "is not used: Gemini answers"


def test_a_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_VOICE_DIR", "/nowhere")
    with pytest.raises(SettingsError, match="LOCAL_VOICE_DIR: no such folder"):
        load(None)
    monkeypatch.delenv("LOCAL_VOICE_DIR")
    monkeypatch.setenv("LOCAL_ENGINE_SCRIPT", "/nowhere.yaml")
    with pytest.raises(SettingsError, match="LOCAL_ENGINE_SCRIPT: no such file"):
        load(None)


def test_one_ear_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCAL_STT_DIR", str(tmp_path))
    assert load(None).local_stt_dir == tmp_path
    monkeypatch.setenv("LOCAL_STT_URL", "http://localhost:8001/v1")
    monkeypatch.setenv("LOCAL_STT_MODEL", "whisper-1")
    with pytest.raises(SettingsError, match=r"LOCAL_STT_URL: .*instead of LOCAL_STT_DIR"):
        load(None)


def test_a_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_STT_DIR", "/nowhere")
    with pytest.raises(SettingsError, match="LOCAL_STT_DIR: no such folder"):
        load(None)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICE_SERVERS", "stun:a.example:3478, stun:b.example")
    assert load(None).ice_servers == ("stun:a.example:3478", "stun:b.example")


def test_a_secret_is_made_once_and_kept_for_its_owner_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    made = secret_from(load(None))
    assert len(made) >= 32
    assert secret_from(load(None)) == made
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SECRET_KEY", SECRET)
    assert secret_from(load(None)) == SECRET


@pytest.mark.parametrize(
    ("name", "refused", "accepted"),
    [
        ("ICE_SERVERS", ["stun:", "http://evil", "stun:a:0", "stun:a:70000", "stun:a?transport=udp", "turn://a", "a"],
         ["stun:a.example", "stuns:a:5349", "turn:[2001:db8::1]:3478?transport=tcp", "stun:192.0.2.1, turn:b"]),
        (
            "LOCAL_LLM_URL",
            ["localhost", "ftp://a/v1", "http://", "http://u:p@a/v1", "http://a/v1?x=1", "http://a:b/v1"],
            ["http://localhost:11434/v1", "https://a.example/v1/"],
        ),
        ("TURN_URLS", ["stun:a.example", "turn:", "turn:a b"], ["turn:a.example:3478", "turns:a?transport=tcp"]),
        ("CORS_ORIGINS", ["not a url", "app.example", "https://", "https://a/path", "https://a/", "ftp://a",
                          "https://user@a", "https://a:port", "null"],
         ["https://app.example", "http://localhost:3000", "https://[::1]:8443", "*", "https://a, https://b:1"]),
        ("RATE_LIMIT_API", ["0/minute", "often", "10/0 minute", "-1/minute"],
         ["1/second", "1000/hour", "5 per 10 minutes"]),
        ("SESSION_MAX_SECONDS", ["inf", "nan", "-1", "0", "1e99"], ["1", "86400"]),
        ("SESSION_IDLE_SECONDS", ["inf", "nan", "0"], ["0.5"]),
        ("SHUTDOWN_GRACE_SECONDS", ["inf", "-1"], ["0"]),
    ],
)  # fmt: skip
def test_a_value_that_could_not_work_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, name: str, refused: list[str], accepted: list[str]
) -> None:
    monkeypatch.setenv("TURN_SECRET", "s")
    monkeypatch.setenv("LOCAL_LLM_MODEL", "qwen")
    for value in refused:
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=f"^{name}: accepts ") as caught:
            load(None)
        assert value not in caught.value.faults[0].split("accepts")[0]
    for value in accepted:
        monkeypatch.setenv(name, value)
        load(None)


def test_a_short_livekit_secret_is_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENVIRONMENT": "production", "ENGINE": "local", "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIVEKIT_API_KEY", "k")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "short")
    with pytest.raises(SettingsError, match="LIVEKIT_API_SECRET: accepts"):
        load(None)
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    load(None)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_damaged_secret_file_is_told_and_never_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "secret_key").write_bytes(content)
    with pytest.raises(SettingsError, match=r"DATA_DIR: the secret in .*secret_key"):
        secret_from(load(None))


def test_the_example_environments_are_complete_and_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for path in (Path("config/env.development"), Path("config/env.production")):
        assert set(re.findall(r"^(?:# )?([A-Z_]+)=", path.read_text(), re.MULTILINE)) == known, path
    assert not load("config/env.development").is_production
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert load("config/env.production").is_production
