"""gRPC: stepladder.gateway.v1.WebhookService."""

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from uuid import uuid4

from google.protobuf.message import Message

from libs.common.access import OPERATOR, SYSTEM
from libs.common.commands import Standing
from libs.common.errors import FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS
from services.gateway.addresses import Addresses
from services.gateway.deliveries import LIVE
from services.gateway.delivering import Tools
from services.gateway.public_events import wanted
from services.gateway.retrying import Item, Verdict
from services.gateway.sending import Outgoing, new_secret, shown
from services.gateway.webhook import WEBHOOK, State, to_resource
from stepladder.gateway.v1 import webhook_pb2 as pb

MOST_WEBHOOKS = 50
"""Of one system."""
TESTS_AT_ONCE = 8
TEST_TYPE = "stepladder.gateway.webhook-test.v1"


class WebhookApi:
    """Implements the service."""

    def __init__(self, tools: Tools, follower: Follower, addresses: Addresses, types: Collection[str]) -> None:
        self._tools = tools
        self._service = tools.service
        self._commands = tools.service.commands
        self._webhooks = tools.webhooks
        self._deliveries = tools.deliveries
        self._follower = follower
        self._addresses = addresses
        self._types = types
        self._tests = asyncio.Semaphore(TESTS_AT_ONCE)

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Context) -> pb.Webhook:
        await self._check(request.webhook)
        webhook_id = request.webhook.webhook_id
        end = (await self._tools.events.state()).last
        position = request.after if request.HasField("after") else end
        _check_position(position, end, "after")
        if await self._webhooks.count(
            self._service.engine, context.actor
        ) >= MOST_WEBHOOKS and not await self._commands.known(WEBHOOK, [webhook_id]):
            raise NotAllowed("TOO_MANY_WEBHOOKS", f"a system has at most {MOST_WEBHOOKS} webhooks; delete one first")
        command = pb.CreateWebhook(
            request=request, sealed_secret=self._sealed_secret(webhook_id), after_position=position
        )
        return await self._handle(webhook_id, command, context, shows_secret=True)

    async def GetWebhook(self, request: pb.GetWebhookRequest, context: Context) -> pb.Webhook:
        found = await self._found(request.webhook_id, context)
        webhook = to_resource(found.state, found.position, context.now)
        webhook.status.CopyFrom(await self._status(found.state))
        return webhook

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Context) -> pb.ListWebhooksResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        owner = "" if _is_operator(context) else context.actor
        listed = await self._webhooks.list_webhooks(self._service.engine, request, owner)
        page, token = cut_page(request, listed, lambda one: [one])
        found = await self._commands.known(WEBHOOK, page)
        shown_ones = [to_resource(one.state, one.position, context.now) for one in found.values()]
        return pb.ListWebhooksResponse(webhooks=shown_ones, next_page_token=token)

    async def UpdateWebhook(self, request: pb.UpdateWebhookRequest, context: Context) -> pb.Webhook:
        await self._found(request.webhook.webhook_id, context)
        await self._check(request.webhook)
        return await self._change(request.webhook.webhook_id, request, request.etag, context)

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Context) -> pb.Webhook:
        await self._found(request.webhook_id, context)
        deleted = await self._change(request.webhook_id, request, request.etag, context)
        await self._deliveries.forget(request.webhook_id)
        return deleted

    async def RotateSecret(self, request: pb.RotateSecretRequest, context: Context) -> pb.Webhook:
        await self._found(request.webhook_id, context)
        command = pb.RotateSecret(request=request, sealed_secret=self._sealed_secret(request.webhook_id))
        with_etag = replace(context, etag=request.etag)
        return await self._handle(request.webhook_id, command, with_etag, shows_secret=True)

    async def PauseWebhook(self, request: pb.PauseWebhookRequest, context: Context) -> pb.Webhook:
        await self._found(request.webhook_id, context)
        return await self._change(request.webhook_id, request, request.etag, context)

    async def ResumeWebhook(self, request: pb.ResumeWebhookRequest, context: Context) -> pb.Webhook:
        await self._found(request.webhook_id, context)
        return await self._change(request.webhook_id, request, request.etag, context)

    async def Redeliver(self, request: pb.RedeliverRequest, context: Context) -> pb.Webhook:
        found = await self._found(request.webhook_id, context)
        _check_position(request.last_position, (await self._tools.events.state()).last, "last_position")
        command = pb.RequestRedelivery(request=request, number=found.state.redelivery.number + 1)
        return await self._change(request.webhook_id, command, request.etag, context)

    async def SendTestEvent(self, request: pb.SendTestEventRequest, context: Context) -> pb.Attempt:
        state = (await self._found(request.webhook_id, context)).state
        if state.stage == pb.Webhook.STATE_DELETED:
            raise NotAllowed("WRONG_STATE", "the webhook is DELETED: make another")
        event_id = uuid4().hex
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/stepladder/gateway",
            "type": TEST_TYPE,
            "subject": request.webhook_id,
            "time": context.now.isoformat(),
            "datacontenttype": "application/json",
            "data": {"webhookId": request.webhook_id},
        }
        body = json.dumps(event).encode()
        async with self._tests:
            sender, message = self._tools.sender, Outgoing(event_id, body)
            answer = await sender.send(state.webhook.url, self._tools.secrets(state), message)
        outcome = pb.Attempt.OUTCOME_TAKEN if answer.taken else pb.Attempt.OUTCOME_GIVEN_UP
        item = Item(0, event_id, TEST_TYPE, "", body, tries=1)
        return await self._deliveries.log_test(request.webhook_id, Verdict(item, answer, outcome))

    async def ListAttempts(self, request: pb.ListAttemptsRequest, context: Context) -> pb.ListAttemptsResponse:
        await self._found(request.webhook_id, context)
        listed = await self._deliveries.list_attempts(request)
        page, token = cut_page(request, listed, lambda one: [one.number])
        return pb.ListAttemptsResponse(attempts=page, next_page_token=token)

    async def _check(self, given: pb.Webhook) -> None:
        """What the contract's rules do not: where it leads to, and whether there are such events."""
        if given.url:
            await self._addresses.check(given.url, "webhook.url")
        wanted(given.filter, self._types, "webhook.filter")

    def _sealed_secret(self, webhook_id: str) -> bytes:
        return self._tools.sealer.seal(new_secret(), WEBHOOK.subject(webhook_id))

    async def _change(self, webhook_id: str, command: Message, etag: str, context: Context) -> pb.Webhook:
        return await self._handle(webhook_id, command, replace(context, etag=etag))

    async def _handle(
        self, webhook_id: str, command: Message, context: Context, *, shows_secret: bool = False
    ) -> pb.Webhook:
        handled = await self._commands.handle(WEBHOOK, webhook_id, command, context)
        webhook = to_resource(handled.state, handled.position, context.now)
        if shows_secret and handled.events:
            webhook.secret = shown(self._tools.sealer.unseal(handled.state.sealed, WEBHOOK.subject(webhook_id)))
        return webhook

    async def _found(self, webhook_id: str, context: Context) -> Standing[State]:
        """A webhook of the caller's, and any for an operator who may. Raises NotFound for another's, too."""
        found = await self._commands.load(WEBHOOK, webhook_id)
        if found.state.created.owner != context.actor and not (_is_operator(context) and found.position):
            raise NotFound("WEBHOOK_NOT_FOUND", "you have no such webhook")
        return found

    async def _status(self, state: State) -> pb.Webhook.Status:
        webhook_id = state.webhook.webhook_id
        standing = await self._deliveries.standing(webhook_id)
        positions = await self._deliveries.positions(webhook_id)
        redeliveries = await self._webhooks.redeliveries_of(self._service.engine, webhook_id)
        status = pb.Webhook.Status(
            position=positions.get(LIVE, state.created.after_position),
            end=(await self._tools.events.state()).last,
            waiting=await self._deliveries.count_waiting(webhook_id),
            given_up=standing.given_up,
            redeliveries=sum(positions.get(number, 0) < last for number, _, last in redeliveries),
        )
        for name, moment in (
            ("failing_since", standing.failing_since),
            ("taken_time", standing.taken_time),
            ("held_until", standing.held_until),
        ):
            if moment is not None:
                getattr(status, name).FromDatetime(moment)
        return status


def _is_operator(context: Context) -> bool:
    """Whether the call is for operators, and this is one."""
    return OPERATOR in context.admission.roles and f"{SYSTEM}{OPERATOR}" in context.admission.may


def _check_position(position: int, end: int, field: str) -> None:
    if position > end:
        message = f"must not be beyond {end}, where the stream of events ends now"
        raise Invalid("POSITION_NOT_REACHED", f"{field} {message}", (FieldViolation(field, message),))
