"""What is known of a team: who leads it, by day."""

from dataclasses import dataclass, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import History, holding_from, in_force
from libs.common.eventsourcing import Kind
from stepladder.performance.v1.events_pb2 import TeamCreated, TeamLeadAppointed, TeamLinked, TeamRenamed

Event = TeamCreated | TeamRenamed | TeamLinked | TeamLeadAppointed


@dataclass(frozen=True, slots=True)
class State:
    """A team; without an id before it is created. `created_as` is its first name."""

    team_id: str = ""
    created_as: str = ""
    display_name: str = ""
    external_id: str = ""
    given_up: bool = False
    leads: History[str] = ()

    def lead_on(self, day: date) -> str:
        """Id of the lead on a day; empty when there is none."""
        return in_force(self.leads, day) or ""


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case TeamCreated(team_id=team_id, display_name=name):
            return State(team_id=team_id, created_as=name, display_name=name)
        case TeamRenamed(display_name=name):
            return replace(state, display_name=name)
        case TeamLinked(external_id=external_id, given_up=given_up):
            return replace(state, external_id=external_id, given_up=given_up)
        case TeamLeadAppointed(lead_id=lead_id, effective_date=day):
            return replace(state, leads=holding_from(state.leads, date.fromisoformat(day), lead_id))
        case unknown:
            assert_never(unknown)


TEAM = Kind(name="performance.team", initial=State(), evolve=evolve)
