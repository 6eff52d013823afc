"""A log of events as the services write them, what the relay makes of it, and a relay that can be killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import open_database
from libs.common.envelope import Codec, chain_start, event_types
from libs.common.eventsourcing import Context
from libs.common.jetstream import JetStreamStream, connect
from libs.common.keys import METADATA as KEYS
from libs.common.keys import SqlDataKeys
from libs.common.log import EventLog
from libs.common.positions import METADATA as FOLLOWING
from libs.common.streams import EVENTS, LOG, Append, Entry, NoAnswer, OneWriterStream, Stored
from services.gateway.__main__ import EVENTS as CONTRACTS
from services.gateway.relay import Relay
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmployeeTransferred,
    FactRecorded,
    TeamCreated,
    TeamLeadAppointed,
)
from stepladder.performance.v1.facts_pb2 import Fact, Reading

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NUMBERS = count(1)


def day(moment: datetime) -> date:
    return moment.date()


def fact_recorded(employee_id: str, day: str, source: str, samples: int = 1) -> FactRecorded:
    """An event of a fact with so many samples."""
    reading = Reading(kpi_id="aht", numerators=[300] * samples, denominators=[1] * samples)
    return FactRecorded(fact=Fact(employee_id=employee_id, date=day, source=source, readings=[reading]))


@dataclass
class Log:
    """LOG and EVENTS on a server, and a codec to write with."""

    nats_url: str
    codec: Codec
    engine: AsyncEngine
    log: JetStreamStream
    events: JetStreamStream
    positions: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, bytes] = field(default_factory=dict)

    async def write(self, subject: str, *events: Message, time: datetime = NOON) -> int:
        """Appends events of one command to an aggregate; answers the last position."""
        context = Context(now=time, today=time.date(), actor="user:test")
        command = f"c{next(NUMBERS)}-{os.getpid()}"
        previous = self.hashes.get(subject) or chain_start(subject)
        encoded = await self.codec.encode(
            subject, events, command_id=command, command_digest=b"", context=context, previous_hash=previous
        )
        self.hashes[subject] = encoded.last_hash
        return await self._append(subject, encoded.entries)

    async def write_unknown(self, subject: str) -> int:
        """Appends an event that no version knows."""
        event_id = f"x{next(NUMBERS)}-{os.getpid()}"
        envelope = Envelope(event_id=event_id, type="stepladder.coaching.v1.PlanSung", schema_version=1)
        return await self._append(subject, [Entry(event_id, envelope.type, envelope.SerializeToString())])

    async def _append(self, subject: str, entries: Sequence[Entry]) -> int:
        position = await EventLog(self.log).append(Append(subject, self.positions.get(subject, 0), entries))
        self.positions[subject] = position
        return position

    async def team(self, team_id: str, lead_id: str = "") -> int:
        """A new team, led by somebody."""
        subject = f"log.performance.team.{team_id}"
        await self.write(subject, TeamCreated(team_id=team_id, display_name=team_id.title()))
        lead = TeamLeadAppointed(team_id=team_id, lead_id=lead_id, effective_date="2020-01-01")
        return await self.write(subject, lead) if lead_id else self.positions[subject]

    async def hire(self, employee_id: str, team_id: str, job_family: str = "", name: str = "Anna Liepa") -> int:
        """A new member of a team."""
        hired = EmployeeHired(
            employee_id=employee_id,
            display_name=name,
            hire_date="2020-01-01",
            team_id=team_id,
            job_family=job_family,
            position="agent",
            position_since="2020-01-01",
        )
        return await self.write(f"log.performance.employee.{employee_id}", hired)

    async def transfer(self, employee_id: str, team_id: str, effective: str = "2026-03-01") -> int:
        moved = EmployeeTransferred(employee_id=employee_id, team_id=team_id, effective_date=effective)
        return await self.write(f"log.performance.employee.{employee_id}", moved)

    async def fact(self, employee_id: str, day: str = "2026-03-01", source: str = "acd") -> int:
        """A fact of an employee's."""
        return await self.write(
            f"log.performance.facts.{employee_id}_{day[:7]}", fact_recorded(employee_id, day, source)
        )

    def relay(self, events: OneWriterStream | None = None) -> Relay:
        """A relay of its own memory."""
        return Relay(self.log, events or self.events, CONTRACTS, self.engine, day)

    async def published(self) -> list[Stored]:
        """Everything in EVENTS."""
        found: list[Stored] = []
        end = (await self.events.state()).last
        if end:
            async with self.events.feed(["events.>"], 0) as feed:
                while not found or found[-1].position < end:
                    found += await feed.next(1000, 5)
        return found

    async def cloud_events(self) -> list[dict[str, Any]]:
        return [json.loads(stored.payload) for stored in await self.published()]

    async def relayed(self, position: int) -> None:
        """Returns when EVENTS has what was made of an event of LOG, at once for position 0: of none."""
        async with asyncio.timeout(60):
            while position:
                last = await self.events.read_at((await self.events.state()).last)
                if last and int(json.loads(last.payload)["logposition"]) >= position:
                    return
                await asyncio.sleep(0.01)


class Forgetful:
    """EVENTS, of whose answers some are lost, and some appends, too."""

    def __init__(self, stream: JetStreamStream, seed: int) -> None:
        self._stream = stream
        self._chance = Random(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def publish_behind(self, position: int, entries: Sequence[tuple[str, Entry]]) -> int:
        chance = self._chance.random()
        if chance < 0.2:
            raise NoAnswer
        last = await self._stream.publish_behind(position, entries)
        if chance < 0.5:
            raise NoAnswer
        return last


@asynccontextmanager
async def open_log(nats_url: str, folder: Path, gateway_url: str = "") -> AsyncIterator[Log]:
    """A log on a server; `gateway_url` is where the relay's user connects, if that is another one."""
    engine = open_database(f"sqlite+aiosqlite:///{folder}/keys.db")
    async with engine.begin() as connection:
        await connection.run_sync(KEYS.create_all)
        await connection.run_sync(FOLLOWING.create_all)
    client = await connect(nats_url, "performance")
    gateway = await connect(gateway_url or nats_url, "gateway")
    try:
        codec = Codec(event_types(CONTRACTS), SqlDataKeys(engine, b"k" * 32))
        yield Log(nats_url, codec, engine, JetStreamStream(client, LOG), JetStreamStream(gateway, EVENTS))
    finally:
        await gateway.close()
        await client.close()
        await engine.dispose()


async def main(url: str, database: str) -> None:
    """A relay as a process."""
    client = await connect(url, "relay")
    engine = open_database(database)
    await Relay(JetStreamStream(client, LOG), JetStreamStream(client, EVENTS), CONTRACTS, engine, day).run()


async def start_relay(log: Log) -> asyncio.subprocess.Process:
    """Starts a relay that can be killed."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.gateway.publishing", log.nats_url, str(log.engine.url)),
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    """As kill -9 does."""
    process.send_signal(signal.SIGKILL)
    await process.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
