"""A team and who leads it, by day."""

from collections.abc import Sequence
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.updates import updated
from libs.facts import team
from libs.facts.team import State
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    RosterTeam,
    Team,
    UpdateTeamRequest,
)
from stepladder.performance.v1.events_pb2 import TeamCreated, TeamLeadAppointed, TeamLinked, TeamRenamed

Command = CreateTeamRequest | UpdateTeamRequest | AppointTeamLeadRequest | RosterTeam


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(team_id=""), CreateTeamRequest(team=team):
            return [TeamCreated(team_id=team.team_id, display_name=team.display_name)]
        case _, CreateTeamRequest(team=Team(display_name=state.created_as)):
            return []
        case _, CreateTeamRequest():
            raise AlreadyExists("TEAM_EXISTS", f"team {state.team_id} was created with other content")
        case _, RosterTeam() as entry:
            return _as_on_roster(state, entry, context)
        case State(team_id=""), _:
            raise NotFound("TEAM_NOT_FOUND", "there is no such team")
        case _, UpdateTeamRequest(team=given, update_mask=mask):
            name = updated(Team(display_name=state.display_name), given, mask, ["display_name"]).display_name
            return [] if name == state.display_name else [TeamRenamed(team_id=state.team_id, display_name=name)]
        case _, AppointTeamLeadRequest(lead_id=lead_id, effective_date=day):
            if state.lead_on(parse_day(day, "effective_date")) == lead_id:
                return []
            return [TeamLeadAppointed(team_id=state.team_id, lead_id=lead_id, effective_date=day)]
        case _, unknown:
            assert_never(unknown)


TEAM = team.TEAM.decided_by(decide)


def _as_on_roster(state: State, entry: RosterTeam, context: Context) -> list[Message]:
    """What it takes for a team to be as a roster says: as if each change had its own command."""
    if not (state.team_id or entry.display_name):
        raise Invalid("ENTRY_INCOMPLETE", "a new team needs a display_name")
    named = Team(team_id=entry.team_id, display_name=entry.display_name)
    events = list(
        decide(state, UpdateTeamRequest(team=named) if state.team_id else CreateTeamRequest(team=named), context)
    )
    external_id = entry.external_id if entry.HasField("external_id") else state.external_id
    given_up = entry.given_up if entry.HasField("given_up") else state.given_up
    if (external_id, given_up) != (state.external_id, state.given_up):
        events.append(TeamLinked(team_id=entry.team_id, external_id=external_id, given_up=given_up))
    if entry.HasField("lead_id") and state.lead_on(parse_day(entry.effective_date, "effective_date")) != entry.lead_id:
        events.append(
            TeamLeadAppointed(team_id=entry.team_id, lead_id=entry.lead_id, effective_date=entry.effective_date)
        )
    return events


def to_resource(state: State, position: int, day: date) -> Team:
    """The team as of a day."""
    return Team(
        team_id=state.team_id,
        display_name=state.display_name,
        lead_id=state.lead_on(day),
        etag=str(position),
        log_position=position,
        external_id=state.external_id,
        given_up=state.given_up,
    )
