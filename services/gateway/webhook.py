"""A webhook: where a system wants which events sent, by which secrets they are signed, whether they are sent now."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never, cast

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from libs.common.days import timestamp
from libs.common.errors import AlreadyExists, Conflict, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from libs.common.updates import updated
from stepladder.gateway.v1.events_pb2 import (
    WebhookCreated,
    WebhookDeleted,
    WebhookPaused,
    WebhookRedeliveryRequested,
    WebhookResumed,
    WebhookSecretRotated,
    WebhookUpdated,
)
from stepladder.gateway.v1.webhook_pb2 import (
    CreateWebhook,
    DeleteWebhookRequest,
    PauseWebhookRequest,
    RequestRedelivery,
    ResumeWebhookRequest,
    RotateSecret,
    SuspendWebhook,
    UpdateWebhookRequest,
    Webhook,
)

Command = (
    CreateWebhook
    | UpdateWebhookRequest
    | RotateSecret
    | PauseWebhookRequest
    | SuspendWebhook
    | ResumeWebhookRequest
    | RequestRedelivery
    | DeleteWebhookRequest
)
Event = (
    WebhookCreated
    | WebhookUpdated
    | WebhookSecretRotated
    | WebhookPaused
    | WebhookResumed
    | WebhookRedeliveryRequested
    | WebhookDeleted
)

UPDATABLE = ("url", "description", "filter")
OVERLAP_HOURS = 24
MOST_FORMER = 4
"""Secrets that may count beside the newest: each signs every message."""


@dataclass(frozen=True, slots=True)
class Former:
    """A secret that was replaced, sealed, and until when it counts."""

    sealed: bytes
    until: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The webhook; `stage` is unspecified before it is created.

    Attributes:
        paused: the last pause.
        sealed: the newest secret.
        former: those before it.
        starts: how often sending began anew: when it was created, resumed, or got another address.
        redelivery: the last that was requested.
    """

    stage: Webhook.State.ValueType = Webhook.STATE_UNSPECIFIED
    created: WebhookCreated = field(default_factory=WebhookCreated)
    webhook: Webhook = field(default_factory=Webhook)
    paused: WebhookPaused = field(default_factory=WebhookPaused)
    sealed: bytes = b""
    former: tuple[Former, ...] = ()
    starts: int = 0
    redelivery: WebhookRedeliveryRequested = field(default_factory=WebhookRedeliveryRequested)

    def former_at(self, now: datetime) -> tuple[Former, ...]:
        """Former secrets that count at a moment."""
        return tuple(one for one in self.former if one.until > now)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case WebhookCreated() as created:
            active, sealed = Webhook.STATE_ACTIVE, created.sealed_secret
            return replace(state, stage=active, created=created, webhook=created.webhook, sealed=sealed, starts=1)
        case WebhookUpdated(webhook=webhook):
            return replace(state, webhook=webhook, starts=state.starts + (webhook.url != state.webhook.url))
        case WebhookSecretRotated(sealed_secret=sealed) as rotated:
            until = rotated.former_until.ToDatetime(UTC)
            former = [*state.former_at(rotated.time.ToDatetime(UTC)), Former(state.sealed, until)]
            kept = tuple(Former(one.sealed, min(one.until, until)) for one in former)
            return replace(state, sealed=sealed, former=kept)
        case WebhookPaused() as paused:
            return replace(state, stage=Webhook.STATE_PAUSED, paused=paused)
        case WebhookResumed():
            return replace(state, stage=Webhook.STATE_ACTIVE, starts=state.starts + 1)
        case WebhookRedeliveryRequested() as redelivery:
            return replace(state, redelivery=redelivery)
        case WebhookDeleted():
            return replace(state, stage=Webhook.STATE_DELETED, sealed=b"", former=())
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    webhook_id, now = state.webhook.webhook_id, context.now
    match state.stage, cast(Command, command):
        case Webhook.STATE_UNSPECIFIED, CreateWebhook() as made:
            return [_created(made, context.actor)]
        case Webhook.STATE_ACTIVE | Webhook.STATE_PAUSED, CreateWebhook() as made if _said(
            _created(made, context.actor)
        ) == _said(state.created):
            return []
        case _, CreateWebhook(request=request):
            raise AlreadyExists("WEBHOOK_EXISTS", f"the id {request.webhook.webhook_id} is taken")
        case Webhook.STATE_UNSPECIFIED, _:
            raise NotFound("WEBHOOK_NOT_FOUND", "there is no such webhook")
        case Webhook.STATE_DELETED, DeleteWebhookRequest():
            return []
        case Webhook.STATE_DELETED, _:
            raise NotAllowed("WRONG_STATE", "the webhook is DELETED: make another")

        case _, UpdateWebhookRequest(webhook=given, update_mask=mask):
            webhook = updated(state.webhook, given, mask, UPDATABLE)
            if not webhook.url:
                raise Invalid("URL_INVALID", "url is needed", (FieldViolation("webhook.url", "is needed"),))
            return [] if webhook == state.webhook else [WebhookUpdated(webhook=webhook)]
        case _, RotateSecret(sealed_secret=state.sealed):
            return []
        case _, RotateSecret(request=request, sealed_secret=sealed):
            hours = request.overlap_hours if request.HasField("overlap_hours") else OVERLAP_HOURS
            if hours and len(state.former_at(now)) >= MOST_FORMER:
                message = f"{MOST_FORMER} former secrets still count: wait, or rotate with overlap_hours 0"
                raise NotAllowed("TOO_MANY_SECRETS", message)
            until = timestamp(now + timedelta(hours=hours))
            return [
                WebhookSecretRotated(
                    webhook_id=webhook_id, sealed_secret=sealed, time=timestamp(now), former_until=until
                )
            ]

        case Webhook.STATE_ACTIVE, PauseWebhookRequest(reason=reason):
            return [_paused(webhook_id, Webhook.PAUSE_CAUSE_REQUESTED, reason, now)]
        case Webhook.STATE_ACTIVE, SuspendWebhook(cause=cause, reason=reason):
            return [_paused(webhook_id, cause, reason, now)]
        case _, PauseWebhookRequest() | SuspendWebhook():
            return []
        case Webhook.STATE_PAUSED, ResumeWebhookRequest():
            return [WebhookResumed(webhook_id=webhook_id)]
        case _, ResumeWebhookRequest():
            return []

        case _, RequestRedelivery(request=request, number=number):
            requested = WebhookRedeliveryRequested(
                webhook_id=webhook_id,
                number=number,
                first_position=request.first_position,
                last_position=request.last_position,
            )
            if requested == state.redelivery:
                return []
            if number != state.redelivery.number + 1:
                raise Conflict("TOO_MUCH_CONTENTION", "others ask for redeliveries too; try again in a moment")
            return [requested]
        case _, DeleteWebhookRequest():
            return [WebhookDeleted(webhook_id=webhook_id)]
        case _, unknown:
            assert_never(unknown)


WEBHOOK = Aggregate(name="gateway.webhook", initial=State(), evolve=evolve, decide=decide)


def _created(made: CreateWebhook, owner: str) -> WebhookCreated:
    given = made.request.webhook
    webhook = updated(Webhook(webhook_id=given.webhook_id), given, FieldMask(), UPDATABLE)
    return WebhookCreated(
        webhook=webhook, owner=owner, after_position=made.after_position, sealed_secret=made.sealed_secret
    )


def _said(created: WebhookCreated) -> tuple[Webhook, str]:
    """By what a repetition is told: the secret is made anew each time, and so is the position of from-now-on."""
    return created.webhook, created.owner


def _paused(webhook_id: str, cause: Webhook.PauseCause.ValueType, reason: str, now: datetime) -> WebhookPaused:
    return WebhookPaused(webhook_id=webhook_id, cause=cause, reason=reason, time=timestamp(now))


def to_resource(state: State, position: int, now: datetime) -> Webhook:
    resource = Webhook(owner=state.created.owner, state=state.stage, etag=str(position), log_position=position)
    resource.MergeFrom(state.webhook)
    if state.stage == Webhook.STATE_PAUSED:
        resource.pause_cause, resource.pause_reason = state.paused.cause, state.paused.reason
        resource.pause_time.CopyFrom(state.paused.time)
    if former := state.former_at(now):
        resource.former_secrets_until.CopyFrom(timestamp(max(one.until for one in former)))
    return resource
