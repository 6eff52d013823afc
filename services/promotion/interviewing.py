"""What an interview asks, what its answers are worth, and how far interviewers are apart. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256

from libs.common.errors import FieldViolation, Invalid, NotAllowed
from services.promotion.scoring import HUNDRED, exact, mean
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, QuestionBank
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.scoring_pb2 import InterviewSpread

FEWEST_CANDIDATES = 3
"""With fewer nobody is called harsh or lenient."""


@dataclass(frozen=True, slots=True)
class Interview:
    """What an interviewer gave a candidate, and the position of the event that says so."""

    candidacy_id: str
    employee_id: str
    interviewer_id: str
    points: int
    full_points: int
    position: int

    @property
    def percent(self) -> Fraction:
        """Of the full points."""
        return Fraction(self.points, self.full_points) * HUNDRED


def draw(rules: CompetitionRules.Interview, bank: QuestionBank, seed: str) -> list[QuestionBank.Question]:
    """The questions of a competition, in the order in which they are asked. The same for ever.

    The lot of a question is the sha256 of the seed, a slash and its id. Compulsory questions come first, as many as the
    rules ask for, by their lots. Then one after the other of the others is drawn: of a kind that was asked least up to
    then, compulsory ones included, that with the lowest lot. So kinds are spread as evenly as the bank allows.

    Raises NotAllowed `TOO_FEW_QUESTIONS`.
    """

    def by_lot(compulsory: bool) -> list[QuestionBank.Question]:
        return sorted(
            (one for one in bank.questions if one.compulsory == compulsory),
            key=lambda one: sha256(f"{seed}/{one.question_id}".encode()).digest(),
        )

    drawn, others = by_lot(compulsory=True)[: rules.compulsory_questions], by_lot(compulsory=False)
    if len(drawn) < rules.compulsory_questions or len(others) < rules.random_questions:
        raise NotAllowed(
            "TOO_FEW_QUESTIONS",
            f"the rules ask for {rules.compulsory_questions} compulsory and {rules.random_questions} other questions; "
            f"question bank {rules.question_bank_id} has {len(drawn)} and {len(others)}: add some to it",
        )
    asked = Counter(one.kind for one in drawn)
    for _ in range(rules.random_questions):
        least = min(asked[one.kind] for one in others)
        chosen = next(one for one in others if asked[one.kind] == least)
        others.remove(chosen)
        asked[chosen.kind] += 1
        drawn.append(chosen)
    return drawn


def full_points(questions: Iterable[QuestionBank.Question]) -> int:
    """The most that answers to all of them are worth."""
    return sum(
        sum(one.points for one in question.key_points) or max(band.upper for band in question.bands)
        for question in questions
    )


def add_up(answers: Sequence[AnswerScore], questions: Sequence[QuestionBank.Question], notes: str) -> int:
    """The points that an interviewer gave for the answers to all the questions that were drawn.

    Raises Invalid `ANSWERS_INVALID` unless every question is scored once, in its own way and within its points, and a
    zero rule is the question's and has notes. Paths of the fields are as in the requests: `answers[0].band.points`.
    """
    wanted = {one.question_id: one for one in questions}
    violations: list[FieldViolation] = []
    points = 0
    for index, answer in enumerate(answers):
        question = wanted.pop(answer.question_id, None)
        if question is None:
            asked = answer.question_id in {one.question_id for one in questions}
            message = "is scored twice" if asked else f"is none of the questions drawn: {_ids(questions)}"
            violations.append(FieldViolation(f"answers[{index}].question_id", message))
            continue
        worth = _points(answer, question, notes)
        if isinstance(worth, FieldViolation):
            violations.append(FieldViolation(f"answers[{index}].{worth.field}", worth.message))
        else:
            points += worth
    if wanted:
        violations.append(FieldViolation("answers", f"there is nothing for {', '.join(sorted(wanted))}"))
    if violations:
        raise Invalid("ANSWERS_INVALID", f"{violations[0].field}: {violations[0].message}", tuple(violations))
    return points


def _points(answer: AnswerScore, question: QuestionBank.Question, notes: str) -> int | FieldViolation:
    """What an answer is worth, or what is wrong with it."""
    match answer.WhichOneof("given"):
        case "zero":
            rules = [one.rule_id for one in question.zero_rules]
            if answer.zero.rule_id not in rules:
                known = ", ".join(rules) or "it has none"
                return FieldViolation("zero.rule_id", f"must be a rule of {question.question_id}: {known}")
            if not notes.strip():
                return FieldViolation("zero", "what was said has to stand in the notes")
            return 0
        case "band":
            bands = {one.band_id: one for one in question.bands}
            band = bands.get(answer.band.band_id)
            if band is None:
                known = ", ".join(bands) or "it is scored by key points"
                return FieldViolation("band.band_id", f"must be a band of {question.question_id}: {known}")
            if not band.lower <= answer.band.points <= band.upper:
                return FieldViolation("band.points", f"band {band.band_id} is from {band.lower} to {band.upper}")
            return answer.band.points
        case _:
            return _key_points(answer.key_points, question)


def _key_points(given: AnswerScore.KeyPointScores, question: QuestionBank.Question) -> int | FieldViolation:
    wanted = {one.key_point_id: one.points for one in question.key_points}
    if sorted(one.key_point_id for one in given.scores) != sorted(wanted):
        known = ", ".join(wanted) or "it is scored in bands"
        return FieldViolation("key_points", f"must have each key point of {question.question_id} once: {known}")
    for place, one in enumerate(given.scores):
        if not 0 <= one.points <= wanted[one.key_point_id]:
            most = wanted[one.key_point_id]
            return FieldViolation(f"key_points.scores[{place}].points", f"{one.key_point_id} is worth 0 to {most}")
    return sum(one.points for one in given.scores)


def _ids(questions: Iterable[QuestionBank.Question]) -> str:
    return ", ".join(one.question_id for one in questions)


def spread(interviews: Iterable[Interview], harshness: str) -> InterviewSpread:
    """How far interviewers are apart, by candidacy and by interviewer; which competition it is, is left to the caller.

    A difference is what somebody gave less the mean of all who scored the candidate, themself included. Candidates whom
    only one interviewer scored say nothing about anybody.
    """
    panels: dict[str, list[Interview]] = {}
    for one in sorted(interviews, key=lambda one: (one.candidacy_id, one.interviewer_id)):
        panels.setdefault(one.candidacy_id, []).append(one)
    means = {candidacy_id: mean([one.percent for one in panel]) for candidacy_id, panel in panels.items()}
    differences: dict[str, list[Fraction]] = {}
    for panel in panels.values():
        for one in panel:
            off = differences.setdefault(one.interviewer_id, [])
            if len(panel) > 1:
                off.append(one.percent - means[one.candidacy_id])
    return InterviewSpread(
        candidates=[_candidate(panel, means[candidacy_id]) for candidacy_id, panel in panels.items()],
        interviewers=[_interviewer(one, found, harshness) for one, found in sorted(differences.items())],
        harshness=harshness,
    )


def _candidate(panel: Sequence[Interview], middle: Fraction) -> InterviewSpread.CandidateSpread:
    percents = [one.percent for one in panel]
    return InterviewSpread.CandidateSpread(
        candidacy_id=panel[0].candidacy_id,
        employee_id=panel[0].employee_id,
        mean=exact(middle),
        spread=exact(max(percents) - min(percents)),
        given=[
            InterviewSpread.Given(
                interviewer_id=one.interviewer_id,
                percent=exact(one.percent),
                difference=exact(one.percent - middle),
                position=one.position,
            )
            for one in panel
        ],
    )


def _interviewer(
    interviewer_id: str, differences: Sequence[Fraction], harshness: str
) -> InterviewSpread.InterviewerSpread:
    off = mean(differences) if differences else None
    return InterviewSpread.InterviewerSpread(
        interviewer_id=interviewer_id,
        candidates=len(differences),
        mean_difference=exact(off) if off is not None else None,
        leaning=_leaning(off, len(differences), harshness),
    )


def _leaning(off: Fraction | None, candidates: int, harshness: str) -> InterviewSpread.Leaning.ValueType:
    if off is None or candidates < FEWEST_CANDIDATES:
        return InterviewSpread.LEANING_TOO_FEW
    if harshness and off <= -Fraction(harshness):
        return InterviewSpread.LEANING_HARSH
    if harshness and off >= Fraction(harshness):
        return InterviewSpread.LEANING_LENIENT
    return InterviewSpread.LEANING_NONE
