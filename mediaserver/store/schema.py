"""The tables, named as the records' fields are."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table

from mediaserver.store.column_types import Moment, Words

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
    Column("id", Words, primary_key=True),
    Column("username", Words, nullable=False),
    Column("username_folded", Words, nullable=False, unique=True),
    Column("email", Words, nullable=False),
    Column("email_folded", Words, nullable=False, unique=True),
    Column("full_name", Words),
    Column("password_hash", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# An owner is an account or a guest: guests have no account, so these do not refer to one.
preferences = Table(
    "preferences",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("voice", Words),
    Column("language", Words),
    Column("model", Words),
    Column("instructions", Words),
    Column("silence_ms", Integer),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", Words, primary_key=True),
    Column("family", Words, nullable=False, index=True),
    Column("owner", Words, nullable=False, index=True),
    Column("username", Words, nullable=False),
    Column("is_guest", Boolean, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("spent_at", Moment),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Words, primary_key=True),
    Column("owner", Words, nullable=False),
    Column("label", Words, nullable=False),
    Column("transport", Words, nullable=False),
    Column("engine", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("language", Words, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment, index=True),
    Column("turns", Integer, nullable=False),
    Column("end_reason", Words),
    Index(None, "owner", "started_at", "id"),
    Index(None, "owner", "label"),
)

entries = Table(
    "entries",
    metadata,
    Column("session", Words, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("role", Words, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("text", Words, nullable=False),
    Column("interrupted", Boolean, nullable=False),
    Column("heard_ms", Integer),
)

turn_usage = Table(
    "turn_usage",
    metadata,
    Column("session", Words, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("tokens", JSON, nullable=False),
)

# Ids of deleted sessions and users: what is still on its way for them must not bring them back.
forgotten = Table(
    "forgotten",
    metadata,
    Column("id", Words, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
)
