"""Migrates a database to the current schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from mediaserver.store.interface import NewerDatabaseError

SCRIPTS = Path(__file__).with_name("migrations")


def migrate(connection: Connection, *, versions: Path = SCRIPTS / "versions") -> None:
    """Run the missing revisions within the caller's transaction; raises `NewerDatabaseError`."""
    config = Config()
    config.set_main_option("path_separator", "newline")
    config.set_main_option("script_location", _escape_percent(SCRIPTS))
    config.set_main_option("version_locations", _escape_percent(versions))
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - set(known)
    if unknown:
        raise NewerDatabaseError(
            f"The database is at revision {', '.join(sorted(unknown))}, and this version knows revisions up to "
            f"{known[0]}: a newer version has written it. Start that version or a later one again, restore the backup "
            f"made before the upgrade, or point DATABASE_URL at another database. Nothing was changed."
        )
    command.upgrade(config, "head")


def _escape_percent(path: Path) -> str:
    return str(path).replace("%", "%%")
