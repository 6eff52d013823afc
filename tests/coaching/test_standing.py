"""An employee's standing: what a PIP does to it, and what an appeal undoes."""

import pytest
from hypothesis import strategies as st

from services.coaching.standing import STANDING
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.standing_pb2 import BeginPip, EndPip, VoidPip
from tests.deciding import given, twice_is_once

BEGIN = BeginPip(employee_id="e-1", since_date="2026-03-16")
END = EndPip(employee_id="e-1", ended_date="2026-05-01", action=Pip.ACTION_DEMOTION)
VOID = VoidPip(employee_id="e-1")
UNDER = EmployeeStandingChanged(employee_id="e-1", under_pip=True, since_date="2026-03-16")
ENDED = EmployeeStandingChanged(
    employee_id="e-1", since_date="2026-03-16", ended_date="2026-05-01", action=Pip.ACTION_DEMOTION
)
AGAIN = EmployeeStandingChanged(employee_id="e-1", under_pip=True, since_date="2027-01-04")
NEVER = EmployeeStandingChanged(employee_id="e-1")


def test_a_pip_begins_and_ends() -> None:
    """Each is said once."""
    standing = given(STANDING).when(BEGIN).then(UNDER).when(BEGIN).then()
    standing.when(END).then(ENDED).when(END).then().when(VOID).then()
    given(STANDING).when(END).then()


def test_a_pip_that_is_void_was_never() -> None:
    """The standing is what it was before: none, or what an earlier PIP had led to."""
    given(STANDING).when(VOID).then()
    given(STANDING, UNDER).when(VOID).then(NEVER).when(VOID).then()
    given(STANDING, UNDER, ENDED, AGAIN).when(VOID).then(ENDED)


@pytest.mark.parametrize("path", [[], [UNDER], [UNDER, ENDED], [UNDER, ENDED, AGAIN]], ids=len)
def test_twice_is_once(path: list[EmployeeStandingChanged]) -> None:
    """Saying anything twice changes nothing."""
    twice_is_once(STANDING, st.sampled_from([BEGIN, END, VOID]), *path)
