"""What is wrong with rules of promotion that the contract cannot say: contradictions, and what they leave open.

Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from libs.common.errors import FieldViolation
from libs.facts.policy_fields import joined, repeated, weighed
from stepladder.performance.v1.promotion_rules_pb2 import (
    CompetitionRules,
    CycleRules,
    EligibilityRules,
    Ladder,
    QuestionBank,
)

QUESTION_BANK = "question_bank"
"""The kind of policies that tell candidates what they will be asked: for HR only."""
ALWAYS_ASKED = {"employment", "step"}
"""Criteria that all rules have: employed, and on a rung one or two below."""
ONCE = {"interview", "manager", "peers"}
"""Sources of which a competition has one: who interviews, reviews and is asked as a peer is asked once."""
LEAVE_NO_TIE = {CompetitionRules.RULE_APPLIED_FIRST, CompetitionRules.RULE_LOT}


def wrong_in_ladder(rules: Ladder, path: str) -> Iterator[FieldViolation]:
    rungs = rules.rungs
    yield from repeated([one.rung_id for one in rungs], [f"{path}.rungs[{i}].rung_id" for i in range(len(rungs))])
    for index, rung in enumerate(rungs):
        here = f"{path}.rungs[{index}]"
        for field in ("eligibility_id", "competition_id"):
            given = getattr(rung, field)
            if index and not given:
                yield FieldViolation(f"{here}.{field}", "is needed for every rung but the first")
            elif given and not index:
                yield FieldViolation(f"{here}.{field}", "nobody steps onto the first rung: leave it empty")
        for below in rungs[:index]:
            if below.position == rung.position and (below.stars == rung.stars or 0 in (below.stars, rung.stars)):
                held = (
                    f"{rung.position} with {rung.stars} stars"
                    if rung.stars
                    else f"{rung.position}, whatever the stars,"
                )
                yield FieldViolation(f"{here}.position", f"{held} is on rung {below.rung_id} already")
                break


def wrong_in_eligibility(rules: EligibilityRules, path: str) -> Iterator[FieldViolation]:
    paths = [f"{path}.criteria[{i}]" for i in range(len(rules.criteria))]
    yield from repeated([one.criterion_id for one in rules.criteria], [f"{here}.criterion_id" for here in paths])
    lowest: dict[tuple[str, int], Decimal] = {}
    highest: dict[tuple[str, int], Decimal] = {}
    for criterion, here in zip(rules.criteria, paths, strict=True):
        if criterion.criterion_id in ALWAYS_ASKED:
            message = f"{criterion.criterion_id} is asked of everybody without being said: take another id"
            yield FieldViolation(f"{here}.criterion_id", message)
        if criterion.waivable and criterion.HasField("vacancy"):
            message = "a seat that is not there cannot be waived: set another headcount instead"
            yield FieldViolation(f"{here}.waivable", message)
        if not criterion.HasField("kpi_limit"):
            continue
        limit, field = criterion.kpi_limit, f"{here}.kpi_limit"
        if not limit.minimum and not limit.maximum:
            yield FieldViolation(field, "everybody would meet it: give a minimum, a maximum or both")
        measured = limit.kpi_id, limit.months
        if limit.minimum:
            lowest[measured] = max(lowest.get(measured, Decimal(limit.minimum)), Decimal(limit.minimum))
        if limit.maximum:
            highest[measured] = min(highest.get(measured, Decimal(limit.maximum)), Decimal(limit.maximum))
        if measured in lowest and measured in highest and lowest[measured] > highest[measured]:
            least, most = lowest[measured], highest[measured]
            message = f"nobody can meet it: {limit.kpi_id} would have to be at least {least} and at most {most}"
            yield FieldViolation(field, message)


def wrong_in_competition(rules: CompetitionRules, path: str) -> Iterator[FieldViolation]:
    part_ids = [part.part_id for part in rules.parts]
    yield from repeated(part_ids, [f"{path}.parts[{i}].part_id" for i in range(len(part_ids))])
    sources: list[str] = []
    for index, part in enumerate(rules.parts):
        here, source = f"{path}.parts[{index}]", part.WhichOneof("source") or ""
        if Decimal(part.weight) <= 0:
            message = f"a weight must be more than 0; leave {part.part_id} out instead"
            yield FieldViolation(f"{here}.weight", message)
        if source in ONCE and source in sources:
            yield FieldViolation(f"{here}.{source}", f"is the source of another part: there is one {source} score")
        sources.append(source)
        yield from _source(part, here)
        if part.HasField("bands"):
            yield from _bands(part.bands, f"{here}.bands")
    yield from weighed((part.weight for part in rules.parts), f"{path}.parts", normalize=rules.normalize)
    yield from _ties(rules.ties, part_ids, f"{path}.ties")
    if rules.pass_mark and not 0 <= Decimal(rules.pass_mark) <= 100:
        yield FieldViolation(f"{path}.pass_mark", "totals are from 0 to 100, and so is the pass mark")


def interview_in(rules: CompetitionRules) -> tuple[str, CompetitionRules.Interview] | None:
    """The interview, if there is one, with the path of its part in the rules."""
    parts = [(f"parts[{index}].interview", part.interview) for index, part in enumerate(rules.parts)]
    return next(((path, interview) for path, interview in parts if interview.question_bank_id), None)


def too_many_questions(interview: CompetitionRules.Interview, bank: QuestionBank) -> Iterator[tuple[str, int, int]]:
    """Fields that ask for more questions than the bank has: each with how many are asked, and how many there are."""
    compulsory = sum(question.compulsory for question in bank.questions)
    for field, asked, there in (
        ("compulsory_questions", interview.compulsory_questions, compulsory),
        ("random_questions", interview.random_questions, len(bank.questions) - compulsory),
    ):
        if asked > there:
            yield field, asked, there


def wrong_in_question_bank(bank: QuestionBank, path: str) -> Iterator[FieldViolation]:
    ids = [question.question_id for question in bank.questions]
    yield from repeated(ids, [f"{path}.questions[{i}].question_id" for i in range(len(ids))])
    for index, question in enumerate(bank.questions):
        here = f"{path}.questions[{index}]"
        bands, points, zeros = question.bands, question.key_points, question.zero_rules
        if bands and points:
            yield FieldViolation(
                f"{here}.bands", "is scored in bands or by key points, not both: leave one of them out"
            )
        elif not bands and not points:
            yield FieldViolation(here, "nothing says how it is scored: give bands or key points")
        yield from _rubric(bands, f"{here}.bands")
        point_ids, rule_ids = [one.key_point_id for one in points], [one.rule_id for one in zeros]
        yield from repeated(point_ids, [f"{here}.key_points[{i}].key_point_id" for i in range(len(points))])
        yield from repeated(rule_ids, [f"{here}.zero_rules[{i}].rule_id" for i in range(len(zeros))])
        yield from _texts(question.texts, here)
        for name, texts in (
            ("bands", [one.texts for one in bands]),
            ("key_points", [one.texts for one in points]),
            ("zero_rules", [one.texts for one in zeros]),
        ):
            for place, own in enumerate(texts):
                yield from _texts(own, f"{here}.{name}[{place}]")


def wrong_in_cycles(rules: CycleRules, path: str) -> Iterator[FieldViolation]:
    if rules.applications_business_days > rules.open_days:
        yield FieldViolation(
            f"{path}.applications_business_days",
            f"so many business days take longer than the {rules.open_days} days for which a cycle is open",
        )


def _source(part: CompetitionRules.Part, path: str) -> Iterator[FieldViolation]:
    match part.WhichOneof("source"):
        case "scorecards" if part.scorecards.minimum_months > part.scorecards.months:
            message = f"only {part.scorecards.months} months are looked at"
            yield FieldViolation(f"{path}.scorecards.minimum_months", message)
        case "interview":
            interview = part.interview
            if not interview.compulsory_questions and not interview.random_questions:
                yield FieldViolation(f"{path}.interview", "nothing is asked: say how many questions of which kind")
            if interview.harshness and not 0 < Decimal(interview.harshness) <= 100:
                yield FieldViolation(f"{path}.interview.harshness", "must be more than 0 and at most 100 points")


def _bands(bands: CompetitionRules.Bands, path: str) -> Iterator[FieldViolation]:
    """From the lowest upwards, open at both ends, without gap or overlap."""
    full = Decimal(bands.full_points)
    if full <= 0:
        yield FieldViolation(f"{path}.full_points", "must be more than 0")
    last = len(bands.bands) - 1
    for index, band in enumerate(bands.bands):
        here = f"{path}.bands[{index}]"
        if not 0 <= Decimal(band.points) <= full:
            yield FieldViolation(f"{here}.points", f"must be from 0 to the full points, {full}")
        if not index and band.lower:
            yield FieldViolation(f"{here}.lower", "the first band is for everything below the second: leave it empty")
        if index and not band.lower:
            yield FieldViolation(f"{here}.lower", "is needed for every band but the first")
        if index == last and band.upper:
            yield FieldViolation(f"{here}.upper", "the last band has no upper end: leave it empty")
        if index < last and not band.upper:
            yield FieldViolation(f"{here}.upper", "is needed for every band but the last")
        if band.lower and band.upper and Decimal(band.upper) <= Decimal(band.lower):
            yield FieldViolation(f"{here}.upper", f"must be above the band's beginning, {band.lower}")
    for index, (below, above) in enumerate(pairwise(bands.bands), 1):
        if below.upper and above.lower:
            yield from joined(Decimal(below.upper), Decimal(above.lower), f"{path}.bands[{index}].lower")


def _ties(ties: Sequence[CompetitionRules.Tie], part_ids: Sequence[str], path: str) -> Iterator[FieldViolation]:
    seen: set[str | CompetitionRules.Rule.ValueType] = set()
    last = len(ties) - 1
    for index, tie in enumerate(ties):
        here, by = f"{path}[{index}]", tie.part_id or tie.rule
        if by in seen:
            yield FieldViolation(here, "has told them apart before: name it once")
        seen.add(by)
        if tie.part_id and tie.part_id not in part_ids:
            yield FieldViolation(f"{here}.part_id", f"there is no part {tie.part_id}")
        if index < last and tie.rule in LEAVE_NO_TIE:
            yield FieldViolation(f"{here}.rule", "leaves no tie: nothing may follow it")
        if index == last and tie.rule not in LEAVE_NO_TIE:
            yield FieldViolation(here, "may leave a tie: let RULE_APPLIED_FIRST or RULE_LOT follow it")


def _rubric(bands: Sequence[QuestionBank.RubricBand], path: str) -> Iterator[FieldViolation]:
    """From 0 upwards, each of whole points, beginning one above the end of the one before it."""
    yield from repeated([band.band_id for band in bands], [f"{path}[{i}].band_id" for i in range(len(bands))])
    start = 0
    for index, band in enumerate(bands):
        if band.lower != start:
            problem = "are in no band" if band.lower > start else "are in two bands"
            points = sorted((band.lower, start))
            message = f"{points[0]} to {points[1] - 1} points {problem}: begin at {start}"
            yield FieldViolation(f"{path}[{index}].lower", message)
        if band.upper < band.lower:
            yield FieldViolation(f"{path}[{index}].upper", f"is below the band's beginning, {band.lower}")
        start = band.upper + 1
    if bands and bands[-1].upper == 0:
        yield FieldViolation(f"{path}[{len(bands) - 1}].upper", "every answer would score 0")


def _texts(texts: Iterable[QuestionBank.Text], path: str) -> Iterator[FieldViolation]:
    languages = [text.language for text in texts]
    yield from repeated(languages, [f"{path}.texts[{i}].language" for i in range(len(languages))])
