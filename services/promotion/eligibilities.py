"""Who is eligible for which step: out of the read models, computed when asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.errors import NotAllowed, NotFound
from libs.common.service import Together
from libs.facts.catalogue import Catalogue, Rules
from services.promotion.criteria import Vacant
from services.promotion.eligibility import Judged
from services.promotion.histories import Histories, Months
from services.promotion.history import History, employed_on, month_of
from services.promotion.ladder import ELIGIBILITY, LADDER, Step, held_on, rung_held, rung_number
from services.promotion.vacancies import Vacancies
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.promotion.v1.eligibility_pb2 import Eligibility


class Pinned(NamedTuple):
    """Positions of the versions of a ladder and of rules of eligibility by which something is decided."""

    ladder: int
    eligibility: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What everybody is judged by on a day, as known when the log ended at `known_at`: a ladder, its steps by number.

    A step is not there while no rules for it are in force.
    """

    rules: Rules
    ladder: Policy
    steps: Mapping[int, Step]
    vacant: Mapping[int, Vacant]
    day: date
    known_at: int

    def next_step(self, history: History) -> Step | None:
        """Onto the rung above the one that an employee holds; None: there is none, or they are not employed."""
        held = rung_held(self.ladder.ladder, held_on(history.positions, self.day))
        if held is None or not employed_on(history, self.day):
            return None
        return self.steps.get(held + 1)

    def judged(self, history: History, step: Step, *, leaving_out: Sequence[str] = ()) -> Judged:
        """An employee's eligibility for a step."""
        vacant = self.vacant.get(step.number, Vacant())
        return Judged(history, step, vacant, self.rules.kpis, self.day, leaving_out=leaving_out)


class Eligibilities:
    """Computes; changes nothing. Everything is read once the read models have what is in the log."""

    def __init__(
        self, engine: AsyncEngine, histories: Histories, catalogue: Catalogue, vacancies: Vacancies, together: Together
    ) -> None:
        self._engine = engine
        self._histories = histories
        self._catalogue = catalogue
        self._vacancies = vacancies
        self._together = together

    async def of(
        self,
        employee_id: str,
        ladder_id: str,
        rung_id: str,
        day: date,
        known_at: int = 0,
        pinned: Pinned | None = None,
    ) -> Eligibility:
        """An employee's eligibility for a rung (empty: the next one), under the rules of the day or pinned ones.

        Raises NotFound `POLICY_NOT_FOUND`, `RUNG_NOT_FOUND`, `EMPLOYEE_NOT_FOUND`; NotAllowed `NO_STEP`.
        """
        ground = await self.ground(ladder_id, day, known_at, pinned)
        number = rung_number(ground.ladder, rung_id) if rung_id else None
        found = await self.histories([ground], [employee_id], with_facts=True)
        if (history := found.get(employee_id)) is None:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")
        if number is None:
            held = rung_held(ground.ladder.ladder, held_on(history.positions, day))
            if held is None or held + 1 == len(ground.ladder.ladder.rungs):
                message = f"{employee_id} holds no rung of ladder {ladder_id} on {day}, or its last; name a rung"
                raise NotAllowed("NO_STEP", message)
            number = held + 1
        if (step := ground.steps.get(number)) is None:
            rung = ground.ladder.ladder.rungs[number]
            raise NotFound("POLICY_NOT_FOUND", f"no rules of eligibility for {rung.rung_id} are in force on {day}")
        return ground.judged(history, step).shown(ground.known_at)

    async def ground(self, ladder_id: str, day: date, known_at: int = 0, pinned: Pinned | None = None) -> Ground:
        """What a ladder's steps are judged by on a day. Raises NotFound `POLICY_NOT_FOUND`."""
        read_to, rules = await self.rules(known_at)
        if pinned is None:
            return await self.ground_of(rules, rules.of_kind_on(LADDER, ladder_id, day), day, read_to, past=known_at)
        versions = {one.log_position: one for one in (*rules.policies, *rules.replaced)}
        ladder, asked = versions[pinned.ladder], versions[pinned.eligibility]
        steps = {
            number: Step(ladder, number, asked)
            for number, rung in enumerate(ladder.ladder.rungs)
            if number and rung.eligibility_id == asked.policy_id
        }
        return await self.ground_with(rules, ladder, steps, day, read_to, past=known_at)

    async def rules(self, known_at: int = 0) -> tuple[int, Rules]:
        """Everything that was known when the log ended at a position (0: now), and which: none behind its end."""
        if not 0 < known_at <= self._together.included:
            end = await self._together.catch_up()
            known_at = min(known_at or end, end)
        return known_at, await self._catalogue.rules(self._engine, known_at)

    async def ground_of(self, rules: Rules, ladder: Policy, day: date, known_at: int, *, past: int = 0) -> Ground:
        """As `ground`, for a version of a ladder. `past`: the position asked about; 0: now."""
        steps = {}
        for number, rung in enumerate(ladder.ladder.rungs):
            asked = rules.policy_on(rung.eligibility_id, day) if number else None
            if asked is not None and asked.WhichOneof("content") == ELIGIBILITY:
                steps[number] = Step(ladder, number, asked)
        return await self.ground_with(rules, ladder, steps, day, known_at, past=past)

    async def ground_with(
        self, rules: Rules, ladder: Policy, steps: Mapping[int, Step], day: date, known_at: int, *, past: int = 0
    ) -> Ground:
        """As `ground_of`, with steps by rules that need not be in force."""
        return Ground(rules, ladder, steps, await self._vacant(steps, day, past), day, known_at)

    async def histories(
        self, grounds: Sequence[Ground], employee_ids: Sequence[str], *, with_facts: bool = False
    ) -> dict[str, History]:
        """What is known of employees, as far as they are judged by it; all grounds as known at the same position."""
        asked = [(step.eligibility, ground.day) for ground in grounds for step in ground.steps.values()]
        known_at = grounds[0].known_at if grounds else 0
        months = months_of(asked)
        return await self._histories.of(self._engine, employee_ids, months, known_at=known_at, with_facts=with_facts)

    async def _vacant(self, steps: Mapping[int, Step], day: date, known_at: int) -> dict[int, Vacant]:
        asked = {
            number: step.rung
            for number, step in steps.items()
            if any(one.WhichOneof("test") == "vacancy" for one in step.eligibility.criteria)
        }
        if not asked:
            return {}
        return await self._vacancies.of(asked, day, known_at)


def months_of(asked: Iterable[tuple[EligibilityRules, date]]) -> Months:
    """The KPIs that rules ask for on days, and their months."""
    limits = [
        (one.kpi_limit, month_of(day))
        for rules, day in asked
        for one in rules.criteria
        if one.WhichOneof("test") == "kpi_limit"
    ]
    return Months(
        sorted({limit.kpi_id for limit, _ in limits}),
        min((month - limit.months for limit, month in limits), default=0),
        max((month - 1 for _, month in limits), default=0),
    )
