"""Rows of two times (D11): each says what is true from some day on, and between which positions it was known."""

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, Column, ColumnElement, Row, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

NEVER = 2**63 - 1
"""`superseded` of what still holds."""


def knowledge_columns() -> tuple[Column[int], Column[int]]:
    """Position of the event that made the row known, and of the one that superseded it."""
    return (
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("superseded", BigInteger, nullable=False),
    )


def known(table: Table, known_at: int = 0) -> ColumnElement[bool]:
    """Chooses the rows that were known when the log ended at a position; 0: that are known now."""
    if not known_at:
        return table.c.superseded == NEVER
    return (table.c.position <= known_at) & (table.c.superseded > known_at)


def content_of(row: Row[tuple[object, ...]]) -> dict[str, object]:
    """A row without when it was known."""
    return {name: value for name, value in row._mapping.items() if name not in ("position", "superseded")}


async def supersede(
    rows: AsyncConnection,
    table: Table,
    mine: ColumnElement[bool],
    wanted: Sequence[Mapping[str, object]],
    position: int,
) -> list[Mapping[str, object]]:
    """Makes `wanted` the known rows among `mine`, as of an event: others are superseded by it, equal ones stay.

    Answers the rows that are known no longer, and those that are new.
    """
    changed: list[Mapping[str, object]] = []
    current = (await rows.execute(select(table).where(mine, known(table)))).all()
    left: list[Mapping[str, object]] = list(wanted)
    for row in current:
        content = content_of(row)
        if content in left:
            left.remove(content)
            continue
        changed.append(content)
        key = [column == row._mapping[column.name] for column in table.primary_key.columns]
        await rows.execute(update(table).where(*key).values(superseded=position))
    if left:
        await rows.execute(insert(table), [{**one, "position": position, "superseded": NEVER} for one in left])
    return changed + left
