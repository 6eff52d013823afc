"""Read model: which candidacies there are, whose, in what state; who is on which panel, and who objected to whom."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date

from google.protobuf.message import Message
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.database import all_rows
from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from libs.facts.reaching import Reach
from libs.facts.relations import Relation
from services.promotion.candidacy_state import Stage
from stepladder.promotion.v1.candidacy_pb2 import Candidacy, ListCandidaciesRequest
from stepladder.promotion.v1.events_pb2 import (
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyDrifted,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    LeadReviewed,
    LetterIssued,
    ManagerReviewed,
    ObjectionRaised,
    PanelSet,
    PostTrainingPassed,
    TrialEnded,
)

ENTERED: Mapping[type[Message], Stage] = {
    LeadReviewed: Candidacy.STATE_LEAD_REVIEWED,
    ManagerReviewed: Candidacy.STATE_MANAGER_REVIEWED,
    CandidacyScored: Candidacy.STATE_SCORED,
    CandidacyApproved: Candidacy.STATE_APPROVED,
    LetterIssued: Candidacy.STATE_LETTER_ISSUED,
    PostTrainingPassed: Candidacy.STATE_TRAINED,
    CandidacyAppointed: Candidacy.STATE_APPOINTED,
    CandidacyWithdrawn: Candidacy.STATE_WITHDRAWN,
    CandidacyRejected: Candidacy.STATE_REJECTED,
    CandidacyNotSelected: Candidacy.STATE_NOT_SELECTED,
}
"""The state that an event leads to, whatever it says."""


class Candidacies(ReadModel):
    """Rows: one for each candidacy, at the position of its application; panels' interviewers; objections."""

    name = "candidacies"
    version = 2
    subjects = ("log.promotion.candidacy.*", "log.promotion.competition.*")

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.candidacies = Table(
            f"candidacies{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("candidacy_id", String, nullable=False, unique=True),
            Column("competition_id", String, nullable=False, index=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("state", Integer, nullable=False),
            Column("two_levels", Boolean, nullable=False),
            Column("lead_id", String, nullable=False),  # of the day of the application, as the manager
            Column("manager_id", String, nullable=False),
            Column(
                "calendar_id", String, nullable=False
            ),  # by which the notice is counted; empty: by none, or not listed
            Column("ended_date", String(10), nullable=False),  # by UTC; empty while it runs
            Column("drifted", Boolean, nullable=False),
        )
        self.panels = Table(
            f"panels{suffix}",
            metadata,
            Column("competition_id", String, primary_key=True),
            Column("interviewer_id", String, primary_key=True, index=True),
        )
        self.objections = Table(
            f"objections{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("employee_id", String, nullable=False, index=True),
            Column("raised_by", String, nullable=False),
        )
        self.tables = (self.candidacies, self.panels, self.objections)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            await self._take(rows, recorded)

    async def _take(self, rows: AsyncConnection, recorded: Recorded) -> None:
        event = recorded.event
        candidacy_id = recorded.subject.rpartition(".")[2]
        match event:
            case CandidacyApplied():
                row = {"position": recorded.position, "candidacy_id": candidacy_id}
                row |= {"competition_id": event.competition_id, "employee_id": event.employee_id}
                row |= {"state": int(Candidacy.STATE_APPLIED), "two_levels": event.two_levels}
                row |= {"lead_id": event.lead_id, "manager_id": event.manager_id, "calendar_id": ""}
                row |= {"ended_date": "", "drifted": False}
                await rows.execute(insert(self.candidacies).values(row))
            case CandidacyListed(calendar_id=calendar_id):
                await self._enter(rows, recorded, Candidacy.STATE_LISTED, calendar_id)
            case TrialEnded(passed=passed):
                ended = Candidacy.STATE_CONFIRMED if passed else Candidacy.STATE_RETURNED
                await self._enter(rows, recorded, ended)
            case CandidacyDrifted():
                drifted = any(event.HasField(name) for name in ("eligibility", "score", "displacement"))
                mine = self.candidacies.c.candidacy_id == candidacy_id
                await rows.execute(update(self.candidacies).where(mine).values(drifted=drifted))
            case ObjectionRaised(employee_id=employee_id, raised_by=actor):
                row = {"position": recorded.position, "employee_id": employee_id, "raised_by": actor}
                await rows.execute(insert(self.objections).values(row))
            case PanelSet(competition_id=competition_id, interviewer_ids=interviewer_ids):
                await rows.execute(delete(self.panels).where(self.panels.c.competition_id == competition_id))
                panel = [{"competition_id": competition_id, "interviewer_id": one} for one in interviewer_ids]
                await rows.execute(insert(self.panels), panel)
        if (stage := ENTERED.get(type(event))) is not None:
            await self._enter(rows, recorded, stage)

    async def _enter(self, rows: AsyncConnection, recorded: Recorded, stage: Stage, calendar_id: str = "") -> None:
        mine = self.candidacies.c.candidacy_id == recorded.subject.rpartition(".")[2]
        day = recorded.envelope.time.ToDatetime(UTC).date().isoformat()
        ended = day if stage >= Candidacy.STATE_CONFIRMED else ""
        entered = update(self.candidacies).where(mine)
        await rows.execute(entered.values(state=int(stage), calendar_id=calendar_id, ended_date=ended))

    async def list_candidacies(
        self, engine: AsyncEngine, request: ListCandidaciesRequest, reach: Reach
    ) -> list[tuple[int, str]]:
        """Positions and ids of a page, the latest first, one more than asked for when there are more.

        Of those that somebody might see: what they are to each is told by its rights.
        """
        columns = self.candidacies.c
        query = select(columns.position, columns.candidacy_id).where(self._might_see(reach))
        for column, wanted in (
            (columns.competition_id, request.competition_id),
            (columns.employee_id, request.employee_id),
            (columns.state, int(request.state)),
        ):
            if wanted:
                query = query.where(column == wanted)
        if request.drifted_only:
            query = query.where(columns.drifted)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        query = query.order_by(columns.position.desc()).limit(page_size(request) + 1)
        return [(row.position, row.candidacy_id) for row in await all_rows(engine, query)]

    def _might_see(self, reach: Reach) -> ColumnElement[bool]:
        """Their own; and where they do not compete, of whom they lead or led, on their panels, or everybody's."""
        columns, panels, me = self.candidacies.c, self.panels.c, reach.caller.employee_id
        competing = select(columns.competition_id).where(columns.employee_id == me)
        judging = select(panels.competition_id).where(panels.interviewer_id == me)
        others = [reach.of(columns.employee_id), columns.lead_id == me, columns.manager_id == me]
        others.append(columns.competition_id.in_(judging))
        if Relation.EXECUTIVE in reach.caller.relations:
            others.append(columns.two_levels)
        return or_(columns.employee_id == me, or_(*others) & columns.competition_id.not_in(competing))

    async def of_competition(self, engine: AsyncEngine, competition_id: str) -> list[str]:
        """Ids of all of a competition, in the order of the applications."""
        columns = self.candidacies.c
        query = select(columns.candidacy_id).where(columns.competition_id == competition_id)
        return [row.candidacy_id for row in await all_rows(engine, query.order_by(columns.position))]

    async def resting_on(self, engine: AsyncEngine, changed: Mapping[str, int], since: date) -> set[str]:
        """Ids of those that run, or ended on a day or later, of employees of whom a fact lies in the log behind them.

        `changed`: by employee, the position of the last such fact.
        """
        columns = self.candidacies.c
        query = select(columns.candidacy_id, columns.employee_id, columns.position).where(
            columns.employee_id.in_(changed), or_(columns.ended_date == "", columns.ended_date >= since.isoformat())
        )
        return {row.candidacy_id for row in await all_rows(engine, query) if row.position < changed[row.employee_id]}

    async def counted_by(self, engine: AsyncEngine, calendar_id: str) -> list[str]:
        """Ids of those that are listed, and whose notice is counted by a calendar."""
        columns = self.candidacies.c
        query = select(columns.candidacy_id).where(columns.calendar_id == calendar_id)
        return [row.candidacy_id for row in await all_rows(engine, query.order_by(columns.position))]

    async def objected(self, engine: AsyncEngine, employee_ids: Collection[str], actor: str) -> frozenset[str]:
        """To whom of some employees somebody has ever objected."""
        columns = self.objections.c
        query = select(columns.employee_id).where(columns.employee_id.in_(employee_ids), columns.raised_by == actor)
        return frozenset(row.employee_id for row in await all_rows(engine, query))
