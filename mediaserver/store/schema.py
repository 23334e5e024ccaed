"""The tables; columns have the names of the records' fields."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table

from mediaserver.store.column_types import SafeText, UtcDateTime

metadata = MetaData(
    # Names that are the same everywhere, so that a later migration can change what they name.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("username", SafeText, nullable=False),
    Column("username_folded", SafeText, nullable=False, unique=True),
    Column("email", SafeText, nullable=False),
    Column("email_folded", SafeText, nullable=False, unique=True),
    Column("full_name", SafeText),
    Column("password_hash", SafeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# An owner is an account or a guest: guests have no account, so these do not refer to one.
preferences = Table(
    "preferences",
    metadata,
    Column("owner", SafeText, primary_key=True),
    Column("voice", SafeText),
    Column("language", SafeText),
    Column("model", SafeText),
    Column("instructions", SafeText),
    Column("silence_ms", Integer),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("family", SafeText, nullable=False, index=True),
    Column("owner", SafeText, nullable=False, index=True),
    Column("username", SafeText, nullable=False),
    Column("is_guest", Boolean, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("spent_at", UtcDateTime),
)

# Ids of users, of logins (families of refresh tokens) and of LiveKit tokens that are refused until they have expired.
revocations = Table(
    "revocations",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# Digests of the networks from which an account has logged in: others' wrong passwords do not keep it out there.
known_networks = Table(
    "known_networks",
    metadata,
    Column("account", SafeText, primary_key=True),
    Column("network", SafeText, primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("owner", SafeText, nullable=False),
    Column("label", SafeText, nullable=False),
    Column("transport", SafeText, nullable=False),
    Column("engine", SafeText, nullable=False),
    Column("model", SafeText, nullable=False),
    Column("language", SafeText, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, index=True),
    Column("turns", Integer, nullable=False),
    Column("end_reason", SafeText),
    Index(None, "owner", "started_at", "id"),
    Index(None, "owner", "label"),
)

entries = Table(
    "entries",
    metadata,
    Column("session", SafeText, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("role", SafeText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("text", SafeText, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("heard_ms", Integer),
)

turn_usage = Table(
    "turn_usage",
    metadata,
    Column("session", SafeText, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("tokens", JSON, nullable=False),
)

# Ids of deleted sessions and users: what is still on its way for them must not bring them back.
forgotten = Table(
    "forgotten",
    metadata,
    Column("id", SafeText, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
)
