"""Candidates with their scores: out of what was told of their candidacies and what is known of their work."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import cast

from libs.common.commands import Commands
from libs.common.eventsourcing import Recorded
from libs.common.service import Service, Together
from libs.facts.adding import combined
from libs.facts.catalogue import Catalogue
from libs.facts.values import kpi_value
from services.promotion.candidacy import CANDIDACY
from services.promotion.competition import State as CompetitionState
from services.promotion.histories import Histories, Months
from services.promotion.history import History, month_name, month_of
from services.promotion.interviewing import Interview
from services.promotion.ladder import held_since
from services.promotion.ranking import Candidate
from services.promotion.scoring import Given, Inputs, fraction, score
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.events_pb2 import CandidacyApplied, InterviewScored, ManagerReviewed, PeersScored


class ScoreInputs:
    """Computes; changes nothing. Everything is read once the read models have what is in the log."""

    def __init__(self, service: Service, histories: Histories, catalogue: Catalogue, together: Together) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._histories = histories
        self._catalogue = catalogue
        self._together = together

    async def candidates(
        self,
        competition: CompetitionState,
        candidacy_ids: Sequence[str],
        known_at: int = 0,
        tried: Policy | None = None,
    ) -> list[Candidate]:
        """Candidacies with the scores that come out by what was known when the log ended at a position (0: now).

        The rules are those that the competition pins, or others that are tried. `score_position` is left at 0: nothing
        is written.
        """
        if known_at:
            await self._together.wait_for(known_at)
        else:
            known_at = await self._together.catch_up()
        pinned = competition.opened.rules_position
        deciding = tried or (await self._catalogue.rules(self._engine, pinned)).version(pinned)
        rules = deciding.competition
        kpis = (await self._catalogue.rules(self._engine, known_at)).kpis
        closed = date.fromisoformat(competition.applications.closed_date)
        told = await histories_of(self._commands, candidacy_ids, known_at)
        people = await self._histories.of(
            self._engine,
            [_applied(history).employee_id for history in told.values()],
            months_of(rules, closed),
            known_at=known_at,
            with_facts=True,
        )
        found = []
        for candidacy_id, history in told.items():
            employee_id = _applied(history).employee_id
            person = people.get(employee_id) or History(employee_id)
            inputs = inputs_of(rules, kpis, closed, history, competition.judges_of(candidacy_id), person)
            made = score(rules, inputs)
            made.candidacy_id, made.rules_position, made.known_at = candidacy_id, deciding.log_position, known_at
            held = held_since(person.positions, closed, with_stars=False)
            if held and any(tie.rule == CompetitionRules.RULE_TENURE for tie in rules.ties):
                made.position_since = held.day.isoformat()
            found.append(
                Candidate(
                    candidacy_id=candidacy_id,
                    employee_id=employee_id,
                    score=made,
                    score_position=0,
                    position_since=held.day if held else None,
                    applied_position=history[0].position,
                )
            )
        return found


async def histories_of(
    commands: Commands, candidacy_ids: Iterable[str], known_at: int = 0
) -> dict[str, Sequence[Recorded]]:
    """The events of candidacies that there are, up to a position; 0: all."""
    subjects = {CANDIDACY.subject(one): one for one in candidacy_ids}
    found = await commands.histories(sorted(subjects))
    return {
        subjects[subject]: events
        for subject, history in found.items()
        if (events := [one for one in history if not known_at or one.position <= known_at])
    }


def months_of(rules: CompetitionRules, closed: date) -> Months:
    """The KPIs that the rules ask for, and their full months before the one of a day."""
    asked = [part.kpi for part in rules.parts if part.HasField("kpi")]
    last = month_of(closed) - 1
    return Months(sorted({one.kpi_id for one in asked}), last + 1 - max((one.months for one in asked), default=0), last)


def inputs_of(
    rules: CompetitionRules,
    kpis: Mapping[str, Kpi],
    closed: date,
    history: Sequence[Recorded],
    judges: Sequence[str],
    person: History,
) -> Inputs:
    """What goes into a candidate's score.

    Args:
        closed: the day on which applications closed.
        history: the candidacy's events.
        judges: the interviewers who count.
        person: what is known of the candidate, with facts for `months_of` the rules at least.
    """
    interviews = [Given(one.interviewer_id, one.percent, (one.position,)) for one in interviews_of(history)]
    return Inputs(
        closed=closed,
        totals=[
            Given(month_name(month), Fraction(rated.total), (rated.position,), rated.disputed)
            for month, rated in person.ratings.items()
            if rated.total
        ],
        kpis={
            (part.kpi.kpi_id, part.kpi.months): value
            for part in rules.parts
            if part.HasField("kpi") and (value := _kpi_value(part.kpi, kpis, closed, person)) is not None
        },
        interviews=[one for one in interviews if one.name in judges],
        not_counted=[one for one in interviews if one.name not in judges],
        manager=_manager(history),
        peers=_peers(history),
    )


def interviews_of(history: Sequence[Recorded]) -> list[Interview]:
    """What each interviewer gave last."""
    found = {}
    for one in history:
        match one.event:
            case InterviewScored(interviewer_id=interviewer_id, points=points, full_points=full) as scored:
                found[interviewer_id] = Interview(
                    scored.candidacy_id, scored.employee_id, interviewer_id, points, full, one.position
                )
    return list(found.values())


def _applied(history: Sequence[Recorded]) -> CandidacyApplied:
    """A candidacy's first event."""
    return cast(CandidacyApplied, history[0].event)


def _manager(history: Sequence[Recorded]) -> Given | None:
    for one in history:
        match one.event:
            case ManagerReviewed(score=given, reviewed_by=actor) if given:
                return Given(actor.removeprefix("user:"), Fraction(given), (one.position,))
    return None


def _peers(history: Sequence[Recorded]) -> tuple[int, Given | None] | None:
    for one in history:
        match one.event:
            case PeersScored(peers=peers, mean=mean) as scored:
                together = Given(f"{peers} peers", fraction(mean), (one.position,)) if scored.HasField("mean") else None
                return peers, together
    return None


def _kpi_value(
    asked: CompetitionRules.KpiValue, kpis: Mapping[str, Kpi], closed: date, person: History
) -> Given | None:
    """What a KPI adds up to over the months asked for; None where nothing is recorded."""
    kpi, last = kpis.get(asked.kpi_id), month_of(closed) - 1
    window = range(last + 1 - asked.months, last + 1)
    worked = [one for month in window if (one := person.worked.get((asked.kpi_id, month)))]
    if kpi is None or not worked:
        return None
    value = kpi_value(kpi, combined(kpi, [one.numerator for one in worked]), sum(one.denominator for one in worked))
    if value is None:
        return None
    return Given(
        f"{month_name(window[0])} to {month_name(last)}",
        value,
        tuple(position for one in worked for position in one.positions),
        any(one.disputed for one in worked),
    )
