"""Read model: who is asked for a score of whom, as long as it is open. What is given is in no table."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, MetaData, String, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from stepladder.promotion.v1.events_pb2 import PeersAsked, PeersClosed
from stepladder.promotion.v1.peer_score_pb2 import ListPeerScoringsAskedOfMeRequest


class PeerScorings(ReadModel):
    """Rows: one for each peer asked, at the position in LOG_RESTRICTED at which they were; none once it is closed."""

    name = "peer-scorings"
    version = 1
    subjects = ("restricted.promotion.peerscores.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.asked = Table(
            f"peers_asked{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("peer_id", String, primary_key=True, index=True),
            Column("candidacy_id", String, nullable=False, index=True),
            Column("employee_id", String, nullable=False),
        )
        self.tables = (self.asked,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case PeersAsked(candidacy_id=candidacy_id, employee_id=employee_id, peer_ids=peer_ids):
                    common = {"position": recorded.position, "candidacy_id": candidacy_id, "employee_id": employee_id}
                    await rows.execute(insert(self.asked), [{**common, "peer_id": one} for one in peer_ids])
                case PeersClosed(candidacy_id=candidacy_id):
                    await rows.execute(delete(self.asked).where(self.asked.c.candidacy_id == candidacy_id))

    async def asked_of(
        self, engine: AsyncEngine, request: ListPeerScoringsAskedOfMeRequest, peer_id: str
    ) -> list[tuple[int, str, str]]:
        """Positions, candidacies and candidates of a page, the latest first, one more than asked for when there are."""
        columns = self.asked.c
        query = select(columns.position, columns.candidacy_id, columns.employee_id).where(columns.peer_id == peer_id)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        query = query.order_by(columns.position.desc()).limit(page_size(request) + 1)
        return [(row.position, row.candidacy_id, row.employee_id) for row in await all_rows(engine, query)]
