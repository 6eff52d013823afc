"""Migrations of SQL tables with Alembic: each service's own, after those that every service has."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

ROOT = Path(__file__).parents[2]
COMMON = ROOT / "libs" / "common" / "migrations"


class NotMigrated(Exception):  # noqa: N818 - states what is the case
    """The database does not have the tables of this version."""


def _configuration(service: str) -> Config:
    """`service` is a service's name, or `keys` for the database of data keys."""
    configuration = Config()
    configuration.set_main_option("script_location", str(COMMON))
    own = COMMON / "keys" if service == "keys" else ROOT / "services" / service / "migrations"
    places = [own] if service == "keys" else [COMMON / "followers", own]
    configuration.set_main_option("version_locations", ":".join(map(str, places)))
    configuration.set_main_option("path_separator", ":")
    return configuration


async def migrate(engine: AsyncEngine, service: str) -> None:
    """Brings a database to the tables of this version; safe to repeat."""

    def upgrade(connection: Connection) -> None:
        configuration = _configuration(service)
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "heads")

    async with engine.begin() as transaction:
        await transaction.run_sync(upgrade)


async def check_migrated(engine: AsyncEngine, service: str) -> None:
    """Raises NotMigrated unless the database has the tables of this version."""
    wanted = set(ScriptDirectory.from_config(_configuration(service)).get_heads())
    async with engine.connect() as connection:
        found = set(await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_heads()))
    if found != wanted:
        raise NotMigrated(f"the database of {service} is not of this version; run `stepladder migrate`")
