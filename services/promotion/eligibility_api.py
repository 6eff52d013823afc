"""gRPC: stepladder.promotion.v1.EligibilityService."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from libs.common.days import months_between, months_later, parse_day
from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page, page_of, page_size, page_start
from libs.common.service import Service
from libs.facts.catalogue import Rules
from libs.facts.people import People
from libs.facts.promotion_rules import wrong_in_eligibility
from libs.facts.reaching import Caller, Reach, Reaches, check_related
from libs.facts.relations import Relation
from services.promotion import dry_run
from services.promotion.declarations import declared
from services.promotion.dry_run import Trial
from services.promotion.eligibilities import Eligibilities, Ground
from services.promotion.eligibility import Judged
from services.promotion.eligibility_changes import Changes
from services.promotion.ladder import ELIGIBILITY, LADDER, rung_number
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1 import eligibility_pb2 as pb

CHUNK = 500
"""Employees judged at a time while looking for those that are asked for."""
MOST_MONTHS = 60
IDLE_SECONDS = 1.0
"""How often a watch looks by itself, for changes that another instance has made."""
TELL_SECONDS = 1.0

OF_ALL = frozenset({Relation.HR, Relation.EXECUTIVE})
"""Who sees everybody's."""


class EligibilityApi:
    """Implements the service: judged when asked, over what the read models keep."""

    def __init__(
        self, service: Service, reaches: Reaches, people: People, eligibilities: Eligibilities, changes: Changes
    ) -> None:
        self._service = service
        self._reaches = reaches
        self._people = people
        self._eligibilities = eligibilities
        self._changes = changes

    async def GetEligibility(self, request: pb.GetEligibilityRequest, context: Context) -> pb.Eligibility:
        await check_related(self._service.commands, context, [request.employee_id])
        return await self._eligibilities.of(
            request.employee_id, request.ladder_id, request.rung_id, _day(request.as_of, context), request.known_at
        )

    async def ListEligibilities(
        self, request: pb.ListEligibilitiesRequest, context: Context
    ) -> pb.ListEligibilitiesResponse:
        reach, day = await self._reach(context), _day(request.as_of, context)
        ground = await self._eligibilities.ground(request.ladder_id, day)
        number = rung_number(ground.ladder, request.rung_id) if request.rung_id else 0
        after = str((page_start(request) or [""])[0])
        ids = [one for one in await self._seen(reach, ground, request.team_id) if one > after]
        found: list[str] = []
        for start in range(0, len(ids), CHUNK):
            judged = await self._next_steps(ground, ids[start : start + CHUNK], number)
            found += [one.history.employee_id for one in judged if one.eligible() or not request.eligible_only]
            if len(found) > page_size(request):
                break
        page, token = cut_page(request, found[: page_size(request) + 1], lambda one: [one])
        shown = await self._next_steps(ground, page, number, with_facts=True)
        return pb.ListEligibilitiesResponse(
            eligibilities=[one.shown(ground.known_at) for one in shown], next_page_token=token
        )

    async def WatchEligibilities(
        self, request: pb.WatchEligibilitiesRequest, context: Context
    ) -> AsyncIterator[pb.WatchEligibilitiesResponse]:
        sequence = _resumed(request.resume)
        while True:
            now = replace(context, now=self._service.now(), today=self._service.today())
            reach, seen = await self._reach(now), self._changes.latest
            everybody = _sees_all(reach.caller)
            found = await self._changes.behind(self._service, sequence, request, reach, everybody=everybody)
            for eligibility, sequence in found:
                yield pb.WatchEligibilitiesResponse(eligibility=eligibility, resume=str(sequence))
            if not found:
                await self._changes.wait(seen, IDLE_SECONDS)

    async def ListTalents(self, request: pb.ListTalentsRequest, context: Context) -> pb.ListTalentsResponse:
        reach = await self._reach(context)
        ground = await self._eligibilities.ground(request.ladder_id, context.today)
        number = rung_number(ground.ladder, request.rung_id)
        teams = await self._teams(ground)
        until = "9999-12-31"
        if request.HasField("within_months"):
            until = months_later(context.today, request.within_months).isoformat()
        found: list[pb.Talent] = []
        ids = await self._seen(reach, ground, request.team_id)
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            for one in await self._next_steps(ground, some, number, leaving_out=["vacancy"]):
                ready = one.eligible_from()
                if request.HasField("within_months") and (ready is None or ready.isoformat() > until):
                    continue
                employee_id = one.history.employee_id
                lacking = [
                    criterion for criterion in one.criteria() if not criterion.met and not criterion.waiver_position
                ]
                found.append(
                    pb.Talent(
                        employee_id=employee_id,
                        team_id=teams.get(employee_id, ""),
                        ready_from=ready.isoformat() if ready else "",
                        lacking=lacking,
                    )
                )
        page, token = page_of(request, found, lambda one: [one.ready_from or "never", one.employee_id])
        return pb.ListTalentsResponse(talents=page, next_page_token=token)

    async def DryRunEligibility(
        self, request: pb.DryRunEligibilityRequest, context: Context
    ) -> AsyncIterator[pb.DryRunEligibilityResponse]:
        names = _months(request, context.today)
        known_at, rules = await self._eligibilities.rules()
        trial = Trial(request.ladder_id, request.rung_id, _tried(request, rules), names)
        months = await dry_run.months_of(self._eligibilities, rules, trial, context.today, known_at)
        if not months:
            ladder = rules.of_kind_on(LADDER, request.ladder_id, context.today)
            rung_number(ladder, request.rung_id)
        employee_ids, told, judged = sorted(await self._people.everyone(self._service.engine)), time.monotonic(), 0
        groups_of: dict[str, Mapping[str, str]] = {}
        this_month = datetime.combine(context.today.replace(day=1), datetime.min.time(), UTC)
        async for up_to in dry_run.tried(self._eligibilities, months, employee_ids):
            if request.policy_position:  # what a flag tells costs a stored version, with the name of who stored it
                groups_of |= await declared(self._service.commands, employee_ids[judged:up_to], this_month)
            judged = up_to
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                yield pb.DryRunEligibilityResponse(employees=judged, of_employees=len(employee_ids))
        yield pb.DryRunEligibilityResponse(
            employees=judged,
            of_employees=len(employee_ids),
            months=[month.told(groups_of) for month in months],
            known_at=known_at,
        )

    async def _reach(self, context: Context) -> Reach:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        return reach

    async def _seen(self, reach: Reach, ground: Ground, team_id: str) -> list[str]:
        """Ids in order of the employees whom somebody sees, of a team's members on the day where one is asked for."""
        teams = await self._teams(ground)
        return sorted(
            one
            for one, team in teams.items()
            if team_id in ("", team) and (_sees_all(reach.caller) or one in reach.callers)
        )

    async def _teams(self, ground: Ground) -> dict[str, str]:
        """Everybody's team on a day."""
        day = ground.day.isoformat()
        spans = await self._people.memberships_between(self._service.engine, day, day, known_at=ground.known_at)
        return {one.employee_id: one.team_id for one in spans}

    async def _next_steps(
        self,
        ground: Ground,
        employee_ids: Sequence[str],
        number: int,
        *,
        with_facts: bool = False,
        leaving_out: Sequence[str] = (),
    ) -> list[Judged]:
        """Those of some employees who have a next step, onto a rung by its number where one is asked for."""
        found = await self._eligibilities.histories([ground], employee_ids, with_facts=with_facts)
        steps = [(history, ground.next_step(history)) for _, history in sorted(found.items())]
        return [
            ground.judged(history, step, leaving_out=leaving_out)
            for history, step in steps
            if step is not None and number in (0, step.number)
        ]


def _sees_all(caller: Caller) -> bool:
    return not caller.relations.isdisjoint(OF_ALL)


def _day(as_of: str, context: Context) -> date:
    return parse_day(as_of, "as_of") if as_of else context.today


def _resumed(resume: str) -> int:
    if resume and not (resume.isascii() and resume.isdigit() and len(resume) < 19):
        message = "resume is none that this service has told; leave it out to watch from the beginning"
        raise Invalid("RESUME_INVALID", message, (FieldViolation("resume", message),))
    return int(resume or 0)


def _months(request: pb.DryRunEligibilityRequest, today: date) -> list[str]:
    first, last, current = request.first_month, request.last_month, f"{today:%Y-%m}"
    for field, month in (("first_month", first), ("last_month", last)):
        if month > current:
            raise _wrong_months(field, f"must not be after the current month, {current}")
    if last < first:
        raise _wrong_months("last_month", f"must not be before {first}, the first month")
    names = months_between(first, last)
    if len(names) > MOST_MONTHS:
        raise _wrong_months("first_month", f"more than {MOST_MONTHS} months: try it on fewer")
    return names


def _wrong_months(field: str, message: str) -> Invalid:
    return Invalid("MONTHS_INVALID", f"{field}: {message}", (FieldViolation(field, message),))


def _tried(request: pb.DryRunEligibilityRequest, rules: Rules) -> Policy:
    """The version that is tried, or one made of the draft."""
    if request.HasField("rules"):
        tried = dry_run.draft(Policy(eligibility=request.rules), wrong_in_eligibility(request.rules, "rules"))
    else:
        tried = dry_run.stored(rules, ELIGIBILITY, request.policy_position)
    limits = [(i, one.kpi_limit) for i, one in enumerate(tried.eligibility.criteria) if one.HasField("kpi_limit")]
    dry_run.check_kpis(rules, [(f"rules.criteria[{i}].kpi_limit.kpi_id", one.kpi_id) for i, one in limits])
    return tried
