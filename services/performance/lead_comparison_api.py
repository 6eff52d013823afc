"""gRPC: stepladder.performance.v1.LeadComparisonService."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from libs.common.commands import Standing
from libs.common.days import ONE_DAY, Span
from libs.common.errors import NotAllowed
from libs.common.eventsourcing import Context
from libs.common.service import Service
from libs.facts.adding import Counted
from libs.facts.callers import check_employees
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.leading import Led
from libs.facts.people import People
from libs.facts.reaching import check_related
from libs.facts.readings import Readings
from libs.facts.values import decimal
from services.performance import assessment, rating
from services.performance.assessment import ASSESSMENT, MonthSpan
from services.performance.comparing import attrition, compare, count, movements
from services.performance.months import Months, months_from, span_of
from services.performance.rating import RATING, rating_id
from services.performance.scorecards import Scorecards
from services.performance.scoring import HUNDRED, ranks
from stepladder.performance.v1 import lead_comparison_pb2 as pb
from stepladder.performance.v1.assessment_pb2 import Assessment
from stepladder.performance.v1.scorecard_pb2 import AdjustmentLine, Rank, Scorecard, ScorecardLine

MOST = 5
"""Members and days named for each KPI unless the request says otherwise; as the contract says."""

Ratings: TypeAlias = Mapping[tuple[str, str], Standing[rating.State]]
"""Closed months, by employee and month."""


class LeadComparisonApi:
    """Implements the service: scorecards out of the log, what they rest on by way of the read models."""

    def __init__(
        self,
        service: Service,
        months: Months,
        people: People,
        catalogue: Catalogue,
        readings: Readings,
        scorecards: Scorecards,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._months = months
        self._people = people
        self._catalogue = catalogue
        self._readings = readings
        self._scorecards = scorecards

    async def CompareLeads(self, request: pb.CompareLeadsRequest, context: Context) -> pb.LeadComparison:
        lead_ids, known_at = request.lead_ids, request.known_at
        await check_related(self._commands, context, lead_ids)
        months = months_from(request.start_month, request.end_month)
        await check_employees(self._commands, lead_ids)
        await self._months.catch_up()
        rules = await self._catalogue.rules(self._engine, known_at)
        closed = await self._closed(lead_ids, months, known_at)
        for month in months:
            if not any((lead_id, month) in closed for lead_id in lead_ids):
                raise NotAllowed("MONTH_NOT_CLOSED", f"{month} is closed for none of them")
        cards = {
            lead_id: [closed[lead_id, month].state.scorecard for month in months if (lead_id, month) in closed]
            for lead_id in lead_ids
        }
        answer = compare(cards)
        for month in months:
            for lead, shown in zip(
                answer.leads, await self._month(lead_ids, month, closed, rules, known_at), strict=True
            ):
                lead.months.append(shown)
        span = Span(span_of(months[0]).start, span_of(months[-1]).end)
        for lead in answer.leads:
            start, end = span.start.isoformat(), span.end.isoformat()
            led = await self._people.led_by(self._engine, lead.lead_id, start, end, known_at=known_at)
            scored = [card for card in cards[lead.lead_id] if card.total]
            await self._count(lead, scored, led, rules, request)
            await self._follow_people(lead, led, span, known_at)
            lead.assessments.extend(await self._assessments(lead.lead_id, MonthSpan(months[0], months[-1]), known_at))
        return answer

    async def _closed(self, lead_ids: Collection[str], months: Sequence[str], known_at: int) -> Ratings:
        keys = {rating_id(lead_id, month): (lead_id, month) for lead_id in lead_ids for month in months}
        if known_at:
            found = {one: await self._commands.load(RATING, one, known_at) for one in keys}
        else:
            found = await self._commands.known(RATING, keys)
        return {keys[one]: standing for one, standing in found.items() if standing.state.closed}

    async def _month(
        self, lead_ids: Sequence[str], month: str, closed: Ratings, rules: Rules, known_at: int
    ) -> list[pb.ComparedMonth]:
        """A month of each lead, ranked among everyone who led a team in it and was scored under the same policy."""
        span = span_of(month)
        start, end = span.start.isoformat(), span.end.isoformat()
        leads = await self._people.leads_between(self._engine, start, end, known_at=known_at)
        totals = await self._scorecards.totals(self._engine, month, {one.employee_id for one in leads}, known_at)
        ties = rules.ties_on(span.end)
        found: list[pb.ComparedMonth] = []
        for lead_id in lead_ids:
            shown = pb.ComparedMonth(month=month)
            if (standing := closed.get((lead_id, month))) is not None:
                card = standing.state.scorecard
                shown.closed, shown.policy_id, shown.total = True, card.policy_id, card.total
                shown.rating, shown.log_position = standing.state.rating, standing.position
                among = totals.get(card.policy_id, {})
                if lead_id in among:
                    place = ranks(among, ties[card.policy_id])[lead_id]
                    shown.rank.CopyFrom(Rank(rank=place, of=len(among)))
                    not_higher = sum(total <= among[lead_id] for total in among.values())
                    shown.percentile = decimal(not_higher * HUNDRED / len(among), 1)
            found.append(shown)
        return found

    async def _count(
        self,
        lead: pb.ComparedLead,
        cards: Sequence[Scorecard],
        led: Led,
        rules: Rules,
        request: pb.CompareLeadsRequest,
    ) -> None:
        """Fills in what the lead's lines count: of what is known the facts that the scorecards name."""
        if not cards:
            return
        kpi_ids = [line.kpi_id for line in (*lead.lines, *lead.adjustments)]
        employee_ids = sorted({one for card in cards for one in card.member_ids or [lead.lead_id]})
        start, end = span_of(request.start_month).start.isoformat(), span_of(request.end_month).end.isoformat()
        readings = await self._readings.readings_of(
            self._engine, employee_ids, kpi_ids, start, end, known_at=request.known_at
        )
        teams = {card.month for card in cards if card.member_ids}
        # A leave, say, is one fact of many days, also of such on which somebody else led.
        readings = [
            one for one in readings if one.date[:7] not in teams or led.team_of(one.employee_id, one.date) is not None
        ]
        most = request.most or MOST
        scored = {card.month: [line for line in card.lines if line.score] for card in cards}
        added = {card.month: card.adjustments for card in cards}
        for lines, of_cards in ((lead.lines, scored), (lead.adjustments, added)):
            counted = _named_by(of_cards, readings)
            for line in lines:
                count(line, rules.kpis[line.kpi_id], counted.get(line.kpi_id, ()), most)

    async def _follow_people(self, lead: pb.ComparedLead, led: Led, span: Span, known_at: int) -> None:
        states = await self._months.states(led.members, known_at)
        before, end = (span.start - ONE_DAY).isoformat(), span.end.isoformat()
        spans = await self._people.memberships_between(self._engine, before, end, known_at=known_at)
        lead.attrition.CopyFrom(attrition(led, states, span))
        lead.movements.extend(movements(led, spans, states, span))

    async def _assessments(self, lead_id: str, months: MonthSpan, known_at: int) -> list[Assessment]:
        found = await self._commands.load(ASSESSMENT, lead_id, known_at)
        return [
            one
            for one in assessment.to_resources(found.state)
            if one.state != Assessment.STATE_CANCELLED and months.overlaps(MonthSpan(one.start_month, one.end_month))
        ]


def _named_by(
    lines: Mapping[str, Sequence[ScorecardLine] | Sequence[AdjustmentLine]], readings: Sequence[Counted]
) -> dict[str, list[Counted]]:
    """By KPI, the readings of each month that its lines name."""
    positions = {
        (line.kpi_id, month): set(line.fact_positions) for month, of_month in lines.items() for line in of_month
    }
    found: dict[str, list[Counted]] = {}
    for one in readings:
        if one.log_position in positions.get((one.kpi_id, one.date[:7]), ()):
            found.setdefault(one.kpi_id, []).append(one)
    return found
