"""What somebody may not see is not looked for: not even the time that an answer takes tells that it is there."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from libs.common.access import Caller as Token
from libs.common.access import admit
from libs.common.eventsourcing import Context
from libs.common.streams import Entry
from libs.facts.people import People
from libs.facts.reaching import Caller, Reach, Reaches
from libs.facts.relations import Relation
from services.gateway.__main__ import EVENTS
from services.gateway.event_api import EventApi
from services.gateway.publication import publications
from stepladder.gateway.v1.event_stream_pb2 import EventFilter, ListEventsRequest
from tests.gateway.webhook_world import START, open_world

FACT, DISPUTE = "fact-recorded", "fact-disputed"
TYPES = {name: f"stepladder.performance.{name}.v1" for name in (FACT, DISPUTE)}


class Manager(Reaches):
    """Of anna: sees that there is something of her, and knows nothing of bert."""

    async def of(self, context: Context) -> Reach:
        plain = Caller("max", frozenset())
        to_anna = replace(plain, relations=frozenset({Relation.MANAGER}))
        return Reach(everybody=False, caller=plain, callers={"anna": to_anna}, own_team="heads", teams={})


@pytest.mark.parametrize(
    ("about", "types", "looked_for"),
    [
        ("anna", [FACT, DISPUTE], [FACT]),
        ("anna", [DISPUTE], []),
        ("bert", [FACT, DISPUTE], []),
    ],
)
async def test_only_what_may_be_shown_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: str, types: list[str], looked_for: list[str]
) -> None:
    admission = admit("stepladder.gateway.v1.EventService/ListEvents", Token("user:max"))
    context = Context(now=START, today=START.date(), actor="user:max", admission=admission)
    async with open_world(tmp_path) as world:
        for end, name in enumerate((FACT, DISPUTE)):
            entry = Entry(name, TYPES[name], b"{}")
            await world.events.publish_behind(end, [(f"events.performance.{name}.v1.riga.{about}", entry)])
        real, asked = world.events.last_position, list[str]()

        async def last_position(subject: str) -> int:
            asked.append(subject.split(".")[2])
            return await real(subject)

        monkeypatch.setattr(world.events, "last_position", last_position)
        reaches = Manager(world.service, People(MetaData()), world.follower)
        api = EventApi(world.service, world.events, reaches, publications(EVENTS))
        request = ListEventsRequest(filter=EventFilter(types=[TYPES[one] for one in types], employee_id=about))
        answer = await api.ListEvents(request, context)
    assert asked == looked_for
    assert [one.position for one in answer.events] == ([1] if looked_for else [])
    assert (answer.position, answer.next_page_token) == (2, "")
