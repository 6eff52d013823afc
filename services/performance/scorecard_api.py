"""gRPC: stepladder.performance.v1.ScorecardService."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotAllowed, NotFound, Refused
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page, page_size, page_start
from libs.common.projecting import Awaited
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import check_employees
from libs.facts.catalogue import Catalogue
from libs.facts.reaching import check_over, check_related
from services.performance import rating
from services.performance.months import Months, span_of
from services.performance.rating import RATING, rating_id
from services.performance.scorecards import Scorecards
from services.performance.team import TEAM
from stepladder.performance.v1 import scorecard_pb2 as pb
from stepladder.performance.v1.policy_pb2 import ScorecardPolicy

Skipped = pb.CloseMonthResponse.Skipped

AT_ONCE = 100
"""Months of employees that are computed and closed together."""


class ScorecardApi:
    """Implements the service."""

    def __init__(
        self, service: Service, months: Months, catalogue: Catalogue, scorecards: Scorecards, follower: Awaited
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._months = months
        self._catalogue = catalogue
        self._scorecards = scorecards
        self._follower = follower

    async def GetScorecard(self, request: pb.GetScorecardRequest, context: Context) -> pb.MonthlyScorecard:
        employee_id, month, known_at = request.employee_id, request.month, request.known_at
        await check_related(self._commands, context, [employee_id])
        aggregate_id = rating_id(employee_id, month)
        found = await self._commands.load(RATING, aggregate_id, known_at)
        shown = rating.to_resource(found.state, found.position)
        if shown.closed:
            await self._follower.wait_for(max(request.at_least or found.position, known_at), AT_LEAST_SECONDS)
            ties = await self._ties(month, known_at)
            for ranked in await self._scorecards.ranked(self._engine, month, ties, known_at, employee_id=employee_id):
                shown.team_rank.CopyFrom(ranked.team_rank)
                shown.centre_rank.CopyFrom(ranked.centre_rank)
            return shown
        await check_employees(self._commands, [employee_id])
        until = parse_day(request.as_of, "as_of") if request.as_of else None
        span = span_of(month)
        if until and not span.start <= until <= span.end:
            message = f"{until} does not lie in {month}"
            raise Invalid("DATE_INVALID", message, (FieldViolation("as_of", message),))
        computed = await self._months.compute([employee_id], month, known_at=known_at, until=until)
        if employee_id in computed.without_policy:
            raise NotAllowed("NO_SCORECARD_POLICY", f"no scorecard policy fits {employee_id} in {month}")
        if employee_id not in computed.cards:
            raise NotAllowed("NOT_EMPLOYED", f"{employee_id} was not employed in {month}")
        shown.employee_id, shown.month = employee_id, month
        shown.scorecard.CopyFrom(computed.cards[employee_id])
        return shown

    async def ListScorecards(self, request: pb.ListScorecardsRequest, context: Context) -> pb.ListScorecardsResponse:
        await check_over(self._commands, context, request.team_id)
        await self._follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        ties = await self._ties(request.month, request.known_at)
        start = page_start(request)
        first = int(start[0]) if start else 0
        ranked = await self._scorecards.ranked(
            self._engine,
            request.month,
            ties,
            request.known_at,
            team_id=request.team_id,
            first=first,
            limit=page_size(request) + 1,
        )
        page, token = cut_page(request, list(enumerate(ranked, first + 1)), lambda one: [one[0]])
        return pb.ListScorecardsResponse(scorecards=[card for _, card in page], next_page_token=token)

    async def CloseMonth(self, request: pb.CloseMonthRequest, context: Context) -> pb.CloseMonthResponse:
        await check_over(self._commands, context, request.team_id)
        span = span_of(request.month)
        if span.end >= context.today:
            raise NotAllowed("MONTH_NOT_OVER", f"{request.month} lasts until {span.end}")
        if request.team_id and not await self._commands.known(TEAM, [request.team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        included = await self._months.catch_up()
        employee_ids = await self._months.employees_in(request.month)
        answer = pb.CloseMonthResponse()
        for start in range(0, len(employee_ids), AT_ONCE):
            await self._close(request, employee_ids[start : start + AT_ONCE], included, context, answer)
        return answer

    async def ProposeRating(self, request: pb.ProposeRatingRequest, context: Context) -> pb.MonthlyScorecard:
        return await self._calibrate(request.employee_id, request.month, request, context)

    async def DecideRating(self, request: pb.DecideRatingRequest, context: Context) -> pb.MonthlyScorecard:
        return await self._calibrate(request.employee_id, request.month, request, context)

    async def _calibrate(self, employee_id: str, month: str, command: Message, context: Context) -> pb.MonthlyScorecard:
        await check_related(self._commands, context, [employee_id])
        handled = await self._commands.handle(RATING, rating_id(employee_id, month), command, context)
        return rating.to_resource(handled.state, handled.position)

    async def _close(
        self,
        request: pb.CloseMonthRequest,
        employee_ids: Sequence[str],
        included: int,
        context: Context,
        answer: pb.CloseMonthResponse,
    ) -> None:
        """Closes the month of some employees. What is closed already is left alone, whatever would come out now."""
        month = request.month
        computed = await self._months.compute(employee_ids, month, team_id=request.team_id, included=included)
        commands = [
            (
                rating_id(employee_id, month),
                pb.CloseScorecard(
                    scorecard=card, known_at=computed.known_at, led_ids=computed.led_ids.get(employee_id, ())
                ),
            )
            for employee_id, card in computed.cards.items()
        ]
        # The same request again closes what has become possible since; nothing is closed twice, whatever its id.
        outcomes = await self._commands.handle_all(RATING, commands, replace(context, request_id=""))
        for (_, command), outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, Refused):
                if outcome.reason != "RATED_ELSEWHERE":
                    raise outcome
                answer.skipped.append(Skipped(employee_id=command.scorecard.employee_id, reason=outcome.reason))
                continue
            answer.closed += outcome.events
            answer.unchanged += 1 - outcome.events
            answer.log_position = max(answer.log_position, outcome.position)
        answer.skipped.extend(
            Skipped(employee_id=employee_id, reason="NO_SCORECARD_POLICY") for employee_id in computed.without_policy
        )

    async def _ties(self, month: str, known_at: int) -> Mapping[str, ScorecardPolicy.Ties.ValueType]:
        return (await self._catalogue.rules(self._engine, known_at)).ties_on(span_of(month).end)
