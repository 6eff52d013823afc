"""Whether somebody may step onto a rung, and why: all criteria together, as shown. Pure.

Whoever only wants to know who is eligible asks `Judged.eligible`, and nothing is shown then. It is the same definition.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from libs.common.days import ONE_DAY
from services.promotion.criteria import BY_EVENT, Employment, Lack, OneStep, Test, Vacant, made
from services.promotion.history import History, Waiver, first_day, month_of
from services.promotion.ladder import Step
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility, OutcomeChange

_EMPLOYMENT = EligibilityRules.Criterion(criterion_id="employment", display_name="Employed")
_STEP = EligibilityRules.Criterion(criterion_id="step", display_name="Rung held, one or two below")
"""Criteria that all rules have."""

_WAIVED = Lack("to be waived by the executive", BY_EVENT)


class Judged:
    """An employee's eligibility for a step as of a day. `leaving_out`: kinds of criteria that are taken as met."""

    def __init__(
        self,
        history: History,
        step: Step,
        vacant: Vacant,
        kpis: Mapping[str, Kpi],
        day: date,
        *,
        leaving_out: Sequence[str] = (),
    ) -> None:
        self.history = history
        self.step = step
        self.day = day
        self._onto = OneStep(history, day, step)
        self.tests: list[tuple[EligibilityRules.Criterion, Test]] = [
            (_EMPLOYMENT, Employment(history, day)),
            (_STEP, self._onto),
        ]
        for one in step.eligibility.criteria:
            if (kind := one.WhichOneof("test")) not in leaving_out:
                self.tests.append((one, made(kind or "", one, history, vacant, kpis, day)))
        self._waivers = [
            waiver
            for waiver in history.waivers
            if (waiver.ladder_id, waiver.rung_id) == (step.ladder.policy_id, step.rung.rung_id)
        ]

    def eligible(self, on: date | None = None) -> bool:
        """On the day, or on a later one if nothing changes."""
        day = on or self.day
        return all(test.met(day) or self._waived(criterion, day) is not None for criterion, test in self.tests)

    def eligible_from(self) -> date | None:
        """The first day, this one or later, on which they are eligible if nothing changes; None: there is none."""
        return next((day for day in (self.day, *self._later()) if self.eligible(day)), None)

    def looked_at_again(self) -> date | None:
        """The first later day on which anything of it may be otherwise without anything happening; None: never."""
        found = self._later()
        if any(test.monthly for _, test in self.tests):
            found.append(first_day(month_of(self.day) + 1))
        return min(found, default=None)

    def criteria(self) -> list[Criterion]:
        """All criteria, each as shown."""
        found = []
        for criterion, test in self.tests:
            shown, met, waiver = test.shown(), test.met(self.day), self._waived(criterion, self.day)
            later = None if met else next((day for day in self._later() if test.met(day)), None)
            found.append(
                Criterion(
                    name=criterion.criterion_id,
                    display_name=criterion.display_name,
                    required=shown.required,
                    actual=shown.actual,
                    met=met,
                    evidence_positions=sorted(set(shown.positions)),
                    met_from=later.isoformat() if later else "",
                    disputed=shown.disputed,
                    waiver_position=waiver.position if waiver else 0,
                    waivable=criterion.waivable,
                )
            )
        return found

    def changes(self) -> list[OutcomeChange]:
        """The smallest changes, each of which is enough for who is not eligible: none of it can be left out.

        What time brings by itself; what it takes without waivers, as soon as may be; and with all that are possible.
        """
        if self.eligible():
            return []
        found = [self._change(self.eligible_from(), waiving=False)]
        for waiving in (False, True):
            days = (
                day
                for day in (self.day, *self._later())
                if all(self._lacking(one, test, day, waiving=waiving) for one, test in self._unmet(day))
            )
            found.append(self._change(next(days, None), waiving=waiving))
        return [one for number, one in enumerate(found) if one.needs and one not in found[:number]]

    def _unmet(self, on: date) -> list[tuple[EligibilityRules.Criterion, Test]]:
        """What is neither met nor waived on a day, the same or later."""
        return [(one, test) for one, test in self.tests if not test.met(on) and self._waived(one, on) is None]

    def _lacking(self, criterion: EligibilityRules.Criterion, test: Test, on: date, *, waiving: bool) -> Sequence[Lack]:
        return [_WAIVED] if waiving and criterion.waivable else test.lacking(on)

    def _change(self, on: date | None, *, waiving: bool) -> OutcomeChange:
        """What would make them eligible on a day, the same or later: to wait for it, and what is lacking then."""
        if on is None:
            return OutcomeChange()
        unmet = self._unmet(on)
        lacking = [
            (one.criterion_id, lack) for one, test in unmet for lack in self._lacking(one, test, on, waiving=waiving)
        ]
        names = {one.criterion_id for one, _ in unmet}
        wait = Lack(f"to wait until {on}", OutcomeChange.Need.BY_TIME)
        waits = [(one.criterion_id, wait) for one, _ in self._unmet(self.day) if one.criterion_id not in names]
        needs = [OutcomeChange.Need(criterion=name, text=one.text, by=one.by) for name, one in (*waits, *lacking)]
        return OutcomeChange(needs=needs, eligible_from=on.isoformat())

    def shown(self, known_at: int) -> Eligibility:
        """All of it, as the contract says."""
        held, since = self._onto.held(self.day), self.eligible_from()
        ladder = self.step.ladder
        return Eligibility(
            employee_id=self.history.employee_id,
            as_of=self.day.isoformat(),
            eligible=self.eligible(),
            criteria=self.criteria(),
            policy_id=self.step.rules.policy_id,
            policy_position=self.step.rules.log_position,
            ladder_id=ladder.policy_id,
            rung_id=self.step.rung.rung_id,
            from_rung_id="" if held is None else ladder.ladder.rungs[held].rung_id,
            ladder_position=ladder.log_position,
            levels=max(0, self._onto.levels(self.day)),
            eligible_from=since.isoformat() if since else "",
            changes=self.changes(),
            known_at=known_at,
        )

    def _waived(self, criterion: EligibilityRules.Criterion, on: date) -> Waiver | None:
        if not criterion.waivable or not self._waivers:
            return None
        mine = (one for one in self._waivers if one.criterion_id == criterion.criterion_id)
        return next((one for one in mine if one.day <= on <= one.until), None)

    def _later(self) -> list[date]:
        """Days behind the day on which anything may be otherwise if nothing changes, the earliest first."""
        edges = {day for _, test in self.tests for day in test.edges()}
        edges |= {day for one in self._waivers for day in (one.day, one.until + ONE_DAY)}
        return sorted(day for day in edges if day > self.day)
