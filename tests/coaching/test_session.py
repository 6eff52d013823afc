"""Sessions: every command in every state, what is refused, and what changes nothing."""

from datetime import UTC, date, datetime

import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.days import timestamp
from libs.common.envelope import ERASED
from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.coaching.session import PLAN_CLOSED, SESSION, State, interview_id, to_resource
from stepladder.coaching.v1.events_pb2 import (
    ActionFollowedUp,
    SessionAcknowledged,
    SessionCancelled,
    SessionHeld,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
)
from stepladder.coaching.v1.session_pb2 import (
    Absence,
    AcknowledgeSessionRequest,
    AgreedAction,
    CancelSessionRequest,
    EndSession,
    FollowUpActionRequest,
    HoldSession,
    HoldSessionRequest,
    MissSessionRequest,
    RescheduleSessionRequest,
    Rescheduling,
    ScheduleSession,
    ScheduleSessionRequest,
    Session,
)
from tests.deciding import TODAY, Given, days, given, twice_is_once

IDS = {"session_id": "s-1", "employee_id": "u-1"}
"""The caller of the commands is the employee, who alone may acknowledge."""


def schedule(
    day: str = "2026-03-16",
    *,
    kind: "Session.Kind.ValueType" = Session.KIND_COACHING,
    plan_employee_id: str = "u-1",
    plan_closed: bool = False,
) -> ScheduleSession:
    request = ScheduleSessionRequest(
        session_id="s-1", employee_id="u-1", lead_id="e-9", kind=kind, plan_id="p-1", date=day
    )
    return ScheduleSession(request=request, plan_employee_id=plan_employee_id, plan_closed=plan_closed)


LISTEN = AgreedAction(owner_id="u-1", text="listen to three recordings", due_date="2026-03-20")
BOOK = AgreedAction(owner_id="e-9", text="book the course", due_date="2026-03-16")


def hold(
    held_date: str = "2026-03-16", *, feedback: str = "Let them finish, then ask.", action: AgreedAction = BOOK
) -> HoldSession:
    request = HoldSessionRequest(
        session_id="s-1", held_date=held_date, observed="Interrupted in two of three calls.", feedback=feedback
    )
    request.actions.extend([LISTEN, action])
    return HoldSession(request=request, rating_position=40)


def follow_up(number: int = 1, *, done: bool = True, day: str = "2026-03-16") -> FollowUpActionRequest:
    return FollowUpActionRequest(session_id="s-1", number=number, done=done, note="heard them", date=day)


SCHEDULED = SessionScheduled(lead_id="e-9", kind=Session.KIND_COACHING, plan_id="p-1", date="2026-03-16", **IDS)
INTERVIEW = SessionScheduled(lead_id="e-9", kind=Session.KIND_INTERVIEW, month="2026-02", date="2026-03-16", **IDS)
RESCHEDULED = SessionRescheduled(date="2026-03-17", reason="a sick colleague", plan_id="p-1", **IDS)
HELD = SessionHeld(
    held_date="2026-03-16",
    recorded_date="2026-03-16",
    held_by="user:u-1",
    observed="Interrupted in two of three calls.",
    feedback="Let them finish, then ask.",
    actions=[AgreedAction(owner_id="u-1", due_date="2026-03-20"), AgreedAction(owner_id="e-9", due_date="2026-03-16")],
    texts=["listen to three recordings", "book the course"],
    rating_position=40,
    **IDS,
)
MISSED = SessionMissed(date="2026-03-16", absent=Session.PARTY_EMPLOYEE, reason="did not come", **IDS)
CANCELLED = SessionCancelled(reason="on leave", **IDS)
ENDED = SessionCancelled(reason=PLAN_CLOSED, **IDS)
ACKNOWLEDGED = SessionAcknowledged(
    acknowledged_time=timestamp(datetime(2026, 3, 16, 9, tzinfo=UTC)), words="I did not notice.", **IDS
)
FOLLOWED_UP = ActionFollowedUp(
    number=1, done=True, note="heard them", date="2026-03-16", followed_up_by="user:u-1", **IDS
)

RESCHEDULE = RescheduleSessionRequest(session_id="s-1", date="2026-03-17", reason="a sick colleague")
MISS = MissSessionRequest(session_id="s-1", absent=Session.PARTY_EMPLOYEE, reason="did not come")
CANCEL = CancelSessionRequest(session_id="s-1", reason="on leave")
END = EndSession(session_id="s-1")
ACKNOWLEDGE = AcknowledgeSessionRequest(session_id="s-1", words="I did not notice.")

PATHS: dict[str, list[Message]] = {
    "NONE": [],
    "SCHEDULED": [SCHEDULED],
    "HELD": [SCHEDULED, HELD],
    "acknowledged": [SCHEDULED, HELD, ACKNOWLEDGED],
    "followed up": [SCHEDULED, HELD, FOLLOWED_UP],
    "MISSED": [SCHEDULED, MISSED],
    "CANCELLED": [SCHEDULED, CANCELLED],
    "interview CANCELLED": [INTERVIEW, CANCELLED],
}
COMMANDS: dict[str, Message] = {
    "schedule": schedule(),
    "reschedule": RESCHEDULE,
    "hold": hold(),
    "miss": MISS,
    "cancel": CANCEL,
    "end": END,
    "acknowledge": ACKNOWLEDGE,
    "follow up": follow_up(),
}
ALLOWED: dict[tuple[str, str], Message | None] = {
    ("NONE", "schedule"): SCHEDULED,
    **{(state, "schedule"): None for state in PATHS if state not in ("NONE", "interview CANCELLED")},
    ("SCHEDULED", "reschedule"): RESCHEDULED,
    ("MISSED", "reschedule"): RESCHEDULED,
    ("interview CANCELLED", "reschedule"): SessionRescheduled(date="2026-03-17", reason="a sick colleague", **IDS),
    ("SCHEDULED", "hold"): HELD,
    **{(state, "hold"): None for state in ("HELD", "acknowledged", "followed up")},
    ("SCHEDULED", "miss"): MISSED,
    ("MISSED", "miss"): None,
    ("SCHEDULED", "cancel"): CANCELLED,
    ("CANCELLED", "cancel"): None,
    ("interview CANCELLED", "cancel"): None,
    ("SCHEDULED", "end"): ENDED,
    **{(state, "end"): None for state in PATHS if state not in ("NONE", "SCHEDULED")},
    ("HELD", "acknowledge"): ACKNOWLEDGED,
    ("followed up", "acknowledge"): ACKNOWLEDGED,
    ("acknowledged", "acknowledge"): None,
    ("HELD", "follow up"): FOLLOWED_UP,
    ("acknowledged", "follow up"): FOLLOWED_UP,
    ("followed up", "follow up"): None,
}
"""What follows from a command in a state, None: nothing. Everything else is refused."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", PATHS)
def test_every_command_in_every_state(state: str, command: str) -> None:
    """Allowed, it leads to its event, and said again to none; else its reason says why not."""
    when = given(SESSION, *PATHS[state]).when(COMMANDS[command])
    if (state, command) in ALLOWED:
        event = ALLOWED[state, command]
        after = when.then(*([event] if event else []))
        after.when(COMMANDS[command]).then()
    elif state == "NONE":
        when.refused(NotFound, "SESSION_NOT_FOUND")
    elif command == "schedule":
        when.refused(AlreadyExists, "SESSION_EXISTS")
    else:
        when.refused(NotAllowed, "WRONG_STATE")


def test_an_interview_is_one_for_employee_and_month() -> None:
    """The same for the same, another for every month and employee; stored for ever."""
    assert interview_id("e-1", "2026-02") == "i-e4hnr2svxkz6wg62bgcw6nky5s"
    assert len({interview_id(who, month) for who in ("e-1", "e-2") for month in ("2026-02", "2026-03")}) == 4


@pytest.mark.parametrize(
    ("command", "kind", "reason"),
    [
        (schedule(plan_employee_id=""), NotFound, "PLAN_NOT_FOUND"),
        (schedule(plan_employee_id="e-2"), NotFound, "PLAN_NOT_FOUND"),
        (schedule(plan_closed=True), NotAllowed, "PLAN_CLOSED"),
        (schedule("2026-02-29"), Invalid, "DATE_INVALID"),
    ],
)
def test_a_session_is_of_a_running_plan_of_the_employee(
    command: ScheduleSession, kind: type[Invalid | NotFound | NotAllowed], reason: str
) -> None:
    """On a day of the calendar."""
    given(SESSION).when(command).refused(kind, reason)


def test_what_was_scheduled_stays_scheduled_when_the_plan_is_closed_later() -> None:
    """Saying so again is no new session."""
    given(SESSION, SCHEDULED).when(schedule(plan_closed=True)).then()


def test_nobody_holds_a_session_with_themself() -> None:
    """Whoever leads their own team has somebody else to talk to."""
    alone = schedule()
    alone.request.lead_id = "u-1"
    given(SESSION).when(alone).refused(Invalid, "LEAD_INVALID")


@pytest.mark.parametrize(
    ("kind", "ids", "fine"),
    [
        (Session.KIND_COACHING, {"session_id": "s-1", "plan_id": "p-1"}, True),
        (Session.KIND_SHADOWING, {"session_id": "s-1"}, True),
        (Session.KIND_INTERVIEW, {"month": "2026-02"}, True),
        (Session.KIND_COACHING, {"session_id": "s-1"}, False),
        (Session.KIND_COACHING, {"session_id": "s-1", "plan_id": "p-1", "month": "2026-02"}, False),
        (Session.KIND_SHADOWING, {"session_id": "s-1", "plan_id": "p-1"}, False),
        (Session.KIND_SHADOWING, {"session_id": "i-1"}, False),
        (Session.KIND_SHADOWING, {}, False),
        (Session.KIND_INTERVIEW, {"session_id": "s-1", "month": "2026-02"}, False),
        (Session.KIND_INTERVIEW, {}, False),
    ],
)
def test_what_a_session_names(kind: "Session.Kind.ValueType", ids: dict[str, str], fine: bool) -> None:
    """A plan's session its plan, an interview its month; and nobody takes the id of an interview."""
    request = ScheduleSessionRequest(employee_id="e-1", lead_id="e-9", kind=kind, date="2026-03-16", **ids)
    if fine:
        protovalidate.validate(request)
    else:
        with pytest.raises(protovalidate.ValidationError):
            protovalidate.validate(request)


def test_it_is_moved_to_a_day_ahead() -> None:
    """Each time is kept, with the day that it was on; today will do, yesterday will not."""
    moved = given(SESSION, SCHEDULED).when(RESCHEDULE).then(RESCHEDULED)
    moved.when(RescheduleSessionRequest(date="2026-03-15", reason="why not")).refused(Invalid, "DATE_INVALID")
    back = moved.when(RescheduleSessionRequest(date="2026-03-16", reason="back again"))
    back.then(SessionRescheduled(date="2026-03-16", reason="back again", plan_id="p-1", **IDS))
    assert moved.state.reschedulings == (Rescheduling(from_date="2026-03-16", reason="a sick colleague"),)


def test_a_session_missed_is_made_up_for() -> None:
    """The absence stays, and a second one is told apart from the first."""
    again = given(SESSION, SCHEDULED, MISSED).when(RESCHEDULE).then(RESCHEDULED)
    again.when(MISS).refused(NotAllowed, "DAY_AHEAD")
    later = SessionMissed(date="2026-03-17", absent=Session.PARTY_EMPLOYEE, reason="did not come", **IDS)
    twice = again.when(MISS, today=date(2026, 3, 17)).then(later)
    assert [one.date for one in twice.state.absences] == ["2026-03-16", "2026-03-17"]
    assert twice.state.absences[0] == Absence(date="2026-03-16", absent=Session.PARTY_EMPLOYEE, reason="did not come")


def test_it_is_held_on_a_day_that_has_come() -> None:
    """Nothing is agreed to be done before, by nobody who was not there; the field is named."""
    scheduled = given(SESSION, SCHEDULED)
    wrong = {
        "held_date": hold("2026-03-17"),
        "actions[1].due_date": hold(action=AgreedAction(owner_id="e-9", text="book it", due_date="2026-03-15")),
        "actions[1].owner_id": hold(action=AgreedAction(owner_id="e-3", text="book it", due_date="2026-03-16")),
    }
    for name, command in wrong.items():
        refusal = scheduled.when(command).refused(Invalid, "OWNER_INVALID" if "owner" in name else "DATE_INVALID")
        assert [one.field for one in refusal.violations] == [name]


def test_it_is_not_held_before_its_month_nor_long_ago() -> None:
    """An interview is about a month that has begun; what was more than a year ago is not told any more."""
    interview = given(SESSION, INTERVIEW)
    interview.when(hold("2026-01-31")).refused(Invalid, "DATE_INVALID")
    given(SESSION, SCHEDULED).when(hold("2025-03-14")).refused(Invalid, "DATE_INVALID")
    given(SESSION).when(schedule("2025-03-14")).refused(Invalid, "DATE_INVALID")


def test_it_may_be_told_later_that_it_was_held() -> None:
    """On which day that was told is kept."""
    earlier = SessionHeld()
    earlier.CopyFrom(HELD)
    earlier.held_date = "2026-03-13"
    given(SESSION, SCHEDULED).when(hold("2026-03-13")).then(earlier)


def test_minutes_are_not_rewritten() -> None:
    """Holding it again in other words is refused; a scorecard that came meanwhile is no other word."""
    held = given(SESSION, SCHEDULED, HELD)
    held.when(hold(feedback="Speak more slowly.")).refused(NotAllowed, "WRONG_STATE")
    later = hold()
    later.rating_position = 99
    held.when(later, today=date(2026, 3, 30)).then()


def test_the_employee_acknowledges_once() -> None:
    """In their own words, which stay."""
    held = given(SESSION, SCHEDULED, HELD)
    acknowledged = held.when(ACKNOWLEDGE).then(ACKNOWLEDGED)
    other = AcknowledgeSessionRequest(session_id="s-1", words="I see.")
    acknowledged.when(other).refused(NotAllowed, "ALREADY_ACKNOWLEDGED")


def test_the_last_word_on_an_action_counts() -> None:
    """Not done, and done later; on a day since it was agreed, and only what was agreed."""
    held: Given[State] = given(SESSION, SCHEDULED, HELD)
    held.when(follow_up(3)).refused(NotFound, "ACTION_NOT_FOUND")
    for day in ("2026-03-15", "2026-03-17"):
        held.when(follow_up(day=day)).refused(Invalid, "DATE_INVALID")
    undone = ActionFollowedUp()
    undone.CopyFrom(FOLLOWED_UP)
    undone.done = False
    both = held.when(follow_up(done=False)).then(undone).when(follow_up()).then(FOLLOWED_UP)
    actions = to_resource(both.state, 9, TODAY, texts=True).minutes.actions
    assert [(one.number, one.text, one.HasField("follow_up")) for one in actions] == [
        (1, "listen to three recordings", True),
        (2, "book the course", False),
    ]
    assert actions[0].follow_up.done


def test_it_is_overdue_from_the_day_after() -> None:
    """Not on the day itself, and not once it was held, missed or cancelled."""
    for day, overdue in ((date(2026, 3, 16), False), (date(2026, 3, 17), True)):
        assert to_resource(given(SESSION, SCHEDULED).state, 1, day, texts=True).overdue == overdue
    for event in (HELD, MISSED, CANCELLED):
        assert not to_resource(given(SESSION, SCHEDULED, event).state, 2, date(2026, 4, 1), texts=True).overdue


def test_what_was_said_is_withheld() -> None:
    """Days, states and numbers stay; no text does."""
    events = [SCHEDULED, RESCHEDULED, MISSED, RESCHEDULED, HELD, ACKNOWLEDGED, FOLLOWED_UP]
    for story in (events, [SCHEDULED, CANCELLED], [SCHEDULED]):
        state = given(SESSION, *story).state
        told, kept = (to_resource(state, 9, TODAY, texts=texts) for texts in (False, True))
        for text in ("sick", "come", "Interrupted", "finish", "recordings", "notice", "heard", "leave"):
            assert text not in str(told)
        assert (told.state, told.date, len(told.reschedulings)) == (kept.state, kept.date, len(kept.reschedulings))
        assert told.HasField("minutes") == kept.HasField("minutes")
        assert [one.follow_up.done for one in told.minutes.actions] == [
            one.follow_up.done for one in kept.minutes.actions
        ]


def test_actions_of_somebody_erased() -> None:
    """They are still there, each without its text."""
    erased = SessionHeld()
    erased.CopyFrom(HELD)
    del erased.texts[:]
    erased.texts.append(ERASED)
    actions = to_resource(given(SESSION, SCHEDULED, erased).state, 2, TODAY, texts=True).minutes.actions
    assert [one.text for one in actions] == [ERASED, ERASED]


def test_saying_it_twice_changes_nothing() -> None:
    """Whatever is said of a session, in whatever order."""
    reasons = st.sampled_from(["a sick colleague", "did not come"])
    commands = st.one_of(
        st.builds(schedule, days, plan_closed=st.booleans()),
        st.builds(RescheduleSessionRequest, session_id=st.just("s-1"), date=days, reason=reasons),
        st.builds(hold, days, feedback=st.sampled_from(["Let them finish, then ask.", "Speak more slowly."])),
        st.builds(MissSessionRequest, session_id=st.just("s-1"), absent=st.sampled_from([1, 2]), reason=reasons),
        st.builds(CancelSessionRequest, session_id=st.just("s-1"), reason=reasons),
        st.just(END),
        st.builds(AcknowledgeSessionRequest, session_id=st.just("s-1"), words=st.sampled_from(["", "Yes."])),
        st.builds(follow_up, st.integers(1, 3), done=st.booleans(), day=days),
    )
    twice_is_once(SESSION, commands)
    twice_is_once(SESSION, commands, SCHEDULED, HELD)
