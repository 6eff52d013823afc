"""Teams and who leads them."""

from datetime import date

from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotFound
from services.performance.team import TEAM, to_resource
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest, CreateTeamRequest, Team, UpdateTeamRequest
from stepladder.performance.v1.events_pb2 import TeamCreated, TeamLeadAppointed, TeamRenamed
from tests.deciding import days, given, twice_is_once

CREATED = TeamCreated(team_id="t-1", display_name="Early shift")


def create(name: str) -> CreateTeamRequest:
    return CreateTeamRequest(team=Team(team_id="t-1", display_name=name))


def rename(name: str, *mask: str) -> UpdateTeamRequest:
    return UpdateTeamRequest(team=Team(team_id="t-1", display_name=name), update_mask=FieldMask(paths=mask))


def appoint(lead_id: str, day: str) -> AppointTeamLeadRequest:
    return AppointTeamLeadRequest(team_id="t-1", lead_id=lead_id, effective_date=day)


def appointed(lead_id: str, day: str) -> TeamLeadAppointed:
    return TeamLeadAppointed(team_id="t-1", lead_id=lead_id, effective_date=day)


def test_create() -> None:
    """A team is created once."""
    given(TEAM).when(create("Early shift")).then(CREATED).when(create("Early shift")).then()


def test_create_with_other_content() -> None:
    """The id of a team is taken, whatever the team is called now."""
    renamed = given(TEAM, CREATED, TeamRenamed(team_id="t-1", display_name="Late shift"))
    renamed.when(create("Late shift")).refused(AlreadyExists, "TEAM_EXISTS")
    renamed.when(create("Early shift")).then()


def test_nothing_else_before_creation() -> None:
    """A team that does not exist can be neither renamed nor led."""
    given(TEAM).when(rename("Late shift")).refused(NotFound, "TEAM_NOT_FOUND")
    given(TEAM).when(appoint("e-1", "2026-01-01")).refused(NotFound, "TEAM_NOT_FOUND")


def test_rename() -> None:
    """Renaming works with an empty mask, the field's name and `*`; the name that it has changes nothing."""
    for mask in ((), ("display_name",), ("*",)):
        renamed = given(TEAM, CREATED).when(rename("Late shift", *mask))
        renamed.then(TeamRenamed(team_id="t-1", display_name="Late shift"))
    given(TEAM, CREATED).when(rename("Early shift")).then()


def test_update_of_another_field() -> None:
    """A mask with any other field is refused."""
    refused = given(TEAM, CREATED).when(rename("Late shift", "display_name", "lead_id"))
    assert refused.refused(Invalid, "FIELD_NOT_UPDATABLE").violations[0].field == "update_mask"


def test_lead_holds_from_a_day_until_the_next() -> None:
    """Appointments may come in any order, and one for the same day supersedes."""
    team = given(TEAM, CREATED, appointed("e-2", "2026-03-01"), appointed("e-1", "2026-01-01"))
    assert [team.state.lead_on(date(2026, month, 1)) for month in (1, 2, 3, 4)] == ["e-1", "e-1", "e-2", "e-2"]
    assert team.state.lead_on(date(2025, 12, 31)) == ""
    after = team.when(appoint("e-3", "2026-03-01")).then(appointed("e-3", "2026-03-01"))
    assert after.state.lead_on(date(2026, 3, 1)) == "e-3"


def test_appointing_who_leads_on_that_day() -> None:
    """Appointing the lead of that day changes nothing, before or after others."""
    team = given(TEAM, CREATED, appointed("e-1", "2026-01-01"), appointed("e-2", "2026-03-01"))
    team.when(appoint("e-1", "2026-02-01")).then()
    team.when(appoint("e-2", "2026-02-01")).then(appointed("e-2", "2026-02-01"))


def test_nobody_may_lead_a_team() -> None:
    """From a day on, until somebody is appointed; that nobody does already changes nothing."""
    team = given(TEAM, CREATED, appointed("e-1", "2026-01-01")).when(appoint("", "2026-02-01"))
    alone = team.then(appointed("", "2026-02-01"))
    assert (alone.state.lead_on(date(2026, 1, 31)), alone.state.lead_on(date(2026, 2, 1))) == ("e-1", "")
    alone.when(appoint("", "2026-03-01")).then()
    given(TEAM, CREATED).when(appoint("", "2026-03-01")).then()


def test_appointment_on_no_day() -> None:
    """29 February passes the contract every year, and the calendar only in leap years."""
    given(TEAM, CREATED).when(appoint("e-1", "2026-02-29")).refused(Invalid, "DATE_INVALID")
    given(TEAM, CREATED).when(appoint("e-1", "2028-02-29")).then(appointed("e-1", "2028-02-29"))


def test_resource() -> None:
    """The resource shows the lead of the day asked about, and the log's position as its etag."""
    team = given(TEAM, CREATED, appointed("e-1", "2026-03-01"))
    expected = Team(team_id="t-1", display_name="Early shift", lead_id="e-1", etag="42", log_position=42)
    assert to_resource(team.state, 42, date(2026, 3, 1)) == expected
    assert to_resource(team.state, 42, date(2026, 2, 1)).lead_id == ""


def test_twice_is_once() -> None:
    """Saying any command of a team twice changes nothing."""
    names, leads = st.sampled_from(["Early shift", "Late shift"]), st.sampled_from(["e-1", "e-2"])
    commands = st.one_of(st.builds(create, names), st.builds(rename, names), st.builds(appoint, leads, days))
    twice_is_once(TEAM, commands)
