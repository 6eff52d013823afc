"""KPIs: definitions, and the arithmetic of their values."""

from fractions import Fraction

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotFound
from libs.facts.values import format_value, kpi_value
from services.performance.kpi import KPI, to_resource
from stepladder.performance.v1.events_pb2 import KpiCreated, KpiUpdated
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, UpdateKpiRequest
from tests.deciding import given, twice_is_once


def aht(**other: object) -> Kpi:
    kpi = Kpi(
        kpi_id="aht",
        display_name="Average handle time",
        unit=Kpi.UNIT_MINUTES,
        direction=Kpi.DIRECTION_BAND,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=1,
        scale_denominator=60,
        precision=2,
    )
    kpi.MergeFrom(Kpi(**other))  # type: ignore[arg-type] # names and values of fields
    return kpi


CREATED = KpiCreated(kpi=aht())


def update(*mask: str, **given_fields: object) -> UpdateKpiRequest:
    kpi = Kpi(kpi_id="aht", **given_fields)  # type: ignore[arg-type] # names and values of fields
    return UpdateKpiRequest(kpi=kpi, update_mask=FieldMask(paths=mask))


def test_create() -> None:
    """A KPI is created once; what only the output holds is not stored."""
    given(KPI).when(CreateKpiRequest(kpi=aht(etag="7", log_position=7))).then(CREATED).when(
        CreateKpiRequest(kpi=aht())
    ).then()


def test_create_with_other_content() -> None:
    """The id of a KPI is taken."""
    given(KPI, CREATED).when(CreateKpiRequest(kpi=aht(precision=3))).refused(AlreadyExists, "KPI_EXISTS")


def test_create_again_after_an_update() -> None:
    """The creation said again is a repetition, whatever the KPI is called now."""
    given(KPI, CREATED, KpiUpdated(kpi=aht(display_name="AHT"))).when(CreateKpiRequest(kpi=aht())).then()


def test_update_what_is_given() -> None:
    """An empty mask and `*` take every updatable field that is given, and none that is not."""
    for mask in ((), ("*",)):
        updated = given(KPI, CREATED).when(update(*mask, display_name_zh="平均处理时长", unit=Kpi.UNIT_SECONDS))
        updated.then(KpiUpdated(kpi=aht(display_name_zh="平均处理时长")))


def test_update_what_the_mask_names() -> None:
    """A mask takes exactly its fields, also to empty them."""
    described = KpiCreated(kpi=aht(description="seconds over calls"))
    command = update("description", "precision", display_name="AHT", precision=1)
    expected = aht()
    expected.precision = 1
    given(KPI, described).when(command).then(KpiUpdated(kpi=expected)).when(command).then()


def test_update_of_the_definition() -> None:
    """How values add up never changes."""
    refused = given(KPI, CREATED).when(update("aggregation", aggregation=Kpi.AGGREGATION_SUM))
    refused.refused(Invalid, "FIELD_NOT_UPDATABLE")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", ""),
        ("display_name", "x" * 201),
        ("display_name_zh", "x" * 201),
        ("description", "x" * 1001),
        ("precision", 7),
        ("precision", -1),
    ],
)
def test_update_to_wrong_values(field: str, value: object) -> None:
    """A part of a KPI is held to the rules of the whole."""
    refused = given(KPI, CREATED).when(update(field, **{field: value})).refused(Invalid, "KPI_INVALID")
    assert [violation.field for violation in refused.violations] == [f"kpi.{field}"]


def test_update_before_creation() -> None:
    """A KPI that does not exist cannot be updated."""
    given(KPI).when(update(display_name="AHT")).refused(NotFound, "KPI_NOT_FOUND")


def test_resource() -> None:
    """The resource is the definition with the log's position as its etag."""
    assert to_resource(given(KPI, CREATED).state, 42) == aht(etag="42", log_position=42)


def test_twice_is_once() -> None:
    """Saying any command of a KPI twice changes nothing."""
    masks = st.lists(st.sampled_from(["display_name", "description", "precision", "*", "unit"]), max_size=2)
    commands = st.one_of(
        st.builds(lambda p: CreateKpiRequest(kpi=aht(precision=p)), st.integers(0, 3)),
        st.builds(
            lambda mask, name, precision: update(*mask, display_name=name, precision=precision),
            masks,
            st.sampled_from(["", "AHT", "Handle time"]),
            st.integers(-1, 7),
        ),
    )
    twice_is_once(KPI, commands)


def test_value_is_exact() -> None:
    """Ratios are of sums, scaled; a ratio out of nothing has no value."""
    assert kpi_value(aht(), 551, 3) == Fraction(551, 180)
    assert kpi_value(aht(), 0, 0) is None
    assert kpi_value(Kpi(aggregation=Kpi.AGGREGATION_SUM, scale_numerator=1, scale_denominator=60), 90, 0) == 1.5


@pytest.mark.parametrize(
    ("value", "precision", "shown"),
    [
        (Fraction(551, 180), 2, "3.06"),
        (Fraction(1, 8), 2, "0.13"),
        (Fraction(-1, 8), 2, "-0.13"),
        (Fraction(-1, 1000), 2, "0.00"),
        (Fraction(5, 2), 0, "3"),
        (Fraction(2, 3), 6, "0.666667"),
        (Fraction(10**30 + 1, 2), 1, "500000000000000000000000000000.5"),
        (Fraction(124999999999999999999999999999, 10**30), 2, "0.12"),
    ],
)
def test_value_shown(value: Fraction, precision: int, shown: str) -> None:
    """Values are rounded half up, once, however many digits they have."""
    assert format_value(Kpi(precision=precision), value) == shown


def test_time_of_day_shown() -> None:
    """Seconds since the start of the day are shown as a time."""
    kpi = Kpi(unit=Kpi.UNIT_TIME_OF_DAY, precision=2)
    assert format_value(kpi, Fraction(9 * 3600 + 5 * 60 + 6)) == "09:05:06"
    assert format_value(kpi, Fraction(86399, 1) + Fraction(1, 2)) == "24:00:00"
