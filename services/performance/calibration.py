"""A calibration round: reviewers score the same contact without knowing of each other, then see how far apart they are.

Nothing of it is in anyone's KPIs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from libs.facts.values import decimal
from services.performance.outcome import outcome_of
from stepladder.performance.v1.calibration_pb2 import (
    Calibration,
    CalibrationResult,
    CalibrationScores,
    CloseCalibrationRequest,
    ItemAgreement,
    OpenCalibration,
    RetractCalibrationRequest,
    ReviewerDeviation,
    ScoreCalibration,
)
from stepladder.performance.v1.events_pb2 import (
    CalibrationClosed,
    CalibrationOpened,
    CalibrationRetracted,
    CalibrationScored,
)
from stepladder.performance.v1.record_pb2 import Evaluation, Record

Command = OpenCalibration | ScoreCalibration | CloseCalibrationRequest | RetractCalibrationRequest
Event = CalibrationOpened | CalibrationScored | CalibrationClosed | CalibrationRetracted

FEWEST_SCORES = 2


@dataclass(frozen=True, slots=True)
class State:
    """A round as opened, what each reviewer gave last, and the result once it is closed; without an id before that."""

    calibration: Calibration = field(default_factory=Calibration)
    scores: Mapping[str, CalibrationScores] = field(default_factory=dict)
    result: CalibrationResult | None = None
    retracted: bool = False


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case CalibrationOpened(calibration=calibration):
            return State(calibration)
        case CalibrationScored(scores=scores):
            return replace(state, scores={**state.scores, scores.reviewer_id: scores})
        case CalibrationClosed(result=result):
            return replace(state, result=result)
        case CalibrationRetracted():
            return replace(state, retracted=True)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    round_id = state.calibration.calibration_id
    match state, cast(Command, command):
        case State(calibration=Calibration(calibration_id="")), OpenCalibration(calibration=given) as opening:
            _refuse_wrong_reviewers(given)
            return [CalibrationOpened(calibration=_opened(given, opening.policy_position))]
        case State(retracted=True), OpenCalibration():
            raise NotAllowed("RETRACTED", f"calibration {round_id} was taken back: give a new one another id")
        case _, OpenCalibration(calibration=given):
            if _opened(given, state.calibration.policy_position) != state.calibration:
                raise AlreadyExists("CALIBRATION_EXISTS", f"calibration {round_id} is about something else")
            return []
        case State(calibration=Calibration(calibration_id="")), _:
            raise NotFound("CALIBRATION_NOT_FOUND", "there is no such calibration")
        case State(retracted=True), RetractCalibrationRequest():
            return []
        case State(retracted=True), _:
            raise NotAllowed("RETRACTED", f"calibration {round_id} was taken back")

        case _, ScoreCalibration() as given:
            return _scored(state, given, context)
        case State(result=None), CloseCalibrationRequest():
            missing = _refuse_too_few(state)
            result = _compared(state, missing)
            return [CalibrationClosed(calibration=state.calibration, result=result)]
        case _, CloseCalibrationRequest():
            return []
        case _, RetractCalibrationRequest(reason=reason):
            employee_id = state.calibration.employee_id
            return [CalibrationRetracted(calibration_id=round_id, employee_id=employee_id, reason=reason)]
        case _, unknown:
            assert_never(unknown)


CALIBRATION = Aggregate(name="performance.calibration", initial=State(), evolve=evolve, decide=decide)


def deviations(calibration: Calibration, result: CalibrationResult) -> dict[str, Fraction]:
    """By reviewer, how far the score is from the reference's, or without one from the mean of the others'. Exact."""
    scores = {one.reviewer_id: Fraction(one.score) for one in result.deviations}
    reference = scores.pop(calibration.reference_id, None)
    if reference is not None:
        return {reviewer_id: score - reference for reviewer_id, score in scores.items()}
    whole, others = sum(scores.values(), Fraction()), len(scores) - 1
    return {reviewer_id: score - (whole - score) / others for reviewer_id, score in scores.items()}


def _scored(state: State, given: ScoreCalibration, context: Context) -> list[Message]:
    calibration, reviewer_id = state.calibration, context.actor.removeprefix("user:")
    evaluation = Evaluation(form_id=calibration.form_id, evaluator_id=reviewer_id, answers=given.answers)
    outcome = outcome_of(Record(date=calibration.date, evaluation=evaluation), given.policy)
    scores = CalibrationScores(
        reviewer_id=reviewer_id,
        answers=given.answers,
        score=outcome.score,
        fatal_item_ids=outcome.fatal_item_ids,
    )
    if state.scores.get(reviewer_id) == scores:
        return []
    if state.result is not None:
        raise NotAllowed("CALIBRATION_CLOSED", f"calibration {calibration.calibration_id} is closed")
    return [CalibrationScored(calibration_id=calibration.calibration_id, scores=scores)]


def _refuse_wrong_reviewers(given: Calibration) -> None:
    wrong = {
        "reviewer_ids": given.employee_id in given.reviewer_ids and "nobody reviews a contact of their own",
        "reference_id": given.reference_id not in ("", *given.reviewer_ids) and "must be one of the reviewers",
    }
    if violations := tuple(FieldViolation(f"calibration.{name}", text) for name, text in wrong.items() if text):
        raise Invalid("REVIEWER_INVALID", f"{violations[0].field}: {violations[0].message}", violations)


def _refuse_too_few(state: State) -> list[str]:
    """Who is missing where the others are enough."""
    calibration = state.calibration
    missing = [one for one in calibration.reviewer_ids if one not in state.scores]
    if len(state.scores) < FEWEST_SCORES:
        message = f"it takes {FEWEST_SCORES} to compare: there is nothing yet of {', '.join(missing)}"
        raise NotAllowed("TOO_FEW_SCORES", message)
    if calibration.reference_id in missing:
        message = f"the others are compared with {calibration.reference_id}, who has not scored yet"
        raise NotAllowed("REFERENCE_MISSING", message)
    return missing


def _compared(state: State, missing: Sequence[str]) -> CalibrationResult:
    given = _in_order(state)
    scores = [Fraction(one.score) for one in given]
    mean = sum(scores, Fraction()) / len(scores)
    result = CalibrationResult(
        mean=decimal(mean, 2),
        spread=decimal(max(scores) - min(scores), 2),
        deviations=[ReviewerDeviation(reviewer_id=one.reviewer_id, score=one.score) for one in given],
        items=_agreement(given),
        missing_reviewer_ids=missing,
    )
    result.fatal_disagreement = any(item.fatal_disagreement for item in result.items)
    found = deviations(state.calibration, result)
    from_consensus = found.values() if state.calibration.reference_id else [score - mean for score in scores]
    distance = sum((abs(one) for one in from_consensus), Fraction()) / len(from_consensus)
    result.mean_absolute_deviation = decimal(distance, 2)
    for one in result.deviations:
        if one.reviewer_id in found:
            one.deviation = decimal(found[one.reviewer_id], 2)
    return result


def _agreement(given: Sequence[CalibrationScores]) -> list[ItemAgreement]:
    by_item: dict[str, dict[str, Evaluation.Answer]] = {}
    for scores in given:
        for answer in scores.answers:
            by_item.setdefault(answer.item_id, {})[scores.reviewer_id] = answer
    fatal = {item_id for scores in given for item_id in scores.fatal_item_ids}
    items: list[ItemAgreement] = []
    for item_id, answers in sorted(by_item.items()):
        # What is achieved of an item that does not apply says nothing.
        said = {one: None if answer.not_applicable else answer.achieved for one, answer in answers.items()}
        missed = [one for one, achieved in said.items() if achieved is not None and achieved < 100]
        items.append(
            ItemAgreement(
                item_id=item_id,
                missed_reviewer_ids=missed,
                not_applicable_reviewer_ids=[one for one, achieved in said.items() if achieved is None],
                disagreed=len(set(said.values())) > 1,
                fatal_disagreement=item_id in fatal and len(missed) < len(said),
            )
        )
    return items


def _in_order(state: State) -> list[CalibrationScores]:
    """What was given, in the order of the reviewers: the order of giving is nobody's business."""
    return [state.scores[one] for one in state.calibration.reviewer_ids if one in state.scores]


def _opened(given: Calibration, policy_position: int) -> Calibration:
    """As given, without output-only fields but the version of the form."""
    return Calibration(
        calibration_id=given.calibration_id,
        employee_id=given.employee_id,
        contact_id=given.contact_id,
        date=given.date,
        form_id=given.form_id,
        reviewer_ids=given.reviewer_ids,
        reference_id=given.reference_id,
        policy_position=policy_position,
    )


def to_resource(state: State, position: int, actor: str) -> Calibration:
    """What a caller may see: of a round that was never closed no scores but their own."""
    given = _in_order(state)
    shown = Calibration(
        state=Calibration.STATE_RETRACTED
        if state.retracted
        else Calibration.STATE_OPEN
        if state.result is None
        else Calibration.STATE_CLOSED,
        scored_reviewer_ids=[one.reviewer_id for one in given],
        scores=[one for one in given if state.result is not None or actor == f"user:{one.reviewer_id}"],
        result=state.result,
        etag=str(position),
        log_position=position,
    )
    shown.MergeFrom(state.calibration)
    return shown
