"""scim2-tester, a foreign client that tries all of SCIM 2.0, finds nothing wrong."""

import asyncio
from typing import Annotated

from pydantic import Field
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_models import AnyExtension, Extension, Required, ResourceType, ScimPolicy, ScimProvider
from scim2_tester import Status, check_server

from libs.cli.envoy import Envoy
from services.gateway.scim_models import (
    EnterpriseUser,
    Group,
    OfTeam,
    OfUser,
    StepladderGroup,
    StepladderUser,
    User,
)
from tests.gateway.scim import PROVIDER_TOKEN, over_the_wire, running_scim


class TriedUser(User[AnyExtension]):
    """Users as the tester may write them, in any order: whoever has left cannot be moved, and nobody is neither."""

    __schema__ = User.__schema__
    active: Annotated[bool | None, Required.true] = Field(default=None, examples=[True])


class TriedExtension(Extension):
    """What can be changed at any time; with values that mean something, for the tester makes up its own."""

    __schema__ = StepladderUser.__schema__
    team: OfTeam | None = None
    position: Annotated[str | None, Required.true] = Field(default=None, examples=["agent", "senior-agent"])
    stars: int | None = Field(default=None, examples=[1, 2, 3, 4, 5])
    acting: bool | None = Field(default=None, examples=[True])
    status: Annotated[str | None, Required.true] = Field(default=None, examples=["confirmed"])


class TriedGroupExtension(Extension):
    """Without the day of a change, which is written and never read."""

    __schema__ = StepladderGroup.__schema__
    lead: OfUser | None = None


TRIED = ScimProvider(
    models=[TriedUser, EnterpriseUser, TriedExtension, Group, TriedGroupExtension],
    resource_types=[
        ResourceType.from_resource(TriedUser[EnterpriseUser | Annotated[TriedExtension, Required.true]]),
        ResourceType.from_resource(Group[TriedGroupExtension]),
    ],
    policy=ScimPolicy(unknown=ScimPolicy.Unknown.ignore),
)


async def test_nothing_is_wrong(envoy: Envoy) -> None:
    """Discovery, creation, reading, searching, replacement, every kind of PATCH on every attribute, and deletion."""
    async with running_scim(envoy) as scim:
        client = WSGISCIMClient(
            over_the_wire(scim.port),
            base_url=f"http://127.0.0.1:{scim.port}/scim/v2",
            headers={"authorization": f"Bearer {PROVIDER_TOKEN}"},
            provider=TRIED,
        )
        results = await asyncio.to_thread(check_server, client)
    wrong = [one for one in results if one.status not in {Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE}]
    assert [(one.title, one.status.name, one.resource_type, one.reason) for one in wrong] == []
    assert {one.resource_type for one in results} >= {"User", "Group"}
    assert len(results) > 50
