"""The schema's revisions, which Alembic runs in order."""
