"""The networks from which accounts have logged in, in SQL."""

from datetime import datetime, timedelta

from sqlalchemy import exists, select

from mediaserver.store.database import Database
from mediaserver.store.schema import known_networks

KNOWN_FOR = timedelta(days=90)
"""The time after a login for which its network stays known."""


class SqlKnownNetworks:
    """The part of `Store` for known networks."""

    def __init__(self, database: Database):
        self._database = database

    async def add_known_network(self, account: str, network: str, now: datetime) -> None:
        """Record that an account has logged in from a network, given as a digest."""
        row = {"account": account, "network": network, "expires_at": now + KNOWN_FOR}
        async with self._database.writing() as connection:
            await connection.execute(self._database.upsert(known_networks), row)

    async def is_known_network(self, account: str, network: str, now: datetime) -> bool:
        """Whether an account has logged in from a network in the last 90 days."""
        is_row = (
            (known_networks.c.account == account)
            & (known_networks.c.network == network)
            & (known_networks.c.expires_at > now)
        )
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(exists().where(is_row)))).scalar())
