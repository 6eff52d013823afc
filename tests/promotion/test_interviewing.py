"""Which questions are asked, what answers are worth, and how far interviewers are apart."""

from collections import Counter
from fractions import Fraction
from hashlib import sha256

import pytest

from libs.common.errors import Invalid, NotAllowed
from services.promotion.interviewing import Interview, add_up, draw, full_points, spread
from services.promotion.scoring import fraction
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, QuestionBank
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.scoring_pb2 import InterviewSpread

Question = QuestionBank.Question

COMPULSORY = Question(
    question_id="why-you",
    kind=QuestionBank.KIND_PERSONAL,
    compulsory=True,
    bands=[
        QuestionBank.RubricBand(band_id="poor", lower=0, upper=3),
        QuestionBank.RubricBand(band_id="fair", lower=4, upper=7),
        QuestionBank.RubricBand(band_id="good", lower=8, upper=15),
        QuestionBank.RubricBand(band_id="excellent", lower=16, upper=20),
    ],
)
"""Of domain.md's example: 16-20, 8-15, 4-7, 0-3."""


def two_points(question_id: str, kind: QuestionBank.Kind.ValueType = QuestionBank.KIND_SITUATIONAL) -> Question:
    """Two key points of 5 each, and 0 at once for going over the superior's head."""
    return Question(
        question_id=question_id,
        kind=kind,
        key_points=[
            QuestionBank.KeyPoint(key_point_id="first", points=5),
            QuestionBank.KeyPoint(key_point_id="second", points=5),
        ],
        zero_rules=[QuestionBank.ZeroRule(rule_id="over-the-head")],
    )


KINDS = (
    QuestionBank.KIND_CUSTOMER_SUPPORT,
    QuestionBank.KIND_BEHAVIOURAL,
    QuestionBank.KIND_SITUATIONAL,
    QuestionBank.KIND_PERSONAL,
    QuestionBank.KIND_COMPANY,
)
BANK = QuestionBank(
    questions=[COMPULSORY, *(two_points(f"q-{kind}-{number}", kind) for kind in KINDS for number in range(8))]
)


def asked_for(compulsory: int, random: int) -> CompetitionRules.Interview:
    return CompetitionRules.Interview(
        question_bank_id="bank", compulsory_questions=compulsory, random_questions=random, minimum_interviewers=2
    )


def drawn(compulsory: int, random: int, seed: str = "5eed") -> list[str]:
    return [one.question_id for one in draw(asked_for(compulsory, random), BANK, seed)]


def test_the_same_seed_draws_the_same_questions_whatever_their_order_in_the_bank() -> None:
    backwards = QuestionBank(questions=reversed(BANK.questions))
    again = [one.question_id for one in draw(asked_for(1, 6), backwards, "5eed")]
    assert drawn(1, 6) == again
    assert drawn(1, 6, "5eed-2") != again


def test_the_lot_is_the_hash_that_the_docstring_says() -> None:
    others = [one.question_id for one in BANK.questions if not one.compulsory]
    assert drawn(0, 1) == [min(others, key=lambda one: sha256(f"5eed/{one}".encode()).digest())]


def test_compulsory_questions_come_first_and_kinds_are_spread_evenly() -> None:
    for competition in range(20):
        first, *others = drawn(1, 9, f"c-{competition}")
        assert first == "why-you"
        kinds = Counter(one.split("-")[1] for one in others)
        # The compulsory question is a personal one: of those there is one fewer.
        assert kinds == {str(kind): 1 if kind == QuestionBank.KIND_PERSONAL else 2 for kind in KINDS}
        assert len(set(others)) == 9


def test_a_kind_that_runs_out_leaves_its_turn_to_the_others() -> None:
    few = QuestionBank(
        questions=[
            two_points("only", QuestionBank.KIND_COMPANY),
            *(two_points(f"s-{number}", QuestionBank.KIND_SITUATIONAL) for number in range(4)),
        ]
    )
    found = [one.question_id for one in draw(asked_for(0, 4), few, "5eed")]
    assert "only" in found
    assert len(set(found)) == 4


@pytest.mark.parametrize(("compulsory", "random"), [(2, 0), (0, 41), (1, 41)])
def test_a_bank_that_is_too_small_is_refused(compulsory: int, random: int) -> None:
    with pytest.raises(NotAllowed, match="add some to it") as refused:
        drawn(compulsory, random)
    assert refused.value.reason == "TOO_FEW_QUESTIONS"


QUESTIONS = [COMPULSORY, two_points("q-1"), two_points("q-2")]


def band(band_id: str, points: int) -> AnswerScore:
    return AnswerScore(question_id="why-you", band=AnswerScore.BandScore(band_id=band_id, points=points))


def key_points(question_id: str, **points: int) -> AnswerScore:
    scores = [AnswerScore.KeyPointScore(key_point_id=one, points=worth) for one, worth in points.items()]
    return AnswerScore(question_id=question_id, key_points=AnswerScore.KeyPointScores(scores=scores))


def zero(question_id: str, rule_id: str = "over-the-head") -> AnswerScore:
    return AnswerScore(question_id=question_id, zero=AnswerScore.Zero(rule_id=rule_id))


FULL = [band("excellent", 20), key_points("q-1", first=5, second=5), key_points("q-2", first=5, second=5)]


def test_the_full_points_are_the_highest_band_and_all_key_points() -> None:
    assert full_points(QUESTIONS) == 40
    assert add_up(FULL, QUESTIONS, "") == 40


@pytest.mark.parametrize(
    ("band_id", "points"),
    [("poor", 0), ("poor", 3), ("fair", 4), ("fair", 7), ("good", 8), ("good", 15), ("excellent", 16)],
)
def test_points_on_the_edges_of_their_band_are_in_it(band_id: str, points: int) -> None:
    assert add_up([band(band_id, points), *FULL[1:]], QUESTIONS, "") == points + 20


def test_answers_come_in_any_order_and_key_points_too() -> None:
    assert (
        add_up([zero("q-2"), key_points("q-1", second=2, first=0), band("good", 9)], QUESTIONS, "Said: I would.") == 11
    )


@pytest.mark.parametrize(
    ("answers", "field", "words"),
    [
        ([band("excellent", 15), *FULL[1:]], "answers[0].band.points", "band excellent is from 16 to 20"),
        ([band("poor", 4), *FULL[1:]], "answers[0].band.points", "band poor is from 0 to 3"),
        ([band("great", 4), *FULL[1:]], "answers[0].band.band_id", "poor, fair, good, excellent"),
        (
            [FULL[0], AnswerScore(question_id="q-1", band=AnswerScore.BandScore(band_id="good")), FULL[2]],
            "answers[1].band.band_id",
            "it is scored by key points",
        ),
        ([key_points("why-you", first=5), *FULL[1:]], "answers[0].key_points", "it is scored in bands"),
        (
            [FULL[0], key_points("q-1", first=5, second=6), FULL[2]],
            "answers[1].key_points.scores[1].points",
            "second is worth 0 to 5",
        ),
        ([FULL[0], key_points("q-1", first=5), FULL[2]], "answers[1].key_points", "first, second"),
        ([FULL[0], key_points("q-1", first=5, third=5), FULL[2]], "answers[1].key_points", "first, second"),
        ([*FULL, key_points("q-1", first=5, second=5)], "answers[3].question_id", "is scored twice"),
        ([*FULL, zero("q-9")], "answers[3].question_id", "why-you, q-1, q-2"),
        (FULL[:1], "answers", "there is nothing for q-1, q-2"),
        ([FULL[0], zero("q-1", "rude"), FULL[2]], "answers[1].zero.rule_id", "over-the-head"),
        ([zero("why-you"), *FULL[1:]], "answers[0].zero.rule_id", "it has none"),
        ([FULL[0], zero("q-1"), FULL[2]], "answers[1].zero", "has to stand in the notes"),
    ],
)
def test_what_does_not_fit_the_questions_is_refused_with_its_field(
    answers: list[AnswerScore], field: str, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        add_up(answers, QUESTIONS, " \n")
    assert refused.value.reason == "ANSWERS_INVALID"
    (violation,) = refused.value.violations
    assert violation.field == field
    assert words in violation.message


def test_a_key_point_twice_is_not_both_of_them() -> None:
    twice = key_points("q-1", first=5)
    twice.key_points.scores.add(key_point_id="first", points=5)
    with pytest.raises(Invalid, match="each key point of q-1 once"):
        add_up([FULL[0], twice, FULL[2]], QUESTIONS, "")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        add_up([band("poor", 9), zero("q-1")], QUESTIONS, "")
    assert [one.field for one in refused.value.violations] == ["answers[0].band.points", "answers[1].zero", "answers"]


def interviews(**given: dict[str, int]) -> list[Interview]:
    """By candidate, what each interviewer gave of 40 points."""
    return [
        Interview(candidate, f"e-{candidate}", interviewer, points, 40, 100 + place)
        for place, (candidate, interviewer, points) in enumerate(
            (candidate, interviewer, points)
            for candidate, panel in given.items()
            for interviewer, points in panel.items()
        )
    ]


THREE = interviews(
    a={"i-1": 20, "i-2": 30, "i-3": 31},  # 50, 75, 77.5: mean 67.5
    b={"i-1": 28, "i-2": 34, "i-3": 34},  # 70, 85, 85: mean 80
    c={"i-1": 30, "i-2": 34},  # 75, 85: mean 80
)


def test_each_candidate_has_a_mean_and_a_spread_and_each_interviewer_a_distance_from_it() -> None:
    first, second, third = spread(THREE, "10").candidates
    assert (first.candidacy_id, first.employee_id, first.mean.value, first.spread.value) == ("a", "e-a", "67.5", "27.5")
    assert [(one.interviewer_id, one.percent.value, one.difference.value, one.position) for one in first.given] == [
        ("i-1", "50", "-17.5", 100),
        ("i-2", "75", "7.5", 101),
        ("i-3", "77.5", "10", 102),
    ]
    assert (second.spread.value, third.spread.value) == ("15", "10")


def leanings(given: list[Interview], harshness: str) -> dict[str, InterviewSpread.Leaning.ValueType]:
    return {one.interviewer_id: one.leaning for one in spread(given, harshness).interviewers}


def test_who_is_harsh_over_all_candidates_is_flagged_from_the_rules_bound_on() -> None:
    """i-1: (-17.5 - 10 - 5) / 3 = -10.83…; i-2: (7.5 + 5 + 5) / 3 = 5.83…; i-3 scored two candidates only."""
    found = {one.interviewer_id: one for one in spread(THREE, "10").interviewers}
    assert fraction(found["i-1"].mean_difference) == Fraction(-65, 6)
    assert fraction(found["i-2"].mean_difference) == Fraction(35, 6)
    assert [(one.candidates, one.leaning) for one in found.values()] == [
        (3, InterviewSpread.LEANING_HARSH),
        (3, InterviewSpread.LEANING_NONE),
        (2, InterviewSpread.LEANING_TOO_FEW),
    ]
    assert leanings(THREE, "5.83")["i-2"] == InterviewSpread.LEANING_LENIENT
    assert leanings(THREE, "5.84")["i-2"] == InterviewSpread.LEANING_NONE


def test_the_bound_itself_is_harsh_and_without_one_nobody_is() -> None:
    same = interviews(**{name: {"i-1": 16, "i-2": 24} for name in "abc"})  # 40 and 60: 10 off the mean
    assert leanings(same, "10") == {"i-1": InterviewSpread.LEANING_HARSH, "i-2": InterviewSpread.LEANING_LENIENT}
    assert leanings(same, "10.001") == {"i-1": InterviewSpread.LEANING_NONE, "i-2": InterviewSpread.LEANING_NONE}
    assert leanings(same, "") == {"i-1": InterviewSpread.LEANING_NONE, "i-2": InterviewSpread.LEANING_NONE}


def test_candidates_whom_nobody_else_scored_say_nothing_about_an_interviewer() -> None:
    alone = interviews(**{name: {"i-1": 4} for name in "abcd"})
    (only,) = spread(alone, "1").interviewers
    assert (only.candidates, only.HasField("mean_difference"), only.leaning) == (
        0,
        False,
        InterviewSpread.LEANING_TOO_FEW,
    )


def test_the_order_of_interviews_does_not_matter() -> None:
    assert spread(list(reversed(THREE)), "10") == spread(THREE, "10")
