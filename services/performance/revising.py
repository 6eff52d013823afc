"""Policy: facts or people of a month have changed on which something rests; that is computed anew and revised.

Nothing is rewritten: a closed month gets a revision with before and after, a detection a drift. The rules stay those
that were known when it was decided.
"""

from libs.common.eventsourcing import Context
from libs.common.service import Service
from libs.facts.readings import Readings
from services.performance.judgements import Judgements, month_key
from services.performance.judging import Judging
from services.performance.months import Months, span_of
from services.performance.rating import RATING, rating_id
from stepladder.performance.v1.scorecard_pb2 import ReviseScorecard, Scorecard


class Revising:
    """Gives the commands to revise. Looking again where nothing has changed changes nothing."""

    def __init__(
        self, service: Service, months: Months, readings: Readings, judgements: Judgements, judging: Judging
    ) -> None:
        self._service = service
        self._months = months
        self._readings = readings
        self._judgements = judgements
        self._judging = judging

    async def reconsider(self, key: str) -> None:
        """Looks again at everything that rests on an employee's month (see `judgements.month_key`)."""
        employee_id, month = key.split(" ")
        included = await self._months.catch_up()
        await self._revise(employee_id, month, included)
        await self._judging.review(employee_id, span_of(month), included)
        leads = await self._months.leads_of(employee_id, month)
        keys = [month_key(lead_id, month) for lead_id in leads]
        await self._judgements.plan_revisions(self._service.engine, keys, self._service.now(), included)

    async def revise(self, key: str) -> None:
        """Looks again at a lead's own scorecard of a month."""
        employee_id, month = key.split(" ")
        # What it is about was in the read models when it was planned: what was written meanwhile need not be.
        await self._revise(employee_id, month, self._months.included or await self._months.catch_up())

    async def _revise(self, employee_id: str, month: str, included: int) -> None:
        commands, engine = self._service.commands, self._service.engine
        found = (await commands.known(RATING, [rating_id(employee_id, month)])).values()
        state = next((one.state for one in found if one.state.closed), None)
        if state is None:
            return
        before = state.scorecard
        computed = await self._months.compute(
            [employee_id], month, rules_known_at=before.rules_known_at, included=included
        )
        after = computed.cards.get(employee_id)
        if after is None:  # not employed then, as it turned out, or nowhere that a policy is for
            after = Scorecard(
                employee_id=employee_id,
                month=month,
                policy_id=before.policy_id,
                policy_position=before.policy_position,
                rules_known_at=before.rules_known_at,
            )
        if after == before:
            return
        span = span_of(month)
        people = sorted({employee_id, *before.member_ids, *after.member_ids})
        causes = await self._readings.changes(
            engine, people, _kpis(before, after), span.start.isoformat(), span.end.isoformat(), state.known_at
        )
        revise = ReviseScorecard(
            scorecard=after,
            causes=causes,
            known_at=computed.known_at,
            led_ids=computed.led_ids.get(employee_id, ()),
        )
        context = Context(now=self._service.now(), today=self._service.today(), actor="policy:revising")
        await commands.handle(RATING, rating_id(employee_id, month), revise, context)


def _kpis(*cards: Scorecard) -> list[str]:
    lines = {line.kpi_id for card in cards for line in card.lines}
    return sorted(lines | {line.kpi_id for card in cards for line in card.adjustments})
