"""What goes into a candidate's score, out of a candidacy's events and what is known of their work."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from google.protobuf.message import Message

from libs.common.eventsourcing import Recorded
from services.promotion.histories import Months
from services.promotion.history import History, Rated, Worked, month_of
from services.promotion.score_inputs import inputs_of, interviews_of, months_of
from services.promotion.scoring import Given, Inputs, exact
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.facts_pb2 import RATING_GOOD
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.promotion.v1.events_pb2 import CandidacyApplied, InterviewScored, ManagerReviewed, PeersScored
from tests.promotion.rules import rules, work

CLOSED = date(2026, 6, 15)
PM = Kpi(kpi_id="pm", aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=100, scale_denominator=1)
DECEMBER, MAY = month_of(date(2025, 12, 1)), month_of(date(2026, 5, 1))


def interview(interviewer_id: str, points: int) -> InterviewScored:
    return InterviewScored(
        candidacy_id="c", employee_id="e", interviewer_id=interviewer_id, points=points, full_points=40
    )


def told(*events: Message) -> list[Recorded]:
    """At positions from 100 on."""
    first = CandidacyApplied(candidacy_id="c", employee_id="e")
    return [Recorded(100 + place, "", event, Envelope()) for place, event in enumerate((first, *events))]


def inputs(history: Sequence[Recorded] = (), person: History | None = None, judges: Sequence[str] = ()) -> Inputs:
    return inputs_of(rules(), {"pm": PM}, CLOSED, history or told(), judges, person or History("e"))


def test_nothing_is_known_of_somebody_new() -> None:
    assert inputs() == Inputs(CLOSED, totals=[], interviews=[], not_counted=[])


def test_totals_of_closed_months_with_where_they_come_from() -> None:
    ratings = {MAY: Rated(RATING_GOOD, "91.25", True, 7), MAY - 1: Rated(RATING_GOOD, "", False, 6)}
    assert inputs(person=History("e", ratings=ratings)).totals == [Given("2026-05", Fraction("91.25"), (7,), True)]


def test_a_kpi_is_added_up_over_its_months_and_no_others() -> None:
    """(80 + 30) / (100 + 50) in per cent; not of November and June."""
    worked = {
        ("pm", DECEMBER - 1): Worked(0, 1000, 1, (1,)),
        ("pm", DECEMBER): Worked(80, 100, 20, (2, 3)),
        ("pm", MAY): Worked(30, 50, 20, (4,), True),
        ("pm", MAY + 1): Worked(0, 1000, 1, (5,)),
        ("calls", MAY): Worked(9, 9, 9, (6,)),
    }
    found = inputs(person=History("e", worked=worked)).kpis
    assert found == {("pm", 6): Given("2025-12 to 2026-05", Fraction(220, 3), (2, 3, 4), True)}


def test_a_kpi_of_which_nothing_was_counted_has_no_value() -> None:
    assert inputs(person=History("e", worked={("pm", MAY): Worked(0, 0, 1, (2,))})).kpis == {}


def test_of_each_interviewer_what_they_gave_last_counts_unless_they_must_not_judge() -> None:
    history = told(interview("i-1", 10), interview("i-2", 30), interview("i-1", 20), interview("i-3", 40))
    assert [(one.interviewer_id, one.percent, one.position) for one in interviews_of(history)] == [
        ("i-1", Fraction(50), 103),
        ("i-2", Fraction(75), 102),
        ("i-3", Fraction(100), 104),
    ]
    found = inputs(history, judges=["i-2", "i-1", "i-4"]).interviews
    assert found == [Given("i-1", Fraction(50), (103,)), Given("i-2", Fraction(75), (102,))]


def test_the_manager_and_the_peers() -> None:
    reviewed = ManagerReviewed(approved=True, score="88.5", reviewed_by="user:m-1")
    found = inputs(told(reviewed, PeersScored(peers=4, mean=exact(Fraction(260, 3)))))
    assert found.manager == Given("m-1", Fraction("88.5"), (101,))
    assert found.peers == (4, Given("4 peers", Fraction(260, 3), (102,)))


def test_a_review_without_a_score_and_too_few_peers_give_nothing() -> None:
    found = inputs(told(ManagerReviewed(approved=True, reviewed_by="user:m-1"), PeersScored(peers=2)))
    assert (found.manager, found.peers) == (None, (2, None))


def test_the_months_that_have_to_be_read() -> None:
    assert months_of(rules(), CLOSED) == Months(["pm"], DECEMBER, MAY)
    assert months_of(rules(work("100")), CLOSED).kpi_ids == []
