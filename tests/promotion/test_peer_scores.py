"""Peers' scores: asked once, given in secret, closed for ever; a mean of enough of them and nothing else."""

import pytest
from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, Invalid, NotAllowed
from services.promotion.peer_scores import PEER_SCORES, State, to_resource
from stepladder.promotion.v1.events_pb2 import PeersAsked, PeersClosed, PeerScored
from stepladder.promotion.v1.peer_score_pb2 import (
    AskPeersOf,
    AskPeersRequest,
    ClosePeersOf,
    ClosePeersRequest,
    GivePeerScoreRequest,
    PeerScoring,
)
from stepladder.promotion.v1.score_pb2 import Exact
from tests.deciding import Given, given

PEERS = ["e-2", "e-3", "e-4", "e-5"]
CLOSE = ClosePeersOf(request=ClosePeersRequest(candidacy_id="k-1"))
ASKED = PeersAsked(candidacy_id="k-1", employee_id="e-1", peer_ids=PEERS, minimum=3, asked_by="user:u-1")


def ask(peer_ids: list[str], possible_ids: list[str] = PEERS) -> AskPeersOf:
    request = AskPeersRequest(candidacy_id="k-1", peer_ids=peer_ids)
    return AskPeersOf(request=request, employee_id="e-1", possible_ids=possible_ids, minimum=3)


def give(score: str) -> GivePeerScoreRequest:
    return GivePeerScoreRequest(candidacy_id="k-1", score=score)


def scored(peer_id: str, score: str) -> PeerScored:
    return PeerScored(candidacy_id="k-1", peer_id=peer_id, score=score)


def after(*scores: Message) -> Given[State]:
    return given(PEER_SCORES, ASKED, *scores)


def test_the_mean_of_what_each_gave_last() -> None:
    """Exact, over three of four who were asked; one of them thought again."""
    asked = given(PEER_SCORES).when(ask(PEERS)).then(ASKED)
    one = asked.when(give("80"), actor="user:e-2").then(scored("e-2", "80"))
    one = one.when(give("90.5"), actor="user:e-2").then(scored("e-2", "90.5"))
    one.when(give("90.50"), actor="user:e-2").then()
    three = one.when(give("70"), actor="user:e-3").then(scored("e-3", "70"))
    three = three.when(give("85"), actor="user:e-4").then(scored("e-4", "85"))
    mean = Exact(numerator="491", denominator="6", value="81.833333")
    closed = three.when(CLOSE).then(PeersClosed(candidacy_id="k-1", peers=3, mean=mean))
    closed.when(CLOSE).then()
    closed.when(give("10"), actor="user:e-5").refused(NotAllowed, "PEERS_CLOSED")
    assert to_resource(closed.state) == PeerScoring(candidacy_id="k-1", asked=4, gave=3, minimum=3, closed=True)


def test_too_few_have_no_mean() -> None:
    two = after(scored("e-2", "80"), scored("e-3", "60"))
    two.when(CLOSE).then(PeersClosed(candidacy_id="k-1", peers=2))
    after().when(CLOSE).then(PeersClosed(candidacy_id="k-1"))


def test_an_erased_peer_counts_no_more() -> None:
    """Their number is gone; what was closed before stays."""
    three = after(scored("e-2", "80"), scored("e-3", "60"), scored("e-4", "(erased)"))
    three.when(CLOSE).then(PeersClosed(candidacy_id="k-1", peers=2))


def test_asked_once() -> None:
    """The same peers in another order change nothing; others are asked no more."""
    after().when(ask(PEERS[::-1])).then()
    after().when(ask(["e-2", "e-3", "e-9"])).refused(AlreadyExists, "PEERS_ASKED")


@pytest.mark.parametrize(
    ("peer_ids", "fields"),
    [(["e-2", "e-9", "e-3", "e-8"], ["peer_ids[1]", "peer_ids[3]"]), (["e-2", "e-3"], ["peer_ids"])],
    ids=["somebody else", "too few"],
)
def test_who_cannot_be_asked(peer_ids: list[str], fields: list[str]) -> None:
    refusal = given(PEER_SCORES).when(ask(peer_ids)).refused(Invalid, "PEERS_INVALID")
    assert [one.field for one in refusal.violations] == fields


def test_nothing_is_closed_before_it_is_asked() -> None:
    given(PEER_SCORES).when(CLOSE).refused(NotAllowed, "PEERS_NOT_ASKED")


def test_what_rivals_gave_does_not_count() -> None:
    """Those who compete for the same post by the time it is closed; too few are left, and there is no mean."""
    scores = [scored(peer, score) for peer, score in zip(PEERS, ("90", "80", "70", "0"), strict=True)]
    request = CLOSE.request
    one = ClosePeersOf(request=request, rival_ids=["e-5"])
    mean = Exact(numerator="80", denominator="1", value="80")
    after(*scores).when(one).then(PeersClosed(candidacy_id="k-1", peers=3, mean=mean))
    two = ClosePeersOf(request=request, rival_ids=["e-4", "e-5"])
    after(*scores).when(two).then(PeersClosed(candidacy_id="k-1", peers=2))
