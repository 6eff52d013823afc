"""What the peers of one candidate were asked, and gave. Restricted: nobody is told who gave what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed
from libs.common.eventsourcing import Aggregate, Context
from services.promotion.scoring import exact, mean
from stepladder.promotion.v1.events_pb2 import PeersAsked, PeersClosed, PeerScored
from stepladder.promotion.v1.peer_score_pb2 import AskPeersOf, ClosePeersOf, GivePeerScoreRequest, PeerScoring

Command = AskPeersOf | GivePeerScoreRequest | ClosePeersOf
Event = PeersAsked | PeerScored | PeersClosed


@dataclass(frozen=True, slots=True)
class State:
    """Who was asked, what each gave last, and what came of it; `closed` is None while it is open."""

    asked: PeersAsked = field(default_factory=PeersAsked)
    given: Mapping[str, Fraction] = field(default_factory=dict)
    closed: PeersClosed | None = None

    @property
    def is_asked(self) -> bool:
        return bool(self.asked.peer_ids)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case PeersAsked() as asked:
            return replace(state, asked=asked)
        case PeerScored(peer_id=peer_id, score=score):
            others = {one: given for one, given in state.given.items() if one != peer_id}
            # Of a peer who was erased no number is left.
            return replace(state, given=others | ({peer_id: Fraction(score)} if score[:1].isdigit() else {}))
        case PeersClosed() as closed:
            return replace(state, closed=closed)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    candidacy_id, peer_id = state.asked.candidacy_id, context.actor.removeprefix("user:")
    match cast(Command, command):
        case AskPeersOf(request=request) if state.is_asked:
            if set(request.peer_ids) != set(state.asked.peer_ids):
                raise AlreadyExists("PEERS_ASKED", "other peers were asked: nobody is asked later than the others")
            return []
        case AskPeersOf() as asking:
            return [_asked(asking, context.actor)]

        case GivePeerScoreRequest() if state.closed:
            raise NotAllowed("PEERS_CLOSED", "no more scores are taken")
        case GivePeerScoreRequest(score=score) if state.given.get(peer_id) == Fraction(score):
            return []
        case GivePeerScoreRequest(score=score):
            return [PeerScored(candidacy_id=candidacy_id, peer_id=peer_id, score=score)]

        case ClosePeersOf() if not state.is_asked:
            raise not_asked()
        case ClosePeersOf() if state.closed:
            return []
        case ClosePeersOf(rival_ids=rivals):
            given = [score for one, score in state.given.items() if one not in rivals]
            closed = PeersClosed(candidacy_id=candidacy_id, peers=len(given))
            if len(given) >= state.asked.minimum:
                closed.mean.CopyFrom(exact(mean(given)))
            return [closed]
        case unknown:
            assert_never(unknown)


PEER_SCORES = Aggregate(name="promotion.peerscores", initial=State(), evolve=evolve, decide=decide, restricted=True)


def not_asked() -> NotAllowed:
    return NotAllowed("PEERS_NOT_ASKED", "no peers have been asked")


def _asked(asking: AskPeersOf, actor: str) -> PeersAsked:
    request = asking.request
    violations = [
        FieldViolation(f"peer_ids[{place}]", f"{one} is none of the peers who can be asked")
        for place, one in enumerate(request.peer_ids)
        if one not in asking.possible_ids
    ]
    if len(request.peer_ids) < asking.minimum:
        violations.append(FieldViolation("peer_ids", f"the rules ask for at least {asking.minimum} scores"))
    if violations:
        message = "; ".join(one.message for one in violations)
        raise Invalid("PEERS_INVALID", message, tuple(violations))
    return PeersAsked(
        candidacy_id=request.candidacy_id,
        employee_id=asking.employee_id,
        peer_ids=request.peer_ids,
        minimum=asking.minimum,
        asked_by=actor,
    )


def to_resource(state: State) -> PeerScoring:
    return PeerScoring(
        candidacy_id=state.asked.candidacy_id,
        asked=len(state.asked.peer_ids),
        gave=len(state.given),
        minimum=state.asked.minimum,
        closed=state.closed is not None,
    )
