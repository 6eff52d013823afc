"""A subscriber in NATS reads the public events, or its team's, and can do nothing else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from libs.cli import operating
from libs.cli.main import main
from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.background import in_background
from libs.common.jetstream import connect, create_streams
from tests.gateway.publishing import Log, open_log
from tests.servers import free_port

PREFIX = "STEPLADDER.API"
PASSWORDS = {"SUBSCRIBER_HR_PLATFORM_PASSWORD": "one", "SUBSCRIBER_RIGA_PASSWORD": "two"}


@contextmanager
def running_server(folder: Path) -> Iterator[NatsServer]:
    """A server with two subscribers; the environment names their passwords, and where who sets up connects."""
    with pytest.MonkeyPatch.context() as environment:
        for name, password in PASSWORDS.items():
            environment.setenv(name, password)
        server = NatsServer(folder / "nats", passwords=new_passwords())
        server.folder.mkdir()
        accounts = "".join(operating.subscriber_account(name) for name in ("hr-platform", "riga"))
        (server.folder / "subscribers.conf").write_text(accounts)
        server.start()
        try:
            server.wait_ready()
            environment.setenv("STEPLADDER_NATS_URL", server.url_of("setup"))
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def two_events(server: NatsServer, folder: Path) -> AsyncIterator[Log]:
    """An event of each of two teams in EVENTS, and the two subscribers' consumers."""
    client = await connect(server.url_of("setup"), "setup")
    await create_streams(client, 1)
    await client.close()
    async with open_log(server.url_of("performance"), folder, server.url_of("gateway")) as log:
        await log.hire("anna", "riga")
        end = await log.hire("bert", "oslo")
        async with in_background(log.relay().run()):
            await log.relayed(end)
        await operating.add_subscriber("hr-platform", "")
        await operating.add_subscriber("riga", "riga")
        yield log


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
async def log(server: NatsServer, tmp_path: Path) -> AsyncIterator[Log]:
    async with two_events(server, tmp_path) as log:
        yield log


@asynccontextmanager
async def subscriber(server: NatsServer, name: str, password: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Its connection, and what the server has told it that it may not do."""
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(
        f"nats://127.0.0.1:{server.port}",
        user=name,
        password=password,
        inbox_prefix=f"_INBOX_{name}",
        error_cb=on_error,
    )
    try:
        yield client, refused
    finally:
        await client.close()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("name", "password", "people"), [("hr-platform", "one", ["anna", "bert"]), ("riga", "two", ["anna"])]
)
async def test_a_subscriber_reads_what_is_meant_for_it(
    server: NatsServer, name: str, password: str, people: list[str]
) -> None:
    """Every event, or those of its team; what was not acknowledged comes again, what was does not."""
    async with subscriber(server, name, password) as (client, _):
        consumer = await client.jetstream(prefix=PREFIX).pull_subscribe_bind(durable=name, stream="EVENTS")
        messages = await consumer.fetch(len(people), timeout=10)
        assert [message.subject.rpartition(".")[2] for message in messages] == people
        for message in messages:
            await message.ack_sync()
    async with subscriber(server, name, password) as (client, _):
        consumer = await client.jetstream(prefix=PREFIX).pull_subscribe_bind(durable=name, stream="EVENTS")
        with pytest.raises(nats.errors.TimeoutError):
            await consumer.fetch(1, timeout=0.5)


@pytest.mark.parametrize(
    "subject",
    [
        "events.performance.fact-recorded.v1.riga.anna",
        "log.performance.employee.anna",
        "$JS.API.STREAM.MSG.GET.LOG",
        "$JS.API.DIRECT.GET.LOG",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.CONSUMER.CREATE.LOG.riga",
        "$JS.API.CONSUMER.CREATE.EVENTS.riga",
        "STEPLADDER.API.CONSUMER.MSG.NEXT.EVENTS.hr-platform",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS.hr-platform",
        "$JS.API.CONSUMER.DELETE.EVENTS.riga",
    ],
)
async def test_a_subscriber_can_do_nothing_else(server: NatsServer, log: Log, subject: str) -> None:
    """Neither read the log, nor another's consumer, nor write, nor change what is stored."""
    async with subscriber(server, "riga", "two") as (client, refused):
        await client.publish(subject, b"{}", reply="_INBOX_riga.answer")
        async with asyncio.timeout(20):
            while not any("permissions violation" in one.lower() for one in refused):
                await asyncio.sleep(0.01)
    assert (await log.log.state()).last == 2
    assert (await log.events.state()).last == 2


def test_what_is_logged_is_not_printed_among_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed goes into a file for nats-server: while that is away, lines about it must not."""
    monkeypatch.setenv("STEPLADDER_NATS_URL", f"nats://setup:secret@127.0.0.1:{free_port()}")
    monkeypatch.setattr(operating, "LOG_SECONDS", 0.5)
    said = CliRunner().invoke(main, ["subscriber", "hr-platform"])
    assert (said.exit_code, said.stdout) == (1, "")
    assert "nats_error" in said.stderr
    assert "secret" not in said.stderr


@pytest.mark.parametrize("asked", ["LOG: log.>", "LOG: $JS.API.STREAM.MSG.GET.LOG", "EVENTS: events.>"])
def test_no_account_can_be_given_more(tmp_path: Path, asked: str) -> None:
    """Whatever is written into subscribers.conf: with such an import, nats-server does not start."""
    account, subject = asked.split(": ")
    one = f'X: {{imports: [{{service: {{account: {account}, subject: "{subject}"}}}}]}}'
    (tmp_path / "subscribers.conf").write_text(one)
    server = NatsServer(tmp_path, passwords=new_passwords())
    server.start()
    try:
        with pytest.raises(RuntimeError, match="not authorized"):
            server.wait_ready()
    finally:
        server.stop()


async def test_an_answer_cannot_be_sent_into_the_log(server: NatsServer, log: Log) -> None:
    """A request may name any subject for its answer; out of another account, no answer becomes an event."""
    async with subscriber(server, "riga", "two") as (client, _):
        for request in ("INFO", "MSG.NEXT"):
            await client.publish(
                f"$JS.API.CONSUMER.{request}.EVENTS.riga", b'{"batch": 1}', "log.performance.team.riga"
            )
        consumer = await client.jetstream(prefix=PREFIX).pull_subscribe_bind(durable="riga", stream="EVENTS")
        await consumer.fetch(1, timeout=10)  # the server is done with what came before
    assert (await log.log.state()).last == 2
