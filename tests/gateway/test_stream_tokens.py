"""A stream of events lasts no longer than the token by which it was opened is good."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import MetaData

from libs.cli.issuer import Issuer
from libs.common import auth
from libs.common.access import Caller, admit
from libs.common.auth import Tokens
from libs.common.errors import Unauthenticated
from libs.common.eventsourcing import Context
from libs.common.settings import Settings
from libs.facts.people import People
from libs.facts.reaching import Reaches
from services.gateway.__main__ import EVENTS
from services.gateway.event_api import EventApi
from services.gateway.publication import publications
from stepladder.gateway.v1.event_stream_pb2 import WatchEventsRequest
from tests.gateway.webhook_world import START, open_world


def believe(issuer: Issuer, keys: Path) -> None:
    """Nobody but the issuer."""
    keys.write_text(issuer.keys)


async def test_a_stream_ends_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens behind that is not told; here the issuer has withdrawn the key."""
    keys = tmp_path / "jwks.json"
    settings = Settings(token_keys=str(keys))
    ours, another = (Issuer(ec.generate_private_key(ec.SECP256R1()), settings) for _ in range(2))
    believe(ours, keys)
    token = f"Bearer {ours.system('bi', ['events'])}"
    admission = admit("stepladder.gateway.v1.EventService/WatchEvents", Caller("system:bi", frozenset({"events"})))
    context = Context(now=START, today=START.date(), actor="system:bi", admission=admission, authorization=token)
    async with open_world(tmp_path) as world:
        reaches = Reaches(world.service, People(MetaData()), world.follower)
        api = EventApi(world.service, world.events, Tokens(settings), reaches, publications(EVENTS))
        answers = api.WatchEvents(WatchEventsRequest(), context)
        async with asyncio.timeout(60):
            await anext(answers)
            await world.happen()
            assert len((await anext(answers)).events) == 1
            monkeypatch.setattr(auth, "KEYS_LAST_SECONDS", 0.0)
            monkeypatch.setattr(auth, "ASK_AGAIN_SECONDS", 0.0)
            believe(another, keys)
            await world.happen()
            with pytest.raises(Unauthenticated):
                await anext(answers)
