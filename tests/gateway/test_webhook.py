"""A webhook: made, changed, its secret rotated, paused, resumed, deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.days import timestamp
from libs.common.errors import AlreadyExists, Conflict, Invalid, NotAllowed, NotFound
from services.gateway.webhook import MOST_FORMER, WEBHOOK, State, to_resource
from stepladder.gateway.v1 import events_pb2 as events
from stepladder.gateway.v1 import webhook_pb2 as pb
from stepladder.gateway.v1.event_stream_pb2 import EventFilter
from tests.deciding import given, twice_is_once

NOW = datetime(2026, 3, 16, 9, tzinfo=UTC)
URL = "https://hr.example.com/events"
FILTER = EventFilter(types=["stepladder.coaching.a.v1"])
REQUEST = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url=URL, filter=FILTER))
CREATE = pb.CreateWebhook(request=REQUEST, sealed_secret=b"s1", after_position=7)
CREATED = events.WebhookCreated(
    webhook=pb.Webhook(webhook_id="hr", url=URL, filter=FILTER),
    owner="user:u-1",
    after_position=7,
    sealed_secret=b"s1",
)
ROTATE = pb.RotateSecret(request=pb.RotateSecretRequest(webhook_id="hr"), sealed_secret=b"s2")
PAUSE = pb.PauseWebhookRequest(webhook_id="hr", reason="maintenance")
SUSPEND = pb.SuspendWebhook(cause=pb.Webhook.PAUSE_CAUSE_GONE, reason="410")
RESUME = pb.ResumeWebhookRequest(webhook_id="hr")
DELETE = pb.DeleteWebhookRequest(webhook_id="hr")
UPDATE = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url="https://other.example.com/"))
REDELIVER = pb.RequestRedelivery(
    request=pb.RedeliverRequest(webhook_id="hr", first_position=3, last_position=5), number=1
)
PAUSED = events.WebhookPaused(
    webhook_id="hr", cause=pb.Webhook.PAUSE_CAUSE_REQUESTED, reason="maintenance", time=timestamp(NOW)
)
SUSPENDED = events.WebhookPaused(webhook_id="hr", cause=pb.Webhook.PAUSE_CAUSE_GONE, reason="410", time=timestamp(NOW))
RESUMED = events.WebhookResumed(webhook_id="hr")
DELETED = events.WebhookDeleted(webhook_id="hr")


def rotated(sealed: bytes, hours: int = 24, at: datetime = NOW) -> events.WebhookSecretRotated:
    until = timestamp(at + timedelta(hours=hours))
    return events.WebhookSecretRotated(webhook_id="hr", sealed_secret=sealed, time=timestamp(at), former_until=until)


def test_created() -> None:
    """Said again it is the same, whatever secret was made for it; by others, or otherwise, it is not."""
    after = given(WEBHOOK).when(CREATE).then(CREATED)
    after.when(pb.CreateWebhook(request=REQUEST, sealed_secret=b"s9", after_position=8)).then()
    after.when(CREATE, actor="system:other").refused(AlreadyExists, "WEBHOOK_EXISTS")
    other = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id="hr", url=URL))
    after.when(pb.CreateWebhook(request=other)).refused(AlreadyExists, "WEBHOOK_EXISTS")
    assert after.state.starts == 1


def test_what_is_output_only_is_not_stored() -> None:
    request = pb.CreateWebhookRequest(
        webhook=pb.Webhook(webhook_id="hr", url=URL, filter=FILTER, owner="system:me", etag="7")
    )
    given(WEBHOOK).when(pb.CreateWebhook(request=request, sealed_secret=b"s1", after_position=7)).then(CREATED)


def test_updated() -> None:
    """What is named, or given; sending begins anew at another address only."""
    moved = pb.Webhook(webhook_id="hr", url="https://other.example.com/", filter=FILTER)
    after = given(WEBHOOK, CREATED).when(UPDATE).then(events.WebhookUpdated(webhook=moved))
    assert after.state.starts == 2
    after.when(UPDATE).then()
    every = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr"), update_mask=FieldMask(paths=["filter"]))
    everything = pb.Webhook(webhook_id="hr", url="https://other.example.com/")
    after = after.when(every).then(events.WebhookUpdated(webhook=everything))
    assert after.state.starts == 2


@pytest.mark.parametrize(("path", "reason"), [("url", "URL_INVALID"), ("owner", "FIELD_NOT_UPDATABLE")])
def test_what_cannot_be_updated(path: str, reason: str) -> None:
    update = pb.UpdateWebhookRequest(webhook=pb.Webhook(webhook_id="hr"), update_mask=FieldMask(paths=[path]))
    given(WEBHOOK, CREATED).when(update).refused(Invalid, reason)


def test_rotated() -> None:
    """The former secret counts for a while; said again, nothing changes."""
    after = given(WEBHOOK, CREATED).when(ROTATE).then(rotated(b"s2"))
    after.when(ROTATE).then()
    assert [one.sealed for one in after.state.former_at(NOW)] == [b"s1"]
    assert after.state.former_at(NOW + timedelta(hours=24)) == ()
    shown = to_resource(after.state, 9, NOW)
    assert shown.former_secrets_until.ToDatetime(UTC) == NOW + timedelta(hours=24)


def test_rotated_without_overlap() -> None:
    """No former secret counts any more, however long it was to count."""
    at_once = pb.RotateSecretRequest(webhook_id="hr", overlap_hours=0)
    before = given(WEBHOOK, CREATED, rotated(b"s2", 168))
    after = before.when(pb.RotateSecret(request=at_once, sealed_secret=b"s3")).then(rotated(b"s3", 0))
    assert after.state.former_at(NOW) == ()


def test_rotated_too_often() -> None:
    """Each secret that counts signs every message; those that have ceased to count make room."""
    some = [rotated(f"s{number}".encode()) for number in range(2, 2 + MOST_FORMER)]
    given(WEBHOOK, CREATED, *some).when(pb.RotateSecret(request=ROTATE.request, sealed_secret=b"more")).refused(
        NotAllowed, "TOO_MANY_SECRETS"
    )
    old = [rotated(f"s{number}".encode(), 1, NOW - timedelta(days=1)) for number in range(2, 2 + MOST_FORMER)]
    given(WEBHOOK, CREATED, *old).when(pb.RotateSecret(request=ROTATE.request, sealed_secret=b"more")).then(
        rotated(b"more")
    )


def test_paused_and_resumed() -> None:
    """By whom and why stays to be seen; sending begins anew."""
    after = given(WEBHOOK, CREATED).when(PAUSE).then(PAUSED)
    after.when(SUSPEND).then()
    shown = to_resource(after.state, 9, NOW)
    assert (shown.state, shown.pause_cause, shown.pause_reason) == (
        pb.Webhook.STATE_PAUSED,
        pb.Webhook.PAUSE_CAUSE_REQUESTED,
        "maintenance",
    )
    after = after.when(RESUME).then(RESUMED)
    assert after.state.starts == 2
    after.when(RESUME).then()
    assert to_resource(after.state, 9, NOW).pause_reason == ""


def test_redelivered() -> None:
    """Each by its number: two who ask at once do not take the same."""
    requested = events.WebhookRedeliveryRequested(webhook_id="hr", number=1, first_position=3, last_position=5)
    after = given(WEBHOOK, CREATED).when(REDELIVER).then(requested)
    after.when(REDELIVER).then()
    other = pb.RedeliverRequest(webhook_id="hr", first_position=4, last_position=5)
    after.when(pb.RequestRedelivery(request=other, number=1)).refused(Conflict, "TOO_MUCH_CONTENTION")


def test_deleted() -> None:
    """Nothing can be done with it, its id stays taken, and no secret is kept in the state."""
    after = given(WEBHOOK, CREATED, rotated(b"s2")).when(DELETE).then(DELETED)
    after.when(DELETE).then()
    assert (after.state.sealed, after.state.former) == (b"", ())
    for command in (UPDATE, ROTATE, PAUSE, SUSPEND, RESUME, REDELIVER):
        after.when(command).refused(NotAllowed, "WRONG_STATE")
    after.when(CREATE).refused(AlreadyExists, "WEBHOOK_EXISTS")


@pytest.mark.parametrize(
    "command", [UPDATE, ROTATE, PAUSE, SUSPEND, RESUME, REDELIVER, DELETE], ids=lambda c: c.DESCRIPTOR.name
)
def test_there_is_none(command: Message) -> None:
    given(WEBHOOK).when(command).refused(NotFound, "WEBHOOK_NOT_FOUND")


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    other = pb.RotateSecret(request=ROTATE.request, sealed_secret=b"s3")
    commands = [CREATE, UPDATE, ROTATE, other, PAUSE, SUSPEND, RESUME, REDELIVER, DELETE]
    twice_is_once(WEBHOOK, st.sampled_from(commands))
    assert State() == WEBHOOK.initial
