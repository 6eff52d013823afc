"""The system on a cluster of three nodes, each on a host and a disk of its own, and how its parts fail."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from urllib.request import urlopen

import psutil
from grpc import aio

from libs.cli.child import ChildProcess
from libs.cli.embedded import DATABASES, Embedded, ServiceProcess, make_key, migrate_all, stored_in, wait_serving
from libs.cli.nats_server import Cluster, NatsServer, new_passwords
from libs.common.background import in_background
from libs.common.jetstream import connect, create_streams
from libs.common.settings import Settings
from libs.common.streams import LOG, NoAnswer, NoResponders, Rejected
from stepladder.common.v1.operations_pb2 import ListFollowersRequest, RebuildFollowerRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from tests.faults.checker import Evidence
from tests.faults.load import Load
from tests.faults.network import Disk, Network
from tests.faults.storm import ANSWER_SECONDS, CountingProcess, Storm, set_up
from tests.servers import free_port, new_database, running_postgres
from tests.tokens import TOKEN_KEYS, as_system

NODES = ("n1", "n2", "n3")
SERVICES = ("performance", "coaching")
SECOND = "performance-2"
"""Another instance of the first service, where there are two."""
READER = "promotion"
"""Whose user the checker and its follower have: a service that does not run here."""
RECOVERY_SECONDS = 60.0
"""Within so long after a fault has passed, callers are answered again."""
DISK_MEGABYTES = 512
PORT, MONITOR_PORT, ROUTE_PORT = 4222, 8222, 6222


class Node(NatsServer):
    """A node of the cluster, on its own host."""

    def __init__(self, folder: Path, name: str, network: Network, passwords: Mapping[str, str]) -> None:
        routes = [f"{network.addresses[one]}:{ROUTE_PORT}" for one in NODES]
        super().__init__(
            folder,
            port=PORT,
            monitor_port=MONITOR_PORT,
            name=name,
            host=network.addresses[name],
            cluster=Cluster("faults", ROUTE_PORT, routes),
            passwords=passwords,
        )
        self.log = folder.parent / "logs" / f"{name}.log"  # the disk may be full
        self._network = network

    def spawn(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        super().spawn([*self._network.command(self.name), *command], environment)

    def leader(self, stream: str) -> str:
        """The name of the node that leads a stream, as far as this one knows. Raises OSError when it is away."""
        with urlopen(f"{self.monitor_url}/jsz?accounts=true&streams=true", timeout=1) as answer:  # noqa: S310 - own address
            accounts = json.load(answer).get("account_details", [])
        streams = [one for account in accounts for one in account.get("stream_detail", [])]
        return next((one["cluster"].get("leader", "") for one in streams if one["name"] == stream), "")


@dataclass
class World(Storm):
    """A running system on a cluster; faults are named in `scenarios`."""

    network: Network = field(kw_only=True)
    nodes: Mapping[str, Node] = field(kw_only=True)
    disks: Mapping[str, Disk] = field(kw_only=True)
    load: Load = field(kw_only=True)

    def unsupervised(self) -> Mapping[str, ChildProcess]:
        return {name: server for name, server in self.system.servers.items() if name not in self.nodes}

    async def leader(self, stream: str = LOG) -> Node:
        """The node that leads a stream."""
        found: list[Node] = []

        async def missing() -> str:
            for node in self.nodes.values():
                try:
                    found.append(self.nodes[await asyncio.to_thread(node.leader, stream)])
                except (OSError, KeyError):
                    continue
                return ""
            return f"no node knows who leads {stream}"

        await self.until_none(missing, RECOVERY_SECONDS)
        return found[0]

    async def others(self, node: Node) -> list[Node]:
        """The other nodes."""
        return [one for one in self.nodes.values() if one is not node]

    def kill(self, server: ChildProcess) -> None:
        """Takes a process away."""
        server.kill()
        name = next(name for name, one in self.system.servers.items() if one is server)
        self.kills[name] += 1

    def processes(self, *servers: ChildProcess) -> list[int]:
        """By which the machine knows servers that run."""
        return [server.process.pid for server in servers if server.process is not None]

    @contextmanager
    def paused(self, *processes: int) -> Iterator[None]:
        """Stops processes where they are while the context lasts."""
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):  # killed in the meantime
                    os.kill(process, signal.SIGCONT)

    @contextmanager
    def cut(self, some: Collection[str], others: Collection[str], *, both_ways: bool = True) -> Iterator[None]:
        """Loses what hosts send each other while the context lasts."""
        self.network.cut(some, others, both_ways=both_ways)
        try:
            yield
        finally:
            self.network.heal()

    async def recovered(self) -> None:
        """Returns when callers are answered again. Raises AssertionError when they are not in time."""
        began = time.monotonic()

        async def unanswered() -> str:
            silent = self.load.last_time < began
            return f"no write is acknowledged; {await self.load.unanswered()}" if silent else ""

        await self.until_none(unanswered, RECOVERY_SECONDS)

    async def settle(self, seconds: float = ANSWER_SECONDS) -> None:
        for node in self.nodes.values():
            await asyncio.to_thread(node.wait_ready, seconds)
        await super().settle(seconds)

    async def rebuilt(self) -> dict[str, int]:
        """Rebuilds every follower; how many rows came out differently, by the follower's name."""
        found: dict[str, int] = {}
        for service in SERVICES:
            async with aio.insecure_channel(self.system.settings.address_of(service)) as channel:
                stub = OperationsServiceStub(channel)
                listed = await stub.ListFollowers(ListFollowersRequest(service=service), metadata=as_system())
                for follower in listed.followers:
                    request = RebuildFollowerRequest(service=service, follower=follower.name)
                    async for progress in stub.RebuildFollower(request, metadata=as_system()):
                        found[f"{service} {follower.name}"] = progress.changed_rows
        return found

    async def everything(self) -> Evidence:
        """What is left behind when callers have stopped and all is at rest; read models are rebuilt and compared."""
        self.load.going = False
        await self.until_none(self.load.unanswered, ANSWER_SECONDS)
        await self.settle()
        rebuilt = await self.rebuilt()
        await self.settle()  # what policies did again must have changed nothing
        return replace(await self.evidence(self.load), rebuilt=rebuilt)


@asynccontextmanager
async def cluster(
    folder: Path, seed: int, *, postgres: bool, instances: int, tell: Callable[[str], None]
) -> AsyncIterator[World]:
    """The system with callers at work on a cluster of its own, its read models in SQLite or PostgreSQL."""
    (folder / "logs").mkdir(parents=True)
    make_key(folder / "kek")
    passwords = new_passwords()
    disks: dict[str, Disk] = {}
    servers: dict[str, ChildProcess] = {}
    with Network(NODES).up() as network, _database(postgres) as database:
        try:
            for name in NODES:
                disks[name] = Disk(folder / name, DISK_MEGABYTES)
                servers[name] = Node(folder / name, name, network, passwords)
                servers[name].start()
            nodes = {name: node for name, node in servers.items() if isinstance(node, Node)}
            settings = await _settings(folder, nodes, database)
            await asyncio.gather(
                *(asyncio.to_thread(node.wait_ready) for node in nodes.values()), _streams(nodes["n1"])
            )
            for name in SERVICES:
                own = settings.model_copy(update={"nats_url": _urls(nodes, name), "instance": name})
                servers[name] = ServiceProcess(name, own, folder / "logs" / f"{name}.log")
            addresses = [settings.performance_address]
            if instances == 2:
                addresses.append(f"127.0.0.1:{free_port()}")
                own = own.model_copy(
                    update={
                        "nats_url": _urls(nodes, "performance"),
                        "instance": SECOND,
                        "performance_address": addresses[-1],
                    }
                )
                servers[SECOND] = ServiceProcess("performance", own, folder / "logs" / f"{SECOND}.log")
            servers["counting"] = CountingProcess(_urls(nodes, READER), folder / "counting.db")
            for name, server in servers.items():
                if name not in nodes:
                    server.start()
            system = Embedded(folder, settings, servers)
            await wait_serving(system, SERVICES)
            await set_up(settings.performance_address)
            load = Load(f"ipv4:{','.join(addresses)}", rest_seconds=0.05)
            load.start(4, seed)
            async with in_background(_supervise(nodes.values())):
                yield World(
                    *(system, _urls(nodes, READER), Random(seed), tell),
                    services=SERVICES,
                    network=network,
                    nodes=nodes,
                    disks=disks,
                    load=load,
                )
        finally:
            for server in reversed(servers.values()):
                server.stop()
            for disk in disks.values():
                disk.remove()


async def _supervise(nodes: Iterable[Node]) -> None:
    """Starts nodes again that have given up or ended by themselves, as `stepladder up` and Kubernetes do."""
    while True:
        for node in nodes:
            by_itself = node.process is not None and (node.process.poll() or 0) > 0
            if by_itself or await asyncio.to_thread(node.has_given_up):
                node.kill()
                node.start()
        await asyncio.sleep(1)


@contextmanager
def _database(postgres: bool) -> Iterator[str]:
    """The address of a PostgreSQL server, or nothing for SQLite."""
    if not postgres:
        yield ""
        return
    with running_postgres() as address:
        yield address


def postgres_processes() -> list[int]:
    """The server's processes, those of its connections included."""
    return [one.pid for one in psutil.Process().children(recursive=True) if one.name().startswith("postgres")]


async def _settings(folder: Path, nodes: Mapping[str, Node], database: str) -> Settings:
    """Of every service, with its tables made."""
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in SERVICES}
    settings = stored_in(folder, Settings(**addresses, log_level="warning"))  # type: ignore[arg-type] # all are strings
    if database:
        for name in DATABASES:
            await new_database(database, name)
        settings = settings.model_copy(
            update={"database_url": f"{database}/{{service}}", "keys_url": f"{database}/keys"}
        )
    await migrate_all(settings)
    return settings.model_copy(
        update={
            "nats_monitor_url": ",".join(node.monitor_url for node in nodes.values()),
            "token_keys": TOKEN_KEYS,
            "replicas": len(nodes),
        }
    )


def _urls(nodes: Mapping[str, Node], user: str) -> str:
    return ",".join(node.url_of(user) for node in nodes.values())


async def _streams(node: Node) -> None:
    """Makes the streams as soon as the cluster can."""
    client = await connect(node.url_of("setup"), "setup")
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            try:
                await create_streams(client, replicas=len(NODES))
                break
            except (NoAnswer, NoResponders, Rejected):  # no leader yet
                await asyncio.sleep(0.2)
    await client.close()
