"""Scorecards of a month, computed from what is known of people, rules and facts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from libs.common.days import Span, month_of, months_between
from libs.common.errors import FieldViolation, Invalid
from libs.common.service import Service, Together
from libs.facts import employee
from libs.facts.adding import Counted
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.people import People
from libs.facts.readings import Readings
from libs.facts.scope import narrowest
from services.performance.employee import EMPLOYEE
from services.performance.policy import kpis_of
from services.performance.scoring import scorecard
from stepladder.performance.v1.kpi_pb2 import Target
from stepladder.performance.v1.policy_pb2 import Policy, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import Scorecard

MOST_MONTHS = 24
"""Of a span that a request names."""


def span_of(month: str) -> Span:
    """The days of a month (YYYY-MM)."""
    return month_of(date.fromisoformat(f"{month}-01"))


def months_from(start: str, end: str) -> list[str]:
    """Every month of the span that a request names. Raises Invalid `MONTHS_INVALID` for none, and for too many."""
    months = months_between(start, end)
    if not 1 <= len(months) <= MOST_MONTHS:
        message = f"must be {start} or one of the {MOST_MONTHS - 1} months after it"
        raise Invalid("MONTHS_INVALID", f"end_month {message}", (FieldViolation("end_month", message),))
    return months


@dataclass(frozen=True, slots=True)
class Computed:
    """Scorecards by employee, the employees for whom no policy fits, and the position up to which facts are in.

    Of every lead with a scorecard of their own, `led_ids` has those whose facts would be in it, with or without any.
    """

    cards: Mapping[str, Scorecard]
    led_ids: Mapping[str, Sequence[str]]
    without_policy: Sequence[str]
    known_at: int


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom a scorecard is about: on which day of the month they are looked at, and under which policy."""

    state: employee.State
    day: date
    policy: Policy


class Months:
    """Computes; changes nothing."""

    def __init__(
        self,
        service: Service,
        people: People,
        catalogue: Catalogue,
        readings: Readings,
        together: Together,
    ) -> None:
        self._service = service
        self._people = people
        self._catalogue = catalogue
        self._readings = readings
        self._together = together

    @property
    def included(self) -> int:
        """Position up to which everything is in the read models for certain."""
        return self._together.included

    async def catch_up(self) -> int:
        """Waits until everything in the log is in the read models; answers up to which position."""
        return await self._together.catch_up()

    async def employees_in(self, month: str) -> list[str]:
        """Everyone who was in a team, or led one, in a month."""
        span = span_of(month)
        start, end = span.start.isoformat(), span.end.isoformat()
        engine = self._service.engine
        members = await self._people.memberships_between(engine, start, end)
        leads = await self._people.leads_between(engine, start, end)
        return sorted({one.employee_id for one in (*members, *leads)})

    async def leads_of(self, employee_id: str, month: str) -> list[str]:
        """Who led the teams in which an employee was in a month, or was ever held to have been."""
        span = span_of(month)
        start, end, engine = span.start.isoformat(), span.end.isoformat(), self._service.engine
        teams = await self._people.teams_ever(engine, employee_id, start, end)
        leads = await self._people.leads_between(engine, start, end)
        return sorted({one.employee_id for one in leads if one.team_id in teams})

    async def compute(
        self,
        employee_ids: Collection[str],
        month: str,
        *,
        team_id: str = "",
        rules_known_at: int = 0,
        known_at: int = 0,
        until: date | None = None,
        included: int = 0,
    ) -> Computed:
        """Scorecards of those of the employees who were employed in a month, and in a team on their last day in it.

        Args:
            team_id: only those who were in this team on that day; empty: all.
            rules_known_at: the rules as they were known then; 0: now.
            known_at: people and facts as they were known then; 0: now.
            until: facts up to this day only.
            included: position up to which the caller has caught up; 0: it has not.
        """
        included = included or await self.catch_up()
        rules = await self._catalogue.rules(self._service.engine, rules_known_at or known_at)
        span = span_of(month)
        span = Span(span.start, min(span.end, until or span.end))
        policies_on = cache(lambda day: rules.policies_on("scorecard", day))
        subjects: dict[str, _Subject] = {}
        without_policy: list[str] = []
        for employee_id, state in (await self.states(employee_ids, known_at)).items():
            day = state.last_day_in(span)
            if day is None or team_id not in ("", state.team_on(day)):
                continue
            policy = _fitting(policies_on(day), state, day)
            if policy is None:
                without_policy.append(employee_id)
            else:
                subjects[employee_id] = _Subject(state, day, policy)
        own = {
            employee_id: one
            for employee_id, one in subjects.items()
            if one.policy.scorecard.basis == ScorecardPolicy.BASIS_OWN
        }
        cards = await self._own(own, rules, span, known_at)
        led_ids: dict[str, Sequence[str]] = {}
        for employee_id, one in subjects.items():
            if employee_id not in own:
                cards[employee_id], led_ids[employee_id] = await self._team(employee_id, one, rules, span, known_at)
        for employee_id, card in cards.items():
            card.employee_id, card.month, card.rules_known_at = employee_id, month, rules.known_at
            card.team_id = subjects[employee_id].state.team_on(subjects[employee_id].day)
        return Computed(cards, led_ids, without_policy, included)

    async def states(self, employee_ids: Collection[str], known_at: int = 0) -> dict[str, employee.State]:
        """Those of the employees who exist, as they were known then; 0: now."""
        commands = self._service.commands
        if known_at:
            found = {one: (await commands.load(EMPLOYEE, one, known_at)).state for one in employee_ids}
            return {employee_id: state for employee_id, state in found.items() if state.employee_id}
        known = await commands.known(EMPLOYEE, employee_ids)
        return {employee_id: standing.state for employee_id, standing in known.items()}

    async def _own(
        self, subjects: Mapping[str, _Subject], rules: Rules, span: Span, known_at: int
    ) -> dict[str, Scorecard]:
        """Scorecards from the employees' own facts."""
        kpi_ids = {kpi_id for one in subjects.values() for _, kpi_id in kpis_of(one.policy)}
        readings = await self._readings_of(list(subjects), sorted(kpi_ids), span, known_at)
        by_employee: dict[str, list[Counted]] = {}
        for reading in readings:
            by_employee.setdefault(reading.employee_id, []).append(reading)

        return {
            employee_id: scorecard(
                one.policy, rules.kpis, _by_kpi(by_employee.get(employee_id, ())), rules.targets_of(one.state)
            )
            for employee_id, one in subjects.items()
        }

    async def _team(
        self, lead_id: str, lead: _Subject, rules: Rules, span: Span, known_at: int
    ) -> tuple[Scorecard, Sequence[str]]:
        """A lead's scorecard: what everyone did while in a team that they led; and who was in one."""
        start, end, engine = span.start.isoformat(), span.end.isoformat(), self._service.engine
        led = await self._people.led_by(engine, lead_id, start, end, known_at=known_at)
        led_ids = sorted(led.members)
        kpi_ids = [kpi_id for _, kpi_id in kpis_of(lead.policy)]
        led_team = cache(led.team_of)

        @cache
        def target(kpi_id: str, team_id: str, day: str) -> Target | None:
            on = date.fromisoformat(day)
            return rules.target_on(kpi_id, team_id, lead.state.position_on(on), on)

        def target_on(reading: Counted) -> Target | None:
            return target(reading.kpi_id, led_team(reading.employee_id, reading.date) or "", reading.date)

        readings = await self._readings_of(led_ids, kpi_ids, span, known_at)
        counted = [one for one in readings if led_team(one.employee_id, one.date) is not None]
        card = scorecard(lead.policy, rules.kpis, _by_kpi(counted), target_on)
        card.member_ids.extend(sorted({one.employee_id for one in counted}))
        return card, led_ids

    async def _readings_of(
        self, employee_ids: Sequence[str], kpi_ids: Sequence[str], span: Span, known_at: int
    ) -> list[Counted]:
        start, end = span.start.isoformat(), span.end.isoformat()
        return await self._readings.readings_of(
            self._service.engine, employee_ids, kpi_ids, start, end, known_at=known_at
        )


def _fitting(policies: Sequence[Policy], state: employee.State, day: date) -> Policy | None:
    return narrowest(
        policies,
        state.team_on(day),
        state.position_on(day),
        scope=lambda policy: policy.scorecard.scope,
        version=lambda policy: (policy.effective_date, policy.log_position),
    )


def _by_kpi(readings: Sequence[Counted]) -> dict[str, list[Counted]]:
    found: dict[str, list[Counted]] = {}
    for reading in readings:
        found.setdefault(reading.kpi_id, []).append(reading)
    return found
