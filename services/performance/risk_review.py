"""Reviews of one employee at risk: who looked after them, and when that is to be done again. Restricted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.performance.v1.events_pb2 import AtRiskReviewed
from stepladder.performance.v1.roster_pb2 import AtRiskReview, ReviewAtRiskRequest

Command = ReviewAtRiskRequest
Event = AtRiskReviewed


def reviews_key(employee_id: str) -> str:
    """The aggregate's id. It tells nobody who sees it whose it is. Stored for ever."""
    return opaque_id("r", employee_id)


@dataclass(frozen=True, slots=True)
class State:
    """Every review, the first first."""

    reviews: tuple[AtRiskReviewed, ...] = ()

    def last_on(self, day: date) -> AtRiskReviewed | None:
        """The last review up to a day."""
        return next((one for one in reversed(self.reviews) if one.date <= day.isoformat()), None)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case AtRiskReviewed() as review:
            return State((*state.reviews, review))
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(reviews=(*_, last)), ReviewAtRiskRequest() as given if _says(last, given, context):
            return []
        case _, ReviewAtRiskRequest(employee_id=employee_id, note=note, next_review_date=text):
            if parse_day(text, "next_review_date") <= context.today:
                message = f"{text} is not after today"
                raise Invalid("DATE_INVALID", message, (FieldViolation("next_review_date", message),))
            return [
                AtRiskReviewed(
                    employee_id=employee_id,
                    date=context.today.isoformat(),
                    note=note,
                    next_review_date=text,
                    reviewed_by=context.actor,
                )
            ]
        case _, unknown:
            assert_never(unknown)


RISK_REVIEW = Aggregate(name="performance.riskreview", initial=State(), evolve=evolve, decide=decide, restricted=True)


def _says(review: AtRiskReviewed, given: ReviewAtRiskRequest, context: Context) -> bool:
    """Whether a review is the one given."""
    return (review.note, review.next_review_date, review.reviewed_by) == (
        given.note,
        given.next_review_date,
        context.actor,
    )


def to_resource(review: AtRiskReviewed) -> AtRiskReview:
    return AtRiskReview(
        employee_id=review.employee_id,
        date=review.date,
        note=review.note,
        next_review_date=review.next_review_date,
        reviewed_by=review.reviewed_by,
    )
