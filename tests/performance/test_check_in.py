"""A check-in, who reads it, and reviews of somebody at risk."""

import pytest
from hypothesis import strategies as st

from libs.common.days import timestamp
from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from libs.facts.reads import reads_key
from services.performance.check_in import CHECK_IN, CHECK_IN_READS, State, check_in_key, to_resource
from services.performance.risk_review import RISK_REVIEW, reviews_key
from stepladder.common.v1.audit_pb2 import NoteRead, Read, ReadNoted
from stepladder.performance.v1.check_in_pb2 import (
    CheckIn,
    CorrectCheckInRequest,
    CreateCheckInRequest,
    RetractCheckInRequest,
)
from stepladder.performance.v1.events_pb2 import (
    AtRiskReviewed,
    CheckInCorrected,
    CheckInCreated,
    CheckInRetracted,
)
from stepladder.performance.v1.roster_pb2 import ReviewAtRiskRequest
from tests.deciding import context, given, twice_is_once


def check_in(mood: int = 2, stress: int = 4, note: str = "") -> CheckIn:
    return CheckIn(check_in_id="c-1", employee_id="e-1", date="2026-03-16", mood=mood, stress=stress, note=note)


def created(mood: int = 2, note: str = "") -> CheckInCreated:
    return CheckInCreated(check_in=check_in(mood), employee_id="e-1", note=note, given_by="user:u-1")


CREATE = CreateCheckInRequest(check_in=check_in(note="sleeps badly"))
CORRECTED = CheckInCorrected(check_in=check_in(3), employee_id="e-1", note="better now", corrected_by="user:u-1")
RETRACT = RetractCheckInRequest(employee_id="e-1", check_in_id="c-1")
RETRACTED = CheckInRetracted(check_in_id="c-1", employee_id="e-1")


def test_a_check_in_is_given_corrected_and_taken_back() -> None:
    """The note lies beside what is given, to be sealed; who gave it, and who corrected it, is kept."""
    begun = given(CHECK_IN).when(CREATE).then(created(note="sleeps badly"))
    mended = begun.when(CorrectCheckInRequest(check_in=check_in(3, note="better now"))).then(CORRECTED)
    assert mended.state == State(check_in(3, note="better now"), "user:u-1", "user:u-1")
    gone = mended.when(RETRACT).then(RETRACTED)
    assert to_resource(gone.state, 7).state == CheckIn.STATE_RETRACTED


def test_what_a_check_in_says_is_not_replaced_by_creating_it_again() -> None:
    """The same changes nothing, output-only fields or not; anything else is a correction."""
    begun = given(CHECK_IN, created(note="sleeps badly"))
    begun.when(CreateCheckInRequest(check_in=to_resource(begun.state, 7))).then()
    begun.when(CreateCheckInRequest(check_in=check_in(3))).refused(AlreadyExists, "CHECK_IN_EXISTS")


def test_what_was_taken_back_stays_so() -> None:
    """Taking it back again changes nothing."""
    gone = given(CHECK_IN, created(), RETRACTED)
    gone.when(RETRACT).then()
    gone.when(CREATE).refused(NotAllowed, "RETRACTED")
    gone.when(CorrectCheckInRequest(check_in=check_in(3))).refused(NotAllowed, "RETRACTED")


@pytest.mark.parametrize("command", [CorrectCheckInRequest(check_in=check_in()), RETRACT])
def test_there_is_no_such_check_in(command: CorrectCheckInRequest | RetractCheckInRequest) -> None:
    """Nothing is corrected or taken back that was never given."""
    given(CHECK_IN).when(command).refused(NotFound, "CHECK_IN_NOT_FOUND")


def test_saying_it_twice_changes_nothing() -> None:
    """Whatever is said of a check-in."""
    one = st.builds(check_in, st.integers(1, 2), st.integers(1, 2), st.sampled_from(["", "tired"]))
    commands = st.one_of(
        st.builds(CreateCheckInRequest, check_in=one),
        st.builds(CorrectCheckInRequest, check_in=one),
        st.just(RETRACT),
    )
    twice_is_once(CHECK_IN, commands)


def test_subjects_tell_nobody_who_it_is() -> None:
    """The same for the same, another for every employee; stored for ever."""
    assert CHECK_IN.subject(check_in_key("e-1", "c-1")) == "restricted.performance.checkin.c-r7cblhhvuakd7kuy5ql5ey47x3"
    assert check_in_key("e-2", "c-1") != check_in_key("e-1", "c-1")
    assert RISK_REVIEW.subject(reviews_key("e-1")).startswith("restricted.performance.riskreview.r-")
    assert "e-1" not in reviews_key("e-1")


def review(note: str = "talked", day: str = "2026-03-30") -> ReviewAtRiskRequest:
    return ReviewAtRiskRequest(employee_id="e-1", note=note, next_review_date=day)


def reviewed(note: str = "talked", next_day: str = "2026-03-30") -> AtRiskReviewed:
    return AtRiskReviewed(
        employee_id="e-1", date="2026-03-16", note=note, next_review_date=next_day, reviewed_by="user:u-1"
    )


def test_reviews_follow_each_other() -> None:
    """Each is kept; the last of a day counts; the same as the last one changes nothing."""
    once = given(RISK_REVIEW).when(review()).then(reviewed())
    once.when(review()).then()
    twice = once.when(review("talked again")).then(reviewed("talked again"))
    last = twice.state.last_on(twice.when(review()).context.today)
    assert last == reviewed("talked again")


@pytest.mark.parametrize("day", ["2026-03-15", "2026-03-16", "2026-02-29"])
def test_the_next_review_lies_ahead(day: str) -> None:
    """On a day of the calendar after today."""
    given(RISK_REVIEW).when(review(day=day)).refused(Invalid, "DATE_INVALID")


def test_a_review_said_twice_is_one() -> None:
    """Also when it is said again the day after."""
    reviews = st.builds(
        review, st.sampled_from(["talked", "listened"]), st.sampled_from(["2026-03-17", "2026-05-01", "2026-06-01"])
    )
    twice_is_once(RISK_REVIEW, reviews)


def test_every_read_is_noted() -> None:
    """Reading the same again is another read."""
    note = NoteRead(employee_id="e-1", method="ListCheckIns", ids=["c-1"])
    read = Read(reader="user:u-2", time=timestamp(context().now), method="ListCheckIns", ids=["c-1"])
    noted = ReadNoted(employee_id="e-1", read=read)
    again = given(CHECK_IN_READS, noted).when(note, actor="user:u-2").then(noted)
    assert again.state.reads == (read, read)


def test_reads_are_kept_by_month() -> None:
    """Stored for ever; the subject tells nobody whose they are."""
    assert (
        CHECK_IN_READS.subject(reads_key("e-1", "2026-03"))
        == "restricted.performance.checkinread.a-247gfeu7t7g3ytbcnsdhzavxax"
    )
    assert reads_key("e-1", "2026-04") != reads_key("e-1", "2026-03")
