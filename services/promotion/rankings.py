"""Rankings of competitions: once nobody lacks anything, every score is written, and then the order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from libs.common.errors import Conflict, NotAllowed, Refused
from libs.common.eventsourcing import Context, Recorded
from libs.common.service import Service
from services.promotion.candidacy import CANDIDACY, lacking
from services.promotion.candidacy_state import State
from services.promotion.candidates import Candidates
from services.promotion.competition import State as CompetitionState
from services.promotion.ranking import Candidate, rank
from services.promotion.score_inputs import ScoreInputs, histories_of
from services.promotion.scoring import NO_SCORECARDS, months_before
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.candidacy_pb2 import NoteScore
from stepladder.promotion.v1.events_pb2 import CandidacyScored, InterviewScored, ManagerReviewed, PeersScored
from stepladder.promotion.v1.score_pb2 import PartScore, Ranked


class Rankings:
    """Makes them; saying it again makes the same, but for lots: until a ranking is recorded nobody has seen any."""

    def __init__(self, service: Service, candidates: Candidates, inputs: ScoreInputs) -> None:
        self._commands = service.commands
        self._candidates = candidates
        self._inputs = inputs

    async def make(self, competition: CompetitionState, seed: str, context: Context) -> list[Ranked]:
        """Writes the score of every candidacy that has not ended, then answers the ranking, with lots by the seed.

        All scores are by what was known at one position: if some are written already, at theirs, so that saying it
        again after a crash gives the same, unless more was said of a candidate since. Raises NotAllowed
        `INTERVIEWER_IS_CANDIDATE`, `CANDIDACIES_INCOMPLETE`, `NO_SCORE`; Conflict `CANDIDACY_CHANGED` for one that has
        ended meanwhile, or of which more was said.
        """
        competition_id, rules = competition.opened.competition_id, await self._candidates.rules_of(competition)
        every = {candidacy_id: one.state for candidacy_id, one in (await self._candidates.of(competition_id)).items()}
        refuse_own_judges(competition, every)
        running = {candidacy_id: state for candidacy_id, state in every.items() if not state.ended}
        refuse_incomplete(competition, running, rules)
        known_at = max((one.last(CandidacyScored).score.known_at for one in running.values()), default=0)
        if known_at < latest_said(await histories_of(self._commands, running)):
            known_at = 0
        candidates = await self._inputs.candidates(competition, list(running), known_at)
        refuse_unscored(candidates, rules, date.fromisoformat(competition.applications.closed_date))
        notes = [(one.candidacy_id, NoteScore(score=one.score)) for one in candidates]
        by_itself = replace(context, request_id="", etag="", request=None)  # the same score again changes nothing
        for outcome in await self._commands.handle_all(CANDIDACY, notes, by_itself):
            if isinstance(outcome, Refused):
                message = f"a candidacy has changed meanwhile ({outcome.message}); rank again"
                raise Conflict("CANDIDACY_CHANGED", message)
        histories = await histories_of(self._commands, running)
        if any(one.score.known_at < latest_said(histories) for one in candidates):
            raise Conflict("CANDIDACY_CHANGED", "more was said of a candidate meanwhile; rank again")
        written = {
            candidacy_id: max(one.position for one in history if isinstance(one.event, CandidacyScored))
            for candidacy_id, history in histories.items()
        }
        return rank(rules, seed, [replace(one, score_position=written[one.candidacy_id]) for one in candidates])


def latest_said(histories: Mapping[str, Sequence[Recorded]]) -> int:
    """The position of the latest event that goes into the score of one of several candidacies."""
    said = (ManagerReviewed, InterviewScored, PeersScored)
    return max(
        (one.position for history in histories.values() for one in history if isinstance(one.event, said)), default=0
    )


def refuse_own_judges(competition: CompetitionState, every: Mapping[str, State]) -> None:
    """Raises NotAllowed `INTERVIEWER_IS_CANDIDATE`: two who were faster than one another are both in."""
    applied = {one.applied.employee_id for one in every.values()}
    if both := sorted(applied.intersection(competition.panel.interviewer_ids)):
        raise NotAllowed("INTERVIEWER_IS_CANDIDATE", f"set the panel without: {', '.join(both)}")


def refuse_incomplete(competition: CompetitionState, running: Mapping[str, State], rules: CompetitionRules) -> None:
    """Raises NotAllowed `CANDIDACIES_INCOMPLETE`, naming each candidacy with what it lacks."""
    missing = {
        candidacy_id: lacking(state, competition.judges_of(candidacy_id), rules)
        for candidacy_id, state in running.items()
    }
    if texts := [f"{candidacy_id} lacks {', '.join(one)}" for candidacy_id, one in missing.items() if one]:
        raise NotAllowed("CANDIDACIES_INCOMPLETE", "; ".join(texts))


def refuse_unscored(candidates: Sequence[Candidate], rules: CompetitionRules, closed: date) -> None:
    """Raises NotAllowed `NO_SCORE`, naming candidacies without a total and the parts that have no score.

    `closed`: the day on which applications closed, which says of which months a scorecard is missing.
    """
    asked = {one.part_id: months_before(closed, one.scorecards.months) for one in rules.parts}
    missing = {
        one.candidacy_id: [_without(part, asked[part.part_id]) for part in one.score.parts if part.missing]
        for one in candidates
        if not one.score.total
    }
    if missing:
        texts = [f"{candidacy_id}: {', '.join(parts)}" for candidacy_id, parts in missing.items()]
        raise NotAllowed("NO_SCORE", f"the rules rank nobody without these parts: {'; '.join(texts)}")


def _without(part: PartScore, asked: Sequence[str]) -> str:
    """A part that has no score, and why; `asked`: the months of its scorecards."""
    if part.missing != NO_SCORECARDS:
        return f"{part.part_id} ({part.missing})"
    closed = {one.name for one in part.inputs}
    months = ", ".join(one for one in asked if one not in closed)
    return f"{part.part_id} ({part.missing}: none closed of {months})"
