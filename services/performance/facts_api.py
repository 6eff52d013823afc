"""gRPC: stepladder.performance.v1.FactsService."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import UTC

from google.protobuf.message import Message

from libs.common.access import need_to_know
from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound, Refused
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Awaited, Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, check_employees
from libs.facts.people import People
from libs.facts.reaching import Reaches, callers_to, check_related
from libs.facts.readings import Readings
from libs.facts.values import format_value, kpi_value
from services.performance.callers import Seen, refuse_own, seen_by_caller
from services.performance.employee import EMPLOYEE
from services.performance.facts import (
    FACTS,
    Key,
    changed_readings,
    check_reading,
    day_problem,
    facts_id,
    reviewers_of,
    sift,
    to_settle,
)
from services.performance.kpi import KPI
from services.performance.rating import RATING, rating_id
from services.performance.scorecards import Scorecards
from stepladder.performance.v1 import facts_pb2 as pb
from stepladder.performance.v1.kpi_pb2 import Kpi

Rejection = pb.RecordFactsResponse.Rejection

MOST_STREAM_REJECTIONS = 1000


class FactsApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        readings: Readings,
        follower: Follower,
        people: People,
        people_follower: Follower,
        scorecards: Scorecards,
        scorecards_follower: Awaited,
        reaches: Reaches,
    ) -> None:
        self._reaches = reaches
        self._commands = service.commands
        self._engine = service.engine
        self._stream = service.stream
        self._readings = readings
        self._follower = follower
        self._people = people
        self._people_follower = people_follower
        self._scorecards = scorecards
        self._scorecards_follower = scorecards_follower

    async def RecordFacts(self, request: pb.RecordFactsRequest, context: Context) -> pb.RecordFactsResponse:
        rejections, months = await self._sort(request, context)
        commands = [
            (month, pb.RecordFactsRequest(facts=[request.facts[index] for index in indices]))
            for month, indices in months.items()
        ]
        # Facts are the same by what they state: a request sent again after its rejected facts were made possible
        # (an employee hired, a KPI defined) takes those, too.
        outcomes = await self._commands.handle_all(FACTS, commands, context, by_content=True)
        answer = pb.RecordFactsResponse()
        for (_, command), indices, outcome in zip(commands, months.values(), outcomes, strict=True):
            if isinstance(outcome, Refused):
                raise outcome  # nothing that a fact can cause: the caller sends the request again
            answer.log_position = max(answer.log_position, outcome.position)
            answer.recorded += outcome.events
            if outcome.events < len(indices):  # otherwise every fact became an event
                sifted = sift(outcome.before, command.facts, context.today)
                answer.unchanged += sifted.unchanged
                rejections += [
                    Rejection(index=indices[i], reason=reason, message=text) for i, reason, text in sifted.rejected
                ]
        answer.rejections.extend(sorted(rejections, key=lambda rejection: rejection.index))
        return answer

    async def StreamFacts(
        self, requests: AsyncIterator[pb.StreamFactsRequest], context: Context
    ) -> pb.StreamFactsResponse:
        total = pb.StreamFactsResponse()
        async for request in requests:
            answer = await self.RecordFacts(request.batch, replace(context, request_id=request.batch.request_id))
            total.recorded += answer.recorded
            total.unchanged += answer.unchanged
            total.rejected += len(answer.rejections)
            room = MOST_STREAM_REJECTIONS - len(total.rejections)
            total.rejections.extend(
                pb.StreamFactsResponse.StreamRejection(batch=total.batches, rejection=rejection)
                for rejection in answer.rejections[:room]
            )
            total.log_position = max(total.log_position, answer.log_position)
            total.batches += 1
        return total

    async def CorrectFact(self, request: pb.CorrectFactRequest, context: Context) -> pb.CorrectFactResponse:
        fact = request.fact
        refuse_own(context, fact.employee_id)
        await self._check(fact.readings, fact.date, "fact.readings")
        handled = await self._commands.handle(FACTS, facts_id(fact.employee_id, fact.date), request, context)
        changed = len(changed_readings(handled.before, fact))
        return pb.CorrectFactResponse(changed=changed, log_position=handled.position)

    async def RetractFact(self, request: pb.RetractFactRequest, context: Context) -> pb.RetractFactResponse:
        refuse_own(context, request.readings.employee_id)
        return pb.RetractFactResponse(log_position=await self._on_readings(request.readings, request, context))

    async def DisputeFact(self, request: pb.DisputeFactRequest, context: Context) -> pb.DisputeFactResponse:
        await check_related(self._commands, context, [request.readings.employee_id])
        if not await self._commands.known(EMPLOYEE, [request.reviewer_id], check=False):
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {request.reviewer_id} to review it")
        return pb.DisputeFactResponse(log_position=await self._on_readings(request.readings, request, context))

    async def SettleFactDispute(
        self, request: pb.SettleFactDisputeRequest, context: Context
    ) -> pb.SettleFactDisputeResponse:
        named = request.readings
        parse_day(named.date, "readings.date")
        found = await self._commands.load(FACTS, facts_id(named.employee_id, named.date))
        reviews = caller_id(context) in reviewers_of(found.state, named)
        await check_related(self._commands, context, [named.employee_id], ["reviewer"] if reviews else [])
        await self._check(request.corrected, named.date, "corrected")
        return pb.SettleFactDisputeResponse(log_position=await self._on_readings(request.readings, request, context))

    async def ListFacts(self, request: pb.ListFactsRequest, context: Context) -> pb.ListFactsResponse:
        only = await self._only(request, context)
        _check_span(request)
        await self._follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        readings, token = cut_page(
            request,
            await self._readings.list_facts(self._engine, request, only),
            lambda one: [one.date, one.source, one.kpi_id],
        )
        return pb.ListFactsResponse(readings=readings, next_page_token=token)

    async def ListKpiResults(self, request: pb.ListKpiResultsRequest, context: Context) -> pb.ListKpiResultsResponse:
        narrow = _narrowed(request, await seen_by_caller(self._reaches, context))
        _check_span(request)
        await self._follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        await self._people_follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        group = {
            request.GROUP_BY_EMPLOYEE: lambda one: [one.employee_id, one.kpi_id],
            request.GROUP_BY_TEAM: lambda one: [one.team_id, one.kpi_id],
            request.GROUP_BY_CENTRE: lambda one: [one.kpi_id],
        }[request.group_by]
        results, token = cut_page(
            request,
            await self._readings.list_results(
                self._engine, request, self._people, among=narrow.employees, in_teams=narrow.teams
            ),
            group,
        )
        kpis = await self._commands.known(KPI, {result.kpi_id for result in results})
        for result in results:
            definition = kpis[result.kpi_id].state.kpi
            value = kpi_value(definition, result.numerator, result.denominator)
            result.value = format_value(definition, value) if value is not None else ""
        return pb.ListKpiResultsResponse(results=results, next_page_token=token)

    async def FindPosition(self, request: pb.FindPositionRequest, context: Context) -> pb.FindPositionResponse:
        moment = request.time.ToDatetime(UTC)
        if moment > context.now:
            message = "is still to come: what will be known then is not known"
            raise Invalid("TIME_INVALID", f"time {message}", (FieldViolation("time", message),))
        position = await self._stream.position_before(moment)
        if not position:
            raise NotFound("NOTHING_KNOWN", f"the log has no event from before {moment.isoformat()}")
        return pb.FindPositionResponse(log_position=position)

    async def RateMonth(self, request: pb.RateMonthRequest, context: Context) -> pb.MonthRating:
        refuse_own(context, request.employee_id)
        await check_employees(self._commands, [request.employee_id])
        handled = await self._commands.handle(RATING, rating_id(request.employee_id, request.month), request, context)
        return pb.MonthRating(
            employee_id=request.employee_id,
            month=request.month,
            rating=handled.state.rating,
            log_position=handled.position,
        )

    async def ListRatings(self, request: pb.ListRatingsRequest, context: Context) -> pb.ListRatingsResponse:
        await check_related(self._commands, context, [request.employee_id])
        await self._scorecards_follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        listed = await self._scorecards.list_ratings(self._engine, request)
        ratings, token = cut_page(request, listed, lambda one: [one.month])
        return pb.ListRatingsResponse(ratings=ratings, next_page_token=token)

    async def _only(self, request: pb.ListFactsRequest, context: Context) -> Collection[Key] | None:
        """The readings of one month that a caller is to settle who is nothing else to the employee; None: all.

        Raises Forbidden `NEED_TO_KNOW` where there are none.
        """
        (caller,) = (await callers_to(self._commands, context, [request.employee_id])).values()
        if context.admission.admits(caller.held):
            return None
        found = await self._commands.load(FACTS, facts_id(request.employee_id, request.start_date))
        last = request.end_date if request.end_date[:7] == request.start_date[:7] else ""
        keys = {key for key in to_settle(found.state, caller.employee_id) if request.start_date <= key[0] <= last}
        context.admission.check(["reviewer"] if keys else [])
        return keys

    async def _on_readings(self, named: pb.ReadingsOfDay, command: Message, context: Context) -> int:
        """Runs a command about recorded readings; answers its position."""
        parse_day(named.date, "readings.date")
        return (await self._commands.handle(FACTS, facts_id(named.employee_id, named.date), command, context)).position

    async def _check(self, readings: Sequence[pb.Reading], day: str, path: str) -> None:
        """Raises Invalid for the first reading that its KPI does not allow."""
        kpis = await self._commands.known(KPI, {reading.kpi_id for reading in readings})
        for index, reading in enumerate(readings):
            definition = kpis.get(reading.kpi_id)
            if message := check_reading(reading, definition.state.kpi if definition else None, day):
                raise Invalid("READING_INVALID", message, (FieldViolation(f"{path}[{index}]", message),))

    async def _sort(
        self, request: pb.RecordFactsRequest, context: Context
    ) -> tuple[list[Rejection], dict[str, list[int]]]:
        """Facts that cannot be taken whatever is recorded, and the indices of the others by aggregate."""
        facts = request.facts
        employees = await self._commands.known(EMPLOYEE, {fact.employee_id for fact in facts}, check=False)
        standings = await self._commands.known(KPI, {r.kpi_id for fact in facts for r in fact.readings}, check=False)
        kpis = {kpi_id: standing.state.kpi for kpi_id, standing in standings.items()}
        rejections: list[Rejection] = []
        months: dict[str, list[int]] = {}
        for index, fact in enumerate(facts):
            reason, message = "", ""
            if fact.employee_id not in employees:
                reason, message = "EMPLOYEE_NOT_FOUND", f"there is no employee {fact.employee_id}"
            elif message := day_problem(fact.date, context.today):
                reason = "DATE_INVALID"
            else:
                reason, message = _fault(fact, kpis)
            if reason:
                rejections.append(Rejection(index=index, reason=reason, message=message))
            else:
                months.setdefault(facts_id(fact.employee_id, fact.date), []).append(index)
        return rejections, months


def _fault(fact: pb.Fact, kpis: dict[str, Kpi]) -> tuple[str, str]:
    """Reason and message of the first reading that contradicts its KPI's definition; empty when none does."""
    for reading in fact.readings:
        kpi_id = reading.kpi_id
        if (kpi := kpis.get(kpi_id)) is None:
            return "KPI_NOT_FOUND", f"there is no KPI {kpi_id}"
        if message := check_reading(reading, kpi, fact.date):
            return "READING_INVALID", f"{kpi_id}: {message}"
    return "", ""


def _narrowed(request: pb.ListKpiResultsRequest, seen: Seen) -> Seen:
    """Whom results are taken from. Raises Forbidden `NEED_TO_KNOW` for somebody, or a sum, not for them to see."""
    if seen.employees is None or seen.teams is None or request.employee_id in seen.employees:
        return Seen()
    if not request.employee_id:
        if request.group_by == request.GROUP_BY_EMPLOYEE:
            return Seen(employees=seen.employees)
        if request.team_id in seen.teams:
            return Seen()
        if request.group_by == request.GROUP_BY_TEAM and not request.team_id:
            return Seen(teams=seen.teams)
    raise need_to_know()


def _check_span(request: pb.ListFactsRequest | pb.ListKpiResultsRequest) -> None:
    start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
    if end < start:
        message = f"the last day {end} is before the first day {start}"
        raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
