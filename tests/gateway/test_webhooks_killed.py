"""The gateway as a process, killed with events under way: every event arrives, whenever that was."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from libs.cli.embedded import Embedded, ServiceProcess, make_key, migrate_all, stored_in, wait_serving
from libs.cli.nats_server import NatsServer
from libs.common.settings import Settings
from stepladder.gateway.v1.event_stream_pb2 import EventFilter
from stepladder.gateway.v1.webhook_pb2 import CreateWebhookRequest, GetWebhookRequest, Webhook
from stepladder.gateway.v1.webhook_pb2_grpc import WebhookServiceStub
from stepladder_client import connect
from tests.gateway.publishing import Log, open_log
from tests.gateway.webhook_world import Received, Receiver, running_receiver, until
from tests.servers import free_port, running_nats
from tests.tokens import TOKEN_KEYS, as_system

TEAMS = 200
KILLS = 2


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A log of the test's own."""
    with running_nats(tmp_path / "nats", 1) as servers:
        yield servers[0]


@pytest.fixture
async def log(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(nats.url, tmp_path) as log:
        yield log


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def system(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Embedded]:
    """The gateway, and nothing behind it."""
    settings = stored_in(
        tmp_path,
        Settings(nats_url=nats.url, nats_monitor_url=nats.monitor_url, gateway_address=f"127.0.0.1:{free_port()}"),
    ).model_copy(update={"token_keys": TOKEN_KEYS})
    make_key(settings.kek_file)
    await migrate_all(settings)
    gateway = ServiceProcess("gateway", settings, tmp_path / "gateway.log")
    try:
        gateway.start()
        system = Embedded(tmp_path, settings, {"gateway": gateway})
        await wait_serving(system, ["gateway"])
        yield system
    finally:
        gateway.kill()


async def test_killed_while_it_delivers(system: Embedded, log: Log, receiver: Receiver) -> None:
    """Killed several times half-way: nothing is left out, and each event arrives under one id with one body."""
    chance, most = Random(3), [0]

    async def so_many(received: Received) -> web.Response:
        while len(receiver.taken) >= most[0]:
            await asyncio.sleep(0.01)
        # What fails twice comes again after five minutes only.
        again = sum(one.event_id == received.event_id for one in receiver.heard) > 1
        return web.Response(status=204 if again or chance.random() < 0.97 else 500)

    receiver.behaviour = so_many
    only = EventFilter(types=["stepladder.performance.team-created.v1"])
    webhook = Webhook(webhook_id="hr", url=receiver.url, filter=only)
    async with connect(system.settings.address_of("gateway")) as channel:
        stub = WebhookServiceStub(channel)
        request = CreateWebhookRequest(webhook=webhook)
        receiver.secret = (await stub.CreateWebhook(request, metadata=as_system("events"))).secret
    for number in range(TEAMS):
        await log.team(f"t-{number}")
    gateway = system.servers["gateway"]
    for kill in range(1, KILLS + 1):
        most[0] = kill * TEAMS // (KILLS + 2)
        await until(lambda: len(receiver.taken) >= most[0])
        gateway.kill()
        gateway.start()
        await wait_serving(system, ["gateway"])
    most[0] = 2 * TEAMS
    await until(lambda: len({one.event_id for one in receiver.taken}) == TEAMS)
    assert {one.event_id: one.body for one in receiver.heard} == {
        stored.event_id: stored.payload for stored in await log.published()
    }
    async with connect(system.settings.address_of("gateway")) as channel:
        asked = GetWebhookRequest(webhook_id="hr")

        async def done() -> bool:
            status = (await WebhookServiceStub(channel).GetWebhook(asked, metadata=as_system("events"))).status
            return (status.position, status.waiting) == (TEAMS, 0)

        await until(done)
    assert receiver.secret.removeprefix("whsec_") not in gateway.log.read_text()
