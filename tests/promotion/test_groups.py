"""Groups that employees declare of themselves."""

from hypothesis import strategies as st

from libs.common.envelope import ERASED
from libs.common.errors import Invalid
from services.promotion.groups import GROUPS, to_resource
from stepladder.promotion.v1.events_pb2 import GroupsDeclared
from stepladder.promotion.v1.fairness_pb2 import DeclaredGroup, DeclaredGroups, DeclareOwnGroups
from tests.deciding import given, twice_is_once


def declare(*groups: tuple[str, str]) -> DeclareOwnGroups:
    return DeclareOwnGroups(
        employee_id="e-1", groups=[DeclaredGroup(dimension=dimension, group=group) for dimension, group in groups]
    )


def declared(text: str) -> GroupsDeclared:
    return GroupsDeclared(employee_id="e-1", groups=text, declared_by="user:u-1")


SEX, AGE = ("sex", "female"), ("age", "over-40")


def test_declaring() -> None:
    """What is declared takes the place of what was; in another order it is the same; nothing withdraws it."""
    after = given(GROUPS).when(declare(SEX, AGE)).then(declared("age=over-40\nsex=female"))
    after.when(declare(AGE, SEX)).then()
    assert to_resource(after.state, 7) == DeclaredGroups(
        groups=[
            DeclaredGroup(dimension="age", group="over-40"),
            DeclaredGroup(dimension="sex", group="female"),
        ],
        log_position=7,
    )
    less = after.when(declare(SEX)).then(declared("sex=female"))
    none = less.when(declare()).then(declared(""))
    assert to_resource(none.state, 8) == DeclaredGroups(log_position=8)
    none.when(declare()).then()
    given(GROUPS).when(declare()).then()


def test_a_dimension_twice() -> None:
    """Nobody belongs to two groups of it."""
    refused = given(GROUPS).when(declare(SEX, ("sex", "male"))).refused(Invalid, "GROUPS_INVALID")
    assert refused.violations[0].field == "groups[1].dimension"


def test_erased() -> None:
    """Whose key is gone belongs to no group."""
    assert not given(GROUPS, declared(ERASED)).state.groups


def test_twice_is_once() -> None:
    """Saying the same twice changes nothing."""
    twice_is_once(GROUPS, st.builds(declare, st.sampled_from([SEX, ("sex", "male"), AGE])))
