"""A team and who leads it, by day."""

from collections.abc import Sequence
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, NotFound
from libs.common.eventsourcing import Context
from libs.common.updates import updated
from libs.facts import team
from libs.facts.team import State
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest, CreateTeamRequest, Team, UpdateTeamRequest
from stepladder.performance.v1.events_pb2 import TeamCreated, TeamLeadAppointed, TeamRenamed

Command = CreateTeamRequest | UpdateTeamRequest | AppointTeamLeadRequest


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(team_id=""), CreateTeamRequest(team=team):
            return [TeamCreated(team_id=team.team_id, display_name=team.display_name)]
        case _, CreateTeamRequest(team=Team(display_name=state.created_as)):
            return []
        case _, CreateTeamRequest():
            raise AlreadyExists("TEAM_EXISTS", f"team {state.team_id} was created with other content")
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


def to_resource(state: State, position: int, day: date) -> Team:
    """The team as of a day."""
    return Team(
        team_id=state.team_id,
        display_name=state.display_name,
        lead_id=state.lead_on(day),
        etag=str(position),
        log_position=position,
    )
