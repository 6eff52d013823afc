"""What a PIP says: what it must respect, what makes a standard another one, and how it lies in the log. Pure."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from libs.common.days import parse_day
from libs.common.errors import FieldViolation
from libs.facts.values import kpi_value
from stepladder.coaching.v1.events_pb2 import PipDrafted, PipEdited
from stepladder.coaching.v1.measure_pb2 import Measured
from stepladder.coaching.v1.pip_pb2 import ElementResult, PipContent, PipElement
from stepladder.performance.v1.policy_pb2 import PipRules


def violations(content: PipContent, rules: PipRules, today: date) -> Iterator[FieldViolation]:
    """What the rules do not allow, or facts do not show; evidence has been looked up."""
    ids = [element.element_id for element in content.elements]
    for index, element in enumerate(content.elements):
        here = f"content.elements[{index}]"
        if element.element_id in ids[:index]:
            yield FieldViolation(f"{here}.element_id", f"{element.element_id} is there twice")
        if element.minimum and element.maximum and Decimal(element.minimum) > Decimal(element.maximum):
            yield FieldViolation(f"{here}.minimum", f"is above the maximum {element.maximum}")
        yield from _evidence(element, here, rules, today)
    period, least, most = content.period_business_days, rules.minimum_business_days, rules.maximum_business_days
    if not least <= period <= most:
        yield FieldViolation("content.period_business_days", f"must be {least} to {most}")
    yield from review_violations(content.review_business_days, period, rules, "content.review_business_days")


def review_violations(reviews: Sequence[int], period: int, rules: PipRules, path: str) -> Iterator[FieldViolation]:
    """Reviews ascend within the period, and lie no further apart than the rules say; its end counts as one."""
    most = rules.review_business_days
    for before, after in pairwise([0, *reviews]):
        if after <= before:
            yield FieldViolation(path, f"{after} comes after {before}: name them in order, each once")
    if any(one > period for one in reviews):
        yield FieldViolation(path, f"must lie within the {period} business days")
    elif most and any(after - before > most for before, after in pairwise([0, *reviews, period])):
        yield FieldViolation(path, f"must lie at most {most} business days apart, from the start to the end")


def _evidence(element: PipElement, path: str, rules: PipRules, today: date) -> Iterator[FieldViolation]:
    oldest = today - timedelta(days=rules.evidence_days)
    for index, evidence in enumerate(element.evidence):
        here = f"{path}.evidence[{index}]"
        if evidence.WhichOneof("what") == "log_position":
            if not evidence.date:
                message = "nothing that is so of the employee lies there: neither a record nor a fact of the measure"
                yield FieldViolation(f"{here}.log_position", message)
                continue
            first, last = date.fromisoformat(evidence.date), date.fromisoformat(evidence.date)
        else:
            if not element.HasField("measure"):
                yield FieldViolation(f"{here}.days", "days are evidence of a measure: name a record of the conduct")
            elif not evidence.measured.value:
                yield FieldViolation(f"{here}.days", "nothing was recorded on these days")
            first = parse_day(evidence.days.start_date, f"{here}.days.start_date")
            last = parse_day(evidence.days.end_date, f"{here}.days.end_date")
            if last < first:
                yield FieldViolation(f"{here}.days.end_date", "lies before the first day")
        if first < oldest:
            yield FieldViolation(here, f"is older than the rules allow: {first}, before {oldest}")
        if last > today:
            yield FieldViolation(here, f"lies ahead: {last}")
    if (element.minimum or element.maximum) and _is_met(element):
        yield FieldViolation(f"{path}.evidence", "meets the standard, all of it: a PIP is for what does not")


def _is_met(element: PipElement) -> bool:
    """Whether all that was measured as evidence meets the standard."""
    measured = [evidence.measured for evidence in element.evidence if evidence.measured.value]
    results = [result_of(element, one).standard for one in measured]
    return bool(results) and all(one == ElementResult.STANDARD_MET for one in results)


def is_other_standard(before: PipContent, after: PipContent) -> bool:
    """Whether an element came or went, or its standard is stated otherwise or is stricter."""
    was, becomes = ({one.element_id: one for one in content.elements} for content in (before, after))
    return was.keys() != becomes.keys() or any(_is_other(was[one], becomes[one]) for one in was)


def _is_other(before: PipElement, after: PipElement) -> bool:
    return (
        (before.measure, before.conduct, before.standard) != (after.measure, after.conduct, after.standard)
        or (after.minimum != "" and (not before.minimum or Decimal(after.minimum) > Decimal(before.minimum)))
        or (after.maximum != "" and (not before.maximum or Decimal(after.maximum) < Decimal(before.maximum)))
    )


def result_of(element: PipElement, measured: Measured | None) -> ElementResult:
    """An element as it was measured. None: of conduct."""
    value = None
    if measured is not None and measured.value:
        value = kpi_value(element.definition, measured.numerator, measured.denominator)
    if value is None:
        standard = ElementResult.STANDARD_NOT_MEASURED
    elif (element.minimum and value < Fraction(element.minimum)) or (
        element.maximum and value > Fraction(element.maximum)
    ):
        standard = ElementResult.STANDARD_NOT_MET
    else:
        standard = ElementResult.STANDARD_MET
    return ElementResult(element_id=element.element_id, measured=measured, standard=standard)


def given(content: PipContent) -> PipContent:
    """As given, without output-only fields."""
    bare = PipContent()
    bare.CopyFrom(content)
    for element in bare.elements:
        element.ClearField("definition")
        for evidence in element.evidence:
            evidence.ClearField("measured")
            evidence.ClearField("date")
            evidence.ClearField("record_id")
    return bare


def put_texts(event: PipDrafted | PipEdited, content: PipContent) -> None:
    """Puts what a PIP says into an event, its texts beside it, where they are sealed."""
    event.content.CopyFrom(content)
    event.support, event.consequence = content.support, content.consequence
    event.conducts.extend(element.conduct for element in content.elements)
    event.standards.extend(element.standard for element in content.elements)
    event.content.support = event.content.consequence = ""
    for element in event.content.elements:
        element.standard = ""
        if element.WhichOneof("what") == "conduct":
            element.conduct = ""


def content_of(event: PipDrafted | PipEdited) -> PipContent:
    """What a PIP says, with its texts; of erased ones each says so."""
    content = PipContent()
    content.CopyFrom(event.content)
    content.support, content.consequence = event.support, event.consequence
    for index, element in enumerate(content.elements):
        element.standard = _text(event.standards, index)
        if element.WhichOneof("what") == "conduct":
            element.conduct = _text(event.conducts, index)
    return content


def _text(texts: Sequence[str], index: int) -> str:
    """Of texts that were erased, one is left that says so."""
    return texts[min(index, len(texts) - 1)]
