"""Rules of promotion that are tried: for eligibility over months, who would become eligible, and who no longer."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from libs.common.days import month_of
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.facts.catalogue import Rules
from services.promotion.declarations import smallest_group
from services.promotion.eligibilities import Eligibilities, Ground
from services.promotion.fairness import Chosen, impact
from services.promotion.history import History
from services.promotion.ladder import LADDER, Step
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1.eligibility_pb2 import DryRunMonth

CHUNK = 500
"""Employees judged at a time."""
MOST_TOLD = 1000


def draft(policy: Policy, wrong: Iterable[FieldViolation]) -> Policy:
    """Rules that are stored nowhere. Raises Invalid `POLICY_INVALID` for what would be refused if they were stored."""
    if violations := tuple(wrong):
        text = "; ".join(f"{one.field}: {one.message}" for one in violations)
        raise Invalid("POLICY_INVALID", text, violations)
    return policy


def stored(rules: Rules, kind: str, position: int) -> Policy:
    """A version of rules of a kind by its position. Raises NotFound `POLICY_NOT_FOUND`."""
    versions = {one.log_position: one for one in (*rules.policies, *rules.replaced)}
    found = versions.get(position)
    if found is None or found.WhichOneof("content") != kind:
        raise NotFound("POLICY_NOT_FOUND", f"no rules of the kind {kind} were stored at {position}")
    return found


def check_kpis(rules: Rules, named: Iterable[tuple[str, str]]) -> None:
    """Raises NotFound `KPI_NOT_FOUND` for those that there are not, each by the path of the field that names it."""
    violations = tuple(
        FieldViolation(path, f"there is no KPI {kpi_id}") for path, kpi_id in named if kpi_id not in rules.kpis
    )
    if violations:
        raise NotFound("KPI_NOT_FOUND", "; ".join(f"{one.field}: {one.message}" for one in violations), violations)


class Trial(NamedTuple):
    """A step onto a rung of a ladder under rules that are tried, in months (YYYY-MM)."""

    ladder_id: str
    rung_id: str
    tried: Policy
    months: Sequence[str]


@dataclass
class Month:
    """A month of a trial: what was in force on the day that is judged, and what is tried; and what came of it."""

    name: str
    before: Ground
    after: Ground
    number: int
    judged: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    """By employee: whether they were eligible, and would be."""

    def judge(self, histories: Mapping[str, History]) -> None:
        """Judges those for whom it is the next step."""
        tried = self.after.steps[self.number]
        for employee_id, history in histories.items():
            if self.after.next_step(history) is not tried:
                continue
            step = self.before.steps.get(self.number)
            was = step is not None and self.before.judged(history, step).eligible()
            will = self.after.judged(history, tried).eligible()
            self.judged[employee_id] = (was, will)

    def told(self, groups_of: Mapping[str, Mapping[str, str]]) -> DryRunMonth:
        """What came of it; with what employees declared."""
        become = [employee_id for employee_id, (was, will) in self.judged.items() if will and not was]
        no_longer = [employee_id for employee_id, (was, will) in self.judged.items() if was and not will]
        rung = self.after.ladder.ladder.rungs[self.number]
        deciding = self.after.rules.policy_on(rung.competition_id, self.after.day)
        smallest = smallest_group([deciding.competition] if deciding else [])
        chosen = (Chosen(*found, groups_of.get(employee_id, {})) for employee_id, found in self.judged.items())
        return DryRunMonth(
            month=self.name,
            as_of=self.after.day.isoformat(),
            judged=len(self.judged),
            eligible_before=sum(was for was, _ in self.judged.values()),
            eligible_after=sum(will for _, will in self.judged.values()),
            become_ids=become[:MOST_TOLD],
            no_longer_ids=no_longer[:MOST_TOLD],
            become=len(become),
            no_longer=len(no_longer),
            impact=impact(chosen, smallest),
            smallest_group=smallest,
        )


async def months_of(
    eligibilities: Eligibilities, rules: Rules, trial: Trial, today: date, known_at: int
) -> list[Month]:
    """The months of a trial in which the ladder was in force and had the rung; each on its last day, or today."""
    found = []
    for name in trial.months:
        day = min(month_of(date.fromisoformat(f"{name}-01")).end, today)
        ladder = rules.policy_on(trial.ladder_id, day)
        if ladder is None or ladder.WhichOneof("content") != LADDER:
            continue
        numbers = [number for number, rung in enumerate(ladder.ladder.rungs) if rung.rung_id == trial.rung_id]
        for number in numbers:
            before = await eligibilities.ground_of(rules, ladder, day, known_at)
            steps = {number: Step(ladder, number, trial.tried)}
            after = await eligibilities.ground_with(rules, ladder, steps, day, known_at)
            found.append(Month(name, before, after, number))
    return found


async def tried(
    eligibilities: Eligibilities, months: Sequence[Month], employee_ids: Sequence[str]
) -> AsyncIterator[int]:
    """Judges employees in all months; tells how many were, now and then. What came of it is in the months then."""
    grounds = [ground for month in months for ground in (month.before, month.after)]
    for start in range(0, len(employee_ids), CHUNK):
        some = employee_ids[start : start + CHUNK]
        histories = await eligibilities.histories(grounds, some)
        for month in months:
            month.judge(histories)
            await asyncio.sleep(0)  # others are served in between
        yield start + len(some)
