"""The embedded run: every server and service as a child of this process, watched, and stopped together."""

import asyncio
import base64
import fcntl
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from libs.cli.child import ChildProcess
from libs.cli.envoy import Envoy
from libs.cli.issuer import KEYS_FILE, Issuer
from libs.cli.nats_server import NatsServer, new_passwords
from libs.cli.secret_file import make_once
from libs.common.database import open_database
from libs.common.jetstream import connect, create_streams
from libs.common.migrating import migrate
from libs.common.settings import EMBEDDED, PREFIX, Settings

SERVICES = ("performance", "coaching", "promotion", "gateway")
DATABASES = (*SERVICES, "keys")

BACKUP_URL = "backup-url"
"""File of the folder: where the log of the system that runs on it can be read for a backup."""

READY_SECONDS = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds before a child that ended is started again; doubled by every failure in a row."""
LOOK_SECONDS = 2.0
"""How often a child is asked whether it has given up."""
STEADY_SECONDS = 60.0
"""Whoever ran for so long has not failed in a row."""


class CannotStart(Exception):  # noqa: N818 - states what is the case
    """The system cannot run here as it is asked to; the message says what to do."""


class ServiceProcess(ChildProcess):
    """One of the services, as its own Python process."""

    def __init__(self, name: str, settings: Settings, log: Path) -> None:
        self.name = name
        self.settings = settings
        self.log = log

    def start(self) -> None:
        settings = {f"{PREFIX}{key.upper()}": str(value) for key, value in self.settings if key != "token"}
        self.spawn([sys.executable, "-m", f"services.{self.name}"], {**os.environ, **settings})


@dataclass
class Embedded:
    """A running system: its servers by name, and the settings under which its services run."""

    folder: Path
    settings: Settings
    servers: dict[str, ChildProcess]

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Starts again whatever ends by itself, and tells so."""
        await asyncio.gather(*(self._watch(name, server, tell) for name, server in self.servers.items()))

    async def _watch(self, name: str, server: ChildProcess, tell: Callable[[str], None]) -> None:
        pause, started = FIRST_PAUSE, time.monotonic()
        look_again = started
        while True:
            await asyncio.sleep(0.1)
            if time.monotonic() > look_again:
                look_again = time.monotonic() + LOOK_SECONDS
                if await asyncio.to_thread(server.has_given_up):
                    await asyncio.to_thread(server.kill)
            if server.process is None or (status := server.process.poll()) is None:
                continue
            if time.monotonic() - started > STEADY_SECONDS:
                pause = FIRST_PAUSE
            tell(f"{name} ended ({_ending(status)}); starting it again. Its log: {server.log}")
            await asyncio.sleep(pause)
            pause, started = min(2 * pause, LONGEST_PAUSE), time.monotonic()
            server.start()


@asynccontextmanager
async def running(folder: Path, settings: Settings) -> AsyncIterator[Embedded]:
    """Runs the whole system on this machine with everything stored in `folder`, while the context lasts.

    The settings' addresses are taken as they are; where things are stored is the folder. Raises CannotStart.
    """
    if settings.tls_certificate:
        raise CannotStart(f"this runs on one machine, in plain text: unset the variables {PREFIX}TLS_*")
    folder = _made(folder)
    with _only_one(folder):
        _check_ports(settings)
        make_key(folder / "kek")
        Issuer.of(folder, settings)
        nats = NatsServer(folder / "nats", passwords=new_passwords())
        system = Embedded(folder, stored_in(folder, settings), {"nats-server": nats})
        try:
            _move_streams(folder / "nats" / "store" / "jetstream")
            nats.start()
            await migrate_all(system.settings)  # while the log starts
            await asyncio.to_thread(nats.wait_ready)
            client = await connect(nats.url_of("setup"), "setup")
            await create_streams(client, replicas=1)
            await client.close()
            backup_url = folder / BACKUP_URL
            backup_url.touch(mode=0o600)
            backup_url.write_text(nats.url_of("backup"))
            system.settings = system.settings.model_copy(update={"nats_monitor_url": nats.monitor_url})
            system.servers["envoy"] = envoy = Envoy(system.settings, folder / "logs")
            for name in SERVICES:
                own = system.settings.model_copy(update={"nats_url": nats.url_of(name)})
                system.servers[name] = ServiceProcess(name, own, folder / "logs" / f"{name}.log")
            for name, server in system.servers.items():
                if name != "nats-server":
                    server.start()
            await wait_serving(system, SERVICES)
            await asyncio.to_thread(envoy.wait_ready)
            yield system
        finally:
            (folder / BACKUP_URL).unlink(missing_ok=True)
            await _stop(system)


def to_back_up(folder: Path, settings: Settings) -> Settings:
    """Settings for a backup of the system that runs on a folder. Raises CannotStart where none has."""
    try:
        url = (folder / BACKUP_URL).read_text()
    except FileNotFoundError:
        raise CannotStart(
            f"nothing runs on {folder}: start it, name another by --data, or set {PREFIX}NATS_URL"
        ) from None
    return stored_in(folder.absolute(), settings).model_copy(update={"nats_url": url})


@asynccontextmanager
async def log_alone(folder: Path, settings: Settings) -> AsyncIterator[Settings]:
    """Runs nats-server on a folder with databases of this version, and nothing else; yields settings to restore it."""
    folder = _made(folder)
    with _only_one(folder):
        nats = NatsServer(folder / "nats", passwords=new_passwords())
        nats.start()
        try:
            stored = stored_in(folder, settings)
            await migrate_all(stored)
            await asyncio.to_thread(nats.wait_ready)
            yield stored.model_copy(update={"nats_url": nats.url_of("restore"), "nats_monitor_url": nats.monitor_url})
        finally:
            await asyncio.to_thread(nats.stop)


def _made(folder: Path) -> Path:
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds people's data
    for part in ("logs", "nats"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return folder


def _move_streams(store: Path) -> None:
    """Takes streams of a version whose server had no accounts to where nats-server looks for them now."""
    for stream in (store / "$G" / "streams").glob("*"):
        account = store / stream.name / "streams"
        account.mkdir(parents=True, exist_ok=True)  # a move may have been cut short here
        stream.rename(account / stream.name)


def stored_in(folder: Path, settings: Settings) -> Settings:
    """Settings of an embedded run that keeps everything in a folder."""
    return settings.model_copy(
        update={
            "database_url": f"sqlite+aiosqlite:///{folder}/{{service}}.db",
            "keys_url": f"sqlite+aiosqlite:///{folder}/keys.db",
            "kek_file": folder / "kek",
            "token_keys": str(folder / KEYS_FILE),
            "replicas": 1,
            "instance": EMBEDDED,
            "webhook_http": True,
            "webhook_networks": "127.0.0.0/8,::1/128",
        }
    )


def _ending(status: int) -> str:
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"


async def _stop(system: Embedded) -> None:
    """Ends the services together, then what they rest on."""
    services = [server for name, server in system.servers.items() if name != "nats-server"]
    await asyncio.gather(*(asyncio.to_thread(server.stop) for server in services))
    await asyncio.to_thread(system.servers["nats-server"].stop)


async def migrate_all(settings: Settings, names: Iterable[str] = DATABASES) -> None:
    """Brings databases to this version."""
    for name in names:
        engine = open_database(settings.keys_url if name == "keys" else settings.database_for(name))
        await migrate(engine, name)
        await engine.dispose()


async def wait_serving(system: Embedded, names: Sequence[str]) -> None:
    """Returns when the services named answer that they are serving. Raises CannotStart."""

    async def wait(name: str) -> None:
        async with aio.insecure_channel(system.settings.address_of(name)) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs do not know its methods
            while True:
                if (server := system.servers[name]).ended():
                    raise CannotStart(f"{name} does not start: {server.last_words()}")
                try:
                    answer = await stub.Check(HealthCheckRequest(), timeout=1)
                    if answer.status == HealthCheckResponse.SERVING:
                        return
                except aio.AioRpcError:
                    pass
                await asyncio.sleep(0.05)

    try:
        async with asyncio.timeout(READY_SECONDS), asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(wait(name))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    except TimeoutError:
        raise CannotStart(f"not everything was ready after {READY_SECONDS:.0f} s; see {system.folder}/logs") from None


def _check_ports(settings: Settings) -> None:
    """Raises CannotStart with every port that is taken, so that all can be changed at once."""
    wanted = {f"{name}_address": settings.address_of(name) for name in SERVICES}
    wanted["gateway_http_address"] = settings.gateway_http_address
    wanted["public_port"] = str(settings.public_port)
    taken = [
        f"{PREFIX}{setting.upper()}={value}"
        for setting, value in wanted.items()
        if _is_taken(int(value.rpartition(":")[2]))
    ]
    if taken:
        raise CannotStart(f"other programs have these ports; set their variables to others: {', '.join(taken)}")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keeps a second system off the same folder; the lock goes with the process."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"a system is running on {folder} already; stop it first, or give --data another folder"
            ) from None
        yield


def make_key(file: Path) -> None:
    """Makes the key-encryption key of a new installation, readable by its owner only."""
    make_once(file, lambda: base64.b64encode(secrets.token_bytes(32)) + b"\n")
