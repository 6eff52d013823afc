"""Who may call what, as far as it can be told without the directory."""

import pytest

from libs.common.access import RULES, Admission, Caller, admit, read_rules
from libs.common.errors import Refused

ROWS = read_rules(
    """
    ["a.Service"]
    Open = ["everyone"]
    Tell = ["system:facts", "employee"]
    Load = ["system:facts", "system:directory"]
    Read = ["self", "lead"]
    """
)
PERSON, LOADER, OTHER = (
    Caller("user:e-1"),
    Caller("system:l", frozenset({"facts"})),
    Caller("system:o", frozenset({"events"})),
)


@pytest.mark.parametrize(
    ("method", "caller", "reason"),
    [
        ("a.Service/Open", None, ""),
        ("a.Service/Open", OTHER, ""),
        ("a.Service/Tell", None, "TOKEN_MISSING"),
        ("a.Service/Tell", OTHER, "ROLE_MISSING"),
        ("a.Service/Tell", LOADER, ""),
        ("a.Service/Load", PERSON, "NOT_FOR_PEOPLE"),
        ("a.Service/Read", LOADER, "ROLE_MISSING"),
        ("a.Service/Forgotten", PERSON, "NO_RULE"),
        ("a.Service/Forgotten", LOADER, "NO_RULE"),
        ("a.Service/Forgotten", None, "NO_RULE"),
    ],
)
def test_admitting(method: str, caller: Caller | None, reason: str) -> None:
    """A method without a row is denied to everybody, systems go by role, people by what they are."""
    try:
        assert admit(method, caller, ROWS).granted
        found = ""
    except Refused as refused:
        found = refused.reason
    assert found == reason


def test_people_are_let_on_to_be_asked_what_they_are() -> None:
    """To the centre where that decides, or else to whom the call is about."""
    told, read = admit("a.Service/Tell", PERSON, ROWS), admit("a.Service/Read", PERSON, ROWS)
    assert (told.granted, told.by_standing) == (False, True)
    assert (read.granted, read.by_standing) == (False, False)
    assert not read.admits({"manager", "hr"})
    assert read.admits({"manager", "lead"})
    assert read.granted


def test_a_system_may_by_its_role_whatever_a_call_is_about() -> None:
    """A person is asked anew what they are each time."""
    told, read = admit("a.Service/Tell", LOADER, ROWS), admit("a.Service/Read", PERSON, ROWS)
    assert told.admits(())
    assert read.admits({"self"})
    assert read.granted
    assert not read.admits({"manager"})


def test_nothing_is_granted_by_itself() -> None:
    assert not Admission().admits({"self", "hr"})


@pytest.mark.parametrize("row", ['["boss"]', "[]", '["system:root"]', '["self", "Lead"]'])
def test_a_row_that_means_nothing_is_refused(row: str) -> None:
    """At the start, not when somebody calls."""
    with pytest.raises(ValueError, match="Service/Tell"):
        read_rules(f'["a.Service"]\nTell = {row}')


def test_the_rules_are_read() -> None:
    assert len(RULES) > 200
