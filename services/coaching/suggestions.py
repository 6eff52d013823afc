"""Read model: which suggestions there are, whose, for whom, in what state. What they say stays in LOG_RESTRICTED."""

from collections.abc import Collection, Sequence
from datetime import date

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    and_,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common.eventsourcing import Recorded
from libs.common.paging import page_size, page_start
from libs.common.projecting import ReadModel
from services.coaching.suggestion import suggestion_key
from stepladder.coaching.v1.events_pb2 import (
    SuggestionAccepted,
    SuggestionCompleted,
    SuggestionDeclined,
    SuggestionRaised,
)
from stepladder.coaching.v1.suggestion_pb2 import ListSuggestionsRequest, Suggestion


class Suggestions(ReadModel):
    """Rows: one for each suggestion, at the position of its raising in LOG_RESTRICTED."""

    name = "suggestions"
    version = 1
    subjects = ("restricted.coaching.suggestion.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.suggestions = Table(
            f"suggestions{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("suggestion_key", String, nullable=False, unique=True),
            Column("employee_id", String, nullable=False, index=True),
            Column("addressee", Integer, nullable=False),
            Column("lead_id", String, nullable=False, index=True),
            Column("about_lead", Boolean, nullable=False),
            Column("state", Integer, nullable=False),
            Column("answer_due", String(10), nullable=False),
        )
        self.tables = (self.suggestions,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            match recorded.event:
                case SuggestionRaised() as raised:
                    row = {
                        "position": recorded.position,
                        "suggestion_key": suggestion_key(raised.employee_id, raised.suggestion_id),
                        "employee_id": raised.employee_id,
                        "addressee": int(raised.addressee),
                        "lead_id": raised.lead_id,
                        "about_lead": raised.about_lead,
                        "state": int(Suggestion.STATE_RAISED),
                        "answer_due": raised.answer_due,
                    }
                    await rows.execute(insert(self.suggestions).values(row))
                case SuggestionAccepted() as accepted:
                    await self._enter(rows, accepted, Suggestion.STATE_ACCEPTED)
                case SuggestionDeclined() as declined:
                    await self._enter(rows, declined, Suggestion.STATE_DECLINED)
                case SuggestionCompleted() as completed:
                    await self._enter(rows, completed, Suggestion.STATE_DONE)

    async def _enter(
        self,
        rows: AsyncConnection,
        event: SuggestionAccepted | SuggestionDeclined | SuggestionCompleted,
        state: Suggestion.State.ValueType,
    ) -> None:
        mine = self.suggestions.c.suggestion_key == suggestion_key(event.employee_id, event.suggestion_id)
        await rows.execute(update(self.suggestions).where(mine).values(state=int(state)))

    async def waited_for(self, engine: AsyncEngine) -> list[str]:
        """The leads who were asked what nobody has answered."""
        columns = self.suggestions.c
        mine = (columns.state == int(Suggestion.STATE_RAISED), columns.addressee == int(Suggestion.ADDRESSEE_LEAD))
        async with engine.connect() as connection:
            return list(await connection.scalars(select(columns.lead_id).where(*mine).distinct()))

    async def unanswered(
        self, engine: AsyncEngine, lead_id: str, gone: Collection[str], today: date, most: int
    ) -> list[str]:
        """Aggregates' ids of what a lead was asked and nobody has answered, the earliest first.

        For an empty id: of what HR was asked, of what is overdue and may have been escalated to them, and of what leads
        were asked who are gone.
        """
        columns = self.suggestions.c
        asked = (columns.addressee == int(Suggestion.ADDRESSEE_HR)) | columns.lead_id.in_(gone)
        asked |= (columns.answer_due != "") & (columns.answer_due < today.isoformat())
        if lead_id:
            asked = (columns.addressee == int(Suggestion.ADDRESSEE_LEAD)) & (columns.lead_id == lead_id)
        query = select(columns.suggestion_key).where(columns.state == int(Suggestion.STATE_RAISED), asked)
        async with engine.connect() as connection:
            return list(await connection.scalars(query.order_by(columns.answer_due, columns.position).limit(most)))

    async def list_suggestions(
        self,
        engine: AsyncEngine,
        request: ListSuggestionsRequest,
        caller: str,
        *,
        employed: bool,
        hr: bool,
        today: date,
    ) -> list[tuple[str, int]]:
        """Aggregates' ids and positions of a page of what a caller may read, the latest first, and of one more.

        The conditions are those of `suggestion_api.held`.
        """
        columns = self.suggestions.c
        readable = [columns.employee_id == caller]
        if employed:
            readable.append(and_(columns.lead_id == caller, columns.addressee == int(Suggestion.ADDRESSEE_LEAD)))
        if hr:
            readable.append(or_(columns.lead_id != caller, ~columns.about_lead))
        query = select(columns.suggestion_key, columns.position).where(or_(*readable))
        if request.employee_id:
            query = query.where(columns.employee_id == request.employee_id)
        if request.state:
            query = query.where(columns.state == int(request.state))
        if request.overdue:
            due = (columns.answer_due != "") & (columns.answer_due < today.isoformat())
            query = query.where(columns.state == int(Suggestion.STATE_RAISED), due)
        if (start := page_start(request)) is not None:
            query = query.where(columns.position < start[0])
        async with engine.connect() as connection:
            found = await connection.execute(query.order_by(columns.position.desc()).limit(page_size(request) + 1))
            return [(row.suggestion_key, row.position) for row in found]
