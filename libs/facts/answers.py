"""Rows of what was answered on evaluation forms: each item that applied, and whether it was missed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert_rows
from libs.common.eventsourcing import Recorded
from libs.facts.knowing import NEVER, knowledge_columns, known, supersede
from stepladder.performance.v1.events_pb2 import RecordCorrected, RecordCreated, RecordRetracted


class Answer(NamedTuple):
    """How an item was answered in an evaluation; `position` of the event that says so."""

    employee_id: str
    date: str
    record_id: str
    missed: int
    position: int


class ItemAnswer(NamedTuple):
    """How an item of a form was answered on an employee's day."""

    employee_id: str
    date: str
    form_id: str
    item_id: str
    missed: int


class Answers:
    """Rows: one for each answer of an evaluation that applied, with what it was before."""

    def __init__(self, metadata: MetaData, suffix: str) -> None:
        self.answers = Table(
            f"answers{suffix}",
            metadata,
            Column("employee_id", String, primary_key=True),
            Column("date", String(10), primary_key=True),
            Column("record_id", String, primary_key=True),
            Column("item_id", String, primary_key=True),
            *knowledge_columns(),
            Column("form_id", String, nullable=False),
            # Of the form's version.
            Column("policy_position", BigInteger, nullable=False),
            Column("missed", Integer, nullable=False),
            sqlite_with_rowid=False,
        )

    async def answers_of(
        self,
        engine: AsyncEngine,
        employee_ids: Sequence[str],
        form_id: str,
        item_id: str,
        start: str,
        end: str,
        *,
        known_at: int = 0,
    ) -> list[Answer]:
        """Employees' answers to an item on days from one to another, both inclusive."""
        columns = self.answers.c
        query = select(columns.employee_id, columns.date, columns.record_id, columns.missed, columns.position).where(
            columns.employee_id.in_(employee_ids),
            columns.date >= start,
            columns.date <= end,
            columns.form_id == form_id,
            columns.item_id == item_id,
            known(self.answers, known_at),
        )
        async with engine.connect() as connection:
            return [Answer(*row) for row in await connection.execute(query)]

    async def items_of(
        self, engine: AsyncEngine, employee_ids: Sequence[str], start: str, end: str, *, known_at: int = 0
    ) -> list[ItemAnswer]:
        """Employees' answers to any item on days from one to another, both inclusive."""
        columns = self.answers.c
        query = select(columns.employee_id, columns.date, columns.form_id, columns.item_id, columns.missed).where(
            columns.employee_id.in_(employee_ids),
            columns.date >= start,
            columns.date <= end,
            known(self.answers, known_at),
        )
        async with engine.connect() as connection:
            return [ItemAnswer(*row) for row in await connection.execute(query)]


class AnswersBatch:
    """What a batch of events makes of the rows: new answers are gathered and written together."""

    def __init__(self, model: Answers, rows: AsyncConnection) -> None:
        self._table = model.answers
        self._rows = rows
        self._new: list[tuple[str | int, ...]] = []

    async def take(self, recorded: Recorded) -> None:
        """Does what an event of a record does."""
        at = recorded.position
        match recorded.event:
            case RecordCreated() as event:
                self._new += [(*key, at, NEVER, *content) for key, content in _answers(event)]
            case RecordCorrected(record=record, employee_id=employee_id) as event:
                names = [one.name for one in self._table.c if one.name not in {"position", "superseded"}]
                wanted = [dict(zip(names, (*key, *content), strict=True)) for key, content in _answers(event)]
                await self._replace(employee_id, record.record_id, wanted, at)
            case RecordRetracted(record_id=record_id, employee_id=employee_id):
                await self._replace(employee_id, record_id, [], at)

    async def flush(self) -> None:
        """Writes what was gathered."""
        if self._new:
            await upsert_rows(self._rows, self._table, self._new)
        self._new = []

    async def _replace(
        self, employee_id: str, record_id: str, wanted: Sequence[Mapping[str, object]], position: int
    ) -> None:
        """Puts what an evaluation says now in the place of what it did."""
        await self.flush()
        mine = (self._table.c.employee_id == employee_id) & (self._table.c.record_id == record_id)
        await supersede(self._rows, self._table, mine, wanted, position)


def _answers(
    event: RecordCreated | RecordCorrected,
) -> list[tuple[tuple[str, str, str, str], tuple[str, int, int]]]:
    """Of each answer that applied, its columns before and behind when it was known.

    It is missed when it was not achieved in full.
    """
    record, evaluation = event.record, event.record.evaluation
    form, position = evaluation.form_id, event.outcome.policy_position
    return [
        (
            (record.employee_id, record.date, record.record_id, answer.item_id),
            (form, position, int(answer.achieved < 100)),
        )
        for answer in evaluation.answers
        if not answer.not_applicable
    ]
