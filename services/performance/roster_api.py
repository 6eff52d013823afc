"""gRPC: stepladder.performance.v1.AtRiskService."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from google.api.httpbody_pb2 import HttpBody

from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.documents.files import file_of
from libs.facts.adding import Counted
from libs.facts.audit import audited
from libs.facts.callers import caller_id, check_employees, directory_around
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.check_ins import CheckIns
from libs.facts.conduct import Offending
from libs.facts.employee import State
from libs.facts.people import People
from libs.facts.reaching import check_over, check_related
from libs.facts.readings import Readings
from libs.facts.scope import narrowest
from libs.facts.violations import Violations
from services.performance import check_in, detection, risk_review, roster
from services.performance.check_in import CHECK_IN, CHECK_IN_READS, check_in_key
from services.performance.detection import DETECTION
from services.performance.detections import Detections
from services.performance.employee import EMPLOYEE
from services.performance.facts import day_problem
from services.performance.months import Months
from services.performance.policy import kpis_of
from services.performance.risk_review import RISK_REVIEW, reviews_key
from services.performance.roster import Seen
from services.performance.roster_document import roster_document
from services.performance.scorecards import Scorecards
from services.performance.team import TEAM
from services.performance.trigger import Known
from stepladder.performance.v1 import roster_pb2 as pb
from stepladder.performance.v1.check_in_pb2 import CheckIn
from stepladder.performance.v1.policy_pb2 import Policy

REVIEWERS = frozenset({"lead", "hr"})
"""Who sees all of a roster, also what is made of check-ins."""
AT_ONCE = 100
"""Employees looked at together."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """An employee whose signals are looked at: in which team they are, and under which policy."""

    team_id: str
    policy: Policy


class AtRiskApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        months: Months,
        people: People,
        catalogue: Catalogue,
        readings: Readings,
        violations: Violations,
        scorecards: Scorecards,
        detections: Detections,
        check_ins: CheckIns,
        at_check_ins: Follower,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._months = months
        self._people = people
        self._catalogue = catalogue
        self._readings = readings
        self._violations = violations
        self._scorecards = scorecards
        self._detections = detections
        self._check_ins = check_ins
        self._at_check_ins = at_check_ins

    async def GetAtRiskRoster(self, request: pb.GetAtRiskRosterRequest, context: Context) -> pb.AtRiskRoster:
        caller, today = caller_id(context), context.today
        sensitive = not REVIEWERS.isdisjoint((await check_over(self._commands, context, request.team_id)).held)
        if request.team_id and not await self._commands.known(TEAM, [request.team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        as_of = _day(request.as_of, today)
        await self._catch_up(sensitive=sensitive)
        rules = await self._catalogue.rules(self._engine)
        policies = rules.policies_on("roster", as_of)
        if not policies:
            raise NotFound("POLICY_NOT_FOUND", f"no roster policy is in force on {as_of}")
        if not sensitive:
            policies = [roster.for_managers(policy) for policy in policies]
        answer = pb.AtRiskRoster(as_of=as_of.isoformat())
        # Who is in the read model is asked about; where they are today, their own events say.
        listed = await self._people.memberships_between(self._engine, today.isoformat(), today.isoformat())
        ids = sorted({one.employee_id for one in listed if request.team_id in ("", one.team_id)} - {caller})
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            directory = await directory_around(self._commands, caller, today, employee_ids=some)
            watched: dict[str, _Watched] = {}
            for employee_id in some:
                team_id = directory.team_of(employee_id, today)
                if not team_id or request.team_id not in ("", team_id):
                    continue
                if policy := _fitting(policies, directory.employees[employee_id], team_id, today):
                    watched[employee_id] = _Watched(team_id, policy)
                else:
                    answer.without_policy.append(employee_id)
            answer.entries.extend(await self._entries(watched, rules, as_of, sensitive=sensitive))
            await asyncio.sleep(0)  # others have their turn
        answer.entries.sort(key=lambda entry: (-entry.points, entry.employee_id))
        shown = {
            entry.employee_id: sorted({one.check_in_id for signal in entry.signals for one in signal.check_ins})
            for entry in answer.entries
        }
        await audited(self._commands, CHECK_IN_READS, context, {one: ids for one, ids in shown.items() if ids})
        return answer

    async def ExportAtRiskRoster(self, request: pb.ExportAtRiskRosterRequest, context: Context) -> HttpBody:
        asked = pb.GetAtRiskRosterRequest(team_id=request.team_id, as_of=request.as_of)
        found = await self.GetAtRiskRoster(asked, context)
        people = await self._commands.known(EMPLOYEE, [entry.employee_id for entry in found.entries])
        teams = await self._commands.known(TEAM, {request.team_id, *(entry.team_id for entry in found.entries)} - {""})
        names = {one: standing.state.display_name for one, standing in (people | teams).items()}
        return await file_of(lambda: roster_document(found, request.team_id, names), request.format)

    async def ReviewAtRisk(self, request: pb.ReviewAtRiskRequest, context: Context) -> pb.AtRiskReview:
        await check_related(self._commands, context, [request.employee_id])
        await check_employees(self._commands, [request.employee_id])
        key = reviews_key(request.employee_id)
        handled = await self._commands.handle(RISK_REVIEW, key, request, context)
        return risk_review.to_resource(handled.state.reviews[-1])

    async def _catch_up(self, *, sensitive: bool) -> None:
        """Waits until every read model has come to the end of its stream."""
        await self._months.catch_up()
        if sensitive:
            restricted = await self._at_check_ins.stream.state()
            await self._at_check_ins.wait_for(restricted.last, AT_LEAST_SECONDS)

    async def _entries(
        self, watched: Mapping[str, _Watched], rules: Rules, as_of: date, *, sensitive: bool
    ) -> list[pb.AtRiskEntry]:
        """Those of the employees who are on the roster."""
        seen = await self._seen(watched, rules, as_of)
        entries: list[pb.AtRiskEntry] = []
        for employee_id, one in watched.items():
            signals = roster.held(one.policy.roster, seen[employee_id], as_of)
            points = sum(signal.points for signal in signals)
            if points >= one.policy.roster.at_least:
                entries.append(
                    pb.AtRiskEntry(
                        employee_id=employee_id,
                        team_id=one.team_id,
                        policy_id=one.policy.policy_id,
                        policy_position=one.policy.log_position,
                        points=points,
                        signals=signals,
                    )
                )
        if sensitive:
            keys = {entry.employee_id: reviews_key(entry.employee_id) for entry in entries}
            # No position of a review is told that a read could wait for.
            reviews = await self._commands.known(RISK_REVIEW, keys.values(), latest=True)
            for entry in entries:
                standing = reviews.get(keys[entry.employee_id])
                last = standing.state.last_on(as_of) if standing else None
                entry.review_overdue = last is None
                if last:
                    due = roster.due(watched[entry.employee_id].policy.roster, last)
                    entry.last_review.CopyFrom(risk_review.to_resource(last))
                    entry.review_due_date, entry.review_overdue = due.isoformat(), due < as_of
        return entries

    async def _seen(self, watched: Mapping[str, _Watched], rules: Rules, as_of: date) -> dict[str, Seen]:
        """What the policies of employees look at."""
        engine, ids = self._engine, list(watched)
        policies = [one.policy for one in watched.values()]
        tests = {signal.WhichOneof("test") for policy in policies for signal in policy.roster.signals}
        kpi_ids = {kpi_id for policy in policies for _, kpi_id in kpis_of(policy)}
        since = min((roster.reading_since(policy.roster, as_of) for policy in policies), default=as_of)
        readings: dict[tuple[str, str], list[Counted]] = {}
        for one in await self._readings.readings_of(engine, ids, sorted(kpi_ids), since.isoformat(), as_of.isoformat()):
            readings.setdefault((one.employee_id, one.kpi_id), []).append(one)
        ratings = await self._scorecards.rated_months_of(engine, ids) if "ratings" in tests else {}
        violations = await self._violations_of(ids) if "conduct" in tests else {}
        detections = await self._detections_of(ids) if "detections" in tests else {}
        check_ins = await self._check_ins_of(watched, as_of)
        return {
            employee_id: Seen(
                Known(
                    kpis=rules.kpis,
                    readings={kpi_id: readings.get((employee_id, kpi_id), []) for kpi_id in kpi_ids},
                    ratings=ratings.get(employee_id, {}),
                    violations=violations.get(employee_id, ()),
                ),
                check_ins.get(employee_id, []),
                detections.get(employee_id, []),
            )
            for employee_id in ids
        }

    async def _check_ins_of(self, watched: Mapping[str, _Watched], as_of: date) -> dict[str, list[CheckIn]]:
        """Check-ins that stand, by employee, as many as any of the policies looks at; none where none does."""
        wanted = [roster.check_ins_wanted(one.policy.roster, as_of) for one in watched.values()]
        last, since = max((last for last, _ in wanted), default=0), min((since for _, since in wanted), default=as_of)
        found: dict[str, list[CheckIn]] = {}
        if not last and since > as_of:
            return found
        ids = await self._check_ins.ids_of(
            self._engine, watched, last=last, since=since.isoformat(), until=as_of.isoformat()
        )
        for one in (await self._commands.known(CHECK_IN, [check_in_key(*one) for one in ids])).values():
            if not one.state.retracted:
                resource = check_in.to_resource(one.state, one.position)
                found.setdefault(resource.employee_id, []).append(resource)
        return found

    async def _violations_of(self, employee_ids: Collection[str]) -> Mapping[str, Sequence[Offending]]:
        async with self._engine.connect() as connection:
            return await self._violations.violations_of_all(connection, employee_ids)

    async def _detections_of(self, employee_ids: Collection[str]) -> dict[str, list[tuple[int, detection.State]]]:
        ids = await self._detections.ids_of(self._engine, employee_ids)
        found: dict[str, list[tuple[int, detection.State]]] = {}
        for one in (await self._commands.known(DETECTION, ids)).values():
            found.setdefault(one.state.detection.employee_id, []).append((one.position, one.state))
        return found


def _day(text: str, today: date) -> date:
    """The day asked about. Raises Invalid `DATE_INVALID` for one to come."""
    if text and (problem := day_problem(text, today)):
        raise Invalid("DATE_INVALID", problem, (FieldViolation("as_of", problem),))
    return parse_day(text, "as_of") if text else today


def _fitting(policies: Sequence[Policy], state: State, team_id: str, day: date) -> Policy | None:
    return narrowest(
        policies,
        team_id,
        state.position_on(day),
        scope=lambda policy: policy.roster.scope,
        version=lambda policy: (policy.effective_date, policy.log_position),
    )
