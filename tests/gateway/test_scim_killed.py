"""SCIM over services that are killed: a provider that asks again gets everybody there once, and as it says."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from pathlib import Path

from google.protobuf.message import Message

from libs.cli.embedded import ServiceProcess
from libs.cli.envoy import Envoy
from libs.common.service import open_service
from libs.facts.employee import EMPLOYEE
from services.performance import __main__ as performance
from tests.gateway.scim import MEDIA, PROVIDER_TOKEN, Answer, fetch, running_gateway
from tests.gateway.test_scim import STEPLADDER

PEOPLE = 24


async def insist(envoy: Envoy, method: str, path: str, body: str) -> Answer:
    """Asks until there is an answer, as identity providers do."""
    headers = {"content-type": MEDIA, "authorization": f"Bearer {PROVIDER_TOKEN}"}
    async with asyncio.timeout(60):
        while True:
            answer = await asyncio.to_thread(
                fetch, envoy.settings.public_port, method, f"/scim/v2{path}", body.encode(), headers
            )
            if answer.status < 500:
                return answer
            await asyncio.sleep(0.05)


async def test_killed_in_the_middle(envoy: Envoy, tmp_path: Path) -> None:
    """Each was hired once and moved once, however often the service went away before it could answer."""
    numbers = itertools.count(1)
    service = ServiceProcess("performance", envoy.settings, tmp_path / "performance.log")
    done = 0

    async def provision(team: str) -> None:
        nonlocal done
        for number in numbers:
            if number > PEOPLE:
                return
            sent = f'{{"userName": "killed-{number}@example.com", "externalId": "killed-{number}"}}'
            answer = await insist(envoy, "POST", "/Users", sent)
            assert answer.status in {201, 409}, answer.body  # 409: it had been done before the answer was lost
            moved = f'{{"userName": "killed-{number}@example.com", "{STEPLADDER}": {{"team": {{"value": "{team}"}}}}}}'
            answer = await insist(envoy, "PUT", f"/Users/killed-{number}", moved)
            assert answer.status == 200, answer.body
            done += 1

    async def kill_now_and_then() -> None:
        for share in (1, 2, 3):
            while done < share * PEOPLE // 4:
                await asyncio.sleep(0.01)
            service.kill()
            service.start()

    service.start()
    try:
        async with running_gateway(envoy):
            team = (await insist(envoy, "POST", "/Groups", '{"displayName": "Killed"}')).json["id"]
            await asyncio.gather(*(provision(team) for _ in range(3)), kill_now_and_then())
    finally:
        service.stop()
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(open_service("performance", envoy.settings, performance.EVENTS))
        subjects = [EMPLOYEE.subject(f"killed-{number}") for number in range(1, PEOPLE + 1)]
        histories = await reader.commands.histories(subjects)
    for history in histories.values():
        names = [_name(recorded.event) for recorded in history]
        assert names == ["EmployeeHired", "EmployeeAccountChanged", "EmployeeTransferred"]


def _name(event: Message) -> str:
    return event.DESCRIPTOR.name
