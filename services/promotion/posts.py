"""Read model: which posts there are."""

from collections.abc import Collection, Sequence

from sqlalchemy import Column, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows, insert_new
from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from stepladder.promotion.v1.events_pb2 import HeadcountSet


class Posts(ReadModel):
    """Rows: posts."""

    name = "posts"
    version = 1
    subjects = ("log.promotion.post.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.posts = Table(
            f"posts{suffix}",
            metadata,
            Column("post_id", String, primary_key=True),
            Column("position", String, nullable=False),
            Column("stars", Integer, nullable=False),
            Column("team_id", String, nullable=False, index=True),
        )
        self.tables = (self.posts,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case HeadcountSet(post_id=post_id, position=position, stars=stars, team_id=team_id):
                    row = {"post_id": post_id, "position": position, "stars": stars, "team_id": team_id}
                    await rows.execute(insert_new(self.posts, rows), row)

    async def all_posts(
        self, engine: AsyncEngine, *, position: str = "", team_ids: Collection[str] | None = None
    ) -> list[str]:
        """Ids of posts in their order: of all, of a position, of some teams."""
        columns = self.posts.c
        query = select(columns.post_id).order_by(columns.post_id)
        if position:
            query = query.where(columns.position == position)
        if team_ids is not None:
            query = query.where(columns.team_id.in_(team_ids))
        return [row.post_id for row in await all_rows(engine, query)]
