"""Policy: facts have changed under candidacies; what would come out now is reckoned and told to whomever it touches."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import months_later
from libs.common.errors import Refused
from libs.common.eventsourcing import Context, Recorded
from libs.common.projecting import Follower
from libs.common.reacting import Policy
from libs.common.service import AT_LEAST_SECONDS, Service
from services.promotion.candidacies import Candidacies
from services.promotion.candidacy import CANDIDACY
from services.promotion.candidacy_state import State
from services.promotion.candidates import Candidates
from services.promotion.competition import COMPETITION
from services.promotion.competition import State as CompetitionState
from services.promotion.drift import has_changed, score_now
from services.promotion.eligibilities import Eligibilities, Pinned
from services.promotion.eligibility_changes import SOMEBODY, touched
from services.promotion.history import History
from services.promotion.ladder import rung_number
from services.promotion.ranking import displaced
from services.promotion.replays import is_ranked
from services.promotion.score_inputs import ScoreInputs
from stepladder.promotion.v1.candidacy_pb2 import NoteDisplacement, NoteDrift
from stepladder.promotion.v1.events_pb2 import (
    CandidacyApplied,
    CandidacyDrifted,
    CandidacyScored,
    CandidateLeft,
    CompetitionClosed,
    CompetitionRanked,
)

WATCHED_MONTHS = 36
"""How long a candidacy that has ended is looked after: what is corrected a year later still shows what it touches."""


class Drifting(Policy):
    """Follows facts, and the candidacies: what they rest on may have changed before it was written down.

    Of a fact and a candidacy's event, whichever is seen second finds what the other one left: each look waits for
    everything that is in the log by then. Looked at are those of the employees that a batch touches, all at once: of
    whoever has none, nothing but that is asked. What a candidacy is told is an event of it, at which all of its
    competition are compared again, as when the competition itself changes.
    """

    name = "watch-candidacies"
    subjects: Sequence[str] = (
        "log.performance.employee.*",
        "log.performance.rating.*",
        "log.performance.record.*",
        "log.performance.facts.*",
        "log.coaching.mastery.*",
        "log.coaching.standing.*",
        "log.promotion.career.*",
        "log.promotion.candidacy.*",
        "log.promotion.competition.*",
    )

    def __init__(
        self,
        service: Service,
        candidacies: Candidacies,
        at_candidacies: Follower,
        candidates: Candidates,
        eligibilities: Eligibilities,
        inputs: ScoreInputs,
    ) -> None:
        self._service = service
        self._candidacies = candidacies
        self._at_candidacies = at_candidacies
        self._candidates = candidates
        self._eligibilities = eligibilities
        self._inputs = inputs

    async def act(self, events: Sequence[Recorded]) -> None:
        """Looks at all that a batch touches, once."""
        own = {
            event.subject.rpartition(".")[2]
            for event in events
            if isinstance(event.event, CandidacyApplied | CandidacyScored)
        }
        changed = {
            employee_id: event.position
            for event in events
            for kind, employee_id, _ in touched(event)
            if kind == SOMEBODY
        }
        if changed:
            await self._at_candidacies.catch_up(AT_LEAST_SECONDS)
            since = months_later(self._service.today(), -WATCHED_MONTHS)
            own |= await self._candidacies.resting_on(self._service.engine, changed, since)
        await self._look(own)
        told = {event.event.candidacy_id for event in events if isinstance(event.event, CandidacyDrifted)}
        drifted = await self._service.commands.known(CANDIDACY, sorted(told))
        competition_ids = {one.state.applied.competition_id for one in drifted.values()} | {
            event.event.competition_id
            for event in events
            if isinstance(event.event, CompetitionRanked | CandidateLeft | CompetitionClosed)
        }
        for found in (await self._service.commands.known(COMPETITION, sorted(competition_ids), latest=True)).values():
            await self._compare(found.state)

    async def look_at_all(self, competition: CompetitionState) -> None:
        """All who were ranked, for whoever approves one of them and must not be faster than who follows the facts."""
        await self._look([one.candidacy_id for one in competition.ranked.ranking])
        await self._compare(competition)

    async def _compare(self, competition: CompetitionState) -> None:
        """Tells candidates of a ranking who of them is displaced; a cancelled competition displaces nobody."""
        ids = [one.candidacy_id for one in competition.ranked.ranking]
        found = await self._service.commands.known(CANDIDACY, ids, latest=True)
        states = {candidacy_id: standing.state for candidacy_id, standing in found.items()}
        if not any(CandidacyDrifted in state.told for state in states.values()):
            return
        displacements = {}
        if is_ranked(competition):
            displacements = displaced(
                await self._candidates.rules_of(competition),
                competition.ranked.lot_seed,
                competition.opened.seats,
                competition.staying,
                {one: score for one, state in states.items() if (score := score_now(state))},
                [one for one, state in states.items() if has_changed(state)],
            )
        known_at = max(state.last(CandidacyDrifted).known_at for state in states.values())
        await self._tell({one: NoteDisplacement(displacement=displacements.get(one), known_at=known_at) for one in ids})

    async def _look(self, candidacy_ids: Collection[str]) -> None:
        """Reckons candidacies again, and tells each what would come out; it knows what is different."""
        if not candidacy_ids:
            return
        commands = self._service.commands
        found = await commands.known(CANDIDACY, sorted(candidacy_ids), latest=True)
        by_competition: dict[str, dict[str, Standing[State]]] = {}
        for candidacy_id, standing in found.items():
            by_competition.setdefault(standing.state.applied.competition_id, {})[candidacy_id] = standing
        competitions = await commands.known(COMPETITION, by_competition, latest=True)
        for competition_id, candidacies in by_competition.items():
            states = {candidacy_id: standing.state for candidacy_id, standing in candidacies.items()}
            await self._tell(await self._reckoned(competitions[competition_id].state, states))

    async def _tell(self, notes: Mapping[str, Message]) -> None:
        """Tells candidacies, each by its id."""
        context = Context(now=self._service.now(), today=self._service.today(), actor=f"policy:{self.name}")
        for outcome in await self._service.commands.handle_all(CANDIDACY, list(notes.items()), context):
            if isinstance(outcome, Refused):
                raise outcome

    async def _reckoned(self, competition: CompetitionState, states: Mapping[str, State]) -> dict[str, NoteDrift]:
        """What would come out now of candidacies of a competition."""
        notes: dict[str, NoteDrift] = {}
        for day in sorted({state.applied.applied_date for state in states.values()}):
            of_day = {one: state.applied for one, state in states.items() if state.applied.applied_date == day}
            notes |= await self._judged(competition, date.fromisoformat(day), of_day)
        scored = [one for one, state in states.items() if CandidacyScored in state.told]
        if scored:
            for candidate in await self._inputs.candidates(competition, scored):
                notes[candidate.candidacy_id].score.CopyFrom(candidate.score)
        return notes

    async def _judged(
        self, competition: CompetitionState, day: date, applied: Mapping[str, CandidacyApplied]
    ) -> dict[str, NoteDrift]:
        """The eligibility of those who applied on a day, by the rules that are pinned."""
        opened = competition.opened
        pinned = Pinned(opened.ladder_position, opened.eligibility_position)
        ground = await self._eligibilities.ground(opened.ladder_id, day, pinned=pinned)
        people = [one.employee_id for one in applied.values()]
        histories = await self._eligibilities.histories([ground], people, with_facts=True)
        step = ground.steps[rung_number(ground.ladder, opened.rung_id)]
        notes = {}
        for candidacy_id, one in applied.items():
            # A seat that is taken since is no change of what was known of the candidate.
            then = await self._eligibilities.ground_with(
                ground.rules, ground.ladder, {step.number: step}, day, ground.known_at, past=one.eligibility.known_at
            )
            judged = then.judged(histories.get(one.employee_id) or History(one.employee_id), step)
            notes[candidacy_id] = NoteDrift(eligibility=judged.shown(ground.known_at), known_at=ground.known_at)
        return notes
