"""The whole system at rest, and our log beside a peer."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psutil
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from libs.cli.embedded import running
from libs.common.jetstream import JetStreamStream
from libs.common.log import EventLog
from libs.common.streams import Append, Entry
from tests.bench.figures import Figure, Measured, Stopwatch, compare
from tests.bench.running import new_folder, running_log
from tests.servers import own_ports, running_postgres

READY_LIMIT_SECONDS = 5.0
MEMORY_LIMIT_MB = 400.0
WRITERS = 64
EVENTS = 10
PAYLOAD = b"x" * 300


async def ready_seconds(quick: bool) -> Measured:
    """Seconds until nats-server, Envoy and all services are healthy, in a new folder."""
    seconds: list[float] = []
    for _ in range(1 if quick else 3):
        with new_folder() as folder:
            watch = Stopwatch()
            async with running(folder / "system", own_ports()):
                seconds.append(watch.seconds)
    return Measured(sorted(seconds)[len(seconds) // 2], READY_LIMIT_SECONDS)


async def rss_mb(quick: bool) -> Measured:
    """Memory of all processes of the system, without this one (in the place of `stepladder up`), at rest.

    The value counts a page shared by several processes once (PSS); `rss` counts it for each of them.
    """
    with new_folder() as folder:
        async with running(folder / "system", own_ports()) as system:
            await asyncio.sleep(1 if quick else 10)
            pids = [server.process.pid for server in system.servers.values() if server.process]
            processes = [psutil.Process(pid) for pid in pids]
            own = [one for process in processes for one in (process, *process.children(recursive=True))]
            memory = [one.memory_full_info() for one in own]
            megabyte = 1024 * 1024
            pss = sum(one.pss for one in memory) / megabyte
            return Measured(pss, MEMORY_LIMIT_MB, {"rss": sum(one.rss for one in memory) / megabyte})


async def peer_append(quick: bool) -> Measured:
    """Events a second on disk: 64 writers at once, each append ten events of a new aggregate.

    The peer's recorder is the one whose events can be followed in one order, as ours can; each writer has a thread
    and a connection. `alone` is the ratio with one writer only, whose appends share nothing.
    """
    appends = 128 if quick else 1280
    with new_folder() as folder, running_postgres(durable=True) as postgres:
        async with running_log(folder) as (_, client):
            log = EventLog(JetStreamStream(client))
            store = PostgresDatastore(
                dbname="postgres",
                host="127.0.0.1",
                port=postgres.rpartition(":")[2],
                user="stepladder",
                password=os.environ.get("PGPASSWORD", ""),
                pool_size=WRITERS,
            )
            recorder = PostgresApplicationRecorder(store, events_table_name="peer_events")
            recorder.create_table()

            async def ours(writers: int) -> float:
                waiting = iter(range(appends))

                async def write() -> None:
                    for _ in waiting:
                        subject = f"log.bench.thing.{uuid4().hex}"
                        entries = [Entry(f"{subject}.{index}", "bench.Happened", PAYLOAD) for index in range(EVENTS)]
                        await log.append(Append(subject, 0, entries))

                watch = Stopwatch()
                await asyncio.gather(*(write() for _ in range(writers)))
                return appends * EVENTS / watch.seconds

            async def peer(writers: int) -> float:
                waiting = iter(range(appends))

                def write() -> None:
                    for _ in waiting:
                        aggregate = uuid4()
                        recorder.insert_events(
                            [
                                StoredEvent(aggregate, version, "bench.Happened", PAYLOAD)
                                for version in range(1, EVENTS + 1)
                            ]
                        )

                watch = Stopwatch()
                with ThreadPoolExecutor(writers) as threads:
                    loop = asyncio.get_running_loop()
                    await asyncio.gather(*(loop.run_in_executor(threads, write) for _ in range(writers)))
                return appends * EVENTS / watch.seconds

            try:
                rounds = 1 if quick else 5
                together = await compare(rounds, lambda: ours(WRITERS), lambda: peer(WRITERS))
                alone = await compare(1 if quick else 3, lambda: ours(1), lambda: peer(1))
                return Measured(together.value, together.limit, {"alone": alone.value / alone.limit})
            finally:
                store.close()


FIGURES = (
    Figure(
        "peer_append",
        "events/s",
        "higher",
        5,
        "64 writers, ten events an append; against the package eventsourcing on PostgreSQL",
        peer_append,
    ),
    Figure("ready_seconds", "s", "lower", 1.0, "from nothing to everything healthy", ready_seconds),
    Figure("rss_mb", "MB", "lower", 1.0, "memory of the whole system at rest", rss_mb),
)
