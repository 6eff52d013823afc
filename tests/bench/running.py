"""The real servers that figures are measured on, each a process of its own, everything stored on the disk."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc import aio
from nats.aio.client import Client

from libs.cli.embedded import Embedded, ServiceProcess, make_key, migrate_all, stored_in, wait_serving
from libs.cli.nats_server import NatsServer
from libs.common.jetstream import connect
from libs.common.settings import Settings
from tests.servers import free_port, running_nats
from tests.tokens import TOKEN_KEYS


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that goes away, on the disk that holds this project: the system's own may be memory."""
    base = Path(".stepladder")
    base.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=base, ignore_cleanup_errors=True) as folder:
        yield Path(folder).absolute()


@asynccontextmanager
async def running_log(folder: Path) -> AsyncIterator[tuple[NatsServer, Client]]:
    """A nats-server with the log's streams, as in the embedded run, and a connection to it."""
    with running_nats(folder / "nats", 1) as (server,):
        client = await connect(server.url, "bench")
        try:
            yield server, client
        finally:
            await client.close()


@dataclass(frozen=True)
class Performance:
    """The performance service at work: a channel to it, without a token, and a connection to its log."""

    channel: aio.Channel
    client: Client


@asynccontextmanager
async def running_performance() -> AsyncIterator[Performance]:
    """nats-server and `python -m services.performance` on SQLite, as in the embedded run."""
    with new_folder() as folder:
        async with running_log(folder) as (nats, client):
            address = f"127.0.0.1:{free_port()}"
            at = {
                "performance_address": address,
                "nats_url": nats.url,
                "nats_monitor_url": nats.monitor_url,
                "token_keys": TOKEN_KEYS,
            }
            settings = stored_in(folder, Settings()).model_copy(update=at)
            make_key(folder / "kek")
            await migrate_all(settings)
            system = Embedded(folder, settings, {})
            service = ServiceProcess("performance", settings, folder / "performance.log")
            system.servers["performance"] = service
            service.start()
            try:
                await wait_serving(system, ["performance"])
                async with aio.insecure_channel(address) as channel:
                    yield Performance(channel, client)
            finally:
                service.stop()
