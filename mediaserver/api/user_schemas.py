"""Request and response bodies of the user and guest routes."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Literal

from email_validator import validate_email
from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator
from pydantic.json_schema import SkipJsonSchema

from mediaserver.auth.accounts import Grant
from mediaserver.auth.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from mediaserver.auth.users import User
from mediaserver.session_limits import (
    INSTRUCTIONS,
    LANGUAGE,
    MAX_SILENCE_MS,
    MIN_SILENCE_MS,
    MODEL,
    VOICE,
    Instructions,
    Language,
    Model,
    Voice,
)
from mediaserver.store.records import Account, Preferences

MAX_EMAIL = 254
MAX_FULL_NAME = 128
MAX_TOKEN = 4096

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
# PostgreSQL's text type refuses only NUL.
_NO_NUL = r"^[^\x00]*$"


def _email(value: str) -> str:
    return validate_email(value, check_deliverability=False).normalized


def _absent() -> None:
    return None


Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{2,31}$")]
Email = Annotated[str, Field(max_length=MAX_EMAIL, json_schema_extra={"format": "email"}), AfterValidator(_email)]
FullName = Annotated[str, Field(max_length=MAX_FULL_NAME, pattern=_PRINTABLE)]
# Secret, so that no password reaches a log through the repr of a body.
Password = Annotated[SecretStr, Field(min_length=MIN_CHARACTERS, max_length=MAX_CHARACTERS)]
KnownPassword = Annotated[SecretStr, Field(min_length=1, max_length=MAX_CHARACTERS)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=MAX_TOKEN)]

USERNAME = "3 to 32 of A-Z, a-z, 0-9, `.`, `_` and `-`, the first a letter or digit"
EMAIL = "an email address, such as ada@example.org"
FULL_NAME = f"at most {MAX_FULL_NAME} printable characters, or null"
PASSWORD = f"a password of {MIN_CHARACTERS} to {MAX_CHARACTERS} characters"
GUEST_TOKEN = "the access token of a guest whose sessions this account takes over; the bearer token counts as one too"


class Registration(BaseModel):
    """A request for a new account."""

    username: Username = Field(description=USERNAME)
    email: Email = Field(description=EMAIL)
    password: Password = Field(description=PASSWORD)
    full_name: FullName | None = Field(None, description=FULL_NAME)
    guest_token: Token | None = Field(None, description=GUEST_TOKEN)


class Credentials(BaseModel):
    """A username or email with its password."""

    username: str = Field(
        min_length=1, max_length=MAX_EMAIL, pattern=_PRINTABLE, description="the username or email of an account"
    )
    password: KnownPassword = Field(description="the password of that account")
    guest_token: Token | None = Field(None, description=GUEST_TOKEN)
    refresh_token: Token | None = Field(
        None, description="a refresh token of this account, which stays unused: others' wrong passwords do not delay it"
    )


class RefreshBody(BaseModel):
    """A refresh token to exchange or revoke."""

    refresh_token: Token = Field(description="the newest refresh token of a login")


class ProfileChange(BaseModel):
    """Changes of a profile; a field that is left out stays as it is."""

    username: Username | SkipJsonSchema[None] = Field(default_factory=_absent, description=USERNAME)
    email: Email | SkipJsonSchema[None] = Field(default_factory=_absent, description=EMAIL)
    full_name: FullName | None = Field(default_factory=_absent, description=FULL_NAME)
    password: Password | SkipJsonSchema[None] = Field(
        default_factory=_absent, description=f"{PASSWORD}; it needs `current_password`, and logs out everywhere else"
    )
    current_password: KnownPassword | SkipJsonSchema[None] = Field(
        default_factory=_absent, description="the password until now; a new email and a new password need it"
    )

    @field_validator("username", "email", "password", mode="before")
    @classmethod
    def _is_not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("null")
        return value

    def apply(self, account: Account) -> Account:
        """Return the changed account, with its old password."""
        given = {name: getattr(self, name) for name in ("username", "email", "full_name")}
        return replace(account, **{name: given[name] for name in given if name in self.model_fields_set})


class Deletion(BaseModel):
    """The proof that the owner of an account wants it deleted; guests need none."""

    current_password: KnownPassword | SkipJsonSchema[None] = Field(
        default_factory=_absent, description="the password of the account"
    )


class UserSettings(BaseModel):
    """Defaults of a user's sessions; null means the server's default."""

    voice: Voice | None = Field(None, description=VOICE.description)
    language: Language | None = Field(None, description=LANGUAGE.description)
    model: Model | None = Field(None, description=MODEL.description)
    instructions: Annotated[Instructions, Field(pattern=_NO_NUL)] | None = Field(
        None, description=f"{INSTRUCTIONS} that are added to the assistant's instructions"
    )
    silence_ms: int | None = Field(
        None,
        strict=True,
        ge=MIN_SILENCE_MS,
        le=MAX_SILENCE_MS,
        description=f"milliseconds of silence that end a turn, {MIN_SILENCE_MS} to {MAX_SILENCE_MS}",
    )

    @classmethod
    def of(cls, preferences: Preferences) -> "UserSettings":
        """Convert from the stored preferences."""
        return cls.model_construct(**asdict(preferences))

    def preferences(self) -> Preferences:
        """Convert to the preferences to store."""
        return Preferences(**self.model_dump())


class Registered(BaseModel):
    """A new account."""

    id: str
    username: str
    email: str
    full_name: str | None
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> "Registered":
        """Convert from an account."""
        return cls(
            id=account.id,
            username=account.username,
            email=account.email,
            full_name=account.full_name,
            created_at=account.created_at,
        )


class Profile(BaseModel):
    """A user; a guest has an id and a name only."""

    id: str
    username: str
    email: str | None
    full_name: str | None
    created_at: datetime | None
    guest: bool

    @classmethod
    def of(cls, user: User, account: Account | None) -> "Profile":
        """Convert from a user and their account, None for a guest."""
        if account is None:
            return cls(
                id=user.id, username=user.username, email=None, full_name=None, created_at=None, guest=user.is_guest
            )
        return cls(**Registered.of(account).model_dump(), guest=False)


class LoginResponse(BaseModel):
    """Access and refresh tokens of a user, with their profile."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: int
    user: Profile

    @classmethod
    def of(cls, grant: Grant) -> "LoginResponse":
        """Convert from a grant."""
        return cls(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            token_type="bearer",
            expires_in=grant.expires_in,
            user=Profile.of(grant.user, grant.account),
        )


class ChangedProfile(Profile):
    """A profile after a change; with new tokens if the password changed, which revokes the old refresh tokens."""

    tokens: LoginResponse | None
