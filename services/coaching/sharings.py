"""Read model: which sharings there are, with whom as the example, in what state."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.reaching import Reach
from stepladder.coaching.v1.events_pb2 import SharingCancelled, SharingHeld, SharingPrepared
from stepladder.coaching.v1.sharing_pb2 import ListSharingsRequest, Sharing


class Sharings(ReadModel):
    """Rows: one for each sharing, at the position at which it was prepared."""

    name = "sharings"
    version = 1
    subjects = ("log.coaching.sharing.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.sharings = Table(
            f"sharings{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("sharing_id", String, nullable=False, unique=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
        )
        self.tables = (self.sharings,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case SharingPrepared(sharing_id=sharing_id, employee_id=employee_id):
                    row = {
                        "position": recorded.position,
                        "sharing_id": sharing_id,
                        "employee_id": employee_id,
                        "state": int(Sharing.STATE_PREPARED),
                    }
                    await rows.execute(insert(self.sharings).values(row))
                case SharingHeld(sharing_id=sharing_id):
                    await self._enter(rows, sharing_id, Sharing.STATE_HELD)
                case SharingCancelled(sharing_id=sharing_id):
                    await self._enter(rows, sharing_id, Sharing.STATE_CANCELLED)

    async def _enter(self, rows: AsyncConnection, sharing_id: str, state: Sharing.State.ValueType) -> None:
        mine = self.sharings.c.sharing_id == sharing_id
        await rows.execute(update(self.sharings).where(mine).values(state=int(state)))

    async def list_sharings(
        self, engine: AsyncEngine, request: ListSharingsRequest, reach: Reach
    ) -> list[tuple[str, int]]:
        """Ids and positions of a page of sharings, the latest first, one more than asked for when there are more.

        Of those whose example somebody sees.
        """
        columns = self.sharings.c
        query = select(columns.sharing_id, columns.position).where(reach.of(columns.employee_id))
        query = query.order_by(columns.position.desc())
        for column, wanted in ((columns.employee_id, request.employee_id), (columns.state, request.state)):
            if wanted:
                query = query.where(column == wanted)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.limit(page_size(request) + 1))
            return [(row.sharing_id, row.position) for row in found]
