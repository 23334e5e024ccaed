"""Reads every setting from the environment or a `.env` file, and names each one that does not parse."""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from limits import RateLimitItem, parse
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
MAX_SECONDS = 365 * 24 * 3600.0

_UNUSED = {"REDIS_URL": "has no use yet: sessions and rate limits are kept in this process"}


def _comma_separated(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _rate(value: str) -> str:
    # limits takes "-1/minute" for one a minute, and "0/minute" for a rate that admits nobody.
    if not _RATE.fullmatch(value.strip()):
        raise ValueError("not a rate")
    return value


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value == "*":
            continue
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError for one that is no number
        if parts.scheme not in ("http", "https") or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("not an origin")
        if "@" in parts.netloc or not _HOST.fullmatch(parts.hostname):
            raise ValueError("not an origin")
    return values


def _llm_url(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError for one that is no number
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not the address of an API")
    if parts.query or parts.fragment or not _HOST.fullmatch(parts.hostname):
        raise ValueError("not the address of an API")
    return value.rstrip("/")


def _ice_urls(*schemes: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            match = _ICE_URL.fullmatch(value)
            if match is None or match["scheme"] not in schemes or not 0 < int(match["port"] or 1) < 65_536:
                raise ValueError("not the address of an ICE server")
            if match["transport"] and match["scheme"].startswith("stun"):
                raise ValueError("a STUN address names no transport")
        return values

    return check


_RATE = re.compile(
    r"[1-9][0-9]*\s*(?:/|\s+per\s+)\s*(?:[1-9][0-9]*\s*)?(?:second|minute|hour|day|month|year)s?", re.IGNORECASE
)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
# RFC 7064 section 3.1 and RFC 7065 section 3.1.
_ICE_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<transport>\?transport=(?:udp|tcp))?"
)
Rate = Annotated[str, AfterValidator(_rate)]
Seconds = Annotated[float, Field(allow_inf_nan=False, le=MAX_SECONDS)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
LlmUrl = Annotated[str, AfterValidator(_llm_url)]
Origins = Annotated[Names, AfterValidator(_origins)]
IceUrls = Annotated[Names, AfterValidator(_ice_urls("stun", "stuns", "turn", "turns"))]
TurnUrls = Annotated[Names, AfterValidator(_ice_urls("turn", "turns"))]


class SettingsError(Exception):
    """The settings are not valid; `faults` has one line for each wrong setting."""

    def __init__(self, faults: list[str]):
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(BaseSettings):
    """The parsed settings; each description names the values a setting accepts."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field("development", description="development or production")
    debug: bool = Field(False, description="true or false: asyncio's debug mode and full detail in the logs")
    host: str = Field("0.0.0.0", description="an address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="a port from 0 (any free one) to 65535")
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="TRACE, DEBUG, INFO, WARNING or ERROR"
    )
    log_dir: Path = Field(Path("logs"), description="a folder; in production app.log and error.log go there")
    data_dir: Path = Field(Path("data"), description="a folder for what the server keeps")

    database_url: str | None = Field(None, description="sqlite:///path or postgresql://...; unset: SQLite in DATA_DIR")
    history_days: int = Field(90, ge=0, le=36_500, description="days that history is kept, 0 (never stored) to 36500")

    secret_key: SecretStr | None = Field(
        None,
        description=f"{MIN_SECRET_BYTES} bytes or more; required in production, made and kept in DATA_DIR elsewhere",
    )
    allow_guests: bool | None = Field(
        None, description="true or false; unset: true in development (loopback only with a Gemini key), else false"
    )

    registration: Literal["open", "closed"] | None = Field(
        None, description="open or closed; unset: open in development, closed in production"
    )
    cors_origins: Origins = Field((), description="origins such as https://app.example, separated by commas, or *")
    metrics_token: SecretStr | None = Field(
        None, description="the bearer token of /api/v1/metrics; unset: open in development, off in production"
    )
    livekit_api_key: str | None = Field(
        None, description="a LiveKit API key; unset: devkey in development, LiveKit off in production"
    )
    livekit_api_secret: SecretStr | None = Field(
        None, description="its secret, 32 bytes or more; unset in development: made and kept in DATA_DIR"
    )
    livekit_rooms: Literal["shared", "private"] | None = Field(
        None,
        description="shared (a room's name lets any user in) or private (a room is its first user's); "
        "unset: private in production only",
    )

    engine: Literal["auto", "gemini", "local"] = Field(
        "auto", description="auto (Gemini with a key, else local), gemini or local"
    )
    gemini_api_key: SecretStr | None = Field(
        None, description="a Gemini API key; required in production unless ENGINE=local"
    )
    gemini_model: str = Field("gemini-3.8-live", min_length=1, description="a Gemini model that can do Live")
    gemini_voice: str = Field("Kore", description="one of Gemini's prebuilt voices")
    gemini_base_url: str | None = Field(
        None, pattern="^https://", description="an https:// address other than Google's"
    )
    gemini_ca_file: Path | None = Field(None, description="a PEM file of authorities to trust for GEMINI_BASE_URL")
    local_engine_script: Path | None = Field(
        None, description="a YAML file: the local engine answers from it instead of listening and looking"
    )
    local_voice_dir: Path | None = Field(None, description="a folder with one .onnx file; unset: the installed voice")
    local_tts_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/@?#]+(?:/[^\s?#]*)?$",
        description="such as http://localhost:8880/v1; unset: speech is made on this machine",
    )
    local_tts_model: str = Field("tts-1", min_length=1, description="a model that the speech server has")
    local_tts_voice: str = Field("alloy", min_length=1, description="a voice that the speech server has")
    local_tts_key: SecretStr | None = Field(None, description="the key of the speech server; unset: none is sent")
    local_llm_url: LlmUrl | None = Field(
        None, description="the address of an OpenAI-compatible API, such as http://localhost:11434/v1"
    )
    local_llm_model: str | None = Field(
        None, min_length=1, description="the name of a model there; required with LOCAL_LLM_URL"
    )
    local_llm_key: SecretStr | None = Field(None, description="the API key for it, if it needs one")
    local_llm_images: Literal["auto", "on", "off"] = Field("auto", description="auto, on or off")
    local_stt_dir: Path | None = Field(
        None, description="a folder with a Whisper model in CTranslate2's form; unset: the one that is installed"
    )
    local_stt_url: str | None = Field(
        None,
        pattern="^https?://",
        description="such as http://localhost:8001/v1, instead of LOCAL_STT_DIR; needs LOCAL_STT_MODEL",
    )
    local_stt_model: str | None = Field(None, description="the name of a model at LOCAL_STT_URL")
    local_stt_key: SecretStr | None = Field(None, description="the key for LOCAL_STT_URL, where it wants one")
    instructions: str = Field("", max_length=20_000, description="text added to the assistant's instructions")
    tools: Names = Field((), description="your own tools as module:attribute, separated by commas")
    guides_dir: Path | None = Field(
        None, description="a folder of guides in Markdown; unset: those of the server alone"
    )
    guide_remarks: bool = Field(True, description="true or false: whether the assistant speaks unasked during a guide")
    media_resolution: Literal["low", "medium", "high"] = Field("medium", description="low, medium or high")
    frame_max_side: int = Field(1280, ge=64, le=4096, description="pixels of a frame's long side, 64 to 4096")

    vad_threshold: float = Field(0.5, gt=0, lt=1, description="a probability between 0 and 1")
    vad_start_ms: int = Field(192, ge=32, le=2000, description="milliseconds of speech that start a turn, 32 to 2000")
    turn_model: Literal["smart-turn", "silence"] = Field(
        "smart-turn", description="smart-turn (a model judges each pause) or silence (its length alone decides)"
    )
    vad_silence_ms: int = Field(500, ge=96, le=5000, description="milliseconds of silence that end a turn, 96 to 5000")
    vad_pre_roll_ms: int = Field(400, ge=0, le=2000, description="milliseconds of audio kept from before, 0 to 2000")

    max_utterance_seconds: float = Field(60, ge=5, le=600, description="seconds from 5 to 600")

    max_sessions: int = Field(50, ge=1, description="a number from 1")
    max_sessions_per_user: int = Field(4, ge=1, description="a number from 1")
    max_sessions_per_address: int = Field(10, ge=1, description="a number from 1")
    max_guest_share: float = Field(0.8, gt=0, le=1, description="a share of MAX_SESSIONS above 0, up to 1")
    session_idle_seconds: Seconds = Field(600, gt=0, description="seconds above 0, up to 31536000 (a year)")
    session_unused_seconds: Seconds = Field(120, gt=0, description="seconds above 0, up to 31536000 (a year)")
    session_max_seconds: Seconds = Field(3600, gt=0, description="seconds above 0, up to 31536000 (a year)")

    ice_servers: IceUrls = Field(
        (), description="stun: or turn: addresses such as stun:stun.example.org:3478, separated by commas"
    )
    turn_urls: TurnUrls = Field((), description="turn: or turns: addresses, separated by commas; needs TURN_SECRET")
    turn_secret: SecretStr | None = Field(
        None, description="the secret shared with the TURN server (coturn's static-auth-secret)"
    )

    rate_limit_api: Rate = Field("120/minute", description="such as 120/minute")
    rate_limit_login: Rate = Field("10/minute", description="such as 10/minute")
    rate_limit_offer: Rate = Field("30/minute", description="such as 30/minute")

    tls_cert: Path | None = Field(None, description="a PEM certificate chain; needs TLS_KEY")
    tls_key: Path | None = Field(None, description="the PEM key of TLS_CERT")
    shutdown_grace_seconds: Seconds = Field(30, ge=0, description="seconds from 0 to 31536000 (a year)")

    @property
    def is_production(self) -> bool:
        """Whether the server runs in production."""
        return self.environment == "production"

    @property
    def uses_gemini(self) -> bool:
        """Whether sessions use Gemini and not the local engine."""
        return self.engine == "gemini" or (self.engine == "auto" and self.gemini_api_key is not None)

    @property
    def uses_language_model(self) -> bool:
        """Whether a language model answers in the local engine."""
        return self.local_llm_url is not None and self.local_engine_script is None and not self.uses_gemini

    @property
    def key(self) -> str:
        """The Gemini API key; empty if unset."""
        return self.gemini_api_key.get_secret_value() if self.gemini_api_key else ""

    def limit(self, rate: str) -> RateLimitItem:
        """Parse a rate such as "30/minute" for a rate limiter."""
        return parse(rate)


def load(env_file: str | None = ".env") -> Settings:
    """Read the settings; raises `SettingsError` that names every fault and contains no value."""
    try:
        settings = Settings(_env_file=env_file)  # type: ignore[call-arg] # pydantic-settings' own argument
    except ValidationError as error:
        fields = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
        faults = [_describe(name) for name in Settings.model_fields if name in fields]
        raise SettingsError(faults or ["The settings do not parse."]) from None
    faults = list(_missing(settings))
    if faults:
        raise SettingsError(faults)
    return settings


def secret_from(settings: Settings) -> str:
    """Return SECRET_KEY, or outside production a key generated once and stored in DATA_DIR."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    return _stored_secret(settings.data_dir / "secret_key")


def livekit_keys(settings: Settings) -> tuple[str, str] | None:
    """Return LiveKit's API key and secret, generated in development; None where LiveKit is off."""
    if settings.livekit_api_secret is not None:
        return settings.livekit_api_key or "devkey", settings.livekit_api_secret.get_secret_value()
    if settings.is_production:
        return None
    return settings.livekit_api_key or "devkey", _stored_secret(settings.data_dir / "livekit_secret")


def _stored_secret(path: Path) -> str:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(MIN_SECRET_BYTES))
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError([f"DATA_DIR: the secret in {path} cannot be kept or read: {reason}"]) from None
    if len(secret.encode()) < MIN_SECRET_BYTES:
        # A full disk leaves an empty file behind; signing with that would let anybody sign.
        message = f"DATA_DIR: the secret in {path} is damaged; delete the file for a new one, which ends all logins"
        raise SettingsError([message])
    return secret


def warnings(settings: Settings, env_file: str | None = ".env") -> Mapping[str, str]:
    """List settings that work but are unsafe in production, and names in `env_file` that are no setting."""
    found: dict[str, str] = {}
    secret = settings.secret_key
    if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        found["SECRET_KEY"] = f"is short; production wants {MIN_SECRET_BYTES} bytes or more"
    if settings.local_llm_url is not None and not settings.uses_language_model:
        found["LOCAL_LLM_URL"] = f"is not used: {'Gemini' if settings.uses_gemini else 'the script'} answers"
    lines = dotenv_values(env_file, interpolate=False) if env_file is not None and Path(env_file).is_file() else {}
    known = [name.upper() for name in Settings.model_fields]
    for name in lines:
        if name.upper() not in (*known, *_UNUSED):
            nearest = get_close_matches(name.upper(), known, n=1)
            found[name] = f"in {env_file} is no setting" + "".join(f"; {match} is" for match in nearest)
    given = {name.upper() for name, value in (*lines.items(), *os.environ.items()) if value}
    return found | {name: warning for name, warning in _UNUSED.items() if name in given}


def _missing(settings: Settings) -> list[str]:
    faults = []
    if settings.is_production:
        secret = settings.secret_key
        if secret is None or _is_short(secret):
            faults.append(_describe("secret_key"))
        if settings.engine == "auto" and settings.gemini_api_key is None:
            faults.append(_describe("gemini_api_key"))
    if settings.engine == "gemini" and settings.gemini_api_key is None:
        faults.append(_describe("gemini_api_key"))
    if (settings.tls_cert is None) != (settings.tls_key is None):
        faults.append(_describe("tls_cert" if settings.tls_cert is None else "tls_key"))
    if settings.is_production and (settings.livekit_api_key is None) != (settings.livekit_api_secret is None):
        faults.append(_describe("livekit_api_key" if settings.livekit_api_key is None else "livekit_api_secret"))
    livekit_secret = settings.livekit_api_secret
    if settings.is_production and livekit_secret is not None and _is_short(livekit_secret):
        faults.append(_describe("livekit_api_secret"))
    if settings.local_llm_url is not None and settings.local_llm_model is None:
        faults.append(_describe("local_llm_model"))
    if settings.turn_urls and settings.turn_secret is None:
        faults.append(_describe("turn_secret"))
    if settings.local_voice_dir is not None and not settings.local_voice_dir.is_dir():
        faults.append(
            f"LOCAL_VOICE_DIR: no such folder; accepts {Settings.model_fields['local_voice_dir'].description}"
        )
    if settings.local_stt_dir is not None and settings.local_stt_url is not None:
        faults.append(_describe("local_stt_url"))
    if settings.local_stt_url is not None and settings.local_stt_model is None:
        faults.append(_describe("local_stt_model"))
    if settings.local_stt_dir is not None and not settings.local_stt_dir.is_dir():
        faults.append(f"LOCAL_STT_DIR: no such folder; accepts {Settings.model_fields['local_stt_dir'].description}")
    for name in ("tls_cert", "tls_key", "gemini_ca_file", "local_engine_script"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            faults.append(f"{name.upper()}: no such file; accepts {Settings.model_fields[name].description}")
    if settings.guides_dir is not None and not settings.guides_dir.is_dir():
        faults.append(f"GUIDES_DIR: no such folder; accepts {Settings.model_fields['guides_dir'].description}")
    return faults


def _is_short(secret: SecretStr) -> bool:
    return len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES


def _describe(name: str) -> str:
    return f"{name.upper()}: accepts {Settings.model_fields[name].description}"
