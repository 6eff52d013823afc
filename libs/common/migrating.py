"""Migrations of SQL tables with Alembic: each service's own, after those that every service has.

A migration's file is named like its revision, and the names of a place sort in their order.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

if TYPE_CHECKING:
    from alembic.config import Config

ROOT = Path(__file__).parents[2]
COMMON = ROOT / "libs" / "common" / "migrations"


class NotMigrated(Exception):  # noqa: N818 - states what is the case
    """The database does not have the tables of this version."""


def places(service: str) -> list[Path]:
    """Where the migrations of a service lie; `keys` stands for the database of data keys."""
    if service == "keys":
        return [COMMON / "keys"]
    return [COMMON / "followers", ROOT / "services" / service / "migrations"]


def configuration(service: str) -> "Config":
    """Alembic's configuration for one database."""
    from alembic.config import Config  # noqa: PLC0415 - 11 MB that a running service does without

    found = Config()
    found.set_main_option("script_location", str(COMMON))
    found.set_main_option("version_locations", ":".join(map(str, places(service))))
    found.set_main_option("path_separator", ":")
    return found


async def migrate(engine: AsyncEngine, service: str) -> None:
    """Brings a database to the tables of this version; safe to repeat."""
    from alembic import command  # noqa: PLC0415 - see configuration

    def upgrade(connection: Connection) -> None:
        alembic = configuration(service)
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "heads")

    async with engine.begin() as transaction:
        await transaction.run_sync(upgrade)


def latest(service: str) -> set[str]:
    """The last revision of each place."""
    return {max(place.glob("[!_]*.py")).stem for place in places(service)}


async def check_migrated(engine: AsyncEngine, service: str) -> None:
    """Raises NotMigrated unless the database has the tables of this version."""
    found: set[str] = set()
    try:
        async with engine.connect() as connection:
            found = set(await connection.scalars(text("SELECT version_num FROM alembic_version")))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
    if found != latest(service):
        raise NotMigrated(f"the database of {service} is not of this version; run `stepladder migrate`")
