"""gRPC: stepladder.promotion.v1.ScoreService."""

from collections.abc import AsyncIterator

from libs.common.access import need_to_know
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from libs.facts.callers import caller_id
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.promotion_rules import wrong_in_competition
from services.promotion import drift, dry_run
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.candidacy_api import CandidacyApi, Seen
from services.promotion.candidacy_rights import Role
from services.promotion.candidates import Candidates
from services.promotion.competition import COMPETITION
from services.promotion.declarations import smallest_group
from services.promotion.fairness import impact
from services.promotion.interviewing import spread
from services.promotion.ladder import COMPETITION_RULES
from services.promotion.ranking import explain, without_names
from services.promotion.replays import Replays, chosen, is_ranked
from services.promotion.score_inputs import ScoreInputs, histories_of, interviews_of
from services.promotion.stages import Stages
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.promotion.v1 import scoring_pb2 as pb
from stepladder.promotion.v1.competition_pb2 import Competition
from stepladder.promotion.v1.events_pb2 import CandidacyListed, CandidacyScored, CompetitionRanked


class ScoreApi:
    """Implements the service: out of the log, but for a score that is not written yet."""

    def __init__(
        self,
        service: Service,
        candidates: Candidates,
        inputs: ScoreInputs,
        candidacies: CandidacyApi,
        stages: Stages,
        catalogue: Catalogue,
        together: Together,
    ) -> None:
        """`together`: the read models of stages and the catalogue."""
        self._commands = service.commands
        self._engine = service.engine
        self._candidates = candidates
        self._inputs = inputs
        self._candidacies = candidacies
        self._stages = stages
        self._catalogue = catalogue
        self._together = together
        self._replays = Replays(service, inputs)

    async def GetScore(self, request: pb.GetScoreRequest, context: Context) -> pb.ScoreExplanation:
        seen = await self._candidacies.seen(request.candidacy_id, context)
        explanation = await self.explained(seen)
        if explanation is not None:
            return explanation
        running = seen.competition.stage == Competition.STATE_APPLICATIONS_CLOSED and not seen.state.ended
        if running and Role.HR in seen.roles:
            return await self._provisional(seen)
        raise NotAllowed("NOT_SCORED", "there is a score of whoever takes part when the competition is ranked")

    async def explained(self, seen: Seen) -> pb.ScoreExplanation | None:
        """Every number of a candidate, for whoever sees the candidacy so; None before the competition is ranked."""
        candidacy_id, opened = seen.state.applied.candidacy_id, seen.competition.opened
        ranking = list(seen.competition.ranked.ranking)
        if candidacy_id not in [one.candidacy_id for one in ranking]:
            return None
        rules = await self._candidates.rules_of(seen.competition)
        found = await self._commands.known(CANDIDACY, [one.candidacy_id for one in ranking], latest=True)
        scores = {one: standing.state.last(CandidacyScored).score for one, standing in found.items()}
        seed = seen.competition.ranked.lot_seed
        listed = CandidacyListed in seen.state.told
        made = explain(rules, opened.competition_id, seed, opened.seats, ranking, scores, candidacy_id, listed=listed)
        subject = COMPETITION.subject(opened.competition_id)
        history = (await self._commands.histories([subject]))[subject]
        made.drift = drift.told(seen.state, named=Role.HR in seen.roles)
        made.ranking_position = max(one.position for one in history if isinstance(one.event, CompetitionRanked))
        return made if Role.HR in seen.roles else without_names(rules, made)

    async def _provisional(self, seen: Seen) -> pb.ScoreExplanation:
        """As it would come out now."""
        applied = seen.state.applied
        (candidate,) = await self._inputs.candidates(seen.competition, [applied.candidacy_id])
        return pb.ScoreExplanation(
            candidacy_id=applied.candidacy_id,
            competition_id=applied.competition_id,
            employee_id=applied.employee_id,
            score=candidate.score,
            provisional=True,
        )

    async def DryRunRanking(
        self, request: pb.DryRunRankingRequest, context: Context
    ) -> AsyncIterator[pb.DryRunRankingResponse]:
        known_at = await self._together.catch_up()
        rules = await self._catalogue.rules(self._engine, known_at)
        held = {one.competition_id: one for one in await self._stages.held(self._engine, request)}
        own = await self._candidates.own([*held, request.competition_id], context)
        if request.competition_id in own:
            raise need_to_know()
        tried = _tried(request, rules)
        found = await self._commands.known(COMPETITION, [one for one in held if one not in own], latest=True)
        ranked = {competition_id: one.state for competition_id, one in found.items() if is_ranked(one.state)}
        if request.competition_id and not ranked:
            raise NotAllowed("NOT_RANKED", f"competition {request.competition_id} is not ranked, or it is cancelled")
        replays = list[pb.RankingReplay]()
        for competition in ranked.values():
            replays.append(await self._replays.of(competition, tried))
            yield pb.DryRunRankingResponse(competitions=len(replays), of_competitions=len(ranked), replay=replays[-1])
        pinned = [rules.version(one.opened.rules_position) for one in ranked.values()]
        smallest = smallest_group(one.competition for one in (*pinned, tried))
        yield pb.DryRunRankingResponse(
            competitions=len(replays),
            of_competitions=len(ranked),
            # What a flag tells costs a stored version, with the name of who stored it.
            impact=impact(await chosen(self._commands, replays, held), smallest) if request.policy_position else (),
            smallest_group=smallest,
            known_at=known_at,
        )

    async def GetInterviewSpread(self, request: pb.GetInterviewSpreadRequest, context: Context) -> pb.InterviewSpread:
        competition_id = request.competition_id
        state = (await self._commands.load(COMPETITION, competition_id)).state
        caller = caller_id(context)
        still_judges = caller in state.panel.interviewer_ids and not state.is_judged
        if still_judges or (await self._commands.load(CANDIDACY, candidacy_key(competition_id, caller))).position:
            raise need_to_know()
        if not state.opened.competition_id:
            raise NotFound("COMPETITION_NOT_FOUND", f"there is no competition {competition_id}")
        rules = await self._candidates.rules_of(state)
        part = next((part.interview for part in rules.parts if part.HasField("interview")), None)
        if part is None:
            raise NotAllowed("NO_INTERVIEW", "the rules of this competition have no interview")
        told = await histories_of(self._commands, await self._candidates.of(competition_id))
        made = spread(
            (
                one
                for candidacy_id, history in told.items()
                for one in interviews_of(history)
                if one.interviewer_id in state.judges_of(candidacy_id)
            ),
            part.harshness,
        )
        made.competition_id = competition_id
        return made


def _tried(request: pb.DryRunRankingRequest, rules: Rules) -> Policy:
    """The version that is tried, or one made of the draft."""
    if request.HasField("rules"):
        tried = dry_run.draft(Policy(competition=request.rules), wrong_in_competition(request.rules, "rules"))
    else:
        tried = dry_run.stored(rules, COMPETITION_RULES, request.policy_position)
    parts = enumerate(tried.competition.parts)
    dry_run.check_kpis(
        rules, [(f"rules.parts[{i}].kpi.kpi_id", one.kpi.kpi_id) for i, one in parts if one.HasField("kpi")]
    )
    return tried
