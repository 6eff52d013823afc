"""Assessments of one employee: by their manager, who is named, and by their team, of whom only means are ever shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple, assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, Conflict, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from libs.facts.values import decimal
from stepladder.performance.v1.assessment_pb2 import (
    ASSESSOR_RELATION_MANAGER,
    ASSESSOR_RELATION_TEAM,
    AssessedBehaviour,
    Assessment,
    BehaviourMean,
    CancelAssessmentRequest,
    CloseAssessment,
    CloseAssessmentRequest,
    GiveAssessment,
    GiveAssessmentRequest,
    ManagerAssessment,
    OpenAssessment,
    OpenAssessmentRequest,
    TeamAssessment,
)
from stepladder.performance.v1.events_pb2 import (
    AssessmentCancelled,
    AssessmentClosed,
    AssessmentGiven,
    AssessmentOpened,
)
from stepladder.performance.v1.policy_pb2 import CompetencyModel

Command = OpenAssessment | GiveAssessment | CloseAssessment | CancelAssessmentRequest
Event = AssessmentOpened | AssessmentGiven | AssessmentClosed | AssessmentCancelled


class MonthSpan(NamedTuple):
    """From one month (YYYY-MM) to another, both inclusive."""

    start: str
    end: str

    def overlaps(self, other: "MonthSpan") -> bool:
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True, slots=True)
class Assessing:
    """One assessment, what each assessor gave last, and the team's means once it is closed; empty unless opened."""

    opened: AssessmentOpened = field(default_factory=AssessmentOpened)
    given: Mapping[str, AssessmentGiven] = field(default_factory=dict)
    team: TeamAssessment | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Every assessment of an employee by its months; those that are not cancelled do not overlap."""

    assessments: Mapping[MonthSpan, Assessing] = field(default_factory=dict)


def evolve(state: State, event: Message) -> State:
    event = cast(Event, event)
    months = MonthSpan(event.start_month, event.end_month)
    match event:
        case AssessmentOpened() as opened:
            after = Assessing(opened)
        case AssessmentGiven() as given:
            before = state.assessments[months]
            after = replace(before, given={**before.given, given.assessor_id: given})
        case AssessmentClosed(team=team):
            after = replace(state.assessments[months], team=team)
        case AssessmentCancelled():
            after = replace(state.assessments[months], cancelled=True)
        case unknown:
            assert_never(unknown)
    return State({**state.assessments, months: after})


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    command = cast(Command, command)
    request = command if isinstance(command, CancelAssessmentRequest) else command.request
    assessing = state.assessments.get(months_of(request), Assessing())
    match assessing, command:
        case (
            Assessing(opened=AssessmentOpened(model_id="")) | Assessing(cancelled=True),
            OpenAssessment(request=given, policy_position=position),
        ):
            _refuse_overlap(state, months_of(given))
            return [
                AssessmentOpened(
                    employee_id=given.employee_id,
                    start_month=given.start_month,
                    end_month=given.end_month,
                    model_id=given.model_id,
                    policy_position=position,
                )
            ]
        case _, OpenAssessment(request=given):
            if (model_id := assessing.opened.model_id) != given.model_id:
                raise AlreadyExists("ASSESSMENT_EXISTS", f"it was opened under the model {model_id}")
            return []
        case Assessing(opened=AssessmentOpened(model_id="")), _:
            raise NotFound("ASSESSMENT_NOT_FOUND", "no assessment of these months was opened")
        case Assessing(cancelled=True), CancelAssessmentRequest():
            return []
        case Assessing(cancelled=True), _:
            raise NotAllowed("CANCELLED", "the assessment of these months was cancelled")
        case _, GiveAssessment(policy=policy) | CloseAssessment(policy=policy) if (
            policy.log_position != assessing.opened.policy_position
        ):
            raise Conflict("REOPENED", "it was opened anew under another model just now; send it again")

        case _, GiveAssessment() as give:
            return _given(assessing, give, context)
        case Assessing(team=None), CloseAssessment(request=given, policy=policy):
            team = _team(assessing, policy.competency_model)
            return [
                AssessmentClosed(
                    employee_id=given.employee_id, start_month=given.start_month, end_month=given.end_month, team=team
                )
            ]
        case _, CloseAssessment():
            return []
        case Assessing(team=None), CancelAssessmentRequest() as cancel:
            return [
                AssessmentCancelled(
                    employee_id=cancel.employee_id,
                    start_month=cancel.start_month,
                    end_month=cancel.end_month,
                    reason=cancel.reason,
                )
            ]
        case _, CancelAssessmentRequest():
            raise NotAllowed("ASSESSMENT_CLOSED", "it is closed: what the team gave has been shown")
        case _, unknown:
            assert_never(unknown)


ASSESSMENT = Aggregate(name="performance.assessment", initial=State(), evolve=evolve, decide=decide)


def months_of(
    request: OpenAssessmentRequest | GiveAssessmentRequest | CloseAssessmentRequest | CancelAssessmentRequest,
) -> MonthSpan:
    return MonthSpan(request.start_month, request.end_month)


def _given(standing: Assessing, give: GiveAssessment, context: Context) -> list[Message]:
    request, model, assessor_id = give.request, give.policy.competency_model, context.actor.removeprefix("user:")
    if request.comment and give.relation == ASSESSOR_RELATION_TEAM:
        message = "words of one of the team would tell who they are: leave them out"
        raise Invalid("COMMENT_NOT_SHOWN", message, (FieldViolation("comment", message),))
    _refuse_wrong_levels(request.behaviours, model)
    if standing.team is not None:  # also of what they gave: an answer that differs would tell what that was
        raise NotAllowed("ASSESSMENT_CLOSED", "it is closed: nothing more is taken")
    given = AssessmentGiven(
        employee_id=request.employee_id,
        start_month=request.start_month,
        end_month=request.end_month,
        assessor_id=assessor_id,
        relation=give.relation,
        behaviours=request.behaviours,
        comment=request.comment,
    )
    return [] if standing.given.get(assessor_id) == given else [given]


def _refuse_wrong_levels(behaviours: Sequence[AssessedBehaviour], model: CompetencyModel) -> None:
    wanted = [behaviour.behaviour_id for behaviour in model.behaviours]
    named = [one.behaviour_id for one in behaviours]
    levels = [level.level for level in model.scale]
    if strangers := [one for one in named if one not in wanted]:
        raise NotFound("BEHAVIOUR_NOT_FOUND", f"the model has no behaviour {', '.join(strangers)}")
    if len(set(named)) < len(named):
        raise Invalid("BEHAVIOUR_TWICE", "a behaviour is assessed twice")
    if missing := [one for one in wanted if one not in named]:
        raise Invalid("BEHAVIOUR_MISSING", f"no level for {', '.join(missing)}")
    for one in behaviours:
        if one.level not in levels:
            message = f"{one.behaviour_id}: the levels are {levels[0]} to {levels[-1]}, not {one.level}"
            raise NotFound("LEVEL_NOT_FOUND", message)


def _refuse_overlap(state: State, months: MonthSpan) -> None:
    """Means of two spans that share a month would tell, by their difference, what somebody gave in only one of them."""
    for other, assessing in state.assessments.items():
        if other != months and not assessing.cancelled and other.overlaps(months):
            raise NotAllowed("SPANS_OVERLAP", f"there is an assessment from {other.start} to {other.end}")


def _team(standing: Assessing, model: CompetencyModel) -> TeamAssessment:
    given = [one for one in standing.given.values() if one.relation == ASSESSOR_RELATION_TEAM]
    count, fewest = len(given), model.minimum_assessors
    if count < fewest:
        raise NotAllowed("TOO_FEW_ASSESSORS", f"fewer than {fewest} of the team have given theirs")
    lowest, highest = model.scale[0].level, model.scale[-1].level
    means: list[BehaviourMean] = []
    for behaviour in model.behaviours:
        levels = [one.level for each in given for one in each.behaviours if one.behaviour_id == behaviour.behaviour_id]
        # At the ends of the scale a mean tells what each of them gave.
        total = min(max(sum(levels), count * lowest + 1), count * highest - 1)
        means.append(BehaviourMean(behaviour_id=behaviour.behaviour_id, mean=decimal(Fraction(total, count), 2)))
    return TeamAssessment(assessors=count, behaviours=means)


def to_resource(assessing: Assessing) -> Assessment:
    """What anyone may see."""
    opened, state = assessing.opened, Assessment.STATE_OPEN
    managers = [one for one in assessing.given.values() if one.relation == ASSESSOR_RELATION_MANAGER]
    if assessing.cancelled:
        state, managers = Assessment.STATE_CANCELLED, []
    elif assessing.team is not None:
        state = Assessment.STATE_CLOSED
    return Assessment(
        employee_id=opened.employee_id,
        start_month=opened.start_month,
        end_month=opened.end_month,
        model_id=opened.model_id,
        policy_position=opened.policy_position,
        state=state,
        managers=[
            ManagerAssessment(assessor_id=one.assessor_id, behaviours=one.behaviours, comment=one.comment)
            for one in managers
        ],
        team=assessing.team,
    )


def to_resources(state: State) -> list[Assessment]:
    """By span."""
    return [to_resource(assessing) for _, assessing in sorted(state.assessments.items(), key=lambda one: one[0])]
