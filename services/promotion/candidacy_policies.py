"""Policies around candidacies: what others decide follows in them, and what they give back."""

from collections.abc import Sequence

from google.protobuf.message import Message

from libs.common.eventsourcing import Recorded
from libs.common.projecting import Follower
from libs.common.reacting import Policy, reaction
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.catalogue import Catalogue
from services.promotion.candidacies import Candidacies
from services.promotion.candidacy import CANDIDACY
from services.promotion.counting import counted_by
from stepladder.performance.v1.events_pb2 import PolicySet
from stepladder.promotion.v1.candidacy_pb2 import MoveNotice, NotePeers
from stepladder.promotion.v1.events_pb2 import CandidacyListed, PeersClosed


class TakePeerScores(Policy):
    """Peers' scores closed in, how many they were and their mean out."""

    name = "take-peer-scores"
    subjects: Sequence[str] = ("restricted.promotion.peerscores.*",)

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        match event.event:
            case PeersClosed(candidacy_id=candidacy_id) as closed:
                context = reaction(self.name, event, self._service.now(), self._service.today())
                await self._service.commands.handle(CANDIDACY, candidacy_id, note_peers(closed), context)


def note_peers(closed: PeersClosed) -> NotePeers:
    """What the candidacy is told of its peers."""
    return NotePeers(peers=closed.peers, mean=closed.mean if closed.HasField("mean") else None)


class MoveNotices(Policy):
    """Calendars set in, notices that are counted by them moved out.

    Also one that was counted while the calendar was being set: of the two events, the later one is answered.
    """

    name = "move-notices"
    subjects: Sequence[str] = ("log.performance.policy.*", "log.promotion.candidacy.*")

    def __init__(
        self,
        service: Service,
        candidacies: Candidacies,
        at_candidacies: Follower,
        catalogue: Catalogue,
        at_catalogue: Follower,
    ) -> None:
        self._service = service
        self._candidacies = candidacies
        self._at_candidacies = at_candidacies
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue

    async def react(self, event: Recorded) -> None:
        match event.event:
            case PolicySet(policy=policy) if policy.HasField("calendar"):
                await self._at_candidacies.wait_for(event.position, AT_LEAST_SECONDS)
                ids = await self._candidacies.counted_by(self._service.engine, policy.policy_id)
                await self._move(ids, policy.policy_id, event)
            case CandidacyListed(calendar_id=calendar_id) if calendar_id:
                await self._move([event.subject.rpartition(".")[2]], calendar_id, event)

    async def _move(self, candidacy_ids: Sequence[str], calendar_id: str, event: Recorded) -> None:
        service = self._service
        await self._at_catalogue.wait_for(event.position, AT_LEAST_SECONDS)
        rules = await self._catalogue.rules(service.engine)
        move: Message = MoveNotice(calendar=counted_by(rules, calendar_id))
        context = reaction(self.name, event, service.now(), service.today())
        for candidacy_id in candidacy_ids:
            await service.commands.handle(CANDIDACY, candidacy_id, move, context)
