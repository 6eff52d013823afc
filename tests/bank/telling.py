"""The whole story in its order, and who plays which part in it."""

from collections.abc import Callable
from pathlib import Path

from tests.bank.bank import Bank, later
from tests.bank.pips import Improving
from tests.bank.plans import Case, Coaching, of_kpi
from tests.bank.proof import Proof
from tests.bank.reckoning import AHT, SHORT
from tests.services.world import World


class TooFewPlans(Exception):  # noqa: N818 - states what is the case
    """The calls propose too few plans for every part of the story."""


class Parts:
    """Whose plan meets what. Each part goes to another plan, by what came of it and in the order of the names."""

    def __init__(self, coaching: Coaching) -> None:
        reckoning = coaching.bank.reckoning
        agents = [case.agent for case in coaching.cases]
        alone = [case for case in coaching.cases if agents.count(case.agent) == 1]
        left = list(coaching.cases)

        def take(what: str, those: list[Case], wanted: Callable[[Case], bool]) -> Case:
            for case in those:
                if case in left and wanted(case):
                    left.remove(case)
                    return case
            raise TooFewPlans(f"nobody is left for this part: {what}")

        def calls(case: Case) -> int:
            return reckoning.calls(case.agent, coaching.goal_days(case, case.kpi))

        def not_improved(case: Case) -> bool:
            return case.suggested == "NOT_IMPROVED"

        short, busy = of_kpi(alone, SHORT), lambda case: calls(case) > 0
        most = sorted(of_kpi(coaching.cases, SHORT), key=calls, reverse=True)
        self.pip = take("a PIP", most, not_improved)
        self.without_pip = take("improved, and no PIP", short, lambda case: case.suggested == "IMPROVED")
        self.otherwise = take("decided otherwise", sorted(short, key=calls), not_improved)
        self.cancelled = take("cancelled", of_kpi(alone, AHT), not_improved)
        self.before = take("corrected in the first week", short, busy)
        self.after = take("corrected in the second week", short, busy)
        self.disputed = take("disputed", short, busy)
        self.at_once = take("decided by two at once", coaching.cases, busy)
        self.rest = left


class Telling:
    """Two weeks of calls, and what people make of them until spring."""

    def __init__(self, world: World, path: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self.bank = Bank(world, path)
        self.coaching = Coaching(self.bank)
        self.improving = Improving(self.bank, self.coaching)
        self.proof = Proof(self.bank, self.coaching)
        self._tell = tell

    async def tell(self) -> list[str]:
        """Answers what is not as it must be."""
        bank, coaching, improving = self.bank, self.coaching, self.improving
        await coaching.begin()
        self._tell(f"{bank.facts} facts of the first week propose {len(coaching.cases)} plans; all are active")
        await coaching.observe()
        await coaching.reassess()
        self._tell(
            f"{bank.facts} facts of both weeks; reassessment is due, {len(coaching.followed)} more were proposed"
        )
        parts = self.parts = Parts(coaching)
        await coaching.correct_before(parts.before)
        await coaching.correct_after(parts.after)
        disputed = await coaching.dispute(parts.disputed)
        await coaching.close(parts.otherwise, "PARTLY_IMPROVED", "took over the calls about mortgages meanwhile")
        await coaching.cancel(parts.cancelled)
        await coaching.close_at_once(parts.at_once)
        for case in (parts.pip, parts.without_pip, *parts.rest):
            await coaching.close(case)
        await coaching.check_sessions()
        self._tell("every plan is decided")
        bank.go(later(bank.world.clock[0].date(), 1))
        await coaching.settle(parts.disputed, disputed)
        await improving.try_without_coaching(parts.without_pip)
        await improving.issue(parts.pip)
        await improving.run(parts.pip)
        await coaching.cancel_followers(improving.found_in_month(), "The log ends here.")
        await improving.end(parts.pip)
        self._tell("the PIP is closed")
        bank.go(later(bank.world.clock[0].date(), 60))
        await coaching.correct_late(parts.pip)
        await improving.look_at_late_drift(parts.pip)
        await coaching.look_at_everything()
        await bank.settled()
        await self.proof.prove(parts.pip)
        self._tell("proved")
        return bank.found
