"""Which share a subject belongs to: by whose it is, for ever, and finer without a move."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.partitions import Partition, Sharing, name_of

SHARING = Sharing(
    by_id=("log.performance.employee.*",), by_month=("log.performance.facts.*",), everywhere=("log.performance.kpi.*",)
)
IDS = st.text("abcxyz0189_-", min_size=1, max_size=20)


@given(IDS, st.integers(1, 12), st.integers(1, 64))
def test_an_employees_months_are_where_the_employee_is(employee_id: str, month: int, of: int) -> None:
    """Whatever their ids look like."""
    own = SHARING.number(f"log.performance.employee.{employee_id}", of)
    assert own == SHARING.number(f"log.performance.facts.{employee_id}_2026-{month:02}", of)
    assert own is not None
    assert 0 <= own < of


@given(IDS, st.integers(1, 8), st.integers(1, 8))
def test_a_share_is_divided_into_shares_of_its_own(employee_id: str, of: int, times: int) -> None:
    """So those can begin where it was."""
    subject = f"log.performance.employee.{employee_id}"
    finer = SHARING.number(subject, of * times)
    assert finer is not None
    assert finer % of == SHARING.number(subject, of)


@given(IDS, st.integers(1, 64))
def test_every_subject_is_one_shares_or_everybodys(some_id: str, of: int) -> None:
    """What names nobody is the first's, and nothing is left out."""
    shares = [Partition(SHARING, number, of) for number in range(of)]
    for kind, takers in (("employee", 1), ("facts", 1), ("record", 1), ("kpi", of)):
        assert sum(one.takes(f"log.performance.{kind}.{some_id}") for one in shares) == takers
    assert shares[0].takes(f"log.performance.record.{some_id}")


def test_where_shares_lie_is_never_changed() -> None:
    """Positions are stored by it."""
    numbers = [SHARING.number(f"log.performance.facts.e-{number}_2026-03", 8) for number in range(8)]
    assert numbers == [2, 4, 6, 0, 3, 5, 7, 1]
    assert [name_of("facts", 3, 8), name_of("facts", 0, 1)] == ["facts/3", "facts"]
