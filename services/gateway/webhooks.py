"""Read model: which webhooks there are, whose, in what state, and what was asked to be sent once more."""

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.gateway.v1.events_pb2 import (
    WebhookCreated,
    WebhookDeleted,
    WebhookPaused,
    WebhookRedeliveryRequested,
    WebhookResumed,
)
from stepladder.gateway.v1.webhook_pb2 import ListWebhooksRequest, Webhook


class Webhooks(ReadModel):
    """Rows: one for each webhook, with the position of its last event; one for each redelivery."""

    name = "webhooks"
    version = 1
    subjects = ("log.gateway.webhook.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.webhooks = Table(
            f"webhooks{suffix}",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("owner", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
            Column("position", BigInteger, nullable=False),
        )
        self.redeliveries = Table(
            f"webhook_redeliveries{suffix}",
            metadata,
            Column("webhook_id", String, primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("first_position", BigInteger, nullable=False),
            Column("last_position", BigInteger, nullable=False),
        )
        self.tables = (self.webhooks, self.redeliveries)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            values: dict[str, int] = {"position": recorded.position}
            match recorded.event:
                case WebhookCreated(webhook=webhook, owner=owner):
                    state = int(Webhook.STATE_ACTIVE)
                    row = {"webhook_id": webhook.webhook_id, "owner": owner, "state": state, **values}
                    await rows.execute(insert(self.webhooks).values(row))
                case WebhookPaused():
                    values["state"] = Webhook.STATE_PAUSED
                case WebhookResumed():
                    values["state"] = Webhook.STATE_ACTIVE
                case WebhookDeleted():
                    values["state"] = Webhook.STATE_DELETED
                case WebhookRedeliveryRequested(webhook_id=webhook_id, number=number) as asked:
                    row = {"webhook_id": webhook_id, "number": number}
                    row |= {"first_position": asked.first_position, "last_position": asked.last_position}
                    await rows.execute(insert(self.redeliveries).values(row))
            mine = self.webhooks.c.webhook_id == recorded.subject.rpartition(".")[2]
            await rows.execute(update(self.webhooks).where(mine).values(values))

    async def active(self, engine: AsyncEngine) -> Mapping[str, int]:
        """Ids of those to which events are sent, each with the position of its last event."""
        columns = self.webhooks.c
        query = select(columns.webhook_id, columns.position).where(columns.state == int(Webhook.STATE_ACTIVE))
        return {row.webhook_id: row.position for row in await all_rows(engine, query)}

    async def redeliveries_of(self, engine: AsyncEngine, webhook_id: str) -> Sequence[tuple[int, int, int]]:
        """Number, first and last position of every redelivery of a webhook, the oldest first."""
        columns = self.redeliveries.c
        query = select(columns.number, columns.first_position, columns.last_position)
        found = await all_rows(engine, query.where(columns.webhook_id == webhook_id).order_by(columns.number))
        return [(row.number, row.first_position, row.last_position) for row in found]

    async def count(self, engine: AsyncEngine, owner: str) -> int:
        """How many webhooks a system has."""
        columns = self.webhooks.c
        mine = (columns.owner == owner) & (columns.state != int(Webhook.STATE_DELETED))
        async with engine.connect() as connection:
            return int(await connection.scalar(select(func.count()).select_from(self.webhooks).where(mine)) or 0)

    async def list_webhooks(self, engine: AsyncEngine, request: ListWebhooksRequest, owner: str) -> list[str]:
        """Ids of a page of webhooks, one more than asked for when there are more; `owner` empty: of all systems."""
        columns = self.webhooks.c
        query = select(columns.webhook_id).order_by(columns.webhook_id).limit(page_size(request) + 1)
        if request.state:
            query = query.where(columns.state == int(request.state))
        else:
            query = query.where(columns.state != int(Webhook.STATE_DELETED))
        if owner:
            query = query.where(columns.owner == owner)
        if (start := page_start(request)) is not None:
            query = query.where(columns.webhook_id > start[0])
        return [row.webhook_id for row in await all_rows(engine, query)]
