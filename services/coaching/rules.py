"""Which coaching rules hold for an employee on a day, and by which calendar business days are counted."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from typing import TypeAlias

from libs.common.calendars import Days
from libs.common.errors import NotFound, NotKnown
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts import employee
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.employee import EMPLOYEE, Position
from libs.facts.scope import narrowest
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, Policy

KIND = "coaching"
"""Of policies: the name of the content."""


@dataclass(frozen=True, slots=True)
class CoachingRulesInForce:
    """What holds for an employee on a day, with what a decision has to pin.

    Attributes:
        rules: with the numbers that their comments name in place of 0; empty when none are in force.
        rules_position: of their version in the log; 0 when none are in force.
        known_since: when their version was stored; the first of all days where that is not kept, or none are in force.
        days: business days; Monday to Friday where the rules name no calendar.
        calendar_position: of the calendar's version in the log; 0 where the rules name none.
    """

    rules: CoachingRules
    rules_position: int
    known_since: date
    days: Days
    calendar_position: int

    @property
    def calendar_version(self) -> str:
        return self.days.version

    def calendar_problem(self, error: NotKnown) -> str:
        """What to say where a business day cannot be counted, and all else can be told."""
        return (
            f"calendar {self.rules.calendar_id}: {error.message}; "
            "store a version of it without a country that names its days_off, or one of a country that is known"
        )


Lookup: TypeAlias = Callable[[employee.State, date], CoachingRulesInForce]
"""The coaching rules of the narrowest scope that fits what an employee is on a day, with their calendar."""


def rules_in_force(rules: Rules, state: employee.State, day: date) -> CoachingRulesInForce:
    """What holds for one employee on a day."""
    return lookup(rules)(state, day)


def lookup(rules: Rules) -> Lookup:
    """Finds what holds for many: once for all who are in the same team and hold the same position."""
    policies = cache(partial(rules.policies_on, KIND))
    found = cache(lambda team_id, held, day: _in_force(rules, policies(day), team_id, held, day))
    return lambda state, day: found(state.team_on(day), state.position_on(day), day)


def lookups(rules: Rules) -> Callable[[date], Lookup]:
    """The same by the day at whose end those rules were known."""
    return cache(lambda known_on: lookup(rules.known_on(known_on)))


def rules_of_team(rules: Rules, team_id: str, day: date) -> CoachingRulesInForce:
    """The coaching rules for a team as a whole, of the narrowest scope: of no position."""
    return _in_force(rules, rules.policies_on(KIND, day), team_id, Position(), day)


def _in_force(
    rules: Rules, policies: Sequence[Policy], team_id: str, held: Position, day: date
) -> CoachingRulesInForce:
    policy = narrowest(
        policies,
        team_id,
        held,
        scope=lambda one: one.coaching.scope,
        version=lambda one: (one.effective_date, one.log_position),
    )
    found = _with_defaults(policy.coaching if policy else CoachingRules())
    calendar = rules.policy_on(found.calendar_id, day) if found.calendar_id else None
    return CoachingRulesInForce(
        rules=found,
        rules_position=policy.log_position if policy else 0,
        known_since=date.fromisoformat(policy.recorded_date) if policy and policy.recorded_date else date.min,
        days=Days(calendar.calendar if calendar else Calendar()),
        calendar_position=calendar.log_position if calendar else 0,
    )


FEWEST = 3
"""No group of fewer is told of, whatever rules say that were set before this was refused; the contract says why."""


def smallest_group(rules: Rules, day: date) -> int:
    """How many people a group must have to be shown, by the most careful of all rules in force."""
    return max([5, *(policy.coaching.smallest_group for policy in rules.policies_on(KIND, day))])


def _with_defaults(given: CoachingRules) -> CoachingRules:
    rules = CoachingRules()
    rules.CopyFrom(given)
    rules.mastery_repetitions = rules.mastery_repetitions or 3
    rules.smallest_group = max(FEWEST, rules.smallest_group or 5)
    if rules.HasField("pip"):
        rules.pip.evidence_days = rules.pip.evidence_days or 365
        rules.pip.appeal_business_days = rules.pip.appeal_business_days or 10
    return rules


class RuleBook:
    """Finds the rules in force, by everything that was said before the question."""

    def __init__(self, service: Service, catalogue: Catalogue, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._follower = follower

    async def of(self, employee_id: str, day: date) -> CoachingRulesInForce:
        """What holds for an employee on a day.

        Raises NotFound `EMPLOYEE_NOT_FOUND`; Unavailable when they are not there in time.
        """
        found = await self.of_all([employee_id], day)
        if employee_id not in found:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")
        return found[employee_id]

    async def of_all(self, employee_ids: Collection[str], day: date) -> dict[str, CoachingRulesInForce]:
        """What holds for each of the employees that there are, by id. Raises as `of` does but for NotFound."""
        known = await self._commands.known(EMPLOYEE, employee_ids, latest=True)
        await self._follower.catch_up(AT_LEAST_SECONDS)
        rules = await self._catalogue.rules(self._engine)
        found = lookup(rules)
        return {employee_id: found(one.state, day) for employee_id, one in known.items()}
