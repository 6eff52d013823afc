"""Every example does what it says, as its own program, against a running system."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession

from libs.cli.embedded import Embedded, wait_serving
from tests.foreign.conftest import EXAMPLES, Call, example, running
from tests.gateway.test_subscribers import running_server, two_events
from tests.gateway.webhook_world import until
from tests.servers import free_port

TEAM_CREATED = "stepladder.performance.team-created.v1"
TRIED = {
    *("python/grpc_calls.py", "python/rest_calls.py", "node/grpc_calls.mjs", "node/rest_calls.mjs"),
    *("python/events_grpc.py", "python/events_sse.py", "node/events_sse.mjs"),
    *("python/events_nats.py", "node/events_nats.mjs"),
    *("python/webhook_receiver.py", "node/webhook_receiver.mjs"),
}

pytestmark = pytest.mark.xdist_group("foreign")


def test_every_example_is_tried() -> None:
    """Here, below."""
    there = {file.relative_to(EXAMPLES).as_posix() for end in ("*/*.py", "*/*.mjs") for file in EXAMPLES.glob(end)}
    assert there == TRIED


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("python/rest_calls.py", ["created: Early shift", "team: early"]),
        ("node/rest_calls.mjs", ["created: Late shift", "team: late"]),
        ("python/grpc_calls.py", ["created: Night shift", "batches: 2"]),
        ("node/grpc_calls.mjs", ["created: Day shift", "batches: 2", f"event: {TEAM_CREATED}"]),
    ],
)
async def test_calls(name: str, lines: list[str], address: str, token: str) -> None:
    """Commands, lists, streams and refusals; a second time the same commands answer the same."""
    for _ in range(2):
        async with running(*example(name), TOKEN=token, STEPLADDER=address) as program:
            told, _ = await asyncio.wait_for(program.process.communicate(), 60)
        printed = told.decode().splitlines()
        assert program.process.returncode == 0
        assert all(any(one.startswith(line) for one in printed) for line in lines), printed
        assert any(line.startswith("refused: TEAM_NOT_FOUND - ") for line in printed)


async def teams(call: Call, *ids: str) -> None:
    for team_id in ids:
        await call("POST", "teams", {"team": {"teamId": team_id, "displayName": "A team"}})


async def history(call: Call, last: str) -> list[str]:
    """What was published of the teams, as examples print it, once it ends with a certain one."""
    async with asyncio.timeout(60):
        while True:
            events = (await call("GET", f"events?filter.types={TEAM_CREATED}&pageSize=1000")).get("events", [])
            told = [f"{one['position']} {TEAM_CREATED} {one['event']['subject']}" for one in events]
            if told and told[-1].endswith(f" team/{last}"):
                return told
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["python/events_grpc.py", "python/events_sse.py", "node/events_sse.mjs"])
async def test_events_are_read_on(
    name: str, system: Embedded, call: Call, address: str, token: str, tmp_path: Path
) -> None:
    """Nothing is left out or told twice when the gateway is killed, nor by those that keep a position when they are."""
    first, second, third = (f"{name.translate(str.maketrans('/_.', '---'))}-{number}" for number in range(3))
    kept, keeps = tmp_path / "position.txt", "sse" in name
    command = [*example(name), kept]
    await teams(call, first)
    there = await history(call, first)
    async with running(*command, TOKEN=token, STEPLADDER=address) as program:
        assert await program.lines(len(there)) == there
        gateway = system.servers["gateway"]
        gateway.kill()
        gateway.start()
        await wait_serving(system, ["gateway"])
        await teams(call, second)
        there = await history(call, second)
        assert await program.line() == there[-1]
        if keeps:
            await until(lambda: kept.read_text() == there[-1].split()[0])
    await teams(call, third)
    there = await history(call, third)
    async with running(*command, TOKEN=token, STEPLADDER=address) as program:
        rest = there[-1:] if keeps else there
        assert await program.lines(len(rest)) == rest


@pytest.mark.parametrize("name", ["python/webhook_receiver.py", "node/webhook_receiver.mjs"])
async def test_webhooks(name: str, call: Call) -> None:
    """What was delivered is verified and taken, by `standardwebhooks` of both languages; what is forged is not."""
    port, language = free_port(), Path(name).parent.name
    address = f"http://127.0.0.1:{port}/events"
    webhook = {"webhookId": language, "url": address, "filter": {"types": [TEAM_CREATED]}}
    secret = (await call("POST", "webhooks", {"requestId": f"make-{language}", "webhook": webhook}))["secret"]
    async with (
        running(*example(name), WEBHOOK_SECRET=secret, PORT=str(port)) as program,
        ClientSession() as session,
    ):
        forged = {"webhook-id": "e-1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        async with asyncio.timeout(60):
            while True:
                try:
                    async with session.post(address, data=b"{}", headers=forged) as answer:
                        assert answer.status == 401
                        break
                except ClientConnectionError:
                    await asyncio.sleep(0.05)
        await teams(call, f"hooked-{language}")
        assert (await program.line()).endswith(f" {TEAM_CREATED} team/hooked-{language}")
    await call("DELETE", f"webhooks/{language}")


@pytest.mark.parametrize("name", ["python/events_nats.py", "node/events_nats.mjs"])
async def test_a_subscriber_in_nats(name: str, tmp_path: Path) -> None:
    """With the subscriber's user, and nothing else."""
    kind = "stepladder.performance.employee-hired.v1"
    command = example(name)
    with running_server(tmp_path) as server:
        account = {"NATS_URL": f"nats://127.0.0.1:{server.port}", "SUBSCRIBER": "hr-platform", "PASSWORD": "one"}
        async with two_events(server, tmp_path), running(*command, **account) as program:
            assert await program.lines(2) == [f"1 {kind} employee/anna", f"2 {kind} employee/bert"]
