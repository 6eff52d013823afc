"""Who gets what from the gateway itself: every RPC that it answers, asked by everybody."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

import stepladder.common.v1 as common
import stepladder.gateway.v1 as contract
from libs.common.access import RULES
from stepladder.gateway.v1.webhook_pb2 import CreateWebhookRequest, Webhook
from stepladder.gateway.v1.webhook_pb2_grpc import WebhookServiceStub
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmploymentStatusChanged
from tests.gateway.publishing import open_log
from tests.gateway.world import World
from tests.servers import free_port
from tests.services.access_matrix import OTHERS, Asked, Caller, differences, methods, path, person, told
from tests.tokens import as_system

METHODS = {
    f"{method.containing_service.name}.{method.name}": method for one in (contract, common) for method in methods(one)
}
NOWHERE = f"http://127.0.0.1:{free_port()}/events"
BECAUSE = {"reason": "because of it"}
HOOK = {"webhookId": "{webhook}"}
OURS = {"service": "gateway"}

ASKED: Mapping[str, dict[str, Any]] = {
    "DocsService.GetDocs": {},
    "DocsService.GetOpenApi": {},
    "EventService.GetAsyncApi": {},
    "EventService.GetEventSchema": {"type": "stepladder.coaching.plan-closed.v1"},
    "EventService.ListEvents": {},
    "EventService.StreamEvents": {},
    "EventService.WatchEvents": {},
    "HomeService.GetHome": {},
    "OperationsService.ListFollowers": OURS,
    "OperationsService.ListParked": OURS,
    "OperationsService.RetryParked": {**OURS, "follower": "people", "subject": "log.a.b"},
    "OperationsService.SkipParked": {**OURS, "follower": "people", "subject": "log.a.b", "position": 1, **BECAUSE},
    "OperationsService.RebuildFollower": {**OURS, "follower": "people"},
    "WebhookService.CreateWebhook": {"webhook": {"webhookId": "w-new", "url": NOWHERE}},
    "WebhookService.GetWebhook": HOOK,
    "WebhookService.ListAttempts": HOOK,
    "WebhookService.ListWebhooks": {},
    "WebhookService.PauseWebhook": {**HOOK, **BECAUSE},
    "WebhookService.Redeliver": {**HOOK, "firstPosition": 1, "lastPosition": 1},
    "WebhookService.ResumeWebhook": HOOK,
    "WebhookService.RotateSecret": HOOK,
    "WebhookService.SendTestEvent": HOOK,
    "WebhookService.UpdateWebhook": {"webhook": {**HOOK, "description": "other"}},
    "WebhookService.DeleteWebhook": HOOK,
}
"""By RPC, what is asked."""


def asked(name: str, webhook: str) -> Asked:
    kind = GetMessageClass(METHODS[name].input_type)
    there, none = (ParseDict(told(ASKED[name], {"webhook": one}), kind()) for one in (webhook, "none"))
    return Asked(there, none)


@pytest.fixture
async def callers(world: World, tmp_path: Path) -> AsyncIterator[dict[str, Caller]]:
    """People whom the directory knows, whatever they are in it, and those who are in it no more or never were."""
    mark = uuid4().hex[:8]
    async with open_log(world.envoy.settings.nats_url, tmp_path) as log:
        team = f"t-{mark}"
        names = ("agent", "lead", "hr", "qa", "executive", "gone")
        ids = {name: f"{name}-{mark}" for name in names}
        await log.team(team, ids["lead"])
        for name, one in ids.items():
            await log.hire(one, team, job_family=name)
        left = EmploymentStatusChanged(
            employee_id=ids["gone"], status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-02-01"
        )
        await log.write(f"log.performance.employee.{ids['gone']}", left)
        yield {
            **{name: person(ids[name], name, "employee") for name in names if name != "gone"},
            "who has left": person(ids["gone"]),
            "nobody": person("nobody", elsewhere=()),
            **OTHERS,
        }


@pytest.fixture
async def webhook(world: World) -> str:
    """A webhook of the system that the matrix calls as."""
    found = Webhook(webhook_id=f"w-{uuid4().hex[:8]}", url=NOWHERE)
    await WebhookServiceStub(world.channel).CreateWebhook(
        CreateWebhookRequest(webhook=found), metadata=as_system("events")
    )
    return found.webhook_id


async def test_the_access_matrix(world: World, callers: dict[str, Caller], webhook: str) -> None:
    """Every RPC, asked by everybody, ends as the table of rules says."""
    assert METHODS.keys() == ASKED.keys()
    requests = {METHODS[name]: [asked(name, webhook)] for name in ASKED}
    async with aio.insecure_channel(world.envoy.settings.gateway_address) as channel:
        assert await differences(channel, requests, callers) == []


async def test_the_matrix_finds_what_differs(world: World, callers: dict[str, Caller], webhook: str) -> None:
    """Whoever is let on by no rule, and whoever is refused in spite of one."""
    read, watch = METHODS["WebhookService.GetWebhook"], METHODS["EventService.WatchEvents"]
    others = {**RULES, path(read): frozenset({"system:events", "hr"}), path(watch): frozenset({"system:operator"})}
    requests = {one: [asked(f"{one.containing_service.name}.{one.name}", webhook)] for one in (read, watch)}
    async with aio.insecure_channel(world.envoy.settings.gateway_address) as channel:
        found = await differences(channel, requests, callers, others)
    let_on = {name for name, one in callers.items() if "employee" in one.held} | {"system:events"}
    expected = {f"{path(read)} hr", f"{path(read)} system:operator", f"{path(watch)} system:operator"}
    assert {one.partition(": ")[0] for one in found} == expected | {f"{path(watch)} {name}" for name in let_on}
