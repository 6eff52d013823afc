"""Rules of eligibility tried over months: who would become eligible, and who no longer."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import NamedTuple

from libs.common.days import month_of
from libs.facts.catalogue import Rules
from services.promotion.criteria import History
from services.promotion.eligibilities import Eligibilities, Ground
from services.promotion.ladder import LADDER, Step
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1.eligibility_pb2 import DryRunMonth

CHUNK = 500
"""Employees judged at a time."""
MOST_TOLD = 1000


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
    judged: int = 0
    eligible_before: int = 0
    eligible_after: int = 0
    become: list[str] = field(default_factory=list)
    no_longer: list[str] = field(default_factory=list)

    def judge(self, histories: Mapping[str, History]) -> None:
        """Judges those for whom it is the next step."""
        tried = self.after.steps[self.number]
        for employee_id, history in histories.items():
            if self.after.next_step(history) is not tried:
                continue
            step = self.before.steps.get(self.number)
            was = step is not None and self.before.judged(history, step).eligible()
            will = self.after.judged(history, tried).eligible()
            self.judged += 1
            self.eligible_before += was
            self.eligible_after += will
            if was != will:
                (self.become if will else self.no_longer).append(employee_id)

    def told(self) -> DryRunMonth:
        return DryRunMonth(
            month=self.name,
            as_of=self.after.day.isoformat(),
            judged=self.judged,
            eligible_before=self.eligible_before,
            eligible_after=self.eligible_after,
            become_ids=islice(self.become, MOST_TOLD),
            no_longer_ids=islice(self.no_longer, MOST_TOLD),
            become=len(self.become),
            no_longer=len(self.no_longer),
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
