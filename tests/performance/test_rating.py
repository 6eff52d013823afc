"""An employee's month: closed once, revised, and calibrated by two people."""

from dataclasses import replace

from hypothesis import strategies as st

from libs.common.errors import NotAllowed, NotFound
from services.performance.rating import RATING, rating_id, to_resource
from stepladder.performance.v1.events_pb2 import (
    MonthClosed,
    MonthRated,
    MonthRevised,
    RatingDecided,
    RatingProposed,
)
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_QUALIFIED,
    RateMonthRequest,
    Rating,
)
from stepladder.performance.v1.scorecard_pb2 import (
    CloseScorecard,
    DecideRatingRequest,
    ProposeRatingRequest,
    RatingProposal,
    ReviseScorecard,
    Scorecard,
)
from tests.deciding import context, given, twice_is_once


def card(total: str, rating: Rating.ValueType) -> Scorecard:
    return Scorecard(employee_id="e-1", month="2026-01", policy_id="agents", total=total, rating=rating)


GOOD, QUALIFIED = card("85.0", RATING_GOOD), card("70.0", RATING_QUALIFIED)
CLOSED = MonthClosed(employee_id="e-1", month="2026-01", rating=RATING_GOOD, scorecard=GOOD, known_at=40)
PROPOSED = RatingProposed(
    employee_id="e-1", month="2026-01", proposed=RATING_EXCELLENT, reason="led a project", proposed_by="user:u-2"
)
DECIDED = RatingDecided(
    employee_id="e-1",
    month="2026-01",
    rating=RATING_EXCELLENT,
    approved=True,
    reason="agreed",
    decided_by="user:u-1",
)


def rate(rating: Rating.ValueType) -> RateMonthRequest:
    return RateMonthRequest(employee_id="e-1", month="2026-01", rating=rating)


def propose(rating: Rating.ValueType = RATING_EXCELLENT) -> ProposeRatingRequest:
    return ProposeRatingRequest(employee_id="e-1", month="2026-01", rating=rating, reason="led a project")


def decide(*, approve: bool = True) -> DecideRatingRequest:
    return DecideRatingRequest(employee_id="e-1", month="2026-01", approve=approve, reason="agreed")


def revised(rating: Rating.ValueType, before: Scorecard, after: Scorecard) -> MonthRevised:
    return MonthRevised(
        employee_id="e-1", month="2026-01", rating=rating, before=before, after=after, causes=[50], known_at=60
    )


def test_id() -> None:
    assert rating_id("e-1", "2026-01") == "e-1_2026-01"


def test_rated_elsewhere() -> None:
    """Another rating supersedes; a month that is rated elsewhere is not closed, one that is closed not rated."""
    rated = (
        given(RATING).when(rate(RATING_GOOD)).then(MonthRated(employee_id="e-1", month="2026-01", rating=RATING_GOOD))
    )
    rated.when(rate(RATING_GOOD)).then()
    rated.when(rate(RATING_QUALIFIED)).then(MonthRated(employee_id="e-1", month="2026-01", rating=RATING_QUALIFIED))
    rated.when(CloseScorecard(scorecard=GOOD)).refused(NotAllowed, "RATED_ELSEWHERE")
    given(RATING, CLOSED).when(rate(RATING_QUALIFIED)).refused(NotAllowed, "MONTH_CLOSED")


def test_closed_once() -> None:
    """A second close changes nothing, whatever would come out now."""
    closed = given(RATING).when(CloseScorecard(scorecard=GOOD, known_at=40)).then(CLOSED)
    closed.when(CloseScorecard(scorecard=QUALIFIED, known_at=50)).then()


def test_revised() -> None:
    """Before and after stay; the same scorecard again changes nothing."""
    revise = ReviseScorecard(scorecard=QUALIFIED, causes=[50], known_at=60)
    given(RATING).when(revise).refused(NotFound, "MONTH_NOT_CLOSED")
    given(RATING, CLOSED).when(ReviseScorecard(scorecard=GOOD, known_at=60)).then()
    after = given(RATING, CLOSED).when(revise).then(revised(RATING_QUALIFIED, GOOD, QUALIFIED))
    after.when(revise).then()
    shown = to_resource(after.state, 42)
    assert (shown.scorecard, shown.rating, shown.log_position) == (QUALIFIED, RATING_QUALIFIED, 42)
    assert [(one.before, one.after, list(one.causes)) for one in shown.revisions] == [(GOOD, QUALIFIED, [50])]
    assert after.state.known_at == 60


def test_proposed_and_approved() -> None:
    """One proposes, another approves; then the rating of people is in force."""
    closed = given(RATING, CLOSED)
    asked = replace(context(), actor="user:u-2")
    assert list(RATING.decide(closed.state, propose(), asked)) == [PROPOSED]
    after = given(RATING, CLOSED, PROPOSED).when(decide()).then(DECIDED)
    after.when(decide()).then()
    assert after.state.rating == RATING_EXCELLENT
    assert after.state.proposal.state == RatingProposal.STATE_APPROVED


def test_rejected() -> None:
    """The computed rating stays, and another may be proposed."""
    rejected = RatingDecided(
        employee_id="e-1", month="2026-01", rating=RATING_GOOD, reason="agreed", decided_by="user:u-1"
    )
    after = given(RATING, CLOSED, PROPOSED).when(decide(approve=False)).then(rejected)
    after.when(decide(approve=False)).then()
    again = PROPOSED.__class__()
    again.CopyFrom(PROPOSED)
    again.proposed_by, again.proposed = "user:u-1", RATING_QUALIFIED
    after.when(propose(RATING_QUALIFIED)).then(again)


def test_never_alone() -> None:
    """Nobody decides their own proposal or their own rating; one proposal at a time; none without a closed month."""
    waiting = given(RATING, CLOSED, PROPOSED)
    waiting.when(propose(RATING_QUALIFIED)).refused(NotAllowed, "PROPOSAL_OPEN")
    given(RATING, CLOSED).when(decide()).refused(NotAllowed, "NO_PROPOSAL")
    given(RATING).when(propose()).refused(NotFound, "MONTH_NOT_CLOSED")
    for actor in ("user:u-2", "user:e-1"):
        when = replace(waiting.when(decide()), context=replace(context(), actor=actor))
        when.refused(NotAllowed, "SAME_PERSON")


def test_a_rating_of_people_on_numbers_that_changed() -> None:
    """It stays in force, and is marked as drifted until the numbers are what they were."""
    decided = given(RATING, CLOSED, PROPOSED, DECIDED)
    assert not to_resource(decided.state, 42).drifted
    after = decided.when(ReviseScorecard(scorecard=QUALIFIED, causes=[50], known_at=60)).then(
        revised(RATING_EXCELLENT, GOOD, QUALIFIED)
    )
    assert to_resource(after.state, 42).drifted
    back = after.when(ReviseScorecard(scorecard=GOOD, causes=[50], known_at=60)).then(
        revised(RATING_EXCELLENT, QUALIFIED, GOOD)
    )
    assert not to_resource(back.state, 42).drifted


def test_twice_is_once() -> None:
    """Saying any command of a month twice changes nothing."""
    ratings = st.sampled_from([RATING_GOOD, RATING_QUALIFIED])
    cards = st.sampled_from([GOOD, QUALIFIED])
    commands = st.one_of(
        st.builds(rate, ratings),
        st.builds(lambda one: CloseScorecard(scorecard=one), cards),
        st.builds(lambda one: ReviseScorecard(scorecard=one), cards),
        st.builds(propose, ratings),
        st.builds(lambda approve: decide(approve=approve), st.booleans()),
    )
    twice_is_once(RATING, commands)
    twice_is_once(RATING, commands, CLOSED, PROPOSED)
