"""gRPC: stepladder.promotion.v1.PeerScoreService."""

from collections.abc import Collection
from dataclasses import replace

from libs.common.errors import NotAllowed
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.candidacy_api import CandidacyApi, Seen
from services.promotion.candidacy_policies import note_peers
from services.promotion.candidates import Candidates
from services.promotion.peer_scores import PEER_SCORES, not_asked, to_resource
from services.promotion.peer_scorings import PeerScorings
from stepladder.promotion.v1 import peer_score_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy


class PeerScoreApi:
    """Implements the service. Answers how many only, whoever asks."""

    def __init__(
        self,
        service: Service,
        candidacies: CandidacyApi,
        candidates: Candidates,
        scorings: PeerScorings,
        at_scorings: Follower,
    ) -> None:
        self._engine = service.engine
        self._commands = service.commands
        self._candidacies = candidacies
        self._candidates = candidates
        self._scorings = scorings
        self._at_scorings = at_scorings

    async def AskPeers(self, request: pb.AskPeersRequest, context: Context) -> pb.PeerScoring:
        seen = await self._candidacies.seen(request.candidacy_id, context)
        asked = (await self._commands.load(PEER_SCORES, request.candidacy_id)).state.is_asked
        if not asked and seen.state.stage != Candidacy.STATE_MANAGER_REVIEWED:
            message = "peers are asked between the manager's review and the ranking"
            raise NotAllowed("WRONG_STATE", message)
        rules = await self._candidates.rules_of(seen.competition)
        minimum = max(part.peers.minimum for part in rules.parts)
        if not minimum:
            raise NotAllowed("NO_PEERS_PART", "no part of the score comes from peers")
        employee_id = seen.state.applied.employee_id
        command = pb.AskPeersOf(
            request=request,
            employee_id=employee_id,
            possible_ids=await self._possible(request, seen, context),
            minimum=minimum,
        )
        context = replace(context, request=request)
        return to_resource((await self._commands.handle(PEER_SCORES, request.candidacy_id, command, context)).state)

    async def GivePeerScore(self, request: pb.GivePeerScoreRequest, context: Context) -> pb.GivePeerScoreResponse:
        caller, today = caller_id(context), context.today
        asked = (await self._commands.load(PEER_SCORES, request.candidacy_id)).state.asked
        candidacy = (await self._commands.load(CANDIDACY, request.candidacy_id)).state
        employed = (await directory_around(self._commands, caller, today)).employed(caller, today)
        competes = await self._competing(candidacy.applied.competition_id, [caller])
        context.admission.check({"peer"} if caller in asked.peer_ids and employed and not competes else ())
        if context.actor in candidacy.reviewers:
            raise NotAllowed("SEPARATION_OF_DUTIES", "who reviewed the candidate gives no peer's score")
        await self._commands.handle(PEER_SCORES, request.candidacy_id, request, context)
        return pb.GivePeerScoreResponse()

    async def ClosePeers(self, request: pb.ClosePeersRequest, context: Context) -> pb.PeerScoring:
        seen = await self._candidacies.seen(request.candidacy_id, context)
        asked = (await self._commands.load(PEER_SCORES, request.candidacy_id)).state.asked
        rivals = await self._competing(seen.state.applied.competition_id, asked.peer_ids)
        command, own = pb.ClosePeersOf(request=request, rival_ids=rivals), replace(context, request=request)
        state = (await self._commands.handle(PEER_SCORES, request.candidacy_id, command, own)).state
        if state.closed:  # whoever asks next may rank, and the policy, which also comes after a crash, may be behind
            note = note_peers(state.closed)
            await self._commands.handle(CANDIDACY, request.candidacy_id, note, replace(context, request_id=""))
        return to_resource(state)

    async def GetPeerScoring(self, request: pb.GetPeerScoringRequest, context: Context) -> pb.PeerScoring:
        await self._candidacies.seen(request.candidacy_id, context)
        state = (await self._commands.load(PEER_SCORES, request.candidacy_id)).state
        if not state.is_asked:
            raise not_asked()
        return to_resource(state)

    async def ListPeerScoringsAskedOfMe(
        self, request: pb.ListPeerScoringsAskedOfMeRequest, context: Context
    ) -> pb.ListPeerScoringsAskedOfMeResponse:
        await self._at_scorings.catch_up(AT_LEAST_SECONDS)
        found = await self._scorings.asked_of(self._engine, request, caller_id(context))
        page, token = cut_page(request, found, lambda one: [one[0]])
        asked = [
            pb.ListPeerScoringsAskedOfMeResponse.PeerAsked(candidacy_id=one, employee_id=of) for _, one, of in page
        ]
        return pb.ListPeerScoringsAskedOfMeResponse(asked=asked, next_page_token=token)

    async def _possible(self, request: pb.AskPeersRequest, seen: Seen, context: Context) -> list[str]:
        """Those named who are in the candidate's team today, neither them nor their lead, nor in the competition."""
        applied, today = seen.state.applied, context.today
        around = [applied.employee_id, *request.peer_ids]
        directory = await directory_around(self._commands, caller_id(context), today, employee_ids=around)
        team_id = directory.team_of(applied.employee_id, today)
        apart = {applied.employee_id, applied.lead_id, directory.lead_of(team_id, today)}
        apart.update(await self._competing(applied.competition_id, request.peer_ids))
        return [
            one for one in request.peer_ids if team_id and directory.team_of(one, today) == team_id and one not in apart
        ]

    async def _competing(self, competition_id: str, employee_ids: Collection[str]) -> list[str]:
        """Those of some employees who are candidates of a competition, or were."""
        keys = {candidacy_key(competition_id, one): one for one in employee_ids}
        return sorted(keys[one] for one in await self._commands.known(CANDIDACY, keys, latest=True))
