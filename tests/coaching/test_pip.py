"""PIPs: the transition table, who may say what, and how business days are counted."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, get_args

import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.days import ONE_DAY
from libs.common.errors import AlreadyExists, Forbidden, Invalid, NotAllowed, NotFound, Refused
from services.coaching.pip import PIP, pip_key
from services.coaching.pip_content import content_of, put_texts, result_of
from services.coaching.pip_resource import to_resource
from services.coaching.pip_rights import Request, held, may
from services.coaching.pip_schedule import span_of
from services.coaching.pip_state import State, pins_of
from stepladder.coaching.v1.events_pb2 import PipClosed, PipDrafted, PipEdited
from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    CallPip,
    DecidePipRequest,
    DraftPipRequest,
    EditPipRequest,
    ElementResult,
    HoldPipCheckpointRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    NotePipDrift,
    NotePipRecord,
    Pip,
    PipCheckpoint,
    PipContent,
    PipDays,
    PipElement,
    PipEvidence,
    PipFailedConduct,
    PipRecordChange,
    ProposePipResultRequest,
    ReschedulePipCheckpointRequest,
    RespondToPipRequest,
    ReviewPipDriftRequest,
)
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import PipRules
from tests.coaching.pips import (
    ACKNOWLEDGE,
    ACTIVATE,
    AGENT,
    APPEAL,
    APPEAL_OVER,
    APPROVE,
    DECIDED,
    DELIVER,
    DRAFT,
    EDIT,
    EXTEND,
    FAIL,
    HEARING,
    HOLD,
    HR,
    HR2,
    IDS,
    LEAD,
    NAME_HEARER,
    NAME_WITNESS,
    NEUTRAL,
    OTHER_STANDARD,
    OVERRIDE,
    OVERTURN,
    PASS,
    PATHS,
    PAUSE,
    PERIOD_OVER,
    PROPOSE,
    PROPOSED,
    RESCHEDULE,
    RESPOND,
    RESUME,
    REVIEW_DRIFT,
    RULES,
    SEND_BACK,
    SUBMIT,
    UPHOLD,
    WITHDRAW,
    WITNESS,
    WITNESS_REFUSAL,
    Said,
    act,
    after,
    by,
    content,
    events_of,
    leave,
    measured,
    results,
    said,
    tick,
    weekdays,
)
from tests.deciding import TODAY, twice_is_once

COMMANDS: dict[str, tuple[Message, str]] = {
    "draft": (DRAFT, LEAD),
    "edit": (EDIT, LEAD),
    "edit the standard": (OTHER_STANDARD, LEAD),
    "submit": (SUBMIT, LEAD),
    "send back": (SEND_BACK, HR),
    "override": (OVERRIDE, HR),
    "approve": (APPROVE, HR),
    "deliver": (DELIVER, LEAD),
    "acknowledge": (ACKNOWLEDGE, AGENT),
    "name witness": (NAME_WITNESS, LEAD),
    "witness": (WITNESS_REFUSAL, WITNESS),
    "respond": (RESPOND, AGENT),
    "hold": (HOLD, LEAD),
    "reschedule": (RESCHEDULE, LEAD),
    "pause": (PAUSE, HR),
    "resume": (RESUME, HR),
    "propose": (PROPOSE, LEAD),
    "pass": (PASS, HR2),
    "extend": (EXTEND, HR2),
    "fail": (FAIL, HR2),
    "appeal": (APPEAL, AGENT),
    "name hearer": (NAME_HEARER, HR2),
    "uphold": (UPHOLD, NEUTRAL),
    "overturn": (OVERTURN, NEUTRAL),
    "withdraw": (WITHDRAW, HR),
    "review drift": (REVIEW_DRIFT, LEAD),
}
SAID, SECRET, WRONG, PAUSED = "", "NEED_TO_KNOW", "WRONG_STATE", "PAUSED"
AS_HR = {"pause": "PipPaused", "withdraw": "PipClosed"}
BEFORE = {"draft": SAID, "witness": SECRET, "uphold": SECRET, "overturn": SECRET}
"""What nobody is there to say yet."""
UNSEEN = BEFORE | dict.fromkeys(("acknowledge", "respond", "appeal"), SECRET)
"""Before delivery there is nothing for the employee."""
RUNNING = BEFORE | AS_HR | {"submit": SAID, "approve": SAID, "deliver": SAID, "respond": "PipResponded"}
LATER = RUNNING | {"acknowledge": SAID}
CLOSED = LATER | {"pause": WRONG, "withdraw": WRONG, "propose": SAID, "fail": SAID}
TABLE: dict[str, dict[str, str]] = {
    "nothing": dict.fromkeys(COMMANDS, "PIP_NOT_FOUND") | UNSEEN | {"draft": "PipDrafted"},
    "DRAFT": UNSEEN
    | {"edit": "PipEdited", "edit the standard": "PipEdited", "submit": "PipSubmitted"}
    | {"override": "PipPreconditionOverridden", "withdraw": "PipClosed"},
    "IN_REVIEW": UNSEEN
    | {"submit": SAID, "send back": "PipSentBack", "override": "PipPreconditionOverridden", "approve": "PipApproved"}
    | {"withdraw": "PipClosed"},
    "APPROVED": UNSEEN
    | {"submit": SAID, "approve": SAID, "send back": "PipSentBack", "deliver": "PipDelivered", "withdraw": "PipClosed"},
    "DELIVERED": RUNNING
    | {"edit": "PipEdited", "edit the standard": "PipClosed", "acknowledge": "PipAcknowledged PipStarted"}
    | {"name witness": "ACKNOWLEDGEMENT_RUNNING"},
    "ACTIVE": LATER
    | {"edit": "PipEdited", "edit the standard": "PipClosed"}
    | {"hold": "CHECKPOINT_TOO_EARLY", "reschedule": "PipCheckpointRescheduled"},
    "paused": dict.fromkeys(COMMANDS, PAUSED)
    | LATER
    | {"pause": SAID, "resume": "PipResumed", "appeal": WRONG, "review drift": WRONG},
    "DECISION_DUE": LATER | {"propose": "PipResultProposed"},
    "PROPOSED": LATER | {"propose": SAID, "pass": "PipDecided PipClosed", "extend": "PipDecided", "fail": "PipDecided"},
    "DECIDED": LATER | {"propose": SAID, "fail": SAID, "appeal": "PipAppealed"},
    "APPEALED": LATER
    | {"propose": SAID, "fail": SAID, "appeal": SAID, "name hearer": SAID}
    | {"uphold": "PipAppealHeard PipClosed", "overturn": "PipAppealHeard PipClosed"},
    "final": CLOSED,
    "overturned": CLOSED | {"appeal": SAID, "name hearer": SAID, "uphold": WRONG, "overturn": SAID},
}
"""What comes of each command, said by whom it is for: events, nothing, or the reason of a refusal, mostly the state."""


def outcome_of(state: State, given: Said) -> str:
    try:
        return " ".join(event.DESCRIPTOR.name for event in events_of(state, given))
    except Refused as refusal:
        return refusal.reason


@pytest.mark.parametrize("path", PATHS)
def test_every_command_in_every_state(path: str) -> None:
    """A step is taken from its states, changes nothing while it stands, and is refused elsewhere."""
    state, today = after(PATHS[path]), PATHS[path][-1].today if PATHS[path] else TODAY
    found = {name: outcome_of(state, by(actor, request, today)) for name, (request, actor) in COMMANDS.items()}
    assert found == dict.fromkeys(COMMANDS, WRONG) | TABLE[path]


EVERYONE = [AGENT, LEAD, HR, NEUTRAL, WITNESS, "stranger"]


def test_who_may_say_what() -> None:
    """In every state everybody for whom a command is not hears the same, whatever would come of it."""
    assert {type(request) for request, _ in COMMANDS.values()} == set(get_args(Request))
    heard = set()
    for path in PATHS.values():
        state = after(path)
        pip = state.pips.get("pip-1")
        for request, _ in COMMANDS.values():
            for actor in EVERYONE:
                command = act(request, actor)
                words = pip and held(pip, AGENT, f"user:{actor}", by_hr=command.by_hr, by_lead=command.by_lead)
                if pip is None and actor in {LEAD, HR}:
                    continue
                if not words or words.isdisjoint(may(type(request))):
                    with pytest.raises(Forbidden) as refused:
                        events_of(state, by(actor, request))
                    heard.add((refused.value.reason, refused.value.message))
    assert len(heard) == 1


def test_own_pips_are_met_as_the_employee_only() -> None:
    """Who is in HR, or leads, acts on their own PIP as nothing else."""
    for request in (APPROVE, PAUSE, FAIL, WITHDRAW, DRAFT):
        acting = act(request, AGENT)
        acting.by_hr = acting.by_lead = True
        for path in PATHS.values():
            with pytest.raises(Forbidden):
                PIP.decide(after(path), acting, by(AGENT, request).context)


def test_one_pip_at_a_time() -> None:
    """Another is refused while one is open, and welcome after; an id is used once."""
    other = DraftPipRequest(employee_id=AGENT, pip_id="pip-2", content=content())
    for name, path in PATHS.items():
        state = after(path)
        if name in ("final", "overturned"):
            assert len(after([by(LEAD, other, APPEAL_OVER)], state).pips) == 2
        elif name != "nothing":
            assert outcome_of(state, by(LEAD, other)) == "PIP_OPEN"
            with pytest.raises(AlreadyExists, match="other content"):
                events_of(state, by(LEAD, said(DraftPipRequest, content=content(period=21))))


def test_key() -> None:
    """Opaque, and the same for the same employee."""
    assert pip_key(AGENT) == pip_key(AGENT) != pip_key(LEAD)
    assert AGENT not in pip_key(AGENT)


def wrong(change: PipContent, rules: PipRules = RULES) -> list[str]:
    """The fields of a draft with which something is wrong."""
    with pytest.raises(Invalid) as refused:
        PIP.decide(State(), act(said(DraftPipRequest, content=change), LEAD, rules=rules), by(LEAD, DRAFT).context)
    return [one.field for one in refused.value.violations]


def test_what_a_draft_must_respect() -> None:
    """Each rule names its field."""
    assert wrong(content(period=4, reviews=[])) == ["content.period_business_days"]
    assert wrong(content(period=61, reviews=[10, 20, 30, 40, 50, 60])) == ["content.period_business_days"]
    for reviews in ([11], [5], [5, 16], [10, 21], []):
        assert wrong(content(reviews=reviews)) == ["content.review_business_days"]
    assert wrong(content(reviews=[10, 10])) == ["content.review_business_days"]
    twice = content()
    twice.elements[1].element_id = "csat"
    assert wrong(twice) == ["content.elements[1].element_id"]
    band = content()
    band.elements[0].maximum = "94"
    assert wrong(band) == ["content.elements[0].minimum"]


@pytest.mark.parametrize(
    ("days", "field"),
    [
        (("2025-03-15", "2026-02-28"), "evidence[0]"),
        (("2026-03-01", "2026-03-17"), "evidence[0]"),
        (("2026-02-28", "2026-02-01"), "evidence[0].days.end_date"),
    ],
)
def test_evidence_has_its_days(days: tuple[str, str], field: str) -> None:
    """Not older than the rules allow, not ahead, not backwards."""
    changed = content()
    changed.elements[0].evidence[0].days.CopyFrom(PipDays(start_date=days[0], end_date=days[1]))
    assert wrong(changed) == [f"content.elements[0].{field}"]


def test_evidence_shows_something() -> None:
    """Days on which nothing was recorded show nothing; days are no evidence of conduct; a record may be too old."""
    changed = content()
    changed.elements[0].evidence[0].measured.value = ""
    assert wrong(changed) == ["content.elements[0].evidence[0].days"]
    changed = content()
    changed.elements[1].evidence[0].CopyFrom(PipEvidence(days=PipDays(start_date="2026-02-01", end_date="2026-02-02")))
    assert wrong(changed) == ["content.elements[1].evidence[0].days"]
    changed = content()
    changed.elements[1].evidence[0].date = "2025-03-15"
    assert wrong(changed) == ["content.elements[1].evidence[0]"]
    changed.elements[1].evidence[0].date = "2025-03-16"
    assert events_of(State(), by(LEAD, said(DraftPipRequest, content=changed)))


def test_no_pips_without_rules() -> None:
    """Rules without a word on PIPs allow none."""
    bare = act(DRAFT, LEAD)
    bare.ClearField("rules")
    with pytest.raises(NotAllowed) as refused:
        PIP.decide(State(), bare, by(LEAD, DRAFT).context)
    assert refused.value.reason == "NO_PIP_RULES"


def test_bounds_are_those_of_a_measure() -> None:
    """The contract wants them for a measure, and for nothing else."""
    protovalidate.validate(DRAFT)
    for index, minimum in ((0, ""), (1, "95")):
        broken = content()
        broken.elements[index].minimum = minimum
        with pytest.raises(protovalidate.ValidationError, match="only a measure has them"):
            protovalidate.validate(broken)


def test_what_decisions_say() -> None:
    """An action follows from not passing only, business days from an extension only."""
    for good in (PASS, EXTEND, FAIL):
        protovalidate.validate(good)
    not_passed, passed, extended = Pip.RESULT_NOT_PASSED, Pip.RESULT_PASSED, Pip.RESULT_EXTENDED
    for bad in (
        said(DecidePipRequest, etag="1", reason="x", result=not_passed),
        said(DecidePipRequest, etag="1", reason="x", result=passed, action=Pip.ACTION_NONE),
        said(DecidePipRequest, etag="1", reason="x", result=extended),
        said(DecidePipRequest, etag="1", reason="x", result=passed, extension_business_days=3),
        said(DecidePipRequest, reason="x", result=passed),
    ):
        with pytest.raises(protovalidate.ValidationError):
            protovalidate.validate(bad)


@pytest.mark.parametrize(
    ("closed", "within", "done"),
    [("", 0, True), ("", 30, False), ("2026-02-14", 30, True), ("2026-02-13", 30, False), ("2025-01-01", 0, True)],
)
def test_coaching_comes_first(closed: str, within: int, done: bool) -> None:
    """A coaching plan failed shortly before, or HR overrides that with a reason; the rules may ask for none."""
    rules = PipRules()
    rules.CopyFrom(RULES)
    rules.coaching_within_days = within
    draft = Said(act(DRAFT, LEAD, closed=closed, rules=rules), f"user:{LEAD}")
    state = after([draft, by(LEAD, SUBMIT)])
    assert to_resource(state.pips["pip-1"], 1, frozenset()).coaching_done == done
    assert outcome_of(state, by(HR, APPROVE)) == ("PipApproved" if done else "COACHING_NEEDED")
    assert outcome_of(after([by(HR, OVERRIDE)], state), by(HR, APPROVE)) == "PipApproved"


def test_duties_are_separate() -> None:
    """Who wrote it neither approves nor decides it, who approved it does not decide, whatever they are by now."""
    drafted = Said(act(DRAFT, LEAD), f"user:{HR}")
    state = after([drafted, by(LEAD, SUBMIT)])
    assert outcome_of(state, by(HR, OVERRIDE)) == "SEPARATION_OF_DUTIES"
    assert outcome_of(state, by(HR, APPROVE)) == "SEPARATION_OF_DUTIES"
    state = after([by(HR2, APPROVE), by(HR, DELIVER), by(AGENT, ACKNOWLEDGE), *PROPOSED[5:]], state)
    for decision in (PASS, EXTEND, FAIL):
        for involved in (HR, HR2):
            assert outcome_of(state, by(involved, decision, PERIOD_OVER)) == "SEPARATION_OF_DUTIES"
        other = Said(act(decision, HR), "user:h-3", PERIOD_OVER)
        assert outcome_of(state, other).startswith("PipDecided")
    edited = after([by(LEAD, DRAFT), Said(act(EDIT, LEAD), f"user:{HR}"), by(LEAD, SUBMIT)])
    assert outcome_of(edited, by(HR, APPROVE)) == "SEPARATION_OF_DUTIES"
    proposed = after([*PROPOSED[:-1], Said(act(PROPOSE, LEAD), f"user:{HR}", PERIOD_OVER)])
    assert outcome_of(proposed, by(HR, FAIL, PERIOD_OVER)) == "SEPARATION_OF_DUTIES"


def test_a_part_once_had_is_had_for_good() -> None:
    """What was undone counts: an approval before it was sent back, a proposal or a decision before an extension."""
    again = [by(HR2, SEND_BACK), by(LEAD, EDIT), by(LEAD, SUBMIT), Said(act(APPROVE, HR), "user:h-3")]
    state = after([*ACTIVATE[:3], *again, *ACTIVATE[3:], *PROPOSED[5:]])
    assert outcome_of(state, by(HR, FAIL, PERIOD_OVER)) == "SEPARATION_OF_DUTIES"
    assert outcome_of(state, by(HR2, FAIL, PERIOD_OVER)) == "PipDecided"

    over = date(2026, 5, 1)
    led_by_hr = Said(act(PROPOSE, LEAD), "user:h-3", PERIOD_OVER)
    extended = after([*PROPOSED[:-1], led_by_hr, by(HR2, EXTEND, PERIOD_OVER), tick(over)])
    assert outcome_of(extended, Said(act(PROPOSE, LEAD), f"user:{HR2}", over)) == "SEPARATION_OF_DUTIES"
    proposed = after([by(LEAD, PROPOSE, over)], extended)
    assert outcome_of(proposed, Said(act(FAIL, HR), "user:h-3", over)) == "SEPARATION_OF_DUTIES"
    assert outcome_of(proposed, by(HR2, FAIL, over)) == "PipDecided"


@pytest.mark.parametrize("actor", [HR, HR2])
def test_who_approved_or_decided_does_not_write(actor: str) -> None:
    """Also if they lead the employee by now: they would have approved, or decided on, what is their own."""
    state = after([*PROPOSED, by(HR2, EXTEND, PERIOD_OVER)])
    for edit in (EDIT, OTHER_STANDARD):
        assert outcome_of(state, Said(act(edit, LEAD), f"user:{actor}", PERIOD_OVER)) == "SEPARATION_OF_DUTIES"


def test_who_waived_what_it_needs_does_not_write() -> None:
    """In whichever order: they would have waived what their own PIP needs."""
    waived = after([by(LEAD, DRAFT), by(HR, OVERRIDE)])
    assert outcome_of(waived, Said(act(EDIT, LEAD), f"user:{HR}")) == "SEPARATION_OF_DUTIES"
    assert outcome_of(waived, by(LEAD, EDIT)) == "PipEdited"


def test_an_appeal_goes_to_somebody_who_was_not_involved() -> None:
    """Neither the employee nor anybody who commanded anything or was a witness, nor who names them."""
    refused = [by(LEAD, NAME_WITNESS, date(2026, 3, 19)), by(WITNESS, WITNESS_REFUSAL, date(2026, 3, 19))]
    held = by(HR2, HOLD, date(2026, 3, 30))
    held.command.by_lead = True  # type: ignore[attr-defined] # it leads for a day
    over = date(2026, 4, 20)
    rest = [held, tick(over), by(LEAD, PROPOSE, over), by(HR2, FAIL, over), by(AGENT, APPEAL, over)]
    state = after([*PATHS["DELIVERED"], *refused, *rest])
    for hearer in (AGENT, LEAD, HR, HR2, WITNESS, "h-3"):
        name = act(said(NamePipHearerRequest, hearer_id=hearer), HR)
        found = outcome_of(state, Said(name, "user:h-3", over))
        assert found == "SEPARATION_OF_DUTIES", hearer
    assert outcome_of(state, by(HR2, NAME_HEARER, over)) == "PipHearerNamed"


def test_a_hearer_who_gets_involved_hears_nothing() -> None:
    """Another has to be named."""
    state = after([*HEARING[:-1], by(HR2, said(NamePipHearerRequest, hearer_id=HR), PERIOD_OVER)][:-1])
    name = Said(act(said(NamePipHearerRequest, hearer_id="h-3"), HR), f"user:{HR2}", PERIOD_OVER)
    pause = Said(act(PAUSE, HR), "user:h-3", PERIOD_OVER)
    resume = Said(act(RESUME, HR), f"user:{HR}", PERIOD_OVER)
    hear = by("h-3", UPHOLD, PERIOD_OVER)
    assert outcome_of(after([name], state), hear) == "PipAppealHeard PipClosed"
    involved = after([name, pause, resume], state)
    assert outcome_of(involved, hear) == "SEPARATION_OF_DUTIES"
    assert outcome_of(involved, by(HR, NAME_HEARER, PERIOD_OVER)) == "PipHearerNamed"


@pytest.mark.parametrize("witness", [AGENT, LEAD])
def test_a_witness_is_nobody_concerned(witness: str) -> None:
    """Neither the employee nor who wrote or delivered it; and not before the time to acknowledge is over."""
    name = said(NamePipWitnessRequest, witness_id=witness)
    state = after(PATHS["DELIVERED"])
    assert outcome_of(state, by(LEAD, name, date(2026, 3, 18))) == "ACKNOWLEDGEMENT_RUNNING"
    assert outcome_of(state, by(LEAD, name, date(2026, 3, 19))) == "SEPARATION_OF_DUTIES"
    state = after([tick(date(2026, 3, 19)), by(LEAD, NAME_WITNESS, date(2026, 3, 19))], state)
    assert state.pips["pip-1"].overdue
    state = after([by(WITNESS, WITNESS_REFUSAL, date(2026, 3, 19))], state)
    pip = to_resource(state.pips["pip-1"], 1, held(state.pips["pip-1"], AGENT, "user:x", by_hr=True, by_lead=False))
    assert (pip.state, pip.acknowledged_by, pip.refusal_note, pip.overdue) == (
        Pip.STATE_ACTIVE,
        f"user:{WITNESS}",
        "read it, would not sign",
        False,
    )


def test_a_rule_of_no_days_is_none() -> None:
    """The refusal may be witnessed at once, and no decision is ever late."""
    rules = PipRules(minimum_business_days=1, maximum_business_days=60, evidence_days=365, appeal_business_days=5)
    state = after([Said(act(DRAFT, LEAD, rules=rules), f"user:{LEAD}"), *PATHS["DELIVERED"][1:]])
    assert outcome_of(state, by(LEAD, NAME_WITNESS)) == "PipWitnessNamed"
    state = after([by(AGENT, ACKNOWLEDGE), tick(PERIOD_OVER)], state)
    assert outcome_of(state, tick(PERIOD_OVER + timedelta(days=100))) == ""


def one(state: State) -> Pip:
    """The PIP as HR sees it."""
    return to_resource(state.pips["pip-1"], 1, held(state.pips["pip-1"], AGENT, "user:x", by_hr=True, by_lead=False))


def test_the_period_counts_business_days() -> None:
    """From the day after, over a holiday; the version of the calendar is kept."""
    pip = one(after(ACTIVATE))
    assert (pip.start_date, pip.schedule.due_date) == ("2026-03-17", "2026-04-14")
    assert (pip.schedule.calendar_version, pip.schedule.calendar_position) == ("v1", 7)
    assert [(one.due_date, one.state) for one in pip.checkpoints] == [("2026-03-30", PipCheckpoint.STATE_PLANNED)]


def test_a_pause_keeps_the_business_days_that_are_left() -> None:
    """Five had run, fifteen are left from the day of the resumption; the review five days after."""
    paused = after([*ACTIVATE, by(HR, PAUSE, date(2026, 3, 24))])
    assert one(paused).schedule.used_business_days == 5
    assert one(paused).schedule.due_date == ""
    pip = one(after([by(HR, RESUME, date(2026, 4, 20))], paused))
    assert (pip.schedule.from_date, pip.schedule.due_date) == ("2026-04-20", "2026-05-08")
    assert [one.due_date for one in pip.checkpoints] == ["2026-04-24"]
    assert one(after([by(HR, RESUME, date(2026, 3, 24))], paused)).schedule.due_date == "2026-04-14"


def test_an_older_result_is_no_drift_of_a_newer_one() -> None:
    """Whoever measured what had come out before the extension says nothing of what came out after it."""
    again = date(2026, 4, 30)
    state = after([*PROPOSED, by(HR2, EXTEND, PERIOD_OVER)])
    call = CallPip(pip_id="pip-1", business_days=weekdays(), results=results("96.0"))
    call.results[0].measured.end_date = "2026-04-29"
    state = after([Said(call, "policy:pip-clock", again)], state)
    for end, told in (("2026-02-28", ""), ("2026-04-29", "PipEvidenceDrifted")):
        pin = PinDrift(pin="pip-1/csat/result", now=measured("94.5", end=end, known_at=90))
        assert outcome_of(state, Said(NotePipDrift(pins=[pin]), "policy:drift")) == told


def test_the_period_is_made_of_the_days_on_which_it_ran() -> None:
    """A leave that is heard of late is taken out, and so is every other pause; the first day is one that counts."""
    steps = [
        leave(date(2026, 3, 17), on_leave=True, back=date(2026, 3, 19)),
        leave(date(2026, 3, 19)),
        by(HR, PAUSE, date(2026, 3, 24)),
        by(HR, RESUME, date(2026, 3, 30)),
        by(LEAD, EDIT, date(2026, 4, 1)),
        by(AGENT, ACKNOWLEDGE, date(2026, 4, 7)),
    ]
    pip = after([*ACTIVATE, *steps]).pips["pip-1"]
    ran = pip.ran_until("2026-04-10")
    assert ran == (("2026-03-19", "2026-03-24"), ("2026-03-30", "2026-04-01"), ("2026-04-08", "2026-04-10"))
    first, last, without = span_of(ran)
    assert (first, last, pip.start_date) == ("2026-03-19", "2026-04-09", "2026-03-19")
    assert [(one.start_date, one.end_date) for one in without] == [
        ("2026-03-24", "2026-03-29"),
        ("2026-04-01", "2026-04-07"),
    ]


def test_a_pause_before_anything_has_run_gives_no_day_away() -> None:
    """The day of the acknowledgement does not count, whatever is paused and resumed on it."""
    for path, due in (("ACTIVE", "2026-04-14"), ("DELIVERED", "2026-03-18")):
        assert one(after([*PATHS[path], by(HR, PAUSE), by(HR, RESUME)])).schedule.due_date == due
    both = after([*ACTIVATE, leave(TODAY, on_leave=True), by(HR, PAUSE), by(HR, RESUME), leave(TODAY, on_leave=False)])
    assert one(both).schedule.due_date == "2026-04-14"


def test_nothing_falls_due_while_it_is_paused() -> None:
    """The clock may call as often as it likes."""
    for path in ("DELIVERED", "ACTIVE", "DECISION_DUE", "PROPOSED", "DECIDED"):
        today = PATHS[path][-1].today
        state = after([*PATHS[path], by(HR, PAUSE, today)])
        assert outcome_of(state, tick(today + timedelta(days=90))) == ""


def test_leave_pauses_from_its_day_and_its_end_resumes() -> None:
    """Whenever it is heard of; HR's own pause goes on beside it."""
    begin, back = date(2026, 3, 24), date(2026, 4, 20)
    state = after([*ACTIVATE, leave(begin, on_leave=True)])
    assert list(one(state).pauses) == [Pip.PAUSE_LEAVE]
    assert outcome_of(state, leave(begin, on_leave=True)) == ""
    assert outcome_of(state, by(HR, RESUME)) == WRONG
    assert one(after([leave(back, on_leave=False)], state)).schedule.due_date == "2026-05-08"
    both = after([by(HR, PAUSE, date(2026, 3, 25)), leave(back, on_leave=False)], state)
    assert list(one(both).pauses) == [Pip.PAUSE_HR]
    assert one(both).schedule.due_date == ""
    assert one(after([by(HR, RESUME, date(2026, 4, 21))], both)).schedule.due_date == "2026-05-11"


def test_leave_that_is_heard_of_late_counts_all_the_same() -> None:
    """Its days are given back; what was over before the period began changes nothing, nor does it twice."""
    state = after([*ACTIVATE, leave(date(2026, 3, 23), on_leave=True, back=date(2026, 3, 25))])
    state = after([leave(date(2026, 3, 25), on_leave=False)], state)
    assert one(state).schedule.due_date == "2026-04-16"
    for begin, back in ((date(2026, 3, 23), date(2026, 3, 25)), (date(2026, 3, 10), date(2026, 3, 17))):
        assert outcome_of(state, leave(begin, on_leave=True, back=back)) == ""
        assert outcome_of(state, leave(back, on_leave=False)) == ""
    earlier = after([*ACTIVATE, leave(date(2026, 3, 10), on_leave=True)])
    assert one(earlier).schedule.used_business_days == 0


def test_leave_that_is_heard_of_behind_another_pause_counts_all_the_same() -> None:
    """While that goes on, or when it is over; each day that ran is given back once, and those between stay counted."""
    pause, resume = by(HR, PAUSE, date(2026, 3, 24)), by(HR, RESUME, date(2026, 3, 31))
    first = [leave(date(2026, 3, 18), on_leave=True, back=date(2026, 3, 20)), leave(date(2026, 3, 20))]
    more = [leave(date(2026, 3, 20), on_leave=True, back=date(2026, 3, 23)), leave(date(2026, 3, 23))]
    assert one(after([*ACTIVATE, pause, resume])).schedule.due_date == "2026-04-21"
    for steps in ([pause, *first, resume], [pause, resume, *first]):
        state = after([*ACTIVATE, *steps])
        assert one(state).schedule.used_business_days == 3
        assert one(state).schedule.due_date == "2026-04-23"
        assert [outcome_of(state, step) for step in first] == ["", ""]
        again = after(more, state)
        assert one(again).schedule.due_date == "2026-04-24"
        assert [outcome_of(again, step) for step in (*more, *first)] == [""] * 4
    across = after([leave(date(2026, 3, 23), on_leave=True)], after([*ACTIVATE, pause, resume]))
    assert one(across).schedule.used_business_days == 4
    due = [*ACTIVATE, pause, resume, tick(date(2026, 4, 22))]
    assert [outcome_of(after(due), step) for step in first] == ["", ""]


@pytest.mark.parametrize("path", ["nothing", "DRAFT", "IN_REVIEW", "APPROVED", "final", "overturned"])
def test_leave_is_nothing_to_what_does_not_run(path: str) -> None:
    """A draft, and what is closed, is not paused; and nothing is delivered to somebody on leave."""
    assert outcome_of(after(PATHS[path]), leave(TODAY, on_leave=True)) == ""
    away = act(DELIVER, LEAD)
    away.on_leave = True
    assert outcome_of(after(PATHS["APPROVED"]), Said(away, f"user:{LEAD}")) == "ON_LEAVE"


def test_leave_keeps_the_time_to_appeal() -> None:
    """What ran keeps its days; the employee may appeal all the same."""
    state = after([*DECIDED, leave(date(2026, 4, 17), on_leave=True)])
    assert outcome_of(state, by(AGENT, APPEAL, date(2026, 8, 1))) == "PipAppealed"
    back = after([leave(date(2026, 5, 4), on_leave=False)], state)
    assert one(back).schedule.due_date == "2026-05-07"
    assert outcome_of(back, by(AGENT, APPEAL, date(2026, 5, 8))) == "APPEAL_TOO_LATE"


def test_no_edit_is_acknowledged_unread() -> None:
    """Who names what they have read is told of one that came in between; saying it again in time changes nothing."""
    read = said(AcknowledgePipRequest, edition=1)
    edited = after([by(LEAD, EDIT)], after(PATHS["DELIVERED"]))
    assert outcome_of(edited, by(AGENT, read)) == "PIP_EDITED"
    assert outcome_of(edited, by(AGENT, said(AcknowledgePipRequest, edition=one(edited).edition))) != "PIP_EDITED"
    acknowledged = after([by(AGENT, read)], after(PATHS["DELIVERED"]))
    assert outcome_of(acknowledged, by(AGENT, read)) == SAID
    assert outcome_of(after([by(LEAD, EDIT)], acknowledged), by(AGENT, read)) == "PIP_EDITED"


def test_an_edit_stops_the_period_until_it_is_acknowledged() -> None:
    """Four business days had run; the rest runs from the day after the acknowledgement."""
    state = after([*ACTIVATE, by(LEAD, EDIT, date(2026, 3, 23))])
    pip = one(state)
    assert (pip.state, pip.acknowledged_by, pip.content.support) == (
        Pip.STATE_DELIVERED,
        "",
        "a mentor, and a course",
    )
    assert pip.schedule.due_date == "2026-03-25"
    assert outcome_of(state, tick(date(2026, 3, 26))) == "PipFellOverdue"
    pip = one(after([by(AGENT, ACKNOWLEDGE, date(2026, 4, 20))], state))
    assert (pip.start_date, pip.schedule.from_date, pip.schedule.due_date) == ("2026-03-17", "2026-04-21", "2026-05-12")
    assert [one.due_date for one in pip.checkpoints] == ["2026-04-28"]


def changed(**fields: object) -> PipContent:
    """The content with another first element."""
    other = content()
    for name, value in fields.items():
        setattr(other.elements[0], name, value)
    return other


@pytest.mark.parametrize(
    ("other", "ends"),
    [
        (changed(minimum="95.0"), False),
        (changed(minimum="94.5"), False),
        (changed(minimum="95.5"), True),
        (changed(maximum="99"), True),
        (changed(standard="95 % every week"), True),
        (changed(element_id="satisfaction"), True),
        (content(support="none"), False),
    ],
)
def test_a_substantive_change_ends_a_pip_that_was_delivered(other: PipContent, ends: bool) -> None:
    """A stricter or other standard does, an easier one does not."""
    edit = by(LEAD, said(EditPipRequest, content=other))
    for path in ("DELIVERED", "ACTIVE"):
        state = after([*PATHS[path], edit])
        closed = one(state).state == Pip.STATE_CLOSED
        assert closed == ends
        if ends:
            assert one(state).outcome == Pip.OUTCOME_SUPERSEDED
            assert "new PIP" in one(state).outcome_reason
            assert outcome_of(state, edit) == ""
    assert outcome_of(after(PATHS["DRAFT"]), edit) == "PipEdited"


def test_a_standard_without_a_bound_that_it_had_is_easier() -> None:
    """One bound less is no substantive change; another element is."""
    band = changed(maximum="99")
    drafted = after([by(LEAD, said(DraftPipRequest, content=band)), *PATHS["DELIVERED"][1:]])
    assert outcome_of(drafted, by(LEAD, said(EditPipRequest, content=content()))) == "PipEdited"
    fewer = content()
    del fewer.elements[1]
    assert outcome_of(drafted, by(LEAD, said(EditPipRequest, content=fewer))) == "PipClosed"


def test_the_period_of_a_delivered_pip_is_fixed() -> None:
    """It changes by extension and pause; reviews by another day."""
    for other in (content(period=15), content(reviews=[5, 10])):
        edit = by(LEAD, said(EditPipRequest, content=other))
        assert outcome_of(after(PATHS["ACTIVE"]), edit) == "PERIOD_FIXED"
        assert outcome_of(after(PATHS["DRAFT"]), edit) == "PipEdited"


def test_checkpoints_are_held_missed_and_held_late() -> None:
    """Each once, with notes and what was measured; the clock only says that its day has passed."""
    state = after([*ACTIVATE, by(LEAD, HOLD, date(2026, 3, 30))])
    (held,) = one(state).checkpoints
    assert (held.state, held.held_date, held.notes, held.held_by) == (
        PipCheckpoint.STATE_HELD,
        "2026-03-30",
        "better",
        f"user:{LEAD}",
    )
    assert [one.element_id for one in held.results] == ["csat", "calls"]
    other = said(HoldPipCheckpointRequest, number=1, notes="worse")
    assert outcome_of(state, by(LEAD, other, date(2026, 3, 30))) == "CHECKPOINT_HELD"
    assert outcome_of(state, by(LEAD, RESCHEDULE, date(2026, 3, 20))) == "CHECKPOINT_HELD"
    assert outcome_of(state, tick(date(2026, 3, 31))) == ""
    missed = after([*ACTIVATE, tick(date(2026, 3, 31))])
    assert one(missed).checkpoints[0].state == PipCheckpoint.STATE_MISSED
    assert outcome_of(missed, tick(date(2026, 3, 31))) == ""
    assert one(after([by(LEAD, HOLD, date(2026, 4, 1))], missed)).checkpoints[0].state == PipCheckpoint.STATE_HELD
    none = said(HoldPipCheckpointRequest, number=2, notes="better")
    with pytest.raises(NotFound):
        events_of(missed, by(LEAD, none))


@pytest.mark.parametrize(
    ("day", "good"),
    [
        ("2026-03-16", False),
        ("2026-03-17", True),
        ("2026-03-21", False),
        ("2026-03-30", True),
        ("2026-03-31", False),
        ("2026-04-03", False),
        ("2026-04-15", False),
    ],
)
def test_another_day_for_a_checkpoint(day: str, good: bool) -> None:
    """A business day ahead, within the period and the time between two reviews."""
    move = said(ReschedulePipCheckpointRequest, number=1, date=day, reason="audit")
    assert outcome_of(after(ACTIVATE), by(LEAD, move)) == ("PipCheckpointRescheduled" if good else "DATE_INVALID")


def test_checkpoints_keep_their_order_and_their_day_of_the_period() -> None:
    """The second does not come before the first; after a pause the moved one keeps its distance."""
    state = after([by(LEAD, said(DraftPipRequest, content=content(reviews=[5, 10]))), *ACTIVATE[1:]])
    for number, day in ((1, "2026-03-30"), (2, "2026-03-23")):
        move = said(ReschedulePipCheckpointRequest, number=number, date=day, reason="audit")
        assert outcome_of(state, by(LEAD, move)) == "DATE_INVALID"
    moved = after([by(LEAD, said(ReschedulePipCheckpointRequest, number=1, date="2026-03-25", reason="x"))], state)
    assert [one.business_day for one in one(moved).checkpoints] == [7, 10]
    resumed = after([by(HR, PAUSE, date(2026, 3, 17)), by(HR, RESUME, date(2026, 3, 18))], moved)
    assert [one.due_date for one in one(resumed).checkpoints] == ["2026-03-26", "2026-03-31"]


def test_extended_once() -> None:
    """By so many business days from the day after the decision, with reviews of their own; then never again."""
    state = after([*PROPOSED, by(HR2, EXTEND, PERIOD_OVER)])
    pip = one(state)
    assert (pip.state, pip.extended, pip.schedule.due_date) == (Pip.STATE_ACTIVE, True, "2026-04-29")
    assert [(one.business_day, one.due_date) for one in pip.checkpoints] == [(10, "2026-03-30"), (25, "2026-04-22")]
    over = date(2026, 4, 30)
    again = after([tick(over), by(LEAD, PROPOSE, over)], state)
    assert one(again).result == Pip.RESULT_UNSPECIFIED
    assert outcome_of(again, by(HR2, EXTEND, over)) == "EXTENDED_ALREADY"
    assert outcome_of(again, by(HR2, FAIL, over)) == "PipDecided"


@pytest.mark.parametrize(("days", "reviews", "field"), [(11, [5], "extension_business_days"), (10, [11], "review_")])
def test_what_an_extension_must_respect(days: int, reviews: list[int], field: str) -> None:
    """Its length, and its reviews."""
    extend = said(
        DecidePipRequest,
        etag="1",
        result=Pip.RESULT_EXTENDED,
        reason="close",
        extension_business_days=days,
        review_business_days=reviews,
    )
    with pytest.raises(Invalid) as refused:
        events_of(after(PROPOSED), by(HR2, extend, PERIOD_OVER))
    assert refused.value.violations[0].field.startswith(field)


def due(value: str = "", today: date = PERIOD_OVER) -> Said:
    """The period is over; of the measure something was recorded in it, or nothing."""
    csat = content().elements[0]
    found = [result_of(csat, measured(value) if value else None), results()[1]]
    return Said(CallPip(pip_id="pip-1", business_days=weekdays(), results=found), "policy:pip-clock", today)


def not_passed(log_position: int = 90, day: str = "2026-03-20", element_id: str = "calls") -> list[Said]:
    """Proposed and decided so: an element failed, as a record of a day shows."""
    failed = [PipFailedConduct(element_id=element_id, log_position=log_position)]
    said = []
    for request, actor in ((PROPOSE, LEAD), (FAIL, HR2)):
        command = act(request, actor)
        given = command.propose if actor == LEAD else command.decide
        given.failed_conduct.extend(failed)
        if day:
            command.records.add(log_position=90, date=day, record_id="r-9")
        said.append(Said(command, f"user:{actor}", PERIOD_OVER))
    return said


@pytest.mark.parametrize("value", ["", "96.0"])
def test_nothing_is_not_passed_where_nothing_shows_it(value: str) -> None:
    """Neither proposed nor decided, whatever was proposed; it says what there is to do."""
    state = after([*ACTIVATE, due(value)])
    assert outcome_of(state, by(LEAD, PROPOSE, PERIOD_OVER)) == "NOTHING_NOT_MET"
    passing = by(LEAD, said(ProposePipResultRequest, result=Pip.RESULT_PASSED, reason="x"), PERIOD_OVER)
    state = after([passing], state)
    with pytest.raises(NotAllowed, match="pass it, extend it, or withdraw it") as refused:
        events_of(state, by(HR2, FAIL, PERIOD_OVER))
    assert refused.value.reason == "NOTHING_NOT_MET"
    assert outcome_of(state, by(HR2, PASS, PERIOD_OVER)) == "PipDecided PipClosed"
    over = date(2026, 4, 30)
    extended = after([by(HR2, EXTEND, PERIOD_OVER), due(value, over), replace(passing, today=over)], state)
    with pytest.raises(NotAllowed, match="pass it, or withdraw it"):
        events_of(extended, by(HR2, FAIL, over))
    fell_short = after([by(HR2, EXTEND, PERIOD_OVER), due("94.0", over), by(LEAD, PROPOSE, over)], state)
    assert outcome_of(fell_short, by(HR2, FAIL, over)) == "PipDecided"


def test_whether_a_standard_was_met_is_told_by_what_is_known_now() -> None:
    """Facts that came late, or were put right, and were looked at, let it fail or keep it from that."""
    look = by(LEAD, REVIEW_DRIFT, PERIOD_OVER)
    put_right = after([*PROPOSED, drifted("96.0", "result"), look])
    assert outcome_of(put_right, by(HR2, FAIL, PERIOD_OVER)) == "NOTHING_NOT_MET"
    late = after([*ACTIVATE, due("96.0"), drifted("94.0", "result"), look, by(LEAD, PROPOSE, PERIOD_OVER)])
    assert outcome_of(late, by(HR2, FAIL, PERIOD_OVER)) == "PipDecided"


def test_conduct_that_failed_is_named_with_a_record_of_the_period() -> None:
    """By whoever proposes and whoever decides; it is kept, shown, and drifts with the record."""
    state = after([*ACTIVATE, due()])
    propose, decide = not_passed()
    proposed = after([propose], state)
    assert outcome_of(proposed, by(HR2, FAIL, PERIOD_OVER)) == "NOTHING_NOT_MET"
    decided = after([decide], proposed)
    assert outcome_of(decided, decide) == ""
    failed = [PipFailedConduct(element_id="calls", log_position=90)]
    assert list(one(decided).proposed_failed_conduct) == list(one(decided).failed_conduct) == failed
    change = PipRecordChange(record_id="r-9", log_position=95)
    changed = after([Said(NotePipRecord(change=change), "policy:watch")], decided)
    assert list(one(changed).drift.records) == [change]
    assert outcome_of(changed, tick(APPEAL_OVER)) == ""


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (not_passed(element_id="csat"), "element_id"),
        (not_passed(element_id="x"), "element_id"),
        (not_passed(log_position=91), "log_position"),
        (not_passed(day=""), "log_position"),
        (not_passed(day="2026-03-16"), "log_position"),
        (not_passed(day="2026-04-15"), "log_position"),
    ],
)
def test_what_conduct_that_failed_must_respect(wrong: list[Said], field: str) -> None:
    """It is an element about conduct, and the record is the employee's, of the first to the last day of the period."""
    for state, step in ((after([*ACTIVATE, due()]), wrong[0]), (after(PROPOSED), wrong[1])):
        with pytest.raises(Invalid) as refused:
            events_of(state, step)
        assert [one.field for one in refused.value.violations] == [f"failed_conduct[0].{field}"]
    for day in ("2026-03-17", "2026-04-14"):
        assert outcome_of(after([*ACTIVATE, due()]), not_passed(day=day)[0]) == "PipResultProposed"


def test_an_appeal_is_heard_by_nobodys_peer() -> None:
    """Who hears it is in HR or leads a team when they are named, and when they hear it."""
    name, hear = act(NAME_HEARER, HR2), act(UPHOLD, NEUTRAL)
    name.may_hear = hear.may_hear = False
    appealed = after(HEARING[:-1])
    assert outcome_of(appealed, Said(name, f"user:{HR2}", PERIOD_OVER)) == "HEARER_UNFIT"
    assert outcome_of(after(HEARING), Said(hear, f"user:{NEUTRAL}", PERIOD_OVER)) == "HEARER_UNFIT"


def test_drift_is_looked_at_as_it_was_seen() -> None:
    """Whoever looks at it names the etag of what they saw."""
    protovalidate.validate(REVIEW_DRIFT)
    with pytest.raises(protovalidate.ValidationError, match="etag"):
        protovalidate.validate(said(ReviewPipDriftRequest, note="seen"))


def test_the_end_of_the_period_pins_results_and_decides_nothing() -> None:
    """What is measured is kept; then people propose and decide, and are late if they are."""
    assert outcome_of(after(ACTIVATE), tick(date(2026, 4, 14))) == "PipCheckpointMissed"
    state = after([*ACTIVATE, tick(PERIOD_OVER)])
    pip = one(state)
    assert (pip.state, pip.result, pip.outcome) == (
        Pip.STATE_DECISION_DUE,
        Pip.RESULT_UNSPECIFIED,
        Pip.OUTCOME_UNSPECIFIED,
    )
    assert [one.standard for one in pip.results] == [
        ElementResult.STANDARD_NOT_MET,
        ElementResult.STANDARD_NOT_MEASURED,
    ]
    assert outcome_of(state, tick(date(2026, 4, 17))) == ""
    late = after([tick(date(2026, 4, 20))], state)
    assert one(late).overdue
    assert outcome_of(late, tick(date(2026, 12, 20))) == ""


def test_passing_is_final_and_not_passing_waits_for_the_appeal() -> None:
    """Only the clock closes it, once the time is over."""
    passed = one(after([*PROPOSED, by(HR2, PASS, PERIOD_OVER)]))
    assert (passed.state, passed.outcome) == (Pip.STATE_CLOSED, Pip.OUTCOME_PASSED)
    state = after(DECIDED)
    assert outcome_of(state, tick(date(2026, 4, 22))) == ""
    assert outcome_of(state, by(AGENT, APPEAL, date(2026, 4, 22))) == "PipAppealed"
    assert outcome_of(state, by(AGENT, APPEAL, APPEAL_OVER)) == "APPEAL_TOO_LATE"
    final = one(after([tick(APPEAL_OVER)], state))
    assert (final.state, final.outcome, final.action) == (
        Pip.STATE_CLOSED,
        Pip.OUTCOME_NOT_PASSED,
        Pip.ACTION_TRANSFER,
    )


def test_an_appeal_upholds_or_overturns() -> None:
    """Upheld, the action stands; overturned, nothing of it does."""
    (_, upheld), (_, overturned) = (
        events_of(after(HEARING), by(NEUTRAL, hearing, PERIOD_OVER)) for hearing in (UPHOLD, OVERTURN)
    )
    ids: dict[str, Any] = {"by": f"user:{NEUTRAL}", "delivered_date": "2026-03-16", "closed_date": "2026-04-15", **IDS}
    assert upheld == PipClosed(outcome=Pip.OUTCOME_NOT_PASSED, action=Pip.ACTION_TRANSFER, **ids)
    assert overturned == PipClosed(outcome=Pip.OUTCOME_OVERTURNED, **ids)


def test_who_may_withdraw() -> None:
    """Who drafted it until it was decided, HR until it is closed; another lead may not."""
    other_lead = act(WITHDRAW, LEAD)
    for name in ("DRAFT", "ACTIVE", "PROPOSED"):
        state = after(PATHS[name])
        assert outcome_of(state, by(LEAD, WITHDRAW)) == "PipClosed"
        assert outcome_of(state, Said(other_lead, "user:e-8")) == SECRET
    for name in ("DECIDED", "APPEALED"):
        assert outcome_of(after(PATHS[name]), by(LEAD, WITHDRAW)) == WRONG
        assert outcome_of(after(PATHS[name]), by(HR, WITHDRAW)) == "PipClosed"
    assert events_of(after(PATHS["DRAFT"]), by(LEAD, WITHDRAW)) == [
        PipClosed(
            outcome=Pip.OUTCOME_WITHDRAWN, reason=WITHDRAW.reason, closed_date="2026-03-16", by=f"user:{LEAD}", **IDS
        )
    ]


def drifted(value: str = "96.0", what: str = "evidence/1") -> Said:
    """Facts have changed, and what is measured now, of the evidence or else, with them; 93.0 is as that was."""
    now = PinDrift(pin=f"pip-1/csat/{what}", now=measured(value, known_at=90))
    return Said(NotePipDrift(pins=[now]), "policy:drift")


@pytest.mark.parametrize(
    ("path", "blocked"),
    [("IN_REVIEW", by(HR, APPROVE)), ("PROPOSED", by(HR2, FAIL, PERIOD_OVER)), ("APPEALED", by(NEUTRAL, UPHOLD))],
)
def test_drift_blocks_decisions_until_somebody_has_looked(path: str, blocked: Said) -> None:
    """The looking is recorded; what drifts anew is looked at anew; what is as it was needs no look."""
    state = after([*PATHS[path], drifted()])
    assert outcome_of(state, drifted()) == ""
    assert outcome_of(state, blocked) == "DRIFT_NOT_REVIEWED"
    looked = after([by(LEAD, REVIEW_DRIFT)], state)
    drift = one(looked).drift
    assert (drift.reviewed, drift.reviewed_by, drift.note) == (True, f"user:{LEAD}", REVIEW_DRIFT.note)
    assert outcome_of(looked, blocked).startswith("Pip")
    assert outcome_of(after([drifted("97.0")], looked), blocked) == "DRIFT_NOT_REVIEWED"
    assert outcome_of(after([drifted("93.0")], state), blocked).startswith("Pip")
    early = NotePipDrift(pins=[PinDrift(pin="pip-1/csat/evidence/1", now=measured("93.0", known_at=89))])
    assert outcome_of(state, Said(early, "policy:drift")) == ""


def test_drift_keeps_a_decision_from_becoming_final() -> None:
    """The clock waits for the look; afterwards it is shown what would come out now, for ever."""
    state = after([*DECIDED, drifted("96.0", "result")])
    assert outcome_of(state, tick(APPEAL_OVER)) == ""
    final = after([by(HR2, REVIEW_DRIFT, APPEAL_OVER), tick(APPEAL_OVER)], state)
    assert [one.standard for one in one(final).drift.results] == [
        ElementResult.STANDARD_MET,
        ElementResult.STANDARD_NOT_MEASURED,
    ]
    later = after([drifted("93.0", "result")], final)
    assert one(later).drift.results[0].standard == ElementResult.STANDARD_NOT_MET
    assert not one(later).drift.reviewed


def test_a_changed_record_is_drift() -> None:
    """Of a record that is evidence; each change once, and an edit names its evidence anew."""

    def changed_record(record_id: str, position: int) -> Said:
        return Said(NotePipRecord(change=PipRecordChange(record_id=record_id, log_position=position)), "policy:watch")

    assert outcome_of(after(PATHS["IN_REVIEW"]), changed_record("r-1", 70)) == ""  # it was named as it is since then
    state = after([*PATHS["IN_REVIEW"], changed_record("r-1", 90)])
    assert list(one(state).drift.records) == [PipRecordChange(record_id="r-1", log_position=90)]
    assert outcome_of(state, by(HR, APPROVE)) == "DRIFT_NOT_REVIEWED"
    for known in (changed_record("r-1", 90), changed_record("r-1", 89), changed_record("r-2", 91)):
        assert outcome_of(state, known) == ""
    looked = after([by(LEAD, REVIEW_DRIFT)], state)
    assert outcome_of(looked, by(HR, APPROVE)) == "PipApproved"
    assert outcome_of(after([changed_record("r-1", 92)], looked), by(HR, APPROVE)) == "DRIFT_NOT_REVIEWED"
    edited = after([by(HR, SEND_BACK), by(LEAD, EDIT)], state)
    assert not one(edited).HasField("drift")


def test_pins() -> None:
    """Whatever was measured has a name that stays."""
    state = after([*ACTIVATE, by(LEAD, HOLD, date(2026, 3, 30)), tick(PERIOD_OVER)])
    found = pins_of(state)
    assert list(found) == ["pip-1/csat/evidence/1", "pip-1/csat/checkpoint/1", "pip-1/csat/result"]
    assert found["pip-1/csat/evidence/1"] == measured()


def test_the_employee_responds_whenever_they_like() -> None:
    """Every response is kept, in order."""
    state = after(PATHS["paused"])
    for text in ("one", "two"):
        state = after([by(AGENT, said(RespondToPipRequest, text=text))], state)
    assert [(one.text, one.date) for one in one(state).responses] == [("one", "2026-03-16"), ("two", "2026-03-16")]


def test_who_sees_what() -> None:
    """A witness sees that there is something to witness; an etag is for those who may change it."""
    pip = after([*PATHS["DELIVERED"], by(LEAD, NAME_WITNESS, date(2026, 3, 19))]).pips["pip-1"]
    hr, employee, witness = (
        to_resource(pip, 42, held(pip, AGENT, f"user:{who}", by_hr=who == HR, by_lead=False))
        for who in (HR, AGENT, WITNESS)
    )
    assert (hr.etag, hr.log_position, hr.content) == ("42", 42, content())
    assert (employee.etag, employee.log_position, employee.content) == ("", 0, content())
    assert witness == Pip(
        state=Pip.STATE_DELIVERED,
        delivered_by=f"user:{LEAD}",
        delivered_date="2026-03-16",
        witness_id=WITNESS,
        **IDS,
    )


@pytest.mark.parametrize("kind", [PipDrafted, PipEdited])
def test_texts_lie_beside_the_content(kind: type[PipDrafted] | type[PipEdited]) -> None:
    """And come back to it; erased ones say so, each."""
    event = kind()
    put_texts(event, content())
    for text in ("a mentor", "hangs up", "never", "95 % in", "end of employment"):
        assert text not in str(event.content)
    assert content_of(event) == content()
    for name in ("conducts", "standards"):
        event.ClearField(name)
        getattr(event, name).append("(erased)")
    event.support = event.consequence = "(erased)"
    erased = content_of(event)
    assert [(one.standard, one.conduct) for one in erased.elements] == [("(erased)", ""), ("(erased)", "(erased)")]


@pytest.mark.parametrize("path", PATHS)
def test_twice_is_once(path: str) -> None:
    """Whoever leads and is in HR at once may say any command twice from whichever state, and changes nothing by it."""
    commands = [act(request, actor) for request, actor in COMMANDS.values()]
    for command in commands:
        command.by_hr = command.by_lead = True
    twice_is_once(replace(PIP, initial=after(PATHS[path])), st.sampled_from(commands))


def test_reviews_are_held_from_the_first_day_on() -> None:
    """Acknowledged on Monday, the period begins on Tuesday: a review before it would be none."""
    assert outcome_of(after(ACTIVATE), by(LEAD, HOLD, TODAY)) == "CHECKPOINT_TOO_EARLY"
    assert outcome_of(after(ACTIVATE), by(LEAD, HOLD, TODAY + ONE_DAY)) == "PipCheckpointHeld"


@pytest.mark.parametrize(("minimum", "outcome"), [("93", "PIP_INVALID"), ("93.1", "PipDrafted")])
def test_evidence_is_of_a_standard_that_is_missed(minimum: str, outcome: str) -> None:
    """What meets the standard, all of it, is no reason for a PIP."""
    draft = said(DraftPipRequest, content=content(minimum=minimum))
    assert outcome_of(PIP.initial, by(LEAD, draft)) == outcome


def test_standards_are_compared_exactly() -> None:
    """Not as rounded to be shown; a time of day in seconds."""
    ratio = Kpi(aggregation=Kpi.AGGREGATION_RATIO, scale_numerator=100, scale_denominator=1, precision=1)
    almost = Measured(value="95.0", numerator=9496, denominator=10000)
    assert result_of(PipElement(minimum="95", definition=ratio), almost).standard == ElementResult.STANDARD_NOT_MET
    clock = Kpi(aggregation=Kpi.AGGREGATION_MAXIMUM, unit=Kpi.UNIT_TIME_OF_DAY, scale_numerator=1, scale_denominator=1)
    late = Measured(value="08:30:00", numerator=30600)
    assert result_of(PipElement(maximum="30000", definition=clock), late).standard == ElementResult.STANDARD_NOT_MET
    assert result_of(PipElement(maximum="30600", definition=clock), late).standard == ElementResult.STANDARD_MET


@pytest.mark.parametrize("path", ["DRAFT", "IN_REVIEW", "APPROVED", "DELIVERED", "ACTIVE", "DECISION_DUE", "PROPOSED"])
def test_whoever_leaves_has_no_pip_any_more(path: str) -> None:
    """Paused or not, before anything is decided; on no decision."""
    gone = leave(date(2026, 4, 20), left=True)
    for steps in ([], [by(HR, PAUSE, PATHS[path][-1].today)] if PATHS[path][3:] else []):
        ended = one(after([*PATHS[path], *steps, gone]))
        assert (ended.state, ended.outcome, ended.closed_date, list(ended.pauses)) == (
            Pip.STATE_CLOSED,
            Pip.OUTCOME_EMPLOYMENT_ENDED,
            "2026-04-20",
            [],
        )


@pytest.mark.parametrize("path", ["nothing", "DECIDED", "APPEALED", "final", "overturned"])
def test_leaving_undoes_no_decision(path: str) -> None:
    """It may still be appealed, or become final; a leave ends with the employment."""
    gone = leave(date(2026, 4, 20), left=True)
    assert outcome_of(after(PATHS[path]), gone) == ""
    if path == "DECIDED":
        away = after([*DECIDED, leave(date(2026, 4, 17), on_leave=True), gone])
        assert not one(away).pauses
        assert outcome_of(away, by(AGENT, APPEAL, date(2026, 4, 21))) == "PipAppealed"
