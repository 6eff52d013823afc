"""What SCIM 2.0 says of people and teams here: schemas, resource types, and what the service can do (RFC 7643).

Attributes that identity providers send and nobody here keeps, such as `emails`, are taken and dropped.
"""

from typing import Annotated

from pydantic import Field
from scim2_models import (
    URN,
    AnyExtension,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Extension,
    Filter,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    Returned,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)

MOST_RESULTS = 200


class Name(ComplexAttribute):
    """The components of a person's name."""

    family_name: str | None = None
    """Family name."""
    given_name: str | None = None
    """Given name."""


class User(Resource[AnyExtension]):
    """A person who is employed, or was and has an account."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """What they sign in with. Whatever it is, the resource's id stays."""
    name: Name | None = None
    """The components of the name."""
    display_name: str | None = None
    """The name that is displayed; without it, given and family name, or else the userName is."""
    active: bool | None = None
    """False: they have left. True, of one who has left: the leaving is taken back."""


class EnterpriseUser(Extension):
    """What organisations say of their people (RFC 7643, section 4.3), as far as it is kept."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    employee_number: str | None = None
    """Personnel number. At creation, the resource's id is made of it."""


class OfTeam(ComplexAttribute):
    """A team."""

    value: Annotated[str | None, CaseExact.true] = None
    """The id of its Group."""
    ref: Reference["Group"] | None = Field(  # type: ignore[type-arg] # a name
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The URI of its Group."""


class OfUser(ComplexAttribute):
    """A person."""

    value: Annotated[str | None, CaseExact.true] = None
    """The id of their User."""
    ref: Reference["User"] | None = Field(  # type: ignore[type-arg] # a name
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The URI of their User."""


class StepladderUser(Extension):
    """What Stepladder needs to know of an employee."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:stepladder:2.0:User")

    team: OfTeam | None = None
    """The team: the same as membership in its Group."""
    hire_date: Annotated[str | None, Mutability.immutable] = None
    """First day of employment, YYYY-MM-DD; at creation, without one, the day on which it holds."""
    job_family: Annotated[str | None, Mutability.immutable] = None
    """Job family."""
    position: str | None = None
    """Rung of the position ladder, such as agent."""
    stars: int | None = Field(default=None, ge=0, le=5)
    """Rung of the title ladder: 1 to 5."""
    acting: bool | None = None
    """The position is held for the time being."""
    position_since: Annotated[str | None, Mutability.read_only] = None
    """Since when the position is held, YYYY-MM-DD."""
    status: str | None = Field(default=None, examples=["probation", "confirmed", "on leave"])
    """Employment status of whoever is active."""
    effective_date: Annotated[str | None, Mutability.write_only, Returned.never] = None
    """From which day on the changes of this request hold, YYYY-MM-DD; without it, today."""


class Member(ComplexAttribute):
    """A member of a team."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of their User."""
    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(  # type: ignore[type-arg] # a name
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The URI of their User."""
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """User."""


class Group(Resource[AnyExtension]):
    """A team."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true] = None
    """What it is called."""
    members: list[Member] | None = None
    """Who is in it today. Everybody is in one team at most."""


class StepladderGroup(Extension):
    """What Stepladder needs to know of a team."""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:stepladder:2.0:Group")

    lead: OfUser | None = None
    """Who leads it today."""
    effective_date: Annotated[str | None, Mutability.write_only, Returned.never] = None
    """From which day on the changes of this request hold, YYYY-MM-DD; without it, today."""


USER, GROUP = User[EnterpriseUser | StepladderUser], Group[StepladderGroup]

CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=MOST_RESULTS),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=False),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="OAuth bearer token",
            description="A token of a system with the role stepladder.directory",
            primary=True,
        )
    ],
)

PROVIDER = ScimProvider(
    models=[User, EnterpriseUser, StepladderUser, Group, StepladderGroup],
    resource_types=[ResourceType.from_resource(USER), ResourceType.from_resource(GROUP)],
    config=CONFIG,
    policy=ScimPolicy(
        unknown=ScimPolicy.Unknown.ignore,
        # As Microsoft Entra removes members.
        remove_value_as_filter=ScimPolicy.RemoveValue.apply,
        unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    ),
)
