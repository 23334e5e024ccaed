"""What Alembic runs: the revisions, on the connection and in the transaction that `migration.py` has opened."""

from alembic import context

from mediaserver.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
