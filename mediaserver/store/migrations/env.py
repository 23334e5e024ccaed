"""Alembic's entry point: runs the revisions on the connection and transaction of `migration.py`."""

from alembic import context

from mediaserver.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
