"""Replicas that share a divided follower, as processes: started, stopped, killed and paused while events come."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import MetaData, select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.cli.nats_server import NatsServer
from libs.common.database import open_database
from libs.common.envelope import Codec, chain_start, event_types
from libs.common.eventsourcing import Context
from libs.common.jetstream import JetStreamStream, connect
from libs.common.keys import SqlDataKeys
from libs.common.positions import FOLLOWERS
from libs.common.streams import Append
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.events_pb2 import EmployeeTransferred, FactRecorded
from tests.faults.dividing import WHOLE, Fold, after, make_tables
from tests.servers import new_database, running_nats

EMPLOYEES = [f"e-{number}" for number in range(240)]
PARTITIONS = 8
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Centre:
    """A log that employees' events are written to, a database, and the replicas that follow."""

    server: NatsServer
    stream: JetStreamStream
    engine: AsyncEngine
    url: str
    folder: Path
    codec: Codec
    chance: Random = field(default_factory=lambda: Random(7))
    replicas: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ends: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By subject: the last position, and the hash of what lies there."""
    last: int = 0
    wanted: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What one who follows alone makes of the log."""

    def start(self, instance: str, *flaws: str, partitions: int = PARTITIONS) -> None:
        command = [sys.executable, "-m", "tests.faults.dividing", self.server.url, self.url, instance, str(partitions)]
        own_hashes = {**os.environ, "PYTHONHASHSEED": "random"}
        with (self.folder / f"{instance}.log").open("ab") as log:
            self.replicas[instance] = subprocess.Popen([*command, *flaws], stdout=log, stderr=log, env=own_hashes)

    def end(self, instance: str, how: signal.Signals) -> None:
        process = self.replicas.pop(instance)
        process.send_signal(how)
        process.wait(30)

    async def write(self, rounds: int) -> None:
        """In each round an event of every employee: of a month of facts, or of the employee."""
        for _ in range(rounds):
            batch: list[Append] = []
            for employee_id in self.chance.sample(EMPLOYEES, len(EMPLOYEES)):
                month = self.chance.choice(["2026-01", "2026-02", "2026-03"])
                fact = FactRecorded()
                fact.fact.employee_id, fact.fact.date = employee_id, f"{month}-01"
                moved = EmployeeTransferred(employee_id=employee_id, team_id="t", effective_date=f"{month}-01")
                kind, event = self.chance.choice(
                    [(f"facts.{employee_id}_{month}", fact), (f"employee.{employee_id}", moved)]
                )
                subject = f"log.performance.{kind}"
                expected, previous = self.ends.get(subject, (0, chain_start(subject)))
                encoded = await self.codec.encode(
                    subject,
                    [event],
                    command_id=f"{subject}-{expected}",
                    command_digest=b"",
                    context=Context(now=NOON, today=NOON.date(), actor="user:test"),
                    previous_hash=previous,
                )
                batch.append(Append(subject, expected, encoded.entries))
                position = self.last + len(batch)
                count, digest = self.wanted.get(employee_id, (0, ""))
                self.wanted[employee_id] = (count + 1, after(digest, position))
                self.ends[subject] = (position, encoded.last_hash)
            self.last = await self.stream.publish(batch)

    async def owners(self) -> dict[str, str]:
        """By name, who owns each position."""
        async with self.engine.connect() as connection:
            return {row.name: row.owner for row in await connection.execute(select(FOLLOWERS))}

    def held(self, owners: dict[str, str], instance: str) -> tuple[int, int]:
        """How many parts, and how many whole followers, an instance owns."""
        mine = [name for name, owner in owners.items() if owner == instance]
        return sum("/" in name for name in mine), sum(name in WHOLE for name in mine)

    async def until_shared(self, *instances: str) -> None:
        """Until these have all there is, and nobody more than a fair share of it."""
        most = (-(-PARTITIONS // len(instances)), -(-len(WHOLE) // len(instances)))

        def fair(owners: dict[str, str]) -> bool:
            held = [self.held(owners, one) for one in instances]
            sums = (sum(parts for parts, _ in held), sum(whole for _, whole in held))
            return sums == (PARTITIONS, len(WHOLE)) and all(one[0] <= most[0] and one[1] <= most[1] for one in held)

        await self._until(fair)

    async def until_applied(self) -> None:
        """Until every position says that all there is was applied."""
        async with asyncio.timeout(120):
            while True:
                async with self.engine.connect() as connection:
                    rows = (await connection.execute(select(FOLLOWERS))).all()
                at = [row.position for row in rows if row.owner != "divided"]
                if at and min(at) >= self.last:
                    return
                await asyncio.sleep(0.1)

    async def _until(self, condition: Callable[[dict[str, str]], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition(await self.owners()):
                await asyncio.sleep(0.1)

    async def differing(self) -> list[str]:
        """Employees of whom the parts have made anything else than one who follows alone."""
        made = await Fold(MetaData(), "shared").read(self.engine)
        return [one for one in EMPLOYEES if made.get(one) != self.wanted.get(one)]


@pytest.fixture
async def centre(tmp_path: Path, postgres: str) -> AsyncIterator[Centre]:
    with running_nats(tmp_path / "nats", 1) as (server,):
        async with _centre(server, await new_database(postgres), tmp_path) as opened:
            yield opened


@asynccontextmanager
async def _centre(server: NatsServer, url: str, folder: Path) -> AsyncIterator[Centre]:
    engine, client = open_database(url), await connect(server.url, "writer")
    await make_tables(engine)
    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, base64.b64decode("A" * 43 + "=")))
    centre = Centre(server, JetStreamStream(client), engine, url, folder, codec)
    try:
        yield centre
    finally:
        for instance in list(centre.replicas):
            centre.end(instance, signal.SIGKILL)
        await client.close()
        await engine.dispose()


@pytest.mark.timeout(400)  # longer than all its waits, which say what they waited for
async def test_replicas_make_together_what_one_makes_alone(centre: Centre) -> None:
    """Three come one after the other, one is killed, one is stopped, another comes: each event once and in order."""
    centre.start("a")
    await centre.write(4)
    await centre.until_shared("a")
    centre.start("b")
    centre.start("c")
    await centre.write(3)
    await centre.until_shared("a", "b", "c")
    await centre.write(6)
    await centre.until_applied()
    shares = await Fold(MetaData(), "shared").shares(centre.engine)
    assert all(shares.get(one, 0) > len(EMPLOYEES) for one in "abc"), shares  # of six rounds

    writing = asyncio.create_task(centre.write(8))
    centre.end("b", signal.SIGKILL)
    await centre.until_shared("a", "c")
    centre.end("c", signal.SIGTERM)
    assert centre.held(await centre.owners(), "c") == (0, 0)  # at once, for no lease was waited for
    centre.start("d")
    await centre.until_shared("a", "d")
    await writing
    await centre.write(2)
    await centre.until_applied()

    assert await centre.differing() == []
    alone = await Fold(MetaData(), "alone").read(centre.engine)
    assert alone == await Fold(MetaData(), "shared").read(centre.engine) == centre.wanted
    shares = await Fold(MetaData(), "shared").shares(centre.engine)
    assert sum(shares.values()) == centre.last == 23 * len(EMPLOYEES)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("flaws", [(), ("unfenced",)], ids=["fenced", "the negative control"])
async def test_who_wakes_up_after_others_took_over_commits_nothing(centre: Centre, flaws: tuple[str, ...]) -> None:
    """Paused in the middle of a batch for longer than its lease; without a fence its events are there twice."""
    centre.start("a", "slow", *flaws)
    await centre.until_shared("a")
    await centre.write(1)
    await asyncio.sleep(0.5)  # it is at work now, for as long as a lease lasts
    process = centre.replicas["a"]
    process.send_signal(signal.SIGSTOP)
    centre.start("b")
    await centre.until_shared("b")
    await centre.until_applied()
    assert await centre.differing() == []
    process.send_signal(signal.SIGCONT)
    await centre.until_shared("a", "b")
    await asyncio.sleep(3.5)  # it is done with what it was at
    centre.end("a", signal.SIGKILL)
    assert bool(await centre.differing()) is bool(flaws)


@pytest.mark.timeout(400)
async def test_employees_who_have_another_place_in_each_process_show(centre: Centre) -> None:
    """The negative control: by a hash that two processes do not share, events are lost and doubled."""
    for instance in ("a", "b"):
        centre.start(instance, "random")
    await centre.until_shared("a", "b")
    await centre.write(3)
    await centre.until_applied()
    assert await centre.differing()


@pytest.mark.timeout(400)
async def test_a_follower_is_divided_while_others_know_nothing_of_it(centre: Centre) -> None:
    """A rolling change from one partition to eight, and back in the settings only: nothing is lost or doubled."""
    centre.start("a", partitions=1)
    await centre.write(3)
    writing = asyncio.create_task(centre.write(8))
    centre.start("b", partitions=PARTITIONS)
    await centre.until_shared("a", "b")
    centre.end("a", signal.SIGTERM)
    centre.start("c", partitions=1)
    await centre.until_shared("b", "c")
    await writing
    await centre.until_applied()
    assert await centre.differing() == []
