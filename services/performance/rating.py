"""An employee's month: its scorecard as closed and revised, and the rating in force, computed or decided by people."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.events_pb2 import (
    MonthClosed,
    MonthRated,
    MonthRevised,
    RatingDecided,
    RatingProposed,
)
from stepladder.performance.v1.facts_pb2 import RATING_UNSPECIFIED, RateMonthRequest, Rating
from stepladder.performance.v1.scorecard_pb2 import (
    CloseScorecard,
    DecideRatingRequest,
    MonthlyScorecard,
    ProposeRatingRequest,
    RatingProposal,
    ReviseScorecard,
    Revision,
    Scorecard,
)

Command = RateMonthRequest | CloseScorecard | ReviseScorecard | ProposeRatingRequest | DecideRatingRequest
Event = MonthRated | MonthClosed | MonthRevised | RatingProposed | RatingDecided


def rating_id(employee_id: str, month: str) -> str:
    """The aggregate's id. Stored for ever."""
    return f"{employee_id}_{month}"


@dataclass(frozen=True, slots=True)
class State:
    """A month; without an employee before it is rated or closed. `scorecard` is empty unless it is closed.

    Attributes:
        rating: the one in force.
        decided_on: the scorecard that an approved proposal was decided on; empty without one.
        known_at: position up to which facts are in the scorecard for certain.
    """

    employee_id: str = ""
    month: str = ""
    rating: Rating.ValueType = RATING_UNSPECIFIED
    scorecard: Scorecard = field(default_factory=Scorecard)
    revisions: tuple[Revision, ...] = ()
    proposal: RatingProposal = field(default_factory=RatingProposal)
    decided_on: Scorecard = field(default_factory=Scorecard)
    known_at: int = 0

    @property
    def closed(self) -> bool:
        return self.scorecard.policy_id != ""

    @property
    def decided(self) -> bool:
        """Whether people put the rating in force in the place of the computed one."""
        return self.decided_on.policy_id != ""


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case MonthRated(employee_id=employee_id, month=month, rating=rating):
            return replace(state, employee_id=employee_id, month=month, rating=rating)
        case MonthClosed(employee_id=employee_id, month=month, rating=rating, scorecard=card, known_at=known_at):
            return State(employee_id, month, rating, card, known_at=known_at)
        case MonthRevised(rating=rating, before=before, after=after, causes=causes, known_at=known_at):
            revisions = (*state.revisions, Revision(before=before, after=after, causes=causes))
            return replace(state, rating=rating, scorecard=after, revisions=revisions, known_at=known_at)
        case RatingProposed(proposed=rating, reason=reason, proposed_by=actor):
            proposal = RatingProposal(rating=rating, reason=reason, proposed_by=actor, state=RatingProposal.STATE_OPEN)
            return replace(state, proposal=proposal)
        case RatingDecided(rating=rating, approved=approved, reason=reason, decided_by=actor):
            proposal = RatingProposal(decided_by=actor, decision_reason=reason)
            proposal.MergeFrom(state.proposal)
            proposal.state = RatingProposal.STATE_APPROVED if approved else RatingProposal.STATE_REJECTED
            decided_on = state.scorecard if approved else state.decided_on
            return replace(state, rating=rating, proposal=proposal, decided_on=decided_on)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    employee_id, month = state.employee_id, state.month
    match cast(Command, command):
        case RateMonthRequest() if state.closed:
            raise NotAllowed("MONTH_CLOSED", f"{month} is closed with a scorecard: propose another rating for it")
        case RateMonthRequest(rating=rating) if state.rating == rating:
            return []
        case RateMonthRequest(employee_id=employee_id, month=month, rating=rating):
            return [MonthRated(employee_id=employee_id, month=month, rating=rating)]

        case CloseScorecard() if state.closed:
            return []
        case CloseScorecard() if state.rating != RATING_UNSPECIFIED:
            raise NotAllowed("RATED_ELSEWHERE", f"{month} has a rating from elsewhere, which stands")
        case CloseScorecard(scorecard=card, known_at=known_at, led_ids=led_ids):
            return [
                MonthClosed(
                    employee_id=card.employee_id,
                    month=card.month,
                    rating=card.rating,
                    scorecard=card,
                    known_at=known_at,
                    led_ids=led_ids,
                )
            ]
        case ReviseScorecard() | ProposeRatingRequest() | DecideRatingRequest() if not state.closed:
            raise NotFound("MONTH_NOT_CLOSED", "this month of this employee is not closed")
        case ReviseScorecard(scorecard=card, causes=causes, known_at=known_at, led_ids=led_ids):
            if _same(card, state.scorecard):
                return []
            rating = state.rating if state.decided else card.rating
            return [
                MonthRevised(
                    employee_id=employee_id,
                    month=month,
                    rating=rating,
                    before=state.scorecard,
                    after=card,
                    causes=causes,
                    known_at=known_at,
                    led_ids=led_ids,
                )
            ]

        case ProposeRatingRequest(rating=rating, reason=reason):
            proposal = state.proposal
            if proposal.state == RatingProposal.STATE_OPEN:
                if (proposal.rating, proposal.proposed_by, proposal.reason) == (rating, context.actor, reason):
                    return []
                raise NotAllowed("PROPOSAL_OPEN", f"a proposal by {proposal.proposed_by} waits for a decision")
            return [
                RatingProposed(
                    employee_id=employee_id,
                    month=month,
                    proposed=rating,
                    reason=reason,
                    proposed_by=context.actor,
                )
            ]
        case DecideRatingRequest(approve=approve, reason=reason):
            proposal = state.proposal
            wanted = RatingProposal.STATE_APPROVED if approve else RatingProposal.STATE_REJECTED
            if (proposal.state, proposal.decided_by, proposal.decision_reason) == (wanted, context.actor, reason):
                return []
            if proposal.state != RatingProposal.STATE_OPEN:
                raise NotAllowed("NO_PROPOSAL", "no proposal waits for a decision")
            if context.actor in (proposal.proposed_by, f"user:{employee_id}"):
                raise NotAllowed("SAME_PERSON", "who proposed a rating, and whom it is about, cannot decide it")
            return [
                RatingDecided(
                    employee_id=employee_id,
                    month=month,
                    rating=proposal.rating if approve else state.rating,
                    approved=approve,
                    reason=reason,
                    decided_by=context.actor,
                )
            ]
        case unknown:
            assert_never(unknown)


def _same(one: Scorecard, other: Scorecard) -> bool:
    """Whether scorecards rest on the same and come out the same. Earlier ones name members without facts."""
    bare = [Scorecard.FromString(card.SerializeToString()) for card in (one, other)]
    for card in bare:
        card.ClearField("member_ids")
    return bare[0] == bare[1]


RATING = Aggregate(name="performance.rating", initial=State(), evolve=evolve, decide=decide)


def to_resource(state: State, position: int) -> MonthlyScorecard:
    return MonthlyScorecard(
        employee_id=state.employee_id,
        month=state.month,
        closed=state.closed,
        scorecard=state.scorecard,
        rating=state.rating,
        revisions=state.revisions,
        proposal=state.proposal,
        drifted=state.decided and state.decided_on != state.scorecard,
        etag=str(position),
        log_position=position,
    )
