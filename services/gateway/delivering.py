"""Sends events to webhooks: a task for each, which reads the public stream behind the webhook's own position.

Whatever one receiver does, the others do not wait for it, and no more than a few events of each are in memory. Rows say
how far it is; they move after an event was sent, so that one is sent again when this process ends in between.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from random import Random

import structlog

from libs.common.background import ended
from libs.common.commands import Standing as Known
from libs.common.errors import Refused
from libs.common.eventsourcing import Context
from libs.common.keys import Sealer
from libs.common.parking import RETRY
from libs.common.projecting import Fenced, Follower
from libs.common.projecting import State as FollowerState
from libs.common.service import Service
from libs.common.streams import Feed, Stored, Stream
from services.gateway.deliveries import LIVE, Deliveries, Waiting
from services.gateway.public_events import public_event, wanted_by
from services.gateway.retrying import Answer, Item, Standing, judge
from services.gateway.sending import Outgoing, Sender
from services.gateway.webhook import WEBHOOK, State
from services.gateway.webhooks import Webhooks
from stepladder.gateway.v1.webhook_pb2 import SuspendWebhook, Webhook

AT_ONCE = 8
"""Events of a webhook that are sent at the same time, each of another key."""
MOST_WAITING = 1000
"""Events of a webhook that wait to be sent again, before nothing new is read for it."""
IDLE_SECONDS = 0.25
AGAIN_SECONDS = 2.0
"""After a trouble of the log or the database."""
NOTICES = {
    Webhook.PAUSE_CAUSE_FAILING: "an event was sent ten times, and the receiver took no other in between",
    Webhook.PAUSE_CAUSE_GONE: "the receiver answered 410: it wants nothing any more",
    Webhook.PAUSE_CAUSE_POSITION_LOST: "the stream of events ends before the position that it stands at",
}

logger = structlog.get_logger()


@dataclass(frozen=True)
class Tools:
    """What every webhook's task works with."""

    service: Service
    events: Stream
    """The public ones."""
    webhooks: Webhooks
    deliveries: Deliveries
    sender: Sender
    sealer: Sealer
    chance: Random

    def secrets(self, state: State) -> list[bytes]:
        """Every secret that counts now, the newest first."""
        of = WEBHOOK.subject(state.webhook.webhook_id)
        sealed = [state.sealed, *(one.sealed for one in state.former_at(self.service.now()))]
        return [self.sealer.unseal(one, of) for one in sealed]


class Delivering:
    """Keeps a task running for each active webhook, where the follower runs."""

    def __init__(self, tools: Tools, follower: Follower) -> None:
        self._tools = tools
        self._follower = follower
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._versions: Mapping[str, int] = {}
        """The position of the last event of each."""
        self.heeded = 0
        """Position in LOG up to which what was said of webhooks is heeded: what is sent now, is sent so."""

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            while True:
                seen = self._follower.position
                try:
                    await self._look()
                    await self._follower.wait_past(seen, IDLE_SECONDS)
                except RETRY as trouble:
                    logger.warning("delivering_retries", error=type(trouble).__name__)
                except Exception:  # nobody would start it again
                    logger.exception("delivering_failed")
                else:
                    continue
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await ended(set(self._tasks.values()))

    async def _look(self) -> None:
        runs, heeded = self._follower.state is FollowerState.RUNNING, self._follower.position
        service = self._tools.service
        self._versions = await self._tools.webhooks.active(service.engine) if runs else {}
        for webhook_id in self._tasks.keys() - self._versions.keys():
            await ended({self._tasks.pop(webhook_id)})
        for webhook_id in self._versions.keys() - self._tasks.keys():
            endpoint = Endpoint(self._tools, webhook_id, partial(self._version, webhook_id))
            self._tasks[webhook_id] = asyncio.create_task(endpoint.run())
        self.heeded = heeded

    def _version(self, webhook_id: str) -> int:
        return self._versions.get(webhook_id, 0)


@dataclass
class Lane:
    """What is sent in order of positions: what is new, or a redelivery, which has an end.

    Attributes:
        last: the last position that belongs to it; of what is new, None.
        matched: the last position at which there is something to send, when it was opened.
    """

    number: int
    feed: Feed
    position: int
    last: int | None = None
    matched: int = 0

    def cut(self, entries: Sequence[Stored]) -> Sequence[Stored]:
        """Those that belong to it; moves it to the last of them, or to its end."""
        if self.last is None:
            self.position = entries[-1].position if entries else self.position
            return entries
        own = [one for one in entries if one.position <= self.last]
        self.position = own[-1].position if own else self.position
        if len(own) < len(entries) or self.position >= min(self.matched, self.last):
            self.position = self.last
        return own


class Endpoint:
    """One webhook, while it is active."""

    def __init__(self, tools: Tools, webhook_id: str, version: Callable[[], int]) -> None:
        self._tools = tools
        self._now = tools.service.now
        self._webhook_id = webhook_id
        self._version = version
        self._seen = 0
        self._known = Known(State(), 0)
        self._standing = Standing(webhook_id)
        self._waits = 0

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    await self._send_as_known(stack)
            except (*RETRY, Fenced) as trouble:
                logger.warning("webhook_retries", webhook=self._webhook_id, error=type(trouble).__name__)
            except Exception:  # nobody would start it again
                logger.exception("webhook_failed", webhook=self._webhook_id)
            else:
                continue
            await asyncio.sleep(AGAIN_SECONDS)

    async def _send_as_known(self, stack: AsyncExitStack) -> None:
        """Sends until the webhook has changed."""
        tools, webhook_id = self._tools, self._webhook_id
        self._seen = self._version()  # of the rows, which may be behind what is loaded: then it is read once more
        self._known = await tools.service.commands.load(WEBHOOK, webhook_id)
        state = self._known.state
        if state.stage != Webhook.STATE_ACTIVE:  # the rows will say so in a moment
            await asyncio.sleep(IDLE_SECONDS)
            return
        self._standing = await tools.deliveries.standing(webhook_id)
        positions = {LIVE: state.created.after_position, **await tools.deliveries.positions(webhook_id)}
        if not await self._begin(positions):
            return
        self._waits = await tools.deliveries.count_waiting(webhook_id)
        subjects = wanted_by(state.webhook.filter).subjects()
        feed = await stack.enter_async_context(tools.events.feed(subjects, positions[LIVE]))
        live = Lane(LIVE, feed, positions[LIVE])
        redeliveries = [
            (number, positions.get(number, first - 1), last)
            for number, first, last in await tools.webhooks.redeliveries_of(tools.service.engine, webhook_id)
            if positions.get(number, first - 1) < last
        ]
        for number, position, last in redeliveries:
            matched = max([await tools.events.last_position(subject) for subject in subjects])
            async with tools.events.feed(subjects, position) as own:
                lane = Lane(number, own, position, last, matched)
                while lane.position < last:
                    await self._turn([lane, live])
                    if self._changed():
                        return
        while not self._changed():
            await self._turn([live])

    def _changed(self) -> bool:
        return self._version() != self._seen

    async def _begin(self, positions: dict[int, int]) -> bool:
        """Begins anew where that was asked for; whether there is something to go on with."""
        starts, end = self._known.state.starts, (await self._tools.events.state()).last
        if self._standing.starts < starts:
            positions[LIVE] = position = min(positions[LIVE], end)
            self._standing = await self._tools.deliveries.begin_anew(self._standing, starts, position, self._now())
        elif positions[LIVE] > end:
            await self._suspend(Webhook.PAUSE_CAUSE_POSITION_LOST)
            return False
        return True

    async def _turn(self, lanes: Sequence[Lane]) -> None:
        """Sends a few of what waits and is due, or else of each lane.

        To a receiver that takes nothing, one that is new goes with each attempt of the first that waits: it may be that
        it cannot take only those.
        """
        most = AT_ONCE
        held = self._standing.held_until
        if held is not None and self._now() < held:
            await asyncio.sleep(IDLE_SECONDS)
            return
        due = await self._tools.deliveries.due(self._webhook_id, self._now(), AT_ONCE) if self._waits else []
        if due:
            first = await self._tools.deliveries.first_waiting(self._webhook_id)
            await self._keep(await asyncio.gather(*(self._send_again(one) for one in due)), {})
            if not self._standing.down or all(one.position != first for one in due):
                return
            lanes, most = lanes[-1:], 1
        elif self._standing.down or self._waits >= MOST_WAITING:
            await asyncio.sleep(IDLE_SECONDS)
            return
        for lane in lanes:
            before = lane.position
            entries = await lane.feed.next(most, IDLE_SECONDS / len(lanes))
            if self._changed():
                return
            results = await self._send_new([item_of(one) for one in lane.cut(entries)])
            if lane.position > before:
                await self._keep(results, {lane.number: lane.position})

    async def _send_again(self, waiting: Waiting) -> tuple[Item, Answer | None]:
        stored = await self._tools.events.read_at(waiting.position)
        if stored is None:
            raise RuntimeError(f"the stream of events has nothing at position {waiting.position}")
        item = item_of(stored, waiting.tries, waiting.first_time)
        return item, await self._send(item)

    async def _send_new(self, items: Sequence[Item]) -> list[tuple[Item, Answer | None]]:
        """Sends events, those of a key in order; behind one that fails or waits already, they are left."""
        keys: dict[str, list[Item]] = {}
        for item in items:
            keys.setdefault(item.key, []).append(item)
        held = await self._tools.deliveries.waiting_keys(self._webhook_id, keys) if self._waits else frozenset()

        async def in_order(key: str, own: Sequence[Item]) -> list[tuple[Item, Answer | None]]:
            results: list[tuple[Item, Answer | None]] = []
            goes_on = key not in held
            for item in own:
                answer = await self._send(item) if goes_on else None
                goes_on = answer is not None and answer.taken
                results.append((item, answer))
            return results

        return [one for each in await asyncio.gather(*(in_order(*of) for of in keys.items())) for one in each]

    async def _send(self, item: Item) -> Answer:
        state = self._known.state
        message = Outgoing(item.event_id, item.body)
        return await self._tools.sender.send(state.webhook.url, self._tools.secrets(state), message)

    async def _keep(self, results: Sequence[tuple[Item, Answer | None]], lanes: Mapping[int, int]) -> None:
        now = self._now()
        judged = judge(self._standing, results, now, self._tools.chance)
        await self._tools.deliveries.record(self._standing, judged.standing, judged.verdicts, lanes, now)
        if judged.standing.given_up > self._standing.given_up:
            logger.warning("webhook_gave_up", webhook=self._webhook_id, given_up=judged.standing.given_up)
        self._standing = judged.standing
        if self._waits or any(one.due_time for one in judged.verdicts):
            self._waits = await self._tools.deliveries.count_waiting(self._webhook_id)
        if judged.cause:
            await self._suspend(judged.cause)

    async def _suspend(self, cause: Webhook.PauseCause.ValueType) -> None:
        """Pauses the webhook, unless it has changed meanwhile: then that may have mended it."""
        service = self._tools.service
        logger.warning("webhook_paused", webhook=self._webhook_id, cause=Webhook.PauseCause.Name(cause))
        etag = str(self._known.position)
        context = Context(now=service.now(), today=service.today(), actor="policy:deliver-webhooks", etag=etag)
        command = SuspendWebhook(cause=cause, reason=NOTICES[cause])
        try:
            await service.commands.handle(WEBHOOK, self._webhook_id, command, context)
        except Refused as refusal:
            logger.info("webhook_not_paused", webhook=self._webhook_id, reason=refusal.reason)
        self._seen = -1  # whatever it is now, it is read again


def item_of(stored: Stored, tries: int = 0, first_time: datetime | None = None) -> Item:
    """An event of the public stream; its key is the employee, or else all that its subject says."""
    event = public_event(stored)
    key = event.employee_id or stored.subject
    return Item(stored.position, stored.event_id, event.type, key, stored.payload, tries, first_time)
