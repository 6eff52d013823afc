"""Read model: what came of candidates at each stage of their competition, for selection rates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    String,
    Table,
    exists,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import upsert
from libs.common.errors import NotFound
from libs.common.eventsourcing import Recorded
from libs.common.projecting import ReadModel
from services.promotion.fairness import Stage
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    CompetitionClosed,
    CompetitionOpened,
    CycleClosed,
    CycleOpened,
    InterviewScored,
    LeadReviewed,
    ManagerReviewed,
    TrialEnded,
)
from stepladder.promotion.v1.fairness_pb2 import GetFairnessRequest, StageRates
from stepladder.promotion.v1.scoring_pb2 import DryRunRankingRequest

RUNNING, WITHDREW, REFUSED = "running", "withdrew", "refused"
"""How a candidacy ended, or that it did not. An appointed one runs for ever."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A candidacy, and what came of the stages that it came to."""

    employee_id: str
    end: str
    found: Mapping[Stage.ValueType, bool]


@dataclass(frozen=True, slots=True)
class Held:
    """A competition that was not cancelled.

    Attributes:
        rules_position: of the version of its rules.
        applications_closed: when that was said; None: they are open.
        closed: nothing is decided in it any more, but the trials of those who were appointed.
    """

    competition_id: str
    cycle_id: str
    rules_position: int
    applications_closed: datetime | None
    closed: bool


class Stages(ReadModel):
    """Rows: cycles, competitions, candidacies, and for each of these what came of a stage."""

    name = "stages"
    version = 3
    subjects = ("log.promotion.cycle.*", "log.promotion.competition.*", "log.promotion.candidacy.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.cycles = Table(
            f"staged_cycles{suffix}",
            metadata,
            Column("cycle_id", String, primary_key=True),
            Column("year", Integer, nullable=False, index=True),
            Column("closed", Boolean, nullable=False),
        )
        self.competitions = Table(
            f"staged_competitions{suffix}",
            metadata,
            Column("competition_id", String, primary_key=True),
            Column("cycle_id", String, nullable=False, index=True),
            Column("rules_position", BigInteger, nullable=False),
            Column("applications_closed", String, nullable=False),
            Column("closed", Boolean, nullable=False),
            Column("cancelled", Boolean, nullable=False),
        )
        self.candidacies = Table(
            f"staged_candidacies{suffix}",
            metadata,
            Column("candidacy_id", String, primary_key=True),
            Column("competition_id", String, nullable=False, index=True),
            Column("employee_id", String, nullable=False),
            Column("ended", String, nullable=False),
        )
        self.outcomes = Table(
            f"stage_outcomes{suffix}",
            metadata,
            Column("candidacy_id", String, primary_key=True),
            Column("stage", Integer, primary_key=True, autoincrement=False),
            Column("passed", Boolean, nullable=False),
        )
        self.tables = (self.cycles, self.competitions, self.candidacies, self.outcomes)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case CycleOpened(cycle_id=cycle_id, opened_date=day):
                    await rows.execute(insert(self.cycles).values(cycle_id=cycle_id, year=int(day[:4]), closed=False))
                case CycleClosed(cycle_id=cycle_id):
                    await rows.execute(
                        update(self.cycles).where(self.cycles.c.cycle_id == cycle_id).values(closed=True)
                    )
                case CompetitionOpened(competition_id=competition_id) as opened:
                    row = {"competition_id": competition_id, "cycle_id": opened.cycle_id, "cancelled": False}
                    row |= {"rules_position": opened.rules_position, "applications_closed": "", "closed": False}
                    await rows.execute(insert(self.competitions).values(row))
                case ApplicationsClosed(competition_id=competition_id):
                    mine = self.competitions.c.competition_id == competition_id
                    time = recorded.envelope.time.ToDatetime(UTC).isoformat()
                    await rows.execute(update(self.competitions).where(mine).values(applications_closed=time))
                case CompetitionClosed(competition_id=competition_id, cancelled=cancelled):
                    mine = self.competitions.c.competition_id == competition_id
                    await rows.execute(update(self.competitions).where(mine).values(closed=True, cancelled=cancelled))
                case CandidacyApplied(candidacy_id=candidacy_id) as applied:
                    row = {"candidacy_id": candidacy_id, "competition_id": applied.competition_id, "ended": RUNNING}
                    await rows.execute(insert(self.candidacies).values(row | {"employee_id": applied.employee_id}))
                case LeadReviewed(candidacy_id=candidacy_id, recommended=passed):
                    await self._note(rows, candidacy_id, StageRates.STAGE_RECOMMENDED, passed)
                case ManagerReviewed(candidacy_id=candidacy_id, approved=passed):
                    await self._note(rows, candidacy_id, StageRates.STAGE_MANAGER_APPROVED, passed)
                # Whoever is ranked has come through: where the rules have no interview, nothing else says so.
                case InterviewScored(candidacy_id=candidacy_id) | CandidacyScored(candidacy_id=candidacy_id):
                    await self._note(rows, candidacy_id, StageRates.STAGE_INTERVIEWED)
                case CandidacyListed(candidacy_id=candidacy_id):
                    await self._note(rows, candidacy_id, StageRates.STAGE_LISTED)
                case CandidacyApproved(candidacy_id=candidacy_id):
                    await self._note(rows, candidacy_id, StageRates.STAGE_APPROVED)
                case CandidacyAppointed(candidacy_id=candidacy_id):
                    await self._note(rows, candidacy_id, StageRates.STAGE_APPOINTED)
                case TrialEnded(candidacy_id=candidacy_id, passed=passed):
                    await self._note(rows, candidacy_id, StageRates.STAGE_CONFIRMED, passed)
                case CandidacyWithdrawn(candidacy_id=candidacy_id):
                    await self._end(rows, candidacy_id, WITHDREW)
                case CandidacyRejected(candidacy_id=candidacy_id) | CandidacyNotSelected(candidacy_id=candidacy_id):
                    await self._end(rows, candidacy_id, REFUSED)

    async def _note(
        self, rows: AsyncConnection, candidacy_id: str, stage: Stage.ValueType, passed: bool = True
    ) -> None:
        row = {"candidacy_id": candidacy_id, "stage": int(stage), "passed": passed}
        await rows.execute(upsert(self.outcomes, rows), row)

    async def _end(self, rows: AsyncConnection, candidacy_id: str, ended: str) -> None:
        mine = self.candidacies.c.candidacy_id == candidacy_id
        await rows.execute(update(self.candidacies).where(mine).values(ended=ended))

    async def held(self, engine: AsyncEngine, request: GetFairnessRequest | DryRunRankingRequest) -> list[Held]:
        """Those of the unit asked about, by id. Raises NotFound `COMPETITION_NOT_FOUND`, `CYCLE_NOT_FOUND`."""
        columns = self.competitions.c
        there: ColumnElement[bool] = true()
        match request.WhichOneof("unit"):
            case "competition_id":
                asked = columns.competition_id == request.competition_id
                there = exists().where(asked)
            case "cycle_id":
                asked = columns.cycle_id == request.cycle_id
                there = exists().where(self.cycles.c.cycle_id == request.cycle_id)
            case _:
                cycles = select(self.cycles.c.cycle_id).where(self.cycles.c.year == request.year)
                asked = columns.cycle_id.in_(cycles)
        query = select(self.competitions).where(asked, columns.cancelled.is_(False)).order_by(columns.competition_id)
        async with engine.connect() as connection:
            if not await connection.scalar(select(there)):
                what, _, _ = (request.WhichOneof("unit") or "").partition("_")
                message = f"there is no {what} {request.competition_id or request.cycle_id}"
                raise NotFound(f"{what.upper()}_NOT_FOUND", message)
            rows = (await connection.execute(query)).all()
            return [
                Held(
                    row.competition_id,
                    row.cycle_id,
                    row.rules_position,
                    datetime.fromisoformat(row.applications_closed) if row.applications_closed else None,
                    row.closed,
                )
                for row in rows
            ]

    async def takes_no_more(self, engine: AsyncEngine, request: GetFairnessRequest, today: date) -> bool:
        """Whether no competition can be opened any more in the unit asked about."""
        cycles = self.cycles.c
        if request.HasField("competition_id"):
            return True
        if request.HasField("year") and request.year >= today.year:
            return False
        mine = cycles.cycle_id == request.cycle_id if request.cycle_id else cycles.year == request.year
        async with engine.connect() as connection:
            return not await connection.scalar(select(exists().where(mine, cycles.closed.is_(False))))

    async def staged(self, engine: AsyncEngine, competition_ids: Sequence[str]) -> dict[str, list[Staged]]:
        """Everybody who applied, by competition."""
        columns = self.candidacies.c
        mine = columns.competition_id.in_(competition_ids)
        found: dict[str, dict[Stage.ValueType, bool]] = defaultdict(dict)
        competitions: dict[str, list[Staged]] = defaultdict(list)
        outcomes = select(self.outcomes).join(self.candidacies, columns.candidacy_id == self.outcomes.c.candidacy_id)
        async with engine.connect() as connection:
            for row in await connection.execute(outcomes.where(mine)):
                found[row.candidacy_id][row.stage] = row.passed
            for row in await connection.execute(select(self.candidacies).where(mine)):
                competitions[row.competition_id].append(Staged(row.employee_id, row.ended, found[row.candidacy_id]))
        return competitions
