"""The whole system at rest, and our log beside a peer."""

import asyncio
import os
from uuid import uuid4

import psutil
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresDatastore

from libs.cli.embedded import running
from libs.common.jetstream import JetStreamStream
from libs.common.log import EventLog
from libs.common.settings import Settings
from libs.common.streams import Append, Entry
from tests.bench.figures import Figure, Measured, Stopwatch, compare
from tests.bench.running import new_folder, running_log
from tests.servers import free_port, running_postgres

READY_LIMIT_SECONDS = 5.0
MEMORY_LIMIT_MB = 400.0
BATCH = 100
PAYLOAD = b"x" * 300


def _own_ports() -> Settings:
    names = ("performance", "coaching", "promotion", "gateway")
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in names}
    return Settings(**addresses, public_port=free_port())  # type: ignore[arg-type] # addresses are strings


async def ready_seconds(quick: bool) -> Measured:
    """Seconds until nats-server, Envoy and all services are healthy, in a new folder."""
    seconds: list[float] = []
    for _ in range(1 if quick else 3):
        with new_folder() as folder:
            watch = Stopwatch()
            async with running(folder / "system", _own_ports()):
                seconds.append(watch.seconds)
    return Measured(sorted(seconds)[len(seconds) // 2], READY_LIMIT_SECONDS)


async def rss_mb(quick: bool) -> Measured:
    """Memory of all processes of the system, without this one (in the place of `stepladder up`), at rest.

    The value counts a page shared by several processes once (PSS); `rss` counts it for each of them.
    """
    with new_folder() as folder:
        async with running(folder / "system", _own_ports()) as system:
            await asyncio.sleep(1 if quick else 10)
            pids = [server.process.pid for server in system.servers.values() if server.process]
            processes = [psutil.Process(pid) for pid in pids]
            own = [one for process in processes for one in (process, *process.children(recursive=True))]
            memory = [one.memory_full_info() for one in own]
            megabyte = 1024 * 1024
            pss = sum(one.pss for one in memory) / megabyte
            return Measured(pss, MEMORY_LIMIT_MB, {"rss": sum(one.rss for one in memory) / megabyte})


async def peer_append(quick: bool) -> Measured:
    """Events a second in batches of 100, one batch after the other, each an aggregate of its own, durable on disk."""
    batches = 10 if quick else 100
    with new_folder() as folder, running_postgres(durable=True) as postgres:
        async with running_log(folder) as (_, client):
            log = EventLog(JetStreamStream(client))
            port = postgres.rpartition(":")[2]
            store = PostgresDatastore(
                dbname="postgres",
                host="127.0.0.1",
                port=port,
                user="stepladder",
                password=os.environ.get("PGPASSWORD", ""),
            )
            recorder = PostgresAggregateRecorder(store, events_table_name="peer_events")
            recorder.create_table()

            async def ours() -> float:
                watch = Stopwatch()
                for _ in range(batches):
                    subject = f"log.bench.thing.{uuid4().hex}"
                    entries = [Entry(f"{subject}.{index}", "bench.Happened", PAYLOAD) for index in range(BATCH)]
                    await log.append(Append(subject, 0, entries))
                return batches * BATCH / watch.seconds

            def insert() -> float:
                watch = Stopwatch()
                for _ in range(batches):
                    aggregate = uuid4()
                    events = [
                        StoredEvent(aggregate, version, "bench.Happened", PAYLOAD) for version in range(1, BATCH + 1)
                    ]
                    recorder.insert_events(events)
                return batches * BATCH / watch.seconds

            try:
                return await compare(1 if quick else 5, ours, lambda: asyncio.to_thread(insert))
            finally:
                store.close()


FIGURES = (
    Figure(
        "peer_append",
        "events/s",
        "higher",
        5,
        "appends of 100 events; against the package eventsourcing on PostgreSQL",
        peer_append,
    ),
    Figure("ready_seconds", "s", "lower", 1.0, "from nothing to everything healthy", ready_seconds),
    Figure("rss_mb", "MB", "lower", 1.0, "memory of the whole system at rest", rss_mb),
)
