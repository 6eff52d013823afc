"""What is decided about somebody is said: JSON drops a mistyped name, and what is missing must not count as a no."""

from collections.abc import Iterator

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate.validate_pb2 import field as RULES  # noqa: N812 - it is a constant
from tests.common.test_wording import CONTRACTS

LEFT = {
    # Has to be said of a complaint to HR, by a rule of the message; of nothing else can it be true.
    "stepladder.coaching.v1.RaiseSuggestionRequest.about_lead",
    # Worked out by the service, whatever a caller says.
    "stepladder.coaching.v1.EvidencePeriod.met",
    "stepladder.coaching.v1.FollowUp.done",
    "stepladder.coaching.v1.Measured.disputed",
    "stepladder.performance.v1.CalibrationResult.fatal_disagreement",
    "stepladder.performance.v1.ItemAgreement.disagreed",
    "stepladder.performance.v1.ItemAgreement.fatal_disagreement",
    # What somebody is by the directory; said anew it is put right.
    "stepladder.performance.v1.ChangePositionRequest.acting",
    "stepladder.performance.v1.Employee.acting",
    # Left out, it stays as it is; a roster that does not say that it is complete makes nobody leave.
    "stepladder.performance.v1.RosterEmployee.acting",
    "stepladder.performance.v1.RosterEmployee.employed",
    "stepladder.performance.v1.RosterTeam.given_up",
    "stepladder.performance.v1.StaffRoster.complete",
    # Output only.
    "stepladder.performance.v1.Team.given_up",
    # Records as they lie in the log, where false is not written: with presence, what was recorded before would not be
    # the same as what is said again. They are corrected like any other.
    "stepladder.performance.v1.Evaluation.Answer.not_applicable",
    "stepladder.performance.v1.Training.Exam.passed",
    "stepladder.performance.v1.Training.attended",
    # Rules and numbers for everybody: another version takes their place.
    "stepladder.performance.v1.CompetitionRules.normalize",
    "stepladder.performance.v1.CompetitionRules.objections_pause_notice",
    "stepladder.performance.v1.EligibilityRules.Courses.exam_passed",
    "stepladder.performance.v1.EligibilityRules.Criterion.waivable",
    "stepladder.performance.v1.EligibilityRules.Tenure.with_stars",
    "stepladder.performance.v1.Form.Item.fatal",
    "stepladder.performance.v1.Ladder.Rung.leads_team",
    "stepladder.performance.v1.Offence.dismissal_grade",
    "stepladder.performance.v1.QuestionBank.Question.compulsory",
    "stepladder.performance.v1.ScorecardPolicy.normalize",
    "stepladder.performance.v1.Target.per_day",
    "stepladder.promotion.v1.SetHeadcountRequest.unlimited",
}


def truths(kind: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    """Every bool of a message and of what lies in it, once."""
    if kind.full_name in seen:
        return
    seen.add(kind.full_name)
    for field in kind.fields:
        if field.type == FieldDescriptor.TYPE_BOOL:
            yield field
        elif field.message_type is not None:
            yield from truths(field.message_type, seen)


def test_every_truth_of_a_command_is_said_or_known_to_be_harmless() -> None:
    """Reads apart, a bool of a request is required, and seen to be missing; or it is listed here with a reason."""
    seen = set[str]()
    commands = [
        method.input_type
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not method.GetOptions().Extensions[annotations_pb2.http].get
    ]
    unsaid = {
        field.full_name
        for kind in commands
        for field in truths(kind, seen)
        if not (field.has_presence and field.GetOptions().Extensions[RULES].required)
    }
    assert unsaid == LEFT
