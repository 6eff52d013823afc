"""Rows: on which days what was measured lies that plans or PIPs keep, so that few are looked at when a fact changes."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, MetaData, Select, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import insert_new
from libs.common.eventsourcing import Recorded
from services.coaching.pins import days_in


class MeasuredDays:
    """The table, part of the read model of the aggregates that keep measurements. What was measured once stays."""

    def __init__(self, name: str, metadata: MetaData) -> None:
        self.days = Table(
            name,
            metadata,
            Column("holder_id", String, primary_key=True),  # of the aggregate
            Column("start_date", String(10), primary_key=True),
            Column("end_date", String(10), primary_key=True),
            sqlite_with_rowid=False,  # one tree in place of a table beside its key's index
        )

    async def take(self, rows: AsyncConnection, recorded: Recorded) -> None:
        """Keeps the days of what an event says was measured."""
        holder_id = recorded.subject.rpartition(".")[2]
        found = [
            {"holder_id": holder_id, "start_date": start, "end_date": end}
            for start, end in sorted(days_in(recorded.event))
        ]
        if found:
            await rows.execute(insert_new(self.days, rows), found)

    async def holders(
        self, engine: AsyncEngine, among: Collection[str] | Select[tuple[str]], first_day: str, last_day: str
    ) -> Sequence[str]:
        """Those among some aggregates that keep something of a day from one to another, both inclusive, in order."""
        async with engine.connect() as connection:
            return list(await connection.scalars(self.query(among, first_day, last_day)))

    def query(self, among: Collection[str] | Select[tuple[str]], first_day: str, last_day: str) -> Select[Any]:
        """As `holders`, to be asked."""
        columns = self.days.c
        touched = (columns.start_date <= last_day) & (columns.end_date >= first_day)
        query = select(columns.holder_id).where(columns.holder_id.in_(among), touched)
        return query.distinct().order_by(columns.holder_id)
