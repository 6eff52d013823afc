"""Policies: versions by day, and what is wrong with one said so that it can be mended."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

import pytest
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid
from services.performance.policy import POLICY, kpis_of
from stepladder.performance.v1.events_pb2 import PolicySet
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_NEEDS_IMPROVEMENT,
    RATING_QUALIFIED,
    Rating,
)
from stepladder.performance.v1.policy_pb2 import (
    Calendar,
    CoachingRules,
    CompetencyModel,
    PipRules,
    Policy,
    ScorecardPolicy,
    SetPolicyRequest,
)
from tests.deciding import TODAY, given, twice_is_once

Item: TypeAlias = ScorecardPolicy.Item
Band: TypeAlias = ScorecardPolicy.Band
Step: TypeAlias = ScorecardPolicy.Step
ATTAINMENT = ScorecardPolicy.Attainment()
BANDS = [Band(rating=RATING_QUALIFIED, lower="0", upper="90"), Band(rating=RATING_EXCELLENT, lower="90", upper="100")]


def item(kpi_id: str, weight: str) -> Item:
    return Item(kpi_id=kpi_id, weight=weight, attainment=ATTAINMENT)


def steps(*pairs: tuple[str, str]) -> ScorecardPolicy.Steps:
    return ScorecardPolicy.Steps(steps=[Step(lower=lower, score=score) for lower, score in pairs])


def policy(
    day: str = "2026-01-01",
    items: Sequence[Item] = (item("csat", "60"), item("aht", "40")),
    bands: Sequence[Band] = BANDS,
    *,
    normalize: bool = False,
) -> Policy:
    card = ScorecardPolicy(
        basis=ScorecardPolicy.BASIS_OWN,
        items=items,
        bands=bands,
        normalize=normalize,
        missing=ScorecardPolicy.MISSING_SPREAD,
        ties=ScorecardPolicy.TIES_STANDARD,
        precision=1,
    )
    return Policy(policy_id="agents", effective_date=day, scorecard=card)


def put(one: Policy) -> SetPolicyRequest:
    return SetPolicyRequest(policy=one)


def stored(one: Policy) -> PolicySet:
    event = PolicySet(policy=one)
    event.policy.recorded_date = TODAY.isoformat()
    return event


def violations(one: Policy) -> list[tuple[str, str]]:
    refused = given(POLICY).when(put(one)).refused(Invalid, "POLICY_INVALID")
    return [(violation.field.removeprefix("policy.scorecard."), violation.message) for violation in refused.violations]


def test_versions() -> None:
    """A version is stored once; another for the same day takes its place; a later day's is another."""
    shown = policy()
    shown.log_position = 7
    after = given(POLICY).when(put(shown)).then(stored(policy()))
    after.when(put(shown)).then()
    after.when(put(shown), TODAY + timedelta(days=1)).then()
    other = policy(items=[item("csat", "100")])
    after.when(put(other)).then(stored(other)).when(put(policy())).then(stored(policy()))
    later = policy("2026-07-01")
    after.when(put(later)).then(stored(later))


def test_what_it_names() -> None:
    """Every KPI with where it is named."""
    one = policy()
    one.scorecard.adjustments.add(kpi_id="points", factor="-1")
    assert kpis_of(one) == [
        ("policy.scorecard.items[0].kpi_id", "csat"),
        ("policy.scorecard.items[1].kpi_id", "aht"),
        ("policy.scorecard.adjustments[0].kpi_id", "points"),
    ]


def test_weights_that_do_not_add_up() -> None:
    """Example B of the trade adds up to 90: refused with what to do about it, or taken in proportion if it says so."""
    items = [item("work", "40"), item("interview", "30"), item("manager", "10"), item("peers", "10")]
    ((field, message),) = violations(policy(items=items))
    assert field == "items"
    assert message == (
        "the weights add up to 90, not to 100: change them, or set `normalize` to take them in proportion"
        " (every score will say so)"
    )
    given(POLICY).when(put(policy(items=items, normalize=True))).then(stored(policy(items=items, normalize=True)))
    thirds = [item("a", "33.3"), item("b", "33.3"), item("c", "33.4")]
    given(POLICY).when(put(policy(items=thirds))).then(stored(policy(items=thirds)))


@pytest.mark.parametrize(
    ("items", "field", "message"),
    [
        ([item("a", "100"), item("b", "0")], "items[1].weight", "more than 0"),
        ([item("a", "110"), item("b", "-10")], "items[1].weight", "more than 0"),
        ([item("a", "50"), item("a", "50")], "items[1].kpi_id", "twice"),
        (
            [Item(kpi_id="a", weight="100", attainment=ScorecardPolicy.Attainment(cap="99"))],
            "items[0].attainment.cap",
            "at least 100",
        ),
        ([Item(kpi_id="a", weight="100", steps=steps(("1", "0")))], "items[0].steps.steps[0].lower", "leave it empty"),
        (
            [Item(kpi_id="a", weight="100", steps=steps(("", "0"), ("", "1")))],
            "items[0].steps.steps[1].lower",
            "is needed",
        ),
        (
            [Item(kpi_id="a", weight="100", steps=steps(("", "0"), ("5", "1"), ("5.0", "2")))],
            "items[0].steps.steps[2].lower",
            "above 5",
        ),
        ([Item(kpi_id="a", weight="100", steps=steps(("", "-1")))], "items[0].steps.steps[0].score", "below 0"),
    ],
)
def test_wrong_items(items: list[Item], field: str, message: str) -> None:
    """Each is named with what is wrong."""
    ((at, text),) = violations(policy(items=items))
    assert at == field
    assert message in text


def band(rating: Rating.ValueType, lower: str, upper: str) -> Band:
    return Band(rating=rating, lower=lower, upper=upper)


@pytest.mark.parametrize(
    ("bands", "field", "message"),
    [
        ([band(RATING_QUALIFIED, "1", "100")], "bands[0].lower", "begin at 0"),
        ([band(RATING_QUALIFIED, "0", "0")], "bands[0].upper", "above the band's beginning"),
        (
            [band(RATING_QUALIFIED, "0", "60"), band(RATING_EXCELLENT, "70", "100")],
            "bands[1].lower",
            "nothing is said of 60 up to 70",
        ),
        (
            [band(RATING_QUALIFIED, "0", "71"), band(RATING_EXCELLENT, "70", "100")],
            "bands[1].lower",
            "70 up to 71 is in two bands",
        ),
        (
            [band(RATING_QUALIFIED, "0", "70"), band(RATING_NEEDS_IMPROVEMENT, "70", "100")],
            "bands[1].rating",
            "better than the rating of the band below",
        ),
    ],
)
def test_wrong_bands(bands: list[Band], field: str, message: str) -> None:
    """Gaps, overlaps and bands out of order are refused (domain: bands that overlap)."""
    ((at, text),) = violations(policy(bands=bands))
    assert at == field
    assert message in text


def competencies(*levels: int, ids: tuple[str, ...] = ("sense", "act")) -> Policy:
    model = CompetencyModel(
        behaviours=[CompetencyModel.Behaviour(behaviour_id=one) for one in ids],
        scale=[CompetencyModel.Level(level=level) for level in levels],
        minimum_assessors=3,
    )
    return Policy(policy_id="leads", effective_date="2026-01-01", competency_model=model)


@pytest.mark.parametrize(
    ("model", "field", "message"),
    [
        (competencies(1, 2, 4), "scale[2].level", "must be 3"),
        (competencies(1, 1), "scale[1].level", "must be 2"),
        (competencies(5, 4), "scale[1].level", "must be 6"),
        (competencies(1, 2, ids=("act", "sense", "act")), "behaviours[2].behaviour_id", "is there twice"),
    ],
)
def test_wrong_competency_models(model: Policy, field: str, message: str) -> None:
    """Between two levels nothing is missing, or a mean would tell more than it should."""
    ((path, text),) = violations(model)
    assert path == f"policy.competency_model.{field}"
    assert message in text


def test_a_competency_model_names_no_kpi() -> None:
    assert kpis_of(competencies(1, 2, 3)) == []
    given(POLICY).when(put(competencies(1, 2, 3))).then(stored(competencies(1, 2, 3)))


def calendar(**content: object) -> Policy:
    given = Calendar(**content)  # type: ignore[arg-type] # names and values of fields
    return Policy(policy_id="site-days", effective_date="2026-01-01", calendar=given)


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (
            calendar(country="UK"),
            "country",
            "no public holidays are known of UK; known with the same letter are UA, UG,",
        ),
        (calendar(country="XX"), "country", "are XK"),
        (calendar(country="DE", subdivision="ZZ"), "subdivision", "known are BB, BE,"),
        (calendar(country="LV", subdivision="RIX"), "subdivision", "known are none: leave it empty"),
        (calendar(subdivision="BY"), "subdivision", "part of a country"),
        (
            calendar(days_off=["2026-03-02", "2026-03-03"], days_worked=["2026-03-07", "2026-03-03"]),
            "days_worked[1]",
            "2026-03-03 is a day off, too",
        ),
    ],
)
def test_wrong_calendars(one: Policy, field: str, message: str) -> None:
    """A place of which nothing is known would have no holidays; a day is off or worked."""
    ((path, text),) = violations(one)
    assert path == f"policy.calendar.{field}"
    assert message in text


def test_days_of_no_calendar() -> None:
    """The contract lets 30 February pass."""
    for one in (calendar(days_off=["2026-02-30"]), calendar(days_worked=["2026-02-30"])):
        given(POLICY).when(put(one)).refused(Invalid, "DATE_INVALID")


def test_calendars() -> None:
    """Of a country, of a part of it, of nothing but a week."""
    for one in (
        calendar(),
        calendar(country="CN", days_worked=["2026-02-14"], days_off=["2026-02-28"]),
        calendar(country="DE", subdivision="BY", weekend=[7]),
    ):
        given(POLICY).when(put(one)).then(stored(one))


def coaching(*task_ids: str, shortest: int = 20, longest: int = 60) -> Policy:
    rules = CoachingRules(
        calendar_id="site-days",
        lead_tasks=[CoachingRules.LeadTask(task_id=one, display_name=one) for one in task_ids],
        pip=PipRules(minimum_business_days=shortest, maximum_business_days=longest),
    )
    return Policy(policy_id="coaching", effective_date="2026-01-01", coaching=rules)


@pytest.mark.parametrize(
    ("rules", "field", "message"),
    [
        (coaching("plan", "listen", "plan"), "lead_tasks[2].task_id", "plan is there twice"),
        (coaching(shortest=61), "pip.minimum_business_days", "above the most that a period may have, 60"),
    ],
)
def test_wrong_coaching_rules(rules: Policy, field: str, message: str) -> None:
    """Each is named with what is wrong."""
    ((path, text),) = violations(rules)
    assert path == f"policy.coaching.{field}"
    assert message in text


def test_coaching_rules() -> None:
    """A period of one length is a rule; so is none about PIPs."""
    without = coaching("plan")
    without.coaching.ClearField("pip")
    for one in (coaching("plan", "listen"), coaching(shortest=60), without):
        given(POLICY).when(put(one)).then(stored(one))


def test_no_day() -> None:
    """29 February of a common year passes the contract, and is in no calendar."""
    given(POLICY).when(put(policy("2026-02-29"))).refused(Invalid, "DATE_INVALID")


def test_another_kind() -> None:
    """A policy stays of the kind that it is."""
    stored_before = PolicySet(policy=Policy(policy_id="agents", effective_date="2026-01-01"))
    given(POLICY, stored_before).when(put(policy())).refused(AlreadyExists, "POLICY_EXISTS")


def test_twice_is_once() -> None:
    """Saying twice that a policy holds changes nothing."""
    weights = st.sampled_from([("60", "40"), ("50", "50"), ("50", "40")])
    commands = st.builds(
        lambda day, pair: put(policy(day, [item("csat", pair[0]), item("aht", pair[1])])),
        st.sampled_from(["2026-01-01", "2026-02-01"]),
        weights,
    )
    twice_is_once(POLICY, commands)
