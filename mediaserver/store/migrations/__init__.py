"""How a database comes to have today's tables, one revision after another; Alembic runs them."""
