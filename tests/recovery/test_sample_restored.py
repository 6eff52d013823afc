"""A small sample centre, backed up while it is written to, lost, and made again out of its backups."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from libs.cli.issuer import Issuer
from libs.cli.sample import SampleCentre
from libs.cli.starting import import_sample
from libs.common.archive import read_archive, read_manifest
from libs.common.backup import KIND, WEBHOOKS
from libs.common.settings import Settings
from libs.common.streams import LOG, STREAMS
from stepladder.common.v1.backup_pb2 import BackedUpEvent, BackupPart
from stepladder.promotion.v1.eligibility_pb2 import Eligibility
from stepladder_client import connect
from tests.e2e.centre import Centre, new_centre

pytestmark = [pytest.mark.xdist_group("recovery"), pytest.mark.timeout(600)]

SERVICES = ("performance", "coaching", "promotion", "gateway")
OF_NO_LOG = {"alembic_version", "followers", "parked_events", "skipped_events", "replicas", *WEBHOOKS}
"""Tables of processes, and of what receivers were told: nothing in them is made of the log."""
OF_THE_MOMENT = {"judgements": {"position"}, "eligibilities": {"content", "sequence"}}
"""Columns that say when something was planned or looked at, too; what else eligibilities say is compared apart."""
READS = (
    "/v1/plans?pageSize=100",
    "/v1/detections?pageSize=1000",
    "/v1/employees?pageSize=1000",
    "/v1/kpiResults?startDate=2020-01-01&endDate=2030-12-31&groupBy=GROUP_BY_CENTRE",
    "/v1/eligibilities?ladderId=titles&pageSize=1000",
)


def backed_up(folder: Path, name: str) -> list[BackedUpEvent]:
    digest = read_manifest(folder, KIND)["files"][name]["digest"]
    return [event for part in read_archive(folder, name, digest) for event in BackupPart.FromString(part).events]


def differing(one: Path, other: Path) -> tuple[list[str], int]:
    """Tables of read models that have not the same rows in two folders; and how many rows were compared."""
    found, compared = [], 0
    for service in SERVICES:
        with closing(sqlite3.connect(one / f"{service}.db")) as database:
            database.execute("ATTACH ? AS other", [str(other / f"{service}.db")])
            names = [name for (name,) in database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
            for table in sorted({*names} - OF_NO_LOG):
                told = [row[1] for row in database.execute(f'PRAGMA main.table_info("{table}")')]
                columns = ", ".join(f'"{name}"' for name in told if name not in OF_THE_MOMENT.get(table, ()))
                queries = [f'SELECT {columns} FROM {where}."{table}"' for where in ("main", "other")]  # noqa: S608 - names that the database has told
                mine, theirs = (Counter(database.execute(query)) for query in queries)
                if mine != theirs:
                    lacking = next(iter(mine - theirs), None)
                    found.append(f"{service}.{table}: {mine.total()} rows, then {theirs.total()}; lacks {lacking}")
                compared += mine.total()
    return found, compared


def last_found(folder: Path) -> list[Eligibility]:
    """Everybody's next steps as they were found last, whenever that was."""
    with closing(sqlite3.connect(folder / "promotion.db")) as database:
        query = "SELECT content FROM eligibilities ORDER BY employee_id, ladder_id"
        found = [Eligibility.FromString(content) for (content,) in database.execute(query)]
    for eligibility in found:
        eligibility.ClearField("known_at")
    return found


def settle(centre: Centre) -> None:
    """Waits until nobody has anything to do: followers are at the end of a log that does not grow, nothing is due."""
    deadline, seen = time.monotonic() + 240, ""
    while True:
        followers: list[dict[str, Any]] = centre.rest("/v1/operations/-/followers")["followers"]
        now = datetime.now(UTC).isoformat()
        busy = [
            one["name"]
            for one in followers
            if one["state"] != "STATE_RUNNING" or int(one.get("lag", 0)) or one.get("nextDeadlineTime", "9") < now
        ]
        ends = str(sorted(one.get("end", "0") for one in followers))
        if not busy and ends == seen:
            return
        seen = ends
        assert time.monotonic() < deadline, busy
        time.sleep(1)


@contextmanager
def somebody_writing(centre: Centre) -> Iterator[list[str]]:
    """A few teams a second made while the context lasts; yields those that were acknowledged."""
    made: list[str] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.25):
            team = f"t-{uuid4().hex}"
            centre.rest("/v1/teams", body={"team": {"teamId": team, "displayName": "T"}, "requestId": team})
            made.append(team)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield made
    finally:
        ended.set()
        writer.join()


def wait_until_longer(made: list[str], count: int) -> None:
    deadline = time.monotonic() + 60
    while len(made) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def load(centre: Centre, sample: SampleCentre) -> None:
    issuer, address = Issuer.of(centre.folder, Settings()), f"127.0.0.1:{centre.port}"
    async with connect(address, token=issuer.system("setup")) as channel:
        await import_sample(channel, address, issuer, sample)


def answers(centre: Centre) -> dict[str, object]:
    people = centre.rest("/v1/employees?pageSize=1000")["employees"]
    of_hr = next(str(one["employeeId"]) for one in people if one["jobFamily"] == "hr")
    return {path: centre.rest(path, of_hr) for path in READS}


def test_a_centre_comes_back_out_of_its_backups(tmp_path: Path) -> None:
    """All that was acknowledged, every row of every read model, every answer."""
    original, restored = new_centre(tmp_path / "original"), new_centre(tmp_path / "restored")
    day = datetime.now(UTC).date()
    sample = SampleCentre(day - timedelta(days=1), months=2, teams=2, agents_per_team=10)
    with original.up("--empty", seconds=300):
        asyncio.run(load(original, sample))
        # when: it is backed up while somebody writes
        with somebody_writing(original) as teams:
            wait_until_longer(teams, 3)
            before = list(teams)
            original.run("backup", str(tmp_path / "b1"), "--keys", str(tmp_path / "k1"))
            wait_until_longer(teams, len(teams) + 3)
        settle(original)
        original.run("backup", str(tmp_path / "b2"), "--keys", str(tmp_path / "k2"))
        said = answers(original)
    # then: what was acknowledged before is in it, and it is how the log began
    during, whole = ({name: backed_up(tmp_path / b, name) for name in STREAMS} for b in ("b1", "b2"))
    for name in STREAMS:
        assert during[name] == whole[name][: len(during[name])]
    assert {f"log.performance.team.{team}" for team in before} <= {event.subject for event in during[LOG]}
    assert len(during[LOG]) < len(whole[LOG])
    # when: all is lost but the backups and the key of keys
    shutil.copy(original.folder / "kek", restored.folder)
    restored.run("restore", str(tmp_path / "b2"), "--keys", str(tmp_path / "k2"))
    # then: everything is made again out of it, with nothing added
    with restored.up("--empty", seconds=300):
        settle(restored)
        restored.run("backup", str(tmp_path / "b3"))
        assert {name: backed_up(tmp_path / "b3", name) for name in STREAMS} == whole
        assert answers(restored) == said
        assert restored.run("parked", "list").strip() == "nothing is parked"
    if datetime.now(UTC).date() != day:
        pytest.skip("a day began meanwhile, and with it other months of tenure")
    different, compared = differing(original.folder, restored.folder)
    assert different == []
    assert compared > 20_000
    assert last_found(original.folder) == last_found(restored.folder)
