"""A policy: rules as data, a version for every change."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.calendars import COUNTRIES
from libs.common.days import History, holding_from, parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid
from libs.common.eventsourcing import Aggregate, Context
from libs.facts.policy_fields import joined, repeated, weighed
from libs.facts.promotion_rules import (
    wrong_in_competition,
    wrong_in_cycles,
    wrong_in_eligibility,
    wrong_in_ladder,
    wrong_in_question_bank,
)
from stepladder.performance.v1.events_pb2 import PolicySet
from stepladder.performance.v1.policy_pb2 import (
    Calendar,
    CoachingRules,
    CompetencyModel,
    DetectionRule,
    Form,
    Policy,
    Roster,
    ScorecardPolicy,
    SetPolicyRequest,
)

Command = SetPolicyRequest
Event = PolicySet


@dataclass(frozen=True, slots=True)
class State:
    """Every version, without its position; of those for the same day only the last."""

    versions: History[Policy] = ()


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case PolicySet(policy=policy):
            return State(holding_from(state.versions, parse_day(policy.effective_date, "effective_date"), policy))
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match cast(Command, command):
        case SetPolicyRequest(policy=given):
            day = parse_day(given.effective_date, "policy.effective_date")
            kind = given.WhichOneof("content")
            if state.versions and state.versions[0][1].WhichOneof("content") != kind:
                raise AlreadyExists("POLICY_EXISTS", f"policy {given.policy_id} is of another kind than {kind}")
            if violations := tuple(wrong_in(given)):
                text = "; ".join(f"{one.field}: {one.message}" for one in violations)
                raise Invalid("POLICY_INVALID", text, violations)
            policy = Policy()
            policy.CopyFrom(given)
            policy.ClearField("log_position")
            known = dict(state.versions).get(day, Policy())
            policy.recorded_date = known.recorded_date
            if policy == known:
                return []
            policy.recorded_date = context.today.isoformat()
            return [PolicySet(policy=policy)]
        case unknown:
            assert_never(unknown)


POLICY = Aggregate(name="performance.policy", initial=State(), evolve=evolve, decide=decide)


def kpis_of(policy: Policy) -> list[tuple[str, str]]:
    """Every KPI that a policy names, with the path of the field."""
    rule = policy.detection
    match rule.WhichOneof("trigger"):
        case "streak":
            return [("policy.detection.streak.kpi_id", rule.streak.kpi_id)]
        case "total":
            return [("policy.detection.total.kpi_id", rule.total.kpi_id)]
        case "contradiction":
            return [
                (f"policy.detection.contradiction.conditions[{i}].kpi_id", condition.kpi_id)
                for i, condition in enumerate(rule.contradiction.conditions)
            ]
    card = policy.scorecard
    named = [(f"policy.scorecard.items[{i}].kpi_id", item.kpi_id) for i, item in enumerate(card.items)]
    added = [(f"policy.scorecard.adjustments[{i}].kpi_id", one.kpi_id) for i, one in enumerate(card.adjustments)]
    watched = [
        (f"policy.roster.signals[{i}].trend.condition.kpi_id", one.trend.condition.kpi_id)
        for i, one in enumerate(policy.roster.signals)
        if one.HasField("trend")
    ]
    parts = [
        (f"policy.competition.parts[{i}].kpi.kpi_id", part.kpi.kpi_id)
        for i, part in enumerate(policy.competition.parts)
        if part.HasField("kpi")
    ]
    limits = [
        (f"policy.eligibility.criteria[{i}].kpi_limit.kpi_id", one.kpi_limit.kpi_id)
        for i, one in enumerate(policy.eligibility.criteria)
        if one.HasField("kpi_limit")
    ]
    return [*named, *added, *watched, *parts, *limits]


def policies_of(policy: Policy) -> list[tuple[str, str, str]]:
    """Every policy that a policy names, as the path of the field, the kind that it has to be of, and its id."""
    rungs = [
        (f"policy.ladder.rungs[{i}].{kind}_id", kind, getattr(rung, f"{kind}_id"))
        for i, rung in enumerate(policy.ladder.rungs)
        for kind in ("eligibility", "competition")
    ]
    banks = [
        (f"policy.competition.parts[{i}].interview.question_bank_id", "question_bank", part.interview.question_bank_id)
        for i, part in enumerate(policy.competition.parts)
    ]
    calendars = [
        (f"policy.{kind}.calendar_id", "calendar", getattr(policy, kind).calendar_id)
        for kind in ("coaching", "competition", "cycles")
    ]
    return [(path, kind, policy_id) for path, kind, policy_id in (*rungs, *banks, *calendars) if policy_id]


def wrong_in(policy: Policy) -> Iterator[FieldViolation]:
    """What the contract's rules cannot say."""
    match policy.WhichOneof("content"):
        case "scorecard":
            yield from _scorecard(policy.scorecard, "policy.scorecard")
        case "form":
            yield from _form(policy.form, "policy.form")
        case "rule_book":
            ids = [offence.offence_id for offence in policy.rule_book.offences]
            yield from repeated(ids, [f"policy.rule_book.offences[{i}].offence_id" for i in range(len(ids))])
        case "detection":
            yield from _detection(policy.detection, "policy.detection")
        case "competency_model":
            yield from _competency_model(policy.competency_model, "policy.competency_model")
        case "roster":
            yield from _roster(policy.roster, "policy.roster")
        case "calendar":
            yield from _calendar(policy.calendar, "policy.calendar")
        case "coaching":
            yield from _coaching(policy.coaching, "policy.coaching")
        case "ladder":
            yield from wrong_in_ladder(policy.ladder, "policy.ladder")
        case "eligibility":
            yield from wrong_in_eligibility(policy.eligibility, "policy.eligibility")
        case "competition":
            yield from wrong_in_competition(policy.competition, "policy.competition")
        case "question_bank":
            yield from wrong_in_question_bank(policy.question_bank, "policy.question_bank")
        case "cycles":
            yield from wrong_in_cycles(policy.cycles, "policy.cycles")
        case unknown:
            raise ValueError(f"a policy of unknown kind: {unknown}")


def _scorecard(card: ScorecardPolicy, path: str) -> Iterator[FieldViolation]:
    seen: set[str] = set()
    for index, item in enumerate(card.items):
        here = f"{path}.items[{index}]"
        if item.kpi_id in seen:
            yield FieldViolation(f"{here}.kpi_id", f"{item.kpi_id} is weighted twice; name it once")
        seen.add(item.kpi_id)
        if Decimal(item.weight) <= 0:
            yield FieldViolation(f"{here}.weight", f"a weight must be more than 0; leave {item.kpi_id} out instead")
        if item.HasField("attainment") and item.attainment.cap and Decimal(item.attainment.cap) < 100:
            yield FieldViolation(f"{here}.attainment.cap", "must be at least 100, the score of who attains the target")
        yield from _steps(item.steps.steps, f"{here}.steps.steps")
    yield from weighed((item.weight for item in card.items), f"{path}.items", normalize=card.normalize)
    yield from _bands(card.bands, f"{path}.bands")


def _form(form: Form, path: str) -> Iterator[FieldViolation]:
    items = [
        (f"{path}.sections[{i}].items[{k}]", item)
        for i, section in enumerate(form.sections)
        for k, item in enumerate(section.items)
    ]
    yield from repeated([item.item_id for _, item in items], [f"{here}.item_id" for here, _ in items])
    for here, item in items:
        if Decimal(item.weight) < 0 or (Decimal(item.weight) == 0 and not item.fatal):
            yield FieldViolation(f"{here}.weight", "must be more than 0, or 0 for a fatal item")


def _competency_model(model: CompetencyModel, path: str) -> Iterator[FieldViolation]:
    ids = [behaviour.behaviour_id for behaviour in model.behaviours]
    yield from repeated(ids, [f"{path}.behaviours[{i}].behaviour_id" for i in range(len(ids))])
    for index, (below, above) in enumerate(pairwise(model.scale), 1):
        if above.level != below.level + 1:
            yield FieldViolation(
                f"{path}.scale[{index}].level", f"must be {below.level + 1}, one above the level before"
            )


def _detection(rule: DetectionRule, path: str) -> Iterator[FieldViolation]:
    streak = rule.streak
    if streak.minimum and streak.maximum and Decimal(streak.minimum) > Decimal(streak.maximum):
        yield FieldViolation(f"{path}.streak.minimum", f"is above the maximum {streak.maximum}")
    if rule.HasField("total") and Decimal(rule.total.at_least) <= 0:
        yield FieldViolation(f"{path}.total.at_least", "must be more than 0")
    for index, condition in enumerate(rule.contradiction.conditions):
        yield from _condition(condition, f"{path}.contradiction.conditions[{index}]")


def _condition(condition: DetectionRule.Condition, path: str) -> Iterator[FieldViolation]:
    test = condition.WhichOneof("test") or ""
    if test in ("rises", "falls") and Decimal(getattr(condition, test).percent) <= 0:
        yield FieldViolation(f"{path}.{test}.percent", "must be more than 0")


def _roster(roster: Roster, path: str) -> Iterator[FieldViolation]:
    ids = [signal.signal_id for signal in roster.signals]
    yield from repeated(ids, [f"{path}.signals[{i}].signal_id" for i in range(len(ids))])
    for index, signal in enumerate(roster.signals):
        here = f"{path}.signals[{index}]"
        yield from _condition(signal.trend.condition, f"{here}.trend.condition")
        if signal.check_ins.times > signal.check_ins.of:
            yield FieldViolation(f"{here}.check_ins.times", f"only {signal.check_ins.of} are looked at")
    if (most := sum(signal.points for signal in roster.signals)) < roster.at_least:
        yield FieldViolation(f"{path}.at_least", f"all signals together are worth {most}: nobody would come on it")


def _calendar(calendar: Calendar, path: str) -> Iterator[FieldViolation]:
    country, subdivision = calendar.country, calendar.subdivision
    if country and country not in COUNTRIES:
        known = ", ".join(one for one in COUNTRIES if one[0] == country[0]) or "none"
        message = f"no public holidays are known of {country}; known with the same letter are {known}"
        yield FieldViolation(f"{path}.country", message)
    elif subdivision and not country:
        yield FieldViolation(f"{path}.subdivision", "is part of a country: name that, too")
    elif subdivision and subdivision not in COUNTRIES[country]:
        known = ", ".join(COUNTRIES[country]) or "none: leave it empty"
        message = f"of {country} no subdivision {subdivision} is known; known are {known}"
        yield FieldViolation(f"{path}.subdivision", message)
    off = {parse_day(day, f"{path}.days_off[{i}]") for i, day in enumerate(calendar.days_off)}
    for index, text in enumerate(calendar.days_worked):
        here = f"{path}.days_worked[{index}]"
        if parse_day(text, here) in off:
            yield FieldViolation(here, f"{text} is a day off, too: it is one or the other")


def _coaching(rules: CoachingRules, path: str) -> Iterator[FieldViolation]:
    ids = [task.task_id for task in rules.lead_tasks]
    yield from repeated(ids, [f"{path}.lead_tasks[{i}].task_id" for i in range(len(ids))])
    pip = rules.pip
    if pip.minimum_business_days > pip.maximum_business_days:
        yield FieldViolation(
            f"{path}.pip.minimum_business_days",
            f"is above the most that a period may have, {pip.maximum_business_days}",
        )


def _steps(steps: Sequence[ScorecardPolicy.Step], path: str) -> Iterator[FieldViolation]:
    if steps and steps[0].lower:
        yield FieldViolation(f"{path}[0].lower", "the first step is for every value below the second: leave it empty")
    for index, step in enumerate(steps):
        if index and not step.lower:
            yield FieldViolation(f"{path}[{index}].lower", "is needed for every step but the first")
        elif index > 1 and Decimal(step.lower) <= Decimal(steps[index - 1].lower or "0"):
            yield FieldViolation(f"{path}[{index}].lower", f"must be above {steps[index - 1].lower}, the step before")
        if Decimal(step.score) < 0:
            yield FieldViolation(f"{path}[{index}].score", "a score cannot be below 0")


def _bands(bands: Sequence[ScorecardPolicy.Band], path: str) -> Iterator[FieldViolation]:
    """From 0 upwards without gap or overlap, better ratings above worse ones."""
    if Decimal(bands[0].lower) != 0:
        yield FieldViolation(f"{path}[0].lower", f"the first band must begin at 0, not at {bands[0].lower}")
    for index, band in enumerate(bands):
        if Decimal(band.upper) <= Decimal(band.lower):
            yield FieldViolation(f"{path}[{index}].upper", f"must be above the band's beginning, {band.lower}")
    for index, (lower, upper) in enumerate(pairwise(bands), 1):
        yield from joined(Decimal(lower.upper), Decimal(upper.lower), f"{path}[{index}].lower")
        if upper.rating <= lower.rating:
            yield FieldViolation(f"{path}[{index}].rating", "must be better than the rating of the band below")
