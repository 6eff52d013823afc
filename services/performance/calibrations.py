"""Read model: calibration rounds by day, whose they are, and how far each reviewer was off in those that count."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, MetaData, String, Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.knowing import content_of, knowledge_columns, known, supersede
from services.performance.calibration import deviations
from stepladder.performance.v1.calibration_pb2 import (
    Calibration,
    ListCalibrationsRequest,
    ListReviewerDriftRequest,
)
from stepladder.performance.v1.events_pb2 import CalibrationClosed, CalibrationOpened, CalibrationRetracted


class Deviation(NamedTuple):
    """How far a reviewer was off in a round, in points."""

    reviewer_id: str
    date: str
    points: Fraction


class Calibrations(ReadModel):
    """Rows: one for each round and reviewer, with the deviation as a fraction; over 0 while it does not count."""

    name = "calibrations"
    version = 1
    subjects = ("log.performance.calibration.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.reviews = Table(
            f"calibration_reviews{suffix}",
            metadata,
            Column("calibration_id", String, primary_key=True),
            Column("reviewer_id", String, primary_key=True, index=True),
            *knowledge_columns(),
            Column("employee_id", String, nullable=False),
            Column("date", String(10), nullable=False, index=True),
            Column("numerator", BigInteger, nullable=False),
            Column("denominator", BigInteger, nullable=False),
        )
        self.tables = (self.reviews,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case CalibrationOpened(calibration=calibration):
                    await self._keep(rows, calibration, {}, recorded.position)
                case CalibrationClosed(calibration=calibration, result=result):
                    await self._keep(rows, calibration, deviations(calibration, result), recorded.position)
                case CalibrationRetracted(calibration_id=calibration_id):
                    mine = self.reviews.c.calibration_id == calibration_id
                    found = (await rows.execute(select(self.reviews).where(mine, known(self.reviews)))).all()
                    wanted = [{**content_of(row), "numerator": 0, "denominator": 0} for row in found]
                    await supersede(rows, self.reviews, mine, wanted, recorded.position)

    async def _keep(
        self, rows: AsyncConnection, calibration: Calibration, found: Mapping[str, Fraction], position: int
    ) -> None:
        wanted = [
            {
                "calibration_id": calibration.calibration_id,
                "reviewer_id": reviewer_id,
                "employee_id": calibration.employee_id,
                "date": calibration.date,
                "numerator": found[reviewer_id].numerator if reviewer_id in found else 0,
                "denominator": found[reviewer_id].denominator if reviewer_id in found else 0,
            }
            for reviewer_id in calibration.reviewer_ids
        ]
        mine = self.reviews.c.calibration_id == calibration.calibration_id
        await supersede(rows, self.reviews, mine, wanted, position)

    async def has_reviewer(self, engine: AsyncEngine, reviewer_id: str) -> bool:
        """Whether somebody is a reviewer of any round."""
        query = select(self.reviews.c.reviewer_id).where(self.reviews.c.reviewer_id == reviewer_id).limit(1)
        async with engine.connect() as connection:
            return await connection.scalar(query) is not None

    async def list_calibrations(
        self, engine: AsyncEngine, request: ListCalibrationsRequest, reviewed_by: str = ""
    ) -> list[tuple[str, str]]:
        """Days and ids of a page of rounds, one more than asked for when there are more.

        `reviewed_by`: only rounds that they score; empty: all.
        """
        columns = self.reviews.c
        key = (columns.date, columns.calibration_id)
        query = select(*key).distinct().where(known(self.reviews)).order_by(*key).limit(page_size(request) + 1)
        for column, wanted in (
            (columns.employee_id, request.employee_id),
            (columns.reviewer_id, request.reviewer_id),
        ):
            if wanted:
                query = query.where(column == wanted)
        if reviewed_by:
            own = select(columns.calibration_id).where(columns.reviewer_id == reviewed_by, known(self.reviews))
            query = query.where(columns.calibration_id.in_(own))
        if request.start_date:
            query = query.where(columns.date >= request.start_date)
        if request.end_date:
            query = query.where(columns.date <= request.end_date)
        if (start := page_start(request)) is not None:
            query = query.where(tuple_(*key) > tuple_(*start))
        async with engine.connect() as connection:
            return [(row.date, row.calibration_id) for row in await connection.execute(query)]

    async def deviations_of(
        self, engine: AsyncEngine, request: ListReviewerDriftRequest
    ) -> dict[str, Sequence[Deviation]]:
        """By day, how far each of a page of reviewers was off; one reviewer more than asked for when there are more."""
        columns = self.reviews.c
        counting = (
            known(self.reviews, request.known_at),
            columns.denominator > 0,
            columns.date >= request.start_date,
            columns.date <= request.end_date,
        )
        listed = select(columns.reviewer_id).distinct().where(*counting).order_by(columns.reviewer_id)
        if request.reviewer_id:
            listed = listed.where(columns.reviewer_id == request.reviewer_id)
        if (start := page_start(request)) is not None:
            listed = listed.where(columns.reviewer_id > start[0])
        # One statement: between two, all rounds of a reviewer could be taken back.
        page = columns.reviewer_id.in_(listed.limit(page_size(request) + 1))
        query = select(self.reviews).where(*counting, page).order_by(columns.reviewer_id, columns.date)
        found: dict[str, list[Deviation]] = {}
        async with engine.connect() as connection:
            for row in await connection.execute(query):
                points = Fraction(row.numerator, row.denominator)
                found.setdefault(row.reviewer_id, []).append(Deviation(row.reviewer_id, row.date, points))
        return dict(found)
