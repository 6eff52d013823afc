"""Webhooks: what happens is sent, signed, in order, again when it fails; and nobody waits for a slow receiver."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.errors import Forbidden, Invalid, NotAllowed, NotFound
from services.gateway import delivering
from services.gateway.deliveries import KEPT_ATTEMPTS, LIVE
from services.gateway.delivering import AT_ONCE, Endpoint
from services.gateway.retrying import SCHEDULE, Answer, Item
from services.gateway.webhook_api import MOST_WEBHOOKS
from stepladder.gateway.v1 import webhook_pb2 as pb
from stepladder.gateway.v1.event_stream_pb2 import EventFilter
from tests.gateway.webhook_world import OWNER, TYPES, Received, Receiver, World, open_world, running_receiver, until
from tests.servers import new_database

DAY = timedelta(days=1)


def status(code: int, **headers: str) -> web.Response:
    return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_events_arrive_as_they_lie_in_the_stream(
    database: str, tmp_path: Path, request: pytest.FixtureRequest, receiver: Receiver
) -> None:
    """Byte for byte, with the headers of the specification, each verified by the foreign library."""
    url = await new_database(request.getfixturevalue("postgres")) if database == "postgresql" else ""
    async with open_world(tmp_path, url) as world, world.delivering():
        await world.create(receiver)
        await world.happen(30)
        await until(lambda: len(receiver.taken) == 30)
        stored = {one.event_id: one.payload for one in world.events._entries}
        assert {one.event_id: one.body for one in receiver.heard} == stored
        assert {one.headers["Content-Type"] for one in receiver.heard} == {"application/cloudevents+json"}
        await until(lambda: _position(world, 30))
        found = await world.get()
        assert (found.status.waiting, found.status.end, found.state) == (0, 30, pb.Webhook.STATE_ACTIVE)
        attempts = await world.attempts()
        assert [one.number for one in attempts] == list(range(1, 31))
        assert {(one.status_code, one.outcome, one.tries) for one in attempts} == {(204, pb.Attempt.OUTCOME_TAKEN, 1)}
        assert attempts[0].event_type == "stepladder.coaching.plan-closed.v1"


async def _position(world: World, position: int) -> bool:
    return (await world.get()).status.position == position


async def test_a_wrong_secret_is_noticed(world: World, receiver: Receiver) -> None:
    """Negative control: receivers of these tests do verify."""
    async with world.delivering():
        await world.create(receiver)
        receiver.secret = "whsec_" + "A" * 43 + "="
        await world.happen()
        await until(lambda: bool(receiver.heard))
        await until(lambda: _waiting(world, 1))
        assert not receiver.taken


async def _waiting(world: World, count: int) -> bool:
    return (await world.get()).status.waiting == count


async def test_only_what_was_asked_for(world: World, receiver: Receiver, other: Receiver) -> None:
    """By type, team and employee; from now on, or behind a position."""
    await world.happen(2)
    await world.create(receiver, filter=EventFilter(types=sorted(TYPES), team_id="t-1", employee_id="e-1042"))
    request = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="all", url=other.url), after=1)
    other.secret = (await world.call("CreateWebhook", request)).secret
    async with world.delivering():
        await world.happen(employee="e-1042")
        await world.happen(employee="e-1042", team="t-2")
        await world.happen(employee="e-1042", kind="plan-proposed")
        await world.happen(employee="e-7")
        await until(lambda: len(other.taken) == 5)
        assert sorted(other.numbers) == [2, 3, 4, 5, 6]
        await until(lambda: receiver.numbers == [3])


async def test_order_of_an_employees_events(world: World, receiver: Receiver) -> None:
    """One that fails holds back those of its employee, and nobody else's."""
    failing = [True]
    receiver.behaviour = lambda one: status(500 if one.number == 2 and failing[0] else 200)
    async with world.delivering():
        await world.create(receiver)
        for employee in ("e-a", "e-b", "e-a", "e-b", "e-b", "e-a"):
            await world.happen(employee=employee)
        await until(lambda: _waiting(world, 3))
        assert receiver.numbers == [1, 3, 6]
        failing[0] = False
        await world.later(timedelta(seconds=6))
        await until(lambda: receiver.numbers == [1, 3, 6, 2, 4, 5])
        await until(lambda: _waiting(world, 0))


async def test_a_day_of_failing_loses_nothing(world: World, receiver: Receiver) -> None:
    """A receiver that fails for a simulated day gets everything afterwards, the events of each employee in order."""
    receiver.behaviour = lambda _: status(503)
    async with world.delivering():
        await world.create(receiver)
        began = world.clock[0]
        while world.clock[0] < began + DAY:
            await world.happen(5, employee=f"e-{world.happened % 4}")
            await until(lambda: bool(receiver.heard))
            await world.later(timedelta(minutes=30))
            await asyncio.sleep(0.02)
        assert not receiver.taken
        assert len(receiver.heard) < 200, "a receiver that is down is not stormed"
        found = await world.get()
        assert found.status.failing_since.ToDatetime() < (began + timedelta(hours=1)).replace(tzinfo=None)
        receiver.behaviour = lambda _: status(200)
        await world.later(DAY)
        await until(lambda: len({one.event_id for one in receiver.taken}) == world.happened)
    by_employee: dict[str, list[int]] = {}
    for stored in world.events._entries:
        by_employee.setdefault(stored.subject, []).append(stored.position)
    numbers = receiver.numbers
    assert max(Counter(numbers).values()) == 1
    for own in by_employee.values():
        assert [one for one in numbers if one in own] == own


async def test_the_schedule_of_the_specification(world: World, receiver: Receiver) -> None:
    """Ten attempts over some three days; then the webhook is paused, with notice, and resumed it goes on."""
    receiver.behaviour = lambda _: status(500)
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        for number, pause in enumerate(SCHEDULE, 1):
            await until(lambda number=number: _attempted(world, number))  # type: ignore[misc]
            assert len(receiver.heard) == number
            await world.later(pause - timedelta(seconds=1))
            await asyncio.sleep(0.05)
            assert len(receiver.heard) == number, "not before its time"
            await world.later(pause * 0.1 + timedelta(seconds=2))
        await until(lambda: _state(world, pb.Webhook.STATE_PAUSED))
        found = await world.get()
        assert found.pause_cause == pb.Webhook.PAUSE_CAUSE_FAILING
        assert "ten times" in found.pause_reason
        assert [one.tries for one in await world.attempts()] == list(range(1, 11))
        await world.happen(2)
        receiver.behaviour = lambda _: status(200)
        await world.later(10 * DAY)
        await asyncio.sleep(0.05)
        assert len(receiver.heard) == 10
        await world.call("ResumeWebhook", pb.ResumeWebhookRequest(webhook_id="hr"))
        await until(lambda: sorted(receiver.numbers) == [1, 2, 3])


async def _attempted(world: World, count: int) -> bool:
    return len(await world.attempts()) == count


async def _state(world: World, state: pb.Webhook.State.ValueType) -> bool:
    return (await world.get()).state == state


async def test_one_event_that_nobody_can_take(world: World, receiver: Receiver) -> None:
    """It is given up after its ten attempts, for all to see; the others went on, and it can be sent once more."""
    receiver.behaviour = lambda one: status(422 if one.number == 1 else 200)
    async with world.delivering():
        await world.create(receiver)
        await world.happen(2, employee="e-1")
        for number, pause in enumerate(SCHEDULE, 1):
            await until(lambda number=number: _tried(world, 1, number))  # type: ignore[misc]
            await world.happen()
            await world.later(pause * 1.2)
        await until(lambda: 2 in receiver.numbers)
        found = await world.get()
        assert (found.state, found.status.given_up) == (pb.Webhook.STATE_ACTIVE, 1)
        (given_up,) = await world.attempts(outcome=pb.Attempt.OUTCOME_GIVEN_UP)
        assert (given_up.position, given_up.tries, given_up.status_code) == (1, 10, 422)
        receiver.behaviour = lambda _: status(200)
        await world.call("Redeliver", pb.RedeliverRequest(webhook_id="hr", first_position=1, last_position=1))
        await until(lambda: 1 in receiver.numbers)


async def _tried(world: World, position: int, count: int) -> bool:
    return len(await world.attempts(position=position)) == count


async def test_many_events_that_nobody_can_take(world: World, receiver: Receiver) -> None:
    """When all fail that are under way, something new is tried, so that they do not hold up what it can take."""
    kind = "stepladder.coaching.plan-proposed.v1"
    receiver.behaviour = lambda one: status(422 if json.loads(one.body)["type"] == kind else 200)
    async with world.delivering():
        await world.create(receiver)
        await world.happen(AT_ONCE, kind="plan-proposed")
        await until(lambda: _waiting(world, AT_ONCE))
        await world.happen(20)
        await asyncio.sleep(0.3)
        assert not receiver.taken
        await world.later(timedelta(seconds=6))
        await until(lambda: len(receiver.taken) == 20)
        assert (await world.get()).state == pb.Webhook.STATE_ACTIVE


async def test_gone(world: World, receiver: Receiver) -> None:
    """410 pauses the webhook at once."""
    receiver.behaviour = lambda _: status(410)
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _state(world, pb.Webhook.STATE_PAUSED))
        assert (await world.get()).pause_cause == pb.Webhook.PAUSE_CAUSE_GONE
        assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    ("answer", "hours"),
    [
        (status(429, retry_after="7200"), 2),
        (status(503, retry_after="Mon, 16 Mar 2099 09:00:00 GMT"), 24),
    ],
    ids=["seconds", "a date, bounded"],
)
async def test_retry_after(world: World, receiver: Receiver, answer: web.Response, hours: int) -> None:
    """A receiver that asks to be left alone is, also with other events."""
    code, headers = answer.status, dict(answer.headers)
    receiver.behaviour = lambda _: web.Response(status=code, headers={"retry-after": headers["retry-after"]})
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _waiting(world, 1))
        receiver.behaviour = lambda _: status(200)
        held_until = (await world.get()).status.held_until.ToDatetime()
        assert held_until == (world.clock[0] + timedelta(hours=hours)).replace(tzinfo=None)
        await world.happen()
        await world.later(timedelta(hours=hours, seconds=-1))
        await asyncio.sleep(0.6)
        assert len(receiver.heard) == 1
        await world.later(timedelta(seconds=2))
        await until(lambda: sorted(receiver.numbers) == [1, 2])


async def test_receivers_that_misbehave(tmp_path: Path, receiver: Receiver) -> None:
    """One that hangs, breaks off, redirects, or never stops answering: each is a failed attempt, or a short one."""
    released = asyncio.Event()

    async def hang(_: Received) -> web.Response:
        await released.wait()
        return status(200)

    async def flood(_: Received) -> web.StreamResponse:
        return web.Response(body=b"\x00\x1b[31m<b>" + b"x" * 5_000_000, status=500)

    behaviours = [hang, lambda _: web.Response(status=302, headers={"location": receiver.url}), flood]
    async with open_world(tmp_path, whole_seconds=0.5) as world, world.delivering():
        await world.create(receiver)
        for number, behaviour in enumerate(behaviours, 1):
            receiver.behaviour = behaviour  # type: ignore[assignment] # a mypy join of async and sync functions
            await world.happen()
            await until(lambda number=number: _attempted(world, number))  # type: ignore[misc]
        released.set()
        hung, redirected, flooded = await world.attempts()
        assert (hung.status_code, hung.error) == (0, "TIMED_OUT")
        assert (redirected.status_code, len(receiver.heard)) == (302, 3), "redirects are not followed"
        assert flooded.status_code == 500
        assert flooded.excerpt.startswith("[31m<b>xxx")
        assert len(flooded.excerpt) == 200


async def test_a_receiver_that_is_not_there(world: World) -> None:
    """Connections that are refused, or cut off half-way, are failed attempts."""

    async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 O")
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    receiver = Receiver(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events")
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _attempted(world, 1))
        server.close()
        await server.wait_closed()
        await world.happen()
        await until(lambda: _attempted(world, 2))
    assert [one.error for one in await world.attempts()] == ["CONNECTION_FAILED"] * 2


async def test_one_hangs_and_another_gets_everything(world: World, receiver: Receiver, other: Receiver) -> None:
    """A receiver that does not answer keeps nobody waiting, and has no more than a few requests open."""
    released = asyncio.Event()

    async def hang(_: Received) -> web.Response:
        await released.wait()
        return status(200)

    receiver.behaviour = hang
    async with world.delivering():
        await world.create(receiver)
        await world.create(other, "other")
        await world.happen(300)
        await until(lambda: len(other.taken) == 300)
        assert len(receiver.heard) <= AT_ONCE
        released.set()
        await until(lambda: len({one.event_id for one in receiver.taken}) == 300)


async def test_pausing_loses_nothing(world: World, receiver: Receiver) -> None:
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _position(world, 1))
        pause = pb.PauseWebhookRequest(webhook_id="hr", reason="maintenance")
        assert (await world.call("PauseWebhook", pause)).pause_cause == pb.Webhook.PAUSE_CAUSE_REQUESTED
        await world.happen(3)
        await asyncio.sleep(0.3)
        assert receiver.numbers == [1]
        await world.call("ResumeWebhook", pb.ResumeWebhookRequest(webhook_id="hr"))
        await until(lambda: sorted(receiver.numbers) == [1, 2, 3, 4])


async def test_another_address(world: World, receiver: Receiver, other: Receiver) -> None:
    """What waits goes to the new address at once."""
    receiver.behaviour = lambda _: status(404)
    async with world.delivering():
        await world.create(receiver)
        other.secret = receiver.secret
        await world.happen(3)
        await until(lambda: _waiting(world, 3))
        update = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url=other.url))
        update.update_mask.paths.append("url")
        await world.call("UpdateWebhook", update)
        await until(lambda: sorted(other.numbers) == [1, 2, 3])


async def test_deleting_stops_it(world: World, receiver: Receiver) -> None:
    """Nothing is sent any more, and its log is gone; the id stays taken."""
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _position(world, 1))
        await world.call("DeleteWebhook", pb.DeleteWebhookRequest(webhook_id="hr"))
        await world.happen()
        await asyncio.sleep(0.3)
        assert receiver.numbers == [1]
        assert await world.attempts() == []
        assert (await world.get()).state == pb.Webhook.STATE_DELETED
        assert not (await world.call("ListWebhooks", pb.ListWebhooksRequest())).webhooks


async def test_rotation(world: World, receiver: Receiver) -> None:
    """While the old secret counts, messages verify by the old one and by the new one; then by the new one only."""
    async with world.delivering():
        await world.create(receiver)
        first = receiver.secret
        rotated = await world.call("RotateSecret", pb.RotateSecretRequest(webhook_id="hr", overlap_hours=24))
        assert rotated.secret not in {"", first}
        for secret in (first, rotated.secret):
            receiver.secret = secret
            taken = len(receiver.taken)
            await world.happen()
            await until(lambda taken=taken: len(receiver.taken) == taken + 1)  # type: ignore[misc]
            assert len(receiver.taken[-1].headers["webhook-signature"].split()) == 2
        await world.later(DAY)
        await world.happen()
        await until(lambda: len(receiver.taken) == 3)
        assert len(receiver.taken[-1].headers["webhook-signature"].split()) == 1


async def test_secrets_are_shown_once_and_lie_sealed(world: World, receiver: Receiver) -> None:
    """In the answer that made it, and in those to the same request; neither in the log nor in the database."""
    request = pb.CreateWebhookRequest(request_id="r-1", webhook=pb.Webhook(webhook_id="hr", url=receiver.url))
    made = await world.call("CreateWebhook", request)
    assert (await world.call("CreateWebhook", request)).secret == made.secret
    again = pb.CreateWebhookRequest(webhook=request.webhook)
    assert (await world.call("CreateWebhook", again)).secret == ""
    assert (await world.get()).secret == ""
    (stored,) = world.service.stream._entries  # type: ignore[attr-defined] # in memory
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    assert len(secret) == 32
    assert secret not in stored.payload
    assert made.secret.encode() not in stored.payload


async def test_redelivery_of_a_span(world: World, receiver: Receiver) -> None:
    """Beside what is new, each under the id it had; a span without anything of the filter ends, too."""
    await world.happen(3, kind="plan-proposed")
    await world.happen(40)
    async with world.delivering():
        await world.create(receiver, filter=EventFilter(types=sorted(TYPES)))
        asked = pb.RedeliverRequest(request_id="r-1", webhook_id="hr", first_position=11, last_position=30)
        await world.call("Redeliver", asked)
        await world.call("Redeliver", asked)
        await world.call("Redeliver", pb.RedeliverRequest(webhook_id="hr", first_position=1, last_position=2))
        await world.happen(2)
        await until(lambda: len(receiver.taken) >= 22)
        await until(lambda: _redelivered(world))
    assert sorted(receiver.numbers) == [*range(11, 31), 44, 45]
    assert {one.event_id for one in receiver.taken} == {f"event-{number}" for number in receiver.numbers}


async def _redelivered(world: World) -> bool:
    return (await world.get()).status.redeliveries == 0


async def test_a_test_event(world: World, receiver: Receiver) -> None:
    """Is sent once and says what came of it, also of a webhook that is paused; it counts for nothing."""
    await world.create(receiver)
    await world.call("PauseWebhook", pb.PauseWebhookRequest(webhook_id="hr", reason="not ready"))
    test = pb.SendTestEventRequest(webhook_id="hr")
    taken = await world.call("SendTestEvent", test)
    assert (taken.status_code, taken.outcome, taken.number) == (204, pb.Attempt.OUTCOME_TAKEN, 1)
    event = json.loads(receiver.taken[0].body)
    assert (event["type"], event["data"]) == ("stepladder.gateway.webhook-test.v1", {"webhookId": "hr"})
    receiver.behaviour = lambda _: status(500)
    failed = await world.call("SendTestEvent", test)
    assert (failed.outcome, failed.number) == (pb.Attempt.OUTCOME_GIVEN_UP, 2)
    assert not (await world.get()).status.HasField("failing_since")


async def test_the_log_of_attempts_is_bounded(world: World, receiver: Receiver) -> None:
    async with world.delivering():
        await world.create(receiver)
        await world.happen(KEPT_ATTEMPTS + 50)
        await until(lambda: _position(world, KEPT_ATTEMPTS + 50))
    attempts = await world.attempts()
    assert (len(attempts), attempts[-1].number) == (KEPT_ATTEMPTS, KEPT_ATTEMPTS + 50)


async def test_a_process_that_ends_half_way(world: World, receiver: Receiver) -> None:
    """Another one goes on where the rows say: what was under way is sent again, and nothing is left out."""
    await world.create(receiver)
    for ended_after in (5, 23, 61):
        async with world.delivering():
            await world.happen(30)
            await until(lambda least=ended_after: len(receiver.taken) >= least)  # type: ignore[misc]
    async with world.delivering():
        await until(lambda: len({one.event_id for one in receiver.taken}) == 90)
    assert len(receiver.taken) <= 90 + 3 * AT_ONCE


class Careless(Endpoint):
    """Moves on before events are sent."""

    async def _send_new(self, items: Sequence[Item]) -> list[tuple[Item, Answer | None]]:
        if items:
            await self._keep([], {LIVE: items[-1].position})
        return await super()._send_new(items)


@pytest.mark.parametrize("careless", [False, True])
async def test_what_was_under_way(
    world: World, receiver: Receiver, careless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is sent again. Negative control: where rows move before events are sent, it is lost."""
    if careless:
        monkeypatch.setattr(delivering, "Endpoint", Careless)
    released = asyncio.Event()

    async def hang(_: Received) -> web.Response:
        await released.wait()
        return status(200)

    receiver.behaviour = hang
    await world.create(receiver)
    async with world.delivering():
        await world.happen(3)
        await until(lambda: bool(receiver.heard))
    receiver.behaviour = lambda _: status(200)
    async with world.delivering():
        await world.happen()
        await until(lambda: 4 in receiver.numbers)
        await until(lambda: _position(world, 4))
    assert (1 in receiver.numbers) is not careless


async def test_a_restored_stream(world: World, receiver: Receiver) -> None:
    """One that ends before where the webhook stands pauses it; resumed, it goes on at the end."""
    async with world.delivering():
        await world.create(receiver)
        await world.happen(5)
        await until(lambda: _position(world, 5))
        del world.events._entries[2:]
        world.happened = 2
        update = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", description="of the platform"))
        await world.call("UpdateWebhook", update)
        await until(lambda: _state(world, pb.Webhook.STATE_PAUSED))
        assert (await world.get()).pause_cause == pb.Webhook.PAUSE_CAUSE_POSITION_LOST
        await world.call("ResumeWebhook", pb.ResumeWebhookRequest(webhook_id="hr"))
        await until(lambda: _position(world, 2))
        await world.happen()
        await until(lambda: receiver.numbers[5:] == [3])


async def test_another_systems_webhook_does_not_exist(world: World, receiver: Receiver) -> None:
    await world.create(receiver)
    for method, request in (
        ("GetWebhook", pb.GetWebhookRequest(webhook_id="hr")),
        ("UpdateWebhook", pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", description="mine"))),
        ("DeleteWebhook", pb.DeleteWebhookRequest(webhook_id="hr")),
        ("RotateSecret", pb.RotateSecretRequest(webhook_id="hr")),
        ("PauseWebhook", pb.PauseWebhookRequest(webhook_id="hr", reason="why not")),
        ("ResumeWebhook", pb.ResumeWebhookRequest(webhook_id="hr")),
        ("SendTestEvent", pb.SendTestEventRequest(webhook_id="hr")),
        ("ListAttempts", pb.ListAttemptsRequest(webhook_id="hr")),
        ("Redeliver", pb.RedeliverRequest(webhook_id="hr", first_position=1, last_position=1)),
    ):
        with pytest.raises(NotFound) as refused:
            await world.call(method, request, actor="system:payroll")
        assert refused.value.reason == "WEBHOOK_NOT_FOUND"
    assert not (await world.call("ListWebhooks", pb.ListWebhooksRequest(), actor="system:payroll")).webhooks
    assert [one.webhook_id for one in (await world.call("ListWebhooks", pb.ListWebhooksRequest())).webhooks] == ["hr"]


async def test_operators(world: World, receiver: Receiver) -> None:
    """See every webhook, pause and resume it; what is between a system and its receiver is not theirs."""
    await world.create(receiver)
    asked = pb.ListWebhooksRequest()
    (listed,) = (await world.call("ListWebhooks", asked, "system:ops", "operator")).webhooks
    assert (listed.webhook_id, listed.owner, listed.secret) == ("hr", OWNER, "")
    pause = pb.PauseWebhookRequest(webhook_id="hr", reason="too much for the network")
    assert (await world.call("PauseWebhook", pause, "system:ops", "operator")).state == pb.Webhook.STATE_PAUSED
    await world.call("ResumeWebhook", pb.ResumeWebhookRequest(webhook_id="hr"), "system:ops", "operator")
    with pytest.raises(Forbidden) as refused:
        await world.call("RotateSecret", pb.RotateSecretRequest(webhook_id="hr"), "system:ops", "operator")
    assert refused.value.reason == "ROLE_MISSING"
    with pytest.raises(NotFound):
        await world.call("GetWebhook", pb.GetWebhookRequest(webhook_id="none"), "system:ops", "operator")


async def test_what_operators_see_of_all(world: World, receiver: Receiver, other: Receiver) -> None:
    """How many work, fail and are paused, and what waits for those that are not paused."""
    receiver.behaviour = lambda _: status(500)
    async with world.delivering():
        await world.create(receiver)
        await world.create(other, "erp")
        await world.create(other, "bi")
        await world.call("PauseWebhook", pb.PauseWebhookRequest(webhook_id="erp", reason="maintenance"))
        await world.happen(2, employee="anna")
        await until(lambda: _waiting(world, 2))
        await until(lambda: len(other.taken) == 2)
        backlog = await world.tools.deliveries.backlog(world.tools.webhooks.webhooks)
        assert (backlog.active, backlog.failing, backlog.paused, backlog.waiting) == (2, 1, 1, 2)
        assert backlog.oldest_time.ToDatetime(UTC) == world.clock[0]
        await world.call("PauseWebhook", pb.PauseWebhookRequest(webhook_id="hr", reason="maintenance"))
    backlog = await world.tools.deliveries.backlog(world.tools.webhooks.webhooks)
    assert (backlog.active, backlog.failing, backlog.paused, backlog.waiting) == (1, 0, 2, 0)
    assert not backlog.HasField("oldest_time")


async def test_what_cannot_be_asked_for(world: World, receiver: Receiver) -> None:
    """Positions to come, addresses inside, events that there are not, more webhooks than one system needs."""
    beyond = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url=receiver.url), after=9)
    inside = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url="https://10.0.0.1/x"))
    none_such = EventFilter(types=["plan-closed"])
    unknown = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url=receiver.url, filter=none_such))
    reasons = ["POSITION_NOT_REACHED", "URL_FORBIDDEN", "UNKNOWN_EVENT_TYPE"]
    for request, reason in zip((beyond, inside, unknown), reasons, strict=True):
        with pytest.raises(Invalid) as refused:
            await world.call("CreateWebhook", request)
        assert refused.value.reason == reason
    for number in range(MOST_WEBHOOKS):
        await world.create(receiver, f"w-{number}")
    with pytest.raises(NotAllowed) as many:
        await world.create(receiver)
    assert many.value.reason == "TOO_MANY_WEBHOOKS"


async def test_a_trouble_that_nobody_expected(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that cannot be read, as where a rebuild has just put others in their place: they go on by themselves."""
    monkeypatch.setattr(delivering, "AGAIN_SECONDS", 0.05)
    real, troubles = world.tools.webhooks.active, [RuntimeError("could not open relation")]

    async def active(engine: AsyncEngine) -> Mapping[str, int]:
        if troubles:
            raise troubles.pop()
        return await real(engine)

    monkeypatch.setattr(world.tools.webhooks, "active", active)
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: receiver.numbers == [1])


async def test_when_the_stream_is_away(world: World, receiver: Receiver) -> None:
    """Deliveries wait, and go on by themselves."""
    async with world.delivering():
        await world.create(receiver)
        await world.happen()
        await until(lambda: _position(world, 1))
        world.events.away = True
        update = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", description="of the platform"))
        await world.call("UpdateWebhook", update)
        await asyncio.sleep(0.3)
        assert receiver.numbers == [1]
        world.events.away = False
        await world.happen()
        await until(lambda: receiver.numbers == [1, 2])
